"""A population: crystals with what they are judged by, and which of them breed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from gnomon.crystals import Crystals

STABILITY = "e_above_hull"
"""The objective that every campaign has."""

SIGNS = {"max": -1.0, "min": 1.0}


def parse_objective(text: str) -> tuple[str, str, float]:
    """The table that an objective names, the column of it, and the sign that makes lower better.

    >>> parse_objective("max hardness"), parse_objective("max hardness.toughness")
    (('hardness', 'value', -1.0), ('hardness', 'toughness', -1.0))
    >>> parse_objective("e_above_hull")
    ('e_above_hull', '', 1.0)

    Raises:
        ValueError: if it is neither stability nor ``max NAME`` or ``min NAME``, or NAME.COLUMN.
    """
    if text == STABILITY:
        return text, "", 1.0
    which, _, rest = text.partition(" ")
    name, _, column = rest.strip().partition(".")
    if which not in SIGNS or not name:
        raise ValueError(
            f"{text!r} is no objective: write {STABILITY}, or `max NAME` or `min NAME` of a table "
            "of properties, as in 'max hardness', or of a column of it, as in "
            "'max hardness.toughness'"
        )
    return name, column or "value", SIGNS[which]


@dataclass(frozen=True, eq=False)
class Population:
    """Evaluated crystals with their objectives.

    Attributes:
        crystals: n of them.
        objectives: (n, m), lower is better; rows with a NaN do not breed.
    """

    crystals: Crystals
    objectives: Float64[np.ndarray, "n m"]

    def best(self, most: int) -> Population:
        """The best ones, the first front first, the least crowded of a front first."""
        known = np.flatnonzero(np.isfinite(self.objectives).all(axis=1))
        rows = known[order(self.objectives[known])[:most]]
        return Population(self.crystals[rows], self.objectives[rows])


def order(objectives: Float64[np.ndarray, "n m"]) -> Int64[np.ndarray, " n"]:
    """Rows by their fronts, the least crowded of each first."""
    front = fronts(objectives)
    return np.lexsort((-crowding(objectives, front), front))


def fronts(objectives: Float64[np.ndarray, "n m"]) -> Int64[np.ndarray, " n"]:
    """The front of each row: 0 is beaten by none, 1 by those of front 0 alone, and so on.

    One row beats another if it is as good in all objectives and better in one (Deb et al., IEEE
    Trans. Evol. Comput. 6, 182 (2002)).

    >>> fronts(np.array([[0.0, 2.0], [1.0, 1.0], [1.0, 2.0], [2.0, 2.0]])).tolist()
    [0, 0, 1, 2]
    """
    first, second = objectives[:, None], objectives[None]
    beats = np.all(first <= second, axis=2) & np.any(first < second, axis=2)
    found = np.full(len(objectives), -1, np.int64)
    while (found < 0).any():
        left = found < 0
        unbeaten = left & ~np.any(beats[left], axis=0)
        found[unbeaten] = found.max(initial=-1) + 1
    return found


def crowding(
    objectives: Float64[np.ndarray, "n m"], front: Int64[np.ndarray, " n"]
) -> Float64[np.ndarray, " n"]:
    """How far the neighbours of each row within its front lie apart, in spans of the front.

    The sum over objectives (Deb et al. 2002); the first and last of each have no bound.

    >>> rows = np.array([[0.0, 3.0], [1.0, 1.0], [3.0, 0.0]])
    >>> crowding(rows, np.zeros(3, int)).tolist()
    [inf, 2.0, inf]
    """
    found = np.zeros(len(objectives))
    for rows in (np.flatnonzero(front == k) for k in np.unique(front)):
        for values in objectives[rows].T:
            order = np.argsort(values, kind="stable")
            span = max(float(np.ptp(values)), 1e-12)
            found[rows[order[1:-1]]] += (values[order[2:]] - values[order[:-2]]) / span
            found[rows[order[[0, -1]]]] = np.inf
    return found
