"""Training of the composition ensemble: lowest energies, split, epochs, resume, model card."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32, Float64, Int64, UInt8
from pydantic import Field, model_validator

from gnomon.learn.card import ModelCard
from gnomon.learn.checkpoint import save_arrays
from gnomon.learn.optimize import (
    OptimizerConfig,
    State,
    descend,
    initial_state,
    learning_rate,
)
from gnomon.learn.runs import check_finished, measure, provenance, resume, run_key
from gnomon.learn.split import SplitConfig, formula_hashes
from gnomon.models.composition.formulas import Formulas, batches, read_formulas
from gnomon.models.composition.model import (
    KIND,
    CompositionModel,
    initial_networks,
    load_composition_model,
    save_composition_model,
)
from gnomon.models.composition.network import Composition, CompositionConfig, laplace_loss
from gnomon.models.structural.train import MIN_ROWS, Progress
from gnomon.models.target import fit_elements

SAVE_EVERY = 60.0
"""Seconds of training that a kill may cost, and about an epoch more."""


class CompositionTrainConfig(SplitConfig):
    """How a composition ensemble is trained.

    In trainings of seven epochs on 71,230 formulas, one member each, Muon came to 97 meV/atom on
    4,000 held-out ones, AdamW to 108 (at 5e-3) and 112 (at 2e-3) in some half of its time, an L1
    loss beside the Laplace one to 111, a single head to 119.
    """

    network: CompositionConfig = CompositionConfig()
    optimizer: OptimizerConfig = OptimizerConfig(
        epochs=12, batch=256, method="muon", learning_rate=5e-3
    )
    members: int = Field(default=4, ge=1, description="networks, each from its own seed")
    seed: int = Field(
        default=0, ge=0, description="of the initial networks and the order of the rows"
    )

    @model_validator(mode="after")
    def _loss_is_possible(self) -> "CompositionTrainConfig":
        if self.optimizer.loss != "l1":
            raise ValueError(
                f"loss {self.optimizer.loss!r}: composition networks learn the scale of their "
                "error with a Laplace density, which is 'l1'"
            )
        return self


@dataclass(frozen=True, eq=False)
class Labels:
    """One row a formula, by reduced formula: what a composition network can learn from.

    Attributes:
        energies: lowest formation energy per atom of each formula, eV/atom.
    """

    formulas: Formulas
    energies: Float64[np.ndarray, " n"]


def lowest_energies(
    texts: Sequence[str], formation_energy_per_atom: Float64[np.ndarray, " rows"]
) -> Labels:
    """The lowest energy of each formula, whatever the order of the rows and the way they are put.

    Raises:
        ValueError: if a text is no formula, an energy not finite, or their numbers differ.
    """
    energies = np.asarray(formation_energy_per_atom, np.float64)
    if energies.shape != (len(texts),):
        raise ValueError(f"{len(texts)} formulas but energies of shape {energies.shape}")
    for i in np.flatnonzero(~np.isfinite(energies))[:1]:
        raise ValueError(
            f"formation_energy_per_atom of row {i} ({texts[i]}) is not finite: leave rows without "
            "an energy out"
        )
    formulas, reasons = read_formulas(texts)
    for i in np.flatnonzero(reasons != "")[:1]:
        raise ValueError(f"row {i}: {reasons[i]}: leave it out, or write it as a formula")
    order = np.lexsort((energies, formulas.reduced_formulas.astype(str)))
    _, first = np.unique(formulas.reduced_formulas[order].astype(str), return_index=True)
    return Labels(formulas.take(order[first]), energies[order[first]])


def train_composition(
    labels: Labels,
    config: CompositionTrainConfig,
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
        labels: formulas with their lowest energies, all of one energy scheme.
        config: settings.
        out: file to write.
        scheme: name of the energy scheme.
        data_name: what the data is called on the card.
        progress: called after each epoch; its loss L of nats is told as scale x exp(L - 1), the
            typical error that has it.

    Raises:
        ValueError: if too few rows train, or ``out`` holds anything else than this very model.
    """
    began = time.monotonic()
    formulas, energies = labels.formulas, labels.energies
    key = run_key((formulas.atomic_numbers, formulas.counts, energies), config, scheme)
    if out.exists():
        return check_finished(out, load_composition_model(out).card, key)

    train_rows, validation_rows = _split(formulas, config)
    target = fit_elements(formulas.by_element[train_rows], energies[train_rows])
    baseline = target.of_fractions(formulas.by_element)
    data = _TrainingSet(
        formulas, ((energies - baseline) / target.scale).astype(np.float32), train_rows
    )
    networks = initial_networks(config.network, config.members, config.seed)
    state, static = initial_state(networks, config.optimizer)
    partial = out.with_name(out.name + ".partial")
    state, first, spent = resume(partial, key, state)
    began, saved = began - spent, time.monotonic()
    for epoch in range(first, config.optimizer.epochs):
        state, loss = _run_epoch(state, static, data, config, epoch)
        seconds = time.monotonic() - began
        if progress is not None:
            error = target.scale * float(np.exp(loss - 1))
            progress(Progress(epoch + 1, config.optimizer.epochs, error, seconds))
        if time.monotonic() - saved > SAVE_EVERY:
            save_arrays(partial, {"run": key, "epoch": epoch + 1, "seconds": seconds}, state)
            saved = time.monotonic()

    model = CompositionModel(eqx.combine(state.average, static), target)
    predicted = model.predict_formulas(formulas, np.full(len(formulas), "", dtype=object))
    card = ModelCard(
        kind=KIND,
        data=data_name,
        rows=len(formulas),
        train_rows=len(train_rows),
        split=(
            f"MD5(reduced formula) mod 100: under {config.train_below} trains, "
            f"from there under {config.validate_below} validates"
        ),
        seed=config.seed,
        members=config.members,
        train_mae=float(np.nanmean(np.abs(predicted.median - energies)[train_rows])),
        validation=measure(predicted, baseline, energies, validation_rows, target.shift),
        **provenance(key, seconds=time.monotonic() - began),
    )
    save_composition_model(out, CompositionModel(model.networks, target, card))
    partial.unlink(missing_ok=True)
    return card


@dataclass(frozen=True, eq=False)
class _TrainingSet:
    formulas: Formulas
    labels: Float32[np.ndarray, " n"]
    rows: Int64[np.ndarray, " t"]


def _split(
    formulas: Formulas, config: CompositionTrainConfig
) -> tuple[Int64[np.ndarray, " t"], Int64[np.ndarray, " v"]]:
    """Rows that train and rows that validate."""
    hashes = formula_hashes(formulas.reduced_formulas)
    train_rows = np.flatnonzero(hashes < config.train_below)
    if len(train_rows) < MIN_ROWS:
        raise ValueError(
            f"{len(train_rows)} of {len(formulas)} formulas have a hash below "
            f"{config.train_below}; at least {MIN_ROWS} must train: give more rows"
        )
    held = (hashes >= config.train_below) & (hashes < config.validate_below)
    return train_rows, np.flatnonzero(held)


def _run_epoch(
    state: State,
    static: Composition,
    data: _TrainingSet,
    config: CompositionTrainConfig,
    epoch: int,
) -> tuple[State, float]:
    """Every row once, in batches and an order drawn from seed and epoch; new state, mean loss."""
    rng = np.random.default_rng([config.seed, epoch])
    size, epochs = config.optimizer.batch, config.optimizer.epochs
    made = list(batches(data.formulas, rng.permutation(data.rows), size))
    losses: list[Float[Array, ""]] = []
    counts: list[int] = []
    for i in rng.permutation(len(made)):
        rows, batch = made[i]
        labels = np.zeros(size, np.float32)
        labels[: len(rows)] = data.labels[rows]
        rate = learning_rate((epoch + sum(counts) / len(data.rows)) / epochs, config.optimizer)
        state, loss = _step(
            state,
            static,
            jnp.asarray(batch.atomic_numbers),
            jnp.asarray(batch.fractions),
            jnp.asarray(labels),
            jnp.asarray(rate, jnp.float32),
            config.optimizer,
        )
        losses.append(loss)
        counts.append(len(rows))
    return state, float(np.average(np.array(losses), weights=counts))


@eqx.filter_jit
def _step(
    state: State,
    static: Composition,
    atomic_numbers: UInt8[Array, "B k"],
    fractions: Float[Array, "B k"],
    target: Float[Array, " B"],
    rate: Float[Array, ""],
    config: OptimizerConfig,
) -> tuple[State, Float[Array, ""]]:
    """One step of every member on the same batch."""
    real: Bool[Array, " B"] = fractions[:, 0] > 0

    def loss(params: Composition) -> Float[Array, ""]:
        network = eqx.combine(params, static)
        each = laplace_loss(*network(atomic_numbers, fractions), target)
        return jnp.sum(jnp.where(real, each, 0)) / jnp.sum(real)

    return descend(state, rate, config, loss)
