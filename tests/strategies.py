"""Hypothesis strategies: random crystals and random changes of how a crystal is written down."""

import numpy as np
from hypothesis import strategies as st

from gnomon.crystals import Crystals

ELEMENTS = (3, 8, 11, 13, 14, 17, 22, 26, 29, 47, 56, 79)


def random_crystal(rng: np.random.Generator, max_atoms: int = 8) -> Crystals:
    """A crystal without symmetry: 8 to 20 Å^3 an atom, no two atoms closer than about 1 Å."""
    n = int(rng.integers(1, max_atoms + 1))
    lattice = np.eye(3) + rng.uniform(-0.3, 0.3, (3, 3))
    lattice *= np.cbrt(n * rng.uniform(8, 20) / abs(np.linalg.det(lattice)))
    numbers = rng.choice(ELEMENTS, n)
    grid = np.stack(np.meshgrid(*[np.arange(2)] * 3), -1).reshape(-1, 3) / 2 + 0.25
    frac = grid[rng.permutation(8)[:n]] + rng.uniform(-0.08, 0.08, (n, 3))
    return Crystals.single(lattice, numbers, frac)


def random_unimodular(rng: np.random.Generator) -> np.ndarray:
    """An integer matrix of determinant +1 or -1: another basis of the same lattice."""
    matrix = np.eye(3, dtype=int)
    for _ in range(4):
        i, j = rng.choice(3, 2, replace=False)
        matrix[i] += int(rng.integers(-1, 2)) * matrix[j]
    return matrix[rng.permutation(3)] * rng.choice([-1, 1], (3, 1))


def random_rotation(rng: np.random.Generator) -> np.ndarray:
    """A rotation matrix, drawn uniformly."""
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q *= np.sign(np.diag(r))
    return q * np.sign(np.linalg.det(q))


def rewritten(crystal: Crystals, rng: np.random.Generator) -> Crystals:
    """The same crystal in another cell, orientation, origin, atom order and choice of images."""
    matrix = random_unimodular(rng)
    lattice, numbers, frac = crystal.arrays(0)
    order = rng.permutation(len(numbers))
    frac = (frac + rng.uniform(size=3)) @ np.linalg.inv(matrix)
    frac = frac + rng.integers(-2, 3, frac.shape)
    return Crystals.single(matrix @ lattice @ random_rotation(rng), numbers[order], frac[order])


seeds = st.integers(0, 2**32 - 1)
rngs = seeds.map(np.random.default_rng)
crystals = rngs.map(random_crystal)
