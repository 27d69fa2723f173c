"""Conformal intervals: half-widths that hold a stated share of the errors, whatever their shape.

Split conformal prediction with normalised scores (Lei et al., J. Am. Stat. Assoc. 113, 1094
(2018)).  On n held-out rows with errors e_i, a spread s_i of the ensemble and a distance d_i from
its training data (``gnomon.models.uncertainty.domain``) the scores are

    r_i = |e_i| / (s_i + floor + rate d_i),

and the interval of a new crystal at level L is its prediction plus or minus q (s + floor + rate d),
q being the ceil((n + 1) L)-th smallest score.  Rows like the held-out ones fall inside with a
probability of at least L; of others nothing is promised.  Where the distance is not known, the rate
is zero.
"""

from itertools import product
from typing import Literal

import numpy as np
from jaxtyping import Float64
from pydantic import BaseModel, ConfigDict

from gnomon.models import Predictions

FLOORS = np.geomspace(1e-4, 1.0, 41)
"""eV/atom; floors that are tried, from below any error of DFT to an error of no use."""

RATES = (0.0, *np.geomspace(1e-4, 0.1, 13).tolist())
"""eV/atom for each unit of distance; rates that are tried."""

MAX_SCORES = 999
"""Scores that are kept: more are thinned to the thousandths, rounded up."""

MIN_ROWS = 20
"""Fewer held-out rows say nothing of an interval of 95 %."""

Spread = Literal["inter-quartile range", "standard deviation"]


class Conformal(BaseModel):
    """Half-widths of intervals from the spread over members.

    Attributes:
        spread: what measures the disagreement of members.
        floor: eV/atom, added to it: members that agree by chance are not sure.
        rate: eV/atom for each unit of distance from the training data, added as well.
        scores: sorted, without a unit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    spread: Spread
    floor: float
    rate: float = 0.0
    scores: tuple[float, ...]

    def half_widths(
        self,
        predictions: Predictions,
        level: float,
        distances: Float64[np.ndarray, " n"] | None = None,
    ) -> Float64[np.ndarray, " n"]:
        """Half-width of each crystal's interval, eV/atom; NaN without a prediction.

        Infinite where the level asks for more than so many held-out rows can tell.

        Args:
            predictions: of n crystals.
            level: share of errors that intervals are to hold.
            distances: from the training data; needed where the intervals widen with them.

        Raises:
            ValueError: if the level does not lie between 0 and 1, or distances are needed.
        """
        if not 0 < level < 1:
            raise ValueError(f"the level of an interval lies between 0 and 1, not at {level}")
        # 5 x 0.8 is 4 and a rounding error, which must not ask for the next score
        rank = int(np.ceil((len(self.scores) + 1) * level - 1e-9))
        score = self.scores[rank - 1] if rank <= len(self.scores) else np.inf
        return score * _scale(spread(predictions, self.spread), distances, self.floor, self.rate)


def spread(predictions: Predictions, kind: Spread) -> Float64[np.ndarray, " n"]:
    """How far the members are apart, eV/atom."""
    if kind == "inter-quartile range":
        return predictions.iqr
    return np.std(predictions.members, axis=0)


def fit_conformal(
    predictions: Predictions,
    energies: Float64[np.ndarray, " n"],
    kind: Spread = "inter-quartile range",
    distances: Float64[np.ndarray, " n"] | None = None,
) -> Conformal:
    """Scores of held-out rows, with floor and rate under which their errors are likeliest.

    They maximise the likelihood of a Laplace distribution of scale proportional to spread + floor +
    rate x distance.  Bins of spread, each with its own scores, made intervals no sharper
    (measured).

    Args:
        predictions: of rows that trained nothing.
        energies: their true energies, eV/atom.
        kind: what measures the disagreement of members.
        distances: of the rows from the training data, if intervals are to widen with them.

    Raises:
        ValueError: if fewer than ``MIN_ROWS`` rows have a prediction, or an energy is not finite.
    """
    there = predictions.predicted
    if not np.isfinite(energies).all():
        raise ValueError("an energy to calibrate on is not finite: leave such rows out")
    if there.sum() < MIN_ROWS:
        raise ValueError(
            f"{int(there.sum())} held-out rows have a prediction, and a calibration needs at least "
            f"{MIN_ROWS}: give more rows with formula hashes that did not train"
        )
    errors = np.abs(predictions.median - energies)[there]
    width = spread(predictions, kind)[there]
    far = None if distances is None else distances[there]
    floor, rate = min(
        product(FLOORS.tolist(), (0.0,) if far is None else RATES),
        key=lambda tried: _minus_log_likelihood(errors, _scale(width, far, *tried)),
    )
    scores = np.sort(errors / _scale(width, far, floor, rate))
    if len(scores) > MAX_SCORES:
        ranks = np.arange(1, MAX_SCORES + 1) * (len(scores) + 1) / (MAX_SCORES + 1)
        scores = scores[np.ceil(ranks - 1e-9).astype(int) - 1]
    return Conformal(spread=kind, floor=floor, rate=rate, scores=tuple(scores.tolist()))


def _scale(
    width: Float64[np.ndarray, " n"],
    distances: Float64[np.ndarray, " n"] | None,
    floor: float,
    rate: float,
) -> Float64[np.ndarray, " n"]:
    """What errors are measured in, eV/atom.

    Raises:
        ValueError: if there are no distances where they count.
    """
    if rate == 0:
        return width + floor
    if distances is None:
        raise ValueError("these intervals widen with the distance from the training data: give it")
    return width + floor + rate * distances


def _minus_log_likelihood(
    errors: Float64[np.ndarray, " n"], scale: Float64[np.ndarray, " n"]
) -> float:
    """Of a Laplace distribution, per row: log(2 b s) + |e| / (b s) at the best b, mean |e| / s."""
    b = max(float(np.mean(errors / scale)), np.finfo(float).tiny)
    return float(np.mean(np.log(b * scale)))
