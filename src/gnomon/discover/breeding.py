"""What breeds in a campaign: its evaluated compounds, judged by stability and by properties."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Shaped

from gnomon.discover.campaign import Campaign
from gnomon.generate.evolution.population import STABILITY, Population, parse_objective
from gnomon.io.tables import FOLDER, read_table


def population_of(campaign: Campaign, objectives: tuple[str, ...]) -> tuple[Population, list[str]]:
    """The compounds of a campaign with their objectives, and what is to be said of these.

    Stability is that on the hull of the level that screens; a property is the column ``value`` of
    ``tables/NAME.parquet``, where its status is ok.  An objective of which there is no value yet
    counts for nothing.
    """
    placed = campaign.level(0).placed
    rows = np.flatnonzero(placed.compound)
    crystals = placed.found.relaxed[rows]
    columns, notes = [], []
    for text in objectives:
        name, sign = parse_objective(text)
        values = placed.e_above_hull[rows]
        if name != STABILITY:
            values = _values(campaign, name, crystals.ids)
        if np.isfinite(values).any() or not len(rows):
            columns.append(sign * values)
        else:
            notes.append(f"evolution: no value of {name} yet, so it counts for nothing")
    table = np.column_stack(columns) if columns else np.zeros((len(rows), 1))
    return Population(crystals, table), notes


def _values(
    campaign: Campaign, name: str, ids: Shaped[np.ndarray, " n"]
) -> Float64[np.ndarray, " n"]:
    path = campaign.store.root / FOLDER / f"{name}.parquet"
    found: dict[str, float] = {}
    if path.exists():
        rows = read_table(path).select(["id", "value", "status"]).to_pylist()
        found = {row["id"]: row["value"] for row in rows if row["status"] == "ok"}
    return np.array([found.get(str(key), np.nan) for key in ids], np.float64)
