"""Training of the structural ensemble: split, batches, optimiser, resume, model card."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float64, Int64
from pydantic import Field

from gnomon.crystals import Crystals
from gnomon.learn.card import ModelCard
from gnomon.learn.checkpoint import save_arrays
from gnomon.learn.optimize import OptimizerConfig, TrainingSet, initial_state, run_epoch
from gnomon.learn.runs import (
    check_finished,
    data_columns,
    measure,
    provenance,
    resume,
    run_key,
)
from gnomon.learn.split import SplitConfig, formula_hashes
from gnomon.models.structural.ensemble import (
    EnsembleEnergyModel,
    initial_networks,
    load_model,
    save_model,
)
from gnomon.models.structural.network import Structural, StructuralConfig
from gnomon.models.target import Target, fit_elements
from gnomon.represent.graphs import batch_size, build_graphs

SAVE_EVERY = 60.0
"""Seconds of training that a kill may cost, and about an epoch more."""

AFRESH = OptimizerConfig(epochs=30, batch=128, method="muon", learning_rate=8e-3)
"""In trainings of ten epochs, one seed each, Muon came to 38.0 meV/atom on held-out formulas, AdamW
(at 4e-3) to 42.4."""

GOING_ON = OptimizerConfig(epochs=24, batch=128, method="muon", learning_rate=6e-3)
"""After the labels of a potential, one network: ten epochs came to 33.7 meV/atom where they came to
38.0 from nothing.  A weight decay of 0.15 makes single networks better (30.7 instead of 32.4 on
average) and so alike that ten of them are no better (29.3 and 29.0).  Noise on distances (0.03 Å)
and edges left out at random (a tenth) made ten epochs worse: 38 and 47."""

MIN_ROWS = 8
"""Fewer rows than this train nothing worth having."""

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


@dataclass(frozen=True)
class Progress:
    """Where a training stands, after each epoch; the loss is the mean over members, eV/atom."""

    epoch: int
    epochs: int
    loss: float
    seconds: float


def train(  # noqa: PLR0913  (what, how, where from, where to)
    crystals: Crystals,
    formation_energy_per_atom: Float64[np.ndarray, " n"],
    config: TrainConfig,
    *,
    out: Path,
    scheme: str,
    start: EnsembleEnergyModel | None = None,
    data_name: str = "",
    progress: Callable[[Progress], None] | None = None,
) -> ModelCard:
    """Train an ensemble and write it to a file, with its card as JSON beside it.

    A training that was killed goes on from ``out`` + ``.partial``, with the same result as if it
    had not been.  A finished file of the same data and settings is left as it is.

    Args:
        crystals: rows to split into training and validation by formula hash.
        formation_energy_per_atom: of each, eV/atom, all of one energy scheme.
        config: settings.
        out: file to write.
        scheme: name of the energy scheme.
        start: a trained ensemble that goes on, with its own element energies and scale (their
            mean if it was joined); the settings are to name its shape, members and sha256
            (``going_on``).
        data_name: what the data is called on the card.
        progress: called after each epoch.

    Raises:
        ValueError: if energies do not match the crystals, too few rows train, the settings are
            not those of ``start``, or ``out`` holds a model of other data or settings.
    """
    began = time.monotonic()
    energies = np.asarray(formation_energy_per_atom, np.float64)
    _check(crystals, energies)
    _check_start(config, start)
    key = run_key((*data_columns(crystals), energies), config, scheme)
    if out.exists():
        return check_finished(out, load_model(out).card, key)

    train_rows, validation_rows = _split(crystals, config)
    target = fit_target(crystals[train_rows], energies[train_rows])
    if start is not None:
        target = replace(start.target.shared(), seen=start.target.seen | target.seen)
    graphs = build_graphs(crystals, config.network.cutoff, config.network.max_neighbors)
    labels = ((energies - target.baseline(crystals)) / target.scale).astype(np.float32)
    training = graphs.take(train_rows)
    data = TrainingSet(training, labels[train_rows], batch_size(training, config.optimizer.batch))

    networks = _first_networks(config, start, training.coordination)
    state, static = initial_state(networks, config.optimizer)
    partial = out.with_name(out.name + ".partial")
    state, first, spent = resume(partial, key, state)
    began, saved = began - spent, time.monotonic()
    for epoch in range(first, config.optimizer.epochs):
        state, loss = run_epoch(state, static, data, config.optimizer, epoch, config.seed)
        seconds = time.monotonic() - began
        if progress is not None:
            progress(Progress(epoch + 1, config.optimizer.epochs, loss * target.scale, seconds))
        if time.monotonic() - saved > SAVE_EVERY:
            save_arrays(partial, {"run": key, "epoch": epoch + 1, "seconds": seconds}, state)
            saved = time.monotonic()

    model = EnsembleEnergyModel(eqx.combine(state.average, static), target)
    predicted = model.predict(crystals)
    card = ModelCard(
        kind="structural",
        data=data_name,
        rows=len(crystals),
        train_rows=len(train_rows),
        split=(
            f"MD5(reduced formula) mod 100: under {config.train_below} trains, "
            f"from there under {config.validate_below} validates"
        ),
        seed=config.seed,
        members=config.members,
        train_mae=float(np.nanmean(np.abs(predicted.median - energies)[train_rows])),
        validation=measure(
            predicted, target.baseline(crystals), energies, validation_rows, target.shift
        ),
        **provenance(key, seconds=time.monotonic() - began),
    )
    save_model(out, EnsembleEnergyModel(model.networks, target, card))
    partial.unlink(missing_ok=True)
    return card


def going_on(
    start: EnsembleEnergyModel, sha256: str, fresh: int = 0, **settings: Any
) -> TrainConfig:
    """Settings of a training that goes on from an ensemble, with so many fresh members more."""
    settings.setdefault("optimizer", GOING_ON)
    return TrainConfig(
        network=start.networks.config,
        members=_members(start) + fresh,
        fresh=fresh,
        started_from=sha256,
        **settings,
    )


def _check_start(config: TrainConfig, start: EnsembleEnergyModel | None) -> None:
    if (start is None) != (config.started_from is None):
        raise ValueError("a training goes on from `start` with settings of `going_on`, or neither")
    if start is not None and (config.network, config.members) != (
        start.networks.config,
        _members(start) + config.fresh,
    ):
        raise ValueError(
            f"{config.members} networks of shape {config.network}, {config.fresh} of them fresh, "
            f"cannot go on from {_members(start)} of shape {start.networks.config}"
        )


def _members(model: EnsembleEnergyModel) -> int:
    return int(model.networks.elements.shape[0])


def _first_networks(
    config: TrainConfig, start: EnsembleEnergyModel | None, coordination: float
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


def _check(crystals: Crystals, energies: Float64[np.ndarray, " n"]) -> None:
    if energies.shape != (len(crystals),):
        raise ValueError(f"{len(crystals)} crystals but energies of shape {energies.shape}")
    if not np.isfinite(energies).all():
        raise ValueError(
            f"formation_energy_per_atom of row {int(np.flatnonzero(~np.isfinite(energies))[0])} "
            "is not finite: leave rows without an energy out"
        )


def _split(
    crystals: Crystals, config: TrainConfig
) -> tuple[Int64[np.ndarray, " t"], Int64[np.ndarray, " v"]]:
    """Rows that train and rows that validate."""
    hashes = formula_hashes(crystals.reduced_formulas)
    train_rows = np.flatnonzero(hashes < config.train_below)
    if len(train_rows) < MIN_ROWS:
        raise ValueError(
            f"{len(train_rows)} of {len(crystals)} rows have a formula hash below "
            f"{config.train_below}; at least {MIN_ROWS} must train: give more rows"
        )
    held = (hashes >= config.train_below) & (hashes < config.validate_below)
    return train_rows, np.flatnonzero(held)


def fit_target(crystals: Crystals, energies: Float64[np.ndarray, " n"]) -> Target:
    """Shift, element energies and scale for crystals of these energies."""
    return fit_elements(crystals.composition / crystals.n_atoms[:, None], energies)
