"""What a campaign without a system learned of its evaluations: weights of the evidence."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float64

STEPS = 30
"""Of Newton's method."""


def learned(
    evidence: Float64[np.ndarray, "n c"],
    stable: Bool[np.ndarray, " n"],
    weights: Float64[np.ndarray, " c"],
    spread: float,
) -> Float64[np.ndarray, " c"]:
    """Weights of a logistic regression that a normal prior around given ones holds back.

    The most probable ones (MacKay, Neural Comput. 4, 720 (1992)); the constant is free.

    >>> told = learned(np.array([[0.0], [1.0]]), np.array([False, True]), np.zeros(1), 1.0)
    >>> bool(told[0] > 0)
    True

    Args:
        evidence: of n evaluated candidates.
        stable: which of them were.
        weights: that are expected.
        spread: standard deviation of each around them.
    """
    design = np.column_stack([np.ones(len(evidence)), evidence])
    centre = np.concatenate([[0.0], weights])
    precision = np.concatenate([[1e-4], np.full(len(weights), spread**-2)])
    at = centre.copy()
    at[0] = -float(np.mean(evidence @ weights)) if len(evidence) else 0.0
    for _ in range(STEPS):
        odds = np.clip(design @ at, -30, 30)
        chance = 1 / (1 + np.exp(-odds))
        slope = design.T @ (stable - chance) - precision * (at - centre)
        curve = (design * (chance * (1 - chance))[:, None]).T @ design + np.diag(precision)
        step = np.linalg.solve(curve, slope)
        at = at + step * min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-12))
    return np.asarray(at[1:], np.float64)
