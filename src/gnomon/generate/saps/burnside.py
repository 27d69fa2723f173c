"""How many subsets of sites differ under a group, and subsets drawn so that no orbit is favoured.

Burnside's lemma: the number of orbits is the mean number of fixed subsets over the group.  A
permutation fixes a subset if and only if the subset is a union of its cycles, so that the subsets
of each size it fixes are counted by the product over its cycles of (1 + t^length).
"""

from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Int64


def cycle_labels(permutation: Int64[np.ndarray, " sites"]) -> Int64[np.ndarray, " sites"]:
    """Cycle of each site, numbered by first appearance; site i goes to ``permutation[i]``."""
    labels = np.full(len(permutation), -1, np.int64)
    cycle = 0
    for start in range(len(permutation)):
        if labels[start] >= 0:
            continue
        site = start
        while labels[site] < 0:
            labels[site] = cycle
            site = int(permutation[site])
        cycle += 1
    return labels


@lru_cache(maxsize=65_536)
def fixed_subsets(lengths: tuple[int, ...]) -> tuple[int, ...]:
    """Subsets of each size 0, 1, ... that are unions of cycles of these lengths; exact integers."""
    total = [1]
    for length in lengths:
        longer = total + [0] * length
        for size, ways in enumerate(total):
            longer[size + length] += ways
        total = longer
    return tuple(total)


def orbit_counts(group: Int64[np.ndarray, "order sites"]) -> tuple[int, ...]:
    """Orbits of subsets of each size 0, 1, ..., sites; ``group`` is ALL elements of the group."""
    n = group.shape[1]
    sums = [0] * (n + 1)
    for permutation in group:
        fixed = fixed_subsets(cycle_lengths(permutation))
        sums = [a + b for a, b in zip(sums, fixed, strict=True)]
    return tuple(total // len(group) for total in sums)


def cycle_lengths(permutation: Int64[np.ndarray, " sites"]) -> tuple[int, ...]:
    """Lengths of the cycles, ascending."""
    lengths = np.bincount(cycle_labels(permutation))
    return tuple(sorted(int(length) for length in lengths))


def draw_orbits(
    group: Int64[np.ndarray, "order sites"], size: int, draws: int, rng: np.random.Generator
) -> Bool[np.ndarray, "draws sites"]:
    """Subsets of one size, each from an orbit drawn uniformly (Dixon and Wilf 1983).

    A permutation is drawn in proportion to the subsets it fixes, then one of these: every orbit has
    the same odds, the symmetric ones too, which uniform subsets would all but never show
    (J. Algorithms 4, 205).

    Raises:
        ValueError: if there is no subset of this size.
    """
    n = group.shape[1]
    if not 0 <= size <= n:
        raise ValueError(f"{n} sites have no subset of {size}")
    fixed = [fixed_subsets(cycle_lengths(permutation))[size] for permutation in group]
    weights = np.array(fixed, dtype=np.float64)
    chosen = rng.choice(len(group), draws, p=weights / weights.sum())
    return np.array([_fixed_subset(group[g], size, rng) for g in chosen], bool).reshape(draws, n)


def _fixed_subset(
    permutation: Int64[np.ndarray, " sites"], size: int, rng: np.random.Generator
) -> Bool[np.ndarray, " sites"]:
    """A union of cycles of this size, all equally likely."""
    labels = cycle_labels(permutation)
    lengths = np.bincount(labels).tolist()
    taken = np.zeros(len(lengths), bool)
    left = size
    for cycle, length in enumerate(lengths):
        rest = fixed_subsets(tuple(lengths[cycle + 1 :]))
        without = rest[left] if left < len(rest) else 0
        with_it = rest[left - length] if 0 <= left - length < len(rest) else 0
        taken[cycle] = rng.random() * (without + with_it) < with_it
        left -= length * int(taken[cycle])
    return taken[labels]
