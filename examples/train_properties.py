r"""Networks for moduli, Debye temperature, thermal expansion and the last phonon peak.

    python examples/train_properties.py DATA bulk-modulus --out bulk-modulus-1.gnomon

The networks of structural-2 go on with a new readout (``gnomon.models.transfer``).  DATA holds the
published splits: AFLOW's moduli, Debye temperatures and expansion at 300 K of the files
``elasticity/aflow_*_{train,val}.csv.gz`` and ``thermal/aflow_*_{train,val}.csv.gz`` (a CIF and a
number a row), phonon peaks of ``thermal/matbench_phonons.json.gz``.  Moduli, Debye temperatures
and expansions are learned as logarithms.  Of the rows that train, formula hashes of 95 to 99 are
held out for the card; the files of validation, and phonons of formula hashes from 75 on, are seen
by nothing here (``benchmarks/learned_properties.py`` measures on them).  A minute of one core each.
"""

import argparse
import csv
import gzip
import io
import json
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pymatgen.core import Structure

from gnomon.crystals import Crystals
from gnomon.io import as_crystals
from gnomon.learn.optimize import OptimizerConfig
from gnomon.learn.split import formula_hashes
from gnomon.models.bundled import STRUCTURAL, model_path
from gnomon.models.card import Labelled
from gnomon.models.ensemble import train_into
from gnomon.models.structural.model import StructuralModel
from gnomon.models.transfer import TransferConfig, transfer
from gnomon.run.files import sha256_of


@dataclass(frozen=True)
class Learned:
    """A property, the file that it comes from, and how it is learned."""

    file: str
    column: str
    unit: str
    log: bool = True

    @property
    def scheme(self) -> str:
        """Name and unit of what is learned, as the model has it."""
        return f"{self.column} ({f'log10({self.unit})' if self.log else self.unit})"


PHONONS = "thermal/matbench_phonons.json.gz"
LEARNED = {
    "bulk-modulus": Learned("elasticity/aflow_bulk_modulus_{}.csv.gz", "bulk_modulus", "GPa"),
    "shear-modulus": Learned("elasticity/aflow_shear_modulus_{}.csv.gz", "shear_modulus", "GPa"),
    "debye-temperature": Learned(
        "thermal/aflow_debye_temperature_{}.csv.gz", "debye_temperature", "K"
    ),
    "thermal-expansion": Learned(
        "thermal/aflow_thermal_expansion_{}.csv.gz", "thermal_expansion", "1/K"
    ),
    "last-phonon-peak": Learned(PHONONS, "last phdos peak", "1/cm"),
}


def rows(data: Path, what: Learned, split: str) -> tuple[Crystals, np.ndarray]:
    """Crystals of a split (``train`` or ``val``) with their values."""
    if what.file == PHONONS:
        table = json.loads(gzip.decompress((data / PHONONS).read_bytes()))
        structures = [Structure.from_dict(row[0]) for row in table["data"]]
        values = [row[1] for row in table["data"]]
        crystals = as_crystals(structures)
        chosen = (formula_hashes(crystals.reduced_formulas) < 75) == (split == "train")
    else:
        csv.field_size_limit(sys.maxsize)
        with gzip.open(data / what.file.format(split)) as file:
            table = list(csv.DictReader(io.TextIOWrapper(file)))
        warnings.filterwarnings("ignore", module="pymatgen")  # a note on each CIF's rounding
        crystals = as_crystals([Structure.from_str(row["cif"], fmt="cif") for row in table])
        values = [float(row[what.column]) for row in table]
        chosen = np.array(values) > 0 if what.log else np.ones(len(values), dtype=bool)
    return crystals[chosen], np.array(values, dtype=np.float64)[chosen]


def main() -> None:
    """Train one property."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("property", choices=LEARNED)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    what = LEARNED[given.property]
    crystals, values = rows(given.data, what, "train")
    targets = np.log10(values) if what.log else values
    start = model_path(STRUCTURAL)
    # of hashes below 75 alone, the last few are held out for the card
    last = 75 if what.file == PHONONS else 100
    config = TransferConfig(
        started_from=sha256_of(start),
        train_below=last - 5,
        validate_below=last,
        optimizer=OptimizerConfig(epochs=given.epochs, learning_rate=2e-3),
        seed=given.seed,
    )
    ensemble = StructuralModel.load(start)
    model = train_into(
        given.out.with_suffix(".whole"),
        lambda data, config, session: transfer(data, config, session, start=ensemble),
        Labelled(crystals, targets, what.scheme, what.scheme),
        config,
    )
    model.save(given.out, half=True)
    print(given.out, model.card.validation)


if __name__ == "__main__":
    main()
