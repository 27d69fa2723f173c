"""The law of representations: a crystal has the same numbers however it is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from gnomon.crystals import Crystals
from gnomon.represent import Representation
from gnomon.represent.similarity import varies

WAYS = (
    "in another basis",
    "from another origin",
    "turned",
    "with its atoms in reverse order",
    "in a doubled cell",
)
"""Ways to write the same crystal otherwise."""


def written_otherwise(crystals: Crystals, seed: int = 0) -> Mapping[str, Crystals]:
    """The same crystals written in each of ``WAYS``; where there is a choice it is drawn."""
    rng = np.random.default_rng(seed)
    bases, origins, turned, reverse = [], [], [], []
    for one in crystals:
        lattice, numbers, frac = one.arrays(0)
        rotation, upper = np.linalg.qr(rng.normal(size=(3, 3)))
        rotation *= np.sign(np.diag(upper)) * np.sign(np.linalg.det(rotation))
        basis = np.eye(3) + np.roll(np.diag([1.0, 0, 0]), rng.integers(1, 3), axis=1)
        moved = frac @ np.linalg.inv(basis)
        bases.append(Crystals.single(basis @ lattice, numbers, moved))
        origins.append(Crystals.single(lattice, numbers, frac + rng.uniform(size=3)).wrap())
        turned.append(Crystals.single(lattice @ rotation, numbers, frac))
        reverse.append(Crystals.single(lattice, numbers[::-1], frac[::-1]))
    written = [Crystals.concatenate(one) for one in (bases, origins, turned, reverse)]
    return dict(zip(WAYS, (*written, crystals.supercell(np.diag([2, 1, 1]))), strict=True))


class Residual(NamedTuple):
    """How far rows of the same crystals lie apart; 1 is as far as two crystals drawn at random.

    Attributes:
        median, largest: over crystals.
    """

    median: float
    largest: float


def residuals(
    representation: Representation, crystals: Crystals, seed: int = 0
) -> dict[str, Residual]:
    """By how much the numbers of crystals depend on how they are written.

    Of each crystal sqrt(mean over columns of (x' - x)^2 / (2 s^2)), s the standard deviation of the
    column over the crystals; columns that are the same for all are left out.

    Args:
        representation: any.
        crystals: n different ones; rows without numbers are left out.
        seed: draws bases, origins and rotations.

    Returns:
        For each of ``WAYS``.
    """
    rows = representation.represent(crystals)
    written = written_otherwise(crystals, seed)
    return {way: residual(rows, representation.represent(written[way])) for way in WAYS}


def residual(rows: Float64[np.ndarray, "n d"], others: Float64[np.ndarray, "n d"]) -> Residual:
    """How far rows of the same crystals lie apart."""
    there = np.isfinite(rows).all(axis=1)
    if not np.array_equal(there, np.isfinite(others).all(axis=1)):
        return Residual(np.inf, np.inf)
    spread, used = rows[there].std(axis=0), varies(rows[there])
    apart = (others - rows)[there][:, used] / spread[used]
    found = np.sqrt(np.mean(apart**2, axis=1) / 2)
    return Residual(float(np.median(found)), float(found.max(initial=0.0)))
