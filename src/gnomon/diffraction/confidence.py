"""How sure a phase is: evidence of a fit, and how often such evidence is right.

The weights are of a logistic regression on simulated mixtures (``benchmarks/xrd.py``).
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

import numpy as np

from gnomon.diffraction.candidates import Candidates
from gnomon.diffraction.fit import Target
from gnomon.diffraction.search import Found, without

OWN = 0.6
"""Part of a peak's calculated height that a phase must give to call it its own."""


@dataclass(frozen=True)
class Evidence:
    """What speaks for a phase in a fit.

    Attributes:
        gain: ln of the chi² that is lost without it.
        lines: strong lines of the phase that no other phase covers.
        seen: part of the height of those lines that the scan has.
        strain: how unusual its strains are: root mean square in standard deviations.
        broad: ln of its width over the median width of the others, at least 0.
        texture: |ln r|.
        share: part of the calculated intensity that is its own.
        explained: part of the intensity that all phases explain.
    """

    gain: float
    lines: int
    seen: float
    strain: float
    broad: float
    texture: float
    share: float
    explained: float


def weigh(found: Found, candidates: Candidates, target: Target) -> list[Evidence]:
    """The evidence for each phase of a model."""
    model, scan = found.model, target.scan
    profiles = model.profiles(scan)
    heights = np.array([p.scale for p in model.parts])[:, None] * profiles
    total = heights.sum(0)
    net = np.maximum(target.net, 0)
    rest = target.net - model.signal(target)
    explained = 1 - float(np.abs(rest).sum() / max(net.sum(), 1e-12))
    rows = []
    for i, part in enumerate(model.parts):
        own = heights[i] > OWN * np.maximum(total, 1e-12)
        clear = own & (heights[i] > 3 * scan.noise)
        lines = int(np.sum(np.diff(clear.astype(int)) == 1))
        expected = heights[i][clear]
        observed = (target.net - (total - heights[i]))[clear]
        seen = float(np.minimum(observed, expected).sum() / max(expected.sum(), 1e-12))
        others = [p.width for j, p in enumerate(model.parts) if j != i] or [part.width]
        lost = max(without(found, i, target) - model.cost, 1.0)
        rows.append(
            Evidence(
                gain=float(np.log(lost)),
                lines=lines,
                seen=max(seen, 0.0),
                strain=float(np.sqrt(np.mean((part.strain / part.prior) ** 2))),
                broad=max(float(np.log(part.width / np.median(others))), 0.0),
                texture=float(abs(np.log(part.texture[1]))),
                share=float(heights[i].sum() / max(total.sum(), 1e-12)),
                explained=explained,
            )
        )
    return rows


WEIGHTS = (-9.0, 1.2, 0.1, 2.0, -0.5, -1.0, -1.0, 2.0, 1.0)
"""Constant, and the weight of each number of the evidence (lines as ln(1 + lines))."""


def numbers(evidence: Evidence) -> np.ndarray:
    """The evidence as the regression sees it."""
    values = np.array(astuple(evidence), float)
    values[1] = np.log1p(values[1])
    return values


def confidence(evidence: Evidence) -> float:
    """Probability that a phase is there."""
    score = WEIGHTS[0] + float(np.dot(WEIGHTS[1:], numbers(evidence)))
    return float(1 / (1 + np.exp(-np.clip(score, -30, 30))))
