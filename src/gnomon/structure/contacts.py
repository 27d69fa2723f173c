"""Closest contacts between elements, and the cell size at which covalent spheres just touch."""

import numpy as np
import vesin
from jaxtyping import Float64, Int64

from gnomon.crystals import Crystals
from gnomon.structure.symmetry import niggli


def closest_distances(
    crystal: Crystals,
) -> tuple[Int64[np.ndarray, " m"], Float64[np.ndarray, "m m"]]:
    """Shortest periodic distances between the elements of one crystal (a batch of one), Å.

    Returns:
        The atomic numbers, ascending, and the symmetric matrix of their distances; an element's
        distance to itself counts its own periodic images.

    Raises:
        ValueError: if the batch does not hold exactly one crystal.
        SymmetryError: if the cell has almost no volume.
    """
    if len(crystal) != 1:
        raise ValueError(f"closest_distances takes a batch of one crystal, got {len(crystal)}")
    reduced = niggli(crystal)
    lattice = reduced.lattice[0]
    # Half the sum of the lengths reaches from any site to any other: the nearest image in
    # fractional coordinates is at most half of a, b and c away; an own image is at min(a, b, c).
    cutoff = 0.5 * float(np.linalg.norm(lattice, axis=1).sum()) * (1 + 1e-9)
    first, second, distance = vesin.NeighborList(
        cutoff=cutoff, full_list=False, n_threads=1
    ).compute(reduced.cart_coords, lattice, True, "ijd")
    elements, kind = np.unique(reduced.atomic_numbers, return_inverse=True)
    closest = np.full((len(elements), len(elements)), np.inf)
    pairs = (kind[first.astype(np.int64)], kind[second.astype(np.int64)])
    np.minimum.at(closest, pairs, distance)
    return elements.astype(np.int64), np.minimum(closest, closest.T)


def touching_scale(
    distances: Float64[np.ndarray, "m m"], radii: Float64[np.ndarray, "k m"]
) -> Float64[np.ndarray, " k"]:
    """Factor on all lengths after which the closest spheres touch: max (r_s + r_t) / d_st.

    Args:
        distances: shortest distances between the m kinds of site, Å.
        radii: radii of the m kinds, Å, for each of k decorations.
    """
    sums = radii[:, :, None] + radii[:, None, :]
    return np.max(sums / distances, axis=(1, 2), initial=0.0)
