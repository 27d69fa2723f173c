"""Scans: what a powder diffractometer measured, read from its files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter1d, minimum_filter1d
from scipy.signal import find_peaks

COPPER = ((1.5405929, 1.0), (1.5444274, 0.5))
"""Kα1 and Kα2 of copper, Å (Hölzer et al., Phys. Rev. A 56, 4554 (1997)), and their weights."""

LEAST_POINTS = 100
"""Points below which a file is no scan."""

CLIP = 2.4
"""Degrees over which the background is clipped: wider than the peaks of a powder."""

SEEN = 5.0
"""Height of a peak over its noise (smoothed) from which it is told."""

BROAD = 0.6
"""Degrees (one sigma) of what is too broad for a peak: humps of glass, mended backgrounds."""


class ScanError(ValueError):
    """A file that holds no scan, or a scan that shows nothing."""


@dataclass(frozen=True)
class Peak:
    """A peak of a scan.

    Attributes:
        two_theta: degrees.
        height: counts over the background.
        significance: height over the noise.
    """

    two_theta: float
    height: float
    significance: float


@dataclass(frozen=True, eq=False)
class Scan:
    """Intensities over angles of a powder in reflection.

    Attributes:
        two_theta: (points,), degrees, rising.
        counts: (points,), not negative.
        lines: wavelengths (Å) and weights of the radiation.
        name: for people.
    """

    two_theta: Float[np.ndarray, " points"]
    counts: Float[np.ndarray, " points"]
    lines: tuple[tuple[float, float], ...] = COPPER
    name: str = ""

    def __post_init__(self) -> None:
        angles = np.asarray(self.two_theta, np.float64)
        counts = np.asarray(self.counts, np.float64)
        if angles.shape != counts.shape or angles.ndim != 1:
            raise ScanError(f"{self.name}: {angles.size} angles and {counts.size} intensities")
        if len(angles) < LEAST_POINTS:
            raise ScanError(f"{self.name}: {len(angles)} points are no scan (at least 100)")
        if not (np.isfinite(angles).all() and np.isfinite(counts).all()):
            raise ScanError(f"{self.name}: angles and intensities must be finite numbers")
        if (np.diff(angles) <= 0).any() or angles[0] <= 0 or angles[-1] >= 180:
            raise ScanError(f"{self.name}: angles must rise and lie between 0 and 180 degrees")
        if (counts < 0).any():
            raise ScanError(f"{self.name}: intensities must not be negative")
        object.__setattr__(self, "two_theta", angles)
        object.__setattr__(self, "counts", counts)

    def __len__(self) -> int:
        """Points."""
        return len(self.two_theta)

    @property
    def step(self) -> float:
        """Degrees between points."""
        return float(np.median(np.diff(self.two_theta)))

    def coarse(self, step: float) -> Scan:
        """The scan with neighbouring points averaged, to steps of about ``step`` degrees."""
        n = round(step / self.step)
        if n < 2 or len(self) // n < LEAST_POINTS:
            return self
        end = len(self) // n * n
        angles, counts = (x[:end].reshape(-1, n).mean(1) for x in (self.two_theta, self.counts))
        return replace(self, two_theta=angles, counts=counts)

    @cached_property
    def background(self) -> Float[np.ndarray, " points"]:
        """What lies below the peaks.

        Statistics-sensitive clipping in widening windows (Ryan et al., Nucl. Instrum. Methods B
        34, 396 (1988)) of the smoothed square root.
        """
        level = np.sqrt(gaussian_filter1d(self.counts, 0.08 / self.step, mode="nearest"))
        widest = max(2, round(CLIP / self.step))
        for n in np.unique(np.geomspace(1, widest, 24).astype(int))[::-1]:
            ends = np.pad(level, n, mode="edge")
            level = np.minimum(level, (ends[: -2 * n] + ends[2 * n :]) / 2)
        lowest = minimum_filter1d(level, 3, mode="nearest")
        return gaussian_filter1d(lowest, 0.3 / self.step, mode="nearest") ** 2

    @cached_property
    def noise(self) -> Float[np.ndarray, " points"]:
        """Standard deviation of each point, as neighbours scatter: a constant times sqrt(counts).

        From second differences, which hold for counts, rates and normalised intensities alike.
        """
        middle = self.counts[1:-1]
        second = self.counts[:-2] - 2 * middle + self.counts[2:]
        level = np.maximum(gaussian_filter1d(self.counts, 2, mode="nearest"), 1e-12)
        # median of the square of a standard normal: 0.4549; a second difference has variance 6
        factor = float(np.median(second**2 / level[1:-1])) / (6 * 0.4549)
        return np.sqrt(max(factor, 1e-12) * level)

    @cached_property
    def peaks(self) -> tuple[Peak, ...]:
        """Peaks over the background that stand out of the noise, by angle."""
        return find(self.two_theta, self.counts - self.background, self.noise)


def find(
    two_theta: Float[np.ndarray, " points"],
    net: Float[np.ndarray, " points"],
    noise: Float[np.ndarray, " points"],
    width: float = 0.08,
) -> tuple[Peak, ...]:
    """Peaks of a curve without background.

    Args:
        two_theta: degrees.
        net: intensities over the background.
        noise: standard deviations.
        width: degrees of the Gaussian (one sigma) that smooths before.
    """
    sigma = max(width / float(np.median(np.diff(two_theta))), 0.8)
    smooth = gaussian_filter1d(net, sigma, mode="nearest")
    local = smooth - gaussian_filter1d(net, max(BROAD / width, 2) * sigma, mode="nearest")
    # white noise that a Gaussian smooths keeps 1 / (2 sqrt(pi) sigma) of its variance
    kept = noise / np.sqrt(2 * np.sqrt(np.pi) * sigma)
    ratio = local / kept
    at, _ = find_peaks(ratio, height=SEEN, prominence=0.7 * SEEN)
    return tuple(Peak(float(two_theta[i]), float(smooth[i]), float(ratio[i])) for i in at)


def read_scan(path: Path | str) -> Scan:
    """A scan of a file: xy and its relatives, xrdml, raw, brml, ras, uxd, pdCIF and others.

    rietx reads them.  A file that names no wavelength is taken for one of copper.

    Raises:
        ScanError: for a file that holds no scan, or where rietx is not installed.
    """
    try:
        import rietx
    except ModuleNotFoundError as error:
        raise ScanError("scans need rietx: pip install 'gnomon[synthesis]'") from error
    try:
        data = rietx.read_pattern(path)
    except OSError:
        raise
    except Exception as error:  # each of its readers has errors of its own
        raise ScanError(f"{path}: {error}".splitlines()[0]) from error
    if not len(data.two_theta):
        raise ScanError(f"{path} holds no scan")
    return Scan(
        np.array(data.two_theta, np.float64),
        np.array(data.intensity, np.float64),
        _lines(data.metadata),
        Path(path).stem,
    )


def _lines(facts: dict[str, Any]) -> tuple[tuple[float, float], ...]:
    first = facts.get("wavelength")
    if first is None:
        return COPPER
    second = facts.get("wavelength_alpha2")
    return ((float(first), 1.0), *(() if second is None else ((float(second), 0.5),)))
