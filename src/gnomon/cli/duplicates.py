"""`gnomon duplicates`: which crystals are the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np

from gnomon.cli.options import Given, Output, Section
from gnomon.cli.shared import Strict, Structures, place, read_crystals
from gnomon.io import write
from gnomon.structure.duplicates import FAST, Sameness, find_known, group_duplicates

SAME = Section(names={"symprec": ("--tolerance",)}, without=("matcher",))


def duplicates(
    crystals: Structures,
    sameness: Annotated[Given[Sameness], SAME],
    *,
    out: Annotated[Path | None, place(".parquet", ".extxyz", ".json", ".cif", ".vasp")] = None,
    against: list[str] | None = None,
    fast: bool = False,
    strict: Strict = False,
) -> Output:
    """Group crystals that are the same in any cell, origin, order and, to 20 % of lengths, size.

    Args:
        out: write the first crystal of each group to this file.
        against: known crystals: leave out what they hold (repeatable).
        fast: compare by fingerprints alone, without the matcher.

    Example: gnomon duplicates candidates.parquet --against known.parquet --out new.parquet
    """
    same = replace(FAST, **sameness.values) if fast else sameness.over()
    found = read_crystals(crystals, strict).crystals
    groups, chained = group_duplicates(found, same)
    _, firsts, sizes = np.unique(groups, return_index=True, return_counts=True)
    kept = found.take(firsts)
    counts = {"crystals": len(found), "groups": len(firsts), "known": 0}
    said = [f"{len(found)} crystals, {len(firsts)} different ones"]
    if against:
        place = find_known(kept, read_crystals(against, strict).crystals, same)
        counts["known"] = int((place >= 0).sum())
        said[0] += f", {counts['known']} of them known"
        kept = kept.take(place < 0)
    if chained:
        said.append(
            f"{len(chained)} pairs are the same but stay apart, as others of their groups differ: "
            "a chain of small steps may join what is not the same (--json names them)"
        )
    if out is not None:
        write(out, kept)
        said.append(f"{len(kept)} crystals: {out}")
    rows = [
        {"id": i, "reduced_formula": f, "group": g}
        for i, f, g in zip(found.ids, found.reduced_formulas, groups.tolist(), strict=True)
    ]
    pairs = [[found.ids[i], found.ids[j]] for i, j in chained]
    return Output(
        {**counts, "chained": pairs, "rows": rows},
        ([row for row in rows if sizes[row["group"]] > 1] or "no duplicates",),
        tuple(said),
    )
