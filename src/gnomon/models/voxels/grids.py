"""Cells as grids: smeared atoms in four channels, and atoms found in grids again.

The grid divides the vectors of the cell as it is given into ``POINTS`` steps.  At each point

    rho_c(r) = sum over atoms j and their images of e_c(Z_j) exp(-|u|^2 / 2),

u the fractional vector from the atom, each component over a width that is ``WIDTH`` along its cell
vector or ``STEPS`` steps, whichever is more; e_c are ``numbers_of_elements``.  So a grid knows
neither how long nor how skewed its cell is, and turning the crystal does not change it.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, Int64

from gnomon.crystals import Crystals
from gnomon.elements import MAX_Z, element_facts

POINTS = 24
"""Along each vector of a cell."""

WIDTH = 0.5
"""Å; a third of a short bond."""

STEPS = 0.7
"""Least width in steps of the grid: a narrower atom would fall between points."""

CHANNELS = ("one", "group", "row", "f")
"""1, and where an element stands: group and row of the table, and how far in the f block."""

LEAST = 0.4
"""Of the first channel at a point, to be an atom; a single atom's largest is at least 0.5."""


@cache
def numbers_of_elements() -> Float64[np.ndarray, "119 c"]:
    """``CHANNELS`` by atomic number, from -1 to 1; no two elements have the same."""
    z = np.arange(MAX_Z + 1)
    group, row = element_facts(("group", "row")).T
    inside = np.zeros(len(z))
    for first in (57, 89):
        inside[first : first + 15] = np.linspace(-1, 1, 15)
    return np.stack([np.ones(len(z)), (group - 9.5) / 8.5, (row - 4) / 3, inside], axis=1)


def grids(crystals: Crystals) -> Float32[np.ndarray, "n x y z c"]:
    """Grids of crystals."""
    widths = np.maximum(WIDTH / np.linalg.norm(crystals.lattice, axis=2), STEPS / POINTS)
    points = np.arange(POINTS) / POINTS
    away = points - crystals.frac_coords[:, :, None]
    away -= np.rint(away)
    waves = np.exp(-0.5 * (away / widths[crystals.crystal_index][:, :, None]) ** 2)
    kinds = numbers_of_elements()[crystals.atomic_numbers]
    found = np.empty((len(crystals), POINTS, POINTS, POINTS, len(CHANNELS)), np.float32)
    for i, (first, last) in enumerate(
        zip(crystals.offsets[:-1], crystals.offsets[1:], strict=True)
    ):
        x, y, z = waves[first:last].swapaxes(0, 1)
        plane = (x[:, :, None] * y[:, None]).reshape(last - first, -1)
        depth = (z[:, :, None] * kinds[first:last, None]).reshape(last - first, -1)
        found[i] = (plane.T @ depth).reshape(found.shape[1:])
    return found


class Atoms(NamedTuple):
    """What stands in a grid.

    Attributes:
        frac_coords: fractional coordinates.
        atomic_numbers: of the elements whose numbers are nearest.
    """

    frac_coords: Float64[np.ndarray, "k 3"]
    atomic_numbers: Int64[np.ndarray, " k"]


def atoms_of(grid: Float32[np.ndarray, "x y z c"]) -> Atoms:
    """Atoms at the local maxima of a grid, between its points by the parabola through three."""
    first = grid[..., 0].astype(np.float64)
    around = [
        np.roll(first, (i, j, k), axis=(0, 1, 2))
        for i in (-1, 0, 1)
        for j in (-1, 0, 1)
        for k in (-1, 0, 1)
        if (i, j, k) != (0, 0, 0)
    ]
    # of equal neighbours the one that comes first
    later = [first > one if i < 13 else first >= one for i, one in enumerate(around)]
    at = np.argwhere(np.all(later, axis=0) & (first > LEAST))
    x, y, z = at.T
    places = at.astype(np.float64)
    for axis in range(3):
        before, after = (np.roll(first, step, axis=axis)[x, y, z] for step in (1, -1))
        bend = before - 2 * first[x, y, z] + after
        places[:, axis] += np.where(bend < 0, 0.5 * (before - after) / np.minimum(bend, -1e-9), 0)
    said = grid[x, y, z, 1:] / first[x, y, z, None]
    apart = said[:, None] - numbers_of_elements()[1:, 1:]
    return Atoms(places / POINTS % 1.0, 1 + (apart**2).sum(axis=2).argmin(axis=1))
