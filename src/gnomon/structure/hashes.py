"""Hashes of 64 bits, and means of them that copies of a crystal's cell leave as they are."""

import numpy as np
from jaxtyping import Shaped, UInt64

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
