r"""An autoencoder of cells as grids, for the representation ``voxels``.

    python examples/train_voxels.py structures.parquet --rows 6000 --out voxels.gnomon
    gnomon represent structures.parquet --as voxels --option model=voxels.gnomon --out rows.parquet

Of the rows drawn, formulas of hashes below 75 train, and 75 to 84 validate; no energy is looked at.
A minute of one core, and six for two epochs of 21,000 crystals.  The same command goes on where it
was stopped.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from gnomon.io import from_arrow
from gnomon.io.tables import read_table
from gnomon.learn.card import run_key
from gnomon.learn.fit import Session, keep
from gnomon.learn.split import formula_hashes
from gnomon.models.voxels.model import VoxelModel
from gnomon.models.voxels.train import VoxelTrainConfig, columns_of, train_voxels
from gnomon.run.listener import Listener


def main() -> None:
    """Train, and print the card."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("structures", type=Path)
    parser.add_argument("--rows", type=int, default=6_000, help="crystals that are drawn")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("voxels.gnomon"))
    options = parser.parse_args()
    usual = VoxelTrainConfig()
    optimizer = usual.optimizer.model_copy(update={"epochs": options.epochs})
    config = usual.model_copy(update={"optimizer": optimizer})
    crystals = from_arrow(read_table(options.structures))
    crystals = crystals[formula_hashes(crystals.reduced_formulas) < config.validate_below]
    drawn = np.random.default_rng(0).permutation(len(crystals))[: options.rows]
    crystals = crystals[drawn]

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    listener = Listener(say=say, tick=lambda *_: None)
    model = keep(
        options.out,
        run_key(columns_of(crystals), config, ""),
        lambda partial: train_voxels(
            crystals, options.structures.name, config, Session(partial, listener)
        ),
        load=VoxelModel.load,
        save=lambda path, made: made.save(path),
    )
    assert model.card is not None
    print(model.card.model_dump_json(indent=2))


if __name__ == "__main__":
    main()
