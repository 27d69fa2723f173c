"""Whether partial substitution (SAPS) gives one crystal twice, over all parents of some elements.

    python benchmarks/saps_repeats.py --data DATA

Candidates are brought to one size; canonical cells (``gnomon.structure.symmetry``) tell which are
the same crystal, and ``gnomon.structure.duplicates`` which are within the tolerances of pymatgen's
matcher.
"""

import argparse
from pathlib import Path

import numpy as np

from gnomon.crystals import Crystals
from gnomon.elements import parse_system
from gnomon.generate.saps.generator import SapsGenerator
from gnomon.io import read
from gnomon.structure.duplicates import group_duplicates
from gnomon.structure.symmetry import canonical_ids
from record import RESULTS, save


def main() -> None:
    """Candidates, canonical cells and groups."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--system", default="Ca-Sr-Ba-Ti-Zr-O")
    parser.add_argument("--max-atoms", type=int, default=20)
    parser.add_argument("--most", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULTS / "saps_repeats.json")
    given = parser.parse_args()
    elements = parse_system(given.system)
    crystals = read(given.data / "materials_project" / "structures.parquet").crystals
    inside = [set(system.split("-")) <= set(elements) for system in crystals.chemical_systems]
    parents = crystals[np.array(inside)]
    generator = SapsGenerator(elements=elements, max_atoms=given.max_atoms, most=given.most)
    found = Crystals.concatenate([chunk.crystals for chunk in generator.generate(parents, seed=0)])
    sized = found.scale_volume(10 * found.n_atoms / found.volumes)
    save(
        {
            "benchmark": "saps_repeats",
            "system": given.system,
            "max_atoms": given.max_atoms,
            "most": given.most,
            "parents": len(parents),
            "candidates": len(found),
            "canonical_cells": len(set(canonical_ids(sized).tolist())),
            "groups_within_the_matchers_tolerance": len(set(group_duplicates(sized).of.tolist())),
        },
        given.out,
    )


if __name__ == "__main__":
    main()
