"""A table in parts: a folder of Parquet files, listed with their checksums when all are there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gnomon.run.writing import StoreError, as_parquet, write_bytes, write_json

LIST = "shards.json"
"""Written last: a folder with it is finished."""


@dataclass(frozen=True)
class Part:
    """One file.

    Attributes:
        name: of the file.
        rows: in it.
        sha256: of it, in hexadecimal.
    """

    name: str
    rows: int
    sha256: str


@dataclass(frozen=True)
class Shards:
    """A table in parts, each a file that one process works on.

    Attributes:
        folder: where they lie.
        parts: the files, in order.
        counts: what the functions counted that made them, by reason.
        lost: records whose worker died or hung, each with the reason.
        facts: seconds and memory that they took.
    """

    folder: Path
    parts: tuple[Part, ...]
    counts: Mapping[str, int] = field(default_factory=dict)
    lost: tuple[Mapping[str, Any], ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def write(cls, folder: Path, tables: Iterable[pa.Table]) -> Shards:
        """Write tables, one a part; they are taken one by one, so that memory stays flat.

        Raises:
            ValueError: if there is none: a table without rows still has columns.
            StoreError: if the disk is full or the folder cannot be written.
        """
        shards = cls(folder, tuple(write_part(folder, i, rows) for i, rows in enumerate(tables)))
        if not shards.parts:
            raise ValueError(f"no table for {folder}: without rows it still has columns")
        shards.finish()
        return shards

    @classmethod
    def open(cls, folder: Path) -> Shards:
        """What was written there.

        Raises:
            StoreError: if it was not finished, or its list is damaged.
        """
        try:
            found = json.loads((folder / LIST).read_bytes())
            parts = tuple(Part(**part) for part in found["parts"])
            return cls(folder, parts, found["counts"], tuple(found["lost"]), found["facts"])
        except OSError as error:
            raise StoreError(f"{folder} holds no finished shards: {error.strerror}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{folder / LIST} is damaged: remove {folder}") from error

    def finish(self) -> None:
        """List the parts, which makes the folder a finished one."""
        write_json(
            self.folder / LIST,
            {
                "parts": [asdict(part) for part in self.parts],
                "counts": dict(self.counts),
                "lost": [dict(one) for one in self.lost],
                "facts": dict(self.facts),
            },
        )

    @property
    def rows(self) -> int:
        """In all parts."""
        return sum(part.rows for part in self.parts)

    @property
    def digest(self) -> str:
        """One checksum of all parts."""
        return hashlib.sha256(" ".join(part.sha256 for part in self.parts).encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.parts)

    def read(self, i: int) -> pa.Table:
        """One part.

        Raises:
            StoreError: if it is not as it was written.
        """
        path = self.folder / self.parts[i].name
        try:
            data = path.read_bytes()
        except OSError as error:
            raise StoreError(f"{path} cannot be read: {error.strerror or error}") from error
        if hashlib.sha256(data).hexdigest() != self.parts[i].sha256:
            raise StoreError(f"{path} is not as it was written: remove {self.folder}")
        return pq.read_table(pa.BufferReader(data))

    def tables(self) -> Iterator[pa.Table]:
        """The parts, one after the other."""
        return map(self.read, range(len(self)))

    def table(self) -> pa.Table:
        """All rows."""
        return pa.concat_tables(self.tables())


def part_name(i: int) -> str:
    """The file of a part."""
    return f"part-{i:05d}.parquet"


def write_part(folder: Path, i: int, rows: pa.Table) -> Part:
    """Write one part, the same bytes for the same rows."""
    data = as_parquet(rows.combine_chunks())
    write_bytes(folder / part_name(i), data)
    return Part(part_name(i), len(rows), hashlib.sha256(data).hexdigest())
