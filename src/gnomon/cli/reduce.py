"""`gnomon reduce`: the distinct polymorphs among many crystals."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from gnomon.cli.options import CommandError
from gnomon.cli.shared import Json, Strict, read_crystals, refuse_existing

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from gnomon.crystals import Crystals
    from gnomon.run.store import Store

GEOMETRY = ["lattice", "atomic_numbers", "frac_coords"]
"""Columns for files alone."""


class Given(NamedTuple):
    """Crystals to reduce: names, energies (eV/atom, NaN where unknown) and what these are."""

    crystals: Crystals
    names: list[str]
    energies: np.ndarray
    column: str


def reduce(
    crystals: Annotated[
        list[str],
        typer.Argument(help="Files, folders or globs of crystals, or one campaign folder."),
    ],
    best: Annotated[int, typer.Option(help="Crystals compared of each composition.")] = 100,
    window: Annotated[
        float | None,
        typer.Option(help="Leave out what is higher above the lowest of its formula (eV/atom)."),
    ] = None,
    symprec: Annotated[float, typer.Option(help="Tolerance of space groups, Å.")] = 0.1,
    tolerance: Annotated[
        float,
        typer.Option(
            help="Distortions that change the space group at this tolerance, Å, make another "
            "polymorph; 0 leaves them to the matcher."
        ),
    ] = 0.03,
    out: Annotated[
        Path | None, typer.Option(help="Table of polymorphs (.parquet, with geometry, or .csv).")
    ] = None,
    strict: Strict = False,
    json: Json = False,
) -> None:
    """Reduce crystals to their distinct polymorphs, the lowest in energy of each, and name them.

    The best of each composition are matched pair by pair.

    Example: gnomon reduce campaign-Au-Cu --window 0.1 --out polymorphs.parquet
    """
    import numpy as np

    from gnomon.cli.terminal import listening, put_json, put_table, say
    from gnomon.structure.duplicates import Sameness
    from gnomon.structure.polymorphs import polymorph_table, polymorphs

    if out is not None:
        if out.suffix not in (".parquet", ".csv"):
            raise CommandError(f"--out {out}: the name must end in .parquet or .csv")
        refuse_existing(out)
    given = _read(crystals, strict)
    with listening() as listener:
        found = polymorphs(
            given.crystals,
            given.energies,
            best=best,
            window=np.inf if window is None else window,
            same=Sameness(fingerprint=np.inf, symprec=tolerance),
            listener=listener,
        )
    table = polymorph_table(given.crystals, found, given.names, symprec)
    energies = np.array([one.energy_per_atom for one in found], dtype=np.float64)
    place = table.column_names.index("energy_above_lowest")
    table = table.add_column(place, given.column, _nullable(energies))
    if out is not None:
        _write(out, table)
    rows = table.drop_columns(GEOMETRY).to_pylist()
    if json:
        put_json(rows)
    else:
        put_table([_brief(row) for row in rows])
    compared = sum(len(one.members) for one in found)
    say(
        f"{len(found)} polymorphs among {compared} crystals compared of {len(given.names)} given; "
        + (f"energies: {given.column}" if np.isfinite(given.energies).any() else "no energies")
    )


def _read(sources: list[str], strict: bool) -> Given:
    """Crystals and energies of files, or the converged phases of a campaign."""
    import numpy as np

    from gnomon.io.reasons import ENERGIES
    from gnomon.run.store import Store

    campaigns = [source for source in sources if source != "-" and Store(source).exists]
    if campaigns and len(sources) > 1:
        raise CommandError(
            f"{campaigns[0]} is a campaign: its energies are of its own scheme, so give it alone"
        )
    if campaigns:
        return _campaign(Store(campaigns[0]))
    result = read_crystals(sources, strict)
    names = [
        row["source_id"] or row["source"]
        for row in result.rows.select(["source_id", "source"]).to_pylist()
    ]
    column = next((c for c in ENERGIES if result.rows[c].null_count < len(names)), ENERGIES[0])
    energies = result.rows[column].to_numpy(zero_copy_only=False).astype(np.float64)
    return Given(result.crystals, names, energies, column)


def _campaign(store: Store) -> Given:
    from gnomon.discover import Campaign

    placed = Campaign(store).placed
    if not len(placed.found.ids):
        raise ValueError(f"{store.root} has no converged phase to reduce")
    names = placed.found.ids.tolist()
    return Given(placed.found.relaxed, names, placed.e_above_hull, "e_above_hull")


def _nullable(energies: np.ndarray) -> pa.Array:
    import numpy as np
    import pyarrow as pa

    return pa.array(energies, mask=np.isnan(energies))


def _write(out: Path, table: pa.Table) -> None:
    """Write the table; CSV has no lists: members are joined, geometry is left out."""
    import pyarrow as pa
    from pyarrow import csv

    from gnomon.run.store import write_bytes, write_parquet

    if out.suffix == ".parquet":
        write_parquet(out, table)
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
