"""Facts about crystals as tables that say what they hold.

A property, a recipe, an embedding is a Parquet table keyed by ``id``.  Each column says in the
metadata of its Arrow field what it is (``description``) and in what unit (``unit``); a table of one
property has the columns of ``value_schema``.  In a campaign such tables lie in ``tables/``.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gnomon.run.files import renamed

FOLDER = "tables"
"""Where they lie in the folder of a campaign."""

OK = "ok"
"""Status of a row that has its value."""


class TableError(ValueError):
    """A table that does not say what it holds; the message names the column."""


def column(
    name: str, kind: pa.DataType, description: str, *, unit: str = "", nullable: bool = True
) -> pa.Field:
    """A column that says what it is.

    Args:
        name: as in code and settings: ``band_gap``.
        kind: Arrow type; numbers with a fraction need a unit.
        description: one line for people.
        unit: ``eV``, ``eV/atom``, ``Å``, ``GPa``; ``1`` for a number without one.
        nullable: whether a row may lack it.
    """
    said = {"description": description} | ({"unit": unit} if unit else {})
    return pa.field(name, kind, nullable=nullable, metadata=said)


ID = column("id", pa.string(), "content id of the crystal", nullable=False)


UNSAID = "of the value"
"""Description of an uncertainty of which nobody says where it comes from."""


def value_schema(
    description: str, unit: str, *others: pa.Field, uncertainty: str = ""
) -> pa.Schema:
    """Columns of a table of one property.

    Args:
        description: of the property.
        unit: of its value and its uncertainty.
        others: further columns.
        uncertainty: where that of the value comes from, in words.

    >>> value_schema("direct band gap", "eV").names
    ['id', 'value', 'uncertainty', 'level', 'status']
    """
    return pa.schema(
        [
            ID,
            column("value", pa.float64(), description, unit=unit),
            column("uncertainty", pa.float64(), uncertainty or UNSAID, unit=unit),
            column(
                "level", pa.string(), "what gave it: a model, a level of theory", nullable=False
            ),
            column("status", pa.string(), f"{OK}, or why there is no value", nullable=False),
            *others,
        ]
    )


def check_table(table: pa.Table) -> None:
    """Nothing, if the table keeps to the contract.

    Raises:
        TableError: if a column lacks its description or unit, ids are missing, or a row has neither
            a value nor a status that says why.
    """
    schema = table.schema
    if "id" not in schema.names or not pa.types.is_string(schema.field("id").type):
        raise TableError("a table is keyed by a column id of texts")
    for field in schema:
        said = field.metadata or {}
        if not said.get(b"description"):
            raise TableError(f"the column {field.name} has no description in its metadata")
        if pa.types.is_floating(field.type) and not said.get(b"unit"):
            raise TableError(
                f"the column {field.name} has no unit in its metadata; 1 stands for none"
            )
        if not field.nullable and table[field.name].null_count:
            raise TableError(f"the column {field.name} has rows without a value")
    if "value" in schema.names:
        _check_values(table)


def _check_values(table: pa.Table) -> None:
    schema = table.schema
    for name in ("uncertainty", "level", "status"):
        if name not in schema.names:
            raise TableError(f"a table with a value has a column {name}")
    units = {(schema.field(name).metadata or {}).get(b"unit") for name in ("value", "uncertainty")}
    if len(units) > 1:
        raise TableError("value and uncertainty have different units")
    values = table["value"].to_numpy(zero_copy_only=False).astype(np.float64)
    ok = pc.equal(table["status"], OK).to_numpy(zero_copy_only=False)
    wrong = np.isfinite(values) != ok
    if wrong.any():
        raise TableError(f"row {wrong.argmax()}: a value goes with the status {OK}, no other does")
    if len(pc.unique(table["id"])) < len(table):
        raise TableError("an id stands twice: a table of values has one row a crystal")


def write_table(
    out: Path,
    tables: pa.Table | Iterable[pa.Table],
    *,
    schema: pa.Schema | None = None,
    facts: Mapping[str, Any] | None = None,
) -> int:
    """Write tables of one schema as one Parquet file, whole or not at all; returns its rows.

    Args:
        out: the file.
        tables: in memory one at a time.
        schema: of all of them; that of the first by default.
        facts: about all rows, kept in the file as metadata ``gnomon``.

    Raises:
        ValueError: if there is neither a table nor a schema.
    """
    rows, writer = 0, None
    with renamed(out) as temporary:
        try:
            for table in (tables,) if isinstance(tables, pa.Table) else tables:
                schema = table.schema if schema is None else schema
                writer = writer or _writer(temporary, schema, facts)
                writer.write_table(table)
                rows += len(table)
            if schema is None:
                raise ValueError(f"{out}: no table, and no schema of one")
            writer = writer or _writer(temporary, schema, facts)
        finally:
            if writer is not None:
                writer.close()
    return rows


def read_table(path: Path) -> pa.Table:
    """A Parquet table.

    Raises:
        ValueError: if the file is none.
    """
    if not path.is_file():
        raise ValueError(f"{path} is no file: give a Parquet table")
    try:
        return pq.read_table(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as Parquet ({error})") from error


def _writer(path: Path, schema: pa.Schema, facts: Mapping[str, Any] | None) -> pq.ParquetWriter:
    said = {} if facts is None else {"gnomon": json.dumps(facts)}
    return pq.ParquetWriter(path, schema.with_metadata({**(schema.metadata or {}), **said}))


@dataclass(frozen=True)
class TableInfo:
    """What is known of a table without reading its rows.

    Attributes:
        name: of the table, that of its file.
        rows: how many.
        columns: names to descriptions and units.
        facts: about all rows.
    """

    name: str
    rows: int
    columns: dict[str, tuple[str, str]]
    facts: dict[str, Any]

    def __str__(self) -> str:
        """In one line: its columns with their units."""
        named = (f"{n} ({unit})" if unit else n for n, (_, unit) in self.columns.items())
        return f"{self.name}: {self.rows} rows of {', '.join(named)}"


def save(folder: Path, name: str, table: pa.Table, **facts: Any) -> Path:
    """Check a table and write it into the folder of a campaign.

    Raises:
        TableError: if it does not keep to the contract.
    """
    check_table(table)
    path = folder / FOLDER / f"{name}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_table(path, table, facts=facts)
    return path


def tables_of(folder: Path) -> list[TableInfo]:
    """The tables in the folder of a campaign, by name.

    Raises:
        TableError: if one cannot be read, naming it.
    """
    return [_info(path) for path in sorted((folder / FOLDER).glob("*.parquet"))]


def _info(path: Path) -> TableInfo:
    try:
        schema, rows = pq.read_schema(path), pq.read_metadata(path).num_rows
        facts = json.loads((schema.metadata or {}).get(b"gnomon", b"{}"))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise TableError(f"{path} is no table: {error}; restore it or move it away") from error
    said = {
        field.name: tuple(
            (field.metadata or {}).get(key, b"").decode() for key in (b"description", b"unit")
        )
        for field in schema
    }
    return TableInfo(path.stem, rows, said, facts)
