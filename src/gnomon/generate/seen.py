"""Keys that have come before, ten million of them in 80 MB."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, UInt64

RATIO = 4
"""A block of keys is joined with the one before it until that is so many times as large."""


class SeenKeys:
    """A growing set of 64-bit keys, kept in sorted arrays.

    A set of Python's integers takes about ten times the memory.  Blocks grow geometrically, as in
    a log-structured merge tree (O'Neil et al., Acta Inform. 33, 351 (1996)), so that there are few
    to look into and each key is moved a few times only.
    """

    def __init__(self) -> None:
        """No key yet."""
        self._blocks: list[UInt64[np.ndarray, " _"]] = []

    def __len__(self) -> int:
        """Different keys so far."""
        return sum(map(len, self._blocks))

    def add(self, keys: UInt64[np.ndarray, " k"]) -> Bool[np.ndarray, " k"]:
        """Take keys in; which of them come for the first time, repeats among them left out."""
        distinct, firsts = np.unique(keys, return_index=True)
        fresh = np.ones(len(distinct), bool)
        for block in self._blocks:
            place = np.minimum(np.searchsorted(block, distinct), len(block) - 1)
            fresh &= block[place] != distinct
        new = np.zeros(len(keys), bool)
        new[firsts[fresh]] = True
        if new.any():
            self._append(distinct[fresh])
        return new

    def _append(self, block: UInt64[np.ndarray, " new"]) -> None:
        while self._blocks and len(self._blocks[-1]) < RATIO * len(block):
            block = np.concatenate([self._blocks.pop(), block])
        block.sort()
        self._blocks.append(block)
