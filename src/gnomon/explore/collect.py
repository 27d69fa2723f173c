"""The rows of an index: what a campaign or files say of each crystal."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gnomon.crystals import Crystals
from gnomon.discover.campaign import Campaign
from gnomon.discover.finds import Find, Phase, near_hull_phases
from gnomon.discover.flags import Described, described
from gnomon.discover.lineage import KNOWN, traces
from gnomon.discover.placed import RELAXED_SYMPREC
from gnomon.evaluate import Status
from gnomon.explore.collections import Collection
from gnomon.explore.columns import DETAILS, SCHEMA
from gnomon.explore.further import further_tables
from gnomon.io import InputError, ReadResult, from_arrow, iter_read, to_arrow
from gnomon.io.arrow import GEOMETRY
from gnomon.io.reasons import ROWS
from gnomon.io.tables import column
from gnomon.report.rows import PropertyOf, properties_of
from gnomon.run.listener import Listener
from gnomon.structure.labels import prototype_label
from gnomon.structure.protostructures import protostructure
from gnomon.structure.systems import crystal_system

GIVEN = "given"
"""Status of a crystal of a file."""

PROPOSED, FIND, AGAIN = "proposed", "new stable phase", "new stable phase, again"
"""Status of a candidate that was not evaluated, of what a campaign looks for, and of others that
ended in the same phase."""

CHUNK = 2000
"""Crystals of a file that are indexed at a time."""

MOST_EXTRA = 60
"""Columns of a file beside those of every index."""


def collected(collection: Collection, listener: Listener) -> Iterator[pa.Table]:
    """The rows of a collection, some thousands at a time; columns beside ``SCHEMA`` may follow.

    Raises:
        ValueError: if the campaign or the files cannot be read, or no crystal is in the files.
    """
    if collection.campaign:
        yield _of_campaign(collection, listener)
        return
    done, rejects = 0, 0
    first = "there are no records"
    for part in iter_read(str(collection.path), chunk=CHUNK):
        if len(part.rejects) and not rejects:
            one = part.rejects.slice(0, 1).to_pylist()[0]
            first = f"the first: {one['source']}: {one['reason']} ({one['detail']})"
        rejects += len(part.rejects)
        if len(part.crystals):
            yield _of_file(collection, part, listener, done)
            done += len(part.crystals)
    if not done:
        raise InputError(f"no crystal of {collection.path} can be used: {first}")
    if rejects:
        listener.say(f"{rejects} records of {collection.name} left out, {first}")


# --- files ----------------------------------------------------------------------------------------


def _of_file(collection: Collection, part: ReadResult, listener: Listener, before: int) -> pa.Table:
    rows = part.rows.to_pylist()
    facts = {
        "id": part.crystals.ids.tolist(),
        "content_id": part.crystals.ids.tolist(),
        "source": [collection.name] * len(rows),
        "source_id": [row["source_id"] for row in rows],
        "formation_energy_per_atom": [row["formation_energy_per_atom"] for row in rows],
        "e_above_hull": [row["e_above_hull"] for row in rows],
        "scheme": [collection.name] * len(rows),  # energies of two files are of two schemes
        "status": [GIVEN] * len(rows),
        DETAILS: [
            json.dumps({"file": Path(row["source"]).name, "warnings": row["warnings"]})
            for row in rows
        ],
    }
    return _with_extra(_table(part.crystals, facts, listener, before), _extra(part))


OF_ROWS = (
    ("energy_per_atom", "energy of the source", "eV/atom"),
    ("year", "year of the first report", "1"),
)
"""Columns that ``io`` reads of files and that an index has if any file does."""


def _extra(part: ReadResult) -> dict[pa.Field, list[Any]]:
    """Numbers and texts that Parquet files hold of their crystals beside what ``io`` reads."""
    places = [source.rpartition("#") for source in part.rows["source"].to_pylist()]
    found = {
        field.name: (column(field.name, pa.float64(), about, unit=unit), values)
        for name, about, unit in OF_ROWS
        for field, values in [(ROWS.field(name), part.rows[name].cast(pa.float64()).to_pylist())]
        if any(value is not None for value in values)
    }
    for path in dict.fromkeys(path for path, _, _ in places if path.endswith(".parquet")):
        file = pq.ParquetFile(path)
        fields = [f for f in file.schema_arrow if _is_extra(f)][:MOST_EXTRA]
        at = [i for i, (of, _, _) in enumerate(places) if of == path]
        taken = [int(places[i][2]) for i in at]
        table = file.read(columns=[f.name for f in fields]).take(taken)
        for field in fields:
            kind = pa.float64() if _is_number(field.type) else pa.string()
            new = column(field.name, kind, *_said(field))
            _, values = found.setdefault(field.name, (new, [None] * len(places)))
            given = table[field.name].cast(kind).to_pylist()
            for i, value in zip(at, given, strict=True):
                values[i] = value
    return dict(found.values())


def _said(field: pa.Field) -> tuple[str, ...]:
    said = field.metadata or {}
    return (said.get(b"description", b"").decode() or f"{field.name} of the file",)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _is_extra(field: pa.Field) -> bool:
    taken = {*SCHEMA.names, *ROWS.names, "energy_above_hull", "material_id"}
    plain = _is_number(field.type) or pa.types.is_string(field.type)
    return field.name not in taken and bool(plain or pa.types.is_boolean(field.type))


def _with_extra(table: pa.Table, extra: Mapping[pa.Field, Sequence[Any]]) -> pa.Table:
    for field, values in extra.items():
        table = table.append_column(field, pa.array(values, field.type))
    return table


# --- campaigns ------------------------------------------------------------------------------------


def _of_campaign(collection: Collection, listener: Listener) -> pa.Table:
    """All candidates and references of a campaign, each at the last level that holds it."""
    campaign = Campaign(collection.path)
    proposed = _first_of_each(campaign.crystals)
    ids = proposed["id"].to_pylist()
    best: dict[str, Phase] = {}
    for level in campaign.levels[: campaign.answers.number + 1]:
        best |= {phase.id: phase for phase in level.phases}
    relaxed: dict[str, Crystals] = {}
    for level in campaign.levels[: campaign.answers.number + 1]:
        found = level.placed.found
        relaxed |= {key: found.relaxed[row] for row, key in enumerate(found.ids.tolist())}
    given = dict(zip(ids, from_arrow(proposed), strict=True))
    crystals = Crystals.concatenate([relaxed[key] if key in relaxed else given[key] for key in ids])
    finds = {find.id: find for find in campaign.finds}
    again = {key for find in campaign.finds for key in find.copies}
    named = [*near_hull_phases(campaign.phases), *campaign.finds]
    about = described(campaign, named)
    known = {key: p.reduced_formula for key, p in best.items() if p.known}
    steps = traces(campaign.lineage, ids, campaign.answers.candidate_of, known)
    said = _verdicts(campaign)
    schemes, lineage = campaign.schemes, {k: s[0].generator for k, s in steps.items() if s}
    phases = [finds.get(key, best.get(key)) for key in ids]
    level_of = [None if p is None else p.places[-1].level for p in phases]
    properties = properties_of(campaign, list(best.values()))
    further = further_tables(collection.path, {p.relaxed_id: key for key, p in best.items()})
    facts = {
        "id": ids,
        "content_id": crystals.ids.tolist(),
        "source": [collection.name] * len(ids),
        "formation_energy_per_atom": [p and p.formation_energy_per_atom for p in phases],
        "e_above_hull": [p and p.e_above_hull for p in phases],
        "probability_stable": [about[k].probability if k in about else None for k in ids],
        "level": level_of,
        "scheme": [None if n is None else schemes[n] for n in level_of],
        "status": [
            AGAIN if key in again else _status(phase, said.get(key, {}))
            for key, phase in zip(ids, phases, strict=True)
        ],
        "generator": [lineage.get(key) or KNOWN for key in ids],
        "round": proposed["round"].to_pylist(),
        DETAILS: [
            _details(
                phase,
                about.get(key),
                steps[key],
                said.get(key, {}),
                properties.get(key, ()),
                further.get(key, ()),
            )
            for key, phase in zip(ids, phases, strict=True)
        ],
    }
    table = _table(crystals, facts, listener, 0)
    return _with_extra(table, _values(ids, properties))


def _first_of_each(table: pa.Table) -> pa.Table:
    """The first row of each id."""
    _, first = np.unique(table["id"].to_pylist(), return_index=True)
    return table.take(np.sort(first))


def _verdicts(campaign: Campaign) -> dict[str, dict[str, Any]]:
    """What the screen and evaluations without an energy say of candidates, by id."""
    said: dict[str, dict[str, Any]] = {}
    for row in campaign.screening.to_pylist():
        said.setdefault(row["id"], {}).update({k: v for k, v in row.items() if k != "id"})
    failed = campaign.all_evaluations
    failed = failed.filter(pc.not_equal(failed["status"], Status.CONVERGED.value))
    for row in failed.select(["id", "level", "status", "message"]).to_pylist():
        said.setdefault(row["id"], {}).setdefault("failed", []).append(row)
    return said


def _status(phase: Phase | None, said: Mapping[str, Any]) -> str:
    if phase is not None:
        if isinstance(phase, Find):
            return FIND
        where = "on the hull" if phase.stable else "above the hull"
        return f"known, {where}" if phase.known else where
    if "failed" in said:
        return str(said["failed"][-1]["status"])
    return f"rejected: {said['reason']}" if said and not said["kept"] else PROPOSED


def _details(
    phase: Phase | None,
    about: Described | None,
    steps: Sequence[Any],
    said: Mapping[str, Any],
    properties: Sequence[PropertyOf],
    tables: Sequence[dict[str, Any]],
) -> str:
    found: dict[str, Any] = {
        "lineage": [asdict(step) for step in steps],
        "screening": dict(said),
        "properties": [asdict(one) for one in properties],
        "tables": list(tables),
    }
    if phase is not None:
        found |= {
            "places": [asdict(place) for place in phase.places],
            "competing": [asdict(other) for other in phase.competing],
            "reaction": str(phase.reaction or ""),
            "copies": len(phase.copies),
            "distance_to_rest": getattr(phase, "distance_to_rest", None),
        }
    if about is not None:
        found |= {
            "structure_type": about.structure_type,
            "flags": [str(flag) for flag in about.flags],
        }
    return json.dumps(found)


def _values(
    ids: Sequence[str], properties: Mapping[str, Sequence[PropertyOf]]
) -> dict[pa.Field, list[Any]]:
    """Each property as a column."""
    first = {one.name: one for rows in properties.values() for one in rows}
    values: dict[str, dict[str, float | None]] = {name: {} for name in first}
    for key, rows in properties.items():
        for one in rows:
            values[one.name][key] = one.value
    return {
        column(name, pa.float64(), one.about, unit=one.unit): [values[name].get(k) for k in ids]
        for name, one in first.items()
        if name not in SCHEMA.names
    }


# --- both -----------------------------------------------------------------------------------------


def _table(
    crystals: Crystals, facts: Mapping[str, Sequence[Any]], listener: Listener, before: int
) -> pa.Table:
    """Rows of ``SCHEMA``: the facts, and what follows from the geometry."""
    groups, labels = [], []
    for number, one in enumerate(crystals):
        structure = protostructure(one, RELAXED_SYMPREC)
        groups.append(structure.space_group or None)
        labels.append(prototype_label(structure).text or None)
        if number % 100 == 0:
            listener.tick("indexing", before + number, before + len(crystals))
    geometry = to_arrow(crystals)
    own = {
        "reduced_formula": crystals.reduced_formulas.tolist(),
        "chemical_system": crystals.chemical_systems.tolist(),
        "n_elements": (crystals.composition > 0).sum(axis=1).astype(np.float64),
        "n_atoms": crystals.n_atoms.astype(np.float64),
        "space_group": groups,
        "prototype": labels,
        "volume_per_atom": crystals.volumes / crystals.n_atoms,
        "density": crystals.densities,
        **{name: geometry[name] for name in GEOMETRY},
    }
    given = {**own, **facts, "crystal_system": [g and crystal_system(g) for g in groups]}
    empty = [None] * len(crystals)
    columns = [
        data if isinstance(data, pa.ChunkedArray) else pa.array(data, field.type)
        for field in SCHEMA
        for data in [given.get(field.name, empty)]
    ]
    return pa.Table.from_arrays(columns, schema=SCHEMA)
