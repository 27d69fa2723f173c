"""Simulated scans of mixtures, with what makes real ones differ from their models."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field

from gnomon.crystals import Crystals
from gnomon.diffraction.reflections import Reflections, lorentz, reflections
from gnomon.diffraction.scans import COPPER, Scan


class SimulationSettings(BaseModel):
    """What a simulated diffractometer and its powders are like; what varies is drawn for each scan.

    Spreads are standard deviations.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    lowest: float = Field(default=10.0, gt=0, description="first angle 2θ, degrees")
    highest: float = Field(default=100.0, lt=180, description="last angle")
    step: float = Field(default=0.03, gt=0, description="degrees between points")
    counts: float = Field(default=8000.0, ge=0, description="of the strongest peak; 0 for none")
    background: float = Field(default=400.0, ge=0, description="counts of the background")
    uniform: float = Field(
        default=0.01, ge=0, description="spread of a strain of all lengths alike"
    )
    strain: float = Field(default=0.006, ge=0, description="spread of each other strain")
    shift: float = Field(default=0.05, ge=0, description="spread of the displacement, degrees")
    width: tuple[float, float] = Field(
        default=(0.1, 0.35), description="least and largest width of a phase's peaks, degrees"
    )
    texture: float = Field(default=0.2, ge=0, description="spread of ln r of March and Dollase")
    misfit: float = Field(
        default=0.12, ge=0, description="relative spread of a reflection's intensity"
    )


def simulate(
    crystals: Crystals,
    fractions: Sequence[float],
    settings: SimulationSettings | None = None,
    seed: int = 0,
) -> Scan:
    """A scan of a mixture as a diffractometer with a copper tube would count it.

    Peaks get a mixing of their own, an asymmetry at low angles, and widths that grow with the
    angle, none of which the fit of ``identify`` knows.

    Args:
        crystals: the phases; none gives background alone.
        fractions: parts by weight; their sum does not matter.
        settings: of the instrument and the powder.
        seed: of all that is drawn.

    Raises:
        ValueError: if fractions are not as many as crystals, or not positive.
    """
    chosen = settings or SimulationSettings()
    amounts = np.asarray(fractions, np.float64)
    if len(amounts) != len(crystals) or not (amounts > 0).all():
        raise ValueError(f"{len(crystals)} crystals need as many fractions above 0: {fractions}")
    rng = np.random.default_rng(seed)
    two_theta = np.arange(chosen.lowest, chosen.highest, chosen.step)
    signal = np.zeros(len(two_theta))
    mixing, shift = rng.uniform(0.25, 0.85), rng.normal(0, chosen.shift)
    for crystal, amount in zip(crystals, amounts, strict=True):
        source = reflections(crystal, chosen.lowest, chosen.highest, COPPER[0][0])
        signal += amount / source.zmv * _phase(source, two_theta, shift, mixing, chosen, rng)
    if len(crystals):
        signal *= chosen.counts / signal.max()
    x = (two_theta - chosen.lowest) / (chosen.highest - chosen.lowest)
    level = 0.6 + 0.8 * np.exp(-x / rng.uniform(0.08, 0.3)) + 0.2 * rng.normal() * x
    hump = rng.uniform(0, 0.4) * np.exp(-(((two_theta - rng.uniform(18, 35)) / 7) ** 2))
    expected = signal + chosen.background * np.maximum(level + hump, 0.1)
    return Scan(two_theta, rng.poisson(expected).astype(float), COPPER, f"simulated {seed}")


def _phase(
    source: Reflections,
    two_theta: Float[np.ndarray, " points"],
    shift: float,
    mixing: float,
    settings: SimulationSettings,
    rng: np.random.Generator,
) -> Float[np.ndarray, " points"]:
    """One phase at scale 1."""
    strain = rng.normal(0, settings.strain, len(source.modes))
    strain[0] = rng.normal(0, settings.uniform)
    r = float(np.exp(rng.normal(0, settings.texture)))
    size, spread = rng.uniform(*settings.width), rng.uniform(0, 0.15)
    errors = np.exp(rng.normal(0, settings.misfit, len(source.hkl)))
    strength = source.strength * source.texture(int(rng.integers(3)), r) * errors
    tail = rng.uniform(0, 0.35)
    total = np.zeros(len(two_theta))
    for wavelength, weight in COPPER:
        at = source.positions(strain, wavelength)
        inside = np.isfinite(at)
        at = at[inside]
        theta = np.radians(at / 2)
        width = np.hypot(size / np.cos(theta), spread * np.tan(theta))
        area = weight * strength[inside] * lorentz(at)
        place = at + shift * np.cos(theta)
        # axial divergence draws a tail to lower angles, the longer the lower the angle
        pulled = tail * width / np.tan(2 * theta).clip(0.2, None).clip(None, 5) * 0.3
        total += peaks(two_theta, place, 0.75 * area, width, mixing)
        total += peaks(two_theta, place - np.abs(pulled), 0.25 * area, width, mixing)
    return total


def peaks(
    two_theta: Float[np.ndarray, " points"],
    centre: Float[np.ndarray, " lines"],
    area: Float[np.ndarray, " lines"],
    width: Float[np.ndarray, " lines"],
    mixing: float,
) -> Float[np.ndarray, " points"]:
    """A sum of pseudo-Voigts, each drawn over eight widths on both sides.

    Args:
        two_theta: where, degrees, in even steps.
        centre: degrees.
        area: counts times degrees.
        width: full at half maximum, degrees.
        mixing: part of the area that is Lorentzian.
    """
    reach = int(np.ceil(8 * width.max(initial=0) / np.median(np.diff(two_theta))))
    index = np.searchsorted(two_theta, centre)[:, None] + np.arange(-reach, reach + 1)
    ok = (index >= 0) & (index < len(two_theta))
    index = np.clip(index, 0, len(two_theta) - 1)
    u = ((two_theta[index] - centre[:, None]) / width[:, None]) ** 2
    # areas of both shapes at unit height are sqrt(pi / 4 ln 2) and pi / 2 widths
    gauss = np.exp(-4 * np.log(2) * u) * np.sqrt(4 * np.log(2) / np.pi)
    shape = (1 - mixing) * gauss + mixing * 2 / np.pi / (1 + 4 * u)
    value = np.where(ok, shape * (area / width)[:, None], 0.0)
    return np.bincount(index.ravel(), value.ravel(), len(two_theta))
