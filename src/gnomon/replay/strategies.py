"""Strategies: the merit of every crystal of the pool, higher first.

Energies are minimised: the improvement over a threshold t is max(0, t - e) of e_above_hull e.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float64
from scipy.special import erfcx, ndtr

from gnomon.replay.learners import Forecast

StrategyName = Literal["random", "greedy", "ucb", "ei", "composition", "substitution"]
"""Random draw; lowest e_above_hull; confidence bound; expected improvement; composition alone;
probability of the substitution alone."""

NAMES: tuple[StrategyName, ...] = get_args(StrategyName)

MODEL_STRATEGIES = ("greedy", "ucb", "ei")
"""Those that ask the main model."""

FAR = -100.0
"""Standard deviations below which the expected improvement is taken from its asymptote."""


@dataclass(frozen=True)
class Settings:
    """What merits depend on.

    Attributes:
        threshold: e_above_hull up to which a crystal counts as stable, eV/atom.
        kappa: standard deviations that ``ucb`` takes off.
    """

    threshold: float = 0.0
    kappa: float = 1.0


def merit(
    strategy: StrategyName,
    settings: Settings,
    forecast: Forecast | None,
    probability: Float64[np.ndarray, " n"] | None,
    n: int,
) -> Float64[np.ndarray, " n"]:
    """Merit of n crystals; -inf without a prediction, equal for all where chance is to decide.

    Raises:
        ValueError: for an unknown strategy, or one that is not given what it ranks by.
    """
    if strategy == "random":
        return np.zeros(n)
    if strategy == "substitution" and probability is not None:
        return probability
    if strategy not in NAMES or forecast is None:
        raise ValueError(
            f"strategy {strategy!r} has nothing to rank by (one of {', '.join(NAMES)})"
        )
    above = forecast.e_above_hull
    if strategy == "ucb":
        above = above - settings.kappa * forecast.spread
    if strategy == "ei":
        values = log_expected_improvement(above, forecast.spread, settings.threshold)
    else:
        values = -above
    return np.where(np.isnan(values), -np.inf, values)


def log_expected_improvement(
    e_above_hull: Float64[np.ndarray, " n"], spread: Float64[np.ndarray, " n"], threshold: float
) -> Float64[np.ndarray, " n"]:
    """log EI = log s + log(phi(z) + z Phi(z)), z = (t - e) / s, for e ~ N(e_above_hull, s^2).

    In logarithms, as EI itself is 0 in floating point for most of a pool (Ament et al., NeurIPS
    2023, eq. 9).
    """
    s = np.maximum(spread, 1e-9)
    z = (threshold - e_above_hull) / s
    log_phi = -0.5 * z**2 - 0.5 * np.log(2 * np.pi)
    near = np.maximum(z, -1.0)
    plain = np.log(np.exp(-0.5 * near**2) / np.sqrt(2 * np.pi) + near * ndtr(near))
    low = np.clip(z, FAR, -1.0)
    # Phi(z) / phi(z) = sqrt(pi / 2) erfcx(-z / sqrt 2)
    tail = np.log1p(low * np.sqrt(np.pi / 2) * erfcx(-low / np.sqrt(2)))
    tail = np.where(z < FAR, -2 * np.log(np.maximum(np.abs(z), 1.0)), tail)
    return np.log(s) + np.where(z > -1.0, plain, log_phi + tail)
