"""What the identification of phases in powder scans is worth.

    python benchmarks/xrd.py --data D [--part simulated|labelled|reactions|calibrate] [--work W]

D holds ``xrd/dara_scans.tar.xz`` and ``materials_project/structures.parquet``.  Simulated mixtures
are of phases of that table whose formulas hash below 75 (those of 65 to 74 are the ones that are
reported, those below fit the confidence); scans are real (Fei et al., Chem. Mater. 38, 1364
(2026)), and their candidates are all phases of the table up to 0.1 eV/atom above the hull that
hold no other elements than the precursors, O, and C and H where a precursor has them, together
with the measured cells in the package.  Results go to ``benchmarks/results/xrd.json``, part by
part; finished rows stay.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import tarfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from scipy.optimize import minimize

from gnomon.diffraction import (
    Candidates,
    Identification,
    SimulationSettings,
    identify,
    read_scan,
    simulate,
)
from gnomon.diffraction.candidates import PBE
from gnomon.diffraction.confidence import WEIGHTS
from gnomon.diffraction.fit import Target
from gnomon.diffraction.found import weigh
from gnomon.diffraction.identify import STEP, margin
from gnomon.diffraction.measured import measured
from gnomon.diffraction.search import Search
from gnomon.elements import parse_formula
from gnomon.hull.phases import compositions, reduced_formulas
from gnomon.io import from_arrow

ABOVE = 0.1
RESULTS = Path(__file__).parent / "results" / "xrd.json"
LOOKED_AT = (
    "V2O5_0p3015-TiO2_0p6998--2min",
    "V2O5_0p3015-TiO2_0p6998--8min",
    "TiO2_0p4009-ZnO_0p6010--2min",
    "V2O5_0p8011-ZrO2_0p2012--2min",
    "V2O5_0p6008-ZnO_0p4010--2min",
)
"""Labelled scans that were looked at while the method was made.  All were run once with an earlier
form; then, of candidates that gain alike, the one of the better known cell was put first, and the
cell of Bi2O3 was added."""


class Table:
    """Phases of the shared table."""

    def __init__(self, data: Path) -> None:
        """Read it."""
        self.rows = pq.read_table(data / "materials_project" / "structures.parquet")
        self.formulas = self.rows["reduced_formula"].to_pylist()
        self.hash = np.array(self.rows["formula_hash"].to_pylist())
        above = self.rows["e_above_hull"].to_pylist()
        self.above = np.array([np.inf if x is None else x for x in above])
        self.elements = [frozenset(parse_formula(f)) for f in self.formulas]

    def within(self, elements: set[str], too_long: float = 0.0) -> Candidates:
        """Compounds of a chemical system near the hull that are no gases."""
        at = [
            i
            for i, have in enumerate(self.elements)
            if have <= elements and self.above[i] <= ABOVE and len(have) > 1
        ]
        return self.take(at, too_long).solid()

    def take(self, at: list[int], too_long: float = 0.0) -> Candidates:
        """Some of its phases."""
        part = self.rows.take(at)
        crystals = from_arrow(part.select(["lattice", "atomic_numbers", "frac_coords"]))
        return Candidates.of(
            crystals, e_above_hull=self.above[at], labels=part["id"].to_pylist(), too_long=too_long
        )


def wilson(k: int, n: int) -> list[float]:
    """Interval of 95 % of a share."""
    if not n:
        return [0.0, 1.0]
    z, p = 1.96, k / n
    middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return [round((middle + s * half) / (1 + z * z / n), 3) for s in (-1, 1)]


def share(k: int, n: int) -> dict[str, Any]:
    return {"k": k, "n": n, "share": round(k / max(n, 1), 3), "interval": wilson(k, n)}


# --- simulated mixtures ---------------------------------------------------------------------------


def systems(table: Table) -> list[frozenset[str]]:
    """Systems of oxygen and two or three other elements with 8 to 80 phases near the hull."""
    counts: dict[frozenset[str], int] = {}
    for have, above in zip(table.elements, table.above, strict=True):
        if "O" in have and 3 <= len(have) <= 4 and above <= 0.02:
            counts[have] = counts.get(have, 0) + 1
    found = sorted((s for s, n in counts.items() if n >= 2), key=sorted)
    sizes = {s: int(sum(h <= s for h in table.elements)) for s in found}
    return [s for s in found if 8 <= sizes[s] <= 80]


def mixture(
    table: Table, system: frozenset[str], rng: np.random.Generator, band: tuple[int, int]
) -> tuple[Candidates, list[int], list[float]] | None:
    """Candidates of a system, and one to three of them with weights: the truth."""
    candidates = table.within(set(system))
    formulas = candidates.crystals.reduced_formulas
    hashes = dict(zip(table.formulas, table.hash.tolist(), strict=True))
    usable = [
        i
        for i, f in enumerate(formulas)
        if band[0] <= hashes[f] < band[1]
        and candidates.e_above_hull[i] <= 0.03
        and candidates.crystals.n_atoms[i] <= 60
    ]
    n = int(rng.integers(1, 4))
    chosen: list[int] = []
    for i in rng.permutation(usable).tolist():
        if formulas[i] not in formulas[chosen] and len(chosen) < n:
            chosen.append(i)
    if len(chosen) < n:
        return None
    weights = rng.dirichlet([2.0] * n) * (1 - 0.08 * n) + 0.08
    return candidates, chosen, weights.tolist()


def simulated(table: Table, number: int) -> dict[str, Any]:
    """A simulated mixture: what was in, what was found."""
    rng = np.random.default_rng([1, number])
    every = systems(table)
    while True:
        system = every[int(rng.integers(len(every)))]
        made = mixture(table, system, rng, (65, 75))
        if made is None:
            continue
        candidates, chosen, weights = made
        hidden = number % 5 == 4  # one in five: a phase that is no candidate
        settings = SimulationSettings(counts=float(rng.choice([1500, 5000, 20000])))
        scan = simulate(candidates.crystals.take(chosen), weights, settings, 10000 + number)
        formulas = candidates.crystals.reduced_formulas.tolist()
        truth = {formulas[i]: w for i, w in zip(chosen, weights, strict=True)}
        if hidden:
            gone = formulas[chosen[-1]]
            candidates = candidates.take([i for i, f in enumerate(formulas) if f != gone])
        if not len(candidates):
            continue
        return {
            "scan": f"simulated {number}",
            "system": "-".join(sorted(system)),
            "candidates": len(candidates),
            "hidden": formulas[chosen[-1]] if hidden else None,
            "truth": truth,
            **summary(identify(scan, candidates)),
        }


def summary(found: Identification) -> dict[str, Any]:
    phases = [
        {
            "formula": p.formula,
            "label": p.label.split(" (")[0],
            "weight": round(p.weight_fraction, 4),
            "confidence": round(p.confidence, 3),
        }
        for p in found.phases
    ]
    return {
        "status": found.status,
        "phases": phases,
        "explained": round(found.explained, 3),
        "unexplained": [round(p.two_theta, 2) for p in found.unexplained[:12]],
        "r_wp": round(found.r_wp, 4),
        "seconds": round(found.seconds, 2),
    }


def figures(rows: list[Any]) -> dict[str, Any]:
    """Figures of simulated mixtures."""
    whole = [row for row in rows if row["hidden"] is None]
    told = [(p, row) for row in rows for p in row["phases"]]
    right = [p["formula"] in row["truth"] and p["formula"] != row["hidden"] for p, row in told]
    mixed = [row for row in whole if len(row["truth"]) > 1]
    errors = weight_errors(mixed)
    alone = [row for row in rows if row["hidden"] and len(row["truth"]) == 1]
    bins = []
    for low, high in ((0.5, 0.8), (0.8, 0.95), (0.95, 0.99), (0.99, 1.01)):
        inside = [r for (p, _), r in zip(told, right, strict=True) if low <= p["confidence"] < high]
        bins.append({"from": low, **share(sum(inside), len(inside))})
    return {
        "mixtures": len(rows),
        "main phase": share(sum(_main(row["truth"], row) for row in whole), len(whole)),
        "all phases, no false one": share(
            sum(_all(row["truth"], row) for row in whole), len(whole)
        ),
        "phases found": share(
            sum(f in {p["formula"] for p in row["phases"]} for row in whole for f in row["truth"]),
            sum(len(row["truth"]) for row in whole),
        ),
        "false phases": share(len(right) - sum(right), len(right)),
        "mixtures of two or three": len(mixed),
        "their median weight error": round(float(np.median(errors)), 4),
        "their mean weight error": round(float(np.mean(errors)), 4),
        "pure scans of no candidate, said to be unknown": share(
            sum(not row["phases"] for row in alone), len(alone)
        ),
        "scans with a phase of no candidate, said not to be explained": share(
            sum(row["status"] != "identified" for row in rows if row["hidden"]),
            sum(row["hidden"] is not None for row in rows),
        ),
        "confidence": bins,
        "median seconds": round(float(np.median([row["seconds"] for row in rows])), 2),
    }


def weight_errors(rows: list[Any]) -> list[float]:
    """Of each phase that is in, also where it was not found; phases of one formula are one."""
    errors = []
    for row in rows:
        have: dict[str, float] = {}
        for p in row["phases"]:
            have[p["formula"]] = have.get(p["formula"], 0.0) + p["weight"]
        errors += [abs(have.get(f, 0.0) - w) for f, w in row["truth"].items()]
    return errors


def _main(truth: dict[str, float], row: Any) -> bool:
    return bool(row["phases"]) and row["phases"][0]["formula"] == max(truth, key=truth.__getitem__)


def _all(truth: dict[str, float], row: Any) -> bool:
    return {p["formula"] for p in row["phases"]} == set(truth)


# --- calibration ----------------------------------------------------------------------------------


def evidence(table: Table, number: int) -> list[Any]:
    """Whether each phase that a generous search keeps is right, and the evidence for it."""
    rng = np.random.default_rng([7, number])
    every, made = systems(table), None
    while made is None:
        made = mixture(table, every[int(rng.integers(len(every)))], rng, (0, 65))
    candidates, chosen, weights = made
    settings = SimulationSettings(counts=float(rng.choice([1500, 5000, 20000])))
    scan = simulate(candidates.crystals.take(chosen), weights, settings, 777000 + number)
    formulas = candidates.crystals.reduced_formulas.tolist()
    truth = {formulas[i] for i in chosen}
    if rng.random() < 0.4:
        gone = formulas[chosen[-1]]
        truth -= {gone}
        candidates = candidates.take([i for i, f in enumerate(formulas) if f != gone])
    if not len(candidates):
        return []
    target = Target.of(scan.coarse(STEP))
    search = Search(candidates, target)
    found = search.run(4, 0.02)
    names = candidates.crystals.reduced_formulas.tolist()
    pairs = zip(found.members, search.rivals(found), strict=True)
    rows = weigh(found, target, [margin(names, i, row) for i, row in pairs])
    return [
        [names[i] in truth, *one.numbers.round(4).tolist()]
        for i, one in zip(found.members, rows, strict=True)
    ]


def calibrate(table: Table, work: Path, n: int) -> dict[str, Any]:
    """Weights of the confidence by logistic regression; mixtures that are done are kept."""
    work.mkdir(parents=True, exist_ok=True)
    place = work / "evidence.jsonl"
    done = [json.loads(line) for line in place.read_text().splitlines()] if place.exists() else []
    with place.open("a") as file:
        for number in range(len(done), n):
            done.append(evidence(table, number))
            file.write(json.dumps(done[-1]) + "\n")
            file.flush()
    rows = np.array([row for rows in done for row in rows], float)
    y, x = rows[:, 0], np.concatenate([np.ones((len(rows), 1)), rows[:, 1:]], 1)
    scale = np.concatenate([[1.0], x[:, 1:].std(0) + 1e-9])

    def loss(w: np.ndarray) -> float:
        score = x @ w
        return float(
            np.sum(np.logaddexp(0, score) - y * score) + 0.5 * np.sum((w * scale)[1:] ** 2)
        )

    weights = minimize(loss, np.array(WEIGHTS), method="BFGS").x
    before, after = (log_loss(x, y, np.array(w)) for w in (WEIGHTS, weights))
    return {
        "mixtures": len(done),
        "phases": len(y),
        "right": int(y.sum()),
        "weights": [round(float(w), 3) for w in weights],
        "log loss before": before,
        "log loss after": after,
    }


def log_loss(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> float:
    score = np.clip(x @ weights, -30, 30)
    return round(float(np.mean(np.logaddexp(0, score) - y * score)), 4)


# --- real scans -----------------------------------------------------------------------------------


def scans(data: Path, work: Path) -> list[Path]:
    work.mkdir(parents=True, exist_ok=True)
    with tarfile.open(data / "xrd" / "dara_scans.tar.xz") as archive:
        archive.extractall(work, filter="data")
    return sorted(work.rglob("*.xrdml"))


def labelled(table: Table, path: Path) -> dict[str, Any]:
    """A scan of a weighed mixture of starting materials."""
    parts = [part.rpartition("_") for part in path.stem.partition("--")[0].split("-")]
    formulas = reduced_formulas(compositions([f for f, _, _ in parts])).tolist()
    weights = np.array([float(w.replace("p", ".")) for _, _, w in parts])
    truth = dict(zip(formulas, (weights / weights.sum()).tolist(), strict=True))
    return {"scan": path.stem, "truth": truth, **real(table, path, formulas)}


def reaction(table: Table, path: Path) -> dict[str, Any]:
    """A scan of what was heated; there is no truth."""
    formulas = [re.sub(r"^\d+", "", part) for part in path.stem.rsplit("_", 2)[0].split("-")]
    return {"scan": path.stem, **real(table, path, formulas)}


def real(table: Table, path: Path, formulas: list[str]) -> dict[str, Any]:
    elements = {symbol for f in formulas for symbol in parse_formula(f)} | {"O"}
    candidates = measured().within(sorted(elements)) + table.within(elements, PBE)
    found = identify(read_scan(path), candidates)
    return {"candidates": len(candidates), **summary(found)}


def figures_of_labelled(rows: list[Any]) -> dict[str, Any]:
    names = sorted({row["scan"].partition("--")[0] for row in rows})
    of = {n: [row for row in rows if row["scan"].partition("--")[0] == n] for n in names}
    errors = weight_errors(rows)
    told = [p["formula"] in row["truth"] for row in rows for p in row["phases"]]
    everything = [set(row["truth"]) <= {p["formula"] for p in row["phases"]} for row in rows]
    unseen = [row for row in rows if row["scan"] not in LOOKED_AT]
    return {
        "scans": len(rows),
        "mixtures": len(names),
        "main phase, scans": share(sum(_main(r["truth"], r) for r in rows), len(rows)),
        "main phase, mixtures (both scans)": share(
            sum(all(_main(r["truth"], r) for r in of[n]) for n in names), len(names)
        ),
        "all phases found, scans": share(sum(everything), len(rows)),
        "all phases found, mixtures (both scans)": share(
            sum(
                all(set(r["truth"]) <= {p["formula"] for p in r["phases"]} for r in of[n])
                for n in names
            ),
            len(names),
        ),
        "all phases and no false one, scans": share(
            sum(_all(r["truth"], r) for r in rows), len(rows)
        ),
        "not looked at before: main phase": share(
            sum(_main(r["truth"], r) for r in unseen), len(unseen)
        ),
        "not looked at before: all phases found": share(
            sum(set(r["truth"]) <= {p["formula"] for p in r["phases"]} for r in unseen),
            len(unseen),
        ),
        "false phases": share(len(told) - sum(told), len(told)),
        "median weight error": round(float(np.median(errors)), 4),
        "median seconds": round(float(np.median([row["seconds"] for row in rows])), 2),
        "looked at": list(LOOKED_AT),
    }


# --- all together ---------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("xrd-work"))
    parser.add_argument("--part", action="append")
    parser.add_argument("-n", type=int, default=150, help="simulated mixtures")
    chosen = parser.parse_args()
    table = Table(chosen.data)
    for part in chosen.part or ["simulated", "labelled", "reactions"]:
        if part == "calibrate":
            print(json.dumps(calibrate(table, chosen.work, chosen.n), indent=1))
            continue
        kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        rows = kept.get(part, {}).get("rows", [])
        done = {row["scan"] for row in rows}
        for name, make in tasks(part, table, chosen):
            if name not in done:
                rows.append(make())
                told = [(p["formula"], p["weight"], p["confidence"]) for p in rows[-1]["phases"]]
                print(name, told, rows[-1]["seconds"], flush=True)
                kept[part] = {"figures": FIGURES[part](rows), "rows": rows}
                RESULTS.write_text(json.dumps(kept, indent=1) + "\n")
        kept[part] = {"figures": FIGURES[part](rows), "rows": rows}
        RESULTS.write_text(json.dumps(kept, indent=1) + "\n")
        print(part, json.dumps(kept[part]["figures"], indent=1))


def tasks(part: str, table: Table, chosen: argparse.Namespace) -> list[tuple[str, Any]]:
    if part == "simulated":
        return [(f"simulated {i}", partial(simulated, table, i)) for i in range(chosen.n)]
    folder = {"labelled": "precursor_mixture", "reactions": "binary_reactions"}[part]
    make = labelled if part == "labelled" else reaction
    paths = [path for path in scans(chosen.data, chosen.work) if path.parent.name == folder]
    return [(path.stem, partial(make, table, path)) for path in paths]


def figures_of_reactions(rows: list[Any]) -> dict[str, Any]:
    return {
        "scans": len(rows),
        "status": {
            s: sum(r["status"] == s for r in rows) for s in ("identified", "partly", "unknown")
        },
        "median explained": round(float(np.median([r["explained"] for r in rows])), 3),
        "median seconds": round(float(np.median([r["seconds"] for r in rows])), 2),
    }


FIGURES = {
    "simulated": figures,
    "labelled": figures_of_labelled,
    "reactions": figures_of_reactions,
}


if __name__ == "__main__":
    main()
