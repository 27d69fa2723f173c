"""Children of one crystal or two: heredity, and mutations of cell, atoms and elements.

After Oganov and Glass (J. Chem. Phys. 124, 244704 (2006)); each takes crystals and a source of
random choices and returns one crystal, or None where there is nothing to vary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float64

from gnomon.crystals import Crystals
from gnomon.structure.symmetry import niggli

STRAIN, SHIFT = 0.15, 0.5
"""Standard deviations of a strain's components, and of a displacement in Å."""

SHARE = (0.3, 0.7)
"""Of a cell that the first parent gives, by its height."""


def heredity(
    first: Crystals, second: Crystals, rng: np.random.Generator, *, conserved: bool
) -> Crystals:
    """A slab of one parent and the rest of the other, in a cell between theirs.

    Args:
        first: whose composition the child has, where that is conserved.
        second: of the same elements in the same ratio, if so.
        rng: source of all choices.
        conserved: whether atoms that are too many go and those that lack come, from what was cut
            away, until the composition is that of the first parent.
    """
    share, axis = float(rng.uniform(*SHARE)), int(rng.integers(3))
    parents = [niggli(one) for one in (first, second)]
    coordinates, numbers, inside = [], [], []
    for k, parent in enumerate(parents):
        frac = (parent.frac_coords + rng.random(3)) % 1.0
        below = frac[:, axis] < share
        coordinates.append(frac)
        numbers.append(parent.atomic_numbers)
        inside.append(below if k == 0 else ~below)
    lattice = share * parents[0].lattice[0] + (1 - share) * parents[1].lattice[0]
    frac, z, kept = (np.concatenate(parts) for parts in (coordinates, numbers, inside))
    if conserved:
        kept = _balanced(z, kept, np.bincount(parents[0].atomic_numbers, minlength=119), rng)
    if not kept.any():
        kept[: len(numbers[0])] = True
    return Crystals.single(lattice, z[kept], frac[kept])


def _balanced(
    z: np.ndarray, kept: np.ndarray, wanted: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Atoms of which so many of each element stay: those kept first, in a random order."""
    found = np.zeros(len(z), bool)
    for element in np.unique(z):
        own = np.flatnonzero(z == element)
        own = own[np.lexsort((rng.random(len(own)), ~kept[own]))]
        found[own[: wanted[element]]] = True
    return found


def permutation(parent: Crystals, rng: np.random.Generator) -> Crystals | None:
    """Atoms of two elements change places, one pair or several."""
    z = parent.atomic_numbers.copy()
    kinds = np.unique(z)
    if len(kinds) < 2:
        return None
    a, b = rng.choice(kinds, 2, replace=False)
    first, second = np.flatnonzero(z == a), np.flatnonzero(z == b)
    most = min(len(first), len(second))
    pairs = int(rng.integers(1, most + 1))
    rows, others = rng.choice(first, pairs, replace=False), rng.choice(second, pairs, replace=False)
    z[rows], z[others] = b, a
    return parent.with_atomic_numbers(z)


def strained(parent: Crystals, rng: np.random.Generator) -> Crystals:
    """The cell under a random strain, at the same volume."""
    strain = rng.normal(0.0, STRAIN, (3, 3)).clip(-2 * STRAIN, 2 * STRAIN)
    lattice = parent.lattice @ (np.eye(3) + (strain + strain.T) / 2)
    factor = abs(np.linalg.det(parent.lattice[0])) / abs(np.linalg.det(lattice[0]))
    return parent.with_lattice(lattice * np.cbrt(factor))


def displaced(parent: Crystals, rng: np.random.Generator) -> Crystals:
    """All atoms moved at random, by ``SHIFT`` in each direction."""
    moves: Float64[np.ndarray, "atoms 3"] = rng.normal(0.0, SHIFT, (len(parent.atomic_numbers), 3))
    return parent.with_frac_coords(parent.frac_coords + moves @ np.linalg.inv(parent.lattice[0]))


def exchanged(
    parent: Crystals, alike: Mapping[int, Sequence[int]], rng: np.random.Generator
) -> Crystals | None:
    """One element replaced by one of its family that the crystal does not hold.

    Args:
        parent: the crystal.
        alike: elements that may take the place of each, by atomic number.
        rng: source of all choices.
    """
    own = np.unique(parent.atomic_numbers).tolist()
    pairs = [(a, b) for a in own for b in alike.get(a, ()) if b not in own]
    if not pairs:
        return None
    a, b = pairs[int(rng.integers(len(pairs)))]
    z = parent.atomic_numbers
    return parent.with_atomic_numbers(np.where(z == a, b, z).astype(z.dtype))
