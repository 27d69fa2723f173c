"""`gnomon bands`: band gaps and densities of states by DFT, with their figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from gnomon.cli.options import CommandError, Output
from gnomon.cli.properties import campaign_of, finds_of
from gnomon.cli.shared import ExportFolder, MaybeFolder, Strict, Structures, read_crystals
from gnomon.crystals import Crystals
from gnomon.io.tables import FOLDER as TABLES
from gnomon.io.tables import OK, read_table, write_table
from gnomon.properties.compute import compute, rows_of
from gnomon.properties.electronic.bands import NAME, SCHEMA
from gnomon.properties.electronic.figure import figure
from gnomon.properties.electronic.vasp import export_bands, import_bands
from gnomon.properties.registry import PropertySettings
from gnomon.run.listener import Listener


def bands(
    crystals: Structures,
    listener: Listener,
    *,
    engine: Literal["gpaw", "gpaw:tight", "vasp"] = "gpaw",
    export: ExportFolder = None,
    import_: Path | None = None,
    out: MaybeFolder = None,
    relax: bool = True,
    workers: int = 1,
    strict: Strict = False,
) -> Output:
    """Compute band gaps and densities of states by DFT, of crystals or of a campaign's finds.

    Writes OUT/dft_band_gap.parquet and a figure of bands and states for each crystal.  GPAW relaxes
    as `gnomon verify --engine gpaw` does, whose checkpoints serve here too; after a kill the same
    command goes on.  VASP takes two commands, as in a verification: inputs out, outputs in.

    Args:
        engine: who computes.
        export: write inputs of VASP into this new folder.
        import_: read outputs of VASP from this folder.
        out: folder of table and figures [tables/ of the campaign].
        relax: relax with GPAW first.
        workers: processes of GPAW.

    Example: gnomon bands finds.cif --engine gpaw --out bands
    """
    if (engine == "vasp") != ((export is None) != (import_ is None)):
        raise CommandError("--engine vasp, and no other, takes one of --export DIR, --import DIR")
    campaign = campaign_of(crystals)
    given = read_crystals(crystals, strict).crystals if campaign is None else finds_of(campaign)
    if export is not None:
        manifest = export_bands(given, export)
        said = f"{len(given)} crystals, {len(manifest['jobs'])} jobs each: {export}"
        return Output(manifest, (said,), (f"copy {manifest['copy']}",))
    out = out or (None if campaign is None else campaign.store.root / TABLES)
    if out is None:
        raise CommandError("give --out FOLDER for the table and the figures")
    if import_ is not None:
        write_table(out / f"{NAME}.parquet", import_bands(given, import_), schema=SCHEMA)
    else:
        options = {"preset": engine.partition(":")[2] or "screening"}
        settings = {NAME: {**options, "relax": relax, "workers": workers}}
        compute(given, [NAME], PropertySettings(options=settings, listener=listener), out, chunk=1)
    rows = _drawn(given, out)
    return Output(rows, (rows,), (f"table and figures: {out}",))


def _drawn(crystals: Crystals, out: Path) -> list[dict[str, Any]]:
    """Figures of what has bands, and a row a crystal for people."""
    table = rows_of(read_table(out / f"{NAME}.parquet"), crystals)
    rows = []
    for formula, row in zip(crystals.reduced_formulas, table.to_pylist(), strict=True):
        told = {"formula": formula, "gap (eV)": row["value"], "kind": row["kind"]}
        page = out / f"{NAME}-{formula}-{row['id'][:12]}.html"
        if row["status"] == OK:
            made = figure(row, f"{formula}: {row['kind']}, {row['value']:.2f} eV")
            made.write_html(page, include_plotlyjs=True, config={"displayModeBar": False})
        rows.append(told | {"status": row["status"] if row["status"] != OK else str(page)})
    return rows
