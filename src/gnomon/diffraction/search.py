"""Search and match: which phases together explain a scan.

A scan is compared with many strained copies of every candidate by looking up its intensities where
their strongest lines would lie; the best are fitted as whole patterns to what is not explained yet,
the best of these joins, all is fitted again, and so on for several beginnings at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter1d

from gnomon.diffraction.candidates import Candidates
from gnomon.diffraction.fit import SHIFT, Model, Part, Target, fitted, rescaled
from gnomon.diffraction.reflections import Reflections, lorentz

LINES = 30
"""Strongest lines of a candidate that are looked up."""

COPIES = 384
"""Strained copies of each candidate."""

MISSED = 0.3
"""Part of a candidate's strength that may lie lower than its scale says: textures, overlaps."""

TRIED = 8
"""Candidates that are fitted at a step."""

BRANCHES = 2
"""Beginnings that are followed."""

WORTH = 25.0
"""Gain of chi² below which a phase is not worth its parameters (times their number / 4)."""


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
        parts = tuple(self.model.parts[i] for i in index)
        model = replace(self.model, parts=parts)
        if len(parts) < len(self.members):
            model = fitted(model, target) if parts else rescaled(model, target)
        return Found(tuple(self.members[i] for i in index), model)


def search(candidates: Candidates, target: Target, most: int) -> Found:
    """The candidates that together explain a scan, and the model of them.

    Args:
        candidates: phases.
        target: the scan.
        most: phases at most.
    """
    sources = candidates.reflections(target.scan)
    copies = [
        _copies(candidates.prior(i, len(source.modes)), seed=i) for i, source in enumerate(sources)
    ]
    branches = [Found((), rescaled(Model(), target))]
    best = branches[0]
    for _ in range(most):
        grown: dict[frozenset[int], Found] = {}
        for branch in branches:
            for one in _grow(branch, candidates, sources, copies, target):
                grown.setdefault(frozenset(one.members), one)
        ranked = sorted(grown.values(), key=lambda found: found.model.cost)[:BRANCHES]
        branches = [
            replace(one, model=fitted(one.model, target))
            for one in ranked
            if best.model.cost - one.model.cost > least(one)
        ]
        if not branches:
            break
        branches.sort(key=lambda found: found.model.cost)
        best = branches[0]
    return pruned(best, target)


def least(found: Found) -> float:
    """Gain of chi² that the last phase must bring."""
    return WORTH * found.model.parts[-1].n_free / 4


def pruned(found: Found, target: Target) -> Found:
    """Without phases that others explain as well."""
    while len(found.members) > 1:
        losses = [without(found, i, target) - found.model.cost for i in range(len(found.members))]
        i = int(np.argmin(losses))
        if losses[i] > WORTH * found.model.parts[i].n_free / 4:
            return found
        found = found.take([j for j in range(len(found.members)) if j != i], target)
    return found


def without(found: Found, i: int, target: Target) -> float:
    """Chi² of the model where part i is left out and the others' scales follow."""
    parts = tuple(p for j, p in enumerate(found.model.parts) if j != i)
    return rescaled(replace(found.model, parts=parts), target).cost


def _copies(prior: Float[np.ndarray, " k"], seed: int) -> Float[np.ndarray, "copies k+1"]:
    """Strains and displacements to try: the cell as it is first, then draws of what is usual."""
    rng = np.random.default_rng(seed)
    strain = rng.normal(0, 1, (COPIES, len(prior))) * prior
    shift = rng.normal(0, SHIFT / 2, (COPIES, 1))
    drawn = np.concatenate([strain, shift], 1)
    drawn[0] = 0
    return drawn


def _grow(
    branch: Found,
    candidates: Candidates,
    sources: Sequence[Reflections],
    copies: Sequence[Float[np.ndarray, "_ _"]],
    target: Target,
) -> list[Found]:
    """The branch with one candidate more, for each of the most promising."""
    rest = target.net - branch.model.signal(target)
    tolerance = target.sigma if branch.members else target.scan.noise
    rest = np.maximum(rest - tolerance, 0)
    begun = [
        _begin(sources[i], copies[i], rest, target, branch)
        if i not in branch.members
        else (-np.inf, np.zeros(0))
        for i in range(len(sources))
    ]
    order = np.argsort([-score for score, _ in begun])[:TRIED]
    grown = []
    for i in map(int, order):
        score, at = begun[i]
        if not score > 0:
            continue
        width = np.median([p.width for p in branch.model.parts]) if branch.members else 0.15
        part = Part(sources[i], candidates.prior(i, len(sources[i].modes)), at[:-1], float(width))
        shift = branch.model.shift if branch.members else float(at[-1])
        model = replace(branch.model, parts=(*branch.model.parts, part), shift=shift)
        moving = (len(branch.members),)
        model = _textured(fitted(model, target, moving), target)
        grown.append(Found((*branch.members, i), model))
    return grown


def _textured(model: Model, target: Target) -> Model:
    """The model with the preferred direction of its last part that fits best."""
    last = len(model.parts) - 1
    best = model
    for axis in (0, 1, 2):
        for r in (0.6, 1.5):
            part = replace(model.parts[last], texture=(axis, r))
            tried = rescaled(replace(model, parts=(*model.parts[:last], part)), target)
            if tried.cost < best.cost - 10:
                best = tried
    return model if best is model else fitted(best, target, (last,))


def _begin(
    source: Reflections,
    copies: Float[np.ndarray, "copies k"],
    rest: Float[np.ndarray, " points"],
    target: Target,
    branch: Found,
) -> tuple[float, Float[np.ndarray, " k"]]:
    """How much of a rest a candidate may explain, and by which copy."""
    scan = target.scan
    smooth = gaussian_filter1d(rest, 0.05 / scan.step, mode="constant")
    wavelength = scan.lines[0][0]
    flat = source.positions(np.zeros(len(source.modes)), wavelength)
    weight = source.strength * lorentz(flat)
    inside = (flat > scan.two_theta[0]) & (flat < scan.two_theta[-1])
    chosen = np.argsort(np.where(inside, -weight, 0))[: min(LINES, int(inside.sum()))]
    if not len(chosen):
        return -np.inf, copies[0]
    weight = weight[chosen]
    shifts = copies[:, -1] if not branch.members else np.full(len(copies), branch.model.shift)
    at = source.positions(copies[:, :-1], wavelength, chosen)
    at = at + shifts[:, None] * np.cos(np.radians(at / 2))
    seen = np.interp(at, scan.two_theta, smooth, 0, 0)
    ratio = seen / weight
    order = np.argsort(ratio, 1)
    share = np.cumsum(weight[order], 1) / weight.sum()
    where = np.argmax(share > MISSED, 1)
    rows = np.arange(len(copies))
    scale = ratio[rows, order[rows, where]]
    score = np.minimum(seen, scale[:, None] * weight).sum(1)
    i = int(np.argmax(score))
    best = copies[i].copy()
    best[-1] = shifts[i]
    return float(score[i]), best
