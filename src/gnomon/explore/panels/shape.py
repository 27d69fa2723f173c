"""What a panel is, and what it is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from gnomon.crystals import Crystals
from gnomon.explore.index import Index
from gnomon.explore.symmetric import Symmetric


class Head(NamedTuple):
    """What stands over a column.

    Attributes:
        text, unit: of it.
        digits: behind the point of its numbers; None for texts.
        formula: whether its texts are formulas.
        group: whether its numbers are those of space groups.
    """

    text: str
    unit: str = ""
    digits: int | None = None
    formula: bool = False
    group: bool = False


class Link(NamedTuple):
    """A text that leads to a crystal."""

    text: str
    id: str


@dataclass(frozen=True)
class Panel:
    """What a page draws; empty parts are left out.

    Attributes:
        title, about: over it and above its rows.
        heads, rows: a table; cells are texts, numbers, links or nothing.
        peaks: (2θ, intensity) of lines to draw as a diffractogram.
        steps: crystals that came from one another, the root first, and what was done to each.
        text: lines to read or copy.
        works: to cite.
    """

    title: str
    about: str = ""
    heads: Sequence[Head] = ()
    rows: Sequence[Sequence[Any]] = ()
    peaks: Sequence[tuple[float, float]] = ()
    steps: Sequence[Mapping[str, Any]] = ()
    text: Sequence[str] = ()
    works: Sequence[str] = ()
    further: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Subject:
    """One crystal of an index, and what is said of it.

    Attributes:
        index, row: where it is.
        details: what the index keeps of it beside columns.
    """

    index: Index
    row: int
    details: Mapping[str, Any]

    @cached_property
    def crystal(self) -> Crystals:
        """As shown, a batch of one."""
        return self.index.crystals[self.row]

    @cached_property
    def symmetric(self) -> Symmetric:
        """Its symmetry."""
        return Symmetric.of(self.crystal)

    def fact(self, name: str) -> Any:
        """A column; None where there is no such one."""
        column = self.index.columns.get(name)
        return None if column is None else column.at(self.row)

    def here(self, key: str) -> int | None:
        """The row of an id of the same source."""
        at = self.index.row_of.get(key)
        source = self.index.columns["source"]
        return at if at is not None and source.at(at) == source.at(self.row) else None

    def link(self, key: str, text: str) -> Link | str:
        """A link to a crystal that is here, or its text alone."""
        return text if self.here(key) is None else Link(text, key)


def mev(value: float | None) -> float | None:
    """In meV."""
    return None if value is None else 1000 * value
