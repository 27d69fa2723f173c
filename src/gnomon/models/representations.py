"""Representations that trained networks have made: vectors of elements, and whole crystals.

They have seen the energies of what the networks were trained on, which a comparison with others
must say.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float64
from pydantic import BaseModel, ConfigDict, Field

from gnomon.elements import MAX_Z
from gnomon.models.bundled import COMPOSITION, STRUCTURAL, model_path
from gnomon.models.embed import Embedder
from gnomon.models.ensemble import load_model
from gnomon.represent import Card, Given, places_of
from gnomon.represent.elements import POOLS, ElementVectors, Pool, Pooled
from gnomon.represent.similarity import principal_axes
from gnomon.run.registry import options_of

SOURCE = "trained here: the card of the model says on what (docs/concepts/network.md)"


class LearnedConfig(BaseModel):
    """Which networks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(default=STRUCTURAL, description="name or file of an ensemble")


class LearnedElementsConfig(LearnedConfig):
    """Which networks, how many numbers an element, and how they are pooled."""

    dimensions: int = Field(default=32, ge=1, description="principal axes that are kept")
    pool: tuple[Pool, ...] = Field(default=POOLS, min_length=1)


def learned_elements(model: str, dimensions: int) -> ElementVectors:
    """The vectors that the members of an ensemble have learned, in their principal axes.

    Members differ by turns and reflections of their space at least; side by side and in the
    axes of largest variance over elements, that does not matter.

    Args:
        model: name or file of a structural or composition ensemble.
        dimensions: axes that are kept, at most those there are.

    Raises:
        FileNotFoundError: if there is no such model.
        ValueError: if it is of a kind that learns no vectors of elements.
    """
    ensemble = load_model(model_path(model))
    tables = getattr(getattr(ensemble, "networks", None), "elements", None)
    if tables is None:
        raise ValueError(f"{model} is {ensemble.kind}, which learns no vectors of elements")
    side_by_side = np.concatenate(list(np.asarray(tables, np.float64)), axis=1)
    seen = np.flatnonzero(ensemble.target.seen)
    placed, _ = principal_axes(side_by_side[seen], dimensions)
    values = np.full((MAX_Z + 1, placed.shape[1]), np.nan)
    values[seen] = placed
    names = tuple(map(str, range(placed.shape[1])))
    return ElementVectors(names, values, f"vectors of elements that {model} learned", SOURCE)


class Structural:
    """What the readouts of a structural ensemble see of a crystal."""

    def __init__(self, model: str) -> None:
        """Read the networks; errors are those of ``gnomon.models.embed.Embedder``."""
        self._embedder = Embedder(model)
        self.card = Card(
            f"what the readouts of {model} see of a crystal, whitened",
            SOURCE,
            structure=True,
            rounding=1e-3,
        )
        self.columns = tuple(f"axis_{i}" for i in range(self._embedder.card.dimensions))

    def represent(self, given: Given) -> Float64[np.ndarray, "n d"]:
        """Embeddings; NaN where the networks have nothing to say."""
        crystals = places_of(given, "structural")
        return self._embedder.embed(crystals).values.astype(np.float64)


def make_structural(options: Mapping[str, Any]) -> Structural:
    """Embeddings of a structural ensemble."""
    return Structural(options_of("structural", LearnedConfig, options).model)


def make_structural_elements(options: Mapping[str, Any]) -> Pooled:
    """Pooled vectors of elements of a structural ensemble."""
    return _elements("structural-elements", options)


def make_composition_elements(options: Mapping[str, Any]) -> Pooled:
    """Pooled vectors of elements of a composition ensemble."""
    return _elements("composition-elements", {"model": COMPOSITION, **options})


def _elements(name: str, options: Mapping[str, Any]) -> Pooled:
    config = options_of(name, LearnedElementsConfig, options)
    return Pooled(learned_elements(config.model, config.dimensions), config.pool)
