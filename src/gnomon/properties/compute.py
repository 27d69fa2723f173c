"""Properties of many crystals: part by part, each kept once it is whole, then one table each.

A folder holds ``NAME.parquet`` for each property that is done and ``work/NAME/part-*.parquet`` for
what is in work.  The same request goes on where it was stopped; further crystals are added to the
rows that are there.
"""

from __future__ import annotations

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
        out: the folder; rows of the same request that are there are kept.
        chunk: crystals in a part.

    Raises:
        ClaimError: if the folder holds these properties by another evaluator or with other options.
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
    """The rows of a property of these crystals; those that are not there are made."""
    request = {
        "property": name,
        "evaluator": settings.evaluator.model_dump(mode="json"),
        "relax": settings.relax.model_dump(mode="json"),
        "options": dict(settings.options.get(name, {})),
    }
    path, work = out / f"{name}.parquet", out / "work" / name
    parts = [one.schema.empty_table()]
    if path.exists():
        table = read_table(path)
        facts = json.loads((table.schema.metadata or {}).get(b"gnomon", b"{}"))
        same(path, facts.get("request", {}), request)
        parts.append(table)
    begun = sorted(work.glob("part-*.parquet"))
    there = pa.concat_tables([*parts, *map(read_table, begun)])["id"].unique()
    missing = given[~pc.is_in(pa.array(given.ids.astype(str)), there).to_numpy(False)]
    if len(missing) or begun or not path.exists():
        claim(work, request)
        for start in range(0, len(missing), chunk):
            settings.listener.tick(name, len(given) - len(missing) + start, len(given))
            some = missing[start : start + chunk]
            known = {other: rows_of(table, some) for other, table in needed.items()}
            part = work / f"part-{len(begun):05d}.parquet"
            write_table(part, one.compute(some, known), schema=one.schema)
            begun.append(part)
        settings.listener.tick(name, len(given), len(given))
        for part in map(read_table, begun):
            new = pc.invert(pc.is_in(part["id"], pa.concat_tables(parts)["id"]))
            parts.append(part.filter(new))
        table = pa.concat_tables(part.replace_schema_metadata(None) for part in parts)
        check_table(table)
        write_table(path, table, facts={"request": request, **stamp()})
        remove(work)
    return rows_of(read_table(path), given)


def rows_of(table: pa.Table, crystals: Crystals) -> pa.Table:
    """The rows of these crystals, in their order."""
    return table.take(pc.index_in(pa.array(crystals.ids.astype(str)), table["id"].combine_chunks()))


def _summarised(name: str, table: pa.Table, out: Path) -> Computed:
    statuses = Counter(table["status"].to_pylist())
    unit = (table.schema.field("value").metadata or {}).get(b"unit", b"").decode()
    median = pc.approximate_median(table["value"]).as_py()
    return Computed(name, unit, dict(statuses.most_common()), median, out)
