"""Steps of training: loss, AdamW with a moving average, batches in a random order."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
from jaxtyping import Array, Float, Float32, Int
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat

from gnomon.models.structural.ensemble import each_member
from gnomon.models.structural.network import Structural
from gnomon.represent.graphs import BatchSize, GraphBatch, Graphs, pack

HUBER_DELTA = 0.1
"""Where the Huber loss turns from square to straight, in units of the scaled target."""


class OptimizerConfig(BaseModel):
    """How networks are optimised."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(default=40, ge=1, description="passes over the training rows")
    batch: int = Field(default=64, ge=1, description="crystals in a step, about")
    method: Literal["adamw", "muon"] = Field(
        default="adamw", description="muon: on matrices, and adamw on all else"
    )
    learning_rate: float = Field(default=4e-3, gt=0, description="at its peak")
    decay: Literal["cosine", "linear"] = "cosine"
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
    loss: Literal["l1", "huber"] = "l1"

    def weight_decays(self, members: int) -> Float[Array, " m"]:
        """Of each member: networks that are held back differently err differently."""
        given = np.atleast_1d(np.asarray(self.weight_decay, np.float32))
        return jnp.asarray(np.resize(given, members))


Network = TypeVar("Network", bound=eqx.Module)


@dataclass(frozen=True)
class TrainingSet:
    """Graphs that train, their shifted and scaled energies, and the shape of a batch."""

    graphs: Graphs
    labels: Float32[np.ndarray, " n"]
    size: BatchSize


class State(NamedTuple):
    """All that a step changes; every array but ``steps`` has a leading axis of members."""

    params: Any  # a network
    average: Any
    optimizer: Any  # optax
    steps: Int[Array, ""]


def initial_state(networks: Network, config: OptimizerConfig) -> tuple[State, Network]:
    """State of an untrained ensemble, and the parts of its networks that do not change."""
    params, static = eqx.partition(networks, eqx.is_inexact_array)
    memory = jax.vmap(optimizer(config).init)(params)
    return State(params, params, memory, jnp.zeros((), jnp.int32)), static


def run_epoch(
    state: State,
    static: Structural,
    data: TrainingSet,
    config: OptimizerConfig,
    epoch: int,
    seed: int,
) -> tuple[State, float]:
    """Every crystal once, in an order drawn from seed and epoch; new state and mean loss."""
    n = len(data.labels)
    order = np.random.default_rng([seed, epoch]).permutation(n)
    losses: list[Float[Array, ""]] = []
    counts: list[int] = []
    for index, batch in pack(data.graphs, order, data.size):
        target = np.zeros(len(batch.real), np.float32)
        target[: len(index)] = data.labels[index]
        rate = learning_rate((epoch + sum(counts) / n) / config.epochs, config)
        state, loss = _step(
            state, static, batch, jnp.asarray(target), jnp.asarray(rate, jnp.float32), config
        )
        losses.append(loss)
        counts.append(len(index))
    return state, float(np.average(np.array(losses), weights=counts))


def learning_rate(fraction: float, config: OptimizerConfig) -> float:
    """Rate when this fraction of the training is done: up in a line, then down to zero."""
    rise = min(1.0, fraction / config.warm_up) if config.warm_up else 1.0
    fall = 1 - fraction if config.decay == "linear" else 0.5 * (1 + np.cos(np.pi * fraction))
    return float(config.learning_rate * rise * fall)


@eqx.filter_jit
def _step(
    state: State,
    static: Structural,
    batch: GraphBatch,
    target: Float[Array, " B"],
    rate: Float[Array, ""],
    config: OptimizerConfig,
) -> tuple[State, Float[Array, ""]]:
    """One step of every member on the same batch."""
    return descend(state, rate, config, lambda params: _loss(params, static, batch, target, config))


def descend(
    state: State,
    rate: Float[Array, ""],
    config: OptimizerConfig,
    loss: Callable[[Any], Float[Array, ""]],
) -> tuple[State, Float[Array, ""]]:
    """One step of every member down its own loss; the new state and the mean of the losses."""

    def member(part: tuple[Any, Any, Any, Any]) -> tuple[tuple[Any, Any, Any], Float[Array, ""]]:
        params, average, memory, decay = part
        value, gradient = jax.value_and_grad(loss)(params)
        updates, memory = optimizer(config, decay).update(gradient, memory, params)
        params = jax.tree.map(lambda p, u: p - rate * u, params, updates)
        average = averaged(average, params, state.steps, config)
        return (params, average, memory), value

    decays = config.weight_decays(jax.tree.leaves(state.params)[0].shape[0])
    parts, losses = each_member(member, (state.params, state.average, state.optimizer, decays))
    params, average, memory = parts
    return State(params, average, memory, state.steps + 1), jnp.mean(losses)


def _loss(
    params: Structural,
    static: Structural,
    batch: GraphBatch,
    target: Float[Array, " B"],
    config: OptimizerConfig,
) -> Float[Array, ""]:
    error = eqx.combine(params, static)(batch) - target
    if config.loss == "l1":
        each = jnp.abs(error)
    else:
        each = optax.huber_loss(error, delta=HUBER_DELTA) / HUBER_DELTA
    return jnp.sum(jnp.where(batch.real, each, 0)) / jnp.sum(batch.real)


def averaged(average: Any, params: Any, steps: Int[Array, ""], config: OptimizerConfig) -> Any:
    """The moving average of the weights, one step on; the first ones are soon forgotten."""
    decay = jnp.minimum(config.averaging, (1 + steps) / (10 + steps))
    return jax.tree.map(lambda a, p: a * decay + p * (1 - decay), average, params)


def optimizer(
    config: OptimizerConfig, weight_decay: float | Float[Array, ""] | None = None
) -> optax.GradientTransformation:
    """AdamW (Loshchilov and Hutter 2019) or Muon, less the learning rate, which each step is given.

    Muon (Jordan et al., kellerjordan.github.io/posts/muon, 2024) steps along the orthogonal matrix
    next to the momentum; scaled to the size of an AdamW step (Liu et al., arXiv:2502.16982).
    The weight decay is the (first) one of the settings if none is given.
    """
    if weight_decay is None:
        weight_decay = float(np.atleast_1d(config.weight_decay)[0])
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
        optax.add_decayed_weights(weight_decay, mask=_is_matrix),
    )


def _is_matrix(params: Any) -> Any:
    return jax.tree.map(lambda p: p.ndim > 1, params)


def _muon_matrices(params: Any) -> Any:
    """The matrices proper: a readout of one column is a vector."""
    numbers = optax.contrib.MuonDimensionNumbers()
    return jax.tree.map(lambda p: numbers if p.ndim == 2 and min(p.shape) > 1 else None, params)
