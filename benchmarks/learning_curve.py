"""The learning curve of the structural ensemble, with its power law, as a figure and as JSON.

    python benchmarks/learning_curve.py --data DATA --folder FOLDER

Materials Project crystals: shares of the formulas whose hash is under 75 train, nested; all
measure on hashes 75 to 84.  Smaller shares take more epochs, up to four times as many
(``gnomon.models.learning_curve``).  Ensembles stay in the folder, and the same command goes on
where it was stopped.  The figure is one HTML file beside the JSON.
"""

import argparse
import os
from pathlib import Path
from typing import Any

import numpy as np

from energy_models import load
from gnomon.models.card import Labelled
from gnomon.models.learning_curve import as_json, figure, fit_power_law, learning_curve
from gnomon.models.structural.train import TrainConfig
from gnomon.run.listener import Listener
from record import RESULTS, quiet, save

RESULT = RESULTS / "learning_curve.json"
GNOME = 0.021
"""eV/atom; the first figure of Merchant et al. (2023) on some 69,000 crystals."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the reference data")
    parser.add_argument("--folder", type=Path, required=True, help="for the ensembles")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.0625, 0.125, 0.25, 0.5, 1])
    parser.add_argument("--members", type=int, default=1)
    parser.add_argument("--epochs", type=int, help="of the whole [the default of a training]")
    parser.add_argument("--rows", type=int, help="so many of all crystals, for a trial")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    quiet()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: given.cores])
    data = load(given.data, given.rows)
    config = TrainConfig(members=given.members, seed=given.seed)
    if given.epochs is not None:
        optimizer = config.optimizer.model_copy(update={"epochs": given.epochs})
        config = config.model_copy(update={"optimizer": optimizer})

    scheme = "Materials Project PBE(+U), MP2020 corrections"
    rows = Labelled(data.crystals, data.energies, scheme=scheme)
    listener = Listener(print, lambda *_: None)
    points = learning_curve(rows, config, given.shares, given.folder, listener)
    law = fit_power_law(
        np.array([p.rows for p in points], float), np.array([p.mae for p in points])
    )
    result: dict[str, Any] = {
        "benchmark": "learning_curve",
        "data": "Materials Project, structures.parquet; measured on formula hashes 75-84",
        "members": config.members,
        "config": config.model_dump(mode="json"),
        "cores": given.cores,
        **as_json(points, law),
        "rows_expected_for_21_meV": round(law.rows(GNOME)),
    }
    drawn = figure(points, law)
    page = drawn.to_html(include_plotlyjs=True, div_id="learning-curve")
    given.out.with_suffix(".html").write_text(page, encoding="utf-8")
    save(result, given.out)


if __name__ == "__main__":
    main()
