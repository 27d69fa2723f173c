"""Random cells with symmetry: a space group, Wyckoff positions for the atoms, free numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from gnomon.crystals import Crystals
from gnomon.structure.cells import lattice_of
from gnomon.structure.systems import whole_cell
from gnomon.structure.wyckoff import SpaceGroup, WyckoffPosition, space_group

FILLINGS = 4
"""Attempts to fill a space group before another one is drawn."""

ASPECT = 2.0
"""Longest over shortest axis of a drawn cell, at most."""

ANGLES = (60.0, 120.0)
"""Bounds of free angles, degrees."""

FLAT = 0.2
"""Least volume of a cell over the product of its lengths."""


@dataclass(frozen=True, eq=False)
class Draft:
    """A random cell before its atoms are pushed apart.

    Attributes:
        space_group: international number.
        crystal: its primitive cell, atoms orbit by orbit (a batch of one).
    """

    space_group: int
    crystal: Crystals


def draft(
    counts: Mapping[int, int], volume: float, groups: Sequence[int], rng: np.random.Generator
) -> Draft:
    """A cell with so many atoms of each element (by atomic number) in a volume (Å^3).

    Space groups are drawn with equal odds until one can hold the atoms on its Wyckoff positions;
    P1 can hold any.

    Args:
        counts: atoms in the primitive cell.
        volume: of the primitive cell, Å^3.
        groups: international numbers to draw from; 1 is tried when none of 1,000 fits.
        rng: source of all choices.
    """
    for number in rng.choice(np.asarray(groups), 1000).tolist():
        group = space_group(number)
        for _ in range(FILLINGS):
            orbits = _filled(group, counts, rng)
            if orbits is not None:
                return _placed(group, orbits, volume, rng)
    group = space_group(1)
    general = group.positions[-1]
    return _placed(group, [(z, general) for z, n in counts.items() for _ in range(n)], volume, rng)


def _filled(
    group: SpaceGroup, counts: Mapping[int, int], rng: np.random.Generator
) -> list[tuple[int, WyckoffPosition]] | None:
    """Positions drawn for every element, or None where the last atoms find none.

    A position without freedom is a set of points: it holds one orbit.
    """
    free = list(range(len(group.positions)))
    multiplicities = [position.multiplicity for position in group.positions]
    orbits = []
    for z, count in counts.items():
        left = count
        while left:
            options = [k for k in free if multiplicities[k] <= left]
            if not options:
                return None
            k = options[int(rng.random() * len(options))]
            left -= multiplicities[k]
            orbits.append((z, group.positions[k]))
            if group.positions[k].freedom == 0:
                free.remove(k)
    return orbits


def _placed(
    group: SpaceGroup,
    orbits: Sequence[tuple[int, WyckoffPosition]],
    volume: float,
    rng: np.random.Generator,
) -> Draft:
    to_primitive = np.linalg.inv(group.primitive)
    numbers, coordinates = [], []
    for z, position in orbits:
        point = position.projector @ (rng.random(3) - position.point) + position.point
        coordinates.append(position.rotations @ point + position.translations)
        numbers += [z] * position.multiplicity
    lattice = group.primitive @ random_lattice(group.number, rng)
    lattice *= np.cbrt(volume / abs(np.linalg.det(lattice)))
    frac = np.concatenate(coordinates) @ to_primitive
    return Draft(group.number, Crystals.single(lattice, numbers, frac - np.floor(frac)))


def random_lattice(number: int, rng: np.random.Generator) -> Float64[np.ndarray, "3 3"]:
    """A conventional cell of the space group's family, of any size.

    Lengths are uniform in their logarithms up to a ratio of ``ASPECT``, free angles uniform within
    ``ANGLES``; those of less than ``FLAT`` of the volume of a right one are drawn again.
    """
    while True:
        drawn = np.concatenate([ASPECT ** rng.random(3), rng.uniform(*ANGLES, 3)])
        cell = whole_cell(number, drawn)
        cosines = np.cos(np.radians(cell[3:]))
        if 1 - cosines @ cosines + 2 * cosines.prod() > FLAT**2:
            return lattice_of(cell)
