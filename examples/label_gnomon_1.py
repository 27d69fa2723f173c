"""The training set of gnomon-1: what the bundled potential learned from, label by label.

    python examples/label_gnomon_1.py structures.parquet frames --weights nequix-oam-1-pft
    gnomon train potential frames/small frames/middle frames/elements \
        --validation frames/validation --layers 3 --radial-size 32 --minutes 42 --out mine.gnomon

The crystals are relaxed ones of the Materials Project (CC-BY 4.0), in small cells, and prototypes
of all elements; each is labelled as it is, perturbed, and (one or two atoms) at several volumes.
Formulas whose hash is 75 or more are left out but for elements, from which all energies are
measured.  It takes half an hour on two cores, and goes on where it was stopped.
"""

import argparse
from pathlib import Path

import numpy as np

from gnomon.crystals import Crystals
from gnomon.generate.prototypes import prototypes
from gnomon.io import read
from gnomon.models.potential.label import LabelConfig, label
from gnomon.models.potential.labellers import PotentialLabeller
from gnomon.models.potential.perturb import PerturbConfig
from gnomon.models.potential.predict import LoadedPotential, load_potential
from gnomon.models.split import formula_hashes

SMALL = LabelConfig(
    perturb=PerturbConfig(copies=2, max_rattle=0.2, volumes=(0.85, 0.93, 1.07, 1.16), scan_atoms=2),
    chunk=128,
)
MIDDLE = LabelConfig(perturb=PerturbConfig(copies=1, max_rattle=0.2, scan_atoms=0), chunk=128)
ELEMENTS = LabelConfig(
    perturb=PerturbConfig(
        copies=1,
        max_rattle=0.3,
        strain=0.08,
        volumes=(0.75, 0.85, 0.92, 1.08, 1.17, 1.3),
        scan_atoms=2,
    ),
    chunk=256,
    below=100,
)
VALIDATION = LabelConfig(
    perturb=PerturbConfig(copies=1, min_rattle=0.03, max_rattle=0.1, strain=0.03, scan_atoms=0),
    chunk=64,
    at_least=75,
    below=85,
)


def training_sets(crystals: Crystals, potential: LoadedPotential) -> dict[str, Crystals]:
    """Crystals of each set; labelling takes the smallest first, and ``MIDDLE`` and ``ELEMENTS``
    were ended after 29 and 4 parts."""
    hashes = formula_hashes(crystals.reduced_formulas)
    trains, atoms = hashes < 75, crystals.n_atoms
    held = np.flatnonzero((hashes >= 75) & (hashes < 85) & (atoms <= 12))
    middle = crystals.take(np.flatnonzero(trains & (atoms > 8) & (atoms <= 14)))
    return {
        "validation": crystals.take(np.random.default_rng(1).permutation(held)[:250]),
        "small": crystals.take(np.flatnonzero(trains & (atoms <= 8))),
        "middle": smallest(middle, 29 * MIDDLE.chunk),
        "elements": smallest(elements(potential), 4 * ELEMENTS.chunk),
    }


def elements(potential: LoadedPotential) -> Crystals:
    """Every element in all prototypes of one species of up to 8 atoms."""
    numbers = np.array(potential.potential.config.elements)[:, None]
    return Crystals.concatenate([prototype.decorate(numbers) for prototype in prototypes(1, 8)])


def smallest(crystals: Crystals, count: int) -> Crystals:
    """The smallest distinct crystals, in the order in which ``label`` takes them."""
    ids, first = np.unique(crystals.ids.astype(str), return_index=True)
    order = np.lexsort((ids, crystals.n_atoms[first]))
    return crystals.take(first[order[:count]])


def main() -> None:
    """Label the four sets into folders of their names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("structures", help="relaxed crystals: any file that gnomon reads")
    parser.add_argument("out", type=Path)
    parser.add_argument("--weights", default="nequix-oam-1-pft")
    given = parser.parse_args()
    potential = load_potential(given.weights)
    labeller = PotentialLabeller(potential)
    origin = {"weights": potential.name, "sha256": potential.sha256}
    configs = {"validation": VALIDATION, "small": SMALL, "middle": MIDDLE, "elements": ELEMENTS}
    for name, crystals in training_sets(read(given.structures).crystals, potential).items():
        summary = label(crystals, labeller, configs[name], given.out / name, origin=origin)
        print(f"{name}: {summary}")


if __name__ == "__main__":
    main()
