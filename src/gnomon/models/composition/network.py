"""The composition network: a formula as a set of elements that attend to each other (Roost).

Goodall and Lee, Nat. Commun. 11, 6280 (2020), doi:10.1038/s41467-020-19964-7.  Elements are nodes
that carry an embedding and their atomic fraction; in each pass every element i takes messages from
all elements j, weighted by soft attention

    a_ij = w_j^p exp(e_ij) / sum_k w_k^p exp(e_ik)

with w the fractions and p learned; a last attention of the same form pools
the elements, and a residual perceptron reads out the energy and the logarithm of its error.

Here the first layer of each perceptron on the pair (i, j) is the sum of a part of i and a part of
j, made before the pairs are formed, and its last layer, being linear, follows the weighted sum:
the same function at a fraction of the cost, since the weights sum to 1.  Own choices: the
embedding of an element is learned, not tabulated; nodes are normalised before each pass; an
element attends to itself too; the perceptrons have one hidden layer.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, UInt8
from pydantic import BaseModel, ConfigDict, Field

from gnomon.elements import MAX_Z

NEVER = -1e9
"""Logarithm of the weight of padding."""

SCALE_LIMIT = 4.0
"""The logarithm of the predicted error stays within this, so that no row is fitted to nothing."""


class CompositionConfig(BaseModel):
    """Shape of the composition network; the paper's is three heads of 256 and 1024 to 64 behind."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: int = Field(default=64, ge=2, description="numbers that describe an element")
    passes: int = Field(default=3, ge=0, description="rounds of message passing")
    heads: int = Field(default=2, ge=1, description="attentions side by side")
    hidden: int = Field(default=32, ge=1, description="units of a head's gate and of its message")
    readout: tuple[int, ...] = Field(
        default=(128, 64), description="widths of the residual layers behind the pooling"
    )


class Attention(eqx.Module):
    """Soft attention over the elements of a formula, weighted by their fractions."""

    score: Float[Array, "heads hidden"]
    power: Float[Array, " heads"]
    mix: eqx.nn.Linear

    def __init__(self, config: CompositionConfig, *, key: PRNGKeyArray) -> None:
        """Random weights; the fractions enter with power 1."""
        keys = jax.random.split(key)
        shape = (config.heads, config.hidden)
        self.score = jax.random.normal(keys[0], shape) / jnp.sqrt(config.hidden)
        self.power = jnp.ones(config.heads)
        self.mix = eqx.nn.Linear(config.heads * config.hidden, config.width, key=keys[1])

    def __call__(
        self, hidden: Float[Array, "*rows k two_heads_hidden"], log_fractions: Float[Array, "..."]
    ) -> Float[Array, "*rows width"]:
        """The attended sum over k; ``hidden`` holds the gates and then the messages, linear yet."""
        shape = (*hidden.shape[:-1], *self.score.shape)
        gate, message = jnp.split(jax.nn.leaky_relu(hidden), 2, axis=-1)
        logits = jnp.einsum("...khc,hc->...kh", gate.reshape(shape), self.score)
        logits = logits + self.power * log_fractions[..., None]
        logits = jnp.where(log_fractions[..., None] > NEVER, logits, NEVER)
        weights = jax.nn.softmax(logits, axis=-2)
        mixed = jnp.einsum("...kh,...khc->...hc", weights, message.reshape(shape))
        return each(self.mix, mixed.reshape(*mixed.shape[:-2], -1))


class Pass(eqx.Module):
    """One round of messages between all pairs of elements."""

    norm: eqx.nn.LayerNorm
    receiver: eqx.nn.Linear
    sender: eqx.nn.Linear
    attention: Attention

    def __init__(self, config: CompositionConfig, *, key: PRNGKeyArray) -> None:
        """Random weights."""
        keys = jax.random.split(key, 3)
        units = 2 * config.heads * config.hidden
        self.norm = eqx.nn.LayerNorm(config.width)
        self.receiver = eqx.nn.Linear(config.width, units, key=keys[0])
        self.sender = eqx.nn.Linear(config.width, units, use_bias=False, key=keys[1])
        self.attention = Attention(config, key=keys[2])

    def __call__(
        self, nodes: Float[Array, "B k width"], log_fractions: Float[Array, "B k"]
    ) -> Float[Array, "B k width"]:
        """Updated nodes."""
        x = each(self.norm, nodes)
        pairs = each(self.receiver, x)[:, :, None] + each(self.sender, x)[:, None]
        return nodes + self.attention(pairs, log_fractions[:, None])


class ResidualLayer(eqx.Module):
    """y = relu(A x + a) + B x."""

    layer: eqx.nn.Linear
    skip: eqx.nn.Linear

    def __init__(self, width_in: int, width_out: int, *, key: PRNGKeyArray) -> None:
        """Random weights."""
        keys = jax.random.split(key)
        self.layer = eqx.nn.Linear(width_in, width_out, key=keys[0])
        self.skip = eqx.nn.Linear(width_in, width_out, use_bias=False, key=keys[1])

    def __call__(self, x: Float[Array, " width_in"]) -> Float[Array, " width_out"]:
        """The layer on one row."""
        return jax.nn.relu(self.layer(x)) + self.skip(x)


class Composition(eqx.Module):
    """Formulas to two numbers each: scaled formation energy and the log of its Laplace scale."""

    elements: Float[Array, "119 embedded"]
    passes: list[Pass]
    norm: eqx.nn.LayerNorm
    pool: eqx.nn.Linear
    attention: Attention
    layers: list[ResidualLayer]
    readout: eqx.nn.Linear
    config: CompositionConfig = eqx.field(static=True)

    def __init__(self, config: CompositionConfig, *, key: PRNGKeyArray) -> None:
        """Random weights."""
        keys = jax.random.split(key, 4 + config.passes + len(config.readout))
        self.elements = jax.random.normal(keys[0], (MAX_Z + 1, config.width - 1))
        units = 2 * config.heads * config.hidden
        self.norm = eqx.nn.LayerNorm(config.width)
        self.pool = eqx.nn.Linear(config.width, units, key=keys[1])
        self.attention = Attention(config, key=keys[2])
        widths = (config.width, *config.readout)
        self.readout = eqx.nn.Linear(widths[-1], 2, key=keys[3])
        self.passes = [Pass(config, key=k) for k in keys[4 : 4 + config.passes]]
        self.layers = [
            ResidualLayer(a, b, key=k)
            for a, b, k in zip(widths, config.readout, keys[4 + config.passes :], strict=False)
        ]
        self.config = config

    def __call__(
        self, atomic_numbers: UInt8[Array, "B k"], fractions: Float[Array, "B k"]
    ) -> tuple[Float[Array, " B"], Float[Array, " B"]]:
        """Energies and logarithms of their Laplace scales; fraction 0 is padding."""
        energy, log_scale = each(self.readout, self.embed(atomic_numbers, fractions)).T
        return energy, SCALE_LIMIT * jnp.tanh(log_scale / SCALE_LIMIT)

    def embed(
        self, atomic_numbers: UInt8[Array, "B k"], fractions: Float[Array, "B k"]
    ) -> Float[Array, "B features"]:
        """What the readout sees of each formula."""
        real = fractions > 0
        log_fractions = jnp.where(real, jnp.log(jnp.where(real, fractions, 1)), NEVER)
        nodes = jnp.concatenate([self.elements[atomic_numbers], fractions[..., None]], axis=-1)
        for step in self.passes:
            nodes = step(nodes, log_fractions)
        x = self.attention(each(self.pool, each(self.norm, nodes)), log_fractions)
        for layer in self.layers:
            x = each(layer, x)
        return x


def each(layer: Callable[[Array], Array], x: Float[Array, "*rows a"]) -> Float[Array, "*rows b"]:
    """A layer on every row."""
    flat = jax.vmap(layer)(x.reshape(-1, x.shape[-1]))
    return flat.reshape(*x.shape[:-1], flat.shape[-1])


def laplace_loss(
    energy: Float[Array, " B"], log_scale: Float[Array, " B"], target: Float[Array, " B"]
) -> Float[Array, " B"]:
    """-log of a Laplace density, up to a constant: |E - t| / b + log b."""
    return jnp.abs(energy - target) * jnp.exp(-log_scale) + log_scale
