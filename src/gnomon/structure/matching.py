"""The exact comparison of two crystals: what pymatgen's ``StructureMatcher.fit`` answers, faster.

The method is that of Ong et al., Comput. Mater. Sci. 68, 314 (2013): primitive cells of equal
volume are the same if some basis of the first lattice is close to the basis of the second, and
some translation then brings each atom close to an equal one.  The answer is the same as pymatgen's
(a property test says so); the time goes elsewhere: cells are reduced once for each crystal
(``cells``), all bases of a pair are found and measured at once in arrays, and no objects are made.
The search for close atoms is pymatgen's compiled one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float64, Int64

from gnomon.crystals import Crystals
from gnomon.structure.cells import Cell, cell_parameters, comparable_cells

DIGITS = 9
"""Lattices that agree to so many decimals, as those of a symmetry do, are made once."""


@dataclass(frozen=True)
class Matcher:
    """Tolerances of the comparison; the defaults are pymatgen's.

    Attributes:
        length: of lattice vectors, relative.
        site: of positions, as a fraction of (volume / atoms)^(1/3).
        angle: of lattice angles, degrees.
    """

    length: float = 0.2
    site: float = 0.3
    angle: float = 5.0

    def on(self, crystals: Crystals) -> Callable[[int, int], bool]:
        """The test whether crystals i and j of a batch are the same.

        It is not symmetric, as pymatgen's is not: give the earlier crystal first.
        """
        cells = comparable_cells(crystals)

        def same(i: int, j: int) -> bool:
            return self.fits(cells[i], cells[j])

        return same

    def fits(self, one: Cell, other: Cell) -> bool:
        """Whether two comparable cells are of the same crystal."""
        if one.composition != other.composition:
            return False
        bases = close_bases(one, other, self.length, self.angle)
        if not len(bases):
            return False
        differ = other.atomic_numbers[:, None] != one.atomic_numbers
        return any(distance < self.site for distance in self._distances(one, other, bases, differ))

    def _distances(
        self,
        one: Cell,
        other: Cell,
        bases: Int64[np.ndarray, "k 3 3"],
        differ: Bool[np.ndarray, "atoms atoms"],
    ) -> Iterator[float]:
        """Largest displacement for each basis and translation that brings all atoms near.

        Translations put an atom of the rarest element on each of its kind, lattices are averaged.
        """
        from pymatgen.util.coord_cython import is_coord_subset_pbc

        fixed = int(np.argmax(differ.sum(axis=1)))
        kin = np.flatnonzero(~differ[fixed])
        mask = differ.astype(np.int64)
        frac = one.frac_coords @ np.linalg.inv(bases)
        frac -= np.floor(frac)
        average = (cell_parameters(bases @ one.lattice) + other.parameters) / 2
        tolerance = _fractional(average, len(mask), self.site)
        shifts = frac[:, kin] - other.frac_coords[fixed]
        measured: dict[bytes, _Average] = {}
        for k, key in enumerate(np.round(average, DIGITS)):
            for shift in shifts[k]:
                moved = other.frac_coords + shift
                if not is_coord_subset_pbc(moved, frac[k], tolerance[k], mask):
                    continue
                name = key.tobytes()
                if name not in measured:
                    measured[name] = _Average(average[k], len(mask), self.site)
                yield measured[name].displacement(moved, frac[k], mask)


def close_bases(one: Cell, other: Cell, length: float, angle: float) -> Int64[np.ndarray, "k 3 3"]:
    """Bases of the first lattice whose lengths and angles are close to those of the second cell.

    Rows are basis vectors in units of the first cell's.

    Args:
        one: its lattice.
        other: its basis.
        length: relative tolerance of lengths.
        angle: degrees.
    """
    lengths, angles = other.parameters[:3], other.parameters[3:]
    reach = lengths.max() * (1 + length)
    points = _grid(*np.floor(reach * one.reciprocal_lengths + 1e-8).astype(int).tolist())
    cart = points @ one.lattice
    norms = np.sqrt(np.einsum("pi,pi->p", cart, cart))
    ratio = norms[:, None] / lengths
    chosen = [
        np.flatnonzero(near) for near in ((ratio < 1 + length) & (ratio > 1 / (1 + length))).T
    ]
    unit = [cart[rows] / norms[rows, None] for rows in chosen]

    def close(p: int, q: int, expected: float) -> Bool[np.ndarray, "a b"]:
        between = np.degrees(np.arccos(np.clip(unit[p] @ unit[q].T, -1, 1)))
        return np.abs(between - expected) <= angle

    alpha, beta, gamma = close(1, 2, angles[0]), close(0, 2, angles[1]), close(0, 1, angles[2])
    a, b = np.nonzero(gamma)
    pair, c = np.nonzero(beta[a] & alpha[b])
    rows = np.stack([chosen[0][a[pair]], chosen[1][b[pair]], chosen[2][c]], axis=1)
    bases = points[rows]
    return bases[np.abs(np.rint(np.linalg.det(bases))) == 1]


@lru_cache(maxsize=256)
def _grid(i: int, j: int, k: int) -> Int64[np.ndarray, "points 3"]:
    """Integer vectors but 0 with entries up to these, of either sign."""
    points = np.indices((2 * i + 1, 2 * j + 1, 2 * k + 1)).reshape(3, -1).T - (i, j, k)
    return np.delete(points, len(points) // 2, axis=0)


def _fractional(
    parameters: Float64[np.ndarray, "k 6"], atoms: int, site: float
) -> Float64[np.ndarray, "k 3"]:
    """Fractional distances along each axis that a displacement within ``site`` stays within.

    The factor 2 is pymatgen's: moving all atoms by the mean displacement comes later.
    """
    lengths, cosines = parameters[:, :3], np.cos(np.radians(parameters[:, 3:]))
    metric = lengths[:, :, None] * lengths[:, None, :]
    for (i, j), cosine in zip(((1, 2), (0, 2), (0, 1)), cosines.T, strict=True):
        metric[:, i, j] *= cosine
        metric[:, j, i] *= cosine
    volume = np.sqrt(np.linalg.det(metric))
    planes = np.sqrt(np.linalg.inv(metric)[:, [0, 1, 2], [0, 1, 2]])
    return 2 * site * planes * np.cbrt(volume / atoms)[:, None]


class _Average:
    """The mean of two cells, on which distances are measured."""

    def __init__(self, parameters: Float64[np.ndarray, " 6"], atoms: int, site: float) -> None:
        from pymatgen.core import Lattice

        self._lattice = Lattice.from_parameters(*parameters.tolist())
        reduced = self._lattice.lll_matrix
        self._unit = np.cbrt(abs(np.linalg.det(reduced)) / atoms)
        self._tolerance = 2 * site * self._unit * np.linalg.norm(np.linalg.inv(reduced), axis=0)

    def displacement(
        self,
        moved: Float64[np.ndarray, "atoms 3"],
        frac: Float64[np.ndarray, "atoms 3"],
        mask: Int64[np.ndarray, "atoms atoms"],
    ) -> float:
        """Largest distance of paired atoms after the best translation, over (volume / atoms)^(1/3).

        Pairs have the least sum of squares; atoms too far apart cannot be paired (1e20).
        """
        from pymatgen.util.coord_cython import pbc_shortest_vectors
        from scipy.optimize import linear_sum_assignment

        vectors, squares = pbc_shortest_vectors(
            self._lattice, moved, frac, mask, return_d2=True, lll_frac_tol=self._tolerance
        )
        moves = vectors[linear_sum_assignment(squares)]
        moves -= moves.mean(axis=0)
        return float(np.sqrt(np.einsum("ai,ai->a", moves, moves).max()) / self._unit)
