"""Whole patterns: what phases together would give on the points of a scan, fitted to it.

The model is background + sum over phases of scale x profile; a profile has the strains that the
symmetry allows, a width, and a texture, and all phases share a displacement.  Scales and background
are linear.  The noise of a point is that of counting plus a part of its signal (``MISFIT``), as no
model of a real powder is exact: so strong phases that fit badly ask for no false ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float
from numpy.polynomial import chebyshev

from gnomon.diffraction.reflections import Reflections, lorentz
from gnomon.diffraction.scans import Scan

MISFIT = 0.08
"""Part of the signal that a model may miss."""

REACH = 8.0
"""Half widths (FWHM) over which a peak is drawn."""

MIXING = 0.5
"""Part of a peak's area that is Lorentzian: between sharp and broad powders."""

WAVES = 6
"""Terms of the polynomial that mends the background."""

WIDTHS = (0.04, 0.8)
"""Degrees that a width (FWHM) may have at 2θ = 0."""

SHIFT = 0.15
"""Degrees that a displaced sample usually shifts peaks by at most (one sigma: half of it)."""

ROUNDS = 12
"""Steps of a fit at most."""


@dataclass(frozen=True, eq=False)
class Part:
    """A phase in a model.

    Attributes:
        source: its reflections.
        prior: (k,), how far each strain may be off, as one sigma.
        strain: (k,), amounts of the modes.
        width: degrees, Lorentzian, over cos θ.
        texture: the axis and the factor r.
        scale: of the profile.
    """

    source: Reflections
    prior: Float[np.ndarray, " k"]
    strain: Float[np.ndarray, " k"]
    width: float = 0.15
    texture: tuple[int, float] = (0, 1.0)
    scale: float = 0.0

    @property
    def n_free(self) -> int:
        """Parameters that are fitted, but for the scale."""
        return len(self.strain) + 2


@dataclass(frozen=True, eq=False)
class Target:
    """What is fitted: a scan without background, and weights.

    Attributes:
        scan: the scan.
        net: (points,), counts over the background.
        sigma: (points,), noise and misfit.
        waves: (points, WAVES), a basis that mends the background.
    """

    scan: Scan
    net: Float[np.ndarray, " points"]
    sigma: Float[np.ndarray, " points"]
    waves: Float[np.ndarray, "points waves"]

    @classmethod
    def of(cls, scan: Scan) -> Target:
        """The target of a scan."""
        net = scan.counts - scan.background
        sigma = np.hypot(scan.noise, MISFIT * np.maximum(net, 0))
        at = np.linspace(-1, 1, len(scan))
        waves = chebyshev.chebvander(at, WAVES - 1) * np.sqrt(np.median(scan.background) + 1e-12)
        return cls(scan, net, sigma, waves)


@dataclass(frozen=True, eq=False)
class Model:
    """Phases and what they share.

    Attributes:
        parts: phases.
        shift: degrees times cos θ.
        mend: (WAVES,), amounts of the waves.
        cost: chi² with priors, after a fit.
    """

    parts: tuple[Part, ...] = ()
    shift: float = 0.0
    mend: Float[np.ndarray, " waves"] = field(default_factory=lambda: np.zeros(WAVES))
    cost: float = np.inf

    def profiles(self, scan: Scan) -> Float[np.ndarray, "parts points"]:
        """Profiles of the phases at scale 1."""
        return np.array([profile(part, self.shift, scan) for part in self.parts]).reshape(
            len(self.parts), len(scan)
        )

    def signal(self, target: Target) -> Float[np.ndarray, " points"]:
        """All phases and the mended background, over the background."""
        scales = np.array([part.scale for part in self.parts])
        return scales @ self.profiles(target.scan) + target.waves @ self.mend


def profile(part: Part, shift: float, scan: Scan) -> Float[np.ndarray, " points"]:
    """Counts of a phase at scale 1 on the points of a scan."""
    total = np.zeros(len(scan))
    strength = part.source.strength * part.source.texture(*part.texture)
    for wavelength, weight in scan.lines:
        centre = part.source.positions(part.strain, wavelength)
        inside = (centre > scan.two_theta[0] - 1) & (centre < scan.two_theta[-1] + 1)
        c = centre[inside]
        cosine = np.cos(np.radians(c / 2))
        area = weight * strength[inside] * lorentz(c)
        total += peaks(scan.two_theta, c + shift * cosine, area, part.width / cosine)
    return total


def peaks(
    two_theta: Float[np.ndarray, " points"],
    centre: Float[np.ndarray, " lines"],
    area: Float[np.ndarray, " lines"],
    width: Float[np.ndarray, " lines"],
    mixing: float = MIXING,
) -> Float[np.ndarray, " points"]:
    """A sum of pseudo-Voigts.

    Args:
        two_theta: where, degrees, in even steps.
        centre: degrees.
        area: counts times degrees.
        width: full at half maximum, degrees.
        mixing: part of the area that is Lorentzian.
    """
    if not len(centre):
        return np.zeros(len(two_theta))
    reach = int(np.ceil(REACH * width.max() / np.median(np.diff(two_theta))))
    index = np.searchsorted(two_theta, centre)[:, None] + np.arange(-reach, reach + 1)
    ok = (index >= 0) & (index < len(two_theta))
    index = np.clip(index, 0, len(two_theta) - 1)
    u = ((two_theta[index] - centre[:, None]) / width[:, None]) ** 2
    # 4 ln 2 = 2.7726; areas of both shapes at unit height are 1.0645 and pi / 2 widths
    gauss, lorentzian = np.exp(-2.7726 * u) / 1.0645, 2 / np.pi / (1 + 4 * u)
    shape = (1 - mixing) * gauss + mixing * lorentzian
    value = np.where(ok, shape * (area / width)[:, None], 0.0)
    return np.bincount(index.ravel(), value.ravel(), len(two_theta))


def rescaled(model: Model, target: Target) -> Model:
    """The model with the scales (not negative) and background that fit best."""
    profiles = model.profiles(target.scan)
    return _rescaled(model, target, profiles)


def _rescaled(model: Model, target: Target, profiles: Float[np.ndarray, "parts points"]) -> Model:
    weight = 1 / target.sigma
    size = np.linalg.norm(profiles * weight, axis=1) + 1e-300
    columns = np.concatenate([(profiles / size[:, None]), target.waves.T]) * weight
    n = len(profiles)
    free = np.ones(len(columns), bool)
    normal = columns @ columns.T + np.diag([1e-12] * n + [1.0] * WAVES)
    right = columns @ (target.net * weight)
    found = np.zeros(len(columns))
    for _ in range(n + 1):
        found[:] = 0
        found[free] = np.linalg.solve(normal[np.ix_(free, free)], right[free])
        negative = np.flatnonzero(found[:n] < 0)
        if not len(negative):
            break
        free[negative] = False
    scales = found[:n] / size
    parts = tuple(replace(p, scale=float(s)) for p, s in zip(model.parts, scales, strict=True))
    model = replace(model, parts=parts, mend=found[n:])
    rest = target.net - scales @ profiles - target.waves @ model.mend
    return replace(model, cost=float(np.sum((rest * weight) ** 2)) + _prior(model))


def _prior(model: Model) -> float:
    """Sum of squares of what is known before."""
    total = (model.shift / (SHIFT / 2)) ** 2 + float(np.sum(model.mend**2))
    for part in model.parts:
        total += float(np.sum((part.strain / part.prior) ** 2))
        total += (np.log(part.texture[1]) / 0.3) ** 2
    return total


def fitted(
    model: Model, target: Target, moving: tuple[int, ...] | None = None, rounds: int = ROUNDS
) -> Model:
    """The model with strains, widths, textures and displacement that fit best near its own.

    Gauss and Newton with Levenberg's damping; scales and background follow at every step.

    Args:
        model: where to begin.
        target: the scan.
        moving: parts whose own parameters move; all, and the displacement, if none is named.
        rounds: steps at most.
    """
    profiles = model.profiles(target.scan)
    model = _rescaled(model, target, profiles)
    which = tuple(range(len(model.parts))) if moving is None else moving
    with_shift = moving is None or len(model.parts) == len(which)
    damping = 1e-2
    for _ in range(rounds):
        jacobian, gradient = _normal(model, target, profiles, which, with_shift)
        better = False
        for _ in range(4):
            lifted = jacobian + np.diag(damping * np.diag(jacobian) + 1e-12)
            step = np.linalg.solve(lifted, gradient)
            tried = _moved(model, step, which, with_shift)
            fresh = _profiles(tried, profiles, which, with_shift, target.scan)
            tried = _rescaled(tried, target, fresh)
            if tried.cost < model.cost:
                better = True
                break
            damping *= 8
        if not better:
            break
        gain = model.cost - tried.cost
        model, profiles, damping = tried, fresh, damping / 4
        if gain < 1e-3 * model.cost:
            break
    return model


def _profiles(
    model: Model,
    before: Float[np.ndarray, "parts points"],
    which: tuple[int, ...],
    with_shift: bool,
    scan: Scan,
) -> Float[np.ndarray, "parts points"]:
    if with_shift:
        return model.profiles(scan)
    after = before.copy()
    for i in which:
        after[i] = profile(model.parts[i], model.shift, scan)
    return after


STEPS = (2e-5, 0.004, 0.02, 0.003)
"""Steps of numerical derivatives: strain, width (relative 0.02), ln r, shift."""


def _normal(
    model: Model,
    target: Target,
    profiles: Float[np.ndarray, "parts points"],
    which: tuple[int, ...],
    with_shift: bool,
) -> tuple[Float[np.ndarray, "m m"], Float[np.ndarray, " m"]]:
    """Normal matrix and gradient of the parameters that are not linear, the linear ones solved."""
    scan, weight = target.scan, 1 / target.sigma
    columns: list[Float[np.ndarray, " points"]] = []
    pulls: list[tuple[float, float]] = []
    for i in which:
        part = model.parts[i]
        for k in range(len(part.strain)):
            strain = part.strain.copy()
            strain[k] += STEPS[0]
            new = profile(replace(part, strain=strain), model.shift, scan)
            columns.append(part.scale * (new - profiles[i]) / STEPS[0])
            pulls.append((part.strain[k] / part.prior[k] ** 2, 1 / part.prior[k] ** 2))
        new = profile(replace(part, width=part.width * 1.02), model.shift, scan)
        columns.append(part.scale * (new - profiles[i]) / np.log(1.02))
        pulls.append((0.0, 1e-6))
        axis, r = part.texture
        new = profile(replace(part, texture=(axis, r * np.exp(STEPS[2]))), model.shift, scan)
        columns.append(part.scale * (new - profiles[i]) / STEPS[2])
        pulls.append((np.log(r) / 0.09, 1 / 0.09))
    if with_shift:
        moved = replace(model, shift=model.shift + STEPS[3]).profiles(scan)
        scales = np.array([part.scale for part in model.parts])
        columns.append(scales @ (moved - profiles) / STEPS[3])
        pulls.append((model.shift / (SHIFT / 2) ** 2, 1 / (SHIFT / 2) ** 2))
    j = np.array(columns) * weight
    linear = np.concatenate([profiles, target.waves.T]) * weight
    linear /= np.linalg.norm(linear, axis=1, keepdims=True) + 1e-300
    basis, _ = np.linalg.qr(linear.T)
    rest = (target.net - model.signal(target)) * weight
    j = j - (j @ basis) @ basis.T
    pull = np.array(pulls)
    return j @ j.T + np.diag(pull[:, 1]), j @ rest - pull[:, 0]


def _moved(
    model: Model, step: Float[np.ndarray, " m"], which: tuple[int, ...], with_shift: bool
) -> Model:
    parts, at = list(model.parts), 0
    for i in which:
        part = parts[i]
        k = len(part.strain)
        strain = part.strain + np.clip(step[at : at + k], -0.01, 0.01)
        width = part.width * float(np.exp(np.clip(step[at + k], -0.7, 0.7)))
        r = part.texture[1] * float(np.exp(np.clip(step[at + k + 1], -0.4, 0.4)))
        parts[i] = replace(
            part,
            strain=np.clip(strain, -3 * part.prior, 3 * part.prior),
            width=float(np.clip(width, *WIDTHS)),
            texture=(part.texture[0], float(np.clip(r, 0.4, 2.5))),
        )
        at += part.n_free
    shift = model.shift + (float(np.clip(step[at], -0.05, 0.05)) if with_shift else 0.0)
    return replace(model, parts=tuple(parts), shift=shift)
