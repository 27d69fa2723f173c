"""Soft spheres: atoms that overlap are pushed apart, many crystals at once.

The energy is that of AIRSS's overlaps, (1/2) sum over pairs of (d_min - d)^2 where d < d_min
(Pickard and Needs, J. Phys.: Condens. Matter 23, 053201 (2011), section 3), at fixed cells.  Forces
have the symmetry of the crystal, so it is kept.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float64

from gnomon.crystals import Crystals
from gnomon.structure.neighbors import neighbors

STEPS = 25
"""Steps before a crystal is given up."""

STEP = 0.35
"""Share of each overlap by which either atom moves in a step; one half would undo a lone one."""

TOLERATED = 0.95
"""Pairs count as apart from this share of their smallest distance on."""

DECIMALS = 12
"""Of fractional coordinates that are kept."""


def push_apart(
    crystals: Crystals, radii: Float64[np.ndarray, " atoms"]
) -> tuple[Crystals, Bool[np.ndarray, " n"]]:
    """Crystals whose atoms have been pushed apart, and which of them succeeded.

    Args:
        crystals: at fixed cells.
        radii: Å, of every atom; two atoms keep the sum of their radii apart.  An atom and its own
            image cannot move apart: where they are too near the crystal fails.
    """
    frac = crystals.frac_coords.copy()
    done = np.zeros(len(crystals), bool)
    active = np.arange(len(crystals))
    reach = np.maximum.reduceat(radii, crystals.offsets[:-1]) * 2 if len(crystals) else radii
    for _ in range(STEPS):
        atoms = np.isin(crystals.crystal_index, active)
        now = crystals.with_frac_coords(frac).take(active)
        worst, moves, stuck = _overlaps(now, radii[atoms], float(reach[active].max(initial=0.1)))
        done[active[worst >= TOLERATED]] = True
        going = (worst < TOLERATED) & ~stuck
        frac[atoms] += np.where(going[now.crystal_index][:, None], moves, 0.0)
        active = active[going]
        if not len(active):
            break
    # sums over neighbours differ in the last digit with the other crystals of a batch
    return crystals.with_frac_coords(frac.round(DECIMALS)).wrap(), done


def _overlaps(
    crystals: Crystals, radii: Float64[np.ndarray, " atoms"], reach: float
) -> tuple[Float64[np.ndarray, " n"], Float64[np.ndarray, "atoms 3"], Bool[np.ndarray, " n"]]:
    """Smallest distance over the allowed one in each crystal, a step (fractional) for each atom,
    and where an atom is too near to its own image."""
    found = neighbors(crystals, reach)
    i, j = found.receivers, found.senders
    allowed = radii[i] + radii[j]
    near = found.distances < allowed
    i, j, allowed, shifts = i[near], j[near], allowed[near], found.shifts[near]
    distances = np.maximum(found.distances[near], 1e-9)
    of = crystals.crystal_index[i]
    worst = np.ones(len(crystals))
    np.minimum.at(worst, of, distances / allowed)
    stuck = np.zeros(len(crystals), bool)
    stuck[of[(i == j) & (distances < TOLERATED * allowed)]] = True
    apart = crystals.frac_coords[i] - crystals.frac_coords[j] - shifts
    pushes = apart * (STEP * (allowed - distances) / distances)[:, None]
    moves = np.zeros((len(radii), 3))
    np.add.at(moves, i, pushes)
    return worst, moves, stuck
