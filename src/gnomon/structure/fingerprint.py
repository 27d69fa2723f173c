"""Fingerprints: numbers that do not depend on how a crystal is written down.

For each ordered pair of its elements A, B a smooth distribution of distances,

    v_a(r) = sum over atoms b of B, d(a, b) < R, of (1 - d / R)^2 B3((d - r) / s),

B3 the cubic B-spline, is taken at points r a distance s apart for every atom a of A; its mean and
standard deviation over the atoms of A are kept (partial distributions as in Valle and Oganov, Acta
Cryst. A66, 507 (2010); the deviation tells crystals apart whose atoms differ in surroundings that
are alike on average, as pointwise distances do: Widdowson and Kurlin, NeurIPS 35 (2022)).  Lengths
are in units of the cube root of the volume of an atom, so that a crystal and the same one a little
larger are alike.

Cell, origin, order of atoms, rotation and mirror images have no influence.  Everything is
continuous, so small noise makes small changes: fingerprints are compared with a tolerance, and not
rounded to a key, which would tell apart what lies on two sides of an edge.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int64

from gnomon.crystals import Crystals
from gnomon.structure.neighbors import neighbors

REACH = 2.6
"""Distances up to so many cube roots of an atom's volume are looked at: about 70 neighbours."""

CENTERS = 16
"""Points of the distributions."""

FIRST = 0.6
"""The first point; atoms closer than this do not occur in crystals worth comparing."""

CHUNK = 256
"""Crystals in work at a time."""


def fingerprints(crystals: Crystals) -> list[Float64[np.ndarray, " length"]]:
    """Fingerprints of crystals, 2 m^2 distributions for each of m elements.

    The length depends on the number of elements alone; elements follow atomic numbers.
    """
    starts = range(0, len(crystals), CHUNK)
    return [one for start in starts for one in _of_chunk(crystals[start : start + CHUNK])]


def _of_chunk(crystals: Crystals) -> list[Float64[np.ndarray, " length"]]:
    """The fingerprints of a chunk.

    Rows are the kinds (crystal, element) of the chunk; an atom's distribution has one block for
    each kind of its own crystal, and the blocks of all atoms of a kind are averaged.
    """
    per_atom = np.cbrt(crystals.volumes / crystals.n_atoms)
    unit = crystals.with_lattice(crystals.lattice / per_atom[:, None, None])
    own = unit.crystal_index
    kinds, kind = np.unique(own * 256 + unit.atomic_numbers, return_inverse=True)
    n_kinds = np.bincount(kinds // 256, minlength=len(unit))
    first_kind = np.cumsum(n_kinds) - n_kinds
    found = neighbors(unit, REACH)

    m = n_kinds[own]  # blocks of each atom
    block_start = np.concatenate([np.zeros(1, np.int64), np.cumsum(m)])
    block = block_start[found.receivers] + kind[found.senders] - first_kind[own[found.senders]]
    spacing = (REACH - FIRST) / (CENTERS - 3)
    position = np.maximum((found.distances - FIRST) / spacing, 0.0)
    weight = (1 - found.distances / REACH) ** 2  # goes to zero smoothly where the reach ends
    atoms = spread(block, position, weight, int(block_start[-1]), CENTERS)

    # atom a of kind k in a crystal of m kinds adds its block j to row (k, j)
    row_start = np.concatenate([np.zeros(1, np.int64), np.cumsum(n_kinds**2)])
    block_atom = np.repeat(np.arange(len(own)), m)
    block_kind = np.arange(len(block_atom)) - block_start[block_atom]
    within = kind[block_atom] - first_kind[own[block_atom]]
    row = row_start[own[block_atom]] + within * m[block_atom] + block_kind
    mean, deviation = _moments(atoms, row, int(row_start[-1]))
    rows = np.split(np.concatenate([mean, deviation], axis=1), row_start[1:-1])
    return [own_rows.ravel() for own_rows in rows]


def spread(
    block: Int64[np.ndarray, " pairs"],
    position: Float64[np.ndarray, " pairs"],
    weight: Float64[np.ndarray, " pairs"],
    n_blocks: int,
    points: int,
) -> Float64[np.ndarray, "blocks points"]:
    """Weights smeared over the grids of blocks.

    Each reaches the four points around it only: a cubic B-spline, the smooth bump of compact
    support that is nearest to a Gaussian (s = 0.58 of the spacing).

    Args:
        block: to which grid each belongs.
        position: where on it, in units of its spacing, at least 0 and at most ``points - 3``.
        weight: how much.
        n_blocks: number of grids.
        points: of each grid.
    """
    left = np.floor(position).astype(np.int64)
    t = position - left
    bumps = (
        (1 - t) ** 3 / 6,
        (3 * t**3 - 6 * t**2 + 4) / 6,
        (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6,
        t**3 / 6,
    )
    total = np.zeros(n_blocks * points)
    for step, bump in enumerate(bumps):
        place = block * points + np.minimum(left + step, points - 1)
        total += np.bincount(place, weights=weight * bump, minlength=len(total))
    return total.reshape(n_blocks, points)


def _moments(
    atoms: Float64[np.ndarray, "blocks centers"], row: Int64[np.ndarray, " blocks"], n_rows: int
) -> tuple[Float64[np.ndarray, "rows centers"], Float64[np.ndarray, "rows centers"]]:
    """Mean and standard deviation of the blocks of each row."""
    order = np.argsort(row, kind="stable")
    starts = np.searchsorted(row[order], np.arange(n_rows))
    counts = np.bincount(row, minlength=n_rows)[:, None]
    mean = np.add.reduceat(atoms[order], starts, axis=0) / counts
    apart = (atoms - mean[row])[order] ** 2
    return mean, np.sqrt(np.add.reduceat(apart, starts, axis=0) / counts)
