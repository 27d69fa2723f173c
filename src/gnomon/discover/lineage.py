"""Where a candidate comes from, step by step back to its root."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

KNOWN = "known"
"""Generator named in the lineage of crystals that the user gave as known."""


@dataclass(frozen=True)
class Step:
    """One generator's work on one parent; generator is empty for a crystal that was given.

    Attributes:
        id: of the crystal that it made, or of the given one.
    """

    generator: str
    change: str
    round: int | None
    id: str = ""


def traces(
    lineage: pa.Table,
    ids: Collection[str],
    candidate_of: Mapping[str, str],
    known: Mapping[str, str],
) -> dict[str, tuple[Step, ...]]:
    """The steps that led to each id, the last one first.

    Args:
        lineage: rows id, parent_id, generator, change, round; of several rows of one id (the same
            candidate made twice) the first counts.
        ids: candidates to trace.
        candidate_of: the candidate behind each relaxed id, because relaxed finds become parents.
        known: names of the given crystals by id.
    """
    found: dict[str, dict[str, Any]] = {}
    frontier = set(ids)
    while frontier:
        rows = rows_with(lineage, "id", frontier)
        for row in rows:
            parent = row["parent_id"]
            found.setdefault(row["id"], {**row, "parent_id": candidate_of.get(parent, parent)})
        frontier = {found[row["id"]]["parent_id"] for row in rows} - {None} - set(found) - frontier
    return {name: _chain(name, found, known) for name in ids}


def _chain(
    start: str, found: Mapping[str, Mapping[str, Any]], known: Mapping[str, str]
) -> tuple[Step, ...]:
    steps: list[Step] = []
    seen: set[str] = set()
    name: str | None = start
    while name is not None and name in found and name not in seen:
        seen.add(name)
        row = found[name]
        steps.append(Step(row["generator"], row["change"], row["round"], name))
        name = row["parent_id"]
    if steps and name is not None and name not in seen:
        steps.append(Step("", known.get(name, f"crystal {name}"), None, name))
    return tuple(steps)


def rows_with(table: pa.Table, column: str, values: Collection[str]) -> list[dict[str, Any]]:
    """Rows (as dicts, columns of ``table``) whose column holds one of these values."""
    wanted = pa.array(sorted(values), pa.string())
    return table.filter(pc.is_in(table[column], value_set=wanted)).to_pylist()
