"""Which compositions are asked for: elements, how many of them, chemistry with wildcards."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64

from gnomon.elements import atomic_number

ANY = "*"
"""Stands for one element, any."""


def parse_within(text: str) -> tuple[int, tuple[int, ...]]:
    """How many elements a chemical system with wildcards has, and which of them are named.

    >>> parse_within("Li-*-O")
    (3, (3, 8))

    Raises:
        ValueError: for what is no element, or an element that stands twice.
    """
    parts = [part.strip() for part in text.split("-")]
    named = tuple(atomic_number(part) for part in parts if part != ANY)
    if len(set(named)) < len(named):
        raise ValueError(f"{text!r} names an element twice: write each once, as in 'Li-*-O'")
    return len(parts), named


@dataclass(frozen=True)
class Filter:
    """Which elements a composition may hold.

    Attributes:
        elements: it holds no others.
        fewest, most: how many it holds.
        within: chemical systems with wildcards (``Li-*-O``), one of which it fits; none: any.
    """

    elements: tuple[str, ...]
    fewest: int = 1
    most: int = 8
    within: tuple[str, ...] = ()

    def passed(self, elements: Int64[np.ndarray, "k m"]) -> Bool[np.ndarray, " k"]:
        """Which sets of elements, of ``elements`` all, are asked for; repeats count once."""
        ordered = np.sort(elements, axis=1)
        n = 1 + (ordered[:, 1:] != ordered[:, :-1]).sum(axis=1)
        passed = (n >= self.fewest) & (n <= self.most)
        if self.within:
            passed &= np.any([_fits(elements, n, *parse_within(w)) for w in self.within], axis=0)
        return np.asarray(passed, bool)


def _fits(
    elements: Int64[np.ndarray, "k m"],
    n: Int64[np.ndarray, " k"],
    size: int,
    named: tuple[int, ...],
) -> Bool[np.ndarray, " k"]:
    fits = n == size
    for z in named:
        fits &= (elements == z).any(axis=1)
    return fits
