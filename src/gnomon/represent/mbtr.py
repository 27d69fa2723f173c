"""Many-body tensor representation (Huo and Rupp, Mach. Learn.: Sci. Technol. 3, 045017 (2022)).

Distributions of distances between kinds of elements and of angles at each kind, smeared, and per
atom:

    f2_ab(r) = sum over pairs of exp(-d / s) B((r - d) / h),
    f3_abc(t) = sum over triples, b in the middle, of exp(-(d_ab + d_bc) / s) B((t - cos) / h),

B the cubic B-spline.  Both fade to zero at the cutoff.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64
from pydantic import BaseModel, ConfigDict, Field

from gnomon.crystals import Crystals
from gnomon.ragged import counted
from gnomon.represent import Card, Given, places_of
from gnomon.represent.kinds import KINDS, kinds
from gnomon.run.registry import options_of
from gnomon.structure.fingerprint import spread
from gnomon.structure.neighbors import Neighbors, neighbors, vectors_of

CHUNK = 64
"""Crystals in work at a time."""

FIRST = 1.0
"""Å; where the grid of distances begins."""


class MbtrConfig(BaseModel):
    """Grids and reach."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cutoff: float = Field(default=7.0, gt=FIRST, description="reach of distances, Å")
    angle_cutoff: float = Field(default=4.5, gt=FIRST, description="reach of angles, Å")
    distances: int = Field(default=30, ge=4, description="points of distances")
    angles: int = Field(default=12, ge=4, description="points of cosines")
    decay: float = Field(default=2.0, gt=0, description="s, Å")


@dataclass(frozen=True)
class Mbtr:
    """Distances and angles by kinds of elements."""

    config: MbtrConfig = field(default_factory=MbtrConfig)

    @property
    def card(self) -> Card:
        """What it is."""
        return Card(
            "distributions of distances and angles by kind of element (MBTR)",
            "Huo and Rupp, Mach. Learn.: Sci. Technol. 3, 045017 (2022), "
            "doi:10.1088/2632-2153/aca005",
            structure=True,
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """Points of distances of each two kinds, then of cosines at each kind of each two."""
        pairs = [(a, b) for i, a in enumerate(KINDS) for b in KINDS[i:]]
        distances = (f"{a}_{b}_r{k}" for a, b in pairs for k in range(self.config.distances))
        angles = (
            f"{middle}_{a}_{b}_t{k}"
            for middle in KINDS
            for a, b in pairs
            for k in range(self.config.angles)
        )
        return (*distances, *angles)

    def represent(self, given: Given) -> Float64[np.ndarray, "n d"]:
        """Distributions of crystals."""
        crystals = places_of(given, "mbtr")
        parts = [self._rows(crystals[i : i + CHUNK]) for i in range(0, len(crystals), CHUNK)]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.columns)))

    def _rows(self, crystals: Crystals) -> Float64[np.ndarray, "n d"]:
        found = neighbors(crystals, self.config.cutoff)
        near = found.distances < self.config.angle_cutoff
        close = Neighbors(*(column[near] for column in found))
        parts = [self._distances(crystals, found), self._angles(crystals, close)]
        rows: np.ndarray = np.concatenate(parts, axis=1) / crystals.n_atoms[:, None]
        return rows

    def _distances(self, crystals: Crystals, found: Neighbors) -> Float64[np.ndarray, "n two"]:
        kind = kinds()[crystals.atomic_numbers]
        config, d = self.config, found.distances
        weight = np.exp(-d / config.decay) * (1 - d / config.cutoff) ** 2
        pair = _pair(kind[found.receivers], kind[found.senders])
        block = crystals.crystal_index[found.receivers] * PAIRS + pair
        step = (config.cutoff - FIRST) / (config.distances - 3)
        position = np.maximum(d - FIRST, 0) / step
        return spread(block, position, weight, len(crystals) * PAIRS, config.distances).reshape(
            len(crystals), PAIRS * config.distances
        )

    def _angles(self, crystals: Crystals, found: Neighbors) -> Float64[np.ndarray, "n three"]:
        kind = kinds()[crystals.atomic_numbers]
        config, d = self.config, found.distances
        unit = vectors_of(crystals, found) / d[:, None]
        weight = np.exp(-d / config.decay) * (1 - d / config.angle_cutoff) ** 2
        one, other = _two_of_each(found.receivers)
        cosine = np.clip(np.einsum("pi,pi->p", unit[one], unit[other]), -1, 1)
        middle = found.receivers[one]
        ends = _pair(kind[found.senders[one]], kind[found.senders[other]])
        n_blocks = len(KINDS) * PAIRS
        block = (crystals.crystal_index[middle] * len(KINDS) + kind[middle]) * PAIRS + ends
        position = (cosine + 1) / 2 * (config.angles - 3)
        return spread(
            block, position, weight[one] * weight[other], len(crystals) * n_blocks, config.angles
        ).reshape(len(crystals), n_blocks * config.angles)


PAIRS = len(KINDS) * (len(KINDS) + 1) // 2
"""Unordered pairs of kinds."""


def _pair(one: Int64[np.ndarray, " p"], other: Int64[np.ndarray, " p"]) -> Int64[np.ndarray, " p"]:
    """The number of an unordered pair of kinds."""
    low, high = np.minimum(one, other), np.maximum(one, other)
    return low * len(KINDS) - low * (low - 1) // 2 + high - low


def _two_of_each(
    receivers: Int64[np.ndarray, " pairs"],
) -> tuple[Int64[np.ndarray, " triples"], Int64[np.ndarray, " triples"]]:
    """All unordered twos of different pairs with one receiver, which lie together."""
    end = np.searchsorted(receivers, receivers, "right")
    after = end - np.arange(len(receivers)) - 1
    one, further = counted(after)
    return one, one + 1 + further


def make(options: Mapping[str, Any]) -> Mbtr:
    """MBTR with these options.

    Raises:
        ValueError: for an option that does not exist or a value out of range.
    """
    return Mbtr(options_of("mbtr", MbtrConfig, options))
