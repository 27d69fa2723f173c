"""Training of the autoencoder: to give back the grids of crystals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from pydantic import Field

from gnomon.crystals import Crystals
from gnomon.learn.card import run_key, sha256_of_arrays
from gnomon.learn.fit import QUIET, Report, Session, fit
from gnomon.learn.optimize import OptimizerConfig, State, advance, initial_state
from gnomon.learn.split import SplitConfig
from gnomon.models.voxels.grids import grids
from gnomon.models.voxels.model import VoxelCard, VoxelModel
from gnomon.models.voxels.network import Autoencoder, VoxelConfig
from gnomon.models.voxels.recovery import recovered
from gnomon.run.stamp import stamp

SCALE = 100.0
"""Of the mean square error, of which most points, being empty, have next to nothing."""


class VoxelTrainConfig(SplitConfig):
    """How the autoencoder is trained."""

    network: VoxelConfig = VoxelConfig()
    optimizer: OptimizerConfig = OptimizerConfig(
        epochs=1, batch=16, learning_rate=1e-2, weight_decay=0.0, averaging=0.99
    )
    seed: int = Field(default=0, ge=0, description="of the weights and the order of the rows")


def train_voxels(
    crystals: Crystals, name: str, config: VoxelTrainConfig, session: Session = QUIET
) -> VoxelModel:
    """Train an autoencoder; the model that comes out has a card.

    Args:
        crystals: with the cells and origins that grids of others will have.
        name: of the data, for the card.
        config: settings.
        session: where unfinished work is kept, and who hears of it.

    Raises:
        ValueError: if too few rows train, or the unfinished work is that of another training.
    """
    split, optimizer = config.split(crystals.reduced_formulas), config.optimizer
    columns = columns_of(crystals)
    network = Autoencoder(config.network, key=jax.random.key(config.seed))
    state, static = initial_state(network, optimizer, members=False)
    batch = min(optimizer.batch, len(split.train))

    def step(state: State, found: Any, rate: Float[Array, ""]) -> tuple[State, Any]:
        return _step(state, static, found, rate, optimizer)

    def epoch(number: int, skip: int) -> Iterator[tuple[float, Any]]:
        order = np.random.default_rng([config.seed, number]).permutation(split.train)
        for start in range(skip * batch, len(order) - batch + 1, batch):
            rows = order[start : start + batch]
            yield (start + batch) / len(order), jnp.asarray(grids(crystals[rows]))

    def report(found: Report) -> None:
        words = f"epoch {found.place.epoch + 1}: {float(found.losses):.4f}"
        session.listener.say(f"{words}, {found.place.seconds:.0f} s")

    run = run_key(columns, config, "")
    fitted = fit(step, epoch, state, optimizer, session, run=run, report=report)
    model = VoxelModel(eqx.combine(fitted.state.average, static))
    held = crystals[split.validation]
    card = VoxelCard(
        kind=VoxelModel.kind,
        scheme="",
        data=name,
        data_sha256=sha256_of_arrays(columns),
        rows=len(crystals),
        train_rows=len(split.train),
        split=config.rule,
        config=config.model_dump(mode="json"),
        validation=recovered(model, held) if len(held) else None,
        wall_seconds=fitted.place.seconds,
        stamp=stamp(),
    )
    return VoxelModel(model.network, card)


def columns_of(crystals: Crystals) -> tuple[np.ndarray, ...]:
    """All numbers of crystals, for checksums."""
    return crystals.lattice, crystals.atomic_numbers, crystals.frac_coords, crystals.offsets


@eqx.filter_jit
def _step(
    state: State, static: Any, found: Array, rate: Float[Array, ""], optimizer: OptimizerConfig
) -> tuple[State, Float[Array, ""]]:
    def loss(params: Any) -> tuple[Float[Array, ""], Float[Array, ""]]:
        network = eqx.combine(params, static)
        value = SCALE * jnp.mean((network.decode(network.encode(found)) - found) ** 2)
        return value, value

    return advance(state, rate, optimizer, loss)
