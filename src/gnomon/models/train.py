"""Training of the structural ensemble: split, batches, optimiser, resume, model card."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float64, Int64
from pydantic import BaseModel, ConfigDict, Field, model_validator

from gnomon.crystals import Crystals
from gnomon.elements import MAX_Z
from gnomon.graphs import batch_size, build_graphs
from gnomon.models import Predictions
from gnomon.models.card import ModelCard, Validation, machine
from gnomon.models.checkpoint import load_arrays, load_header, save_arrays
from gnomon.models.ensemble import (
    EnsembleEnergyModel,
    Target,
    initial_networks,
    load_model,
    save_model,
)
from gnomon.models.optimize import OptimizerConfig, State, TrainingSet, initial_state, run_epoch
from gnomon.models.split import formula_hashes
from gnomon.models.structural import StructuralConfig
from gnomon.provenance import git_commit

SAVE_EVERY = 60.0
"""Seconds of training that a kill may cost, and about an epoch more."""

MIN_ROWS = 8
"""Fewer rows than this train nothing worth having."""

SMALL_VISITS = 16_000
"""Rows seen in a small training, epoch after epoch: some 10 s on two cores once compiled."""

ELEMENT_RIDGE = 0.1
"""Pull of element energies to zero in the least squares, in rows: rare elements stay tame."""


class TrainConfig(BaseModel):
    """How an ensemble is trained.  The defaults take 8 minutes for 21,607 crystals on two cores."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: StructuralConfig = StructuralConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    members: int = Field(default=4, ge=1, description="networks, each from its own seed")
    train_below: int = Field(
        default=75, ge=1, le=100, description="formula hashes under this train"
    )
    validate_below: int = Field(
        default=85, ge=1, le=100, description="and from there under this validate"
    )
    seed: int = Field(
        default=0, ge=0, description="of the initial networks and the order of the rows"
    )

    @model_validator(mode="after")
    def _split_is_possible(self) -> "TrainConfig":
        if self.validate_below < self.train_below:
            raise ValueError(
                f"validate_below ({self.validate_below}) is less than train_below "
                f"({self.train_below}): validation takes the hashes in between"
            )
        return self

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


def train(
    crystals: Crystals,
    formation_energy_per_atom: Float64[np.ndarray, " n"],
    config: TrainConfig,
    *,
    out: Path,
    scheme: str,
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
        data_name: what the data is called on the card.
        progress: called after each epoch.

    Raises:
        ValueError: if energies do not match the crystals, too few rows train, or ``out`` holds a
            model of other data or settings.
    """
    began = time.monotonic()
    energies = np.asarray(formation_energy_per_atom, np.float64)
    _check(crystals, energies)
    run_key = _run_key(crystals, energies, config, scheme)
    if (finished := _finished(out, run_key)) is not None:
        return finished

    train_rows, validation_rows = _split(crystals, config)
    target = fit_target(crystals[train_rows], energies[train_rows])
    graphs = build_graphs(crystals, config.network.cutoff, config.network.max_neighbors)
    labels = ((energies - target.baseline(crystals)) / target.scale).astype(np.float32)
    training = graphs.take(train_rows)
    data = TrainingSet(training, labels[train_rows], batch_size(training, config.optimizer.batch))

    networks = initial_networks(config.network, training.coordination, config.members, config.seed)
    state, static = initial_state(networks, config.optimizer)
    partial = out.with_name(out.name + ".partial")
    state, first, spent = _resume(partial, run_key, state)
    began, saved = began - spent, time.monotonic()
    for epoch in range(first, config.optimizer.epochs):
        state, loss = run_epoch(state, static, data, config.optimizer, epoch, config.seed)
        seconds = time.monotonic() - began
        if progress is not None:
            progress(Progress(epoch + 1, config.optimizer.epochs, loss * target.scale, seconds))
        if time.monotonic() - saved > SAVE_EVERY:
            save_arrays(partial, {"run": run_key, "epoch": epoch + 1, "seconds": seconds}, state)
            saved = time.monotonic()

    model = EnsembleEnergyModel(eqx.combine(state.average, static), target)
    predicted = model.predict(crystals)
    card = ModelCard(
        kind="structural",
        scheme=scheme,
        data=data_name,
        data_sha256=run_key["data_sha256"],
        rows=len(crystals),
        train_rows=len(train_rows),
        split=(
            f"MD5(reduced formula) mod 100: under {config.train_below} trains, "
            f"from there under {config.validate_below} validates"
        ),
        seed=config.seed,
        members=config.members,
        train_mae=float(np.nanmean(np.abs(predicted.median - energies)[train_rows])),
        validation=_validation(model, predicted, crystals, energies, validation_rows),
        config=run_key["config"],
        wall_seconds=round(time.monotonic() - began, 1),
        gnomon_version=version("gnomon"),
        git_commit=git_commit(),
        machine=machine(),
        trained_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    save_model(out, EnsembleEnergyModel(model.networks, target, card))
    partial.unlink(missing_ok=True)
    return card


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
    """Shift, element energies by ridge regression and the scale of what is left."""
    fractions = crystals.composition / crystals.n_atoms[:, None]
    shift = float(energies.mean())
    gram = fractions.T @ fractions + ELEMENT_RIDGE * np.eye(MAX_Z + 1)
    element_energies = np.linalg.solve(gram, fractions.T @ (energies - shift))
    left = energies - shift - fractions @ element_energies
    scale = float(max(left.std(), 1e-3))
    return Target(element_energies, fractions.any(axis=0), shift, scale)


def _run_key(
    crystals: Crystals, energies: Float64[np.ndarray, " n"], config: TrainConfig, scheme: str
) -> dict[str, Any]:
    """What makes two trainings the same."""
    digest = hashlib.sha256()
    columns = (crystals.lattice, crystals.atomic_numbers, crystals.frac_coords, crystals.offsets)
    for array in (*columns, energies):
        digest.update(np.ascontiguousarray(array).tobytes())
    return {
        "data_sha256": digest.hexdigest(),
        "scheme": scheme,
        "config": config.model_dump(mode="json"),
    }


def _finished(out: Path, run_key: dict[str, Any]) -> ModelCard | None:
    """The card of the finished training in ``out``, None if there is nothing."""
    if not out.exists():
        return None
    card = load_model(out).card
    if card is None or run_key != {
        "data_sha256": card.data_sha256,
        "scheme": card.scheme,
        "config": card.config,
    }:
        raise ValueError(
            f"{out} holds a model of other data or settings: choose another file, or delete it"
        )
    return card


def _resume(partial: Path, run_key: dict[str, Any], state: State) -> tuple[State, int, float]:
    """State, epochs behind and seconds spent of an unfinished training, or of none."""
    if not partial.exists():
        return state, 0, 0.0
    header = load_header(partial)
    if header.get("run") != run_key:
        raise ValueError(
            f"{partial} is an unfinished training of other data or settings: delete it, or choose "
            "another file to write"
        )
    arrays = jax.tree.map(jnp.asarray, load_arrays(partial, state))
    return arrays, int(header["epoch"]), float(header["seconds"])


def _validation(
    model: EnsembleEnergyModel,
    predicted: Predictions,
    crystals: Crystals,
    energies: Float64[np.ndarray, " n"],
    validation_rows: Int64[np.ndarray, " v"],
) -> Validation | None:
    """Errors on the rows that have a prediction, None if there are none."""
    rows = validation_rows[predicted.predicted[validation_rows]]
    if not len(rows):
        return None
    truth = energies[rows]
    return Validation(
        rows=len(validation_rows),
        unpredicted=len(validation_rows) - len(rows),
        mae=float(np.abs(predicted.median[rows] - truth).mean()),
        mae_of_members=tuple(np.abs(predicted.members[:, rows] - truth).mean(axis=1).tolist()),
        median_iqr=float(np.median(predicted.iqr[rows])),
        mae_of_elements=float(np.abs(model.target.baseline(crystals[rows]) - truth).mean()),
        mae_of_mean=float(np.abs(model.target.shift - truth).mean()),
    )
