"""Search and match: which phases together explain a scan.

A scan is compared with many strained copies of every candidate by looking up its intensities where
their strongest lines would lie; the best are fitted as whole patterns to what is not explained yet,
the best of these joins, all is fitted again, and so on for several beginnings at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter1d

from gnomon.diffraction.candidates import Candidates
from gnomon.diffraction.confidence import confidence
from gnomon.diffraction.fit import SHIFT, USUAL, Model, Part, Target, fitted, rescaled
from gnomon.diffraction.found import Found, weigh
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

RIVALS = 4
"""Others that are tried in the place of a phase."""

NEARLY = 0.05
"""Candidates whose gain is less by no more than this part are alike."""

WORTH = 8.0
"""Chi² that each parameter of a phase must gain."""


@dataclass(frozen=True, eq=False)
class Copies:
    """A candidate and its strained copies.

    Attributes:
        source: its reflections.
        prior: (k,), spreads of its strains.
        strains: (copies, k); the first has none.
        shifts: (copies,), displacements, degrees.
    """

    source: Reflections
    prior: Float[np.ndarray, " k"]
    strains: Float[np.ndarray, "copies k"]
    shifts: Float[np.ndarray, " copies"]

    @classmethod
    def drawn(cls, source: Reflections, prior: Float[np.ndarray, " k"], seed: int) -> Copies:
        """Copies by what is usual."""
        rng = np.random.default_rng(seed)
        strains = rng.normal(0, 1, (COPIES, len(prior))) * prior
        shifts = rng.normal(0, SHIFT, COPIES)
        strains[0], shifts[0] = 0, 0
        return cls(source, prior, strains, shifts)

    def best(
        self, rest: Float[np.ndarray, " points"], target: Target, shift: float | None
    ) -> tuple[float, int]:
        """How much of a rest a candidate may explain, and by which copy.

        The scale of a copy is one that 70 % of its strength can bear.
        """
        scan, source = target.scan, self.source
        wavelength = scan.lines[0][0]
        flat = source.positions(self.strains[0], wavelength)
        strength = np.where(np.isfinite(flat), source.strength * lorentz(flat), 0)
        inside = (flat > scan.two_theta[0]) & (flat < scan.two_theta[-1])
        chosen = np.argsort(np.where(inside, -strength, 0))[: min(LINES, int(inside.sum()))]
        if not len(chosen):
            return 0.0, 0
        weight = strength[chosen]
        at = source.positions(self.strains, wavelength, chosen)
        moved = self.shifts if shift is None else np.full(len(self.shifts), shift)
        at = at + moved[:, None] * np.cos(np.radians(at / 2))
        seen = np.interp(at, scan.two_theta, rest, 0, 0)
        ratio = seen / weight
        order = np.argsort(ratio, 1)
        share = np.cumsum(weight[order], 1) / weight.sum()
        where = np.argmax(share > MISSED, 1)
        rows = np.arange(len(ratio))
        scale = ratio[rows, order[rows, where]]
        score = np.minimum(seen, scale[:, None] * weight).sum(1)
        i = int(np.argmax(score))
        return float(score[i]), i


class Search:
    """Candidates held against one scan."""

    def __init__(self, candidates: Candidates, target: Target) -> None:
        """Draw the strained copies of all candidates."""
        self.target = target
        self.copies = [
            Copies.drawn(source, candidates.prior(i, len(source.modes)), i)
            for i, source in enumerate(candidates.reflections(target.scan))
        ]

    def run(self, most: int, sure: float) -> Found:
        """The candidates that together explain the scan, and the model of them.

        Args:
            most: phases at most.
            sure: least confidence of a phase that joins.
        """
        target = self.target
        best = Found((), rescaled(Model(), target))
        branches = [best]
        for _ in range(most):
            grown: dict[frozenset[int], Found] = {}
            for branch in branches:
                for one in self._grow(branch, TRIED):
                    grown.setdefault(frozenset(one.members), one)
            ranked = self._ranked(list(grown.values()), best.model.cost)[:BRANCHES]
            refined = [replace(one, model=fitted(one.model, target)) for one in ranked]
            branches = [
                one
                for one in refined
                if best.model.cost - one.model.cost > WORTH * one.model.parts[-1].n_free
                and confidence(weigh(one, target)[-1]) >= sure
            ]
            if not branches:
                break
            branches.sort(key=lambda found: found.model.cost)
            best = branches[0]
        return self._pruned(best, sure)

    def _ranked(self, grown: list[Found], before: float) -> list[Found]:
        """The best first: of those that gain nearly the most, the one of the best known cell.

        Then the one of the fewest free parameters.
        """
        ranked = sorted(grown, key=lambda found: found.model.cost)
        if not ranked:
            return []
        enough = before - (1 - NEARLY) * (before - ranked[0].model.cost)

        def simple(found: Found) -> tuple[float, int, float]:
            last = found.model.parts[-1]
            return (last.prior[0], last.n_free, found.model.cost)

        alike = sorted((one for one in ranked if one.model.cost <= enough), key=simple)
        return alike + [one for one in ranked if one.model.cost > enough]

    def rivals(self, found: Found) -> list[dict[int, float]]:
        """For each phase what others would lose in its place, as part of what is lost without."""
        rows = []
        for i in range(len(found.members)):
            rest = found.without(i, self.target)
            lost = max(rest.model.cost - found.model.cost, 1e-9)
            rows.append(
                {
                    one.members[-1]: float((one.model.cost - found.model.cost) / lost)
                    for one in self._grow(rest, RIVALS + 1)
                    if one.members[-1] != found.members[i]
                }
            )
        return rows

    def _pruned(self, found: Found, sure: float) -> Found:
        """Without phases that others explain as well, the least sure first."""
        while found.members:
            rows = weigh(found, self.target)
            each = [confidence(row) for row in rows]
            i = int(np.argmin(each))
            worth = np.exp(rows[i].gain) > WORTH * found.model.parts[i].n_free
            if each[i] >= sure and worth:
                break
            found = found.take([j for j in range(len(each)) if j != i], self.target)
        return found

    def _grow(self, branch: Found, most: int) -> list[Found]:
        """The branch with one candidate more, for each of the most promising."""
        model, target = branch.model, self.target
        tolerance = target.sigma if branch.members else target.scan.noise
        rest = np.maximum(target.net - model.signal(target) - tolerance, 0)
        smooth = gaussian_filter1d(rest, 0.05 / target.scan.step, mode="constant")
        shift = model.shift if branch.members else None
        begun = [
            (0.0, 0) if i in branch.members else one.best(smooth, target, shift)
            for i, one in enumerate(self.copies)
        ]
        width = float(np.median([part.width for part in model.parts] or [USUAL[0]]))
        grown = []
        for i in map(int, np.argsort([-score for score, _ in begun])[:most]):
            score, at = begun[i]
            if not score > 0:
                break
            one = self.copies[i]
            part = Part(one.source, one.prior, one.strains[at], width)
            parts, scales = (*model.parts, part), (*model.scales, 0.0)
            begins = model.shift if branch.members else float(one.shifts[at])
            tried = replace(model, parts=parts, scales=scales, shift=begins)
            tried = fitted(tried, target, (len(branch.members),), 8)
            grown.append(Found((*branch.members, i), _textured(tried, target)))
        return grown


def _textured(model: Model, target: Target) -> Model:
    """The model with the preferred direction of its last part that fits best."""
    last = len(model.parts) - 1
    best = model
    for axis in (0, 1, 2):
        for r in (0.65, 1.5):
            part = replace(model.parts[last], texture=(axis, r))
            tried = rescaled(replace(model, parts=(*model.parts[:last], part)), target)
            if tried.cost < best.cost - WORTH:
                best = tried
    return model if best is model else fitted(best, target, (last,), 6)
