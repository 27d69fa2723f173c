"""Children of one crystal or two: heredity, and mutations of cell, atoms and elements.

After Oganov and Glass (J. Chem. Phys. 124, 244704 (2006)); each takes crystals and a source of
random choices and returns one crystal, or None where there is nothing to vary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float64

from gnomon.crystals import Crystals
from gnomon.generate.random.symmetric_cells import draft
from gnomon.generate.saps.superlattices import hermite_forms
from gnomon.structure.symmetry import niggli, operations, space_groups

STRAIN, SHIFT = 0.15, 0.5
"""Standard deviations of a strain's components, and of a displacement in Å."""

SHARE = (0.3, 0.7)
"""Of a cell that the first parent gives, by its height."""

CUTS = 8
"""Places that are tried for a cut; the one that needs the fewest atoms changed is taken."""

TOLERANCE = 0.1
"""Å: up to which a relaxed crystal has a symmetry."""


def enlarged(parent: Crystals, times: int, rng: np.random.Generator) -> Crystals:
    """One of the supercells of so many times the atoms."""
    forms = hermite_forms(times)
    return niggli(parent.supercell(forms[int(rng.integers(len(forms)))]))


def heredity(
    first: Crystals, second: Crystals, rng: np.random.Generator, *, conserved: bool
) -> Crystals:
    """A slab of one parent and the rest of the other, in a cell between theirs.

    The metric tensor is between theirs, so that it does not matter how they are turned.

    Args:
        first: whose composition the child has, where that is conserved.
        second: of the same elements in the same ratio, if so.
        rng: source of all choices.
        conserved: whether atoms that are too many go and those that lack come, from what was cut
            away, until the composition is that of the first parent.
    """
    share, axis = float(rng.uniform(*SHARE)), int(rng.integers(3))
    parents = [niggli(one) for one in (first, second)]
    z = np.concatenate([one.atomic_numbers for one in parents])
    of_first = np.arange(len(z)) < len(first.atomic_numbers)
    wanted = np.bincount(first.atomic_numbers, minlength=119)
    frac, kept, fewest = np.zeros((len(z), 3)), of_first, np.inf
    for _ in range(CUTS if conserved else 1):
        moved = np.concatenate([(one.frac_coords + rng.random(3)) % 1.0 for one in parents])
        inside = (moved[:, axis] < share) == of_first
        amiss = np.abs(np.bincount(z[inside], minlength=119) - wanted).sum()
        if amiss < fewest:
            frac, kept, fewest = moved, inside, amiss
    if conserved:
        kept = _balanced(z, kept, wanted, rng)
    if not kept.any():
        kept = of_first
    metrics = [one.lattice[0] @ one.lattice[0].T for one in parents]
    lattice = np.linalg.cholesky(share * metrics[0] + (1 - share) * metrics[1])
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


def redrawn(parent: Crystals, rng: np.random.Generator) -> Crystals | None:
    """A random cell of the parent's space group and amounts: what is kept is the symmetry."""
    group = int(space_groups(parent, TOLERANCE)[0])
    if group <= 1:
        return None
    numbers, amounts = np.unique(parent.atomic_numbers, return_counts=True)
    counts = dict(zip(numbers.tolist(), amounts.tolist(), strict=True))
    return draft(counts, float(parent.volumes[0]), (group,), rng).crystal


def distorted(
    parent: Crystals, rng: np.random.Generator, *, strain: float = 0.0, shift: float = 0.0
) -> Crystals:
    """The crystal strained at its volume, and its atoms moved, in keeping with some symmetry.

    What is kept is the subgroup that up to two operations of the parent, drawn at random, generate:
    the average over it of a random distortion, as large as that was.

    Args:
        parent: the crystal.
        rng: source of all choices.
        strain: standard deviation of the strain's components.
        shift: of the displacements, Å in each direction.
    """
    [(rotations, translations)] = operations(parent, TOLERANCE)
    group = _subgroup(rotations, translations, rng)
    lattice = parent.lattice[0]
    turns = np.stack([lattice.T @ rotations[k] @ np.linalg.inv(lattice.T) for k in group])
    given = rng.normal(0.0, 1.0, (3, 3)).clip(-2, 2)
    kept = np.mean(turns @ (given + given.T) @ turns.transpose(0, 2, 1), axis=0)
    kept -= np.eye(3) * np.trace(kept) / 3
    cell = lattice @ (np.eye(3) + strain * _of_size(kept))
    cell *= np.cbrt(abs(np.linalg.det(lattice) / np.linalg.det(cell)))
    moves = rng.normal(0.0, 1.0, (len(parent.atomic_numbers), 3))
    total = np.zeros_like(moves)
    for turn, k in zip(turns, group, strict=True):
        images = parent.frac_coords @ rotations[k].T + translations[k]
        apart = images[:, None] - parent.frac_coords
        apart = (apart - apart.round()) @ lattice
        total[np.argmin((apart**2).sum(axis=2), axis=1)] += moves @ turn.T
    where = parent.frac_coords + shift * _of_size(total) @ np.linalg.inv(lattice)
    return Crystals.single(cell, parent.atomic_numbers, where)


def _of_size(values: Float64[np.ndarray, "n 3"]) -> Float64[np.ndarray, "n 3"]:
    """Values brought to a root mean square of 1, unless they are nothing."""
    size = float(np.sqrt(np.mean(values**2)))
    return values / size if size > 1e-6 else np.zeros_like(values)


def _subgroup(
    rotations: np.ndarray, translations: np.ndarray, rng: np.random.Generator
) -> list[int]:
    """Rows of the operations that up to two of them, drawn at random, generate."""
    generators = rng.integers(len(rotations), size=int(rng.integers(3))).tolist()
    [one] = np.flatnonzero(
        (rotations == np.eye(3)).all(axis=(1, 2)) & (np.abs(translations).max(axis=1) < 1e-9)
    )[:1]
    found, new = [int(one)], [int(one)]
    while new:
        reached = {_product(a, b, rotations, translations) for a in generators for b in new}
        new = sorted(reached - set(found))
        found += new
    return found


def _product(a: int, b: int, rotations: np.ndarray, translations: np.ndarray) -> int:
    """The row of the operation that does b, then a."""
    apart = rotations[a] @ translations[b] + translations[a] - translations
    apart = np.abs(apart - apart.round()).sum(axis=1)
    same = (rotations == rotations[a] @ rotations[b]).all(axis=(1, 2))
    return int(np.argmin(np.where(same, apart, np.inf)))


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
