"""Properties of many crystals: part by part, each kept once it is whole, then one table each.

A folder holds ``NAME.parquet`` for each property that is done and ``work/NAME/part-*.parquet`` for
what is in work; the same request goes on where it was stopped.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gnomon.crystals import Crystals
from gnomon.io.tables import check_table, read_table, write_table
from gnomon.properties import Property
from gnomon.properties.registry import PropertySettings, in_order
from gnomon.run.claim import claim, same
from gnomon.run.files import remove
from gnomon.run.stamp import stamp

CHUNK = 32
"""Crystals in a part."""


@dataclass(frozen=True)
class Computed:
    """What became of a property.

    Attributes:
        name: of the property.
        unit: of its values.
        statuses: how many rows have each, the most common first.
        median: of the values; None without any.
        out: its table.
    """

    name: str
    unit: str
    statuses: dict[str, int]
    median: float | None
    out: Path


def compute(
    crystals: Crystals,
    names: Sequence[str],
    settings: PropertySettings,
    out: Path,
    *,
    chunk: int = CHUNK,
) -> list[Computed]:
    """Compute properties and all that they need, into a folder, or go on with it.

    Args:
        crystals: those given twice are computed once.
        names: of properties.
        settings: of all of them.
        out: the folder; a finished table of the same request is kept.
        chunk: crystals in a part.

    Raises:
        ClaimError: if the folder holds properties of another request.
        ValueError: if there is no such property, or an option of it is wrong.
    """
    properties = in_order(names, settings)
    _, firsts = np.unique(crystals.ids.astype(str), return_index=True)
    given = crystals.take(np.sort(firsts))
    done: dict[str, pa.Table] = {}
    for name, one in properties.items():
        needed = {other: done[other] for other in one.needs}
        done[name] = _whole(name, one, given, needed, settings, out, chunk)
    return [_summarised(name, done[name], out / f"{name}.parquet") for name in properties]


def _whole(
    name: str,
    one: Property,
    given: Crystals,
    needed: Mapping[str, pa.Table],
    settings: PropertySettings,
    out: Path,
    chunk: int,
) -> pa.Table:
    """The table of a property, which is made where it is not there."""
    request = {
        "property": name,
        "evaluator": settings.evaluator.model_dump(mode="json"),
        "relax": settings.relax.model_dump(mode="json"),
        "options": dict(settings.options.get(name, {})),
        "crystals": len(given),
        "crystals_sha256": hashlib.sha256("".join(given.ids.tolist()).encode()).hexdigest(),
        "chunk": chunk,
    }
    path, work = out / f"{name}.parquet", out / "work" / name
    if path.exists():
        table = read_table(path)
        facts = json.loads((table.schema.metadata or {}).get(b"gnomon", b"{}"))
        same(path, facts.get("request", {}), request)
        return table
    claim(work, request)
    parts, starts = [], range(0, len(given), chunk)
    for i, start in enumerate(starts):
        part = work / f"part-{i:05d}.parquet"
        if not part.exists():
            known = {other: table.slice(start, chunk) for other, table in needed.items()}
            write_table(part, one.compute(given[start : start + chunk], known), schema=one.schema)
        settings.listener.tick(name, i + 1, len(starts))
        parts.append(read_table(part).replace_schema_metadata(None))
    table = pa.concat_tables([one.schema.empty_table(), *parts])
    check_table(table)
    write_table(path, table, facts={"request": request, **stamp()})
    remove(work)
    return table


def _summarised(name: str, table: pa.Table, out: Path) -> Computed:
    statuses = Counter(table["status"].to_pylist())
    unit = (table.schema.field("value").metadata or {}).get(b"unit", b"").decode()
    median = pc.approximate_median(table["value"]).as_py()
    return Computed(name, unit, dict(statuses.most_common()), median, out)
