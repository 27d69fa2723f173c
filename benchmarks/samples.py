"""Crystals for comparisons: compounds, held-out ones, and perturbations of crystals."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from gnomon.crystals import Crystals
from gnomon.io import as_crystals, read
from graphs import prototypes

HELD_OUT = (75, 84)
"""Formula hashes (MD5 of the reduced formula modulo 100) that nobody trains on, both included."""


def compounds(parquet: Path | None) -> Crystals:
    """Crystals of a file, or the compounds of pymatgen's AFLOW library."""
    if parquet is not None:
        return read(parquet).crystals
    from pymatgen.analysis.prototypes import AFLOW_PROTOTYPE_LIBRARY

    return as_crystals([entry["snl"].structure for entry in AFLOW_PROTOTYPE_LIBRARY])


def held_out(data: Path, n: int, atoms: tuple[int, int], seed: int) -> Crystals:
    """Relaxed compounds of held-out formulas with so many atoms, drawn at random.

    Elements are left out: gnomon-1 is trained on all of them.

    Args:
        data: folder with ``materials_project/structures.parquet`` (columns lattice, atomic_numbers,
            frac_coords and formula_hash).
        n: how many, or all where there are fewer.
        atoms: fewest and most atoms a cell.
        seed: of the draw.
    """
    low, high = HELD_OUT
    rows = pq.read_table(
        data / "materials_project" / "structures.parquet",
        columns=["lattice", "atomic_numbers", "frac_coords"],
        filters=[("formula_hash", ">=", low), ("formula_hash", "<=", high)],
    ).to_pylist()
    rows = [r for r in rows if atoms[0] <= len(r["atomic_numbers"]) <= atoms[1]]
    rows = [r for r in rows if len(set(r["atomic_numbers"])) > 1]
    chosen = np.random.default_rng(seed).permutation(len(rows))[:n]
    return Crystals.concatenate(
        [
            Crystals.single(
                np.reshape(rows[i]["lattice"], (3, 3)),
                rows[i]["atomic_numbers"],
                np.reshape(rows[i]["frac_coords"], (-1, 3)),
            )
            for i in chosen
        ]
    )


def prototype_cells(n: int, atoms: tuple[int, int], seed: int) -> Crystals:
    """Cells of prototypes with so many atoms, for those who have no data folder."""
    many = prototypes(20 * n, seed)
    fitting = (many.n_atoms >= atoms[0]) & (many.n_atoms <= atoms[1])
    return many.take(np.flatnonzero(fitting)[:n])


def rattled(crystals: Crystals, angstrom: float, rng: np.random.Generator) -> Crystals:
    """Every Cartesian coordinate moved by a normal distribution of this width."""
    moves = rng.normal(0, angstrom, crystals.frac_coords.shape)
    inverse = np.linalg.inv(crystals.lattice)[crystals.crystal_index]
    return crystals.with_frac_coords(crystals.frac_coords + np.einsum("ai,aij->aj", moves, inverse))


def strained(crystals: Crystals, largest: float, rng: np.random.Generator) -> Crystals:
    """A symmetric strain a cell, each of its six components uniform up to the largest."""
    strain = rng.uniform(-largest, largest, (len(crystals), 3, 3))
    lower = np.tril(strain)
    symmetric = lower + np.swapaxes(np.tril(strain, -1), 1, 2)
    return crystals.with_lattice(crystals.lattice @ (np.eye(3) + symmetric))


def perturbations(crystals: Crystals, seed: int) -> dict[str, Crystals]:
    """The crystals themselves and five mild perturbations of them, by name."""
    rng = np.random.default_rng(seed)
    return {
        "relaxed": crystals,
        "rattled 0.05 Å": rattled(crystals, 0.05, rng),
        "rattled 0.1 Å": rattled(crystals, 0.1, rng),
        "strained up to 3 %": strained(crystals, 0.03, rng),
        "strained up to 5 %": strained(crystals, 0.05, rng),
        "volume 0.9 to 1.1": crystals.scale_volume(rng.uniform(0.9, 1.1, len(crystals))),
    }
