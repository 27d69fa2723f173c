"""Do campaigns find what textbooks hold?  Forty chemical systems, known phases, default settings.

    python benchmarks/textbook.py --data DATA --out campaigns [--decide nequix-oam-1-pft]

The systems: those of ``materials_project/structures.parquet`` with at least two compounds on the
hull of up to 12 atoms, sorted by the MD5 of their name; of those with metals alone, or with one
other element that makes them oxides, halides, chalcogenides or nitrides, the first six binary and
two ternary ones of each kind (there are five binary oxides; one more system of metals takes the
sixth place).  `gnomon discover` runs with its defaults and is told of no compound.

A known phase, on the hull of the file, in the system or within it, of up to 12 atoms, is *found*
where a phase on the campaign's hull is the same for pymatgen's StructureMatcher (default
tolerances); *near* where one is that lies at most 30 meV/atom above it.  The networks and the known
crystals in the package, whose structures are tried, are of formulas of hashes below 75: known
phases of higher hashes, *unseen*, are counted apart too.  A stable find that is the same as any
phase of the file is *wrong* where that one lies more than 30 meV/atom above the file's hull; finds
that are like none are counted apart.  Counted for the screening level and for the deciding one.
Intervals are Wilson's, 95 %.  A campaign that was begun goes on; one that has ended is only counted
again.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gnomon.crystals import Crystals
from gnomon.discover import Campaign
from gnomon.discover.level import Level
from gnomon.discover.rates import wilson
from gnomon.hull.phases import ON_HULL
from gnomon.io import from_arrow, to_pymatgen
from record import RESULTS, save

RESULT = RESULTS / "textbook.json"
ATOMS = 12
WRONG = 0.030
"""eV/atom."""
SEEN = 75
"""Hashes of formulas below this one were trained on."""
METALLOIDS = ("B", "C", "Si", "Ge", "P", "As", "Sb", "H", "He", "Ne", "Ar", "Kr", "Xe", "At", "Rn")
ANIONS = {
    "O": "oxides",
    **dict.fromkeys(("F", "Cl", "Br", "I"), "halides"),
    **dict.fromkeys(("S", "Se", "Te"), "chalcogenides"),
    "N": "nitrides",
}
BINARY, TERNARY = 6, 2


def kind_of(system: str) -> str | None:
    """Metals alone, or which anion it is that they have; None for any other system."""
    others = [e for e in system.split("-") if e in ANIONS or e in METALLOIDS]
    if not others:
        return "metals"
    return ANIONS.get(others[0]) if len(others) == 1 else None


def systems_of(stable: Crystals) -> list[str]:
    """The forty, in turns of their kinds, so that any first part of them is of all kinds."""
    many = Counter(s for s in stable.chemical_systems.tolist() if "-" in s)
    names = [name for name, n in many.items() if n >= 2]
    names.sort(key=lambda name: hashlib.md5(name.encode()).hexdigest())
    kinds = ("metals", "oxides", "halides", "chalcogenides", "nitrides")
    chosen = []
    for size, count in ((2, BINARY), (3, TERNARY)):
        of = {
            kind: [n for n in names if n.count("-") == size - 1 and kind_of(n) == kind]
            for kind in kinds
        }
        missing = sum(max(0, count - len(found)) for found in of.values())
        take = {kind: count + (missing if kind == "metals" else 0) for kind in kinds}
        rows = [(i, kind) for kind in kinds for i in range(min(take[kind], len(of[kind])))]
        chosen += [of[kind][i] for i, kind in sorted(rows, key=lambda row: row[0])]
    return chosen


def discover(system: str, folder: Path, options: list[str]) -> dict[str, Any]:
    """Run the command; seconds, CPU seconds and memory of it are kept beside the campaign."""
    notes = folder.with_suffix(".json")
    if notes.is_file():
        return dict(json.loads(notes.read_text()))
    began = time.monotonic()
    command = [sys.executable, "-m", "gnomon", "discover", system, "--out", str(folder), *options]
    with folder.with_suffix(".log").open("a", encoding="utf-8") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
    if code := os.waitstatus_to_exitcode(status):
        raise RuntimeError(f"{' '.join(command)} ended with {code}: see {log.name}")
    spent = {
        "seconds": round(time.monotonic() - began, 1),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "memory_gb": round(usage.ru_maxrss / 1e6, 2),
    }
    notes.write_text(json.dumps(spent))
    return spent


def nearest(level: Level, crystal: Any, formula: str) -> float | None:
    """How far a level has a known phase above its hull, eV/atom; None if it holds none like it."""
    from pymatgen.analysis.structure_matcher import StructureMatcher

    same, placed = StructureMatcher().fit, level.placed
    kin = [phase for phase in level.phases if phase.reduced_formula == formula]
    ours = [to_pymatgen(placed.found.relaxed[[placed.row_of[p.id]]])[0] for p in kin]
    found = [p.e_above_hull for p, one in zip(kin, ours, strict=True) if same(crystal, one)]
    return round(min(found), 4) if found else None


def counted(level: Level, known: Crystals, above: np.ndarray, unseen: np.ndarray) -> dict[str, Any]:
    """What a level's hull holds of the known phases, and what its finds are in the file."""
    from pymatgen.analysis.structure_matcher import StructureMatcher

    same = StructureMatcher().fit
    placed, theirs = level.placed, to_pymatgen(known)
    pairs = []
    for i, find in enumerate(level.finds):
        rows = [placed.row_of[key] for key in (find.id, *find.copies) if key in placed.row_of]
        ours = to_pymatgen(placed.found.relaxed[rows])
        kin = np.flatnonzero(known.reduced_formulas == find.reduced_formula).tolist()
        pairs += [(i, j) for j in kin if any(same(theirs[j], one) for one in ours)]
    truly = [j for j in np.flatnonzero(above <= ON_HULL) if len(theirs[j]) <= ATOMS]
    found = {j for _, j in pairs} & set(truly)
    new = set(np.flatnonzero(unseen).tolist())
    # a find that resembles several phases of the file is the lowest of them
    place = {i: min(above[j] for k, j in pairs if k == i) for i, _ in pairs}
    missed = {
        known.reduced_formulas[j]: nearest(level, theirs[j], known.reduced_formulas[j])
        for j in sorted(set(truly) - found)
    }
    near = [value for value in missed.values() if value is not None and value <= WRONG]
    return {
        "scheme": level.scheme,
        "known": len(truly),
        "found": len(found),
        "known_unseen": len(new & set(truly)),
        "found_unseen": len(new & found),
        "near": len(found) + len(near),
        "missed": missed,
        "finds": len(level.finds),
        "matched": len(place),
        "wrong": sum(bool(value > WRONG) for value in place.values()),
    }


def run(system: str, table: Any, out: Path, options: list[str]) -> dict[str, Any]:
    """One system: campaign and counts."""
    spent = discover(system, out / system, options)
    within = set(system.split("-"))
    crystals = from_arrow(table)
    inside = np.array([set(s.split("-")) <= within and "-" in s for s in crystals.chemical_systems])
    above = table["e_above_hull"].to_numpy()[inside]
    unseen = table["formula_hash"].to_numpy()[inside] >= SEEN
    campaign = Campaign(out / system)
    levels = [counted(level, crystals[inside], above, unseen) for level in campaign.levels]
    return {"system": system, "kind": kind_of(system), **spent, "levels": levels}


def total(results: list[dict[str, Any]], level: int) -> dict[str, Any]:
    """Shares over all systems, with their intervals."""
    rows = [r["levels"][level] for r in results if len(r["levels"]) > level]

    def share(part: str, whole: str) -> dict[str, Any]:
        return asdict(wilson(*(sum(row[name] for row in rows) for name in (part, whole))))

    return {
        "systems": len(rows),
        "found": share("found", "known"),
        "found_unseen": share("found_unseen", "known_unseen"),
        "near": share("near", "known"),
        "wrong": share("wrong", "matched"),
        "finds_without_match": sum(row["finds"] - row["matched"] for row in rows),
    }


def main() -> None:
    """The systems one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("campaigns"))
    parser.add_argument("--systems", type=int, default=40, help="the first so many")
    parser.add_argument("--decide", help="the deciding level, instead of the default")
    parser.add_argument("--list", action="store_true", help="only name the systems")
    given = parser.parse_args()
    table = pq.read_table(given.data / "materials_project" / "structures.parquet")
    stable = from_arrow(table.filter(pc.less_equal(table["e_above_hull"], ON_HULL)))
    systems = systems_of(stable[stable.n_atoms <= ATOMS])[: given.systems]
    if given.list:
        print("\n".join(systems))
        return
    given.out.mkdir(parents=True, exist_ok=True)
    options = ["--decide", given.decide] if given.decide else []
    results = []
    for system in systems:
        results.append(run(system, table, given.out, options))
        print(json.dumps(results[-1]), flush=True)
    n_levels = max(len(result["levels"]) for result in results)
    totals = [total(results, level) for level in range(n_levels)]
    save({"totals": totals, "systems": results}, RESULT)


if __name__ == "__main__":
    main()
