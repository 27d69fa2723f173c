r"""The transformer that writes crystals, generator-2.

    python examples/train_generator.py structures.parquet --out generator-2.gnomon

The file holds relaxed crystals with ``e_above_hull`` (eV/atom), as the Materials Project gives
them; formulas of hashes below 75 train, 75 to 84 validate, and nothing else is looked at.  The
property that candidates may be asked for is the bulk modulus as bulk-modulus-1 predicts it, in
four ranges.  Crystals of up to twenty orbits train: all but one of a hundred.  Half an hour of one
core, two minutes of them for the symmetry of the crystals.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa

from gnomon.io import from_arrow
from gnomon.io.tables import read_table
from gnomon.learn.card import run_key
from gnomon.learn.fit import Session, keep
from gnomon.learn.optimize import OptimizerConfig
from gnomon.learn.split import formula_hashes
from gnomon.models.ensemble import load_model
from gnomon.models.wyckoff.layers import WyckoffConfig
from gnomon.models.wyckoff.model import WyckoffModel
from gnomon.models.wyckoff.train import GeneratorRows, GeneratorTrainConfig, train_generator
from gnomon.run.listener import Listener

CONFIG = GeneratorTrainConfig(
    network=WyckoffConfig(width=128, layers=4),
    optimizer=OptimizerConfig(
        epochs=26, batch=1024, learning_rate=2e-3, weight_decay=0.05, clip=10.0, averaging=0.998
    ),
    dropout=0.15,
)
SCHEME = "bulk modulus (log10 of GPa, predicted by bulk-modulus-1)"


def rows_of(path: Path) -> GeneratorRows:
    """Crystals of formula hashes below 85 with what is known of them."""
    table = read_table(path)
    crystals = from_arrow(table)
    seen = formula_hashes(crystals.reduced_formulas) < CONFIG.validate_below
    table, crystals = table.filter(pa.array(seen)), crystals[seen]
    above = np.asarray(table["e_above_hull"].to_numpy(), np.float64)
    stiff = load_model("bulk-modulus-1").predict(crystals).median
    return GeneratorRows(crystals, above, stiff, path.name, SCHEME)


def main() -> None:
    """Train, and print the card."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("structures", type=Path)
    parser.add_argument("--out", type=Path, default=Path("generator-2.gnomon"))
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
