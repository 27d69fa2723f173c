"""Crystals to and from the objects of pymatgen and ASE: converters at the edge, one at a time."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
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

    return [
        Structure(lattice, [SYMBOLS[z] for z in numbers], frac_coords)
        for lattice, numbers, frac_coords in map(crystals.arrays, range(len(crystals)))
    ]


def as_crystals(given: Any) -> Crystals:
    """Crystals of whatever holds crystals: the one way in from Python.

    Oxidation states and isotopes are stripped.

    Args:
        given: ``Crystals``, a pymatgen ``Structure``, an ASE ``Atoms``, or several of them in any
            iterable, kinds mixed.

    Raises:
        InputError: for anything else, a disordered site, a dummy atom, an open direction or a flat
            cell, naming the index.
    """
    if isinstance(given, Crystals):
        return given
    if _content_of(given) is not None:
        return _crystals(given, f"the {type(given).__name__}")
    if isinstance(given, str | bytes | Path | Mapping) or not isinstance(given, Iterable):
        raise InputError(
            f"a {type(given).__name__} holds no crystals: give Crystals, a pymatgen Structure, an "
            "ASE Atoms or a list of them (files are read by gnomon.read)"
        )
    parts = [_crystals(one, f"{type(one).__name__} {i}") for i, one in enumerate(given)]
    return Crystals.concatenate(parts)


def like(crystals: Crystals, given: Any) -> Any:
    """The crystals as what ``given`` is: the way back from ``as_crystals``.

    ``Crystals`` for ``Crystals``, one ``Structure`` or ``Atoms`` for one, and a list, each entry of
    its own kind, for several.

    Args:
        crystals: as many as ``as_crystals(given)`` holds, in the same order.
        given: what the caller gave.

    Raises:
        InputError: if the numbers of crystals differ.
    """
    if isinstance(given, Crystals):
        return crystals
    one = _content_of(given) is not None
    each = [given] if one else list(given)
    sizes = [len(part) if isinstance(part, Crystals) else 1 for part in each]
    if sum(sizes) != len(crystals):
        raise InputError(f"{len(crystals)} crystals for the {sum(sizes)} that were given")
    ends = np.cumsum(sizes).tolist()
    parts = [
        _like(crystals[end - size : end], part)
        for part, end, size in zip(each, ends, sizes, strict=True)
    ]
    return parts[0] if one else parts


def to_ase(crystals: Crystals) -> list[Any]:
    """An ``ase.Atoms``, periodic along a, b and c, for each crystal."""
    from ase import Atoms

    return [
        Atoms(numbers, cell=lattice, scaled_positions=frac_coords, pbc=True)
        for lattice, numbers, frac_coords in map(crystals.arrays, range(len(crystals)))
    ]


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


def _content_of(one: Any) -> Callable[[Any], Content] | None:
    """What reads an object, told by its attributes: neither library is loaded to find out."""
    if hasattr(one, "lattice") and hasattr(one, "sites"):
        return structure_content
    return atoms_content if hasattr(one, "cell") and hasattr(one, "pbc") else None


def _crystals(one: Any, name: str) -> Crystals:
    if isinstance(one, Crystals):
        return one
    content_of = _content_of(one)
    if content_of is None:
        raise InputError(f"{name} is neither Crystals nor a Structure or Atoms")
    try:
        found = content_of(one)
        return Crystals.single(found.lattice, found.atomic_numbers, found.frac_coords)
    except ValueError as error:
        raise InputError(
            f"{name} is no crystal ({error}); leave it out or make it ordered and periodic"
        ) from error


def _like(crystals: Crystals, given: Any) -> Any:
    if isinstance(given, Crystals):
        return crystals
    return (to_pymatgen if _content_of(given) is structure_content else to_ase)(crystals)[0]
