"""What the transformer is made of: linear maps, attention, mixtures of densities."""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key
from pydantic import BaseModel, ConfigDict, Field

WAVES = 4
"""Harmonics of a coordinate that the network sees."""

SHARPEST = 0.003
"""Standard deviation of a Gaussian, at least, and of a von Mises density in turns."""

FORBIDDEN = -1e9
"""Logit of what a mask forbids."""


class WyckoffConfig(BaseModel):
    """Size of the transformer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: int = Field(default=128, ge=8, description="numbers of a token")
    layers: int = Field(default=4, ge=1, description="blocks of attention")
    heads: int = Field(default=4, ge=1, description="of attention; they divide the width")
    mixtures: int = Field(default=8, ge=1, description="densities of each number")


def normal(rng: np.random.Generator, *shape: int, scale: float) -> Array:
    """Random numbers in single precision."""
    return jnp.asarray(rng.standard_normal(shape, np.float32) * np.float32(scale))


class Linear(eqx.Module):
    """A linear map of the last axis."""

    weight: Float[Array, "i o"]
    bias: Float[Array, " o"]

    def __init__(self, i: int, o: int, rng: np.random.Generator, scale: float = 1.0) -> None:
        """Weights of variance scale^2 / i."""
        self.weight = normal(rng, i, o, scale=scale / np.sqrt(i))
        self.bias = jnp.zeros(o)

    def __call__(self, x: Float[Array, "*b i"]) -> Float[Array, "*b o"]:
        """x W + b."""
        return x @ self.weight + self.bias


class Dropout(NamedTuple):
    """What training forgets at random (Srivastava et al., JMLR 15, 1929, 2014).

    Attributes:
        key: of the random numbers; None forgets nothing.
        rate: share of the numbers that become nothing; the others grow by 1 / (1 - rate).
    """

    key: Key[Array, ""] | None
    rate: float

    def __call__(self, x: Float[Array, "*b d"], number: int) -> Float[Array, "*b d"]:
        """Numbers without those that are forgotten at the how-manieth place."""
        if self.key is None or not self.rate:
            return x
        kept = jax.random.bernoulli(jax.random.fold_in(self.key, number), 1 - self.rate, x.shape)
        return jnp.where(kept, x / (1 - self.rate), 0)


NOTHING_LOST = Dropout(None, 0.0)


class Block(eqx.Module):
    """Attention and a perceptron, each on what is normalised before (pre-norm)."""

    first: Float[Array, " d"]
    second: Float[Array, " d"]
    inward: Linear
    outward: Linear
    up: Linear
    down: Linear
    heads: int = eqx.field(static=True)

    def __init__(self, config: WyckoffConfig, rng: np.random.Generator) -> None:
        """Random weights, the last of each part small."""
        d, small = config.width, 1 / np.sqrt(2 * config.layers)
        self.first, self.second = jnp.ones(d), jnp.ones(d)
        self.inward, self.outward = Linear(d, 3 * d, rng), Linear(d, d, rng, small)
        self.up, self.down = Linear(d, 4 * d, rng), Linear(4 * d, d, rng, small)
        self.heads = config.heads

    def parts(self, x: Float[Array, "*b d"]) -> Float[Array, "3 *b h w"]:
        """Queries, keys and values."""
        made = self.inward(normalised(x) * self.first)
        return jnp.moveaxis(made.reshape(*x.shape[:-1], 3, self.heads, -1), -3, 0)

    def __call__(
        self,
        x: Float[Array, "B T d"],
        keys: Float[Array, "B S h w"],
        values: Float[Array, "B S h w"],
        queries: Float[Array, "B T h w"],
        seen: Bool[Array, "B T S"],
        lost: Dropout = NOTHING_LOST,
    ) -> Float[Array, "B T d"]:
        """The next layer's tokens."""
        logits = jnp.einsum("bthw,bshw->bhts", queries, keys) / np.sqrt(keys.shape[-1])
        weights = jax.nn.softmax(jnp.where(seen[:, None], logits, FORBIDDEN), axis=-1)
        found = jnp.einsum("bhts,bshw->bthw", weights, values)
        x = x + lost(self.outward(found.reshape(x.shape)), 0)
        return x + lost(self.down(jax.nn.gelu(self.up(normalised(x) * self.second))), 1)


class Mixtures(eqx.Module):
    """Densities of D numbers, each after those before it: K weights, places and widths."""

    hidden: Float[Array, "D i o"]
    bias: Float[Array, "D o"]
    last: Float[Array, "D o k"]
    start: Float[Array, "D k"]
    numbers: int = eqx.field(static=True)

    def __init__(
        self, config: WyckoffConfig, numbers: int, waves: int, rng: np.random.Generator
    ) -> None:
        """D = ``numbers``, each seen as ``waves`` harmonics, or itself where there are none."""
        d, own = config.width, 2 * waves or 1
        inputs, outputs = d + own * numbers, (4 if waves else 3) * config.mixtures
        self.hidden = normal(rng, numbers, inputs, d, scale=1 / np.sqrt(inputs))
        self.bias = jnp.zeros((numbers, d))
        self.last = normal(rng, numbers, d, outputs, scale=0.3 / np.sqrt(d))
        self.start = normal(rng, numbers, outputs, scale=1.0)
        self.numbers = numbers

    def __call__(
        self, h: Float[Array, "*b d"], features: Float[Array, "*b D p"]
    ) -> Float[Array, "*b D k"]:
        """What the densities are made of, for all numbers at once; later ones are hidden."""
        own, d = features.shape[-1], h.shape[-1]
        before = np.repeat(np.tril(np.ones((self.numbers, self.numbers)), -1), own, axis=1)
        flat = features.reshape(*h.shape[:-1], self.numbers * own)
        seen = jnp.einsum("...d,kdo->...ko", h, self.hidden[:, :d])
        seen += jnp.einsum("...p,kp,kpo->...ko", flat, jnp.asarray(before), self.hidden[:, d:])
        return jnp.einsum("...ko,kop->...kp", jax.nn.gelu(seen + self.bias), self.last) + self.start


class Drawn(NamedTuple):
    """Mixtures of densities: logarithms of weights, places, and widths (sigma, or kappa)."""

    weights: Float[Array, "*b K"]
    places: Float[Array, "*b K"]
    widths: Float[Array, "*b K"]


def gaussians(parts: Float[Array, "*b k"]) -> Drawn:
    """Mixtures on the line."""
    weights, places, widths = jnp.split(parts, 3, axis=-1)
    return Drawn(jax.nn.log_softmax(weights), places, SHARPEST + 0.3 * jax.nn.softplus(widths))


def on_circle(parts: Float[Array, "*b k"]) -> Drawn:
    """Mixtures of von Mises densities: places in turns, kappa = 1 / (2 pi sigma)^2."""
    weights, cosine, sine, widths = jnp.split(parts, 4, axis=-1)
    places = jnp.arctan2(sine, cosine + 1e-6) / (2 * np.pi)
    sigma = SHARPEST + 0.3 * jax.nn.softplus(widths)
    return Drawn(jax.nn.log_softmax(weights), places, 1 / (2 * np.pi * sigma) ** 2)


def log_gaussians(x: Float[Array, "*b"], drawn: Drawn) -> Float[Array, "*b"]:
    """log density of numbers."""
    apart = (x[..., None] - drawn.places) / drawn.widths
    each = -0.5 * apart**2 - jnp.log(drawn.widths) - 0.5 * np.log(2 * np.pi)
    return jax.nn.logsumexp(drawn.weights + each, axis=-1)


def log_on_circle(x: Float[Array, "*b"], drawn: Drawn) -> Float[Array, "*b"]:
    """log density of coordinates in turns: 0 where all are alike."""
    angle = 2 * np.pi * (x[..., None] - drawn.places)
    each = drawn.widths * (jnp.cos(angle) - 1) - jnp.log(jax.scipy.special.i0e(drawn.widths))
    return jax.nn.logsumexp(drawn.weights + each, axis=-1)


def normalised(x: Float[Array, "*b d"]) -> Float[Array, "*b d"]:
    """Of root mean square 1."""
    return x * jax.lax.rsqrt(jnp.mean(x**2, axis=-1, keepdims=True) + 1e-6)


def harmonics(x: Float[Array, "*b"]) -> Float[Array, "*b k"]:
    """Cosines and sines of a coordinate in turns, and of its multiples."""
    angle = 2 * np.pi * x[..., None] * np.arange(1, WAVES + 1)
    return jnp.concatenate([jnp.cos(angle), jnp.sin(angle)], axis=-1)
