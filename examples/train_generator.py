r"""The transformer that writes crystals, generator-3.

    python examples/train_generator.py structures.parquet --out generator-3.gnomon

The file holds relaxed crystals with ``e_above_hull`` (eV/atom), as the Materials Project gives
them; formulas of hashes below 75 train, 75 to 84 validate, and nothing else is looked at.  The
properties that candidates may be asked for are predicted by networks of the package: the bulk
modulus by bulk-modulus-1, in four ranges, and the band gap by band-gap-1 and is-metal-1, in five.
Crystals of up to twenty orbits train: all but one of a hundred.  The weights in the package took
two minutes and a half of an H200 (their card says so); on a core an epoch takes minutes, as is told
after each, and so does what comes before the first one, the symmetry of the crystals.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa

from gnomon.crystals import Crystals
from gnomon.io import from_arrow
from gnomon.io.tables import read_table
from gnomon.learn.card import run_key
from gnomon.learn.fit import Session, keep
from gnomon.learn.optimize import OptimizerConfig
from gnomon.learn.split import formula_hashes
from gnomon.models.ensemble import load_model
from gnomon.models.wyckoff.layers import WyckoffConfig
from gnomon.models.wyckoff.model import WyckoffModel
from gnomon.models.wyckoff.train import (
    GeneratorRows,
    GeneratorTrainConfig,
    PropertyRows,
    train_generator,
)
from gnomon.run.listener import Listener

CONFIG = GeneratorTrainConfig(
    network=WyckoffConfig(width=160, layers=6, heads=8),
    optimizer=OptimizerConfig(
        epochs=34, batch=2048, learning_rate=2.8e-3, weight_decay=0.05, clip=10.0, averaging=0.998
    ),
    dropout=0.2,
)

GAPS = (0.0, 0.5, 1.5, 3.0)
"""eV: metals, and four ranges of what has a gap."""


def bulk_moduli(crystals: Crystals) -> np.ndarray:
    """GPa, by bulk-modulus-1; NaN where it sees nothing."""
    return np.asarray(10 ** load_model("bulk-modulus-1").predict(crystals).median)


def band_gaps(crystals: Crystals) -> np.ndarray:
    """eV, by band-gap-1; 0 where is-metal-1 finds a metal likelier; NaN where they see nothing."""
    gap, metal = (
        load_model(name).predict(crystals).members.mean(axis=0)
        for name in ("band-gap-1", "is-metal-1")
    )
    return np.where(metal >= 0.5, 0.0, gap)


def rows_of(path: Path) -> GeneratorRows:
    """Crystals of formula hashes below 85 with what is known of them."""
    table = read_table(path)
    crystals = from_arrow(table)
    seen = formula_hashes(crystals.reduced_formulas) < CONFIG.validate_below
    table, crystals = table.filter(pa.array(seen)), crystals[seen]
    above = np.asarray(table["e_above_hull"].to_numpy(), np.float64)
    properties = (
        PropertyRows("bulk_modulus", "GPa", bulk_moduli(crystals), "predicted by bulk-modulus-1"),
        PropertyRows(
            "band_gap", "eV", band_gaps(crystals), "predicted by band-gap-1 and is-metal-1", GAPS
        ),
    )
    return GeneratorRows(crystals, above, path.name, properties)


def main() -> None:
    """Train, and print the card."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("structures", type=Path)
    parser.add_argument("--out", type=Path, default=Path("generator-3.gnomon"))
    options = parser.parse_args()
    data = rows_of(options.structures)

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    listener = Listener(say=say, tick=lambda *_: None)
    model = keep(
        options.out,
        run_key(data.columns, CONFIG, data.scheme),
        lambda partial: train_generator(data, CONFIG, Session(partial, listener)),
        load=WyckoffModel.load,
        save=lambda path, made: made.save(path, half=True),
    )
    assert model.card is not None
    print(model.card.model_dump_json(indent=2))


if __name__ == "__main__":
    main()
