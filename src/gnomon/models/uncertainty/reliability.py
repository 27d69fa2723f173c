"""How far predictions can be trusted where the truth is known: errors, coverage, ranks."""

import numpy as np
from jaxtyping import Bool, Float64
from pydantic import BaseModel, ConfigDict

from gnomon.models import Predictions
from gnomon.models.card import Labelled
from gnomon.models.uncertainty.conformal import Conformal

LEVELS = (0.5, 0.8, 0.9, 0.95)
"""Levels whose coverage is measured."""


class Coverage(BaseModel):
    """How many of the rows lie inside intervals of one level, with Wilson's 95 % interval."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    level: float
    inside: int
    rows: int
    coverage: float
    low: float
    high: float
    mean_half_width: float | None
    """eV/atom, the sharpness: of two calibrations that hold, the narrower one is better.

    None where too few rows fitted to say."""


class Check(BaseModel):
    """What predictions and their intervals turned out to be worth; energies in eV/atom."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str
    rows: int
    unpredicted: int
    """Rows without a prediction; they are in nothing below."""
    mae: float
    mean_error: float
    """Predicted less true: of another energy scheme it shows the offset."""
    spearman_iqr: float | None
    """Rank correlation of inter-quartile range and absolute error; None where one is constant."""
    spearman_half_width: float | None
    """The same of the half-width."""
    coverage: tuple[Coverage, ...]
    out_of_distribution: float | None
    """Share of the rows that is flagged; None without a domain."""


def measure(
    data: Labelled,
    predictions: Predictions,
    conformal: Conformal,
    distances: Float64[np.ndarray, " n"] | None = None,
    outside: Bool[np.ndarray, " n"] | None = None,
    levels: tuple[float, ...] = LEVELS,
) -> Check:
    """What predictions and intervals are worth on rows of which the truth is known.

    Raises:
        ValueError: if no row has a prediction.
    """
    there = predictions.predicted
    if not there.any():
        raise ValueError(f"no row of {data.name} has a prediction: there is nothing to check")
    half = conformal.half_widths(predictions, 0.5, distances)[there]
    signed = (predictions.median - data.values)[there]
    errors = np.abs(signed)
    coverage = []
    for level in levels:
        widths = conformal.half_widths(predictions, level, distances)[there]
        coverage.append(_coverage(level, int((errors <= widths).sum()), widths))
    return Check(
        data=data.name,
        rows=len(there),
        unpredicted=int((~there).sum()),
        mae=float(errors.mean()),
        mean_error=float(signed.mean()),
        spearman_iqr=_spearman(predictions.iqr[there], errors),
        spearman_half_width=_spearman(half, errors),
        coverage=tuple(coverage),
        out_of_distribution=None if outside is None else float(outside[there].mean()),
    )


def _coverage(level: float, inside: int, widths: Float64[np.ndarray, " n"]) -> Coverage:
    from scipy.stats import binomtest

    interval = binomtest(inside, len(widths)).proportion_ci(0.95, method="wilson")
    return Coverage(
        level=level,
        inside=inside,
        rows=len(widths),
        coverage=inside / len(widths),
        low=float(interval.low),
        high=float(interval.high),
        mean_half_width=float(widths.mean()) if np.isfinite(widths).all() else None,
    )


def _spearman(one: Float64[np.ndarray, " n"], other: Float64[np.ndarray, " n"]) -> float | None:
    from scipy.stats import spearmanr

    if np.ptp(one) == 0 or np.ptp(other) == 0 or not np.isfinite(one).all():
        return None
    return float(spearmanr(one, other).statistic)
