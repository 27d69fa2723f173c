"""Files written whole or not at all, with errors that name them and say what to do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gnomon.run.files import write_atomically


class StoreError(RuntimeError):
    """The folder cannot be used as asked; the message says why and what to do."""


def write_bytes(path: Path, data: bytes) -> Path:
    """Write a file under a temporary name, then rename it: whole or not at all.

    Raises:
        StoreError: if the disk is full or the folder cannot be written.
    """
    try:
        write_atomically(path, data)
    except OSError as error:
        raise cannot_write(path, error) from error
    return path


def write_json(path: Path, facts: Mapping[str, Any]) -> Path:
    """Write facts as JSON, whole or not at all."""
    return write_bytes(path, as_json(facts))


def write_parquet(path: Path, table: pa.Table) -> Path:
    """Write a table as Parquet, whole or not at all."""
    return write_bytes(path, as_parquet(table))


def as_json(facts: Mapping[str, Any]) -> bytes:
    """Facts as the bytes of a file."""
    return (json.dumps(facts, indent=2) + "\n").encode()


def as_parquet(table: pa.Table) -> bytes:
    """A table as the bytes of a file."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return bytes(sink.getvalue().to_pybytes())


def cannot_write(path: Path, error: OSError) -> StoreError:
    """The error to raise where a file cannot be written."""
    return StoreError(
        f"cannot write {path}: {error.strerror or error}. What was written before is intact: "
        "free space or mend the permissions, then run the same command again"
    )
