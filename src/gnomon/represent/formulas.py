"""Formulas in columns: what a composition network sees, however a formula is written.

>>> found, reasons = read_formulas(["Fe4O6", "O3Fe2", "Xx2"])
>>> found.reduced_formulas[:2].tolist(), found.fractions[0, :2].tolist()
(['Fe2O3', 'Fe2O3'], [0.6, 0.4])
>>> reasons.tolist()
['', '', "'Xx2' is not a chemical formula (as in 'LiFePO4')"]
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import gcd

import numpy as np
from jaxtyping import Float32, Float64, Int64, Shaped, UInt8

from gnomon.elements import MAX_Z, atomic_number, parse_formula, reduced_formula

DECIMALS = 6
"""Amounts are taken to so many decimals: Li0.333333CoO2 has a third of a lithium nowhere."""

WIDTHS = (3, 4, 5, 8, 16, 32, MAX_Z)
"""Elements that the rows of a batch have room for.  Few widths compile little; tight ones waste
little: of 80,677 Materials Project formulas, 60 % have up to three elements and 2 % more than five.
"""


@dataclass(frozen=True, eq=False)
class Formulas:
    """n formulas in rows padded with zeros: elements by rising atomic number, reduced counts.

    The same compound has the same row however it was written.

    Attributes:
        atomic_numbers: Z of each element; 0 is padding.  A row without any is no formula.
        counts: atoms of each in the reduced formula; 0 is padding.
    """

    atomic_numbers: UInt8[np.ndarray, "n k"]
    counts: Int64[np.ndarray, "n k"]

    def __len__(self) -> int:
        """Number of formulas."""
        return len(self.counts)

    def take(self, index: Int64[np.ndarray, " m"]) -> "Formulas":
        """The formulas at these indices, in order."""
        return Formulas(self.atomic_numbers[index], self.counts[index])

    @property
    def n_elements(self) -> Int64[np.ndarray, " n"]:
        """Elements in each formula."""
        return np.count_nonzero(self.atomic_numbers, axis=1)

    @cached_property
    def fractions(self) -> Float64[np.ndarray, "n k"]:
        """Atomic fractions; they sum to 1 where there is a formula."""
        return self.counts / np.maximum(self.counts.sum(axis=1, keepdims=True), 1)

    @cached_property
    def by_element(self) -> Float64[np.ndarray, "n 119"]:
        """Atomic fractions by atomic number."""
        table = np.zeros((len(self), MAX_Z + 1))
        rows, columns = np.nonzero(self.atomic_numbers)
        table[rows, self.atomic_numbers[rows, columns]] = self.fractions[rows, columns]
        return table

    @cached_property
    def reduced_formulas(self) -> Shaped[np.ndarray, " n"]:
        """Reduced formulas as pymatgen writes them (str objects), empty for no formula."""
        names = []
        for numbers, counts in zip(self.atomic_numbers.tolist(), self.counts.tolist(), strict=True):
            pairs = tuple((z, n) for z, n in zip(numbers, counts, strict=True) if z)
            names.append(reduced_formula(pairs) if pairs else "")
        return np.array(names, dtype=object)


@dataclass(frozen=True)
class FormulaBatch:
    """Formulas of one padded width; rows and elements beyond the real ones have fraction 0."""

    atomic_numbers: UInt8[np.ndarray, "B k"]
    fractions: Float32[np.ndarray, "B k"]


def read_formulas(texts: Iterable[str]) -> tuple[Formulas, Shaped[np.ndarray, " n"]]:
    """Formulas of texts, and why a text is none (empty where it is one)."""
    known: dict[str, tuple[tuple[int, int], ...]] = {}
    reasons: dict[str, str] = {}
    texts = list(texts)
    for text in texts:
        if text not in known:
            try:
                known[text] = _reduced_counts(text)
            except ValueError as error:
                known[text], reasons[text] = (), str(error)
    rows = [known[text] for text in texts]
    why = np.array([reasons.get(text, "") for text in texts], dtype=object)
    return _from_pairs(rows), why


def _from_pairs(rows: Sequence[tuple[tuple[int, int], ...]]) -> Formulas:
    width = max((len(pairs) for pairs in rows), default=0)
    numbers = np.zeros((len(rows), width), np.uint8)
    counts = np.zeros((len(rows), width), np.int64)
    for i, pairs in enumerate(rows):
        for j, (z, count) in enumerate(pairs):
            numbers[i, j], counts[i, j] = z, count
    return Formulas(numbers, counts)


def _reduced_counts(text: str) -> tuple[tuple[int, int], ...]:
    """(Z, atoms) of the reduced formula, in whole numbers, by rising Z.

    Raises:
        ValueError: if the text is no formula, or an amount is zero to ``DECIMALS`` decimals.
    """
    unit = 10**DECIMALS
    amounts = [(atomic_number(s), round(n * unit)) for s, n in parse_formula(text).items()]
    if not all(n > 0 for _, n in amounts):
        raise ValueError(f"{text!r} has an amount below {1 / unit:g}: leave that element out")
    divisor = gcd(*(n for _, n in amounts))
    return tuple(sorted((z, n // divisor) for z, n in amounts))


def batches(
    formulas: Formulas, index: Int64[np.ndarray, " m"], size: int
) -> Iterator[tuple[Int64[np.ndarray, " taken"], FormulaBatch]]:
    """The formulas at an index in batches of equal shapes, each with the rows that it holds.

    Each batch has the smallest of ``WIDTHS`` that its formulas fit in, and ``size`` rows, real
    ones first; formulas of one width keep the order of the index.
    """
    widths = np.searchsorted(WIDTHS, formulas.n_elements[index])
    for which in np.unique(widths):
        rows = index[widths == which]
        for start in range(0, len(rows), size):
            taken = rows[start : start + size]
            yield taken, _batch(formulas, taken, size, WIDTHS[which])


def _batch(
    formulas: Formulas, rows: Int64[np.ndarray, " taken"], size: int, width: int
) -> FormulaBatch:
    numbers = np.zeros((size, width), np.uint8)
    fractions = np.zeros((size, width), np.float32)
    kept = min(width, formulas.counts.shape[1])
    numbers[: len(rows), :kept] = formulas.atomic_numbers[rows, :kept]
    fractions[: len(rows), :kept] = formulas.fractions[rows, :kept]
    return FormulaBatch(numbers, fractions)
