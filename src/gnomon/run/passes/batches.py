"""Rows of tables in parts: by keys, in equal shares, and in files of several batches."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa


def split(rows: pa.Table, key: str, buckets: int) -> list[pa.Table]:
    """The rows of each bucket of keys, in their order.

    The bucket is the CRC-32 of the key as text modulo their number: the same on any machine.

    >>> rows = pa.table({"key": ["a", "b", "a"], "n": [1, 2, 3]})
    >>> [bucket["n"].to_pylist() for bucket in split(rows, "key", 3)]
    [[1, 3], [], [2]]
    """
    keys = rows[key].combine_chunks().dictionary_encode("encode")
    names = keys.dictionary.cast(pa.string()).to_pylist()
    of_key = np.array([zlib.crc32((name or "").encode()) % buckets for name in names], np.int64)
    of_row = of_key[keys.indices.to_numpy()] if len(rows) else np.empty(0, np.int64)
    sorted_rows = rows.take(pa.array(np.argsort(of_row, kind="stable")))
    ends = np.cumsum(np.bincount(of_row, minlength=buckets))
    return [
        sorted_rows.slice(end - count, count)
        for end, count in zip(ends, np.diff(ends, prepend=0), strict=True)
    ]


def starts(keys: pa.ChunkedArray) -> list[int]:
    """Where each key begins in sorted rows, and their end."""
    codes = keys.combine_chunks().dictionary_encode("encode").indices.to_numpy()
    changes = np.flatnonzero(np.diff(codes)) + 1
    return [0, *changes.tolist(), len(codes)] if len(codes) else [0]


def share(count: int, piece: tuple[int, int]) -> tuple[int, int]:
    """Where the i-th of n equal shares begins, and how many are in it."""
    i, n = piece
    begin = count * i // n
    return begin, count * (i + 1) // n - begin


def as_ipc(tables: list[pa.Table]) -> bytes:
    """Arrow's file format, one batch a table."""
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.ipc.new_file(sink, tables[0].schema, options=options) as file:
        for table in tables:
            rows = table.combine_chunks()
            batches = rows.to_batches() or [pa.RecordBatch.from_pylist([], schema=rows.schema)]
            assert len(batches) == 1, "a column of more than 2 GiB: take smaller shards"
            file.write_batch(batches[0])
    return bytes(sink.getvalue())


def read(path: Path) -> pa.Table:
    """All rows of such a file."""
    with pa.memory_map(str(path)) as file:
        return pa.ipc.open_file(file).read_all()


def batches(path: Path) -> Iterator[pa.Table]:
    """Each of its batches, as a table."""
    with pa.memory_map(str(path)) as file:
        found = pa.ipc.open_file(file)
        for i in range(found.num_record_batches):
            yield pa.Table.from_batches([found.get_batch(i)])


def batch(path: Path, number: int, buckets: int) -> pa.Table:
    """One of its batches, as a table."""
    with pa.memory_map(str(path)) as file:
        found = pa.ipc.open_file(file)
        assert found.num_record_batches == buckets
        return pa.Table.from_batches([found.get_batch(number)])
