"""How sure a phase is: how often phases with such evidence were right in simulated mixtures."""

from __future__ import annotations

import numpy as np

from gnomon.diffraction.found import Evidence

WEIGHTS = (-8.698, 0.478, 0.148, 0.263, -0.745, -2.576, -2.834, 2.457, 6.488, 2.423)
"""Constant, and the weight of each number of the evidence."""


def confidence(evidence: Evidence) -> float:
    """Probability that a phase is there."""
    score = WEIGHTS[0] + float(np.dot(WEIGHTS[1:], evidence.numbers))
    return float(1 / (1 + np.exp(-np.clip(score, -30, 30))))
