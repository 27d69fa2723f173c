"""Phases sorted by the set of their elements, and within it by composition and energy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64, Real, UInt8

from gnomon.elements import present
from gnomon.hull.phases import check_composition

DIGITS = 12
"""Decimals to which atom fractions are compared: phases that agree are of one composition."""

Elements = tuple[int, ...]
"""Atomic numbers in rising order."""


class SparseFractions(NamedTuple):
    """Atom fractions without the zeros of the elements that are not there.

    Attributes:
        elements: (n, w), atomic numbers in rising order, then zeros.
        fractions: (n, w), their atom fractions, then zeros.
        n_elements: (n,), how many there are.
    """

    elements: UInt8[np.ndarray, "n w"]
    fractions: Float64[np.ndarray, "n w"]
    n_elements: Int64[np.ndarray, " n"]

    @classmethod
    def of(cls, composition: Real[np.ndarray, "n 119"]) -> SparseFractions:
        """Fractions of atoms by atomic number, on any scale.

        Raises:
            ValueError: if a row is empty, or an amount is negative or not finite.
        """
        check_composition(composition)
        elements, amounts = present(composition)
        fractions = amounts / composition.sum(axis=1, keepdims=True)
        return cls(elements.astype(np.uint8), fractions, np.count_nonzero(elements, axis=1))

    def followed_by(self, others: SparseFractions) -> SparseFractions:
        """These rows and then the others."""
        width = max(self.elements.shape[1], others.elements.shape[1])
        parts = [
            [np.pad(column, ((0, 0), (0, width - column.shape[1]))) for column in part[:2]]
            for part in (self, others)
        ]
        elements, fractions = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        return SparseFractions(
            elements, fractions, np.concatenate([self.n_elements, others.n_elements])
        )

    def element_set(self, row: int) -> Elements:
        """The elements of one row."""
        return tuple(self.elements[row, : self.n_elements[row]].tolist())

    def element_sets(self) -> list[Elements]:
        """The elements of each row."""
        lengths = self.n_elements.tolist()
        return [tuple(z[:k]) for z, k in zip(self.elements.tolist(), lengths, strict=True)]


class Block(NamedTuple):
    """The phases that hold all elements of a set and no other.

    Attributes:
        rows: (k,), indices of the phases, by composition and then by energy.
        starts: (c,), where in ``rows`` each composition begins.
    """

    rows: Int64[np.ndarray, " k"]
    starts: Int64[np.ndarray, " c"]

    @property
    def lowest(self) -> Int64[np.ndarray, " c"]:
        """The lowest phase of each composition: no other can be part of a lowest mixture."""
        return self.rows[self.starts]

    def same_composition(self, lowest: int) -> Int64[np.ndarray, " p"]:
        """The phases of the composition of which this one is the lowest, by rising energy."""
        i = int(np.flatnonzero(self.lowest == lowest)[0])
        end = self.starts[i + 1] if i + 1 < len(self.starts) else len(self.rows)
        return self.rows[self.starts[i] : end]


def blocks_of(
    sparse: SparseFractions,
    energies: Float64[np.ndarray, " n"],
    rows: Int64[np.ndarray, " k"],
) -> dict[Elements, Block]:
    """The blocks of these rows; of equal energies the row that comes first is the lowest."""
    if not len(rows):
        return {}
    elements, fractions = sparse.elements[rows], np.round(sparse.fractions[rows], DIGITS)
    order = np.lexsort((energies[rows], *fractions.T, *elements.T))
    elements, fractions, rows = elements[order], fractions[order], rows[order]
    new_set = np.ones(len(rows), bool)
    new_set[1:] = (elements[1:] != elements[:-1]).any(axis=1)
    new_composition = new_set.copy()
    new_composition[1:] |= (fractions[1:] != fractions[:-1]).any(axis=1)
    begins = np.flatnonzero(new_set)
    starts = np.flatnonzero(new_composition)
    ends = [*begins[1:].tolist(), len(rows)]
    first = np.searchsorted(starts, begins).tolist()
    last = [*first[1:], len(starts)]
    blocks = {}
    for begin, end, i, j in zip(begins.tolist(), ends, first, last, strict=True):
        key = tuple(elements[begin][elements[begin] > 0].tolist())
        blocks[key] = Block(rows[begin:end], starts[i:j] - begin)
    return blocks
