"""Does evolution find lower structures than as many random cells?

    python benchmarks/evolution.py --work FOLDER [--seeds 5] [--cells 25] [--generations 4]

For each composition and seed one search of random cells and one in generations, equally many tries,
relaxed with gnomon-2; the first generation of the second is random too.  The target is the lowest
energy that any search of that composition found.  Counted: searches within 2 meV/atom of the
target, the tries until then (of searches that came there), and the median of the lowest energies.
Every search is kept in the folder, and the same command goes on.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from gnomon.discover.rates import wilson
from gnomon.discover.search import search
from gnomon.dynamics.settings import RelaxConfig
from gnomon.evaluate.registry import EvaluatorConfig, make_evaluator
from gnomon.generate.random.generator import RandomSearchGenerator
from gnomon.run.listener import SILENT
from gnomon.run.writing import write_bytes
from record import RESULTS, save

RESULT = RESULTS / "evolution.json"
COMPOSITIONS = {"Mg2SiO4": 1, "Al2MgO4": 2, "Cu3Au": 4}
"""Forsterite (one formula unit of four), spinel and L1_2, with formula units in a cell at most."""
NEAR = 0.002
"""eV/atom."""


def one(formula: str, seed: int, cells: int, generations: int) -> dict[str, Any]:
    """One search."""
    evaluator = make_evaluator(EvaluatorConfig(name="gnomon-2"), RelaxConfig(fmax=0.05), SILENT)
    made = RandomSearchGenerator((formula,), cells, COMPOSITIONS[formula])
    began = time.process_time()
    [found] = search(made, evaluator, generations=generations, seed=1000 * seed)
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
        first = [
            int(np.argmax(run <= target + NEAR)) + 1 for run in every if run.min() <= target + NEAR
        ]
        rate = wilson(len(first), len(every))
        result[how] = {
            "searches": len(every),
            "reached": rate.k,
            "interval": [rate.low, rate.high],
            "tries_until_then": first,
            "evaluations": [len(run) for run in every],
            "median_above_lowest": float(np.median([run.min() for run in every]) - target),
            "cpu_seconds": sum(one["cpu_seconds"] for one in rows[how]),
        }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--cells", type=int, default=25)
    parser.add_argument("--generations", type=int, default=4)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    every: dict[str, Any] = {}
    for seed in range(given.seeds):
        for formula in COMPOSITIONS:
            for how, (cells, generations) in {
                "random": (given.cells * given.generations, 1),
                "evolution": (given.cells, given.generations),
            }.items():
                file = given.work / f"{formula}-{cells}x{generations}-{seed}.json"
                if not file.exists():
                    found = one(formula, seed, cells, generations)
                    write_bytes(file, json.dumps(found).encode())
                rows = every.setdefault(formula, {"random": [], "evolution": []})
                rows[how].append(json.loads(file.read_text()))
        result = {formula: told(rows) for formula, rows in every.items()}
        facts = {"seeds": seed + 1, "tries": given.cells * given.generations, "within": NEAR}
        save({**facts, "compositions": result}, RESULT)


if __name__ == "__main__":
    main()
