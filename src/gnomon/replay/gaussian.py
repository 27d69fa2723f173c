"""Gaussian processes for errors of a model: what a few answers say about crystals like them.

For targets y = f + noise with f ~ GP(0, k) the posterior of f at x* has mean k*' (K + s^2 I)^-1 y
and variance k** - k*' (K + s^2 I)^-1 k* (Rasmussen and Williams, Gaussian Processes for Machine
Learning (2006), eqs. 2.25 and 2.26).  The covariance here is that of a linear model on some
features plus a smooth function on others,

    k(x, x') = sum_i prior_i^2 u_i u'_i + a^2 exp(-|z - z'|^2 / (2 l^2)),

with a and l where the marginal likelihood (ibid., eq. 2.30) is highest on a coarse grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Float64, Int64

AMPLITUDES = (0.05, 0.1, 0.2)
"""eV/atom; a, that are tried."""

LENGTHS = (0.35, 0.7, 1.4)
"""l, that are tried; whitened coordinates are scaled so that two random crystals are sqrt 2 apart.
"""


@dataclass(frozen=True, eq=False)
class Posterior:
    """What is known of n values; standard deviations without the noise of an observation."""

    mean: Float64[np.ndarray, " n"]
    deviation: Float64[np.ndarray, " n"]
    linear: Float64[np.ndarray, " f"]
    """Expected weights of the linear part."""
    amplitude: float
    length: float


def condition(
    linear: Float64[np.ndarray, "n f"],
    prior: Float64[np.ndarray, " f"],
    coordinates: Float64[np.ndarray, "n k"],
    rows: Int64[np.ndarray, " m"],
    targets: Float64[np.ndarray, " m"],
    noise: float,
) -> Posterior:
    """The posterior of all n values, given those of some rows.

    Args:
        linear: features of the linear part.
        prior: standard deviations of its weights.
        coordinates: where the smooth part lives.
        rows: that were observed; none leaves the prior.
        targets: of those rows.
        noise: standard deviation of an observation.
    """
    scaled = linear * prior
    between = _squares(coordinates, coordinates[rows])
    straight = scaled @ scaled[rows].T
    best: tuple[float, float, float] | None = None
    for a, length in product(AMPLITUDES, LENGTHS) if len(rows) else []:
        covariance = straight[rows] + _smooth(between[rows], a, length)
        likelihood = _log_likelihood(covariance, targets, noise)
        if best is None or likelihood > best[0]:
            best = likelihood, a, length
    a, length = (AMPLITUDES[0], LENGTHS[0]) if best is None else best[1:]
    variance = (scaled**2).sum(axis=1) + a**2
    if not len(rows):
        return Posterior(np.zeros(len(linear)), np.sqrt(variance), np.zeros_like(prior), a, length)
    across = straight + _smooth(between, a, length)
    lower = np.linalg.cholesky(across[rows] + noise**2 * np.eye(len(rows)))
    half = np.linalg.solve(lower, across.T)
    weights = np.linalg.solve(lower.T, np.linalg.solve(lower, targets))
    return Posterior(
        across @ weights,
        np.sqrt(np.maximum(variance - (half**2).sum(axis=0), 0.0)),
        prior * (scaled[rows].T @ weights),
        a,
        length,
    )


def whitened(
    embeddings: Float64[np.ndarray, "n features"], components: int
) -> Float64[np.ndarray, "n k"]:
    """Principal coordinates, each of variance 1 / k; 0, the mean, for rows with NaN."""
    there = np.isfinite(embeddings).all(axis=1)
    known = embeddings[there] - embeddings[there].mean(axis=0)
    left, values, _ = np.linalg.svd(known, full_matrices=False)
    rank = int(np.sum(values > values[0] * np.finfo(np.float32).eps * len(known)))
    kept = max(min(components, rank), 1)
    out = np.zeros((len(embeddings), kept))
    out[there] = left[:, :kept] * np.sqrt(len(known) / kept)
    return out


def _squares(
    one: Float64[np.ndarray, "n k"], other: Float64[np.ndarray, "m k"]
) -> Float64[np.ndarray, "n m"]:
    squares = (one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1) - 2 * one @ other.T
    return np.maximum(squares, 0.0)


def _smooth(
    squares: Float64[np.ndarray, "n m"], amplitude: float, length: float
) -> Float64[np.ndarray, "n m"]:
    return amplitude**2 * np.exp(-squares / (2 * length**2))


def _log_likelihood(
    covariance: Float64[np.ndarray, "m m"], targets: Float64[np.ndarray, " m"], noise: float
) -> float:
    """Up to a constant."""
    lower = np.linalg.cholesky(covariance + noise**2 * np.eye(len(targets)))
    scaled = np.linalg.solve(lower, targets)
    return float(-0.5 * (scaled**2).sum() - np.log(np.diag(lower)).sum())
