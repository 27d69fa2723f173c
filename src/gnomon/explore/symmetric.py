"""The symmetry of one crystal, its orbits, and what surrounds each kind of atom."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import spglib
from jaxtyping import Float64, Integer

from gnomon.crystals import Crystals
from gnomon.discover.placed import RELAXED_SYMPREC
from gnomon.elements import SYMBOLS, element_facts
from gnomon.structure.neighbors import neighbors
from gnomon.structure.symmetry import space_group_symbol

REACH = 6.0
"""Å within which neighbours are looked for."""

MOST_NEIGHBORS = 24
"""Neighbours of an atom that are looked at for a gap: no shell has more."""

MOST_SHELLS = 60
"""Inequivalent atoms whose surroundings are described."""

FEWEST_CORNERS, MOST_CORNERS = 4, 12
"""Of a polyhedron."""

LOOSE = 1.2
"""Electronegativity up to which an element only fills the space between polyhedra: Na, Ba, La."""

LEAST_PULL = 0.5
"""By which all neighbours are more electronegative than what a polyhedron is drawn around."""


@dataclass(frozen=True)
class Shell:
    """The nearest neighbours of one kind of atom.

    Attributes:
        element: in the middle.
        coordination: how many they are.
        distortion: of their distances.
        bonds: distances (Å) to each element.
        polyhedron: whether chemists draw one around it: all neighbours are more electronegative.
    """

    element: str
    coordination: int
    distortion: float | None
    bonds: dict[str, list[float]]
    polyhedron: bool


@dataclass(frozen=True, eq=False)
class Symmetric:
    """What follows from the symmetry of a crystal.

    Attributes:
        symmetry: of the space group; None where none was found.
        standard: the conventional cell, or the crystal itself.
        wyckoff: each orbit.
        shells: around one atom of each kind.
    """

    symmetry: dict[str, Any] | None
    standard: Crystals
    wyckoff: list[dict[str, Any]]
    shells: list[Shell]

    @property
    def volume(self) -> float:
        """Of the conventional cell, Å³."""
        return float(self.standard.volumes[0])

    @classmethod
    def of(cls, crystal: Crystals) -> Symmetric:
        """Of a batch of one."""
        lattice, numbers, frac = crystal.arrays(0)
        try:
            found = spglib.get_symmetry_dataset((lattice, frac, numbers), symprec=RELAXED_SYMPREC)
        except spglib.error.SpglibError:
            found = None
        if found is None:
            return cls(None, crystal, [], list(_shells(crystal, np.arange(len(numbers)))))
        said = {
            "number": int(found.number),
            "symbol": space_group_symbol(int(found.number)),
            "hall": found.hall,
            "point_group": found.pointgroup,
            "tolerance": RELAXED_SYMPREC,
        }
        standard = Crystals.single(found.std_lattice, found.std_types, found.std_positions)
        shells = list(_shells(crystal, found.crystallographic_orbits))
        return cls(said, standard, list(_wyckoff(found, numbers)), shells)


def _wyckoff(found: Any, numbers: Integer[np.ndarray, " atoms"]) -> Iterator[dict[str, Any]]:
    """Each orbit: element, multiplicity in the conventional cell, letter, symmetry, a position."""
    orbits = found.crystallographic_orbits
    _, firsts = np.unique(orbits, return_index=True)
    for first in firsts.tolist():
        primitive = found.mapping_to_primitive[first]
        images = np.flatnonzero(found.std_mapping_to_primitive == primitive)
        share = np.isin(
            found.std_mapping_to_primitive,
            found.mapping_to_primitive[orbits == orbits[first]],
        )
        yield {
            "element": SYMBOLS[int(numbers[first])],
            "multiplicity": int(share.sum()),
            "letter": found.wyckoffs[first],
            "site_symmetry": found.site_symmetry_symbols[first],
            "position": found.std_positions[images[0]].tolist(),
        }


def _shells(crystal: Crystals, kinds: Integer[np.ndarray, " atoms"]) -> Iterator[Shell]:
    """The nearest neighbours of one atom of each kind, as far as the largest gap."""
    near = neighbors(crystal, REACH, MOST_NEIGHBORS)
    _, firsts = np.unique(kinds, return_index=True)
    for first in firsts.tolist()[:MOST_SHELLS]:
        mine = np.flatnonzero(near.receivers == first)
        mine = mine[np.argsort(near.distances[mine], kind="stable")]
        mine = mine[: first_shell(near.distances[mine])]
        bonds: dict[str, list[float]] = {}
        for sender, distance in zip(near.senders[mine], near.distances[mine], strict=True):
            symbol = SYMBOLS[int(crystal.atomic_numbers[sender])]
            bonds.setdefault(symbol, []).append(round(float(distance), 4))
        symbol = SYMBOLS[int(crystal.atomic_numbers[first])]
        corners = FEWEST_CORNERS <= len(mine) <= MOST_CORNERS
        least = min(electronegativity(other) for other in bonds) if bonds else 0.0
        yield Shell(
            symbol,
            len(mine),
            distortion(near.distances[mine]),
            bonds,
            corners
            and electronegativity(symbol) > LOOSE
            and least - electronegativity(symbol) > LEAST_PULL,
        )


def electronegativity(symbol: str) -> float:
    """Of an element (Pauling)."""
    return float(element_facts(("X",))[SYMBOLS.index(symbol), 0])


def first_shell(distances: Float64[np.ndarray, " k"]) -> int:
    """How many of an atom's neighbours belong to its first shell.

    As far as the largest gap in reciprocal distances (Brunner, Acta Cryst. A 33, 226 (1977)).

    >>> first_shell(np.array([2.0, 2.0, 2.1, 3.4, 3.5]))
    3

    Args:
        distances: of its neighbours, rising, Å.
    """
    if len(distances) < 2:
        return len(distances)
    return int(np.argmax(1 / distances[:-1] - 1 / distances[1:])) + 1


def distortion(distances: Float64[np.ndarray, " k"]) -> float | None:
    """Mean of abs(l - mean) / mean of bond lengths l (Baur, Acta Cryst. B 30, 1195 (1974), eq. 1).

    >>> distortion(np.array([2.0, 2.0])), distortion(np.array([1.0, 3.0]))
    (0.0, 0.5)
    """
    if not len(distances):
        return None
    mean = distances.mean()
    return float(np.abs(distances - mean).mean() / mean)
