"""Candidates per second of ionic substitution, against pymatgen's own on the same parents.

    python benchmarks/substitution.py --parents 12
    python benchmarks/substitution.py --parquet structures.parquet --parents 12

Both sides start from bare crystals and end with substituted crystals: oxidation states by guess
from the formula, every list of ions with p > 1e-3 in Hautier's own reading (no charge balance), one
structure each.  gnomon also rescales the cells, removes duplicates and writes lineage; pymatgen,
here, does not.  The parents are compounds of pymatgen's AFLOW library unless a file is given; those
for which both sides find the same ions are used.  Times are CPU seconds of one process; the third
rate is gnomon's default reading of the table.
"""

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np

from gnomon.chemistry.oxidation import oxidation_states
from gnomon.crystals import Crystals
from gnomon.generate.substitution.generator import SubstitutionGenerator
from gnomon.generate.substitution.model import SubstitutionModel
from gnomon.io import to_pymatgen
from record import RESULTS, save
from samples import compounds

RESULT = RESULTS / "substitution.json"
REPEATS = 5
MAX_ELEMENTS = 4
"""pymatgen's recursion takes minutes for a compound of more elements."""


def shared_parents(crystals: Crystals, n: int, seed: int) -> Crystals:
    """Up to n crystals, drawn at random, for which both sides find the same tabulated ions."""
    generator = SubstitutionGenerator()
    unusable = set(generator.skipped(crystals)["id"].to_pylist())
    kinds = np.count_nonzero(crystals.composition, axis=1)
    order = np.random.default_rng(seed).permutation(len(crystals)).tolist()
    chosen: list[int] = []
    for i in order:
        if len(chosen) == n:
            break
        if crystals.ids[i] in unusable or kinds[i] > MAX_ELEMENTS:
            continue
        if same_ions(crystals[i], generator.model):
            chosen.append(i)
    return crystals.take(sorted(chosen))


def same_ions(crystal: Crystals, model: SubstitutionModel) -> bool:
    structure = to_pymatgen(crystal)[0]
    structure.add_oxidation_state_by_guess()
    theirs = {(ion.Z, ion.oxi_state) for ion in structure.elements}
    elements = np.flatnonzero(crystal.composition[0])
    counts = crystal.composition[0][elements]
    counts //= np.gcd.reduce(counts)
    states = oxidation_states(tuple(zip(elements.tolist(), counts.tolist(), strict=True)))
    return states is not None and theirs == set(zip(elements.tolist(), states, strict=True))


def with_pymatgen(structures: list[Any], threshold: float) -> tuple[list[str], float, float]:
    """What a user writes: guess, predict, substitute.

    Returns the formulas of the children, and the seconds of CPU time for finding lists of ions
    (with the guess) and for making structures.
    """
    from pymatgen.core.structure_prediction.substitutor import Substitutor
    from pymatgen.transformations.standard_transformations import (
        SubstitutionTransformation,
    )

    substitutor = Substitutor(threshold=threshold)
    children, finding, making = [], 0.0, 0.0
    for structure in structures:
        start = time.process_time()
        ionic = structure.copy()
        ionic.add_oxidation_state_by_guess()
        rows = substitutor.pred_from_list(ionic.elements)
        found = time.process_time()
        for row in rows:
            transformation = SubstitutionTransformation(row["substitutions"])
            children.append(transformation.apply_transformation(ionic))
        finding += found - start
        making += time.process_time() - found
    formulas = [child.composition.element_composition.reduced_formula for child in children]
    return formulas, finding, making


def with_gnomon(parents: Crystals, generator: SubstitutionGenerator) -> tuple[int, float]:
    """Candidates and CPU seconds, the median of some runs, no run using another's results."""
    seconds, n = [], 0
    for _ in range(REPEATS):
        oxidation_states.cache_clear()
        start = time.process_time()
        n = sum(len(chunk.crystals) for chunk in generator.generate(parents, seed=0))
        seconds.append(time.process_time() - start)
    return n, statistics.median(seconds)


def check(parents: Crystals, generator: SubstitutionGenerator, theirs: set[str]) -> None:
    """Both sides reach the same compositions, the parents' own aside."""
    own = set(parents.reduced_formulas)
    ours = {f for c in generator.generate(parents, seed=0) for f in c.crystals.reduced_formulas}
    if ours - own != theirs - own:
        raise RuntimeError(f"compositions differ: {sorted((ours ^ theirs) - own)[:10]}")


def measure(parents: Crystals, threshold: float) -> dict[str, Any]:
    same = SubstitutionGenerator(
        SubstitutionModel.pymatgen("hautier"), threshold=threshold, exclude=()
    )
    structures = to_pymatgen(parents)
    with_pymatgen(structures[:1], threshold)  # loads tables, as the first run of ours does
    formulas, finding, making = with_pymatgen(structures, threshold)
    theirs = finding + making
    check(parents, same, set(formulas))
    n, ours = with_gnomon(parents, same)
    n_default, default = with_gnomon(parents, SubstitutionGenerator(threshold=threshold))
    return {
        "parents": len(parents),
        "threshold": threshold,
        "pymatgen": rate(len(formulas), theirs),
        "pymatgen_making_structures_alone": rate(len(formulas), making),
        "gnomon_same_reading": rate(n, ours),
        "gnomon_default_reading": rate(n_default, default),
        "ratio_same_reading": round((n / ours) / (len(formulas) / theirs), 1),
        "ratio_same_reading_to_making_alone": round((n / ours) / (len(formulas) / making), 1),
        "ratio_default_reading": round((n_default / default) / (len(formulas) / theirs), 1),
    }


def rate(candidates: int, seconds: float) -> dict[str, float]:
    return {
        "candidates": candidates,
        "seconds": round(seconds, 4),
        "candidates_per_second": round(candidates / seconds, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parents", type=int, default=12)
    parser.add_argument("--threshold", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--parquet", type=Path, help="table of crystals, as gnomon.io reads it")
    arguments = parser.parse_args()
    parents = shared_parents(compounds(arguments.parquet), arguments.parents, arguments.seed)
    save(
        {
            "benchmark": "substitution",
            "source": arguments.parquet.name if arguments.parquet else "pymatgen AFLOW library",
            "seed": arguments.seed,
            **measure(parents, arguments.threshold),
        },
        RESULT,
    )


if __name__ == "__main__":
    main()
