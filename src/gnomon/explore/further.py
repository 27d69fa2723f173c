"""Tables of a campaign that are not of one property, such as recipes, as panels show them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gnomon.io.tables import FOLDER, read_table, tables_of, value_schema

MOST_ROWS = 20
"""Rows of a crystal in one table."""

MOST_COLUMNS = 12
"""Columns of a table; lists of hundreds of numbers are for programs."""


def further_tables(folder: Path, relaxed: Mapping[str, str]) -> dict[str, list[dict[str, Any]]]:
    """What each table without a value says, by the id of the crystal as proposed.

    Args:
        folder: of the campaign.
        relaxed: ids as proposed by the ids as relaxed: tables have either.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for info in tables_of(folder):
        if set(info.columns) >= set(value_schema("", "").names) or "id" not in info.columns:
            continue
        names = [name for name in info.columns if name != "id"][:MOST_COLUMNS]
        of: dict[str, list[list[Any]]] = {}
        for row in read_table(folder / FOLDER / f"{info.name}.parquet").to_pylist():
            rows = of.setdefault(relaxed.get(row["id"], row["id"]), [])
            if len(rows) < MOST_ROWS:
                rows.append([_shown(row[name]) for name in names])
        columns = [[name, _unit(info.columns[name][1])] for name in names]
        about = "; ".join(f"{name}: {info.columns[name][0]}" for name in names)
        for key, rows in of.items():
            table = {"name": info.name, "about": about, "columns": columns, "rows": rows}
            found.setdefault(key, []).append(table)
    return found


def _unit(unit: str) -> str:
    return "" if unit == "1" else unit


def _shown(value: Any) -> Any:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float | int | str | None):
        return value
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
