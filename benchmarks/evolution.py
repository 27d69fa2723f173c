"""Does evolution find lower structures than as many random cells?

    python benchmarks/evolution.py --work FOLDER [--seeds 5] [--cells 20] [--generations 6]
    python benchmarks/evolution.py --work FOLDER --of Al2MgO4 MgSiO3

Oxides with the pair potential of ``pedone.py``, which relaxes a cell in some 0.1 CPU seconds.  For
each composition and seed three searches of equally many tries: random cells alone; evolution, whose
first generation is one sixth of all, random, and whose later ones hold children alone; and both, of
which the first half is random and of the rest a quarter, as `gnomon search --generations` does it.
The target is the lowest energy that any search of that composition found.  Counted: searches within
2 meV/atom of the target, the tries until then (of searches that came there), how far above it the
others ended, and evaluations: some tries make no cell.  Two ways are compared search by search
(composition and seed): which ended lower, by more than 2 meV/atom, with the interval of the share,
and by how much, with an interval by resampling of compositions.  ``--minutes`` of CPU end a
command; every search is kept in the folder, and the same command goes on.  The operators were
looked at with ``DEVELOPED`` alone, which are not among the compositions by default.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from gnomon.discover.rates import wilson
from gnomon.discover.search import FIRST, FRESH, search
from gnomon.dynamics.settings import RelaxConfig
from gnomon.generate.random.generator import RandomSearchGenerator
from gnomon.run.writing import write_bytes
from pedone import evaluator
from record import RESULTS, save

RESULT = RESULTS / "evolution.json"
UNITS = {
    "Al2MgO4": 2,
    "MgSiO3": 4,
    "Al2O3": 4,
    "ZrSiO4": 2,
    "Mg2SiO4": 2,
    "CaTiO3": 4,
    "Al2BeO4": 2,
    "TiO2": 6,
    "CaSiO3": 4,
    "CaAl2O4": 2,
}
"""Formula units of a cell, at most: 12 to 20 atoms."""
DEVELOPED = ("Al2MgO4", "MgSiO3")
HOW = {"random": None, "evolution": (1 / 6, 0.0), "both": (FIRST, FRESH)}
"""Shares of the first generation and of random cells in later ones; one generation without them."""
NEAR = 0.002
"""eV/atom."""


def one(formula: str, seed: int, cells: int, generations: int, shares: Any) -> Any:
    """One search."""
    relax = evaluator(RelaxConfig(fmax=0.05, max_steps=200))
    if shares is None:
        cells, generations, shares = cells * generations, 1, (1.0, 1.0)
    made = RandomSearchGenerator((formula,), cells, UNITS[formula], max_atoms=28)
    began = time.process_time()
    first, fresh = shares
    given = {"generations": generations, "first": first, "fresh": fresh}
    [found] = search(made, relax, **given, seed=1000 * seed)
    history = [None if np.isnan(e) else float(e) for e in found.history]
    return {"history": history, "cpu_seconds": time.process_time() - began}


def told(rows: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """What the searches of one composition found."""
    runs = {
        how: [np.array([np.inf if e is None else e for e in one["history"]]) for one in every]
        for how, every in rows.items()
    }
    target = min(float(run.min()) for every in runs.values() for run in every)
    result: dict[str, Any] = {"lowest": target}
    for how, every in runs.items():
        near = [run <= target + NEAR for run in every]
        first = [int(np.argmax(there)) + 1 for there in near if there.any()]
        result[how] = {
            "searches": len(every),
            "reached": len(first),
            "tries_until_then": first,
            "evaluations": [len(run) for run in every],
            "above_lowest": [round(float(run.min()) - target, 5) for run in every],
            "cpu_seconds": round(sum(one["cpu_seconds"] for one in rows[how]), 1),
        }
    return result


def added(compositions: dict[str, Any]) -> dict[str, Any]:
    """All compositions together."""
    result = {}
    for how in HOW:
        own = [one[how] for one in compositions.values()]
        rate = wilson(sum(one["reached"] for one in own), sum(one["searches"] for one in own))
        above = np.concatenate([one["above_lowest"] for one in own])
        result[how] = {
            "reached": rate.k,
            "searches": rate.n,
            "interval": [rate.low, rate.high],
            "mean_above_lowest": float(above.mean()),
            "evaluations": int(sum(sum(one["evaluations"]) for one in own)),
        }
    return result


def compared(compositions: dict[str, Any], one: str, other: str) -> dict[str, Any]:
    """How much lower one way ended than another, search by search; positive is lower, eV/atom."""
    by = [
        np.subtract(of[other]["above_lowest"], of[one]["above_lowest"])
        for of in compositions.values()
    ]
    every = np.concatenate(by)
    lower, higher = int((every > NEAR).sum()), int((every < -NEAR).sum())
    rate = wilson(lower, lower + higher)
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(by), size=(10_000, len(by)))
    means = np.array([np.mean([by[k].mean() for k in row]) for row in drawn.tolist()])
    return {
        "searches": len(every),
        "lower": lower,
        "higher": higher,
        "share_lower_of_these": [rate.low, rate.high],
        "mean_lower_by": float(np.mean([own.mean() for own in by])),
        "interval": np.quantile(means, [0.025, 0.975]).tolist(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--of", nargs="+", default=[f for f in UNITS if f not in DEVELOPED])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cells", type=int, default=20)
    parser.add_argument("--generations", type=int, default=6)
    parser.add_argument("--minutes", type=float, default=14.0)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    for seed in range(given.seeds):
        for formula in given.of:
            for how, shares in HOW.items():
                file = given.work / f"{formula}-{given.cells}x{given.generations}-{how}-{seed}.json"
                if not file.exists() and time.process_time() < 60 * given.minutes:
                    found = one(formula, seed, given.cells, given.generations, shares)
                    write_bytes(file, json.dumps(found).encode())
                    print(formula, how, seed, min(e for e in found["history"] if e), flush=True)
    every: dict[str, Any] = {}
    for formula in given.of:
        rows: dict[str, list[dict[str, Any]]] = {how: [] for how in HOW}
        for seed in range(given.seeds):
            name = f"{formula}-{given.cells}x{given.generations}"
            files = {how: given.work / f"{name}-{how}-{seed}.json" for how in HOW}
            if all(file.exists() for file in files.values()):
                for how, file in files.items():
                    rows[how].append(json.loads(file.read_text()))
        if rows["random"]:
            every[formula] = told(rows)
    facts = {
        "tries": given.cells * given.generations,
        "within": NEAR,
        "all": added(every),
        "evolution_than_random": compared(every, "evolution", "random"),
        "both_than_random": compared(every, "both", "random"),
    }
    print(json.dumps(facts, indent=1))
    if not set(given.of) & set(DEVELOPED):
        save({**facts, "compositions": every}, RESULT)


if __name__ == "__main__":
    main()
