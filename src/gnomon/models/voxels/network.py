"""A convolutional autoencoder of grids on a torus."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from pydantic import BaseModel, ConfigDict, Field

from gnomon.models.voxels.grids import CHANNELS

PATCH = 4
"""Points along an edge of the cubes that the first layer sees one at a time."""

MERGED = 2
"""Cubes along an edge that become one place of the latent grid."""


class VoxelConfig(BaseModel):
    """Shape of the autoencoder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: int = Field(default=64, ge=1, description="channels of the hidden layers")
    layers: int = Field(default=2, ge=1, description="convolutions on either side")
    latent: int = Field(default=16, ge=1, description="numbers at each place of the latent grid")


class Around(eqx.Module):
    """A convolution over each place of a periodic grid and its six neighbours, added to it."""

    weight: Array
    bias: Array

    def __init__(self, width: int, *, key: Any) -> None:
        """Random weights."""
        self.weight = jax.random.normal(key, (7 * width, width)) / np.sqrt(7 * width)
        self.bias = jnp.zeros(width)

    def __call__(self, x: Float[Array, "n k k k c"]) -> Float[Array, "n k k k c"]:
        """The layer, of a batch."""
        bent = jax.nn.silu(x)
        turned = [jnp.roll(bent, step, axis=axis) for axis in (1, 2, 3) for step in (-1, 1)]
        return x + jnp.concatenate([bent, *turned], axis=-1) @ self.weight + self.bias


class Autoencoder(eqx.Module):
    """Grids to latent grids and back."""

    config: VoxelConfig = eqx.field(static=True)
    seen: eqx.nn.Linear
    inward: list[Around]
    narrowed: eqx.nn.Linear
    widened: eqx.nn.Linear
    outward: list[Around]
    drawn: eqx.nn.Linear

    def __init__(self, config: VoxelConfig, *, key: Any) -> None:
        """Random weights."""
        keys = jax.random.split(key, 8)
        cube, joined, w = PATCH**3 * len(CHANNELS), MERGED**3 * config.width, config.width
        self.config = config
        self.seen = eqx.nn.Linear(cube, w, key=keys[0])
        self.inward = [Around(w, key=key) for key in jax.random.split(keys[1], config.layers)]
        self.narrowed = eqx.nn.Linear(joined, config.latent, key=keys[2])
        self.widened = eqx.nn.Linear(config.latent, joined, key=keys[3])
        self.outward = [Around(w, key=key) for key in jax.random.split(keys[4], config.layers)]
        self.drawn = eqx.nn.Linear(w, cube, key=keys[6])

    def encode(self, grids: Float[Array, "n x y z c"]) -> Float[Array, "n k k k latent"]:
        """Latent grids."""
        x = _each(self.seen, split(grids, PATCH))
        for layer in self.inward:
            x = layer(x)
        return _each(self.narrowed, split(jax.nn.silu(x), MERGED))

    def decode(self, latent: Float[Array, "n k k k latent"]) -> Float[Array, "n x y z c"]:
        """Grids."""
        x = joined(_each(self.widened, latent), MERGED)
        for layer in self.outward:
            x = layer(x)
        return joined(_each(self.drawn, jax.nn.silu(x)), PATCH)


def _each(layer: eqx.nn.Linear, x: Array) -> Array:
    assert layer.bias is not None
    return x @ layer.weight.T + layer.bias


def split(x: Float[Array, "n a a a c"], edge: int) -> Float[Array, "n b b b d"]:
    """Cubes of so many points along an edge as one place each."""
    n, a, _, _, c = x.shape
    b = a // edge
    x = x.reshape(n, b, edge, b, edge, b, edge, c).transpose(0, 1, 3, 5, 2, 4, 6, 7)
    return x.reshape(n, b, b, b, edge**3 * c)


def joined(x: Float[Array, "n b b b d"], edge: int) -> Float[Array, "n a a a c"]:
    """The points that ``split`` made one place of."""
    n, b, _, _, d = x.shape
    c = d // edge**3
    x = x.reshape(n, b, b, b, edge, edge, edge, c).transpose(0, 1, 4, 2, 5, 3, 6, 7)
    return x.reshape(n, b * edge, b * edge, b * edge, c)
