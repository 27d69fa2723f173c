"""Fingerprints a second, and duplicates beside pymatgen's StructureMatcher.group_structures.

    python benchmarks/fingerprints.py --data DATA
    python benchmarks/fingerprints.py --data DATA --formulas 4000

Both sides group the crystals of ``DATA/materials_project/structures.parquet`` that are the same,
formula by formula, with the matcher's default tolerances (gnomon without its bounds on size and
space group, which pymatgen does not have); pymatgen is given its structures ready made.
Times are CPU seconds of one process.  Every group of pymatgen's that gnomon does not have is listed
with its cause:

- linkage: pymatgen's greedy group holds a pair that its matcher calls different;
- fingerprint: the matcher takes crystals as the same whose fingerprints are beyond the tolerance;
- matcher: gnomon's matcher denies a pair that pymatgen's accepts (it should be none).
"""

import argparse
import os
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from gnomon.crystals import Crystals
from gnomon.io import read, to_pymatgen
from gnomon.structure.duplicates import Sameness, group_duplicates, relative_distances
from gnomon.structure.fingerprint import fingerprints
from gnomon.structure.matching import Matcher
from record import RESULTS, save

AS_PYMATGEN = Sameness(symprec=0.0, scale=np.inf)


def chosen(crystals: Crystals, formulas: int) -> Crystals:
    """All crystals of so many formulas, drawn at random; of all formulas for 0."""
    names = np.unique(crystals.reduced_formulas.astype(str))
    if not formulas:
        return crystals
    drawn = set(np.random.default_rng(0).permutation(names)[:formulas].tolist())
    return crystals.take(np.array([f in drawn for f in crystals.reduced_formulas], dtype=bool))


def with_pymatgen(structures: list[Any]) -> tuple[list[frozenset[int]], float]:
    from pymatgen.analysis.structure_matcher import StructureMatcher

    position = {id(structure): i for i, structure in enumerate(structures)}
    start = time.process_time()
    groups = StructureMatcher().group_structures(structures)
    seconds = time.process_time() - start
    return [frozenset(position[id(s)] for s in group) for group in groups], seconds


def with_gnomon(crystals: Crystals) -> tuple[list[frozenset[int]], float]:
    start = time.process_time()
    groups = group_duplicates(crystals, AS_PYMATGEN).of
    seconds = time.process_time() - start
    members: dict[int, list[int]] = {}
    for i, group in enumerate(groups.tolist()):
        members.setdefault(group, []).append(i)
    return [frozenset(m) for m in members.values()], seconds


def cause(group: frozenset[int], ours: dict[int, frozenset[int]], crystals: Crystals) -> str:
    """Why a group of pymatgen's is none of gnomon's."""
    if len({ours[i] for i in group}) == 1:
        return "linkage"
    first, *_ = sorted(group)
    other = next(i for i in sorted(group) if ours[i] != ours[first])
    pair = crystals.take([first, other])
    one, two = fingerprints(pair)
    if relative_distances(one[None], two[None])[0, 0] > AS_PYMATGEN.fingerprint:
        return "fingerprint"
    return "linkage" if Matcher().on(pair)(0, 1) else "matcher"


def warm_up(crystals: Crystals) -> None:
    """Import what either side imports on the way: for supercells that match, all of it."""
    few = Crystals.concatenate([crystals[:20], crystals[:20].supercell([1, 1, 2])])
    with_gnomon(few)
    with_pymatgen(to_pymatgen(few))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--formulas", type=int, default=0, help="a random part; 0 takes all")
    parser.add_argument("--out", type=Path, default=RESULTS / "fingerprints.json")
    given = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    warnings.filterwarnings("ignore")
    crystals = chosen(
        read(given.data / "materials_project" / "structures.parquet").crystals, given.formulas
    )
    sample = crystals.take(np.random.default_rng(1).permutation(len(crystals))[:4000])
    start = time.process_time()
    fingerprints(sample)
    rate = len(sample) / (time.process_time() - start)

    warm_up(crystals)
    ours, our_seconds = with_gnomon(crystals)
    theirs, their_seconds = with_pymatgen(to_pymatgen(crystals))
    of = {i: group for group in ours for i in group}
    differ = [group for group in theirs if group not in set(ours)]
    same = len(theirs) - len(differ)
    save(
        {
            "crystals": len(crystals),
            "formulas": len(set(crystals.reduced_formulas.tolist())),
            "fingerprints_per_cpu_second": rate,
            "gnomon": {"cpu_seconds": our_seconds, "groups": len(ours)},
            "pymatgen": {"cpu_seconds": their_seconds, "groups": len(theirs)},
            "ratio": their_seconds / our_seconds,
            "same_groups": {"k": same, "n": len(theirs), "share": same / len(theirs)},
            "differences": dict(Counter(cause(group, of, crystals) for group in differ)),
            "differing_formulas": sorted(
                {str(crystals.reduced_formulas[min(group)]) for group in differ}
            ),
        },
        given.out,
    )


if __name__ == "__main__":
    main()
