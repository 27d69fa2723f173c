"""Which phases a scan shows, how much of each, how sure that is, and what stays unexplained."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field

from gnomon.diffraction.candidates import Candidates
from gnomon.diffraction.confidence import Evidence, confidence, weigh
from gnomon.diffraction.fit import Target
from gnomon.diffraction.scans import Peak, Scan, find
from gnomon.diffraction.search import Found, search

STEP = 0.03
"""Degrees between points that the search sees: finer scans are averaged."""


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
        uncertainty: standard error of the refinement; nan without one.
        confidence: probability that it is there, as measured on simulated mixtures.
        strain: of the volume against the candidate's cell, a fraction.
        width: of its peaks, degrees.
        lines: peaks of the scan that it alone explains.
        alternatives: indices of other candidates that explain its peaks almost as well.
    """

    candidate: int
    id: str
    formula: str
    label: str
    weight_fraction: float
    uncertainty: float
    confidence: float
    strain: float
    width: float
    lines: int
    alternatives: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Identification:
    """What a scan was found to show.

    Attributes:
        status: ``identified``, ``partly`` where peaks stay unexplained, ``unknown`` where no
            candidate explains the scan, ``no peaks`` where there is nothing to explain.
        message: the same as a sentence.
        phases: by weight, the most first.
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
        return _answer(scan, target, None, (), began)
    found = search(candidates, target, chosen.most)
    evidence = weigh(found, candidates, target)
    kept = [i for i, one in enumerate(evidence) if confidence(one) >= chosen.sure]
    found = found.take(kept, target)
    evidence = [evidence[i] for i in kept]
    phases = _phases(found, candidates, evidence)
    return _answer(scan, target, found, phases, began)


def _phases(
    found: Found, candidates: Candidates, evidence: Sequence[Evidence]
) -> tuple[Phase, ...]:
    shares = np.array([part.scale * part.source.zmv for part in found.model.parts])
    shares = shares / shares.sum() if len(shares) else shares
    phases = [
        Phase(
            candidate=i,
            id=str(candidates.crystals.ids[i]),
            formula=part.source.formula,
            label=candidates.labels[i],
            weight_fraction=float(share),
            uncertainty=float("nan"),
            confidence=confidence(one),
            strain=float(np.linalg.det(part.source.strain(part.strain)) - 1),
            width=part.width,
            lines=one.lines,
        )
        for i, part, share, one in zip(
            found.members, found.model.parts, shares, evidence, strict=True
        )
    ]
    return tuple(sorted(phases, key=lambda phase: -phase.weight_fraction))


def _answer(
    scan: Scan, target: Target, found: Found | None, phases: tuple[Phase, ...], began: float
) -> Identification:
    signal = np.zeros(len(scan)) if found is None else found.model.signal(target)
    rest = target.net - signal
    unexplained = find(scan.two_theta, rest, target.sigma)
    net = np.maximum(target.net, 0).sum()
    explained = 0.0 if net <= 0 else float(1 - np.abs(rest[target.net > 0]).sum() / net)
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
    weight = 1 / np.maximum(scan.counts, 1)
    total = scan.background + signal
    r_wp = np.sqrt(np.sum(weight * (scan.counts - total) ** 2) / np.sum(weight * scan.counts**2))
    return Identification(
        status,
        message,
        phases,
        unexplained,
        max(explained, 0.0),
        scan.two_theta,
        scan.counts,
        total,
        scan.background,
        float(r_wp),
        time.process_time() - began,
    )


def _strongest(peaks: Sequence[Peak]) -> list[Peak]:
    return sorted(sorted(peaks, key=lambda p: -p.significance)[:5], key=lambda p: p.two_theta)
