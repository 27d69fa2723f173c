"""Transfer: what an ensemble learned of energies helps it to learn another property from less.

The networks of a trained ensemble go on with a new readout, either as a whole or with a frozen
body.  Frozen, crystals are embedded once and only the readouts are trained, in seconds.  The
property is a number a crystal that does not grow with the cell: a band gap, a modulus, its
logarithm; shift, element contributions and scale are fitted anew to the training rows.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32
from pydantic import Field

from gnomon.learn.fit import QUIET, Session, fit_members
from gnomon.learn.optimize import OptimizerConfig
from gnomon.learn.split import MIN_ROWS, SplitConfig
from gnomon.models.card import Labelled, Task
from gnomon.models.structural.model import PropertyModel, StructuralModel, initial_networks
from gnomon.models.structural.network import Structural
from gnomon.models.structural.train import going_on, train


class TransferConfig(SplitConfig):
    """How an ensemble learns another property."""

    started_from: str = Field(description="sha256 of the trained ensemble that goes on")
    frozen: bool = Field(default=False, description="train the readouts only")
    optimizer: OptimizerConfig = OptimizerConfig(epochs=30, learning_rate=2e-3)
    seed: int = Field(default=0, ge=0, description="of new readouts and the order of the rows")


def transfer(
    data: Labelled,
    config: TransferConfig,
    session: Session = QUIET,
    *,
    start: StructuralModel,
) -> PropertyModel:
    """Teach an ensemble a property; the model that comes out has a card.

    Args:
        data: crystals with the property, in any unit; its scheme is the name of property and unit.
        config: settings.
        session: where unfinished work is kept, and who hears of it.
        start: the trained ensemble, of the file that the settings name by its checksum.

    Raises:
        ValueError: if too few rows train, or the unfinished work is that of another training.
    """
    task = Task.of(data, config)
    fresh = initial_networks(start.networks.config, 1.0, start.members, config.seed)
    networks = eqx.tree_at(lambda n: n.readout, start.networks, fresh.readout)
    begin = PropertyModel(networks, task.target)
    if config.frozen:
        model, seconds = _frozen(networks.readout, start, data, task, config, session)
    else:
        same = ("optimizer", "train_below", "validate_below", "seed")
        given = {name: getattr(config, name) for name in same}
        settings = going_on(begin, config.started_from, **given)
        model = train(data, settings, session, start=begin)
        assert model.card is not None
        seconds = model.card.wall_seconds
    predicted = model.predict(data.crystals)
    card = task.card(PropertyModel.kind, predicted, seconds)
    return PropertyModel(model.networks, model.target, card)


def _frozen(
    readout: eqx.nn.MLP,
    start: StructuralModel,
    data: Labelled,
    task: Task,
    config: TransferConfig,
    session: Session,
) -> tuple[StructuralModel, float]:
    """New readouts on embeddings that are made once; elements new to the body stay unknown."""
    target, rows = task.target, task.split.train
    seen = start.embed(data.crystals[rows]).reshape(len(rows), start.members, -1)
    known = np.isfinite(seen).all(axis=(1, 2))
    if known.sum() < MIN_ROWS:
        raise ValueError(
            f"{int(known.sum())} training rows have elements that the ensemble knows; at least "
            f"{MIN_ROWS} must: do not freeze it, or give other data"
        )
    seen, rows = seen[known], rows[known]
    wanted = task.labels[rows]
    size = min(config.optimizer.batch, len(rows))

    def epoch(number: int) -> Iterator[tuple[float, Any, tuple[Any]]]:
        order = np.random.default_rng([config.seed, number]).permutation(len(rows))
        for first in range(0, len(rows) - size + 1, size):  # the rest waits for the next epoch
            taken = order[first : first + size]
            yield (first + size) / len(rows), wanted[taken], (seen[taken].swapaxes(0, 1),)

    readouts, fitted = fit_members(
        readout,
        _readout_loss,
        epoch,
        config.optimizer,
        lambda loss: f"training error {target.scale * loss:.3g} ({data.scheme})",
        task.key,
        session,
    )
    networks: Structural = eqx.tree_at(lambda n: n.readout, start.networks, readouts)
    model = PropertyModel(networks, replace(target, seen=start.target.seen))
    return model, fitted.place.seconds


def _readout_loss(
    readout: eqx.nn.MLP,
    target: Float[Array, " B"],
    config: OptimizerConfig,
    seen: Float32[Array, "B features"],
) -> Float[Array, ""]:
    """Mean absolute error of a readout on what its own body sees."""
    return jnp.mean(jnp.abs(jax.vmap(readout)(seen) - target))
