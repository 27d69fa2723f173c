"""Random structure search: cells a second beside PyXtal, and known structures found as lowest.

    python benchmarks/random_search.py --cells 400
    python benchmarks/random_search.py --search NaCl Cu Cu3Au C TiO2 --max-atoms 6 --seeds 3
    python benchmarks/random_search.py --search Cu3Au --max-atoms 4 \\
        --evaluator ase:ase.calculators.emt.EMT

Both sides make cells of SiO2 with 1 to 8 formula units (up to 24 atoms in a primitive cell), any
space group, atoms kept apart.  PyXtal (Fredericks et al., Comput. Phys. Commun. 261, 107810 (2021))
is asked as its guide shows, a random space group and number of formula units until one is
compatible; what it refuses is not counted.  Times are CPU seconds of one process; tables of Wyckoff
positions are read before the clock starts.  What a run did not measure stays in the results as an
earlier run left it.
"""

import argparse
import json
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from gnomon.discover.search import search
from gnomon.dynamics.settings import RelaxConfig
from gnomon.evaluate.registry import EvaluatorConfig, make_evaluator
from gnomon.generate.random.generator import RandomSearchGenerator
from gnomon.structure.labels import prototype_labels
from gnomon.structure.wyckoff import space_group
from record import RESULTS, save

EXPECTED = {
    "NaCl": {"AB_cF8_225_a_b": "rock salt"},
    "Cu": {"A_cF4_225_a": "fcc"},
    "Cu3Au": {"AB3_cP4_221_a_c": "L1_2"},
    "C": {
        "A_cF8_227_a": "diamond",
        "A_hP4_194_bc": "graphite",
        "A_hP4_194_ac": "graphite",
        "A_hR2_166_c": "graphite, rhombohedral",
        "A_hP2_191_c": "graphite, AA",
    },
    "TiO2": {"AB2_tP6_136_a_f": "rutile", "AB2_tI12_141_a_e": "anatase"},
}
"""Labels of the structures that count as found."""

SYMPREC = 0.1
"""Å, of the symmetry of relaxed crystals."""


def with_gnomon(cells: int) -> dict[str, Any]:
    for number in range(1, 231):
        space_group(number)
    generator = RandomSearchGenerator(("SiO2",), count=cells)
    start = time.process_time()
    made = generator.cells("SiO2", seed=0)
    seconds = time.process_time() - start
    return {"cells": len(made.crystals), "seconds": seconds, "rate": len(made.crystals) / seconds}


def with_pyxtal(cells: int) -> dict[str, Any]:
    try:
        from pyxtal import pyxtal
    except ImportError:
        return {"error": "PyXtal is not installed"}
    from pyxtal.msg import Comp_CompatibilityError, VolumeError

    rng = np.random.default_rng(0)
    made = asked = 0
    start = time.process_time()
    while made < cells:
        group, units = int(rng.integers(1, 231)), int(rng.integers(1, 9))
        asked += 1
        crystal = pyxtal()
        try:
            crystal.from_random(3, group, ["Si", "O"], [units, 2 * units])
        except (Comp_CompatibilityError, VolumeError, RuntimeError):
            continue
        made += bool(crystal.valid)
    seconds = time.process_time() - start
    return {"cells": made, "asked": asked, "seconds": seconds, "rate": made / seconds}


def searched(
    composition: str, evaluator: str, seeds: int, max_atoms: int, tries: int
) -> dict[str, Any]:
    verifier = make_evaluator(
        EvaluatorConfig(name=evaluator, workers=1), RelaxConfig(fmax=0.05, max_steps=200)
    )
    generator = RandomSearchGenerator((composition,), count=tries, max_atoms=max_atoms)
    runs = []
    for seed in range(seeds):
        start = time.process_time()
        [found] = search(generator, verifier, seed=seed)
        labels = prototype_labels(found.crystals, SYMPREC).tolist()
        named = [EXPECTED[composition].get(label) for label in labels]
        runs.append(
            {
                "seed": seed,
                "tries": found.tries,
                "cells": found.cells,
                "statuses": found.statuses,
                "distinct": len(found.crystals),
                "lowest": labels[0] if labels else None,
                "lowest_is": named[0] if named else None,
                "energy_per_atom": float(found.energy_per_atom[0]) if named else None,
                "tries_to_expected": int(found.times[[n is not None for n in named]].sum()),
                "above_lowest": [
                    {"structure": n, "eV_per_atom": float(e - found.energy_per_atom[0])}
                    for n, e in zip(named, found.energy_per_atom, strict=True)
                    if n is not None
                ][:3],
                "cpu_seconds": time.process_time() - start,
            }
        )
        print(composition, runs[-1], flush=True)
    successes = sum(run["lowest_is"] is not None for run in runs)
    return {
        "evaluator": verifier.scheme,
        "found_as_lowest": f"{successes} of {seeds}",
        "runs": runs,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=0, help="cells for the comparison of speed")
    parser.add_argument("--search", nargs="*", default=[], choices=sorted(EXPECTED))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--tries", type=int, default=100, help="cells of a composition and seed")
    parser.add_argument("--max-atoms", type=int, default=8)
    parser.add_argument("--evaluator", default="gnomon-1")
    parser.add_argument("--out", type=Path, default=RESULTS / "random_search.json")
    given = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    warnings.filterwarnings("ignore")
    result = json.loads(given.out.read_text("utf-8")) if given.out.exists() else {}
    result["commands"] = [
        *result.get("commands", []),
        " ".join(["random_search.py", *sys.argv[1:]]),
    ]
    if given.cells:
        ours, theirs = with_gnomon(given.cells), with_pyxtal(max(20, given.cells // 20))
        result["cells_of_SiO2"] = {"gnomon": ours, "pyxtal": theirs}
        if "rate" in theirs:
            result["cells_of_SiO2"]["ratio"] = ours["rate"] / theirs["rate"]
    searches = result.setdefault("searches", {})
    for composition in given.search:
        named = (
            composition if given.evaluator == "gnomon-1" else f"{composition}, {given.evaluator}"
        )
        searches[named] = searched(
            composition, given.evaluator, given.seeds, given.max_atoms, given.tries
        )
    save(result, given.out)


if __name__ == "__main__":
    main()
