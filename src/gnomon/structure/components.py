"""Connected components of a graph whose edges are dear to find out: the one place that joins."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from jaxtyping import Int64


def joined(
    n: int, pairs: Iterable[tuple[int, int]], same: Callable[[int, int], bool]
) -> Int64[np.ndarray, " n"]:
    """First member of the component that each of n belongs to.

    Being the same is not transitive (a matches b, b matches c, but a not c), so components are
    those of the graph of all pairs that are the same.  A pair that is connected already is not
    asked about, which cannot change them.

    Args:
        n: how many there are.
        pairs: those that may be the same, in the order in which they are asked about.
        same: whether two are the same.
    """
    parent = list(range(n))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for i, j in pairs:
        low, high = sorted((root(i), root(j)))
        if low != high and same(i, j):
            parent[high] = low
    return np.array([root(i) for i in range(n)], dtype=np.int64)
