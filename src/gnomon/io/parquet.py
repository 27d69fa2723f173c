"""Parquet tables of crystals, a batch of rows at a time: columns in, columns out."""

import io
from collections.abc import Collection, Iterator
from dataclasses import replace
from io import BufferedReader
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gnomon.io.arrow import GEOMETRY, Geometry, check_columns
from gnomon.io.parquet_footer import FooterError, row_groups
from gnomon.io.reasons import ENERGIES, InputError, Reason, UnusableError
from gnomon.io.records import (
    LABELS,
    MAX_TEXT,
    MAX_YEAR,
    SAME_ENERGY,
    Limits,
    Parsed,
    rejected,
    stack,
)
from gnomon.io.sources import content

ID_COLUMNS = ("source_id", "material_id", "id")
"""Columns that name a row in its source, the best first."""

ALIASES = {"e_above_hull": ("e_above_hull", "energy_above_hull")}
"""Other names of the energy columns."""

MAX_ROWS = 50_000_000
"""Rows of a table, more than any collection of crystals has: a footer may claim anything."""

EXPANSION = 100
"""Times its size that a file may expand to: crystals compress to a tenth, rarely to a thirtieth."""

ALLOWED = 64_000_000
"""Bytes that any file may expand to, and about those that are held of a batch of rows."""

_LARGEST_METADATA = 100_000_000  # bytes, and entries, of a footer: a damaged one may claim anything


def parsed(source: str, data: BufferedReader, limits: Limits, chunk: int) -> Iterator[Parsed]:
    """The rows of a table, named ``source#row``, about ``chunk`` at a time.

    Raises:
        InputError: if the table has no columns of crystals, before the first row.
        UnusableError: if the file is damaged, claims more atoms than ``max_atoms`` a row, or would
            expand to very many times its size.
    """
    seekable = seekable_of(data, limits)
    file = _open(seekable)
    check_columns(file.schema_arrow)
    _check_numbers(file.schema_arrow)
    wanted = [name for name in file.schema_arrow.names if name in COLUMNS]
    chunk = min(chunk, check_size(seekable, limits, COLUMNS))
    row = 0
    batches = _batches(file, chunk, wanted)
    while True:
        try:
            batch = next(batches, None)
            found = None if batch is None else columns(pa.table(batch), source, row)
        except InputError:
            raise
        except Exception as error:  # see records.record: a damaged page raises anything
            detail = f"{type(error).__name__} from row {row} on: {error}"
            yield stack([rejected(f"{source}#{row}", Reason.unreadable, detail)])
            return
        if found is None:
            break
        row += len(found.labels)
        yield found
    if row == 0:
        yield stack([rejected(source, Reason.empty, "a table of no rows")])


def _check_numbers(schema: pa.Schema) -> None:
    """Refuse columns of numbers that hold anything else, before they are read.

    A text that a dictionary holds once takes its length in every row once it is read.

    Raises:
        InputError: naming the column.
    """
    for name in (*(n for one in ENERGIES for n in ALIASES.get(one, (one,))), "year"):
        if schema.get_field_index(name) < 0:
            continue
        kind = schema.field(name).type
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        if not pa.types.is_primitive(kind) and not pa.types.is_null(kind):
            raise InputError(f"the column {name} must hold numbers, not {kind}")


def _batches(file: pq.ParquetFile, chunk: int, wanted: list[str]) -> Iterator[pa.RecordBatch]:
    """About ``chunk`` rows at a time, from as many row groups as make so many.

    One iterator over a whole file keeps memory of the row groups that it has passed: 80 MB after
    320,000 crystals of the Materials Project.
    """
    groups: list[int] = []
    rows = 0
    for group in range(file.num_row_groups):
        groups.append(group)
        rows += file.metadata.row_group(group).num_rows
        if rows >= chunk or group == file.num_row_groups - 1:
            yield from file.iter_batches(
                batch_size=chunk, row_groups=groups, columns=wanted, use_threads=False
            )
            groups, rows = [], 0


COLUMNS = frozenset([*GEOMETRY, *ID_COLUMNS, *ENERGIES, *ALIASES["e_above_hull"], "year"])


def seekable_of(data: BufferedReader, limits: Limits) -> BufferedReader:
    """The same stream, or what it holds."""
    return data if data.seekable() else io.BufferedReader(io.BytesIO(content(data, limits)))


def _open(seekable: BufferedReader) -> pq.ParquetFile:
    try:
        plain = pq.ParquetFile(
            seekable,
            thrift_string_size_limit=_LARGEST_METADATA,
            thrift_container_size_limit=_LARGEST_METADATA,
        )
        # one long name in many rows is held once
        names = [name for name in ID_COLUMNS if name in plain.schema_arrow.names]
        return pq.ParquetFile(seekable, metadata=plain.metadata, read_dictionary=names)
    except Exception as error:  # see records.record: a damaged footer raises anything
        raise UnusableError(Reason.unreadable, f"{type(error).__name__}: {error}") from error


def check_size(file: BufferedReader, limits: Limits, names: Collection[str]) -> int:
    """Refuse a file that would expand beyond measure, by what its footer says of each column.

    A page of a kilobyte can expand to gigabytes, and a dictionary holds a value once for many rows.

    Returns:
        Rows that may be held at a time.

    Raises:
        UnusableError: if it would, or if the footer is damaged.
    """
    try:
        groups = row_groups(file)
    except FooterError as error:
        raise UnusableError(Reason.unreadable, str(error)) from error
    size = file.seek(0, io.SEEK_END)
    if (rows := sum(group.rows for group in groups)) > MAX_ROWS:
        detail = f"{rows} rows, more than {MAX_ROWS}: split the file"
        raise UnusableError(Reason.too_large, detail)
    expanded, widest = 0, 1
    for group in groups:
        read = [column for column in group.columns if column.name in names]
        values = max((column.values for column in read), default=0)
        if values > max(group.rows, 0) * 3 * limits.max_atoms:
            raise UnusableError(
                Reason.too_large,
                f"{values} values in {group.rows} rows (raise max_atoms to read it)",
            )
        held = sum(max(column.size, 8 * column.values) for column in read)
        expanded += held
        widest = max(widest, held // max(group.rows, 1))
    if expanded > max(ALLOWED, EXPANSION * size):
        raise UnusableError(
            Reason.too_large,
            f"{size} bytes that would expand to {expanded}, more than {EXPANSION} times as many: "
            "write the file anew without compression and dictionaries",
        )
    return max(1, ALLOWED // widest)


def columns(table: pa.Table, source: str, first: int) -> Parsed:
    """Rows of a table of crystals, named ``source#row`` from ``first`` on."""
    geometry = Geometry.of(table)
    n = len(geometry.lattice)
    labels: dict[str, Any] = {
        "source": pa.array([f"{source}#{i}" for i in range(first, first + n)], pa.string()),
        "source_id": _first(table, ID_COLUMNS, pa.string()),
        "year": _numbers(table, ("year",)),
        "warnings": pa.nulls(n, pa.string()),
    }
    for name in ENERGIES:
        labels[name] = _numbers(table, ALIASES.get(name, (name,)))
    found = Parsed.of(geometry)
    reasons, details = found.reasons, found.details
    reasons[geometry.misshapen] = Reason.unreadable
    details[geometry.misshapen] = "null, or lists that do not hold 9, n and 3 n numbers"
    infinite = np.zeros(n, bool)
    for name in (*ENERGIES, "year"):
        infinite |= np.isinf(labels[name].to_numpy(zero_copy_only=False).astype(np.float64))
    reasons[infinite], details[infinite] = Reason.not_finite, "an energy or a year is infinite"
    for names in ALIASES.values():
        given = [_numbers(table, (one,)).to_numpy(zero_copy_only=False) for one in names]
        apart = np.abs(np.diff(np.array(given, np.float64), axis=0)).max(axis=0, initial=0)
        reasons[apart > SAME_ENERGY] = Reason.contradictory
        details[apart > SAME_ENERGY] = f"{' and '.join(names)} differ"
    year = labels["year"].to_numpy(zero_copy_only=False).astype(np.float64)
    absurd = (year < 0) | (year > MAX_YEAR)
    reasons[absurd & ~infinite] = Reason.unreadable
    details[absurd & ~infinite] = f"a year outside 0..{MAX_YEAR}"
    labels["year"] = pa.array(np.where(absurd, np.nan, year), from_pandas=True).cast(
        pa.int32(), safe=False
    )
    return replace(found, labels=pa.table(labels).select(LABELS.names).cast(LABELS))


def _numbers(table: pa.Table, names: tuple[str, ...]) -> pa.Array:
    """A column of float64 with NaN as null; nulls where the table has no such column.

    Raises:
        InputError: if the column holds anything but numbers.
    """
    try:
        values = _first(table, names, pa.float64())
    except pa.ArrowException as error:
        raise InputError(f"the column {names[0]} must hold numbers: {error}") from error
    return pc.if_else(pc.is_nan(values), pa.scalar(None, pa.float64()), values)


def _first(table: pa.Table, names: tuple[str, ...], kind: pa.DataType) -> pa.Array:
    for name in names:
        if table.schema.get_field_index(name) >= 0:
            values = table[name].combine_chunks()
            if pa.types.is_dictionary(values.type):
                short = pc.utf8_slice_codeunits(values.dictionary.cast(pa.string()), 0, MAX_TEXT)
                values = short.take(values.indices)
            return values.cast(kind)
    return pa.nulls(table.num_rows, kind)
