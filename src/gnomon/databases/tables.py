"""Records of providers as rows: as given, with what became of each; and the phases among them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gnomon.chemistry.elemental import ground_state
from gnomon.crystals import Crystals
from gnomon.databases.answers import Fetched
from gnomon.databases.systems import System, inside
from gnomon.discover.placed import Evaluated, Placed, place
from gnomon.io import InputError, ReadResult, from_arrow, read, to_arrow
from gnomon.run.store import STRUCTURE_FIELDS

REJECTED, OUTSIDE, PENDING = "rejected", "outside", "pending"
"""Statuses of records that were not evaluated: no crystal, another system, not yet."""

NO_REFERENCE = "no place on the hull: an element of it has no converged phase"
"""Message of a record whose crystal has an energy, but nothing to count it from."""

MEASURED = "measured ground state"
"""Source of the elements that gnomon adds, so that formation energies have their references."""

RECORDS = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),  # as asked for
        pa.field("source_id", pa.string()),  # the provider's own name
        pa.field("id", pa.string()),  # content id, null where there is no crystal
        pa.field("reduced_formula", pa.string()),
        pa.field("chemical_system", pa.string()),
        pa.field("status", pa.string(), nullable=False),
        pa.field("message", pa.string(), nullable=False),
        pa.field("provider_formation_energy_per_atom", pa.float64()),  # eV/atom, of its scheme
        pa.field("provider_e_above_hull", pa.float64()),  # eV/atom, of its scheme
        *STRUCTURE_FIELDS,  # as given
    ]
)
"""Columns of records.parquet."""

PHASES = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),  # as given
        pa.field("relaxed_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("source_id", pa.string()),
        pa.field("reduced_formula", pa.string(), nullable=False),
        pa.field("chemical_system", pa.string(), nullable=False),
        pa.field("formation_energy_per_atom", pa.float64(), nullable=False),  # eV/atom
        pa.field("e_above_hull", pa.float64(), nullable=False),  # eV/atom
        pa.field("energy_per_atom", pa.float64(), nullable=False),  # eV/atom
        pa.field("scheme", pa.string(), nullable=False),
        *STRUCTURE_FIELDS,  # as relaxed
    ]
)
"""Columns of phases.parquet."""


def read_records(root: Path, fetched: Sequence[Fetched], systems: Sequence[System]) -> pa.Table:
    """All records as given (schema ``RECORDS``), the measured ground states of the elements first.

    Of files only the crystals of these systems are records: they may hold anything.

    Raises:
        InputError: if a file holds no crystal at all.
    """
    tables = [_ground_states(systems)]
    for source in fetched:
        base = Path() if source.kind == "file" else root
        paths = [base / answer.path for answer in source.answers if answer.records != 0]
        if paths:
            found = read(paths)
            if source.kind == "file" and not len(found.crystals):
                first = found.rejects.slice(0, 1).to_pylist()
                why = "".join(f" ({row['reason']}: {row['detail']})" for row in first)
                raise InputError(f"no usable crystal in {source.source}{why}")
            tables += [_accepted(source, found, systems), _rejected(source, found)]
    return pa.concat_tables(tables)


def _ground_states(systems: Sequence[System]) -> pa.Table:
    states = [ground_state(symbol) for symbol in sorted({s for system in systems for s in system})]
    known = [state for state in states if state is not None]
    return _table(
        Crystals.concatenate([state.crystal for state in known]),
        [{"source": MEASURED, "source_id": state.label, "status": PENDING} for state in known],
    )


def _accepted(source: Fetched, found: ReadResult, systems: Sequence[System]) -> pa.Table:
    crystals, rows = found.crystals, found.rows
    own = np.array([inside(s.split("-"), systems) for s in crystals.chemical_systems], dtype=bool)
    if source.kind == "file":
        crystals, rows, own = crystals[own], rows.filter(pa.array(own)), own[own]
    facts = [
        {
            "source": source.source,
            "source_id": row["source_id"],
            "status": PENDING if mine else OUTSIDE,
            "message": row["warnings"] if mine else "the provider was not asked for this system",
            "provider_formation_energy_per_atom": row["formation_energy_per_atom"],
            "provider_e_above_hull": row["e_above_hull"],
        }
        for row, mine in zip(rows.to_pylist(), own.tolist(), strict=True)
    ]
    return _table(crystals, facts)


def _table(crystals: Crystals, facts: Sequence[dict[str, Any]]) -> pa.Table:
    """Crystals as records with these facts."""
    columns = zip(crystals.chemical_systems, to_arrow(crystals).to_pylist(), facts, strict=True)
    rows = [{"message": "", "chemical_system": name, **row, **own} for name, row, own in columns]
    return pa.Table.from_pylist(rows, schema=RECORDS)


def _rejected(source: Fetched, found: ReadResult) -> pa.Table:
    rows = [
        {
            "source": source.source,
            "source_id": reject["source_id"],
            "status": REJECTED,
            "message": f"{reject['reason']}: {reject['detail']}",
        }
        for reject in found.rejects.to_pylist()
    ]
    return pa.Table.from_pylist(rows, schema=RECORDS)


def crystals_of(records: pa.Table) -> Crystals:
    """The crystals to be evaluated, each once, in the order of the records."""
    crystals = from_arrow(records.filter(pc.equal(records["status"], PENDING)))
    return crystals[np.sort(np.unique(crystals.ids.astype(str), return_index=True)[1])]


def placed_phases(records: pa.Table, evaluations: pa.Table, scheme: str) -> Placed:
    """The converged evaluations of the records' crystals on their hull.

    References are those of a campaign: the measured ground state where the relaxed crystal still
    is it, else the lowest phase of the element.
    """
    own = pc.is_in(evaluations["id"], records["id"].filter(pc.equal(records["status"], PENDING)))
    return place(Evaluated.of(evaluations.filter(own)), scheme)


def with_outcomes(records: pa.Table, evaluations: pa.Table, placed: Placed) -> pa.Table:
    """The records with the status and message of the evaluation of their crystal."""
    rows = evaluations.select(["id", "status", "message"]).to_pylist()
    outcomes = {row["id"]: row for row in rows}
    for key in placed.left_out.ids:
        outcomes[key]["message"] = NO_REFERENCE
    told = [
        {**row, **(outcomes.get(row["id"], {}) if row["status"] == PENDING else {})}
        for row in records.to_pylist()
    ]
    return pa.Table.from_pylist(told, schema=RECORDS)


def phase_table(records: pa.Table, placed: Placed) -> pa.Table:
    """The phases that have a place on the hull as rows (schema ``PHASES``)."""
    found, first = placed.found, pc.index_in(pa.array(placed.found.ids, pa.string()), records["id"])
    structure = to_arrow(found.relaxed)
    columns = {
        "id": found.ids.tolist(),
        "relaxed_id": structure["id"],
        "source": records["source"].take(first),
        "source_id": records["source_id"].take(first),
        "reduced_formula": structure["reduced_formula"],
        "chemical_system": found.relaxed.chemical_systems.tolist(),
        "formation_energy_per_atom": placed.formation_energy_per_atom,
        "e_above_hull": placed.e_above_hull,
        "energy_per_atom": found.energy_per_atom,
        "scheme": [placed.hull.phases.scheme] * len(found.ids),
        **{field.name: structure[field.name] for field in STRUCTURE_FIELDS},
    }
    return pa.table(columns, schema=PHASES)
