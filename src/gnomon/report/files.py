"""The files of a report: page, CSV tables and CIFs, put in place in one step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import csv

from gnomon.discover.campaign import HULL
from gnomon.discover.flags import Described
from gnomon.discover.lineage import rows_with
from gnomon.report.build import Report
from gnomon.report.cifs import write_cifs
from gnomon.report.novelty import REPRESENTATION
from gnomon.report.page import render_html
from gnomon.report.rows import PropertyOf
from gnomon.run.files import remove, renamed, temporary_name

MARKER = ".gnomon-report"
"""Empty file that marks a folder as a report, which may be deleted and written anew."""


def write_report(report: Report, folder: Path) -> Path:
    """Write page, tables (stable, phases, doubts) and cifs/ into a folder; returns the page.

    The files are written beside the folder and moved into place, so that a reader never meets half
    a report.  An older report in the folder is replaced.

    Raises:
        ValueError: if the folder holds anything that is not a report.
    """
    folder = Path(folder)
    if folder.exists() and not (folder / MARKER).is_file() and any(folder.iterdir()):
        raise ValueError(
            f"{folder} is not empty and not a report: name another folder, or empty it yourself"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with renamed(folder) as new:
        new.mkdir()
        (new / MARKER).touch()
        (new / "index.html").write_text(render_html(report), encoding="utf-8")
        csv.write_csv(stable_table(report), new / "stable.csv")
        csv.write_csv(phases_table(report), new / "phases.csv")
        csv.write_csv(doubts_table(report), new / "doubts.csv")
        write_cifs(report, new / "cifs")
        before = temporary_name(folder)
        if folder.exists():
            folder.rename(before)
    remove(before)
    return folder / "index.html"


def stable_table(report: Report) -> pa.Table:
    """The new stable phases, energies in eV/atom."""
    names = "id relaxed_id reduced_formula chemical_system space_group space_group_symbol"
    energies = "formation_energy_per_atom e_above_hull distance_to_rest"
    about = [report.about[find.id] for find in report.finds]
    novelty = [report.novelty.get(find.id) for find in report.finds]
    told = {
        "structure_type": [each.structure_type for each in about],
        "probability_stable": [each.probability for each in about],
        "error_of_the_level": [report.error and report.error.mean_absolute_error] * len(about),
        "flags": ["; ".join(map(str, each.flags)) for each in about],
        "competing_reaction": [str(find.reaction or "") for find in report.finds],
        "lineage": [
            " <- ".join(f"{s.generator}: {s.change}".removeprefix(": ") for s in find.lineage)
            for find in report.finds
        ],
        "scheme": [report.campaign.scheme] * len(report.finds),
        "e_above_hull_at_each_level": [
            "; ".join(f"{at.scheme}: {at.e_above_hull:.4f}" for at in find.places)
            for find in report.finds
        ],
        "confirmed_at": [
            "; ".join(x.scheme for x in report.levels if x.verdicts.get(find.id) == "stable")
            for find in report.finds
        ],
        "agreement": [
            "; ".join(
                f"{x.name}: {x.agrees(find.id)}" for x in report.levels if find.id in x.verdicts
            )
            for find in report.finds
        ],
        "round": [find.round for find in report.finds],
        f"novelty_by_{REPRESENTATION}": [new and new.distance for new in novelty],
        "nearest_known": [new and new.formula for new in novelty],
        "nearest_known_from": [new and new.source for new in novelty],
    }
    named = dict.fromkeys(one.name for find in report.finds for one in report.properties[find.id])
    for name in named:
        of = [_value(report, find.id, name) for find in report.finds]
        unit = next(one.unit for one in of if one is not None)
        label = name if unit == "1" else f"{name} ({unit})"
        told[label] = [None if one is None else one.value for one in of]
        told[f"{name} uncertainty"] = [None if one is None else one.uncertainty for one in of]
        told[f"{name} status"] = ["" if one is None else one.status for one in of]
    columns = {
        name: [getattr(find, name) for find in report.finds]
        for name in f"{names} {energies}".split()
    }
    return pa.table(columns | told)


def _value(report: Report, key: str, name: str) -> PropertyOf | None:
    return next((one for one in report.properties[key] if one.name == name), None)


def doubts_table(report: Report) -> pa.Table:
    """What readers found odd about the crystals that were given, and what they left out."""
    doubts = report.campaign.doubts
    return pa.table(
        {
            name: pa.array([getattr(doubt, name) for doubt in doubts], pa.string())
            for name in ("id", "source", "text")
        }
    )


RESULTS = (
    *("id", "round", "level", "scheme", "status", "message"),
    *("energy_per_atom", "steps", "fmax", "seconds"),
)
"""Columns of the evaluations in phases.csv."""


ABOUT = pa.schema(
    [
        ("structure_type", pa.string()),
        ("probability_stable", pa.float64()),
        ("flags", pa.string()),
        ("doubts", pa.string()),
    ]
)
"""Columns of phases.csv that are null for what lies far from the hull."""


def _about(said: Described | None) -> dict[str, Any]:
    if said is None:
        return {}
    return {
        "structure_type": said.structure_type,
        "probability_stable": said.probability,
        "flags": "; ".join(map(str, said.flags)),
    }


def phases_table(report: Report) -> pa.Table:
    """Every evaluation, failed ones too, with its place on the hull of its level (eV/atom)."""
    campaign = report.campaign
    results = campaign.all_evaluations.select(RESULTS)
    rows = results.to_pylist()
    named = campaign.crystals.select(["id", "reduced_formula", "chemical_system"])
    proposed = {row["id"]: row for row in rows_with(named, "id", [row["id"] for row in rows])}
    hull = {(row["id"], row["level"]): row for row in campaign.hull_table().to_pylist()}
    screened, answering = campaign.level(0).round_of, campaign.answers.number
    fields = {field.name: field for field in (*HULL, *results.schema, *ABOUT)}
    doubts = {doubt.id: doubt.text for doubt in campaign.doubts}
    return pa.Table.from_pylist(
        [
            {
                **proposed[row["id"]],
                **hull.get((row["id"], row["level"]), {}),
                **row,
                **_about(report.about.get(row["id"]) if row["level"] == answering else None),
                "doubts": doubts.get(row["id"]),
                "is_reference": screened[row["id"]] == 0,
            }
            for row in rows
        ],
        schema=pa.schema(fields.values()),
    )
