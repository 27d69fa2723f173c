"""Where a candidate comes from, step by step back to its root."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from gnomon.report.inputs import rows_with


@dataclass(frozen=True)
class Step:
    """One generator's work on one parent; generator is empty for a crystal that was given."""

    generator: str
    change: str
    round: int | None


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
            found.setdefault(row["id"], row)
        parents = {_candidate(row["parent_id"], candidate_of) for row in rows}
        frontier = {name for name in parents if name is not None} - set(found) - frontier
    return {name: _chain(name, found, candidate_of, known) for name in ids}


def _candidate(name: str | None, candidate_of: Mapping[str, str]) -> str | None:
    return None if name is None else candidate_of.get(name, name)


def _chain(
    start: str,
    found: Mapping[str, Mapping[str, Any]],
    candidate_of: Mapping[str, str],
    known: Mapping[str, str],
) -> tuple[Step, ...]:
    steps: list[Step] = []
    seen: set[str] = set()
    name: str | None = start
    while name is not None and name in found and name not in seen:
        seen.add(name)
        row = found[name]
        steps.append(Step(row["generator"], row["change"], row["round"]))
        name = _candidate(row["parent_id"], candidate_of)
    if steps and name is not None and name not in seen:
        steps.append(Step("", known.get(name, f"crystal {name}"), None))
    return tuple(steps)
