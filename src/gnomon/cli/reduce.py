"""`gnomon reduce`: the distinct polymorphs among many crystals."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import pyarrow as pa
from pyarrow import csv

from gnomon.cli.options import CommandError, Output
from gnomon.cli.shared import Strict, numbers, place, read_crystals
from gnomon.crystals import Crystals
from gnomon.discover import Campaign
from gnomon.io.reasons import ENERGIES
from gnomon.io.tables import write_table
from gnomon.run.listener import Listener
from gnomon.run.store import Store
from gnomon.run.writing import write_bytes
from gnomon.structure.duplicates import Sameness
from gnomon.structure.polymorphs import polymorph_table, polymorphs

GEOMETRY = ["lattice", "atomic_numbers", "frac_coords"]
"""Columns for files alone."""


class Given(NamedTuple):
    """Crystals to reduce: names, energies (eV/atom, NaN where unknown) and what these are."""

    crystals: Crystals
    names: list[str]
    energies: np.ndarray
    column: str


def reduce(
    crystals: list[str],
    listener: Listener,
    *,
    best: int = 100,
    window: float | None = None,
    symprec: float = 0.1,
    tolerance: float = 0.03,
    out: Annotated[Path | None, place(".parquet", ".csv")] = None,
    strict: Strict = False,
) -> Output:
    """Reduce crystals to their distinct polymorphs, the lowest in energy of each, and name them.

    The best of each composition are matched pair by pair.

    Args:
        crystals: files, folders or globs of crystals, or one campaign folder.
        best: crystals compared of each composition.
        window: leave out what is higher above the lowest of its formula (eV/atom).
        symprec: tolerance of space groups, Å.
        tolerance: distortions that change the space group at this tolerance, Å, make another
            polymorph; 0 leaves them to the matcher.
        out: table of polymorphs (.parquet, with geometry, or .csv).

    Example: gnomon reduce campaign-Au-Cu --window 0.1 --out polymorphs.parquet
    """
    given = _read(crystals, strict, listener)
    found = polymorphs(
        given.crystals,
        given.energies,
        best=best,
        window=np.inf if window is None else window,
        same=Sameness(fingerprint=np.inf, symprec=tolerance),
        listener=listener,
    )
    table = polymorph_table(given.crystals, found, given.names, symprec)
    energies = pa.array([one.energy_per_atom for one in found], pa.float64(), from_pandas=True)
    place = table.column_names.index("energy_above_lowest")
    table = table.add_column(place, given.column, energies)
    if out is not None:
        _write(out, table)
    rows = table.drop_columns(GEOMETRY).to_pylist()
    compared = sum(len(one.members) for one in found)
    known = f"energies: {given.column}" if np.isfinite(given.energies).any() else "no energies"
    return Output(
        rows,
        ([_brief(row) for row in rows],),
        said=(
            f"{len(found)} polymorphs among {compared} crystals compared of {len(given.names)} "
            f"given; {known}",
        ),
    )


def _read(sources: list[str], strict: bool, listener: Listener) -> Given:
    """Crystals and energies of files, or the converged phases of a campaign."""
    campaigns = [source for source in sources if source != "-" and Store(source).exists]
    if campaigns and len(sources) > 1:
        raise CommandError(
            f"{campaigns[0]} is a campaign: its energies are of its own scheme, so give it alone"
        )
    if campaigns:
        return _campaign(Store(campaigns[0]), listener)
    result = read_crystals(sources, strict)
    names = [
        row["source_id"] or row["source"]
        for row in result.rows.select(["source_id", "source"]).to_pylist()
    ]
    column = next((c for c in ENERGIES if result.rows[c].null_count < len(names)), ENERGIES[0])
    return Given(result.crystals, names, numbers(result.rows, column), column)


def _campaign(store: Store, listener: Listener) -> Given:
    store.sound(listener)
    placed = Campaign(store).placed
    if not len(placed.found.ids):
        raise ValueError(f"{store.root} has no converged phase to reduce")
    names = placed.found.ids.tolist()
    return Given(placed.found.relaxed, names, placed.e_above_hull, "e_above_hull")


def _write(out: Path, table: pa.Table) -> None:
    """Write the table; CSV has no lists: members are joined, geometry is left out."""
    if out.suffix == ".parquet":
        write_table(out, table)
        return
    flat = table.drop_columns(GEOMETRY)
    for name in ("members", "also_like"):
        joined = pa.array([" ".join(names) for names in table[name].to_pylist()])
        flat = flat.set_column(flat.column_names.index(name), name, joined)
    sink = pa.BufferOutputStream()
    csv.write_csv(flat, sink)
    write_bytes(out, sink.getvalue().to_pybytes())


def _brief(row: dict[str, Any]) -> dict[str, Any]:
    """What of a polymorph fits a terminal."""
    symbol = row["space_group_symbol"]
    return {
        "formula": row["reduced_formula"],
        "name": row["name"],
        "above lowest (eV/atom)": row["energy_above_lowest"],
        "crystals": row["n_members"],
        "space group": f"{symbol} ({row['space_group']})" if symbol else None,
        "dimensionality": f"{row['dimensionality']}D",
        "prototype": row["prototype"],
    }
