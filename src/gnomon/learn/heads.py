"""Heads: small perceptrons on features that are there, each on its own draw of rows, all at once.

Transductive bagging for what is known of positive examples alone (Mordelet and Vert, Pattern
Recognit. Lett. 37, 201 (2014); for crystals Jang et al., J. Am. Chem. Soc. 142, 18836 (2020)): each
round draws as many positive as unlabelled rows, calls the latter negative, and says of the rows
that it did not draw how likely they are positive; the mean over the rounds is the score of a row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Float32, Float64, Int, Int64
from pydantic import BaseModel, ConfigDict, Field

from gnomon.learn.fit import QUIET, Session, fit_members
from gnomon.learn.optimize import OptimizerConfig, each_member

CHUNK = 4096
"""Rows whose probabilities are computed at a time."""


LEAST_SPREAD = 1e-4
"""Standard deviation below which a feature is no more than rounding, and is not scaled up."""


class Answer(NamedTuple):
    """What a number that a perceptron puts out means, and the loss that teaches it."""

    end: Callable[[Array], Array]
    loss: Callable[..., Float[Array, ""]]


def _loss(
    readout: eqx.nn.MLP,
    features: Float[Array, "n features"],
    config: OptimizerConfig,
    rows: Int[Array, " B"],
    values: Float[Array, " B"],
    *,
    error: Callable[[Array, Array], Array],
) -> Float[Array, ""]:
    return jnp.mean(error(jax.vmap(readout)(features[rows]), values))


def _off(said: Float[Array, " B"], amounts: Float[Array, " B"]) -> Float[Array, " B"]:
    return jnp.abs(jax.nn.softplus(said) - amounts)


ANSWERS: Mapping[str, Answer] = {
    "probability": Answer(jax.nn.sigmoid, partial(_loss, error=optax.sigmoid_binary_cross_entropy)),
    "amount": Answer(jax.nn.softplus, partial(_loss, error=_off)),
}
"""By the names of the settings; made once, so that a loss is compiled once."""


class HeadsConfig(BaseModel):
    """How heads are drawn and trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    answer: Literal["probability", "amount"] = Field(
        default="probability", description="of a yes (logistic), or a number from 0 up (softplus)"
    )
    rounds: int = Field(default=50, ge=1, description="heads, each on its own draw")
    hidden: int = Field(default=32, ge=1, description="units between features and answer")
    optimizer: OptimizerConfig = OptimizerConfig(
        epochs=12, batch=256, learning_rate=3e-3, weight_decay=0.03
    )
    seed: int = Field(default=0, ge=0, description="of draws, weights and the order of the rows")


@dataclass(frozen=True, eq=False)
class Draws:
    """Rows that each round learns from, and what it takes for their values.

    Attributes:
        rows: of the features.
        values: 1 or 0 for yes or no, or amounts.
    """

    rows: Int64[np.ndarray, "m r"]
    values: Float32[np.ndarray, "m r"]


class Heads(eqx.Module):
    """Trained heads: features less their center over their scale, then a perceptron each."""

    center: Float[Array, " features"]
    scale: Float[Array, " features"]
    readouts: eqx.nn.MLP
    answer: str = eqx.field(static=True)

    @staticmethod
    def untrained(config: HeadsConfig, features: int) -> Heads:
        """Random weights, features as they are."""
        keys = jax.random.split(jax.random.key(config.seed), config.rounds)
        readouts = eqx.filter_vmap(
            lambda key: eqx.nn.MLP(features, "scalar", config.hidden, 1, jax.nn.swish, key=key)
        )(keys)
        return Heads(jnp.zeros(features), jnp.ones(features), readouts, config.answer)

    def answers(self, features: Float32[np.ndarray, "n features"]) -> Float64[np.ndarray, "m n"]:
        """Of each head, a probability or an amount; NaN for rows of NaN."""
        parts = [
            np.asarray(_answers(self, jnp.asarray(features[i : i + CHUNK])), np.float64)
            for i in range(0, max(len(features), 1), CHUNK)
        ]
        return np.concatenate(parts, axis=1)


@eqx.filter_jit
def _answers(heads: Heads, features: Float[Array, "n features"]) -> Float[Array, "m n"]:
    x = (features - heads.center) / heads.scale
    arrays, rest = eqx.partition(heads.readouts, eqx.is_array)
    end = ANSWERS[heads.answer].end
    found: Array = each_member(lambda one: end(jax.vmap(eqx.combine(one, rest))(x)), arrays)
    return found


def bags(
    positive: Bool[np.ndarray, " n"], unlabelled: Bool[np.ndarray, " n"], rounds: int, seed: int
) -> Draws:
    """For each round as many positive as unlabelled rows, drawn with replacement: the smaller of
    the two numbers.

    >>> found = bags(np.arange(9) < 6, np.arange(9) >= 6, 2, seed=0)
    >>> found.rows.shape, found.values.sum(axis=1).tolist()
    ((2, 6), [3.0, 3.0])

    Raises:
        ValueError: if there is no row of either kind.
    """
    kinds = [np.flatnonzero(positive), np.flatnonzero(unlabelled)]
    size = min(map(len, kinds))
    if not size:
        raise ValueError(
            f"{len(kinds[0])} positive and {len(kinds[1])} unlabelled rows: at least one of each "
            "is needed"
        )
    rng = np.random.default_rng(seed)
    rows = np.concatenate([rng.choice(kind, (rounds, size)) for kind in kinds], axis=1)
    labels = np.repeat(np.array([1, 0], np.float32), size)
    return Draws(rows, np.tile(labels, (rounds, 1)))


def bootstraps(values: Float64[np.ndarray, " n"], rounds: int, seed: int) -> Draws:
    """For each round as many rows as there are, drawn with replacement, where all are labelled."""
    rows = np.random.default_rng(seed).integers(len(values), size=(rounds, len(values)))
    return Draws(rows, values[rows].astype(np.float32))


def out_of_bag(
    said: Float64[np.ndarray, "m n"], rows: Int64[np.ndarray, "m r"]
) -> Float64[np.ndarray, "m n"]:
    """The same without what a head says of the rows that it learned from, which is NaN."""
    left = said.copy()
    np.put_along_axis(left, rows, np.nan, axis=1)
    return left


def train_heads(
    features: Float32[np.ndarray, "n features"],
    draws: Draws,
    config: HeadsConfig,
    session: Session = QUIET,
) -> Heads:
    """Train all heads in one call on their own rows: probabilities by cross-entropy, amounts by
    their absolute error.

    Args:
        features: of all rows, finite.
        draws: which rows each head learns from.
        config: settings.
        session: where unfinished work is kept, and who hears of it.
    """
    center, spread = features.mean(axis=0), features.std(axis=0)
    scale = np.where(spread > LEAST_SPREAD, spread, 1).astype(np.float32)
    x = jnp.asarray((features - center) / scale)
    rounds, size = draws.rows.shape
    batch = min(config.optimizer.batch, size)

    def epoch(number: int) -> Iterator[tuple[float, Any, tuple[Any, Any]]]:
        rng = np.random.default_rng([config.seed, number])
        order = rng.permuted(np.tile(np.arange(size), (rounds, 1)), axis=1)
        for first in range(0, size - batch + 1, batch):  # the rest waits for the next epoch
            taken = order[:, first : first + batch]
            rows, values = (np.take_along_axis(a, taken, 1) for a in (draws.rows, draws.values))
            yield (first + batch) / size, x, (rows, values)

    blank = Heads.untrained(config, x.shape[1])
    readouts, _ = fit_members(
        blank.readouts,
        ANSWERS[config.answer].loss,
        epoch,
        config.optimizer,
        lambda loss: f"loss {loss:.3f}",
        {"heads": config.model_dump(mode="json")},
        session,
    )
    return Heads(jnp.asarray(center), jnp.asarray(scale), readouts, config.answer)
