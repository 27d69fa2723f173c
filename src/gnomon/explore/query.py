"""A search: what the address says, and the rows that it means."""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Annotated, Any

import numpy as np
from jaxtyping import Bool, Int64
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gnomon.elements import atomic_number
from gnomon.explore.columns import Column
from gnomon.explore.index import Index

SHOWN = (
    *("reduced_formula", "space_group", "crystal_system", "formation_energy_per_atom"),
    *("e_above_hull", "status", "generator", "source"),
)
"""Columns of a search that names none."""

ANY = "*"
"""Any element, in formulas and systems."""

PAGE = 50
"""Rows of a page unless the address says."""

MOST = 1000
"""Rows of a page."""

LONGEST = 200
"""Characters of one value in an address."""

Word = Annotated[str, Field(max_length=LONGEST)]
Words = Annotated[list[Word], Field(max_length=1000)]
_PART = re.compile(r"(\*|[A-Z][a-z]?)(\d*)")


class QueryError(ValueError):
    """A search that makes no sense; the message says what would."""


class Query(BaseModel):
    """A search; conditions hold together, and values of one kind are alternatives."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    include: Words = Field(default=[], description="elements that must be there")
    exclude: Words = Field(default=[], description="elements that must not be there")
    within: Words = Field(default=[], description="elements of which there may be no others")
    exactly: Words = Field(default=[], description="the elements, all of them and no others")
    formula: Words = Field(default=[], description="formulas in any order; * is any element: *TiO3")
    system: Words = Field(default=[], description="chemical systems; * is any element: Li-*-O")
    id: Words = Field(default=[], description="ids of rows")
    where: Words = Field(default=[], description="COLUMN:VALUE; of one column alternatives")
    range: Words = Field(default=[], description="COLUMN:LOWEST:HIGHEST, one may be left out")
    sort: Word = Field(default="", description="a column; with - before it falling")
    offset: int = Field(default=0, ge=0, le=2**53, description="rows to pass over")
    limit: int = Field(default=PAGE, ge=0, le=MOST, description="rows to show")
    columns: Words = Field(default=[], description="columns to show; as usual if none")

    @classmethod
    def of(cls, pairs: Sequence[tuple[str, str]]) -> Query:
        """From the pairs of an address; a name may come again, elements also with commas.

        >>> Query.of([("include", "Au,Cu"), ("limit", "5")]).include
        ['Au', 'Cu']

        Raises:
            QueryError: saying which value is wrong.
        """
        given: dict[str, Any] = {}
        for name, value in pairs:
            if name in LISTS:
                parts = value.split(",") if name in ELEMENTS else [value]
                given.setdefault(name, []).extend(p.strip() for p in parts if p.strip())
            elif name in given:
                raise QueryError(f"{name} can be given once")
            else:
                given[name] = value
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"])
            known = ", ".join(cls.model_fields)
            hint = f"; there are {known}" if first["type"] == "extra_forbidden" else ""
            raise QueryError(f"{name}: {first['msg']}{hint}") from error


ELEMENTS = ("include", "exclude", "within", "exactly", "formula", "system", "id", "columns")
"""Parameters of which one may hold several values with commas between them."""

LISTS = (*ELEMENTS, "where", "range")


@dataclass(frozen=True)
class Found:
    """Rows that a search means.

    Attributes:
        total: how many there are.
        rows: of the page.
    """

    total: int
    rows: list[int]


def found(index: Index, query: Query) -> Found:
    """The page of rows that a query asks for.

    Raises:
        QueryError: for an element, a column or a number that is none.
    """
    rows = matching(index, query)
    return Found(len(rows), rows[query.offset : query.offset + query.limit].tolist())


def matching(index: Index, query: Query) -> Int64[np.ndarray, " k"]:
    """All rows that match, in the order of the query; in the usual one if it names none."""
    mask = reduce(np.logical_and, _masks(index, query), np.ones(len(index), bool))
    if not query.sort:
        return np.asarray(index.usual_order[mask[index.usual_order]])
    column = column_of(index, query.sort.removeprefix("-"))
    order = column.falling if query.sort.startswith("-") else column.order
    return np.asarray(order[mask[order]])


def column_of(index: Index, name: str) -> Column:
    """A column by its name.

    Raises:
        QueryError: if there is none.
    """
    if name not in index.columns:
        raise QueryError(f"no column {name!r}: there are {', '.join(index.columns)}")
    return index.columns[name]


def usual_columns(index: Index) -> list[str]:
    """Columns of a search that names none, those that nothing has left out."""
    return [name for name in SHOWN if index.columns[name].known.any()]


def _masks(index: Index, query: Query) -> list[Bool[np.ndarray, " n"]]:
    masks = [index.present[_z(symbol)] for symbol in query.include]
    masks += [~index.present[_z(symbol)] for symbol in query.exclude]
    masks += [index.present[_z(symbol)] for symbol in query.exactly]
    for symbols in filter(None, (query.within, query.exactly)):
        others = np.delete(np.arange(len(index.present)), [_z(symbol) for symbol in symbols])
        masks.append(~index.present[others].any(axis=0))
    for texts, mask_of in ((query.formula, _formula), (query.system, _system)):
        if texts:
            masks.append(reduce(np.logical_or, [mask_of(index, text) for text in texts]))
    if query.id:
        rows = [index.row_of[key] for key in query.id if key in index.row_of]
        masks.append(np.isin(np.arange(len(index)), rows))
    same: dict[str, list[str]] = {}
    for text in query.where:
        name, value = _split(text, 1, "where=COLUMN:VALUE")
        same.setdefault(name, []).append(value)
    masks += [_equal(column_of(index, name), values) for name, values in same.items()]
    masks += [_within(index, text) for text in query.range]
    return masks


def _z(symbol: str) -> int:
    try:
        return atomic_number(symbol)
    except ValueError as error:
        raise QueryError(str(error)) from error


def _split(text: str, colons: int, how: str) -> list[str]:
    parts = text.split(":", colons)
    if len(parts) != colons + 1:
        raise QueryError(f"{text!r}: write {how}")
    return parts


def _formula(index: Index, text: str) -> Bool[np.ndarray, " n"]:
    """Rows of a reduced formula; several stars are elements that differ."""
    parts = _PART.findall(text)
    if not parts or "".join(a + b for a, b in parts) != text or any(b == "0" for _, b in parts):
        raise QueryError(f"{text!r} is no formula: write Fe2O3, or *TiO3 for any element")
    amounts = [(symbol, int((number or "1")[:9])) for symbol, number in parts]
    named: dict[str, int] = {}
    for symbol, amount in amounts:
        if symbol != ANY:
            named[symbol] = named.get(symbol, 0) + amount
    free = [amount for symbol, amount in amounts if symbol == ANY]
    divisor = math.gcd(*named.values(), *free)
    kinds, kind_of = index.amounts
    wanted = tuple(sorted(amount // divisor for amount in (*named.values(), *free)))
    mask = kind_of == kinds.get(wanted, -1)
    for symbol, amount in named.items():
        mask &= index.reduced[_z(symbol)] == amount // divisor
    return np.asarray(mask)


def _system(index: Index, text: str) -> Bool[np.ndarray, " n"]:
    """Rows of a chemical system; each star is one more element."""
    parts = [part.strip() for part in text.split("-")]
    mask = index.columns["n_elements"].values == len(parts)
    for symbol in parts:
        if symbol != ANY:
            mask = mask & index.present[_z(symbol)]
    return np.asarray(mask)


def _equal(column: Column, values: Sequence[str]) -> Bool[np.ndarray, " n"]:
    if column.words is None:
        return np.isin(column.values, [_number(value, column.name) for value in values])
    places = [(bisect_left(column.words, value), value) for value in values]
    there = [place for place, value in places if column.words[place : place + 1] == (value,)]
    return np.isin(column.values, there)


def _within(index: Index, text: str) -> Bool[np.ndarray, " n"]:
    name, low, high = _split(text, 2, "range=COLUMN:LOWEST:HIGHEST")
    column = column_of(index, name)
    if column.words is not None:
        raise QueryError(f"{name} holds texts: write where={name}:VALUE")
    mask = column.known
    if low:
        mask = mask & (column.values >= _number(low, name))
    if high:
        mask = mask & (column.values <= _number(high, name))
    return np.asarray(mask)


def _number(text: str, name: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise QueryError(f"{name}: {text!r} is no number") from error
    if math.isnan(value):
        raise QueryError(f"{name}: {text!r} is no number")
    return value
