r"""Band gap, metal or not, and synthesizability: heads on what the ensembles in the package see.

    python examples/train_heads.py DATA band-gap --out band-gap-1.gnomon
    python examples/train_heads.py DATA is-metal --out is-metal-1.gnomon
    python examples/train_heads.py DATA synthesizability --out synthesizability-1.gnomon

Gaps are those of ``wbm/wbm_pool.parquet`` (Wang, Botti and Marques 2021, PBE) of formula hashes
below 75; the 2,000 rows that ``benchmarks/wbm.py`` draws first are left out, as energies are
measured on them.  Nothing that predicts energies learns from these rows.  A table of crystals of
your own with a column ``band_gap`` in eV, or ``made`` (1 or 0), such as ``crystals_of_mp.py``
fetches, is given with ``--table``.

Synthesizable is what was made: crystals of ``materials_project/structures.parquet`` with a year of
first report; all others are not known.  Crystals of up to 20 atoms count alone, as larger ones are
in that file only where they have a year.  Seconds of one core each, half a minute for the last.
"""

import argparse
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gnomon.io import from_arrow
from gnomon.learn.heads import HeadsConfig
from gnomon.learn.optimize import OptimizerConfig
from gnomon.learn.split import formula_hashes
from gnomon.models.card import Labelled
from gnomon.models.ensemble import train_into
from gnomon.models.heads import HeadsModelConfig, train_on_bodies

OF_GAPS = OptimizerConfig(epochs=40, batch=128, learning_rate=3e-3, weight_decay=0.1)
CONFIGS = {
    "band-gap": HeadsModelConfig(
        validate_below=100, heads=HeadsConfig(answer="amount", rounds=10, optimizer=OF_GAPS)
    ),
    "is-metal": HeadsModelConfig(
        validate_below=100, heads=HeadsConfig(rounds=10, optimizer=OF_GAPS)
    ),
    "synthesizability": HeadsModelConfig(unlabelled=True),
}
SCHEMES = {
    "band-gap": "band_gap (eV)",
    "is-metal": "is_metal (1)",
    "synthesizability": "synthesizability (1)",
}
LARGEST = 20
"""Atoms in a cell of what teaches synthesizability."""


def gaps(data: Path) -> pa.Table:
    """Crystals with PBE gaps: those that may teach, and those that measure."""
    table = pq.read_table(data / "wbm" / "wbm_pool.parquet")
    drawn = np.zeros(len(table), bool)
    drawn[np.random.default_rng(0).permutation(len(table))[:2000]] = True
    hashes = formula_hashes(np.array(table["reduced_formula"].to_pylist(), dtype=object))
    return table.filter(pa.array(~drawn | (hashes >= 75)))


def made(data: Path) -> pa.Table:
    """Crystals of the Materials Project, ``made`` 1 for those with a year of first report."""
    table = pq.read_table(data / "materials_project" / "structures.parquet")
    small = np.array([len(z) <= LARGEST for z in table["atomic_numbers"].to_pylist()])
    years = table["year"].to_numpy(zero_copy_only=False)
    table = table.append_column("made", pa.array(np.isfinite(years).astype(float)))
    return table.filter(pa.array(small))


def labelled(name: str, table: pa.Table) -> Labelled:
    """What is learned of them."""
    crystals = from_arrow(table)
    if name == "synthesizability":
        what = "Materials Project (CC-BY 4.0), what was reported"
        return Labelled(crystals, table["made"].to_numpy(), what, SCHEMES[name])
    gap = table["band_gap"].to_numpy()
    values = gap if name == "band-gap" else (gap == 0).astype(float)
    return Labelled(crystals, values, "band gaps by PBE", SCHEMES[name])


def main() -> None:
    """Train one of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("name", choices=CONFIGS)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--table", type=Path, help="crystals of your own with band_gap or made")
    given = parser.parse_args()
    if given.table is not None:
        table = pq.read_table(given.table)
    else:
        table = made(given.data) if given.name == "synthesizability" else gaps(given.data)
    model = train_into(given.out, train_on_bodies, labelled(given.name, table), CONFIGS[given.name])
    print(given.out, model.card.validation)


if __name__ == "__main__":
    main()
