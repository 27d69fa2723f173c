"""The files of a report: page, CSV tables and CIFs, put in place in one step."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import csv

from gnomon.crystals import Crystals
from gnomon.report.build import Report
from gnomon.report.inputs import crystal_of, rows_with
from gnomon.report.tables import PhaseRow
from gnomon.structure.symmetry import SYMPREC

MARKER = ".gnomon-report"
"""Empty file that marks a folder as a report, which may be deleted and written anew."""


def write_report(report: Report, folder: Path) -> Path:
    """Write index.html, stable.csv, phases.csv and cifs/ into a folder; returns the page.

    The files are written beside the folder and moved into place, so that a reader never meets half
    a report.  An older report in the folder is replaced.

    Raises:
        ValueError: if the folder holds anything that is not a report.
    """
    from gnomon.report.page import render_html

    folder = Path(folder)
    if folder.exists() and not (folder / MARKER).is_file() and any(folder.iterdir()):
        raise ValueError(
            f"{folder} is not empty and not a report: name another folder, or empty it yourself"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        new = work / "new"
        new.mkdir()
        (new / MARKER).touch()
        (new / "index.html").write_text(render_html(report), encoding="utf-8")
        csv.write_csv(stable_table(report), new / "stable.csv")
        csv.write_csv(phases_table(report), new / "phases.csv")
        _write_cifs(report, new / "cifs")
        if folder.exists():
            folder.rename(work / "old")
        new.rename(folder)
    finally:
        shutil.rmtree(work)
    return folder / "index.html"


def cif_names(report: Report) -> dict[str, str]:
    """CIF file names by relaxed id: new stable phases and the lowest of each composition."""
    shown = {p.relaxed_id: p for p in (*report.lowest, *report.stable) if p.relaxed_id}
    there = rows_with(report.tables.relaxed.select(["id"]), "id", set(shown))
    return {row["id"]: _cif_name(shown[row["id"]]) for row in there}


def _cif_name(phase: PhaseRow) -> str:
    safe = "".join(c if c.isalnum() else "_" for c in phase.reduced_formula)
    return f"{safe}_{phase.space_group}_{phase.relaxed_id}.cif"


def _write_cifs(report: Report, folder: Path) -> None:
    folder.mkdir()
    names = cif_names(report)
    for row in rows_with(report.tables.relaxed, "id", set(names)):
        (folder / names[row["id"]]).write_text(_cif(crystal_of(row)), encoding="utf-8")


def _cif(crystal: Crystals) -> str:
    """CIF text of one crystal with its symmetry, at ``gnomon.structure.symmetry``'s tolerance."""
    from pymatgen.core import Lattice, Structure
    from pymatgen.io.cif import CifWriter

    lattice, numbers, frac_coords = crystal.arrays(0)
    structure = Structure(Lattice(lattice), numbers.tolist(), frac_coords)
    return str(CifWriter(structure, symprec=SYMPREC))


def stable_table(report: Report) -> pa.Table:
    """The new stable phases, energies in eV/atom."""
    rows = [
        {
            "id": p.id,
            "relaxed_id": p.relaxed_id,
            "reduced_formula": p.reduced_formula,
            "chemical_system": p.chemical_system,
            "space_group": p.space_group,
            "space_group_symbol": p.space_group_symbol,
            "formation_energy_per_atom": p.formation_energy_per_atom,
            "e_above_hull": p.e_above_hull,
            "distance_to_rest": p.distance_to_rest,
            "competing_reaction": "" if p.reaction is None else str(p.reaction),
            "lineage": " <- ".join(
                f"{s.generator}: {s.change}".removeprefix(": ") for s in p.lineage
            ),
            "scheme": report.scheme,
            "round": p.round,
        }
        for p in report.stable
    ]
    return pa.Table.from_pylist(rows, schema=_STABLE)


_STABLE = pa.schema(
    [
        ("id", pa.string()),
        ("relaxed_id", pa.string()),
        ("reduced_formula", pa.string()),
        ("chemical_system", pa.string()),
        ("space_group", pa.int64()),
        ("space_group_symbol", pa.string()),
        ("formation_energy_per_atom", pa.float64()),
        ("e_above_hull", pa.float64()),
        ("distance_to_rest", pa.float64()),
        ("competing_reaction", pa.string()),
        ("lineage", pa.string()),
        ("scheme", pa.string()),
        ("round", pa.int64()),
    ]
)


def phases_table(report: Report) -> pa.Table:
    """Every evaluation, failed ones too, and every known phase, energies in eV/atom."""
    evaluations = {row["id"]: row for row in report.tables.evaluations.to_pylist()}
    placed = {row["id"]: row for row in report.tables.hull.to_pylist()}
    columns = report.tables.candidates.select(["id", "reduced_formula", "chemical_system"])
    named = {row["id"]: row for row in rows_with(columns, "id", set(evaluations) - set(placed))}
    rows = [
        _merged(named.get(name, {}), evaluations.get(name, {}), placed.get(name, {}))
        for name in {**placed, **evaluations}
    ]
    return pa.Table.from_pylist(rows, schema=_PHASES)


def _merged(*parts: Mapping[str, Any]) -> dict[str, Any]:
    """One row out of several, later parts first in rank; nulls fill from the others."""
    row: dict[str, Any] = {}
    for part in parts:
        row.update({key: value for key, value in part.items() if value is not None})
    return row


_PHASES = pa.schema(
    [
        ("id", pa.string()),
        ("relaxed_id", pa.string()),
        ("reduced_formula", pa.string()),
        ("chemical_system", pa.string()),
        ("is_reference", pa.bool_()),
        ("round", pa.int64()),
        ("status", pa.string()),
        ("message", pa.string()),
        ("scheme", pa.string()),
        ("energy_per_atom", pa.float64()),
        ("formation_energy_per_atom", pa.float64()),
        ("e_above_hull", pa.float64()),
        ("stable", pa.bool_()),
        ("space_group", pa.int64()),
        ("decomposition", pa.string()),
        ("steps", pa.int64()),
        ("fmax", pa.float64()),
        ("seconds", pa.float64()),
    ]
)
