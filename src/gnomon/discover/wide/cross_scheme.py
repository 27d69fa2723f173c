"""The quick answer: evaluated candidates on the database's own hull, called cross-scheme.

Energies of a potential that learned a database's DFT, with the same corrections, are of its scheme
by construction, so that candidates may be held against the database before any phase of it has
been evaluated.  How far the two agree is measured on the phases evaluated in both, and goes with
the answer; verdicts stay those of one scheme (``gnomon.discover.wide.competing``).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from gnomon.discover.campaign import Campaign
from gnomon.discover.level import Level
from gnomon.discover.wide.database import Database
from gnomon.discover.wide.offsets import offset_of
from gnomon.hull.phases import ON_HULL
from gnomon.io.tables import OK, column, save, value_schema

NAME = "cross_scheme_e_above_hull"
"""Of the table in a campaign's folder."""

CORRECTIONS = "MP2020"
"""Two schemes whose names have this agree by construction: PBE and PBE+U so corrected."""

SCHEMA = value_schema(
    "above the database's own hull, cross-scheme: the energy is the evaluator's, the hull the "
    "database's, no offset taken off; the uncertainty is the spread of the offset",
    "eV/atom",
    column("reduced_formula", pa.string(), "of the candidate"),
    column("offset", pa.float64(), "median of evaluator less database", unit="eV/atom"),
    column("phases", pa.int64(), "evaluated in both, of which the offset is the median"),
)


def quick_answer(level: Level, database: Database) -> pa.Table | None:
    """Candidates of a level above the database's own hull (``SCHEMA``), by their relaxed ids.

    Args:
        level: with formation energies of its own.
        database: whose hull it is.

    Returns:
        None where the two schemes do not agree by construction, or there is no candidate yet.
    """
    agree = CORRECTIONS in level.scheme and CORRECTIONS in database.scheme
    placed = level.placed
    new = np.flatnonzero((placed.found.rounds > 0) & placed.compound)
    if not agree or not len(new):
        return None
    offset = offset_of(level, database)
    differences = offset.differences[offset.is_compound]
    median = float(np.median(differences)) if len(differences) else None
    spread = float(np.median(np.abs(differences - median))) if len(differences) else None
    composition = placed.hull.phases.composition[new]
    n = len(new)
    columns: dict[str, Any] = {
        "id": placed.found.relaxed.ids[new].tolist(),
        "value": database.hull.e_above_hull(composition, placed.formation_energy_per_atom[new]),
        "uncertainty": [spread] * n,
        "level": [f"cross-scheme: {level.scheme}, on the hull of {database.scheme}"] * n,
        "status": [OK] * n,
        "reduced_formula": placed.found.relaxed.reduced_formulas[new].tolist(),
        "offset": [median] * n,
        "phases": [len(differences)] * n,
    }
    rows = pa.table(columns, schema=SCHEMA)
    _, first = np.unique(np.array(columns["id"], str), return_index=True)
    return rows.take(pa.array(np.sort(first)))


def told(rows: pa.Table) -> str:
    """One line on it, for people."""
    on = int((rows["value"].to_numpy() <= ON_HULL).sum())
    median, k = rows["offset"][0].as_py(), rows["phases"][0].as_py()
    measured = "with no phase evaluated in both yet, so the offset is not known"
    if median is not None:
        spread = rows["uncertainty"][0].as_py()
        measured = (
            f"whose offset is {1000 * median:+.0f} meV/atom in the median of {k} phases evaluated "
            f"in both (median deviation {1000 * spread:.0f}), and is not taken off"
        )
    return (
        f"quick answer, cross-scheme: {on} of {len(rows)} evaluated candidates lie on or below the "
        f"database's own hull, {measured}"
    )


def keep_quick_answer(campaign: Campaign, database: Database) -> str:
    """Write the table into the folder; its line, or nothing where there is no such answer."""
    rows = quick_answer(campaign.answers, database)
    if rows is None:
        return ""
    save(campaign.store.root, NAME, rows)
    return told(rows)
