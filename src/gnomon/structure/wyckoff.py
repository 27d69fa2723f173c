"""Wyckoff positions of all space groups, derived from spglib's operations.

Points of a fine grid are sorted by their site symmetry.  All that share the operations which leave
them where they are, and the points, line or plane that those operations fix, are one position
(International Tables A, section 1.4.4); its images under the group belong to it too.  The grid of
1/16 (1/24 on hexagonal axes) holds every special point and a generic point of every line and plane;
numbers and dimensions of the positions found are those of the tables (``tests``).
"""

import itertools
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import spglib
from jaxtyping import Bool, Float64, Int64

from gnomon.structure.systems import HEXAGONAL, crystal_system

CENTRINGS = {
    "P": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "A": [[1, 0, 0], [0, 1 / 2, -1 / 2], [0, 1 / 2, 1 / 2]],
    "C": [[1 / 2, 1 / 2, 0], [-1 / 2, 1 / 2, 0], [0, 0, 1]],
    "I": [[-1 / 2, 1 / 2, 1 / 2], [1 / 2, -1 / 2, 1 / 2], [1 / 2, 1 / 2, -1 / 2]],
    "F": [[0, 1 / 2, 1 / 2], [1 / 2, 0, 1 / 2], [1 / 2, 1 / 2, 0]],
    "R": [[2 / 3, 1 / 3, 1 / 3], [-1 / 3, 1 / 3, 1 / 3], [-1 / 3, -2 / 3, 1 / 3]],
}
"""Rows: vectors of a primitive cell in units of the conventional one (R: obverse, hexagonal)."""


@dataclass(frozen=True, eq=False)
class WyckoffPosition:
    """One Wyckoff position; coordinates are those of the conventional cell.

    Attributes:
        multiplicity: points in the PRIMITIVE cell.
        freedom: coordinates that are free.
        point: one of its points.
        projector: onto its free directions: ``projector @ v + point - projector @ point`` is a
            point of the position whatever v is.
        rotations, translations: operations that make all points of the primitive cell out of one.
    """

    multiplicity: int
    freedom: int
    point: Float64[np.ndarray, " 3"]
    projector: Float64[np.ndarray, "3 3"]
    rotations: Int64[np.ndarray, "m 3 3"]
    translations: Float64[np.ndarray, "m 3"]


@dataclass(frozen=True, eq=False)
class SpaceGroup:
    """A space group in its standard setting.

    Attributes:
        number: international number.
        centred: number of lattice points in the conventional cell.
        primitive: rows are vectors of a primitive cell in units of the conventional one.
        positions: special ones first.
    """

    number: int
    centred: int
    primitive: Float64[np.ndarray, "3 3"]
    positions: tuple[WyckoffPosition, ...]


@cache
def space_group(number: int) -> SpaceGroup:
    """The space group of this international number: the first of spglib's settings.

    Raises:
        ValueError: if there is none.
    """
    if not 1 <= number <= 230:
        raise ValueError(f"space groups have numbers from 1 to 230, not {number}")
    hall = hall_number(number)
    symbol = spglib.get_spacegroup_type(hall).international_short
    found = spglib.get_symmetry_from_database(hall)
    grid = 24 if crystal_system(number) in HEXAGONAL else 16
    rotations = np.asarray(found["rotations"], np.int64)
    translations = np.rint(np.asarray(found["translations"]) * grid).astype(np.int64) % grid
    centring = translations[np.all(rotations == np.eye(3, dtype=np.int64), axis=(1, 2))]
    _, firsts = np.unique(rotations.reshape(len(rotations), 9), axis=0, return_index=True)
    group = _Group(grid, rotations[np.sort(firsts)], translations[np.sort(firsts)], centring)
    return SpaceGroup(
        number, len(centring), np.array(CENTRINGS[symbol[0]], dtype=np.float64), group.positions()
    )


def hall_number(number: int) -> int:
    """spglib's number of the setting of ``space_group``."""
    return _halls()[number]


@cache
def _halls() -> dict[int, int]:
    """spglib's number of the first setting of each space group (origin choice 2 where there is
    one: the centre of inversion lies at the origin)."""
    halls: dict[int, int] = {}
    for hall in range(1, 531):
        kind: Any = spglib.get_spacegroup_type(hall)
        if kind.number not in halls or (kind.choice == "2" and kind.number > 15):
            halls[int(kind.number)] = hall
    return halls


class _Group:
    """Operations on a grid: all coordinates are whole numbers of grid steps."""

    def __init__(
        self,
        grid: int,
        rotations: Int64[np.ndarray, "k 3 3"],
        translations: Int64[np.ndarray, "k 3"],
        centring: Int64[np.ndarray, "c 3"],
    ) -> None:
        self.grid, self.rotations, self.translations = grid, rotations, translations
        self.centring = centring
        self.points = np.indices((grid, grid, grid)).reshape(3, -1).T
        images = np.einsum("kij,pj->kpi", rotations, self.points) + translations[:, None]
        self.images = self._codes(images)
        self.fixed = self._codes(images - self.points) == 0

    def positions(self) -> tuple[WyckoffPosition, ...]:
        powers = np.uint64(1) << np.arange(len(self.rotations), dtype=np.uint64)
        stabilisers = np.where(self.fixed, powers[:, None], np.uint64(0)).sum(axis=0)
        open = np.ones(len(self.points), bool)
        found = []
        for p in np.argsort(-self.fixed.sum(axis=0), kind="stable").tolist():
            if not open[p]:
                continue
            position = self._position(p)
            found.append(position)
            if position.freedom == 3:
                break  # all that is left is general
            alike = np.flatnonzero(stabilisers == stabilisers[p])
            family = alike[self._parallel(p, alike, position.projector)]
            # codes are those of the first of the points that centring makes one
            open &= ~np.isin(self.images[0][:], self.images[:, family])
        return tuple(found)

    def _position(self, p: int) -> WyckoffPosition:
        stabiliser = self.rotations[self.fixed[:, p]]
        projector = stabiliser.mean(axis=0)
        _, firsts = np.unique(self.images[:, p], return_index=True)
        return WyckoffPosition(
            multiplicity=len(firsts),
            freedom=round(float(np.trace(projector))),
            point=self.points[p] / self.grid,
            projector=projector,
            rotations=self.rotations[np.sort(firsts)],
            translations=self.translations[np.sort(firsts)] / self.grid,
        )

    def _parallel(
        self, p: int, others: Int64[np.ndarray, " k"], projector: Float64[np.ndarray, "3 3"]
    ) -> Bool[np.ndarray, " k"]:
        """Which points lie in the point, line or plane of p, lattice vectors apart."""
        whole = np.array(list(itertools.product(range(-2, 3), repeat=3))) * self.grid
        lattice = (whole[:, None] + self.centring).reshape(-1, 3)
        away = np.eye(3) - projector
        apart = (self.points[others] - self.points[p]) @ away.T
        steps = lattice @ away.T
        return (np.abs(apart[:, None] - steps).max(axis=2) < 1e-6).any(axis=1)

    def _codes(self, points: Int64[np.ndarray, "... 3"]) -> Int64[np.ndarray, "..."]:
        """A number for each point, the same for points a lattice vector apart."""
        place = np.array([self.grid**2, self.grid, 1])
        codes = [(points + shift) % self.grid @ place for shift in self.centring]
        return np.min(codes, axis=0)
