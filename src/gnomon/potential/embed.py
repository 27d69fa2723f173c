"""Crystals as an interatomic potential sees them: learned invariants of surroundings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Float64
from pydantic import BaseModel, ConfigDict, Field

from gnomon.potential.batch import batches
from gnomon.potential.predict import load_potential
from gnomon.potential.weights import DEFAULT_WEIGHTS
from gnomon.represent import Card, Given, places_of
from gnomon.run.registry import options_of


class PotentialConfig(BaseModel):
    """Which potential."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weights: str = Field(default=DEFAULT_WEIGHTS, description="name or file of a potential")


class PotentialInvariants:
    """Mean and standard deviation over atoms of what the readout of a potential sees."""

    def __init__(self, weights: str) -> None:
        """Read the potential; errors are those of ``load_potential``."""
        self._loaded = load_potential(weights)
        channels = len(self._loaded.potential.readout)
        self.card = Card(
            f"invariants of atoms that {weights} learned, mean and deviation over atoms",
            "trained here: docs/concepts/potential.md",
            structure=True,
            rounding=1e-3,
        )
        self.columns = tuple(f"{way}_{i}" for way in ("mean", "deviation") for i in range(channels))

    def represent(self, given: Given) -> Float64[np.ndarray, "n d"]:
        """Invariants; NaN for a crystal with an element that the potential does not know."""
        crystals = places_of(given, "potential")
        rows = np.full((len(crystals), len(self.columns)), np.nan)
        known = np.flatnonzero(self._loaded.knows(crystals)) if len(crystals) else np.zeros(0, int)
        loaded = self._loaded
        for chosen, batch in batches(crystals[known], loaded.cutoff, loaded.capacity):
            seen = np.asarray(_invariants(loaded.potential, batch), np.float64)
            there = np.asarray(batch.atomic_numbers) > 0
            crystal = np.asarray(batch.crystal)[there]
            count = np.bincount(crystal, minlength=len(chosen))[:, None]
            sums = [np.zeros((len(chosen), seen.shape[1])) for _ in range(2)]
            for total, values in zip(sums, (seen[there], seen[there] ** 2), strict=True):
                np.add.at(total, crystal, values)
            mean, square = sums[0] / count, sums[1] / count
            deviation = np.sqrt(np.maximum(square - mean**2, 0))
            rows[known[chosen]] = np.concatenate([mean, deviation], axis=1)
        return rows


@eqx.filter_jit
def _invariants(potential: Any, batch: Any) -> Any:
    return potential.invariants(batch)


def make(options: Mapping[str, Any]) -> PotentialInvariants:
    """Invariants of a potential by its name.

    Raises:
        ValueError: for an option that does not exist, or no such weights.
    """
    return PotentialInvariants(options_of("potential", PotentialConfig, options).weights)
