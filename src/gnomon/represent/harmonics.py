"""Neighbours of atoms expanded in spherical harmonics."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float32, Float64, Int64
from scipy.special import sph_harm_y_all

from gnomon.ragged import counted

VECTORS = 1 << 15
"""Directions in work at a time."""


def blocks(degrees: int) -> tuple[slice, ...]:
    """Where the harmonics of each degree stand.

    >>> blocks(2)
    (slice(0, 1, None), slice(1, 4, None), slice(4, 9, None))
    """
    return tuple(slice(degree**2, (degree + 1) ** 2) for degree in range(degrees + 1))


def harmonics(
    vectors: Float64[np.ndarray, "k 3"], degrees: int
) -> Float32[np.ndarray, "k harmonics"]:
    """Real spherical harmonics of directions up to a degree, of norm 1 in each degree.

    In the order, and about the axis (y), of e3nn, whose Clebsch-Gordan coefficients belong to them.
    By scipy: on the processor at once, where JAX would first be started and compile.
    """
    out = np.empty((len(vectors), (degrees + 1) ** 2), np.float32)
    for start in range(0, len(vectors), VECTORS):
        x, y, z = vectors[start : start + VECTORS].T
        polar, azimuth = np.arctan2(np.hypot(x, z), y), np.arctan2(x, z)
        complex_ = sph_harm_y_all(degrees, degrees, polar, azimuth)
        for degree, own in enumerate(blocks(degrees)):
            orders = np.arange(-degree, degree + 1)
            every = complex_[degree, np.abs(orders)]
            part = np.where(orders[:, None] < 0, every.imag, every.real)
            norm = np.where(orders, np.sqrt(2.0), 1.0) * (-1.0) ** orders
            norm *= np.sqrt(4 * np.pi / (2 * degree + 1))
            out[start : start + VECTORS, own] = (norm[:, None] * part).T
    return out


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
    _, place = counted(count)
    shape = (atoms, int(count.max(initial=1)))
    left = np.zeros((*shape, weights.shape[1]), np.float32)
    right = np.zeros((*shape, angular.shape[1]), np.float32)
    left[receivers, place], right[receivers, place] = weights, angular
    return np.matmul(left.swapaxes(1, 2), right)
