r"""The network for superconducting critical temperatures, from formulas.

    python examples/train_superconductors.py DATA --out superconducting-tc-2.gnomon

DATA holds ``superconductors/supercon_3dsc.csv.gz``: SuperCon as 3DSC gives it (Sommer et al., Sci.
Data 10, 816 (2023), CC-BY 4.0), formulas with their Tc.  Rows with Tc = 0, which are unknown or
not superconducting, teach nothing; of a formula with several Tc the median counts.  The networks of
composition-1 go on with new readouts, as a whole, and learn log10(Tc/K).  Formula hashes from 75 on
are held out.  Four minutes of one core.
"""

import argparse
import csv
import gzip
import io
from pathlib import Path

import numpy as np

from gnomon.learn.fit import Session
from gnomon.learn.optimize import OptimizerConfig
from gnomon.models.bundled import COMPOSITION
from gnomon.models.card import LabelledFormulas
from gnomon.models.composition.model import CompositionModel, FormulaPropertyModel
from gnomon.models.composition.train import CompositionTrainConfig, train_composition
from gnomon.represent.formulas import read_formulas

SCHEME = "superconducting_critical_temperature (log10(K))"
OPTIMIZER = OptimizerConfig(epochs=36, batch=128, method="muon", learning_rate=1e-2)


def superconductors(data: Path) -> LabelledFormulas:
    """Formulas with log10 of their critical temperature in K, one row a formula."""
    with gzip.open(data / "superconductors" / "supercon_3dsc.csv.gz") as file:
        table = list(csv.DictReader(io.TextIOWrapper(file, "utf-8")))
    temperatures = np.array([float(row["Tc"]) for row in table])
    formulas, reasons = read_formulas([row["name"] for row in table])
    there = np.flatnonzero((temperatures > 0) & (reasons == ""))
    formulas, values = formulas.take(there), np.log10(temperatures[there])
    names = formulas.reduced_formulas.astype(str)
    _, first, of = np.unique(names, return_index=True, return_inverse=True)
    medians = np.array([np.median(values[of == i]) for i in range(len(first))])
    name = "SuperCon through 3DSC (CC-BY 4.0)"
    return LabelledFormulas(formulas.take(first), medians, name, SCHEME)


def train(
    data: LabelledFormulas, session: Session, *, train_below: int = 75, validate_below: int = 100
) -> FormulaPropertyModel:
    """The network, taught by formula hashes below ``train_below``."""
    start = CompositionModel.load(COMPOSITION)
    config = CompositionTrainConfig(
        train_below=train_below,
        validate_below=validate_below,
        network=start.networks.config,
        members=start.members,
        optimizer=OPTIMIZER,
    )
    model = train_composition(data, config, session, start=start)
    assert isinstance(model, FormulaPropertyModel)
    return model


def main() -> None:
    """Train and write it; a training that was stopped goes on."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    partial = given.out.with_name(given.out.name + ".partial")
    model = train(superconductors(given.data), Session(partial))
    model.save(given.out, half=True)
    print(given.out, model.card.validation if model.card else None)


if __name__ == "__main__":
    main()
