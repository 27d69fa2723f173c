"""The training set of gnomon-1: what the bundled potential learned from, label by label.

    python examples/label_gnomon_1.py structures.parquet frames
    gnomon model train potential frames/small frames/middle frames/elements \
        --validation frames/validation --n-layers 3 --radial-mlp-size 32 --minutes 42 \
        --out draft-1.gnomon

    python examples/label_gnomon_1.py structures.parquet frames --draft draft-1.gnomon
    gnomon model train potential frames/{small,middle,elements,references,molecules} \
        frames/{pairs,triples,substituted} --validation frames/validation --n-layers 3 \
        --radial-mlp-size 32 --embedding 48 --method muon --learning-rate 0.008 --first-share 0.15 \
        --minutes 15 --out draft-2.gnomon

    python examples/label_gnomon_1.py structures.parquet frames --draft draft-2.gnomon --again
    ... and on from draft-2 with all of them, eight times, the mixture changed where the errors
    of elements and equations of state asked for it (16, 24, 29, 42, 18, 36 and 9 minutes beside
    other work, and the last, which is on the card).

The first crystals are relaxed ones of the Materials Project (CC-BY 4.0) in small cells, and
prototypes of all elements; each is labelled as it is, perturbed, and (one or two atoms) at several
volumes.  Then come those that a search will ask about: structures of the elements, decorated
prototypes, ionic substitutions.  A draft relaxes them, and the frames on its way are labelled:
where it went wrong, the next learns what is right.  Formulas whose hash is 75 or more are left out
but for elements, from which all energies are measured.  Each part takes up to half an hour on two
cores and goes on where it was stopped.  The first one gives the same labels again; the others
follow their drafts, which are trained by the clock and so never quite the same.
"""

import argparse
from collections.abc import Collection
from pathlib import Path

import numpy as np

from gnomon.chemistry.elemental import ground_state
from gnomon.chemistry.ground_states import MOLECULAR
from gnomon.chemistry.prototypes import prototypes
from gnomon.crystals import Crystals
from gnomon.dataset.label import LabelConfig, label
from gnomon.dataset.labellers import PotentialLabeller
from gnomon.dataset.perturb import PerturbConfig
from gnomon.elements import SYMBOLS, atomic_number
from gnomon.generate.prototypes.generator import PrototypeGenerator
from gnomon.io import read
from gnomon.learn.split import formula_hashes
from gnomon.potential.predict import LoadedPotential, load_potential

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

REFERENCES = LabelConfig(unrelaxed=True, relax_frames=6, chunk=64, below=100)
MOLECULES = LabelConfig(
    perturb=PerturbConfig(copies=20, max_rattle=0.2, strain=0.1, scan_atoms=12), below=100
)
DECORATED = LabelConfig(unrelaxed=True, relax_frames=4, chunk=128)
SCANS = LabelConfig(
    perturb=PerturbConfig(copies=0, volumes=(0.91, 0.95, 0.98, 1.02, 1.05, 1.09), scan_atoms=40),
    chunk=256,
    below=100,
)
GROUNDS = LabelConfig(
    perturb=PerturbConfig(
        copies=12,
        max_rattle=0.15,
        strain=0.06,
        volumes=(0.85, 0.9, 0.94, 0.97, 0.99, 1.01, 1.03, 1.06, 1.1, 1.15),
        scan_atoms=12,
    ),
    chunk=128,
    below=100,
)
AGAIN = LabelConfig(unrelaxed=True, relax_frames=3, chunk=128)
SUBSTITUTED = LabelConfig(
    perturb=PerturbConfig(copies=0, scan_atoms=0), substitutes=1, relax_frames=3, chunk=64
)

CONFIGS = {
    "validation": VALIDATION,
    "small": SMALL,
    "middle": MIDDLE,
    "elements": ELEMENTS,
    "references": REFERENCES,
    "molecules": MOLECULES,
    "pairs": DECORATED,
    "triples": DECORATED,
    "substituted": SUBSTITUTED,
    "pairs-again": AGAIN,
    "triples-again": AGAIN,
    "scans": SCANS,
    "grounds": GROUNDS,
}


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


def sets_of_a_search(crystals: Crystals) -> dict[str, Crystals]:
    """What discovery asks about: references, decorated prototypes, parents of substitutions."""
    rng = np.random.default_rng(2)
    references = Crystals.concatenate(
        [
            chunk.crystals
            for z in np.unique(crystals.atomic_numbers).tolist()
            for chunk in PrototypeGenerator((SYMBOLS[z],), max_atoms=32).generate(
                Crystals.empty(), seed=0
            )
        ]
    )
    molecular = np.isin(references.atomic_numbers, [atomic_number(s) for s in MOLECULAR])
    trains = formula_hashes(crystals.reduced_formulas) < 75
    parents = np.flatnonzero(trains & (crystals.n_atoms > 2) & (crystals.n_atoms <= 10))
    return {
        "references": references,
        "molecules": references.take(np.unique(references.crystal_index[molecular])),
        "pairs": decorated(crystals, 2, 2400, rng),
        "triples": decorated(crystals, 3, 900, rng),
        "substituted": crystals.take(np.sort(rng.permutation(parents)[:1600])),
    }


def sets_of_a_second_search(crystals: Crystals) -> dict[str, Crystals]:
    """More prototypes, all with an element whose own phase is made of molecules.

    There the first drafts erred most: they mistook molecules in a compound.
    """
    rng = np.random.default_rng(3)
    return {
        "pairs-again": decorated(crystals, 2, 1800, rng, always=MOLECULAR),
        "triples-again": decorated(crystals, 3, 500, rng, always=MOLECULAR),
        "scans": scanned(crystals),
        "grounds": ground_states(crystals),
    }


def scanned(crystals: Crystals) -> Crystals:
    """Small relaxed crystals and the ground states of elements, for equations of state."""
    hashes = formula_hashes(crystals.reduced_formulas)
    elemental = (crystals.composition > 0).sum(axis=1) == 1
    small = crystals.take(np.flatnonzero(((hashes < 75) | elemental) & (crystals.n_atoms <= 3)))
    return Crystals.concatenate([small, ground_states(crystals)])


def ground_states(crystals: Crystals) -> Crystals:
    """The elements in their measured ground states, against which all energies are measured."""
    known = [ground_state(SYMBOLS[z]) for z in np.unique(crystals.atomic_numbers).tolist()]
    return Crystals.concatenate([k.crystal for k in known if k is not None])


def decorated(
    crystals: Crystals,
    n_species: int,
    count: int,
    rng: np.random.Generator,
    always: Collection[str] = (),
) -> Crystals:
    """Prototypes of up to 8 atoms with elements drawn by the root of how many crystals hold them.

    Small cells come up more often, as in a search.  Each holds one of ``always``, if any are given.
    """
    found, held = np.unique(crystals.atomic_numbers, return_counts=True)
    often = np.sqrt(held) / np.sqrt(held).sum()
    wanted = {atomic_number(symbol) for symbol in always}
    library = prototypes(n_species, 8)
    likely = np.array([1 / prototype.n_atoms for prototype in library])
    drawn = rng.choice(len(library), count, p=likely / likely.sum())
    made = []
    for i in drawn:
        chosen = rng.choice(found, n_species, replace=False, p=often)
        while wanted and not wanted & set(chosen.tolist()):
            chosen = rng.choice(found, n_species, replace=False, p=often)
        made.append(library[i].decorate(chosen[None]))
    return Crystals.concatenate(made)


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
    """Label the sets of one half into folders of their names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("structures", help="relaxed crystals: any file that gnomon reads")
    parser.add_argument("out", type=Path)
    parser.add_argument("--weights", default="nequix-oam-1-pft")
    parser.add_argument("--draft", help="weights that relax: label the second half")
    parser.add_argument("--again", action="store_true", help="with a second draft: its sets")
    given = parser.parse_args()
    potential = load_potential(given.weights)
    labeller = PotentialLabeller(potential)
    origin = {"weights": potential.name, "sha256": potential.sha256}
    structures = read(given.structures).crystals
    if given.draft is None:
        mover, sets = None, training_sets(structures, potential)
    else:
        mover, sets = (
            load_potential(given.draft),
            (sets_of_a_second_search if given.again else sets_of_a_search)(structures),
        )
    for name, crystals in sets.items():
        print(f"{name}: {len(crystals)} crystals, {int(crystals.n_atoms.sum())} atoms", flush=True)
        summary = label(
            crystals, labeller, CONFIGS[name], given.out / name, origin=origin, mover=mover
        )
        print(summary, flush=True)


if __name__ == "__main__":
    main()
