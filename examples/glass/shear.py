"""Where particles rearrange when a glass is sheared without heat, and whether mobility tells.

The system is brought to rest, sheared by small steps and brought to rest after each.  How far the
surroundings of a particle moved other than by a strain is D2min (Falk and Langer, Phys. Rev. E 57,
7192 (1998)).
"""

import numpy as np
from liquid import Liquid, at_rest, sheared

STEP = 0.002
STRAIN = 0.06
REACH = 1.6
"""Of the surroundings of a particle: the first shell."""


def pulled(liquid: Liquid, strain: float = STRAIN) -> tuple[Liquid, Liquid]:
    """The liquid at rest, and at rest after a shear in steps of ``STEP``."""
    first, _ = at_rest(liquid)
    now = first
    for _ in range(round(strain / STEP)):
        now, _ = at_rest(sheared(now, STEP))
    return first, now


def d2min(before: Liquid, after: Liquid) -> np.ndarray:
    """(n,), mean square of what no strain of the surroundings explains.

    min over F of the mean over neighbours j of |d_j' - F d_j|^2, d before, d' after.
    """
    apart = before.places[:, :, None] - before.places[:, None]
    apart -= before.box * np.rint(apart / before.box)
    later = after.places[:, :, None] - after.places[:, None]
    high = np.rint(later[1] / after.box)
    later[1] -= after.box * high
    later[0] -= after.box * after.tilt * high
    later[0] -= after.box * np.rint(later[0] / after.box)
    later[2] -= after.box * np.rint(later[2] / after.box)
    near = (np.linalg.norm(apart, axis=0) < REACH) & ~np.eye(apart.shape[1], dtype=bool)
    found = np.empty(apart.shape[1])
    for i, row in enumerate(near):
        d, moved = apart[:, i, row], later[:, i, row]
        strain = moved @ d.T @ np.linalg.inv(d @ d.T)
        found[i] = ((moved - strain @ d) ** 2).sum(axis=0).mean()
    return found
