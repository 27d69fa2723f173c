"""Integer matrices of supercells: repeated along the axes, or the smallest with room enough."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
from ase.geometry import minkowski_reduce
from jaxtyping import Float64, Int64

Lattice = Float64[np.ndarray, "3 3"]

SLACK = 1e-6
"""Å by which a distance may fall short: the noise of coordinates."""


def repeats(lattice: Lattice, height: float) -> list[int]:
    """How often a cell is repeated along a, b and c so that no two faces are closer than this.

    >>> repeats(np.diag([3.0, 4.0, 9.0]), 8.0)
    [3, 2, 1]

    Args:
        lattice: Å.
        height: Å.
    """
    heights = 1 / np.linalg.norm(np.linalg.inv(lattice), axis=0)
    return [int(times) for times in np.ceil(height / heights - SLACK)]


def smallest(lattice: Lattice, distance: float) -> Int64[np.ndarray, "3 3"]:
    """The matrix of the smallest supercell in which no atom is closer to an image of itself.

    Of all superlattices of a size (Hermite normal forms; Santoro and Mighell, Acta Cryst. A 28,
    284 (1972)) the one whose images are farthest apart is taken, in a reduced basis.  It has at
    most as many cells as one repeated along the axes so that its faces are as far apart.

    >>> cubic = np.diag([4.0, 4.0, 4.0])
    >>> round(np.linalg.det(smallest(cubic, 6.9)))  # body-centred; along the axes 8
    4

    Args:
        lattice: Å.
        distance: Å.
    """
    reduced, operation = _reduced(lattice)
    near = _half_of_those_within(reduced, distance)
    volume = abs(np.linalg.det(reduced))
    fewest = max(1, int(np.ceil(distance**3 / (np.sqrt(2) * volume) - SLACK)))  # closest packing
    size = fewest
    while True:
        forms = np.array(list(_hermite_forms(size)))
        inside = near @ np.linalg.inv(forms)  # whole where a vector belongs to the superlattice
        if fits := [form for form, at in zip(forms, inside, strict=True) if not _any_whole(at)]:
            break
        size += 1
    found = [_reduced(form @ reduced) for form in fits]
    shortest = [float(np.linalg.norm(cell, axis=1).min()) for cell, _ in found]
    best = int(np.argmax(np.round(shortest, 6)))
    matrix: Int64[np.ndarray, "3 3"] = np.rint(found[best][1] @ fits[best] @ operation).astype(int)
    return matrix if np.linalg.det(matrix) > 0 else -matrix


def _reduced(lattice: Lattice) -> tuple[Lattice, Int64[np.ndarray, "3 3"]]:
    """A basis of the shortest vectors, and its matrix."""
    cell, operation = minkowski_reduce(lattice)
    return np.asarray(cell), operation


def _any_whole(vectors: Float64[np.ndarray, "k 3"]) -> bool:
    """Whether one of the vectors is of whole numbers."""
    return bool((np.abs(vectors - np.rint(vectors)) < SLACK).all(axis=1).any())


def _half_of_those_within(lattice: Lattice, distance: float) -> Int64[np.ndarray, "k 3"]:
    """Vectors of a lattice shorter than a distance, in its basis, one of each pair of opposites."""
    heights = 1 / np.linalg.norm(np.linalg.inv(lattice), axis=0)
    most = np.ceil(distance / heights).astype(int)
    every = np.array(list(product(*(range(-m, m + 1) for m in most))))
    every = every[len(every) // 2 + 1 :]  # those behind zero, which is in the middle
    near: Int64[np.ndarray, "k 3"] = every[
        np.linalg.norm(every @ lattice, axis=1) < distance - SLACK
    ]
    return near


def _hermite_forms(size: int) -> Iterator[list[list[int]]]:
    """All Hermite normal forms of a determinant: each superlattice of the size once."""
    for a in (d for d in range(1, size + 1) if size % d == 0):
        for d in (f for f in range(1, size // a + 1) if size // a % f == 0):
            f = size // a // d
            for b, c, e in product(range(d), range(f), range(f)):
                yield [[a, b, c], [0, d, e], [0, 0, f]]
