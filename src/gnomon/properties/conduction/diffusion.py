r"""Diffusion coefficients from trajectories, with intervals that hold.

Every displacement of an ion over a time :math:`\tau` is diffusion, and vibration that it had at
both ends.  Of :math:`M` successive ones along one axis the sine transform makes independent
numbers, with variances

.. math:: \lambda_k = 2 D \tau + 2 s \left(1 - \cos\frac{\pi k}{M + 1}\right)

where s is that of the vibration (Berglund, Phys. Rev. E 82, 011917 (2010)).  Their likelihood holds
all that a trajectory says of D.  Hops are rarer than steps of Brownian motion and ions move
together, so that there is less to be learned than from as many Gaussian numbers: the likelihood is
flattened by the *dispersion*, how much more scores vary between ions, or between parts of the
time, than they would (quasi-likelihood; Wedderburn, Biometrika 61, 439 (1974); White,
Econometrica 50, 1 (1982)), where such a spread is too large for chance.  With every D of at least
zero equally likely before, it is the probability of each D.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase.units import kB
from jaxtyping import Float64
from scipy.fft import dst
from scipy.stats import chi2

ELEMENTARY_CHARGE = 1.602176634e-19
"""C, by definition of the ampere."""

CM2_S = 1e-4
"""cm²/s in one Å²/ps."""

FEWEST = 16
"""Displacements of an ion that tell diffusion from vibration."""

PARTS = 8
"""Of the time, between which scores are compared."""

SURPRISING = 0.95
"""Share of groups of equal rate that vary less than these before they count as different."""

BLUR = 0.2
"""Vibration may count less than nothing, down to so much of 2 D tau: ions that hop between frames
blur them."""

D_STEPS, S_STEPS = 241, 61
"""Of the grid on which probabilities are summed."""


@dataclass(frozen=True, eq=False)
class Diffusion:
    """What a trajectory says of a diffusion coefficient.

    Attributes:
        coefficients: cm²/s, at equal distances.
        probabilities: of each; their sum is 1.
        vibration: Å², variance of an ion about its site along an axis.
        dispersion: how many times fewer displacements there are in effect.
    """

    coefficients: Float64[np.ndarray, " d"]
    probabilities: Float64[np.ndarray, " d"]
    vibration: float
    dispersion: float

    @property
    def mean(self) -> float:
        """Of the probabilities, cm²/s."""
        return float(self.coefficients @ self.probabilities)

    @property
    def deviation(self) -> float:
        """Standard deviation of the probabilities, cm²/s."""
        off = self.coefficients - self.mean
        return float(np.sqrt(off**2 @ self.probabilities))

    def above(self, threshold: float) -> float:
        """Probability of more than this, in cm²/s."""
        return float(self.probabilities[self.coefficients > threshold].sum())

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """The shortest interval that holds so much of the probability, cm²/s."""
        order = np.argsort(-self.probabilities)
        count = int(np.searchsorted(np.cumsum(self.probabilities[order]), level)) + 1
        held = self.coefficients[order[:count]]
        return float(held.min()), float(held.max())


def diffusion(positions: Float64[np.ndarray, "frames ions 3"], interval: float) -> Diffusion:
    """The diffusion coefficient of ions of one kind.

    Args:
        positions: Å, not wrapped, after equal times; drift taken off.
        interval: ps between two frames: long enough for vibrations to be forgotten, 1 ps or so.

    Raises:
        ValueError: if there is no ion, or there are fewer than 17 frames.
    """
    steps = np.diff(positions, axis=0)
    count, ions = steps.shape[:2]
    if ions == 0 or count < FEWEST:
        raise ValueError(f"{count + 1} frames of {ions} ions: give at least {FEWEST + 1} of one")
    powers = _powers(steps)
    if not powers.any():  # frozen
        return Diffusion(np.zeros(1), np.ones(1), 0.0, 1.0)
    mean, waves = powers.mean(axis=1) / 3, _waves(count)
    d, s = _fitted(mean, waves)
    parts = [_powers(part).sum(axis=1) for part in _parts(steps)]
    factor = max(
        _surprising(_dispersion(powers, d, s, 3) * ions / max(ions - 1, 1), ions - 1),
        _surprising(_dispersion(np.stack(parts, axis=1), d, s, 3 * ions), len(parts)),
    )
    weight = 1.5 * ions / factor  # half the numbers behind each mean power
    variance = np.linalg.inv(weight * _information(d + s * waves, waves))
    wide = np.sqrt(np.diag(variance))
    ds = np.linspace(max(0.0, d - 6 * wide[0]), d + 8 * wide[0], D_STEPS)
    ss = np.linspace(s - 6 * wide[1], s + 6 * wide[1], S_STEPS)
    spread = ds[:, None, None] + ss[None, :, None] * waves
    allowed = (spread > 0).all(axis=2) & (ss >= -BLUR * ds[:, None])
    spread = np.where(allowed[..., None], spread, 1.0)
    fit = -weight * (np.log(spread) + mean / spread).sum(axis=2)
    fit = np.where(allowed, fit, -np.inf)
    likely = np.exp(fit - fit.max()).sum(axis=1)
    return Diffusion(ds / (2 * interval) * CM2_S, likely / likely.sum(), float(s), float(factor))


def conductivity(coefficient: float, density: float, charge: float, temperature: float) -> float:
    """Ionic conductivity in S/cm by Nernst and Einstein, for a Haven ratio of 1: n z² e² D / (kT).

    >>> round(1000 * conductivity(4.1e-7, 0.02, 1.0, 1000.0), 1)  # mS/cm, 2e22 ions a cm3
    15.2

    Args:
        coefficient: of diffusion, cm²/s.
        density: ions an Å3.
        charge: of an ion, in elementary charges.
        temperature: K.
    """
    per_cm3 = density * 1e24
    return per_cm3 * charge**2 * ELEMENTARY_CHARGE * coefficient / (kB * temperature)


def _powers(
    steps: Float64[np.ndarray, "m ions 3"],
) -> Float64[np.ndarray, "m ions"]:
    """Squares of the sine transforms, summed over the axes."""
    return np.asarray((dst(steps, type=1, norm="ortho", axis=0) ** 2).sum(axis=2))


def _waves(count: int) -> Float64[np.ndarray, " m"]:
    return 2 * (1 - np.cos(np.pi * np.arange(1, count + 1) / (count + 1)))


def _parts(steps: Float64[np.ndarray, "m ions 3"]) -> list[Float64[np.ndarray, "k ions 3"]]:
    """Parts of the time of one length."""
    count = min(PARTS, len(steps) // 4)
    length = len(steps) // count
    return [steps[i * length : (i + 1) * length] for i in range(count)]


def _fitted(
    power: Float64[np.ndarray, " m"], waves: Float64[np.ndarray, " m"]
) -> tuple[float, float]:
    """2 D tau and s of the greatest likelihood, by least squares weighted anew (a gamma model)."""
    d, s = float(power.mean()), 0.0
    for _ in range(50):
        weights = 1 / (d + s * waves) ** 2
        system = np.array(
            [
                [weights.sum(), weights @ waves],
                [weights @ waves, weights @ waves**2],
            ]
        )
        d, s = np.linalg.solve(system, [weights @ power, weights @ (waves * power)]).tolist()
        if d <= 0:
            return 1e-9 * float(power.mean()), float((power / waves).mean())
        s = max(s, -BLUR * d)
    return d, s


def _information(
    variance: Float64[np.ndarray, " m"], waves: Float64[np.ndarray, " m"]
) -> Float64[np.ndarray, "2 2"]:
    """Of Fisher, about 2 D tau and s, for two numbers behind each power."""
    weights = 1 / variance**2
    mixed = weights @ waves
    return np.array([[weights.sum(), mixed], [mixed, weights @ waves**2]])


def _surprising(dispersion: float, freedom: int) -> float:
    """A dispersion with so many degrees of freedom, or 1 where chance explains it."""
    return dispersion if dispersion * freedom > chi2.ppf(SURPRISING, max(freedom, 1)) else 1.0


def _dispersion(powers: Float64[np.ndarray, "m groups"], d: float, s: float, numbers: int) -> float:
    """Variance of 2 D tau by the scores of groups, over that by the model.

    Args:
        powers: sums of so many squares.
        d, s: of the fit.
        numbers: squares in a sum.
    """
    waves = _waves(len(powers))
    variance = (d + s * waves)[:, None]
    by_wave = (powers / variance - numbers) / variance / 2
    scores = np.stack([by_wave.sum(axis=0), waves @ by_wave])
    model = np.linalg.inv(numbers / 2 * powers.shape[1] * _information(variance[:, 0], waves))
    robust = model @ (scores @ scores.T) @ model
    return float(robust[0, 0] / model[0, 0])
