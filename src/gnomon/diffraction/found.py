"""Candidates in a model, and the evidence for each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter1d

from gnomon.diffraction.fit import Model, Target, fitted, rescaled

OWN = 0.6
"""Part of a point's calculated height that a phase must give to call it its own."""


@dataclass(frozen=True, eq=False)
class Found:
    """Candidates in a model.

    Attributes:
        members: indices of the candidates, as they joined.
        model: fitted.
    """

    members: tuple[int, ...]
    model: Model

    def take(self, index: Sequence[int], target: Target) -> Found:
        """Some of them, fitted again."""
        model = self._part(index)
        if len(index) < len(self.members):
            model = fitted(model, target) if index else rescaled(model, target)
        return Found(tuple(self.members[i] for i in index), model)

    def without(self, i: int, target: Target) -> Found:
        """Without part i, the others' scales following."""
        others = [j for j in range(len(self.members)) if j != i]
        return Found(tuple(self.members[j] for j in others), rescaled(self._part(others), target))

    def _part(self, index: Sequence[int]) -> Model:
        model = self.model
        return replace(
            model,
            parts=tuple(model.parts[i] for i in index),
            scales=tuple(model.scales[i] for i in index),
        )


@dataclass(frozen=True)
class Evidence:
    """What speaks for a phase in a fit.

    Attributes:
        gain: ln of the chi² that is lost without it.
        lines: ln of 1 + its strong lines that no other phase covers.
        seen: part of the height of those lines that the scan has.
        strain: how unusual its strains are: root mean square in standard deviations.
        broad: ln of its width over the median width of the others, at least 0.
        texture: |ln r|.
        share: part of the calculated intensity that is its own.
        explained: part of the intensity that all phases explain.
        margin: part of what is lost without it that the best candidate of another formula would
            lose in its place: 0 where that explains its peaks as well.
    """

    gain: float
    lines: float
    seen: float
    strain: float
    broad: float
    texture: float
    share: float
    explained: float
    margin: float

    @property
    def numbers(self) -> Float[np.ndarray, " n"]:
        """The same as a vector."""
        return np.array(astuple(self), np.float64)


def explained(rest: Float[np.ndarray, " points"], target: Target) -> float:
    """Part of the intensity over background and noise that does not stay in a rest."""
    scan = target.scan
    sigma = max(0.08 / scan.step, 0.8)
    least = 3 * scan.noise / np.sqrt(2 * np.sqrt(np.pi) * sigma)
    left, all_of_it = (
        np.maximum(np.abs(gaussian_filter1d(curve, sigma, mode="nearest")) - least, 0).sum()
        for curve in (rest, target.net)
    )
    return float(np.clip(1 - left / max(all_of_it, 1e-12), 0, 1))


def weigh(found: Found, target: Target, margins: Sequence[float] | None = None) -> list[Evidence]:
    """The evidence for each phase of a model.

    Args:
        found: the phases and their model.
        target: the scan.
        margins: of each phase; 1 if they are not known.
    """
    model, scan = found.model, target.scan
    heights = np.array(model.scales)[:, None] * model.profiles(scan)
    total = heights.sum(0)
    rest = target.net - model.signal(target)
    part_explained = explained(rest, target)
    rows = []
    for i, part in enumerate(model.parts):
        clear = (heights[i] > OWN * total) & (heights[i] > 3 * scan.noise)
        lines = int(np.sum(np.diff(clear.astype(int)) == 1))
        expected = heights[i][clear]
        observed = (rest + heights[i])[clear]
        seen = float(np.minimum(observed, expected).sum() / max(expected.sum(), 1e-12))
        others = [p.width for j, p in enumerate(model.parts) if j != i] or [part.width]
        lost = max(found.without(i, target).model.cost - model.cost, 1.0)
        rows.append(
            Evidence(
                gain=float(np.log(lost)),
                lines=float(np.log1p(lines)),
                seen=max(seen, 0.0),
                strain=float(np.sqrt(np.mean((part.strain / part.prior) ** 2))),
                broad=max(float(np.log(part.width / np.median(others))), 0.0),
                texture=float(abs(np.log(part.texture[1]))),
                share=float(heights[i].sum() / max(total.sum(), 1e-12)),
                explained=part_explained,
                margin=1.0 if margins is None else margins[i],
            )
        )
    return rows
