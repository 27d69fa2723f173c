"""Neighbours of atoms expanded in spherical harmonics."""

from __future__ import annotations

from functools import partial

import e3nn_jax as e3nn
import jax
import numpy as np
from jaxtyping import Array, Float, Float32, Float64, Int64

VECTORS = 1 << 15
"""Directions in one call of the harmonics, so that one shape is compiled."""


def blocks(degrees: int) -> tuple[slice, ...]:
    """Where the harmonics of each degree stand.

    >>> blocks(2)
    (slice(0, 1, None), slice(1, 4, None), slice(4, 9, None))
    """
    return tuple(slice(degree**2, (degree + 1) ** 2) for degree in range(degrees + 1))


def harmonics(
    vectors: Float64[np.ndarray, "k 3"], degrees: int
) -> Float32[np.ndarray, "k harmonics"]:
    """Real spherical harmonics of directions up to a degree, of norm 1 in each degree."""
    out = np.empty((len(vectors), (degrees + 1) ** 2), np.float32)
    for start in range(0, len(vectors), VECTORS):
        part = vectors[start : start + VECTORS]
        padded = np.ones((VECTORS, 3), np.float32)
        padded[: len(part)] = part
        out[start : start + len(part)] = np.asarray(_harmonics(padded, degrees))[: len(part)]
    return out


@partial(jax.jit, static_argnames="degrees")
def _harmonics(vectors: Float[Array, "k 3"], degrees: int) -> Float[Array, "k harmonics"]:
    irreps = e3nn.s2_irreps(degrees)
    made = e3nn.spherical_harmonics(irreps, vectors, normalize=True, normalization="norm")
    return made.array


def expansion(
    receivers: Int64[np.ndarray, " pairs"],
    weights: Float[np.ndarray, "pairs channels"],
    angular: Float32[np.ndarray, "pairs harmonics"],
    atoms: int,
) -> Float32[np.ndarray, "atoms channels harmonics"]:
    """A of each atom: the sum over its neighbours of each weight times each harmonic.

    Args:
        receivers: whose neighbour each is, sorted.
        weights: of the neighbours, in any number of channels.
        angular: harmonics of the directions to them.
        atoms: how many there are.
    """
    count = np.bincount(receivers, minlength=atoms)
    place = np.arange(len(receivers)) - np.repeat(np.cumsum(count) - count, count)
    shape = (atoms, int(count.max(initial=1)))
    left = np.zeros((*shape, weights.shape[1]), np.float32)
    right = np.zeros((*shape, angular.shape[1]), np.float32)
    left[receivers, place], right[receivers, place] = weights, angular
    return np.matmul(left.swapaxes(1, 2), right)
