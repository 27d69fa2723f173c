"""The training set of gnomon-2: frames near minima, labelled by nequix-oam-1-pft.

    python examples/train_gnomon_2.py structures.parquet frames --draft gnomon-1
    gnomon model train potential teacher_frames frames/{elements,moved,prototypes,substituted} \
        frames/crystals --hidden-irreps "192x0e + 96x1o + 32x2e" --n-layers 3 \
        --radial-mlp-size 32 --embedding 64 --method muon --learning-rate 0.012 --batch 427 \
        --epochs 46 --element-share 0.3 --out gnomon-2.gnomon
    ... and on from it (--from) with a peak rate of 0.005 for 11 epochs.

What gnomon-2 learned from: 240,715 frames of 60,006 formulas, 1.62 million atoms.  165,158 of them
are of the kinds that ``label_gnomon_1.py`` makes, more than twice as many as gnomon-1 had.  75,557
came for gnomon-2, and are what this script makes anew:

- 13,706 of elements: each in 16 structures (fcc, bcc, sc, hcp, dhcp, the one of Sm, diamond, white
  tin, simple hexagonal, omega, A15, A7, A20, graphite, two body-centred tetragonal ones), relaxed
  for 14 steps by a draft, at volumes from 0.88 to 1.12, strained up to 4 % and rattled by up to
  0.12 Å; and the Materials Project's crystals of elements;
- 19,381 of 32 prototypes, metallic and ionic, decorated at random: relaxed for 6 or 14 steps, the
  same strained and rattled, and unrelaxed at volumes from 0.9 to 1.1;
- 28,912 of substitutions into Materials Project crystals of up to 14 atoms within 0.1 eV/atom of
  the hull by elements near in Mendeleev's order, relaxed and unrelaxed, half of them strained and
  rattled;
- 13,558 of Materials Project crystals: 25 to 32 atoms as they are, 3 to 24 strained and rattled.

No formula of WBM is among the prototypes and substitutions, compounds have formula hashes below 75.
The labels were computed in single precision on an accelerator, with forces and stresses kept in 16
bits, 542,035 atoms in 50 s.

The training was not the command above but a loop of its own on that accelerator, with the same
network, Muon and running average: 29,799 steps of about 427 frames in 554 s and 7,437 more in
138 s.  The loss is Huber's, on energies (weight 1, from 40 to 90 % of the time growing to 3, in the
second part to 4), forces (0.15) and stresses (2).  A frame with an rms force f and a pressure p
counts 1 / (1 + (f / 2 eV/Å)^2 + (p / 40 GPa)^2), at least 0.1.  An epoch holds elements two to four
times, prototypes and substitutions one and a half times, frames that count less than 0.3 half
a time.  The rate fell with the clock: the weights cannot be made again to the bit, and the frames
of this script are of the same kinds, not the same.
"""

import argparse
from pathlib import Path

import numpy as np
from label_gnomon_1 import decorated, smallest

from gnomon.chemistry.elemental import elemental_structures
from gnomon.crystals import Crystals
from gnomon.dataset.label import LabelConfig, label
from gnomon.dataset.labellers import PotentialLabeller
from gnomon.dataset.perturb import PerturbConfig
from gnomon.elements import SYMBOLS
from gnomon.io import read
from gnomon.learn.split import formula_hashes
from gnomon.potential.predict import load_potential

NO_COPIES = PerturbConfig(copies=0, scan_atoms=0)
CONFIGS = {
    "elements": LabelConfig(unrelaxed=True, relax_frames=3, relax_steps=14, below=100),
    "moved": LabelConfig(
        perturb=PerturbConfig(
            copies=4,
            max_rattle=0.12,
            strain=0.04,
            volumes=(0.88, 0.94, 1.06, 1.12),
            scan_atoms=32,
        ),
        below=100,
    ),
    "prototypes": LabelConfig(unrelaxed=True, relax_frames=2, relax_steps=14, chunk=128),
    "substituted": LabelConfig(perturb=NO_COPIES, substitutes=2, relax_frames=2, relax_steps=6),
    "crystals": LabelConfig(
        perturb=PerturbConfig(copies=1, min_rattle=0.02, max_rattle=0.12, strain=0.03, scan_atoms=0)
    ),
}


def training_sets(crystals: Crystals, elements: list[str], few: int | None) -> dict[str, Crystals]:
    """Crystals of each set; ``few`` of each for a trial."""
    rng = np.random.default_rng(15)
    trains = formula_hashes(crystals.reduced_formulas) < 75
    pure = (crystals.composition > 0).sum(axis=1) == 1
    structures = [found.crystal for s in elements for found in elemental_structures(s, 16)]
    measured = crystals.take(np.flatnonzero(pure & (crystals.n_atoms <= 32)))
    parents = np.flatnonzero(trains & ~pure & (crystals.n_atoms <= 14))
    small = np.flatnonzero(trains & ~pure & (crystals.n_atoms >= 3) & (crystals.n_atoms <= 32))
    sets = {
        "elements": Crystals.concatenate(structures),
        "moved": Crystals.concatenate([*structures, measured]),
        "prototypes": Crystals.concatenate(
            [decorated(crystals, n, few or count, rng) for n, count in ((2, 8000), (3, 4000))]
        ),
        "substituted": crystals.take(np.sort(rng.permutation(parents)[: few or 14000])),
        "crystals": crystals.take(np.sort(rng.permutation(small)[: few or 13500])),
    }
    return {name: smallest(found, few) if few else found for name, found in sets.items()}


def main() -> None:
    """Label every set into a folder of its name; the same call goes on where it was stopped."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("structures", help="relaxed crystals: any file that gnomon reads")
    parser.add_argument("out", type=Path)
    parser.add_argument("--weights", default="nequix-oam-1-pft", help="label")
    parser.add_argument("--draft", default="gnomon-1", help="weights that relax")
    parser.add_argument("--few", type=int, help="crystals of each set, for a trial")
    given = parser.parse_args()
    teacher, mover = load_potential(given.weights), load_potential(given.draft)
    origin = {"weights": teacher.name, "sha256": teacher.sha256}
    symbols = [SYMBOLS[z] for z in sorted(teacher.elements)]
    for name, crystals in training_sets(
        read(given.structures).crystals, symbols, given.few
    ).items():
        print(f"{name}: {len(crystals)} crystals, {int(crystals.n_atoms.sum())} atoms", flush=True)
        labeller = PotentialLabeller(teacher)
        found = label(
            crystals, labeller, CONFIGS[name], given.out / name, origin=origin, mover=mover
        )
        print(found, flush=True)


if __name__ == "__main__":
    main()
