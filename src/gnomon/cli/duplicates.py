"""`gnomon duplicates`: which crystals are the same."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gnomon.cli.options import CommandError
from gnomon.cli.shared import Json, Strict, Structures, read_crystals, refuse_existing


def duplicates(
    crystals: Structures,
    out: Annotated[
        Path | None, typer.Option(help="Write the first crystal of each group to this file.")
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(help="Known crystals: leave out what they hold (repeatable)."),
    ] = None,
    tolerance: Annotated[
        float,
        typer.Option(
            help="Distortions that change the space group at this tolerance, Å, make another "
            "crystal; 0 leaves them to the matcher."
        ),
    ] = 0.03,
    fingerprint: Annotated[
        float | None, typer.Option(help="Relative distance of fingerprints worth a comparison.")
    ] = None,
    fast: Annotated[
        bool, typer.Option("--fast", help="Compare by fingerprints alone, without the matcher.")
    ] = False,
    strict: Strict = False,
    json: Json = False,
) -> None:
    """Group crystals that are the same in any cell, origin, order and, to 20 % of lengths, size.

    Example: gnomon duplicates candidates.parquet --against known.parquet --out new.parquet
    """
    from dataclasses import replace

    import numpy as np

    from gnomon.cli.terminal import put_json, put_table, say
    from gnomon.io import write
    from gnomon.structure.duplicates import FAST, Sameness, find_known, group_duplicates

    if out is not None:
        refuse_existing(out)
    for name, value in (("tolerance", tolerance), ("fingerprint", fingerprint)):
        if value is not None and not value >= 0:
            raise CommandError(f"--{name} {value} must be at least 0")
    same = FAST if fast else Sameness(symprec=tolerance)
    if fingerprint is not None:
        same = replace(same, fingerprint=fingerprint)
    found = read_crystals(crystals, strict).crystals
    groups, chained = group_duplicates(found, same)
    _, firsts, sizes = np.unique(groups, return_index=True, return_counts=True)
    kept = found.take(firsts)
    known = 0
    if against:
        reference = read_crystals(against, strict).crystals
        place = find_known(kept, reference, same)
        known = int((place >= 0).sum())
        kept = kept.take(place < 0)
    rows = [
        {"id": i, "reduced_formula": f, "group": g}
        for i, f, g in zip(found.ids, found.reduced_formulas, groups.tolist(), strict=True)
    ]
    if json:
        pairs = [[found.ids[i], found.ids[j]] for i, j in chained]
        counts = {"crystals": len(found), "groups": len(firsts), "known": known}
        put_json({**counts, "chained": pairs, "rows": rows})
    else:
        put_table([row for row in rows if sizes[row["group"]] > 1], empty="no duplicates")
    say(
        f"{len(found)} crystals, {len(firsts)} different ones"
        + (f", {known} of them known" if against else "")
    )
    if chained:
        say(
            f"{len(chained)} pairs are the same but stay apart, as others of their groups differ: "
            "a chain of small steps may join what is not the same (--json names them)"
        )
    if out is not None:
        write(out, kept)
        say(f"{len(kept)} crystals: {out}")
