"""How alike rows of numbers are: of elements among themselves, of a find to all that is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int64

from gnomon.run.registry import no_such

Rows = Float64[np.ndarray, "n d"]
Others = Float64[np.ndarray, "m d"]
Metric = Callable[[np.ndarray, np.ndarray], np.ndarray]

BLOCK = 1 << 22
"""Pairs of rows times columns in work at a time."""


def _cosine(one: Rows, other: Others) -> Float64[np.ndarray, "n m"]:
    return 1 - _unit(one) @ _unit(other).T


def _pearson(one: Rows, other: Others) -> Float64[np.ndarray, "n m"]:
    return _cosine(one - one.mean(axis=1, keepdims=True), other - other.mean(axis=1, keepdims=True))


def _spearman(one: Rows, other: Others) -> Float64[np.ndarray, "n m"]:
    from scipy.stats import rankdata

    return _pearson(rankdata(one, axis=1), rankdata(other, axis=1))


def _of_differences(
    norm: Callable[..., np.ndarray],
) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    def distances(one: Rows, other: Others) -> Float64[np.ndarray, "n m"]:
        return norm(np.abs(one[:, None] - other))

    return distances


DISTANCES: dict[str, Metric] = {
    "chebyshev": _of_differences(lambda off: off.max(axis=-1, initial=0.0)),
    "cosine": _cosine,
    "euclidean": _of_differences(lambda off: np.sqrt((off**2).sum(axis=-1))),
    "manhattan": _of_differences(lambda off: off.sum(axis=-1)),
    "pearson": _pearson,
    "spearman": _spearman,
}
"""Distances by name; cosine, pearson and spearman are 1 less the similarity of that name."""


def distances(one: Rows, other: Others, metric: str = "euclidean") -> Float64[np.ndarray, "n m"]:
    """Distances of all rows of one array to all rows of another.

    >>> distances(np.array([[1.0, 0.0]]), np.array([[2.0, 0.0], [0.0, 3.0]]), "cosine").tolist()
    [[0.0, 1.0]]

    Args:
        one: (n, d).
        other: (m, d).
        metric: one of ``DISTANCES``.

    Raises:
        ValueError: if there is no such metric.
    """
    if metric not in DISTANCES:
        raise ValueError(no_such("metric", metric, DISTANCES))
    return np.asarray(DISTANCES[metric](one, other))


class Nearest(NamedTuple):
    """What lies nearest.

    Attributes:
        rows: the nearest known row of each; -1 where there are no numbers.
        distances: to it; NaN where there are no numbers.
    """

    rows: Int64[np.ndarray, " n"]
    distances: Float64[np.ndarray, " n"]


def nearest(found: Rows, known: Others, metric: str = "euclidean") -> Nearest:
    """The nearest known row of each row: how novel a find is.

    Columns are in units of their standard deviation over the known rows, those that are the same
    for all of these left out, and distances of differences are divided by sqrt(d) (``manhattan`` by
    d), so that euclidean ones of 1.4 are as far as two known rows drawn at random.

    Args:
        found: (n, d).
        known: (m, d); rows without numbers are left out.
        metric: one of ``DISTANCES``.

    Raises:
        ValueError: if no known row has numbers, or there is no such metric.
    """
    there = np.flatnonzero(np.isfinite(known).all(axis=1))
    if not len(there):
        raise ValueError("nothing known has numbers to compare with")
    mean, spread = known[there].mean(axis=0), known[there].std(axis=0)
    used = varies(known[there])
    scaled = (known[there][:, used] - mean[used]) / spread[used]
    given = (found[:, used] - mean[used]) / spread[used]
    rows, far = np.full(len(found), -1), np.full(len(found), np.nan)
    step = max(1, BLOCK // max(1, scaled.size))
    for start in range(0, len(found), step):
        index = start + np.flatnonzero(np.isfinite(given[start : start + step]).all(axis=1))
        if len(index):
            apart = distances(given[index], scaled, metric)
            best = apart.argmin(axis=1)
            rows[index], far[index] = there[best], apart[np.arange(len(index)), best]
    size = max(1, used.sum())
    return Nearest(rows, far / {"euclidean": np.sqrt(size), "manhattan": size}.get(metric, 1.0))


def varies(rows: Rows) -> Bool[np.ndarray, " d"]:
    """Which columns are not the same for all rows, rounding apart."""
    size = np.abs(rows).max(axis=0, initial=0.0)
    return rows.std(axis=0) > np.maximum(1e-9 * size, 1e-12 * size.max(initial=0.0))


def principal_axes(rows: Rows, k: int) -> tuple[Float64[np.ndarray, "n k"], np.ndarray]:
    """Rows on the axes of largest variance, and the share of the variance of each.

    Args:
        rows: (n, d), without NaN.
        k: how many axes.
    """
    left, sizes, _ = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    signs = np.sign(left[np.abs(left).argmax(axis=0), np.arange(left.shape[1])])
    return (left * signs * sizes)[:, :k], (sizes**2 / (sizes**2).sum())[:k]


def _unit(rows: Rows) -> Rows:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-300)
