"""Whole patterns: what phases together would give on the points of a scan, fitted to it.

The model is background + sum over phases of scale x profile; a profile has the strains that the
symmetry allows, a width, and a texture, and all phases share a displacement.  Scales and background
are linear.  The noise of a point is that of counting plus a part of its signal (``MISFIT``), as no
model of a real powder is exact: so strong phases that fit badly ask for no false ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache

import numpy as np
from jaxtyping import Float
from numpy.polynomial import chebyshev
from scipy.fft import irfft, rfft

from gnomon.diffraction.reflections import Reflections, lorentz
from gnomon.diffraction.scans import Scan

MISFIT = 0.08
"""Part of the signal that a model may miss."""

MIXING = 0.5
"""Part of a peak's area that is Lorentzian: between sharp and broad powders."""

GRID = 8192
"""Points of sin θ on which patterns are drawn: steps of 0.01 degrees."""

WAVES = 6
"""Terms of the polynomial that mends the background."""

WIDTHS = (0.04, 0.8)
"""Degrees that a width (FWHM) may have at 2θ = 0."""

USUAL = (0.2, 0.7)
"""Width of a powder's peaks, degrees, and the spread of its logarithm."""

TEXTURES = (0.4, 2.5)
"""What the factor r of March and Dollase may be."""

R_SPREAD = 0.3
"""Spread of ln r."""

SHIFT = 0.075
"""Degrees (one sigma) by which a displaced sample shifts peaks."""

ROUNDS = 12
"""Steps of a fit at most."""

REACH = 3.0
"""Standard deviations that a strain may have."""


@dataclass(frozen=True, eq=False)
class Part:
    """A phase in a model; two parts are the same only if they are one object.

    Attributes:
        source: its reflections.
        prior: (k,), how far each strain may be off, as one sigma.
        strain: (k,), amounts of the modes.
        width: degrees, over cos θ.
        texture: the axis and the factor r.
    """

    source: Reflections
    prior: Float[np.ndarray, " k"]
    strain: Float[np.ndarray, " k"]
    width: float = USUAL[0]
    texture: tuple[int, float] = (0, 1.0)

    @property
    def n_free(self) -> int:
        """Parameters that are fitted, but for the scale."""
        return len(self.strain) + 2

    @property
    def pull(self) -> Float[np.ndarray, " m"]:
        """Each parameter over its spread: what is known before."""
        width = np.log(self.width / USUAL[0]) / USUAL[1]
        return np.append(self.strain / self.prior, [width, np.log(self.texture[1]) / R_SPREAD])

    @property
    def spread(self) -> Float[np.ndarray, " m"]:
        """Spreads of the parameters: strains, ln width, ln r."""
        return np.append(self.prior, [USUAL[1], R_SPREAD])

    def moved(self, step: Float[np.ndarray, " m"]) -> Part:
        """The part after a step of its parameters, within what they may be."""
        k = len(self.strain)
        width, r = (float(np.exp(x)) for x in np.clip(step[k:], -0.7, 0.7))
        reach = REACH * self.prior
        return replace(
            self,
            strain=np.clip(self.strain + np.clip(step[:k], -0.01, 0.01), -reach, reach),
            width=float(np.clip(self.width * width, *WIDTHS)),
            texture=(self.texture[0], float(np.clip(self.texture[1] * r, *TEXTURES))),
        )


@dataclass(frozen=True, eq=False)
class Target:
    """What is fitted: a scan without background, and weights.

    Attributes:
        scan: the scan.
        net: (points,), counts over the background.
        sigma: (points,), noise and misfit.
        waves: (WAVES, points), a basis that mends the background.
    """

    scan: Scan
    net: Float[np.ndarray, " points"]
    sigma: Float[np.ndarray, " points"]
    waves: Float[np.ndarray, "waves points"]

    @classmethod
    def of(cls, scan: Scan) -> Target:
        """The target of a scan."""
        net = scan.counts - scan.background
        sigma = np.hypot(scan.noise, MISFIT * np.maximum(net, 0))
        at = np.linspace(-1, 1, len(scan))
        level = np.sqrt(np.median(scan.background) + 1e-12)
        return cls(scan, net, sigma, chebyshev.chebvander(at, WAVES - 1).T * level)


@dataclass(frozen=True, eq=False)
class Model:
    """Phases and what they share.

    Attributes:
        parts: phases.
        scales: of their profiles.
        shift: degrees times cos θ.
        mend: (WAVES,), amounts of the waves.
        cost: chi² with priors.
    """

    parts: tuple[Part, ...] = ()
    scales: tuple[float, ...] = ()
    shift: float = 0.0
    mend: Float[np.ndarray, " waves"] = field(default_factory=lambda: np.zeros(WAVES))
    cost: float = np.inf

    def profiles(self, scan: Scan) -> Float[np.ndarray, "parts points"]:
        """Profiles of the phases at scale 1."""
        drawn = [profile(part, self.shift, scan) for part in self.parts]
        return np.array(drawn).reshape(len(drawn), len(scan))

    def signal(self, target: Target) -> Float[np.ndarray, " points"]:
        """All phases and the mended background, over the background."""
        return np.array(self.scales) @ self.profiles(target.scan) + self.mend @ target.waves

    @property
    def prior(self) -> float:
        """Sum of squares of what is known before."""
        own = sum(float(np.sum(part.pull**2)) for part in self.parts)
        return own + (self.shift / SHIFT) ** 2 + float(np.sum(self.mend**2))


class _Grid:
    """Even steps of sin θ, on which the peaks of small crystals are equally wide at all angles."""

    def __init__(self, scan: Scan) -> None:
        ends = np.sin(np.radians(scan.two_theta[[0, -1]] / 2))
        margin = 0.06 * (ends[1] - ends[0])
        self.start = ends[0] - margin
        self.step = (ends[1] - ends[0] + 2 * margin) / GRID
        theta = np.radians(scan.two_theta / 2)
        self.at = (np.sin(theta) - self.start) / self.step
        # counts a degree of 2θ out of counts a step of sin θ
        self.density = np.cos(theta) * np.radians(0.5) / self.step
        self.waves = np.arange(GRID // 2 + 1) / GRID

    @cached_property
    def index(self) -> Float[np.ndarray, " grid"]:
        return np.arange(GRID, dtype=np.float64)

    def draw(
        self,
        places: Float[np.ndarray, " lines"],
        areas: Float[np.ndarray, " lines"],
        width: float,
    ) -> Float[np.ndarray, " points"]:
        """Counts of lines at places (sin θ) with areas (counts times degrees).

        Each line is a pseudo-Voigt whose width is given in degrees at 2θ = 0.
        """
        x = (places - self.start) / self.step
        inside = (x > 0) & (x < GRID - 1)
        low = x[inside].astype(int)
        part, area = x[inside] - low, areas[inside]
        comb = np.bincount(low, area * (1 - part), GRID)
        comb += np.bincount(low + 1, area * part, GRID)
        k = np.pi * np.radians(width / 2) / self.step * self.waves
        shape = MIXING * np.exp(-k) + (1 - MIXING) * np.exp(-(k**2) / (4 * np.log(2)))
        smooth = irfft(rfft(comb) * shape, GRID)
        return np.interp(self.at, self.index, smooth) * self.density


@lru_cache(maxsize=4)
def _grid(scan: Scan) -> _Grid:
    return _Grid(scan)


@lru_cache(maxsize=256)
def profile(part: Part, shift: float, scan: Scan) -> Float[np.ndarray, " points"]:
    """Counts of a phase at scale 1 on the points of a scan; the same arguments give one array."""
    source = part.source
    strength = source.strength * source.texture(*part.texture)
    first = scan.lines[0][0]
    sine = source.sines(part.strain, first)
    theta = np.arcsin(np.minimum(sine, 0.9999))
    area = strength * lorentz(np.degrees(2 * theta))
    moved = np.radians(shift / 2) * np.cos(theta) ** 2
    places = [sine * wavelength / first + moved for wavelength, _ in scan.lines]
    areas = [area * weight for _, weight in scan.lines]
    found = _grid(scan).draw(np.concatenate(places), np.concatenate(areas), part.width)
    found.setflags(write=False)
    return found


def rescaled(model: Model, target: Target) -> Model:
    """The model with the scales (not negative) and background that fit best."""
    profiles, weight = model.profiles(target.scan), 1 / target.sigma
    size = np.linalg.norm(profiles * weight, axis=1) + 1e-300
    columns = np.concatenate([profiles / size[:, None], target.waves]) * weight
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
    scales, mend = found[:n] / size, found[n:]
    rest = (target.net - scales @ profiles - mend @ target.waves) * weight
    model = replace(model, scales=tuple(map(float, scales)), mend=mend)
    return replace(model, cost=float(rest @ rest) + model.prior)


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
    model = rescaled(model, target)
    which = tuple(range(len(model.parts))) if moving is None else moving
    with_shift = len(which) == len(model.parts)
    damping = 1e-2
    for _ in range(rounds):
        normal, gradient = _normal(model, target, which, with_shift)
        for _ in range(4):
            lifted = normal + np.diag(damping * np.diag(normal) + 1e-12)
            step = np.linalg.solve(lifted, gradient)
            tried = rescaled(_moved(model, step, which, with_shift), target)
            if tried.cost < model.cost:
                break
            damping *= 8
        else:
            break
        gain, model, damping = model.cost - tried.cost, tried, damping / 4
        if gain < 1e-3 * model.cost:
            break
    return model


def _normal(
    model: Model, target: Target, which: tuple[int, ...], with_shift: bool
) -> tuple[Float[np.ndarray, "m m"], Float[np.ndarray, " m"]]:
    """Normal matrix and gradient of the parameters that are not linear, the linear ones solved."""
    scan, weight = target.scan, 1 / target.sigma
    profiles = model.profiles(scan)
    columns: list[Float[np.ndarray, " points"]] = []
    pull: list[float] = []
    spread: list[float] = []
    for i in which:
        part = model.parts[i]
        steps = np.array([2e-5] * len(part.strain) + [0.02, 0.02])
        for k, size in enumerate(steps):
            new = profile(part.moved(np.eye(len(steps))[k] * size), model.shift, scan)
            columns.append(model.scales[i] * (new - profiles[i]) / size)
        pull += part.pull.tolist()
        spread += part.spread.tolist()
    if with_shift:
        moved = replace(model, shift=model.shift + 0.003).profiles(scan)
        columns.append(np.array(model.scales) @ (moved - profiles) / 0.003)
        pull.append(model.shift / SHIFT)
        spread.append(SHIFT)
    linear = np.concatenate([profiles, target.waves]) * weight
    basis, _ = np.linalg.qr((linear / (np.linalg.norm(linear, axis=1)[:, None] + 1e-300)).T)
    rest = (target.net - model.signal(target)) * weight
    jacobian = np.array(columns) * weight
    jacobian -= (jacobian @ basis) @ basis.T
    known = 1 / np.array(spread)
    return jacobian @ jacobian.T + np.diag(known**2), jacobian @ rest - np.array(pull) * known


def _moved(
    model: Model, step: Float[np.ndarray, " m"], which: tuple[int, ...], with_shift: bool
) -> Model:
    parts, at = list(model.parts), 0
    for i in which:
        n = parts[i].n_free
        parts[i] = parts[i].moved(step[at : at + n])
        at += n
    shift = model.shift + (float(np.clip(step[at], -0.05, 0.05)) if with_shift else 0.0)
    return replace(model, parts=tuple(parts), shift=shift)
