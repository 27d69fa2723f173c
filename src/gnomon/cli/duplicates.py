"""`gnomon duplicates`: which crystals are the same."""

from __future__ import annotations

from collections import Counter
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
        float | None, typer.Option(help="Relative distance of fingerprints worth a comparison.")
    ] = None,
    fast: Annotated[
        bool, typer.Option("--fast", help="Compare by fingerprints alone, without the matcher.")
    ] = False,
    strict: Strict = False,
    json: Json = False,
) -> None:
    """Group crystals that are the same in any cell, origin, order or size.

    Example: gnomon duplicates candidates.parquet --against known.parquet --out new.parquet
    """
    from gnomon.cli.terminal import put_json, put_table, say
    from gnomon.io import write
    from gnomon.structure.duplicates import find_known, group_duplicates

    if out is not None:
        refuse_existing(out)
    if tolerance is not None and tolerance < 0:
        raise CommandError(f"--tolerance {tolerance} must be at least 0")
    found = read_crystals(crystals, strict).crystals
    groups = group_duplicates(found, tolerance=tolerance, match=not fast)
    firsts = sorted({group: i for i, group in reversed(list(enumerate(groups.tolist())))}.values())
    kept = found.take(firsts)
    known = 0
    if against:
        reference = read_crystals(against, strict).crystals
        place = find_known(kept, reference, tolerance=tolerance, match=not fast)
        known = int((place >= 0).sum())
        kept = kept.take(place < 0)
    rows = [
        {"id": i, "reduced_formula": f, "group": g}
        for i, f, g in zip(found.ids, found.reduced_formulas, groups.tolist(), strict=True)
    ]
    if json:
        put_json({"crystals": len(found), "groups": len(firsts), "known": known, "rows": rows})
    else:
        sizes = Counter(groups.tolist())
        put_table([row for row in rows if sizes[row["group"]] > 1], empty="no duplicates")
    say(
        f"{len(found)} crystals, {len(firsts)} different ones"
        + (f", {known} of them known" if against else "")
    )
    if out is not None:
        write(out, kept)
        say(f"{len(kept)} crystals: {out}")
