"""Candidates per second of partial substitution (SAPS), against pymatgen's enumeration of orders.

    python benchmarks/saps.py
    python benchmarks/saps.py --parquet structures.parquet --parents 200

The first part runs the generator with its defaults over compounds of pymatgen's AFLOW library, or
of a file, until a number of candidates is reached, and counts all it does: symmetry search,
supercells, orbits, crystals, ids, lineage.  The second enumerates the ways to replace half of the
Ti of one SrTiO3 supercell of 40 atoms by Zr: here, and with pymatgen's structure matcher over all
subsets (which is what users write without enumlib).  Times are CPU seconds of one process.
"""

import argparse
import itertools
import time
from pathlib import Path
from typing import Any

import numpy as np

from gnomon.crystals import Crystals
from gnomon.generate.saps.generator import SapsGenerator
from gnomon.generate.saps.occupations import within
from gnomon.generate.saps.orbits import SubsetOrbits
from gnomon.generate.saps.superlattices import supercells
from gnomon.io import to_pymatgen
from record import RESULTS, save
from samples import compounds

RESULT = RESULTS / "saps.json"
ENOUGH = 200_000
"""Candidates after which the first part ends."""


def all_of_it(parents: Crystals) -> dict[str, Any]:
    generator = SapsGenerator()
    for _ in generator.generate(parents[:1], seed=0):
        pass  # loads tables
    start, candidates, chunks = time.process_time(), 0, 0
    for chunk in generator.generate(parents, seed=0):
        candidates, chunks = candidates + len(chunk.crystals), chunks + 1
        if candidates >= ENOUGH:
            break
    seconds = time.process_time() - start
    used = set(chunk.lineage["parent_id"].to_pylist())
    return {
        "parents_begun": int(max(np.flatnonzero(np.isin(parents.ids, list(used))), default=0)) + 1,
        "candidates": candidates,
        "seconds": round(seconds, 2),
        "candidates_per_second": round(candidates / seconds, 1),
    }


def one_supercell() -> dict[str, Any]:
    """2 x 2 x 2 of SrTiO3, four of eight Ti: 70 subsets."""
    from pymatgen.analysis.structure_matcher import StructureMatcher

    sites = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    cell = Crystals.single(np.eye(3) * 3.905, [38, 22, 8, 8, 8], sites)
    start = time.process_time()
    [eight] = [s for s in supercells(cell, 8) if np.array_equal(s.form, 2 * np.eye(3))]
    titanium = np.flatnonzero(eight.crystal.atomic_numbers == 22)
    found = len(SubsetOrbits(within(eight.permutations, titanium)).representatives(4))
    ours = time.process_time() - start
    [structure] = to_pymatgen(eight.crystal)
    start = time.process_time()
    every = []
    for subset in itertools.combinations(titanium.tolist(), 4):
        changed = structure.copy()
        for site in subset:
            changed[site] = "Zr"
        every.append(changed)
    matcher = StructureMatcher(primitive_cell=False, scale=False, attempt_supercell=False)
    theirs_found = len(matcher.group_structures(every))
    theirs = time.process_time() - start
    if found != theirs_found:
        raise RuntimeError(f"{found} orbits here, {theirs_found} groups by pymatgen")
    return {
        "orders": found,
        "gnomon_seconds": round(ours, 4),
        "pymatgen_seconds": round(theirs, 2),
        "ratio": round(theirs / ours, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parents", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--parquet", type=Path, help="table of crystals, as gnomon.io reads it")
    arguments = parser.parse_args()
    parents = compounds(arguments.parquet)
    order = np.random.default_rng(arguments.seed).permutation(len(parents))[: arguments.parents]
    save(
        {
            "benchmark": "saps",
            "source": arguments.parquet.name if arguments.parquet else "pymatgen AFLOW library",
            "seed": arguments.seed,
            "generator": all_of_it(parents.take(np.sort(order))),
            "one_supercell": one_supercell(),
        },
        RESULT,
    )


if __name__ == "__main__":
    main()
