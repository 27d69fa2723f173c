"""A trained autoencoder in a file, and the representation that it makes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float32, Float64
from pydantic import BaseModel, ConfigDict, Field

from gnomon.crystals import Crystals
from gnomon.learn.card import Card
from gnomon.learn.model_file import ModelFileError, read_model_file, write_model_file
from gnomon.models.voxels.grids import POINTS, grids
from gnomon.models.voxels.network import MERGED, PATCH, Autoencoder, VoxelConfig
from gnomon.represent import Card as RepresentationCard
from gnomon.represent import Given, places_of
from gnomon.run.registry import options_of

AT_ONCE = 32
"""Grids in one call of the network, so that one shape is compiled."""


class Recovered(BaseModel):
    """What is left of held-out crystals after the autoencoder.

    Attributes:
        rows: crystals.
        atoms: in them.
        error: sum of squared differences of grids over that of their squares.
        in_place: share of the atoms with an atom of the output within 0.5 Å.
        element: share of the atoms whose nearest one there is also of the same element.
        made: atoms of the output over atoms.
        grid_in_place, grid_element: the same of the grids themselves, what no network can pass.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int
    atoms: int
    error: float
    in_place: float
    element: float
    made: float
    grid_in_place: float
    grid_element: float


class VoxelCard(Card[Recovered]):
    """What a trained autoencoder says of itself."""


@dataclass(frozen=True, eq=False)
class VoxelModel:
    """The trained autoencoder."""

    network: Autoencoder
    card: VoxelCard | None = None
    kind: ClassVar[str] = "voxels"

    def save(self, path: Path) -> None:
        """Write the model in half precision, with its card in the header."""
        assert self.card is not None
        about = {
            "kind": self.kind,
            "network": self.network.config.model_dump(mode="json"),
            "card": self.card.model_dump(mode="json"),
        }
        write_model_file(path, about, _halved(eqx.filter(self.network, eqx.is_array)))

    @classmethod
    def load(cls, path: Path) -> VoxelModel:
        """An autoencoder from a file.

        Raises:
            FileNotFoundError: if there is none.
            ModelFileError: if the file is damaged, no model, or one of another kind.
        """
        file = read_model_file(path)
        if file.about.get("kind") != cls.kind:
            raise ModelFileError(
                f"{file.path} holds a model of kind {file.about.get('kind')!r}, not voxels"
            )
        config = VoxelConfig.model_validate(file.about["network"])
        blank = eqx.filter_eval_shape(lambda: Autoencoder(config, key=jax.random.key(0)))
        like = eqx.filter(blank, lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct))
        stored = file.fill(jax.eval_shape(_halved, like))
        arrays = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), stored)
        return cls(eqx.combine(arrays, blank), VoxelCard.model_validate(file.about["card"]))

    def latent(self, crystals: Crystals) -> Float32[np.ndarray, "n d"]:
        """Latent grids of crystals, flattened."""
        parts = [np.asarray(_encoded(self.network, one))[:n] for n, one in _batches(crystals)]
        flat = np.concatenate(parts) if parts else np.zeros((0, *_latent_shape(self.network)))
        return flat.reshape(len(crystals), -1).astype(np.float32)

    def given_back(self, crystals: Crystals) -> Iterator[Float32[np.ndarray, "n x y z c"]]:
        """Grids of crystals as they come out, ``AT_ONCE`` at a time."""
        for n, one in _batches(crystals):
            yield np.asarray(_decoded(self.network, _encoded(self.network, one)))[:n]


def _batches(crystals: Crystals) -> Iterator[tuple[int, Array]]:
    for start in range(0, len(crystals), AT_ONCE):
        made = grids(crystals[start : start + AT_ONCE])
        padding = ((0, AT_ONCE - len(made)), *[(0, 0)] * 4)
        yield len(made), jnp.asarray(np.pad(made, padding))


def _latent_shape(network: Autoencoder) -> tuple[int, ...]:
    return (*(3 * (POINTS // PATCH // MERGED,)), network.config.latent)


@eqx.filter_jit
def _encoded(network: Autoencoder, found: Array) -> Array:
    return network.encode(found)


@eqx.filter_jit
def _decoded(network: Autoencoder, latent: Array) -> Array:
    return network.decode(latent)


def _halved(weights: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf.astype(jnp.float16), weights)


# --- the representation ---------------------------------------------------------------------------


class VoxelsConfig(BaseModel):
    """Which autoencoder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: Path | None = Field(default=None, description="file of an autoencoder")


class Voxels:
    """The latent grid of the cell as it is given."""

    def __init__(self, model: Path) -> None:
        """Read the autoencoder; errors are those of ``VoxelModel.load``."""
        self._model = VoxelModel.load(model)
        self.card = RepresentationCard(
            f"what the autoencoder {model.name} keeps of a grid of the cell as it is given",
            "own, after Hoffmann et al., arXiv:1909.00949",
            structure=True,
            differs={
                "in another basis": "the grid follows its vectors: by 0.8 at the median",
                "from another origin": "the grid begins there: by 0.9 at the median",
                "in a doubled cell": "as many points for twice the atoms: by 0.8 at the median",
            },
            rounding=1e-3,
        )
        *edges, channels = _latent_shape(self._model.network)
        self.columns = tuple(
            f"{'_'.join(map(str, place))}_{k}"
            for place in np.ndindex(*edges)
            for k in range(channels)
        )

    def represent(self, given: Given) -> Float64[np.ndarray, "n d"]:
        """Latent grids of crystals."""
        return self._model.latent(places_of(given, "voxels")).astype(np.float64)


def make(options: Mapping[str, Any]) -> Voxels:
    """The representation of an autoencoder by its file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: for an option that does not exist, or without an autoencoder.
    """
    model = options_of("voxels", VoxelsConfig, options).model
    if model is None:
        raise ValueError(
            "voxels needs an autoencoder, model=FILE: examples/train_voxels.py trains one"
        )
    return Voxels(model)
