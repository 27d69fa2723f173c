"""Symmetry of crystals, through spglib: primitive and Niggli cells, space groups, canonical cells.

Everything here is geometry of one crystal at a time; spglib does the finding.
"""

import itertools
import os
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import spglib
from jaxtyping import Float64, Int64, Shaped, UInt8

from gnomon.crystals import Crystals
from gnomon.structure.wyckoff import hall_number

os.environ.setdefault("SPGLIB_WARNING", "OFF")  # dozens of lines; ``SymmetryError`` says it in one

SYMPREC = 0.01
"""Default tolerance in Å below which two positions count as equivalent (pymatgen's default)."""

STEPS = 1000
"""Steps a lattice vector is divided into where canonical coordinates are rounded."""

GRID = 1.0 / STEPS
"""Step to which canonical cells are rounded: in Å for the lattice, fractional for coordinates."""

NIGGLI_TOLERANCES = (1e-5, 1e-6, 1e-4)
"""Of spglib's reduction, tried in this order: a few lattices go in circles at one of them."""


class SymmetryError(ValueError):
    """spglib found no symmetry: as a rule two atoms sit within the tolerance of each other."""


def space_groups(crystals: Crystals, symprec: float = SYMPREC) -> Int64[np.ndarray, " n"]:
    """International space group number (1 to 230) of each crystal, 0 where spglib finds none."""
    numbers = np.zeros(len(crystals), np.int64)
    for i in range(len(crystals)):
        dataset = _ask(spglib.get_symmetry_dataset, _cell(crystals, i), symprec=symprec)
        numbers[i] = 0 if dataset is None else dataset.number
    return numbers


def operations(
    crystals: Crystals, symprec: float = SYMPREC
) -> list[tuple[Int64[np.ndarray, "k 3 3"], Float64[np.ndarray, "k 3"]]]:
    """Rotations R and translations t of each crystal's space group, for columns of fractions.

    ``R @ f + t`` takes an atom at f to an equal one; the identity alone where spglib finds none.
    """
    found = []
    for i in range(len(crystals)):
        symmetry = _ask(spglib.get_symmetry, _cell(crystals, i), symprec=symprec)
        if symmetry is None:
            found.append((np.eye(3, dtype=np.int64)[None], np.zeros((1, 3))))
            continue
        rotations = np.asarray(symmetry["rotations"], dtype=np.int64)
        found.append((rotations, np.asarray(symmetry["translations"], dtype=np.float64)))
    return found


def asymmetric(crystal: Crystals, symprec: float = SYMPREC) -> list[int]:
    """The first atom of each set of equivalent atoms of one crystal; all where none is found."""
    dataset = _ask(spglib.get_symmetry_dataset, _cell(crystal, 0), symprec=symprec)
    if dataset is None:
        return list(range(int(crystal.n_atoms[0])))
    return sorted({int(i) for i in dataset.equivalent_atoms})


def space_group_symbol(number: int) -> str:
    """Short Hermann-Mauguin symbol of a space group number: 225 → ``Fm-3m``, 14 → ``P2_1/c``."""
    return str(spglib.get_spacegroup_type(hall_number(number)).international_short)


def primitive(crystals: Crystals, symprec: float = SYMPREC) -> Crystals:
    """Primitive cells, positions and lattice as given (not idealised).

    Raises:
        SymmetryError: where spglib finds no primitive cell.
    """
    cells = []
    for i in range(len(crystals)):
        cell = _standard(crystals, i, symprec, no_idealize=True)
        if cell is None:
            raise SymmetryError(
                f"no primitive cell of {crystals.reduced_formulas[i]} within {symprec} Å: "
                "are two atoms on top of each other?"
            )
        cells.append(cell)
    return Crystals.concatenate(cells)


def idealised(crystals: Crystals, symprec: float = SYMPREC) -> Crystals:
    """Primitive cells whose lattice and positions obey their space group exactly.

    Nothing moves by more than the tolerance.  A relaxation leaves noise that hides the symmetry
    from codes with narrower tolerances, which then take every k-point for its own.  A crystal in
    which spglib finds no symmetry stays as it is.
    """
    found = [_standard(crystals, i, symprec) for i in range(len(crystals))]
    return Crystals.concatenate(
        [crystals[i] if cell is None else cell for i, cell in enumerate(found)]
    )


def conventional(crystals: Crystals, symprec: float = SYMPREC) -> Crystals:
    """Idealised conventional cells in the standard setting of International Tables.

    A crystal in which spglib finds no symmetry stays as it is.
    """
    found = [_standard(crystals, i, symprec, to_primitive=False) for i in range(len(crystals))]
    return Crystals.concatenate(
        [crystals[i] if cell is None else cell for i, cell in enumerate(found)]
    )


def niggli(crystals: Crystals) -> Crystals:
    """The same crystals in Niggli-reduced cells: the shortest, most orthogonal basis.

    Raises:
        SymmetryError: where the reduction does not end (a cell of almost no volume).
    """
    bases = [_reduce(lattice) for lattice in crystals.lattice]
    reduced = np.array(bases, dtype=np.float64).reshape(-1, 3, 3)
    transform = crystals.lattice @ np.linalg.inv(reduced)
    frac = np.einsum("ai,aij->aj", crystals.frac_coords, transform[crystals.crystal_index])
    return crystals.with_lattice(reduced).with_frac_coords(frac).wrap()


def canonical(crystals: Crystals, symprec: float = SYMPREC) -> Crystals:
    """One fixed way to write each crystal, whatever cell, origin, order or orientation it came in.

    The primitive cell is Niggli-reduced.  Among all bases that transform into each other by
    integers of -1, 0 and 1 (which joins any two reduced bases of a lattice), the shortest one is
    taken, and among the bases that tie and all origins on an atom of the rarest element, the one
    whose coordinates come first in order.  The lattice is written with a along x and b in the xy
    plane.  Mirror images come out alike: they have the same energy.

    Raises:
        SymmetryError: where spglib finds no primitive cell.
    """
    reduced = niggli(primitive(crystals, symprec))
    return Crystals.concatenate([_canonical_one(*reduced.arrays(i)) for i in range(len(reduced))])


def canonical_ids(crystals: Crystals, symprec: float = SYMPREC) -> Shaped[np.ndarray, " n"]:
    """Ids of the canonical cells: equal for the same crystal in any cell (array of str objects).

    The canonical cell is rounded to ``GRID`` first, so crystals that differ by much less than that
    share an id, and crystals that differ by about as much may or may not.  A crystal in which
    spglib finds no symmetry keeps the id of its own numbers.
    """
    ids = []
    for one in crystals:
        try:
            cell = canonical(one, symprec)
        except SymmetryError:
            ids.append(one.ids[0])
            continue
        lattice, numbers, frac_coords = cell.arrays(0)
        rounded = Crystals.single(
            _steps(lattice) * GRID, numbers, _steps(frac_coords) % STEPS / STEPS
        )
        ids.append(rounded.ids[0])
    return np.array(ids, dtype=object)


def _ask(function: Callable[..., Any], subject: Any, **options: Any) -> Any:
    """spglib's answer, None where it fails."""
    with warnings.catch_warnings():
        # spglib 2 announces an error style of its next release at every call
        warnings.filterwarnings("ignore", message="Set OLD_ERROR_HANDLING")
        try:
            return function(subject, **options)
        except spglib.error.SpglibError:
            return None


def _standard(crystals: Crystals, i: int, symprec: float, **options: bool) -> Crystals | None:
    """spglib's standard cell of crystal i, primitive unless asked, None where it finds none."""
    options = {"to_primitive": True} | options
    cell = _ask(spglib.standardize_cell, _cell(crystals, i), symprec=symprec, **options)
    if cell is None:
        return None
    lattice, frac_coords, numbers = cell
    return Crystals.single(lattice, numbers, frac_coords)


def _cell(
    crystals: Crystals, i: int
) -> tuple[
    Float64[np.ndarray, "3 3"], Float64[np.ndarray, "atoms_i 3"], UInt8[np.ndarray, " atoms_i"]
]:
    """Crystal i in spglib's order of arguments."""
    lattice, numbers, frac_coords = crystals.arrays(i)
    return lattice, frac_coords, numbers


def _reduce(lattice: Float64[np.ndarray, "3 3"]) -> Float64[np.ndarray, "3 3"]:
    for eps in NIGGLI_TOLERANCES:
        reduced = _ask(spglib.niggli_reduce, lattice, eps=eps)
        if reduced is not None:
            return np.asarray(reduced, dtype=np.float64)
    raise SymmetryError(f"no Niggli cell of the lattice {lattice.tolist()}")


@cache
def _unimodular() -> Int64[np.ndarray, "m 3 3"]:
    """All 6,960 integer matrices of entries -1, 0, 1 and determinant +1 or -1."""
    every = np.array(list(itertools.product((-1, 0, 1), repeat=9)), np.int64).reshape(-1, 3, 3)
    return every[np.abs(np.rint(np.linalg.det(every))) == 1]


def _canonical_one(
    lattice: Float64[np.ndarray, "3 3"],
    numbers: UInt8[np.ndarray, " atoms"],
    frac_coords: Float64[np.ndarray, "atoms 3"],
) -> Crystals:
    bases = _shortest_bases(lattice)
    elements, counts = np.unique(numbers, return_counts=True)
    rarest = elements[np.argmin(counts)]  # of equals, the one of lowest atomic number
    frac = np.einsum("ai,bij->baj", frac_coords, np.linalg.inv(bases))
    shifted = frac[:, None, :, :] - frac[:, numbers == rarest, :][:, :, None, :]
    shifted = shifted.reshape(-1, len(numbers), 3)
    steps = _steps(shifted) % STEPS
    keys = ((numbers.astype(np.int64) * STEPS + steps[..., 0]) * STEPS + steps[..., 1]) * STEPS
    keys = keys + steps[..., 2]
    order = np.argsort(keys, axis=1)
    best = np.lexsort(np.take_along_axis(keys, order, axis=1).T[::-1])[0]
    basis = bases[best // int(counts.min())]
    metric = basis @ lattice @ lattice.T @ basis.T
    return Crystals.single(
        np.linalg.cholesky(metric), numbers[order[best]], shifted[best][order[best]]
    ).wrap()


def _shortest_bases(lattice: Float64[np.ndarray, "3 3"]) -> Int64[np.ndarray, "b 3 3"]:
    """Changes of basis to the shortest bases; several where the lattice has symmetry."""
    unimodular = _unimodular()
    metrics = np.einsum("mij,jk,mlk->mil", unimodular, lattice @ lattice.T, unimodular)
    lengths = np.sqrt(metrics[:, [0, 1, 2], [0, 1, 2]])
    cosines = metrics[:, [0, 0, 1], [1, 2, 2]] / lengths[:, [0, 0, 1]] / lengths[:, [1, 2, 2]]
    keys = np.concatenate([_steps(lengths), -_steps(cosines)], axis=1)
    first = keys[np.lexsort(keys.T[::-1])[0]]
    return unimodular[np.all(keys == first, axis=1)]


def _steps(values: Float64[np.ndarray, "..."]) -> Int64[np.ndarray, "..."]:
    """Values in steps of ``GRID``.

    The steps begin at 1/e of a step and not at a half, where 1/16 and other special positions lie:
    those must not fall to either side by the last digit of a float.
    """
    return np.floor(values / GRID + (1 - np.exp(-1))).astype(np.int64)
