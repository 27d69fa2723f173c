"""Mobility by linear regression on densities around a particle, averaged over neighbourhoods.

After Boattini, Smallenburg and Filion, Phys. Rev. Lett. 127, 088007 (2021), whose descriptors have
bond angles, too.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array
from systems import NUMBERS, System, crystals

from gnomon.structure.neighbors import neighbors

RADII = np.concatenate(
    [np.arange(0.8, 1.6, 0.05), np.arange(1.6, 2.6, 0.1), np.arange(2.6, 4.1, 0.2)]
)
WIDTHS = np.concatenate([np.full(16, 0.05), np.full(10, 0.1), np.full(8, 0.2)])
"""Where densities are taken, and over how much of a distance."""

REACH = 2.1
"""Of an average: the second shell."""

ORDERS = 3
"""Averages of averages, beside the densities themselves."""

PENALTIES = 10.0 ** np.arange(-1, 5)


def densities(systems: Sequence[System], orders: int = ORDERS) -> np.ndarray:
    """(particles, features): densities of both kinds at all radii, and their averages.

    G_i(r, s) = sum over neighbours j of kind s of exp(-(r_ij - r)^2 / 2 w^2); its average over
    a neighbourhood is sum_j exp(-r_ij / R) G_j / sum_j exp(-r_ij / R), j within R and i itself.
    """
    batch = crystals(systems, 1.0)
    found = neighbors(batch, float(RADII[-1] + 3 * WIDTHS[-1]))
    order = np.argsort(found.distances)
    d, receiver = found.distances[order], found.receivers[order]
    kind = batch.atomic_numbers[found.senders[order]]
    n, columns = len(batch.atomic_numbers), []
    for r, w in zip(RADII, WIDTHS, strict=True):
        near = slice(*np.searchsorted(d, [r - 3 * w, r + 3 * w]))
        weight = np.exp(-((d[near] - r) ** 2) / (2 * w**2))
        for z in NUMBERS:
            columns.append(np.bincount(receiver[near], weight * (kind[near] == z), n))
    features = [np.stack(columns, axis=1)]
    near = found.distances < REACH
    weight = np.exp(-found.distances[near] / REACH)
    mean = csr_array((weight, (found.receivers[near], found.senders[near])), (n, n))
    total = 1 + mean.sum(axis=1)
    for _ in range(orders):
        features.append((features[-1] + mean @ features[-1]) / total[:, None])
    return np.concatenate(features, axis=1)


class Ridge(NamedTuple):
    """A line through many columns: mean and spread of each, and its weight."""

    mean: np.ndarray
    spread: np.ndarray
    weights: np.ndarray
    middle: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """(rows, targets)."""
        return (x - self.mean) / self.spread @ self.weights + self.middle


def ridge(x: np.ndarray, y: np.ndarray, penalty: float) -> Ridge:
    """The least squares of y (rows, targets) on x (rows, columns), held back by a penalty."""
    mean, spread = x.mean(axis=0), x.std(axis=0) + 1e-9
    z = (x - mean) / spread
    middle = y.mean(axis=0)
    weights = np.linalg.solve(z.T @ z + penalty * np.eye(z.shape[1]), z.T @ (y - middle))
    return Ridge(mean, spread, weights, middle)


def fit(x: np.ndarray, y: np.ndarray, groups: np.ndarray) -> Ridge:
    """The ridge whose penalty does best on groups left out, by its mean correlation."""
    parts = np.array_split(np.unique(groups), min(4, len(np.unique(groups))))
    scores = []
    for penalty in PENALTIES:
        guess = np.empty_like(y)
        for part in parts:
            out = np.isin(groups, part)
            guess[out] = ridge(x[~out], y[~out], penalty)(x[out])
        scores.append(correlations(guess, y).mean())
    return ridge(x, y, float(PENALTIES[int(np.argmax(scores))]))


def correlations(guess: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(targets,), Pearson's."""
    a, b = guess - guess.mean(axis=0), y - y.mean(axis=0)
    return (a * b).sum(axis=0) / np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
