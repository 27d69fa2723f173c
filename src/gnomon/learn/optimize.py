"""Steps of training, of one network or of every member of an ensemble: AdamW or Muon, averaged."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
from jaxtyping import Array, Float, Int
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat


class OptimizerConfig(BaseModel):
    """How networks are optimised."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(default=40, ge=1, description="passes over the training rows")
    batch: int = Field(default=64, ge=1, description="crystals in a step, about")
    method: Literal["adamw", "muon"] = Field(
        default="adamw", description="muon: on matrices, and adamw on all else"
    )
    learning_rate: float = Field(default=4e-3, gt=0, description="at its peak")
    decay: Literal["cosine", "linear"] = Field(
        default="cosine", description="how the learning rate falls"
    )
    warm_up: float = Field(
        default=0.03, ge=0, lt=1, description="share of the training that warms up"
    )
    weight_decay: NonNegativeFloat | tuple[NonNegativeFloat, ...] = Field(
        default=1e-4,
        description="AdamW's, on matrices only; members take several in turn",
    )
    clip: float = Field(default=1.0, gt=0, description="largest norm of a gradient")
    averaging: float = Field(
        default=0.998, ge=0, lt=1, description="decay of the moving average kept"
    )
    loss: Literal["l1", "huber"] = Field(default="l1", description="of the scaled energies")

    def weight_decays(self, members: int) -> Float[Array, " m"]:
        """Of each member: networks that are held back differently err differently."""
        given = np.atleast_1d(np.asarray(self.weight_decay, np.float32))
        return jnp.asarray(np.resize(given, members))


Network = TypeVar("Network", bound=eqx.Module)


class State(NamedTuple):
    """All that a step changes; of an ensemble every array but ``steps`` has a leading axis."""

    params: Any  # a network
    average: Any
    optimizer: Any  # optax
    steps: Int[Array, ""]


def initial_state(
    network: Network, config: OptimizerConfig, *, members: bool
) -> tuple[State, Network]:
    """State of an untrained network or ensemble, and the parts of it that do not change."""
    params, static = eqx.partition(network, eqx.is_inexact_array)
    begin = optimizer(config).init
    memory = jax.vmap(begin)(params) if members else begin(params)
    return State(params, params, memory, jnp.zeros((), jnp.int32)), static


def learning_rate(share: float, config: OptimizerConfig) -> float:
    """Rate when this share of the training is done: up in a line, then down to zero."""
    rise = min(1.0, share / config.warm_up) if config.warm_up else 1.0
    fall = 1 - share if config.decay == "linear" else 0.5 * (1 + np.cos(np.pi * share))
    return float(config.learning_rate * rise * fall)


def advance(
    state: State,
    rate: Float[Array, ""],
    config: OptimizerConfig,
    loss: Callable[[Any], tuple[Float[Array, ""], Any]],
    weight_decay: Float[Array, ""] | None = None,
) -> tuple[State, Any]:
    """One step of one network.

    Args:
        state: before the step.
        rate: the learning rate.
        config: how the network is optimised.
        loss: what is made small by the parameters, and whatever is to be told of it.
        weight_decay: instead of the (first) one of the settings.

    Returns:
        The state after the step, and what the loss told.
    """
    gradient, told = jax.grad(loss, has_aux=True)(state.params)
    change = optimizer(config, weight_decay).update(gradient, state.optimizer, state.params)
    params = jax.tree.map(lambda p, u: p - rate * u, state.params, change[0])
    # the first weights are soon forgotten
    decay = jnp.minimum(config.averaging, (1 + state.steps) / (10 + state.steps))
    average = jax.tree.map(lambda a, p: a * decay + p * (1 - decay), state.average, params)
    return State(params, average, change[1], state.steps + 1), told


def advance_members(
    state: State,
    rate: Float[Array, ""],
    config: OptimizerConfig,
    loss: Callable[..., Float[Array, ""]],
    *own: Any,
) -> tuple[State, Float[Array, ""]]:
    """One step of every member of an ensemble down its own loss.

    Args:
        state: before the step.
        rate: the learning rate.
        config: how members are optimised.
        loss: of a member's parameters and its part of ``own``.
        own: arrays with a leading axis of members.

    Returns:
        The state after the step, and the mean of the losses before it.
    """

    def member(part: Any) -> Any:
        params, average, memory, decay, *rest = part

        def told(candidate: Any) -> tuple[Float[Array, ""], Float[Array, ""]]:
            value = loss(candidate, *rest)
            return value, value

        state_of_one = State(params, average, memory, state.steps)
        after, value = advance(state_of_one, rate, config, told, decay)
        return after[:3], value

    decays = config.weight_decays(jax.tree.leaves(state.params)[0].shape[0])
    parts, losses = each_member(member, (*state[:3], decays, *own))
    params, average, memory = parts
    return State(params, average, memory, state.steps + 1), jnp.mean(losses)


def each_member(function: Callable[[Any], Any], members: Any) -> Any:
    """A function of every member, whose arrays lie along a leading axis.

    On CPUs one member after the other: XLA multiplies stacked small matrices three times slower
    there than one at a time (measured); elsewhere all at once.
    """
    if jax.default_backend() == "cpu":
        return jax.lax.map(function, members)
    return jax.vmap(function)(members)


def optimizer(
    config: OptimizerConfig, weight_decay: Float[Array, ""] | None = None
) -> optax.GradientTransformation:
    """AdamW (Loshchilov and Hutter 2019) or Muon, less the learning rate, which each step is given.

    Muon (Jordan et al., kellerjordan.github.io/posts/muon, 2024) steps along the orthogonal matrix
    next to the momentum; scaled to the size of an AdamW step (Liu et al., arXiv:2502.16982).
    The weight decay is the (first) one of the settings if none is given.
    """
    decay = np.atleast_1d(config.weight_decay)[0] if weight_decay is None else weight_decay
    if config.method == "muon":
        direction = optax.contrib.muon(
            -1.0,  # optax turns the sign; steps here subtract
            consistent_rms=0.2,
            muon_weight_dimension_numbers=_muon_matrices,
        )
    else:
        direction = optax.scale_by_adam()
    return optax.chain(
        optax.clip_by_global_norm(config.clip),
        direction,
        optax.add_decayed_weights(decay, mask=_is_matrix),
    )


def _is_matrix(params: Any) -> Any:
    return jax.tree.map(lambda p: p.ndim > 1, params)


def _muon_matrices(params: Any) -> Any:
    """The matrices proper: a readout of one column is a vector."""
    numbers = optax.contrib.MuonDimensionNumbers()
    return jax.tree.map(lambda p: numbers if p.ndim == 2 and min(p.shape) > 1 else None, params)
