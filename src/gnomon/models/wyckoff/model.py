"""A trained generator in a file: weights, tables of positions, card."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool
from pydantic import BaseModel, ConfigDict

from gnomon.elements import MAX_Z
from gnomon.learn.card import Card
from gnomon.learn.model_file import ModelFileError, read_model_file, write_model_file
from gnomon.models.bundled import model_path
from gnomon.models.wyckoff.layers import WyckoffConfig
from gnomon.models.wyckoff.network import Wyckoff
from gnomon.models.wyckoff.properties import Property
from gnomon.models.wyckoff.sequences import Tables, blank_tables


class HeldOut(BaseModel):
    """Negative logarithm of the probability (density) of held-out crystals, nats a crystal."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int
    nats: float
    parts: dict[str, float]
    """Of space group, elements, positions, cell and coordinates."""


class GeneratorCard(Card[HeldOut]):
    """What a trained generator says of itself."""

    properties: tuple[Property, ...]
    """What crystals can be asked for, in the order of the network's tables."""
    elements: tuple[int, ...]
    """Atomic numbers that the rows that train hold."""


class WyckoffModel:
    """The trained transformer."""

    kind: ClassVar[str] = "generator"

    def __init__(self, network: Wyckoff, card: GeneratorCard | None = None) -> None:
        """A network, and what is said of it."""
        self.network = network
        self.card = card

    def save(self, path: Path, *, half: bool = False) -> None:
        """Write the model to a file, with its card in the header; ``half``: in half precision."""
        assert self.card is not None
        about = {
            "kind": self.kind,
            "network": self.network.config.model_dump(mode="json"),
            "half": half,
            "card": self.card.model_dump(mode="json"),
        }
        weights = eqx.filter(self.network, eqx.is_array)
        write_model_file(path, about, jax.tree.map(_half, weights) if half else weights)

    @classmethod
    def load(cls, name_or_path: str | Path) -> WyckoffModel:
        """A generator by name, or from a file.

        Raises:
            FileNotFoundError: if there is none.
            ModelFileError: if the file is damaged, no model, or one of another kind.
        """
        file = read_model_file(model_path(name_or_path))
        if file.about.get("kind") != cls.kind:
            raise ModelFileError(
                f"{file.path} holds a model of kind {file.about.get('kind')!r}, not a generator"
            )
        if "edges" in file.about["card"]:
            raise ModelFileError(
                f"{file.path} is a generator of an earlier gnomon, which told of one property: "
                "train it again"
            )
        config = WyckoffConfig.model_validate(file.about["network"])
        card = GeneratorCard.model_validate(file.about["card"])
        blank = eqx.filter_eval_shape(
            lambda: Wyckoff(config, blank_tables(), properties=len(card.properties))
        )
        like = eqx.filter(blank, lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct))
        stored = (
            jax.eval_shape(lambda w: jax.tree.map(_half, w), like) if file.about["half"] else like
        )
        arrays = jax.tree.map(lambda a, w: jnp.asarray(a, w.dtype), file.fill(stored), like)
        return cls(eqx.combine(arrays, blank), card)

    @cached_property
    def seen(self) -> Bool[np.ndarray, " 119"]:
        """Elements that it was trained on."""
        found = np.zeros(MAX_Z + 1, bool)
        found[list(self.card.elements) if self.card else slice(1, None)] = True
        return found

    @cached_property
    def tables(self) -> Tables:
        """What is known of the positions of all space groups."""
        return Tables(*map(np.asarray, self.network.tables))


def _half(leaf: jax.Array) -> jax.Array:
    return leaf.astype(jnp.float16) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf
