"""Which phases a scan shows, how much of each, how sure that is, and what stays unexplained."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field
from scipy.ndimage import maximum_filter1d

from gnomon.diffraction.candidates import Candidates
from gnomon.diffraction.confidence import confidence
from gnomon.diffraction.fit import Part, Target
from gnomon.diffraction.found import Evidence, Found, explained, weigh
from gnomon.diffraction.rietveld import Refined, refined
from gnomon.diffraction.scans import Peak, Scan, find
from gnomon.diffraction.search import Search

STEP = 0.03
"""Degrees between points that the search sees: finer scans are averaged."""

NEAR, EDGE = 0.4, 0.3
"""A peak of what is left is told if it is higher than this part of what is calculated within these
degrees; lower ones are those of a shape that the model lacks."""

ALIKE = 0.1
"""Candidates that lose less than this part of a phase's gain in its place are alternatives."""

WORSE = 1.3
"""A refinement whose R factor is worse than the search's by this is not taken."""

FAINT = 0.01
"""And higher than this part of the strongest peak."""


class DiffractionSettings(BaseModel):
    """How phases are looked for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    most: int = Field(default=5, ge=1, le=10, description="phases at most")
    sure: float = Field(
        default=0.5, ge=0, le=1, description="least confidence of a phase that is told"
    )
    refine: bool = Field(
        default=True, description="weight fractions by Rietveld refinement (rietx)"
    )


@dataclass(frozen=True)
class Phase:
    """A phase that a scan shows.

    Attributes:
        candidate: its index among the candidates.
        id: of its crystal.
        formula: reduced.
        label: where it comes from.
        weight_fraction: part by weight of all crystalline phases that were found.
        uncertainty: standard error of the refinement; None without one.
        confidence: probability that it is there, as measured on simulated mixtures.
        strain: of the volume against the candidate's cell, a fraction.
        width: of its peaks, degrees.
        lines: peaks of the scan that it alone explains.
        positions: of its lines under Kα1, degrees.
        alternatives: indices of other candidates that explain its peaks almost as well.
    """

    candidate: int
    id: str
    formula: str
    label: str
    weight_fraction: float
    uncertainty: float | None
    confidence: float
    strain: float
    width: float
    lines: int
    positions: tuple[float, ...]
    alternatives: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Identification:
    """What a scan was found to show.

    Attributes:
        status: ``identified``, ``partly`` where peaks stay unexplained, ``unknown`` where no
            candidate explains the scan, ``no peaks`` where there is nothing to explain.
        message: the same as a sentence.
        phases: the most by weight first.
        unexplained: peaks that no phase explains.
        explained: part of the intensity over the background that the phases explain.
        two_theta: (points,), degrees.
        observed, calculated, background: (points,), counts.
        r_wp: weighted profile R factor.
        seconds: CPU time.
    """

    status: str
    message: str
    phases: tuple[Phase, ...]
    unexplained: tuple[Peak, ...]
    explained: float
    two_theta: Float[np.ndarray, " points"]
    observed: Float[np.ndarray, " points"]
    calculated: Float[np.ndarray, " points"]
    background: Float[np.ndarray, " points"]
    r_wp: float
    seconds: float


def identify(
    scan: Scan, candidates: Candidates, settings: DiffractionSettings | None = None
) -> Identification:
    """The phases of a scan among candidates.

    Args:
        scan: measured or simulated.
        candidates: phases that may be in the powder.
        settings: how to look for them.

    Raises:
        ValueError: without candidates.
    """
    if not len(candidates):
        raise ValueError("no candidate phases: nothing to hold the scan against")
    began = time.process_time()
    chosen = settings or DiffractionSettings()
    scan = scan.coarse(STEP)
    target = Target.of(scan)
    if not scan.peaks:
        return _answer(scan, target, np.zeros(len(scan)), (), began)
    found, evidence, alternatives = _found(candidates, target, chosen)
    signal, phases = (
        found.model.signal(target),
        _phases(scan, found, candidates, evidence, alternatives),
    )
    if chosen.refine and phases:
        better = refined(scan, candidates.crystals.take(list(found.members)), found.model)
        if better is not None and better.r_wp < WORSE * r_wp(scan, scan.background + signal):
            signal, phases = better.calculated - scan.background, _with(phases, better)
    phases = tuple(sorted(phases, key=lambda phase: -phase.weight_fraction))
    return _answer(scan, target, signal, phases, began)


def _with(phases: tuple[Phase, ...], better: Refined) -> tuple[Phase, ...]:
    """The phases with the fractions of a refinement."""
    return tuple(
        replace(
            phase,
            weight_fraction=float(share),
            uncertainty=float(error) if np.isfinite(error) else None,
        )
        for phase, share, error in zip(phases, better.fractions, better.errors, strict=True)
    )


def r_wp(scan: Scan, total: Float[np.ndarray, " points"]) -> float:
    """Weighted profile R factor of calculated counts."""
    weight = 1 / np.maximum(scan.counts, 1)
    misfit = np.sum(weight * (scan.counts - total) ** 2)
    return float(np.sqrt(misfit / np.sum(weight * scan.counts**2)))


def _found(
    candidates: Candidates, target: Target, settings: DiffractionSettings
) -> tuple[Found, list[Evidence], list[tuple[int, ...]]]:
    """What a search found, weighed against what else would explain it; the sure ones stay."""
    search = Search(candidates, target)
    found = search.run(settings.most, settings.sure)
    formulas = candidates.crystals.reduced_formulas.tolist()
    while True:
        rivals = search.rivals(found)
        margins = [margin(formulas, found.members[i], row) for i, row in enumerate(rivals)]
        evidence = weigh(found, target, margins)
        unsure = [i for i, one in enumerate(evidence) if confidence(one) < settings.sure]
        if not unsure:
            break
        worst = min(unsure, key=lambda i: confidence(evidence[i]))
        found = found.take([i for i in range(len(evidence)) if i != worst], target)
    close = [tuple(j for j, loss in row.items() if loss < ALIKE) for row in rivals]
    return found, evidence, close


def margin(formulas: Sequence[str], member: int, rivals: Mapping[int, float]) -> float:
    """The least part of a phase's gain that a candidate of another formula loses, 0 to 1."""
    losses = [loss for i, loss in rivals.items() if formulas[i] != formulas[member]]
    return float(np.clip(min(losses, default=1.0), 0, 1))


def _positions(part: Part, shift: float, scan: Scan) -> tuple[float, ...]:
    at = part.source.positions(part.strain, scan.lines[0][0])
    return tuple((at + shift * np.cos(np.radians(at / 2)))[np.isfinite(at)].tolist())


def _phases(
    scan: Scan,
    found: Found,
    candidates: Candidates,
    evidence: Sequence[Evidence],
    alternatives: Sequence[tuple[int, ...]],
) -> tuple[Phase, ...]:
    shares = np.array(
        [
            scale * part.source.zmv
            for scale, part in zip(found.model.scales, found.model.parts, strict=True)
        ]
    )
    shares = shares / shares.sum() if len(shares) else shares
    return tuple(
        Phase(
            candidate=i,
            id=str(candidates.crystals.ids[i]),
            formula=part.source.formula,
            label=candidates.labels[i],
            weight_fraction=float(share),
            uncertainty=None,
            confidence=confidence(one),
            strain=float(
                np.linalg.det(part.source.strain(part.strain)) * (1 - candidates.too_long[i]) ** 3
                - 1
            ),
            width=part.width,
            lines=round(np.expm1(one.lines)),
            positions=_positions(part, found.model.shift, scan),
            alternatives=others,
        )
        for i, part, share, one, others in zip(
            found.members, found.model.parts, shares, evidence, alternatives, strict=True
        )
    )


def _answer(
    scan: Scan,
    target: Target,
    signal: Float[np.ndarray, " points"],
    phases: tuple[Phase, ...],
    began: float,
) -> Identification:
    rest = target.net - signal
    unexplained = _unexplained(scan, rest, target, signal)
    if not scan.peaks:
        status, message = "no peaks", "the scan shows no peak above its noise: nothing to identify"
    elif not phases:
        status = "unknown"
        message = f"none of the candidates explains the {len(scan.peaks)} peaks of the scan"
    elif unexplained:
        status = "partly"
        at = ", ".join(f"{p.two_theta:.2f}" for p in _strongest(unexplained))
        message = f"{len(unexplained)} peaks stay unexplained, the strongest at {at} degrees"
    else:
        status, message = "identified", "the phases explain all peaks of the scan"
    total = scan.background + signal
    return Identification(
        status,
        message,
        phases,
        unexplained,
        explained(rest, target) if phases else 0.0,
        scan.two_theta,
        scan.counts,
        total,
        scan.background,
        r_wp(scan, total),
        time.process_time() - began,
    )


def _unexplained(
    scan: Scan,
    rest: Float[np.ndarray, " points"],
    target: Target,
    signal: Float[np.ndarray, " points"],
) -> tuple[Peak, ...]:
    """Peaks of what is left that are no edges of calculated ones."""
    near = maximum_filter1d(signal, max(3, round(2 * NEAR / scan.step)))
    least = FAINT * float(np.max(target.net, initial=0))
    return tuple(
        peak
        for peak in find(scan.two_theta, rest, target.sigma)
        if peak.height > least
        and peak.height > EDGE * near[np.searchsorted(scan.two_theta, peak.two_theta)]
    )


def _strongest(peaks: Sequence[Peak]) -> list[Peak]:
    return sorted(sorted(peaks, key=lambda p: -p.significance)[:5], key=lambda p: p.two_theta)
