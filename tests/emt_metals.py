"""Alloys that EMT labels, and the settings of small training sets of them."""

import numpy as np
from ase.calculators.emt import EMT

from gnomon.crystals import Crystals
from gnomon.dataset.label import LabelConfig
from gnomon.dataset.labellers import AseLabeller
from gnomon.dataset.perturb import PerturbConfig

ROUNDING = 1e-10
"""Å, relative strain and eV: sums of tens of terms in float64."""

EMT_LABELLER = AseLabeller(EMT(), "EMT")

ORIGIN = {"evaluator": "EMT"}


def metals() -> Crystals:
    """Ordered fcc alloys that EMT and Morse know, in cells of 4 atoms and of 8; any hash."""
    sites = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
    made = [
        Crystals.single(a * np.eye(3), [x, y, y, y], sites)
        for x, y, a in [(47, 29, 3.8), (29, 47, 4.0), (13, 29, 3.7), (29, 13, 3.7), (13, 47, 3.9)]
    ]
    return Crystals.concatenate([*made, made[0].supercell([2, 1, 1])])


SMALL = LabelConfig(
    perturb=PerturbConfig(copies=1, volumes=(0.9, 1.1)), chunk=2, below=100, relax_steps=3
)
