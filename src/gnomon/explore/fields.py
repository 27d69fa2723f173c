"""The columns of an index as the properties that OPTIMADE names, to filter, sort and show."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from jaxtyping import Bool

from gnomon.elements import SYMBOLS, Counts
from gnomon.explore.columns import Column
from gnomon.explore.index import Index

PREFIX = "gnomon"
"""Of our own properties: ``_gnomon_e_above_hull``."""

STANDARD = {"id", "n_elements", "n_atoms"}
"""Columns that OPTIMADE has properties for."""

SAME = 1e-6
"""By which two ratios of elements may differ."""

_NAME = re.compile(r"[a-z_][a-z0-9_]*")


class Truth(NamedTuple):
    """What a filter says of n rows; where a property is unknown, neither.

    Attributes:
        yes, no: which rows fulfil it, and which do not.
    """

    yes: Bool[np.ndarray, " n"]
    no: Bool[np.ndarray, " n"]

    @classmethod
    def of(cls, mask: Bool[np.ndarray, " n"], known: Bool[np.ndarray, " n"] | bool = True) -> Truth:
        """Of a condition where it can be asked."""
        return cls(mask & known, ~mask & known)


def own_fields(index: Index) -> list[dict[str, str]]:
    """Our own properties as a provider describes them."""
    return [
        {
            "name": name,
            "description": column.description,
            "unit": column.unit or "1",
            "type": "string" if column.words is not None else "float",
        }
        for name, column in index.columns.items()
        if name not in STANDARD and _NAME.fullmatch(name)
    ]


def reduced_formula(counts: Counts) -> str:
    """Elements in alphabetical order, as OPTIMADE has it.

    >>> reduced_formula(((3, 1), (8, 4), (15, 1), (26, 1)))
    'FeLiO4P'
    """
    named = sorted((SYMBOLS[z], n) for z, n in counts)
    return "".join(f"{symbol}{n if n > 1 else ''}" for symbol, n in named)


def anonymous_formula(counts: Counts) -> str:
    """Amounts alone, the largest first.

    >>> anonymous_formula(((20, 1), (9, 2)))
    'A2B'
    """
    amounts = sorted((n for _, n in counts), reverse=True)
    letters = [chr(65 + i) if i < 26 else f"{chr(65 + i % 26)}a" for i in range(len(amounts))]
    return "".join(f"{a}{n if n > 1 else ''}" for a, n in zip(letters, amounts, strict=True))


@dataclass(frozen=True, eq=False)
class Fields:
    """The properties of all structures of an index."""

    index: Index

    @cached_property
    def columns(self) -> dict[str, Column]:
        """Numbers and texts by the names of OPTIMADE."""
        index, counts = self.index, self.index.crystals.reduced_counts
        changed = [self.modified] * len(index)
        own = index.columns
        texts = {
            "type": ["structures"] * len(index),
            "last_modified": changed,
            "chemical_formula_reduced": [reduced_formula(one) for one in counts],
            "chemical_formula_descriptive": index.texts("reduced_formula"),
            "chemical_formula_anonymous": [anonymous_formula(one) for one in counts],
        }
        return {
            "id": own["id"],
            "nelements": own["n_elements"],
            "nsites": own["n_atoms"],
            "space_group_it_number": own["space_group"],
            "nperiodic_dimensions": Column("", "", "1", np.full(len(index), 3.0)),
            **{
                name: Column.of(
                    pa.field(name, pa.string()), pa.chunked_array([values], pa.string())
                )
                for name, values in texts.items()
            },
            **{f"_{PREFIX}_{f['name']}": own[f["name"]] for f in own_fields(index)},
        }

    @cached_property
    def modified(self) -> str:
        """When the newest of the files changed, in UTC."""
        times = [path.stat().st_mtime for one in self.index.collections for path in one.files]
        return datetime.fromtimestamp(int(max(times, default=0)), UTC).strftime(
            "%Y-%m-%dT%H:%M:%SZ"
        )

    def _none(self) -> Bool[np.ndarray, " n"]:
        return np.zeros(len(self.index), bool)

    @cached_property
    def lists(self) -> dict[str, tuple[Callable[[Any], np.ndarray], Callable[[Any], np.ndarray]]]:
        """Of each list the rows in which a value stands, and those with others than some."""
        fractions = self.index.crystals.fractions
        elements = (self._with, self._with_others)
        return {
            "elements": elements,
            "species_at_sites": elements,
            "species.name": elements,
            "elements_ratios": (
                lambda value: (np.abs(fractions - value) < SAME).any(axis=1) & (value > 0),
                lambda values: ((fractions > 0) & ~_one_of(fractions, values)).any(axis=1),
            ),
            "dimension_types": (
                lambda value: np.full(len(self.index), value == 1),
                lambda values: np.full(len(self.index), 1 not in values),
            ),
            "structure_features": (lambda _: self._none(), lambda _: ~self._none()),
            "references.id": (lambda _: self._none(), lambda _: ~self._none()),
            "structures.id": (lambda _: self._none(), lambda _: ~self._none()),
        }

    def _with(self, symbol: Any) -> Bool[np.ndarray, " n"]:
        if symbol not in SYMBOLS[1:]:
            return self._none()
        return self.index.present[SYMBOLS.index(symbol)]

    def _with_others(self, symbols: Sequence[Any]) -> Bool[np.ndarray, " n"]:
        inside = [SYMBOLS.index(one) for one in symbols if one in SYMBOLS[1:]]
        others = np.delete(np.arange(len(self.index.present)), inside)
        return np.asarray(self.index.present[others].any(axis=0))

    @cached_property
    def lengths(self) -> dict[str, np.ndarray]:
        """Lengths of the lists."""
        n = len(self.index)
        elements, atoms = (self.columns[k].values for k in ("nelements", "nsites"))
        three, none = np.full(n, 3.0), np.zeros(n)
        return {
            "elements": elements,
            "elements_ratios": elements,
            "species": elements,
            "species_at_sites": atoms,
            "cartesian_site_positions": atoms,
            "dimension_types": three,
            "lattice_vectors": three,
            "structure_features": none,
        }

    def known(self, name: str) -> Bool[np.ndarray, " n"]:
        """Which rows have a property."""
        if name in self.columns:
            return np.asarray(self.columns[name].known)
        return np.full(len(self.index), name.partition(".")[0] in self.lengths)

    def compare(self, name: str, operator: str, value: Any) -> Truth | None:
        """A property against a value; None where the two are of different kinds."""
        column = self.columns.get(name)
        if column is None:
            return Truth(self._none(), self._none())
        if (column.words is None) == isinstance(value, str):
            return None
        if column.words is None:
            return Truth.of(compared(column.values, operator, value), column.known)
        low, high = bisect_left(column.words, value), bisect_right(column.words, value)
        mask = {
            "=": (column.values >= low) & (column.values < high),
            "!=": (column.values < low) | (column.values >= high),
            "<": column.values < low,
            "<=": column.values < high,
            ">": column.values >= high,
            ">=": column.values >= low,
        }[operator]
        return Truth.of(mask, column.known)

    def fuzzy(self, name: str, how: str, value: str) -> Truth | None:
        """A text that contains, starts or ends with another; None of a number."""
        column = self.columns.get(name)
        if column is None:
            return Truth(self._none(), self._none())
        if column.words is None:
            return None
        test = {"CONTAINS": str.__contains__, "STARTS": str.startswith, "ENDS": str.endswith}[how]
        good = np.array([*(test(word, value) for word in column.words), False], bool)
        return Truth.of(good[column.values], column.known)


def compared(values: np.ndarray, operator: str, value: int | float) -> Bool[np.ndarray, " n"]:
    """Numbers against one number."""
    functions = {
        "=": np.equal,
        "!=": np.not_equal,
        "<": np.less,
        "<=": np.less_equal,
        ">": np.greater,
        ">=": np.greater_equal,
    }
    return np.asarray(functions[operator](values, value))


def _one_of(fractions: np.ndarray, values: Sequence[int | float]) -> np.ndarray:
    return np.asarray((np.abs(fractions[..., None] - np.array(values, float)) < SAME).any(axis=-1))
