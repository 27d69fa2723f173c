"""Training of the structural ensemble: split, batches, optimiser, resume, model card."""

import hashlib
import os
import platform
import subprocess
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
from pydantic import BaseModel, ConfigDict, Field

from gnomon.crystals import Crystals
from gnomon.elements import MAX_Z
from gnomon.graphs import batch_size, build_graphs
from gnomon.models.checkpoint import load_arrays, load_header, save_arrays
from gnomon.models.ensemble import (
    EnsembleEnergyModel,
    ModelCard,
    Target,
    Validation,
    initial_networks,
    load_model,
    run,
    save_model,
)
from gnomon.models.optimize import OptimizerConfig, State, initial_state, run_epoch
from gnomon.models.split import formula_hashes
from gnomon.models.structural import StructuralConfig

SAVE_EVERY = 60.0
"""Seconds of training that a kill may cost, and about an epoch more."""

MIN_ROWS = 8
"""Fewer rows than this train nothing worth having."""

ELEMENT_RIDGE = 0.1
"""Pull of element energies to zero in the least squares, in rows: rare elements stay tame."""


class TrainConfig(BaseModel):
    """How an ensemble is trained.  Defaults are what does best in a quarter hour on two cores."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: StructuralConfig = StructuralConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    members: int = Field(default=2, ge=1, description="networks in the ensemble, each from its own seed")
    train_below: int = Field(default=75, ge=1, le=100, description="formula hashes below this train")
    validate_below: int = Field(default=85, ge=1, le=100, description="from there to below this validate")
    seed: int = Field(default=0, ge=0, description="of the initial networks and the order of the rows")

    @classmethod
    def small(cls, seed: int = 0) -> "TrainConfig":
        """For 50 to 500 rows in some 10 s, as a discovery loop retrains every round."""
        return cls(
            network=StructuralConfig(width=32, passes=2),
            optimizer=OptimizerConfig(epochs=80, batch=16),
            members=4,
            train_below=90,
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
    target = _fit_target(crystals[train_rows], energies[train_rows])
    graphs = build_graphs(crystals, config.network.cutoff, config.network.max_neighbors)
    labels = ((energies - target.baseline(crystals)) / target.scale).astype(np.float32)

    size = batch_size(graphs.take(train_rows), config.optimizer.batch)
    coordination = graphs.take(train_rows).coordination
    networks = initial_networks(config.network, coordination, config.members, config.seed)
    state, static = initial_state(networks, config.optimizer)
    partial = out.with_name(out.name + ".partial")
    state, first, spent = _resume(partial, run_key, state)
    began, saved = began - spent, time.monotonic()
    for epoch in range(first, config.optimizer.epochs):
        order = np.random.default_rng([config.seed, epoch]).permutation(train_rows)
        state, loss = run_epoch(state, static, graphs, labels, order, size, epoch, config.optimizer)
        if progress is not None:
            seconds = time.monotonic() - began
            progress(Progress(epoch + 1, config.optimizer.epochs, loss * target.scale, seconds))
        if time.monotonic() - saved > SAVE_EVERY:
            header = {"run": run_key, "epoch": epoch + 1, "seconds": time.monotonic() - began}
            save_arrays(partial, header, state)
            saved = time.monotonic()

    networks = eqx.combine(state.average, static)
    outputs = run(networks, graphs, np.arange(len(graphs)))
    errors = target.baseline(crystals) + target.scale * outputs - energies
    card = ModelCard(
        kind="structural",
        scheme=scheme,
        data=data_name,
        data_sha256=run_key["data_sha256"],
        rows=len(crystals),
        train_rows=len(train_rows),
        validation_rows=len(validation_rows),
        split=(
            f"MD5(reduced formula) mod 100: below {config.train_below} trains, "
            f"then below {config.validate_below} validates"
        ),
        seed=config.seed,
        members=config.members,
        train_mae=_mae(errors, train_rows),
        validation=_validation(errors, energies, train_rows, validation_rows, target, crystals),
        config=run_key["config"],
        gnomon_version=version("gnomon"),
        git_commit=_git_commit(),
        wall_seconds=round(time.monotonic() - began, 1),
        machine=_machine(),
        trained_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    save_model(out, EnsembleEnergyModel(networks, target, card))
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
    if config.validate_below < config.train_below:
        raise ValueError(
            f"validate_below ({config.validate_below}) is less than train_below "
            f"({config.train_below})"
        )
    hashes = formula_hashes(crystals.reduced_formulas)
    train_rows = np.flatnonzero(hashes < config.train_below)
    if len(train_rows) < MIN_ROWS:
        raise ValueError(
            f"{len(train_rows)} of {len(crystals)} rows have a formula hash below "
            f"{config.train_below}; at least {MIN_ROWS} must train: give more rows"
        )
    held = (hashes >= config.train_below) & (hashes < config.validate_below)
    return train_rows, np.flatnonzero(held)


def _fit_target(crystals: Crystals, energies: Float64[np.ndarray, " n"]) -> Target:
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


def _mae(errors: Float64[np.ndarray, "m n"], rows: Int64[np.ndarray, " k"]) -> float:
    """Mean absolute error of the median, which counts rows without a prediction never."""
    return float(np.abs(np.median(errors[:, rows], axis=0)).mean())


def _validation(
    errors: Float64[np.ndarray, "m n"],
    energies: Float64[np.ndarray, " n"],
    train_rows: Int64[np.ndarray, " t"],
    rows: Int64[np.ndarray, " v"],
    target: Target,
    crystals: Crystals,
) -> Validation | None:
    if not len(rows):
        return None
    baseline = target.baseline(crystals[rows]) - energies[rows]
    return Validation(
        mae=_mae(errors, rows),
        mae_of_members=tuple(float(e) for e in np.abs(errors[:, rows]).mean(axis=1)),
        mae_of_mean=float(np.abs(energies[rows] - energies[train_rows].mean()).mean()),
        mae_of_elements=float(np.abs(baseline).mean()),
    )


def _git_commit() -> str | None:
    """Commit of the source tree that runs, None where it is no checkout."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _machine() -> str:
    return f"{platform.machine()}, {os.cpu_count()} cores, {jax.devices()[0].device_kind}"
