"""Discovery curves: stable crystals found against evaluations, with intervals over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from gnomon.replay.loop import Round

CONFIDENCE = 0.95
"""Of the intervals."""


@dataclass(frozen=True, eq=False)
class Curve:
    """Found after each round, round 0 being the start: mean over seeds and interval of the mean.

    Attributes:
        evaluations: crystals evaluated.
        found: (seeds, rounds + 1), stable crystals among them.
    """

    evaluations: Int64[np.ndarray, " r"]
    found: Int64[np.ndarray, "s r"]

    @property
    def mean(self) -> Float64[np.ndarray, " r"]:
        """Over seeds."""
        return self.found.mean(axis=0)

    @property
    def half_width(self) -> Float64[np.ndarray, " r"] | None:
        """Of Student's interval of the mean over seeds; None for a single seed."""
        seeds = len(self.found)
        if seeds < 2:
            return None
        from scipy.stats import t

        deviation = self.found.std(axis=0, ddof=1) / np.sqrt(seeds)
        return np.asarray(t.ppf(0.5 + CONFIDENCE / 2, seeds - 1) * deviation, np.float64)


@dataclass(frozen=True)
class Acceleration:
    """How many times faster than chance, at a share of the pool; no interval for a single seed.

    The number found over the n K / N that chance finds on average (K stable among N, n evaluated).
    As that is linear in n, it is also the evaluations that chance needs for the same finds over n.
    """

    fraction: float
    evaluations: int
    factor: float
    low: float | None
    high: float | None


def curve(runs: Sequence[Sequence[Round]], stable: Bool[np.ndarray, " n"]) -> Curve:
    """The curve of one strategy over its seeds.

    Raises:
        ValueError: if seeds differ in the size of their rounds.
    """
    sizes = [[0, *(len(r.chosen) for r in rounds)] for rounds in runs]
    if not sizes or any(s != sizes[0] for s in sizes):
        raise ValueError("seeds of a curve must have rounds of the same sizes")
    found = [[0, *(int(stable[list(r.chosen)].sum()) for r in rounds)] for rounds in runs]
    return Curve(np.cumsum(sizes[0]), np.cumsum(np.array(found, np.int64), axis=1))


def acceleration(drawn: Curve, fraction: float, n_stable: int, n_pool: int) -> Acceleration | None:
    """Acceleration at a share of the pool, linear between rounds; None beyond the last round.

    Raises:
        ValueError: if the fraction is not in 0..1, or nothing in the pool is stable.
    """
    if not 0 < fraction <= 1 or n_stable < 1:
        raise ValueError(
            f"fraction {fraction} of a pool with {n_stable} stable crystals: the fraction lies in "
            "0 to 1, and something must be there to be found (raise the threshold)"
        )
    count = fraction * n_pool
    if count > drawn.evaluations[-1]:
        return None
    chance = count * n_stable / n_pool
    factor = float(np.interp(count, drawn.evaluations, drawn.mean)) / chance
    low = high = None
    if drawn.half_width is not None:
        half = float(np.interp(count, drawn.evaluations, drawn.half_width)) / chance
        low, high = max(0.0, factor - half), factor + half
    return Acceleration(fraction, round(count), factor, low, high)
