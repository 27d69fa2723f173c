"""Transfer: what an ensemble learned of energies helps it to learn another property from less.

The networks of a trained ensemble go on with a new readout, either as a whole or with a frozen
body.  Frozen, crystals are embedded once and only the readouts are trained, in seconds.  The
property is a number a crystal that does not grow with the cell: a band gap, a modulus, its
logarithm; shift, element contributions and scale are fitted anew to the training rows.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Float64, Int64
from pydantic import Field

from gnomon.crystals import Crystals
from gnomon.learn.card import ModelCard
from gnomon.learn.optimize import (
    OptimizerConfig,
    State,
    averaged,
    initial_state,
    learning_rate,
    optimizer,
)
from gnomon.learn.runs import check_finished, measure, provenance, run_key
from gnomon.learn.split import SplitConfig, formula_hashes
from gnomon.models import Predictions
from gnomon.models.storage import card_path, load_ensemble, save_ensemble
from gnomon.models.structural.ensemble import (
    EnsembleEnergyModel,
    each_member,
    initial_networks,
    load_model,
)
from gnomon.models.structural.network import Structural, StructuralConfig
from gnomon.models.structural.train import (
    MIN_ROWS,
    Progress,
    TrainConfig,
    fit_target,
    going_on,
    train,
)
from gnomon.models.target import Target

KIND = "property"
"""What cards and files of these models say that they are: nobody takes a gap for an energy."""


class TransferConfig(SplitConfig):
    """How an ensemble learns another property."""

    started_from: str = Field(description="sha256 of the trained ensemble that goes on")
    frozen: bool = Field(default=False, description="train the readouts only")
    optimizer: OptimizerConfig = OptimizerConfig(epochs=30, learning_rate=2e-3)
    seed: int = Field(default=0, ge=0, description="of new readouts and the order of the rows")


class PropertyModel:
    """Networks that predict one property of crystals."""

    def __init__(self, networks: Structural, target: Target, card: ModelCard | None = None) -> None:
        """Networks with a leading axis of members on every array."""
        self.networks, self.target, self.card = networks, target, card
        self.name = card.scheme if card is not None else ""

    def predict(self, crystals: Crystals) -> Predictions:
        """Median, inter-quartile range and members in the unit that was learned, not in eV/atom.

        NaN with a reason wherever ``EnsembleEnergyModel`` has no energy.
        """
        return EnsembleEnergyModel(self.networks, self.target).predict(crystals)


def transfer(
    start: EnsembleEnergyModel,
    crystals: Crystals,
    values: Float64[np.ndarray, " n"],
    config: TransferConfig,
    *,
    out: Path,
    name: str,
    progress: Callable[[Progress], None] | None = None,
) -> ModelCard:
    """Teach an ensemble a property and write it to a file, with its card as JSON beside it.

    A finished file of the same data and settings is left as it is.

    Args:
        start: the trained ensemble, of the file that the settings name by its checksum.
        crystals: rows to part by formula hash.
        values: the property of each, in any unit.
        config: settings.
        out: file to write.
        name: of the property and its unit, which the card keeps.
        progress: called after each epoch; its loss is in the unit of the values.

    Returns:
        The card; its errors are in the unit of the values.

    Raises:
        ValueError: if values do not match the crystals or are not finite, too few rows train, or
            ``out`` holds a model of other data or settings.
    """
    began = time.monotonic()
    values = np.asarray(values, np.float64)
    train_rows, validation_rows = _split(crystals, values, config)
    columns = (crystals.lattice, crystals.atomic_numbers, crystals.frac_coords, crystals.offsets)
    key = run_key((*columns, values), config, name)
    if out.exists():
        return check_finished(out, load_property_model(out).card, key)
    target = fit_target(crystals[train_rows], values[train_rows])
    fitted = _frozen if config.frozen else _whole
    networks, target = fitted(start, crystals, values, target, config, out, progress)
    predicted = PropertyModel(networks, target).predict(crystals)
    card = ModelCard(
        kind=KIND,
        data=name,
        rows=len(crystals),
        train_rows=len(train_rows),
        split=(
            f"MD5(reduced formula) mod 100: under {config.train_below} trains, "
            f"from there under {config.validate_below} validates"
        ),
        seed=config.seed,
        members=networks.elements.shape[0],
        train_mae=float(np.nanmean(np.abs(predicted.median - values)[train_rows])),
        validation=measure(
            predicted, target.baseline(crystals), values, validation_rows, target.shift
        ),
        **provenance(key, seconds=time.monotonic() - began),
    )
    save_ensemble(out, networks, target, card)
    return card


def load_property_model(path: Path | str) -> PropertyModel:
    """The model in a file that ``transfer`` wrote.

    Raises:
        FileNotFoundError: if there is none.
        CheckpointError: if the file is damaged, no model, or a model of energies.
    """

    def untrained(config: Any, members: int) -> Structural:
        return initial_networks(StructuralConfig.model_validate(config), 1.0, members, 0)

    networks, target, card = load_ensemble(Path(path), KIND, untrained)
    return PropertyModel(networks, target.shared(), card)


# --- the whole network ----------------------------------------------------------------------------


def _whole(
    start: EnsembleEnergyModel,
    crystals: Crystals,
    values: Float64[np.ndarray, " n"],
    target: Target,
    config: TransferConfig,
    out: Path,
    progress: Callable[[Progress], None] | None,
) -> tuple[Structural, Target]:
    """Every weight goes on, from new readouts; a training that was stopped goes on too."""
    fresh = EnsembleEnergyModel(_new_readouts(start.networks, config.seed), target)
    settings: TrainConfig = going_on(
        fresh,
        config.started_from,
        optimizer=config.optimizer,
        train_below=config.train_below,
        validate_below=config.validate_below,
        seed=config.seed,
    )
    work = out.with_name(out.name + ".training")
    train(crystals, values, settings, out=work, scheme=KIND, start=fresh, progress=progress)
    trained = load_model(work)
    work.unlink()
    card_path(work).unlink()
    return trained.networks, trained.target.shared()


def _new_readouts(networks: Structural, seed: int) -> Structural:
    members = networks.elements.shape[0]
    fresh = initial_networks(networks.config, 1.0, members, seed)
    return eqx.tree_at(lambda n: n.readout, networks, fresh.readout)


# --- the readouts alone ---------------------------------------------------------------------------


def _frozen(
    start: EnsembleEnergyModel,
    crystals: Crystals,
    values: Float64[np.ndarray, " n"],
    target: Target,
    config: TransferConfig,
    out: Path,
    progress: Callable[[Progress], None] | None,
) -> tuple[Structural, Target]:
    """New readouts on embeddings that are made once; elements new to the body stay unknown."""
    del out  # seconds of work: nothing to go on from
    members = start.networks.elements.shape[0]
    rows = np.flatnonzero(formula_hashes(crystals.reduced_formulas) < config.train_below)
    seen = start.embed(crystals[rows]).reshape(len(rows), members, -1)
    known = np.isfinite(seen).all(axis=(1, 2))
    if known.sum() < MIN_ROWS:
        raise ValueError(
            f"{int(known.sum())} training rows have elements that the ensemble knows; at least "
            f"{MIN_ROWS} must: do not freeze it, or give other data"
        )
    labels = (values - target.baseline(crystals))[rows] / target.scale
    readouts = _new_readouts(start.networks, config.seed).readout

    def told(epoch: int, loss: float, seconds: float) -> None:
        if progress is not None:
            progress(Progress(epoch + 1, config.optimizer.epochs, loss * target.scale, seconds))

    trained = _fit_readouts(readouts, seen[known], labels[known], config, told)
    networks = eqx.tree_at(lambda n: n.readout, start.networks, trained)
    return networks, replace(target, seen=start.target.seen)


def _fit_readouts(
    readouts: eqx.nn.MLP,
    seen: Float32[np.ndarray, "n m features"],
    labels: Float64[np.ndarray, " n"],
    config: TransferConfig,
    told: Callable[[int, float, float], None],
) -> eqx.nn.MLP:
    """Readouts trained in batches of a random order; the rest of an epoch waits for the next."""
    began = time.monotonic()
    n, epochs = len(labels), config.optimizer.epochs
    size = min(config.optimizer.batch, n)
    state, static = initial_state(readouts, config.optimizer)
    for epoch in range(epochs):
        order = np.random.default_rng([config.seed, epoch]).permutation(n)
        losses = []
        for first in range(0, n - size + 1, size):
            taken = order[first : first + size]
            rate = learning_rate((epoch + first / n) / epochs, config.optimizer)
            state, loss = _step(
                state,
                static,
                jnp.asarray(seen[taken].swapaxes(0, 1)),
                jnp.asarray(labels[taken], jnp.float32),
                jnp.asarray(rate, jnp.float32),
                config.optimizer,
            )
            losses.append(loss)
        told(epoch, float(np.mean(np.array(losses))), time.monotonic() - began)
    trained: eqx.nn.MLP = eqx.combine(state.average, static)
    return trained


@eqx.filter_jit
def _step(
    state: State,
    static: eqx.nn.MLP,
    seen: Float32[Array, "m B features"],
    target: Float[Array, " B"],
    rate: Float[Array, ""],
    config: OptimizerConfig,
) -> tuple[State, Float[Array, ""]]:
    """One step of every readout on what its own body sees, by the mean absolute error."""

    def member(part: Any) -> Any:
        params, average, memory, x = part

        def loss(p: Any) -> Float[Array, ""]:
            return jnp.mean(jnp.abs(jax.vmap(eqx.combine(p, static))(x) - target))

        value, gradient = jax.value_and_grad(loss)(params)
        updates, memory = optimizer(config).update(gradient, memory, params)
        params = jax.tree.map(lambda p, u: p - rate * u, params, updates)
        return (params, averaged(average, params, state.steps, config), memory), value

    parts, losses = each_member(member, (state.params, state.average, state.optimizer, seen))
    params, average, memory = parts
    return State(params, average, memory, state.steps + 1), jnp.mean(losses)


def _split(
    crystals: Crystals, values: Float64[np.ndarray, " n"], config: TransferConfig
) -> tuple[Int64[np.ndarray, " t"], Int64[np.ndarray, " v"]]:
    """Rows that train and rows that validate."""
    if values.shape != (len(crystals),):
        raise ValueError(f"{len(crystals)} crystals but values of shape {values.shape}")
    for i in np.flatnonzero(~np.isfinite(values))[:1]:
        raise ValueError(f"the value of row {i} is not finite: leave rows without one out")
    hashes = formula_hashes(crystals.reduced_formulas)
    train_rows = np.flatnonzero(hashes < config.train_below)
    if len(train_rows) < MIN_ROWS:
        raise ValueError(
            f"{len(train_rows)} of {len(crystals)} rows have a formula hash below "
            f"{config.train_below}; at least {MIN_ROWS} must train: give more rows"
        )
    held = (hashes >= config.train_below) & (hashes < config.validate_below)
    return train_rows, np.flatnonzero(held)
