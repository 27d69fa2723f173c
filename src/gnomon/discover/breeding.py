"""What breeds in a campaign, and what is evaluated for its objectives: stability and properties."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float64, Int64

from gnomon.crystals import Crystals
from gnomon.discover.campaign import Campaign
from gnomon.generate.evolution.population import STABILITY, Population, order, parse_objective
from gnomon.io.tables import FOLDER, OK, read_table
from gnomon.run.registry import Registry

FORETOLD = Registry(
    "property that is foretold",
    "gnomon.foretold",
    {
        name: f"gnomon.properties.foretold:{name}"
        for name in (
            *("hardness", "debye", "band_gap", "bulk_modulus", "shear_modulus"),
            *("debye_temperature", "thermal_expansion", "last_phonon_peak"),
        )
    },
)
"""Functions of crystals to the table of a property, by its name: quick, before an evaluation."""

LIKELY = 0.25
"""Of the candidates, by the odds of being stable: what hardly can exist is hard in vain."""

SORTED = 1000
"""Candidates that come first by one objective and are sorted by all: fronts compare each pair."""


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


def by_objectives(
    crystals: Crystals,
    merit: Float64[np.ndarray, " n"],
    kept: Bool[np.ndarray, " n"],
    objectives: tuple[str, ...],
) -> tuple[Int64[np.ndarray, " k"], list[str]]:
    """Rows of candidates by their objectives as foretold, the best first, and what is to be said.

    Of the likelier ones the first front first, and of each the least crowded.  Nothing where no
    property is an objective, or none can be foretold.

    Args:
        crystals: n candidates, not evaluated.
        merit: lower is likelier to be stable.
        kept: those that may be evaluated.
        objectives: of the campaign.
    """
    rows, notes = np.flatnonzero(kept), []
    rows = rows[np.argsort(merit[rows], kind="stable")[: int(np.ceil(LIKELY * len(rows)))]]
    columns = [merit[rows]]
    tables: dict[str, pa.Table] = {}
    for text in objectives:
        name, column, sign = parse_objective(text)
        if name == STABILITY or not len(rows):
            continue
        if name not in FORETOLD.names():
            notes.append(f"no network foretells {text[4:]}, so no candidate is chosen by it")
            continue
        if name not in tables:
            tables[name] = FORETOLD.get(name)(crystals[rows])
        table = tables[name]
        values = table[column].to_numpy(zero_copy_only=False).astype(np.float64)
        values[~pc.equal(table["status"], OK).to_numpy(zero_copy_only=False)] = np.nan
        columns.append(sign * values)
    if len(columns) == 1:
        return rows[:0], notes
    values = np.column_stack(columns)
    known = np.isfinite(values).all(axis=1)
    rows, values = rows[known], values[known]
    first = [np.argsort(own, kind="stable")[:SORTED] for own in values.T]
    pool = np.unique(np.concatenate(first))
    return rows[pool[order(values[pool])]], notes


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
