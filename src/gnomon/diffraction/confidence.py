"""How sure a phase is: how often phases with such evidence were right in simulated mixtures."""

from __future__ import annotations

import numpy as np

from gnomon.diffraction.found import Evidence

WEIGHTS = (-7.296, 0.331, 0.436, -0.359, -0.2, -3.244, -2.128, 1.443, 5.515, 2.362)
"""Constant, and the weight of each number of the evidence."""


def confidence(evidence: Evidence) -> float:
    """Probability that a phase is there."""
    score = WEIGHTS[0] + float(np.dot(WEIGHTS[1:], evidence.numbers))
    return float(1 / (1 + np.exp(-np.clip(score, -30, 30))))
