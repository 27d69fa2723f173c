"""The index: columns of all that is explored in memory, kept on disk and made anew on a change."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Bool, Float32, Int64

from gnomon.chemistry.structure_types import structure_types
from gnomon.crystals import Crystals
from gnomon.explore.collect import FIND, collected
from gnomon.explore.collections import Collection
from gnomon.explore.columns import DETAILS, SCHEMA, Column
from gnomon.explore.map import kept_places
from gnomon.explore.vectors import Vectors, kept_vectors
from gnomon.io.arrow import GEOMETRY, from_arrow
from gnomon.io.tables import write_table
from gnomon.run.listener import SILENT, Listener
from gnomon.run.store import Store

FINGERPRINT = b"fingerprint"
"""Metadata of a kept index: what its files were like."""


@dataclass(frozen=True, eq=False)
class Index:
    """n crystals with all that can be searched.

    Attributes:
        collections: where they come from.
        fingerprints: of the collections, when their rows were made.
        crystals: as shown: relaxed, or as proposed or given.
        columns: by name.
        details: JSON of each row.
    """

    collections: tuple[Collection, ...]
    fingerprints: tuple[str, ...]
    crystals: Crystals
    columns: dict[str, Column]
    details: pa.ChunkedArray

    def __len__(self) -> int:
        """Number of crystals."""
        return len(self.crystals)

    @property
    def fresh(self) -> bool:
        """Whether the files are still those that it was made from."""
        return all(
            a.fingerprint == b for a, b in zip(self.collections, self.fingerprints, strict=True)
        )

    @cached_property
    def row_of(self) -> dict[str, int]:
        """The row of each id."""
        return {str(key): row for row, key in enumerate(self.texts("id"))}

    @cached_property
    def present(self) -> Bool[np.ndarray, "119 n"]:
        """Which rows hold each element, by atomic number."""
        return np.ascontiguousarray((self.crystals.composition > 0).T)

    @cached_property
    def reduced(self) -> Int64[np.ndarray, "119 n"]:
        """Atoms of each element in the reduced formula."""
        counts = self.crystals.composition
        divisor = np.gcd.reduce(counts, axis=1, keepdims=True)
        return np.ascontiguousarray((counts // np.maximum(divisor, 1)).T)

    @cached_property
    def amounts(self) -> tuple[dict[tuple[int, ...], int], Int64[np.ndarray, " n"]]:
        """A number for each set of amounts of reduced formulas, and that of each row.

        CaF2 and Na2O have the same.
        """
        kinds: dict[tuple[int, ...], int] = {}
        keys = (tuple(sorted(n for _, n in one)) for one in self.crystals.reduced_counts)
        numbers = [kinds.setdefault(key, len(kinds)) for key in keys]
        return kinds, np.array(numbers, np.int64)

    @cached_property
    def _type_names(self) -> dict[str, str]:
        return {}

    def type_name(self, prototype: str) -> str:
        """What chemists call the structure type of a prototype's first crystal, or nothing."""
        if prototype not in self._type_names:
            column = self.columns["prototype"]
            code = (column.words or ()).index(prototype)
            (found,) = structure_types(self.crystals[int(np.argmax(column.values == code))])
            self._type_names[prototype] = "" if found is None else found.type_name
        return self._type_names[prototype]

    @cached_property
    def places(self) -> Float32[np.ndarray, "n 2"] | None:
        """Places of the crystals on their map, NaN where there is none; None without a map."""
        return kept_places(self.collections, self.texts("content_id"))

    @cached_property
    def vectors(self) -> Vectors | None:
        """Embeddings of the crystals, if some were made."""
        return kept_vectors(self.collections, self.texts("content_id"))

    @cached_property
    def provenance(self) -> dict[str, dict[str, Any]]:
        """Of the campaigns, by name."""
        campaigns = [one for one in self.collections if one.campaign]
        return {one.name: Store(one.path).provenance for one in campaigns}

    @cached_property
    def usual_order(self) -> Int64[np.ndarray, " n"]:
        """Finds first, then by rising energy above the hull; rows without one last."""
        status = self.columns["status"]
        code = [i for i, word in enumerate(status.words or ()) if word == FIND]
        find = np.isin(status.values, code)
        order = self.columns["e_above_hull"].order
        return np.concatenate([order[find[order]], order[~find[order]]])

    def texts(self, name: str) -> list[str | None]:
        """A column of texts, row by row."""
        column = self.columns[name]
        words = (*(column.words or ()), None)
        return [words[code] for code in column.values.tolist()]

    def row(self, number: int, names: Sequence[str]) -> dict[str, Any]:
        """Some columns of a row."""
        return {name: self.columns[name].at(number) for name in names}

    def detail(self, number: int) -> dict[str, Any]:
        """What is said of a row beside its columns."""
        return dict(json.loads(self.details[number].as_py() or "{}"))


def index_of(
    collections: Sequence[Collection], listener: Listener = SILENT, before: Index | None = None
) -> Index:
    """The index of some collections; what is kept on disk and still true is not made again.

    Args:
        collections: campaigns and files.
        listener: hears of progress.
        before: an index of the same collections, of which the files may have changed.

    Raises:
        ValueError: if one cannot be read.
    """
    tables, prints = [], []
    for collection in collections:
        fingerprint = collection.fingerprint
        kept = _kept(collection, fingerprint)
        if kept is None:
            _make(collection, fingerprint, listener)
            kept = pq.read_table(collection.index_path)
        tables.append(kept.replace_schema_metadata())
        prints.append(fingerprint)
    if before is not None and before.fingerprints == tuple(prints):
        return before
    return _joined(tuple(collections), tuple(prints), tables)


def _kept(collection: Collection, fingerprint: str) -> pa.Table | None:
    path = collection.index_path
    try:
        schema = pq.read_schema(path)
        if (schema.metadata or {}).get(FINGERPRINT) == fingerprint.encode():
            return pq.read_table(path)
    except (OSError, pa.ArrowException):
        pass  # not there, or damaged: it is made anew
    return None


def _make(collection: Collection, fingerprint: str, listener: Listener) -> None:
    path = collection.index_path
    path.parent.mkdir(parents=True, exist_ok=True)
    parts = list(collected(collection, listener))
    table = _concatenated(parts) if parts else SCHEMA.empty_table()
    listener.say(f"{collection.name}: {len(table)} crystals indexed")
    write_table(path, table.replace_schema_metadata({FINGERPRINT: fingerprint}))


def _concatenated(tables: Sequence[pa.Table]) -> pa.Table:
    """One table; a column that is of numbers here and of texts there becomes one of texts."""
    kinds: dict[str, set[pa.DataType]] = {}
    for table in tables:
        for field in table.schema:
            kinds.setdefault(field.name, set()).add(field.type)
    both = {name for name, types in kinds.items() if len(types) > 1 and name not in SCHEMA.names}
    return pa.concat_tables([_as_texts(t, both) for t in tables], promote_options="default")


def _as_texts(table: pa.Table, names: set[str]) -> pa.Table:
    for name in names & set(table.column_names):
        at = table.schema.get_field_index(name)
        field = table.schema.field(name).with_type(pa.string())
        table = table.set_column(at, field, table[name].cast(pa.string()))
    return table


def _joined(
    collections: tuple[Collection, ...], prints: tuple[str, ...], tables: Sequence[pa.Table]
) -> Index:
    table = _concatenated([SCHEMA.empty_table(), *tables])
    table = table.set_column(
        0, table.schema.field(0), pa.array(_unique(table["id"].to_pylist()), pa.string())
    )
    columns = {
        field.name: Column.of(field, table[field.name])
        for field in table.schema
        if field.name not in (*GEOMETRY, DETAILS)
    }
    shown = {n: c for n, c in columns.items() if n in SCHEMA.names or c.known.any()}
    crystals = from_arrow(table) if len(table) else Crystals.empty()
    return Index(collections, prints, crystals, shown, pc.fill_null(table[DETAILS], "{}"))


def _unique(ids: list[str]) -> list[str]:
    """The same ids, a crystal that comes again with a number behind it."""
    seen: set[str] = set()
    for i, key in enumerate(ids):
        if key in seen:
            ids[i] = next(new for n in count(2) if (new := f"{key}-{n}") not in seen)
        seen.add(ids[i])
    return ids
