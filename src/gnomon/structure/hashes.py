"""Hashes of 64 bits, and means of them that copies of a crystal's cell leave as they are."""

import numpy as np
from jaxtyping import Integer, Shaped, UInt64

PRIME = np.uint64(2**31 - 1)
"""Means are taken modulo this prime, where sums can be divided by any number of atoms."""


def scramble(values: UInt64[np.ndarray, "..."]) -> UInt64[np.ndarray, "..."]:
    """The finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): a bijective mixing."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def mean(
    values: UInt64[np.ndarray, "k n"], weights: Shaped[np.ndarray, " n"] | None = None
) -> UInt64[np.ndarray, " k"]:
    """Mean of each row modulo ``PRIME``.

    Args:
        values: any.
        weights: positive integers, fewer than ``PRIME`` together; one each if not given.
    """
    rest = values % PRIME
    total = values.shape[1] if weights is None else int(weights.sum())
    if weights is not None:
        rest = rest * weights.astype(np.uint64) % PRIME
    inverse = np.uint64(pow(total, -1, int(PRIME)))
    return rest.sum(axis=1) % PRIME * inverse % PRIME


def composition_hashes(
    elements: Integer[np.ndarray, "k m"], amounts: Integer[np.ndarray, "*k m"]
) -> UInt64[np.ndarray, " k"]:
    """Keys of reduced compositions: sums of hashes of (element, amount) over the elements.

    >>> salts = composition_hashes(np.array([[11, 17], [17, 11], [19, 17]]), np.array([2, 2]))
    >>> (salts == salts[0]).tolist()
    [True, True, False]

    Args:
        elements: atomic numbers, any number of times each.
        amounts: atoms of each; 0 for what is not there.
    """
    counts = np.broadcast_to(amounts, elements.shape).astype(np.int64)
    for j in range(1, elements.shape[1]):
        for i in range(j):  # one element may stand in several columns
            same = (elements[:, i] == elements[:, j]) & (counts[:, i] > 0)
            if same.any():
                counts[:, i] += np.where(same, counts[:, j], 0)
                counts[:, j] = np.where(same, 0, counts[:, j])
    counts //= np.maximum(np.gcd.reduce(counts, axis=1), 1)[:, None]
    hashes = scramble((elements.astype(np.uint64) << _AMOUNTS) + counts.astype(np.uint64))
    return np.asarray(np.where(counts > 0, hashes, np.uint64(0)).sum(axis=1, dtype=np.uint64))


_AMOUNTS = np.uint64(32)
"""Bits of an amount."""
