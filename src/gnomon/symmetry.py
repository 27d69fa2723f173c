"""Symmetry of crystals, through spglib: primitive and Niggli cells, space groups, canonical cells.

Everything here is geometry of one crystal at a time; spglib does the finding.
"""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import spglib
from jaxtyping import Float64, Int64, Shaped

from gnomon.crystals import Crystals

SYMPREC = 0.01
"""Default tolerance in Å below which two positions count as equivalent (pymatgen's default)."""

GRID = 1e-3
"""Step to which canonical cells are rounded: in Å for the lattice, fractional for coordinates."""


class SymmetryError(ValueError):
    """spglib found no symmetry: as a rule two atoms sit within the tolerance of each other."""


def space_groups(crystals: Crystals, symprec: float = SYMPREC) -> Int64[np.ndarray, " n"]:
    """International space group number (1 to 230) of each crystal, 0 where spglib finds none."""
    numbers = np.zeros(len(crystals), np.int64)
    for i in range(len(crystals)):
        dataset = _ask(spglib.get_symmetry_dataset, crystals, i, symprec=symprec)
        numbers[i] = 0 if dataset is None else dataset.number
    return numbers


def space_group_symbol(number: int) -> str:
    """Hermann-Mauguin symbol of a space group number: 225 → ``Fm-3m``."""
    from pymatgen.symmetry.groups import sg_symbol_from_int_number  # noqa: PLC0415

    return str(sg_symbol_from_int_number(number))


def primitive(crystals: Crystals, symprec: float = SYMPREC) -> Crystals:
    """Primitive cells, positions and lattice as given (not idealised).

    Raises:
        SymmetryError: where spglib finds no primitive cell.
    """
    cells = []
    for i in range(len(crystals)):
        cell = _ask(
            spglib.standardize_cell,
            crystals,
            i,
            to_primitive=True,
            no_idealize=True,
            symprec=symprec,
        )
        if cell is None:
            raise SymmetryError(
                f"no primitive cell of {crystals.reduced_formulas[i]} within {symprec} Å: "
                "are two atoms on top of each other?"
            )
        lattice, frac_coords, numbers = cell
        cells.append(Crystals.single(lattice, numbers, frac_coords))
    return Crystals.concatenate(cells)


def niggli(crystals: Crystals) -> Crystals:
    """The same crystals in Niggli-reduced cells: the shortest, most orthogonal basis.

    Raises:
        SymmetryError: where the reduction does not end (a cell of almost no volume).
    """
    bases = [_reduce(lattice) for lattice in crystals.lattice]
    reduced = np.array(bases).reshape(-1, 3, 3)
    transform = crystals.lattice @ np.linalg.inv(reduced)
    frac = np.einsum("ai,aij->aj", crystals.frac_coords, transform[crystals.crystal_index])
    return crystals.with_lattice(reduced).with_frac_coords(frac).wrap()


def canonical(crystals: Crystals, symprec: float = SYMPREC) -> Crystals:
    """One fixed way to write each crystal, whatever cell, origin, order or orientation it came in.

    The primitive cell is Niggli-reduced; among all bases with the same metric, all origins on an
    atom of the rarest element, the one whose rounded coordinates come first in order is taken.
    Mirror images come out alike: they have the same energy.  Numbers are rounded to ``GRID``, so
    equal crystals get equal ids; crystals that differ by about ``GRID`` may or may not.

    Raises:
        SymmetryError: where spglib finds no primitive cell.
    """
    reduced = niggli(primitive(crystals, symprec))
    return Crystals.concatenate([_canonical_one(*reduced.arrays(i)) for i in range(len(reduced))])


def canonical_ids(crystals: Crystals, symprec: float = SYMPREC) -> Shaped[np.ndarray, " n"]:
    """Ids of the canonical cells: equal for the same crystal in any cell (array of str objects).

    A crystal in which spglib finds no symmetry keeps the id of its own numbers.
    """
    ids = []
    for one in crystals:
        try:
            ids.append(canonical(one, symprec).ids[0])
        except SymmetryError:
            ids.append(one.ids[0])
    return np.array(ids, dtype=object)


def _ask(function: Callable[..., Any], crystals: Crystals, i: int, **options: Any) -> Any:
    """spglib's answer, None where it fails (its old and its new way of failing)."""
    lattice, numbers, frac_coords = crystals.arrays(i)
    try:
        return function((lattice, frac_coords, numbers), **options)
    except spglib.error.SpglibError:
        return None


def _reduce(lattice: Float64[np.ndarray, "3 3"]) -> Float64[np.ndarray, "3 3"]:
    try:
        reduced = spglib.niggli_reduce(lattice, eps=1e-5)
    except spglib.error.SpglibError:
        reduced = None
    if reduced is None:
        raise SymmetryError(f"no Niggli cell of the lattice {lattice.tolist()}")
    return np.asarray(reduced, dtype=np.float64)


_UNIMODULAR = np.array(
    [
        m
        for m in itertools.product((-1, 0, 1), repeat=9)
        if abs(round(np.linalg.det(np.array(m).reshape(3, 3)))) == 1
    ]
).reshape(-1, 3, 3)
