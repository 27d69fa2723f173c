"""What breeds in a campaign: its evaluated compounds, judged by stability and by properties."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from jaxtyping import Float64

from gnomon.discover.campaign import Campaign
from gnomon.generate.evolution.population import STABILITY, Population, parse_objective
from gnomon.io.tables import FOLDER, read_table


def population_of(campaign: Campaign, objectives: tuple[str, ...]) -> tuple[Population, list[str]]:
    """The compounds of a campaign with their objectives, and what is to be said of these.

    Stability is that on the hull of the level that screens; a property is a column of
    ``tables/NAME.parquet``, where its status is ok, for a compound as relaxed at any level.  An
    objective of which there is no value yet counts for nothing.
    """
    placed = campaign.level(0).placed
    rows = np.flatnonzero(placed.compound)
    columns, notes = [], []
    for text in objectives:
        name, column, sign = parse_objective(text)
        values = placed.e_above_hull[rows]
        if name != STABILITY:
            values = _values(campaign, name, column, placed.found.ids[rows].tolist())
        if np.isfinite(values).any() or not len(rows):
            columns.append(sign * values)
        else:
            notes.append(f"evolution: no value of {text[4:]} yet, so it counts for nothing")
    table = np.column_stack(columns) if columns else np.zeros((len(rows), 1))
    return Population(placed.found.relaxed[rows], table), notes


def _values(
    campaign: Campaign, name: str, column: str, ids: list[str]
) -> Float64[np.ndarray, " n"]:
    """Of candidates, as the highest level relaxed them for which there is a value; NaN without.

    Raises:
        ValueError: if the table has no such column of numbers.
    """
    path = campaign.store.root / FOLDER / f"{name}.parquet"
    found = np.full(len(ids), np.nan)
    if not path.exists():
        return found
    rows = read_table(path)
    numbers = [field.name for field in rows.schema if pa.types.is_floating(field.type)]
    if column not in numbers:
        raise ValueError(f"{path} has no column {column!r} of numbers: it has {', '.join(numbers)}")
    table = {r["id"]: r[column] for r in rows.to_pylist() if r["status"] == "ok"}
    for level in (one for one in campaign.levels if len(one.evaluations)):
        of = level.placed.found
        own = {key: table.get(as_) for key, as_ in zip(of.ids, of.relaxed.ids, strict=True)}
        there = np.array([own.get(key) for key in ids], np.float64)
        found = np.where(np.isfinite(there), there, found)
    return found
