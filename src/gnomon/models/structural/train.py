"""Training of the structural ensemble, from nothing or from what another learned."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float
from pydantic import Field

from gnomon.learn.fit import QUIET, Session, fit_members
from gnomon.learn.optimize import OptimizerConfig
from gnomon.learn.split import SplitConfig
from gnomon.models.card import Labelled, Task
from gnomon.models.structural.model import StructuralModel, initial_networks
from gnomon.models.structural.network import Structural, StructuralConfig
from gnomon.represent.graphs import GraphBatch, batch_size, build_graphs, pack

HUBER_DELTA = 0.1
"""Where the Huber loss turns from square to straight, in units of the scaled target."""

AFRESH = OptimizerConfig(epochs=30, batch=128, method="muon", learning_rate=8e-3)
"""In trainings of ten epochs, one seed each, Muon came to 38.0 meV/atom on held-out formulas, AdamW
(at 4e-3) to 42.4."""

GOING_ON = OptimizerConfig(epochs=24, batch=128, method="muon", learning_rate=6e-3)
"""After the labels of a potential, one network: ten epochs came to 33.7 meV/atom where they came to
38.0 from nothing.  A weight decay of 0.15 makes single networks better (30.7 instead of 32.4 on
average) and so alike that ten of them are no better (29.3 and 29.0).  Noise on distances (0.03 Å)
and edges left out at random (a tenth) made ten epochs worse: 38 and 47."""

SMALL_VISITS = 16_000
"""Rows seen in a small training, epoch after epoch: some 10 s on two cores once compiled."""


class TrainConfig(SplitConfig):
    """How an ensemble is trained.  The defaults take minutes for 21,607 crystals on two cores."""

    network: StructuralConfig = StructuralConfig()
    optimizer: OptimizerConfig = AFRESH
    members: int = Field(default=4, ge=1, description="networks, each from its own seed")
    started_from: str | None = Field(
        default=None, description="sha256 of the trained ensemble that goes on; its shape stays"
    )
    fresh: int = Field(
        default=0, ge=0, description="members beside those that go on, from random weights"
    )
    seed: int = Field(
        default=0, ge=0, description="of the initial networks and the order of the rows"
    )

    @classmethod
    def small(cls, rows: int = 200, seed: int = 0) -> "TrainConfig":
        """For tens to a thousand rows in 10 to 20 s, as a discovery loop retrains every round.

        Every row trains: what the next round's evaluations say is the better test.
        """
        return cls(
            network=StructuralConfig(width=32, passes=2),
            optimizer=OptimizerConfig(
                epochs=min(120, max(20, SMALL_VISITS // rows)), batch=16, learning_rate=1e-2
            ),
            members=4,
            train_below=100,
            validate_below=100,
            seed=seed,
        )


def train(
    data: Labelled,
    config: TrainConfig,
    session: Session = QUIET,
    *,
    start: StructuralModel | None = None,
) -> StructuralModel:
    """Train an ensemble; the model that comes out has a card.

    Args:
        data: crystals with formation energies, split into training and validation by formula hash.
        config: settings.
        session: where unfinished work is kept, and who hears of it.
        start: a trained ensemble that goes on, with its own element energies and scale (their
            mean if it was joined); the settings are to name its shape, members and sha256
            (``going_on``).

    Raises:
        ValueError: if too few rows train, the settings are not those of ``start``, or the
            unfinished work is that of another training.
    """
    _check_start(config, start)
    task = Task.of(data, config)
    if start is not None:
        known = replace(start.target.shared(), seen=start.target.seen | task.target.seen)
        task = replace(task, target=known)
    target, rows = task.target, task.split.train
    wanted = task.labels[rows]
    network = config.network
    graphs = build_graphs(data.crystals[rows], network.cutoff, network.max_neighbors)
    size = batch_size(graphs, config.optimizer.batch)

    def epoch(number: int) -> Iterator[tuple[float, Any, tuple[()]]]:
        done = 0
        order = np.random.default_rng([config.seed, number]).permutation(len(wanted))
        for index, batch in pack(graphs, order, size):
            target_of = np.zeros(len(batch.real), np.float32)
            target_of[: len(index)] = wanted[index]
            done += len(index)
            yield done / len(wanted), (batch, target_of), ()

    networks, fitted = fit_members(
        _first_networks(config, start, graphs.coordination),
        _loss,
        epoch,
        config.optimizer,
        lambda loss: f"training error {1000 * target.scale * loss:.1f} meV/atom",
        task.key,
        session,
    )
    predicted = StructuralModel(networks, target).predict(data.crystals)
    card = task.card(StructuralModel.kind, predicted, fitted.place.seconds)
    return StructuralModel(networks, target, card)


def _loss(
    network: Structural, batch: tuple[GraphBatch, Float[Array, " B"]], config: OptimizerConfig
) -> Float[Array, ""]:
    """Mean loss over the crystals of a batch that are none of its padding."""
    graphs, target = batch
    error = network(graphs) - target
    if config.loss == "l1":
        each = jnp.abs(error)
    else:
        each = optax.huber_loss(error, delta=HUBER_DELTA) / HUBER_DELTA
    return jnp.sum(jnp.where(graphs.real, each, 0)) / jnp.sum(graphs.real)


def going_on(start: StructuralModel, sha256: str, fresh: int = 0, **settings: Any) -> TrainConfig:
    """Settings of a training that goes on from an ensemble, with so many fresh members more."""
    settings.setdefault("optimizer", GOING_ON)
    return TrainConfig(
        network=start.networks.config,
        members=start.members + fresh,
        fresh=fresh,
        started_from=sha256,
        **settings,
    )


def _check_start(config: TrainConfig, start: StructuralModel | None) -> None:
    if (start is None) != (config.started_from is None):
        raise ValueError("a training goes on from `start` with settings of `going_on`, or neither")
    if start is not None and (config.network, config.members) != (
        start.networks.config,
        start.members + config.fresh,
    ):
        raise ValueError(
            f"{config.members} networks of shape {config.network}, {config.fresh} of them fresh, "
            f"cannot go on from {start.members} of shape {start.networks.config}"
        )


def _first_networks(
    config: TrainConfig, start: StructuralModel | None, coordination: float
) -> Structural:
    """Those that go on first, then those from random weights."""
    random = initial_networks(config.network, coordination, config.members, config.seed)
    if start is None:
        return random
    return jax.tree.map(
        lambda old, new: jnp.concatenate([old, new[len(old) :]]) if eqx.is_array(old) else old,
        start.networks,
        random,
    )
