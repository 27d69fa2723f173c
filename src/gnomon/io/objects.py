"""Crystals to and from the objects of pymatgen and ASE: converters at the edge, one at a time."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from gnomon.crystals import Crystals
from gnomon.elements import SYMBOLS, atomic_number
from gnomon.io.reasons import InputError, Reason, UnusableError
from gnomon.io.records import Content, Facts, fractional

OCCUPANCY_TOLERANCE = 1e-3
"""A site occupied to within this of 1 is full: refinements print three digits."""

HYDROGEN_ISOTOPES = {"D": "H", "T": "H"}
"""Isotopes are read as their element: their energies in the Born-Oppenheimer sense are equal."""


def to_pymatgen(crystals: Crystals) -> list[Any]:
    """A ``pymatgen.core.Structure`` for each crystal, with its numbers unchanged."""
    from pymatgen.core import Structure

    structures = []
    for i in range(len(crystals)):
        lattice, numbers, frac_coords = crystals.arrays(i)
        symbols = [SYMBOLS[z] for z in numbers]
        structures.append(Structure(lattice, symbols, frac_coords))
    return structures


def from_pymatgen(structures: Iterable[Any]) -> Crystals:
    """Crystals of several ``Structure``; oxidation states and isotopes are stripped.

    Raises:
        InputError: for a disordered site, a dummy species or an open direction, naming the index.
    """
    if hasattr(structures, "lattice"):
        raise InputError("from_pymatgen takes a list of structures: write from_pymatgen([...])")
    return _collect([partial(structure_content, s) for s in structures], "structure")


def to_ase(crystals: Crystals) -> list[Any]:
    """An ``ase.Atoms``, periodic along a, b and c, for each crystal."""
    from ase import Atoms

    atoms = []
    for i in range(len(crystals)):
        lattice, numbers, frac_coords = crystals.arrays(i)
        atoms.append(Atoms(numbers, cell=lattice, scaled_positions=frac_coords, pbc=True))
    return atoms


def from_ase(atoms: Iterable[Any]) -> Crystals:
    """Crystals of several ``ase.Atoms``.

    Raises:
        InputError: for atoms without a cell, an open direction or a dummy atom, naming the index.
    """
    if hasattr(atoms, "cell"):
        raise InputError("from_ase takes a list of Atoms: write from_ase([...])")
    return _collect([partial(atoms_content, a) for a in atoms], "Atoms")


def structure_content(
    structure: Any, source_id: str | None = None, facts: Facts | None = None
) -> Content:
    """What a pymatgen ``Structure`` says, species stripped to their elements.

    Raises:
        UnusableError: with the reason for which it is no crystal.
    """
    if not all(structure.lattice.pbc):
        raise UnusableError(Reason.missing_lattice, f"periodic along {structure.lattice.pbc} only")
    species = [[(str(s.symbol), float(n)) for s, n in site.species.items()] for site in structure]
    return Content(
        np.array(structure.lattice.matrix, np.float64),
        np.array([site_number(site) for site in species], np.int64),
        np.array(structure.frac_coords, np.float64).reshape(-1, 3),
        source_id,
        facts or Facts(),
    )


def atoms_content(atoms: Any, source_id: str | None = None, facts: Facts | None = None) -> Content:
    """What an ``ase.Atoms`` says.

    Raises:
        UnusableError: with the reason for which it is no crystal.
    """
    lattice = np.array(atoms.cell, np.float64)
    if not (np.all(atoms.pbc) and lattice.any(axis=1).all()):
        raise UnusableError(Reason.missing_lattice, "no cell vector, or an open direction")
    numbers = np.array(atoms.numbers, np.int64)
    if (numbers < 1).any():
        raise UnusableError(Reason.unknown_element, "a dummy atom 'X'")
    frac_coords = fractional(lattice, atoms.positions)
    return Content(lattice, numbers, frac_coords, source_id, facts or Facts())


def site_number(occupants: Sequence[tuple[str, float]]) -> int:
    """Atomic number of the one element that fills a site, from (symbol, occupancy) pairs.

    Raises:
        UnusableError: for a shared or partly empty site, or a symbol that names no element.
    """
    if len(occupants) != 1 or not abs(occupants[0][1] - 1) <= OCCUPANCY_TOLERANCE:
        shares = ", ".join(f"{symbol} {share:g}" for symbol, share in occupants)
        raise UnusableError(Reason.partial_occupancy, f"a site holds {shares or 'nothing'}")
    return element_number(occupants[0][0])


def element_number(symbol: str) -> int:
    """Atomic number of a symbol, deuterium and tritium counted as hydrogen.

    Raises:
        UnusableError: if it names no element.
    """
    try:
        return atomic_number(HYDROGEN_ISOTOPES.get(symbol, symbol))
    except ValueError as error:
        raise UnusableError(Reason.unknown_element, str(error)) from error


def _collect(makers: Sequence[Callable[[], Content]], what: str) -> Crystals:
    contents = []
    for i, make in enumerate(makers):
        try:
            contents.append(make())
        except UnusableError as error:
            raise InputError(
                f"{what} {i} is no crystal ({error}); leave it out or make it ordered and periodic"
            ) from error
    if not contents:
        return Crystals.empty()
    return Crystals(
        np.stack([c.lattice for c in contents]),
        np.concatenate([c.atomic_numbers for c in contents]),
        np.concatenate([c.frac_coords for c in contents]),
        np.cumsum([0, *(len(c.atomic_numbers) for c in contents)]),
    )
