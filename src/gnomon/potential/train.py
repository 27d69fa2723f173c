"""Training of a potential on labelled frames: split, schedule, resume, model card."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Int64
from pydantic import Field

from gnomon.elements import SYMBOLS
from gnomon.io.frames import Frames
from gnomon.learn.model_file import read_model_file, write_model_file
from gnomon.learn.optimize import OptimizerConfig, State, initial_state, learning_rate
from gnomon.learn.split import SplitConfig, formula_hashes
from gnomon.potential.batch import Shape
from gnomon.potential.card import PotentialCard, circumstances
from gnomon.potential.checkpoint import load, save
from gnomon.potential.config import NetworkConfig
from gnomon.potential.loader import (
    Samples,
    batch_shape,
    epoch_order,
    fill,
    prepare,
    stream,
)
from gnomon.potential.network import Potential
from gnomon.potential.predict import LoadedPotential
from gnomon.potential.start import fresh_potential, refit
from gnomon.potential.steps import LossConfig, Losses, step
from gnomon.potential.validate import Validation, validate
from gnomon.run.listener import SILENT, Listener

SAVE_EVERY = 240.0
"""Seconds of training that a kill may cost."""


FINE_TUNING = 5e-4
"""Learning rate for a trained potential: a larger one forgets what it knows."""


class PotentialTrainConfig(SplitConfig):
    """How a potential is trained.

    With ``minutes``, the schedule runs over the time spent training, whatever the epochs come to,
    so that the rate has fallen to zero when the time is up.
    """

    network: NetworkConfig | None = Field(
        default=NetworkConfig(), description="None where a trained potential goes on"
    )
    optimizer: OptimizerConfig = OptimizerConfig(
        epochs=40, batch=32, learning_rate=4e-3, clip=10.0, averaging=0.999, weight_decay=1e-5
    )
    loss: LossConfig = LossConfig()
    minutes: float | None = Field(default=None, gt=0, description="of training, all runs together")
    first_share: float = Field(
        default=0.5, ge=0, lt=1, description="of a batch drawn from first frames of relaxations"
    )
    refit: bool = Field(default=False, description="fit atom energies anew before going on")
    validation_frames: int = Field(
        default=500, ge=1, description="frames that validate on the way; all do in the end"
    )
    seed: int = Field(default=0, ge=0, description="of the weights and the order of the frames")


class Split(NamedTuple):
    """Frames that train and frames that validate; ``unknown`` more hold other elements."""

    train: Frames
    validation: Frames | None
    unknown: int


class Place(NamedTuple):
    """How far a training has come: batches done of an epoch, the share of all, and seconds."""

    epoch: int = 0
    batch: int = 0
    fraction: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True)
class Origin:
    """What the card says of where a training comes from."""

    data: str = "frames given as arrays"
    command: str | None = None


@dataclass(frozen=True)
class _Run:
    """All that stays the same throughout a training."""

    config: PotentialTrainConfig
    split: Split
    training: Samples
    validation: Samples | None
    glimpse: Samples | None
    shape: Shape
    key: dict[str, Any]
    start: LoadedPotential | None
    origin: Origin


def train_potential(  # noqa: PLR0913  (what, how, where from, where to)
    frames: Frames,
    config: PotentialTrainConfig,
    *,
    out: Path,
    validation: Frames | None = None,
    start: LoadedPotential | None = None,
    origin: Origin = Origin(),
    listener: Listener = SILENT,
    save_every: float = SAVE_EVERY,
) -> PotentialCard:
    """Train on the frames whose formula hash is below ``train_below``, and write the weights.

    Unfinished work is kept in ``OUT.partial``, and weights that can be used meanwhile in
    ``OUT.latest``.  The same call goes on after a kill, and returns at once where it has finished.

    Args:
        frames: labelled crystals of one energy scheme.
        config: how to train.
        out: file of weights to write.
        validation: frames to validate on instead of those of ``frames``; of both only formulas are
            taken that never train.
        start: a trained potential to go on from; ``config.network`` is None then.
        origin: what the card says of the data.
        listener: hears the losses, and the errors on frames that validate.
        save_every: seconds of training that a kill may cost.

    Raises:
        ValueError: if no frame trains, schemes differ, ``start`` lacks an element of the data, or
            ``out`` holds other weights or an unfinished training of other data or settings.
    """
    key = _run_key(frames, validation, config, start)
    if (finished := _finished(out, key)) is not None:
        return finished
    run = _prepare(frames, validation, config, start, key, origin)
    listener.say(_description(run))
    partial, latest = (out.with_name(out.name + suffix) for suffix in (".partial", ".latest"))
    fresh, static = initial_state(_initial(run), config.optimizer, members=False)
    reached, since = _resume(partial, key, fresh)
    if since == Place():
        _report(run, eqx.combine(reached.average, static), since, [], listener)

    saved, recent = time.monotonic(), list[Losses]()
    state, place = reached, since
    for state, place, losses in _steps(run, reached, static, since):
        recent.append(losses)
        listener.tick("training", round(1000 * place.fraction), 1000)
        if time.monotonic() - saved > save_every:
            write_model_file(partial, {"run": key, "place": place._asdict()}, state)
            potential = eqx.combine(state.average, static)
            errors = _report(run, potential, place, recent, listener)
            card = _card(run, potential, state, place, errors, finished=False)
            save(latest, potential, card.model_dump(mode="json"))
            saved, recent = time.monotonic(), []

    potential = eqx.combine(state.average, static)
    errors = None if run.validation is None else validate(potential, run.validation, run.shape)
    card = _card(run, potential, state, place, errors, finished=True)
    save(out, potential, card.model_dump(mode="json"))
    for left in (partial, latest):
        left.unlink(missing_ok=True)
    return card


def _steps(
    run: _Run, state: State, static: Potential, place: Place
) -> Iterator[tuple[State, Place, Losses]]:
    """The state after each step from this place to the end of the training."""
    config, began = run.config, time.monotonic() - place.seconds
    while place.fraction < 1:
        plan = _plan(run, place.epoch)
        for batch, targets in stream(run.training, plan[place.batch :], run.shape):
            rate = jnp.asarray(learning_rate(place.fraction, config.optimizer), jnp.float32)
            state, losses = step(state, static, batch, targets, rate, config.optimizer, config.loss)
            losses.total.block_until_ready()  # else steps pile up, and the clock says nothing
            seconds, done = time.monotonic() - began, place.batch + 1
            fraction = (
                seconds / (60 * config.minutes)
                if config.minutes is not None
                else (place.epoch + done / len(plan)) / config.optimizer.epochs
            )
            place = Place(place.epoch, done, fraction, seconds)
            yield state, place, losses
            if fraction >= 1:
                return
        place = place._replace(epoch=place.epoch + 1, batch=0)


def _plan(run: _Run, epoch: int) -> list[Int64[np.ndarray, " _"]]:
    """Frames of each batch of an epoch: the same whenever it is asked for."""
    rng = np.random.default_rng([run.config.seed, epoch])
    order = epoch_order(run.split.train.first, run.config.first_share, rng)
    return fill(order, run.training, run.shape)


def _prepare(
    frames: Frames,
    validation: Frames | None,
    config: PotentialTrainConfig,
    start: LoadedPotential | None,
    key: dict[str, Any],
    origin: Origin,
) -> _Run:
    """Split, neighbours, and the shape of a batch."""
    if (config.network is None) != (start is not None):
        raise ValueError("give a network to train from random weights, or weights to start from")
    split = split_frames(frames, validation, config, start)
    cutoff = start.cutoff if config.network is None and start else _network(config).cutoff
    training = prepare(split.train, cutoff)
    held = split.validation
    drawn = np.random.default_rng(config.seed).permutation(len(held) if held else 0)
    few = np.sort(drawn[: config.validation_frames])
    return _Run(
        config=config,
        split=split,
        training=training,
        validation=prepare(held, cutoff) if held else None,
        glimpse=prepare(held.take(few), cutoff) if held else None,
        shape=batch_shape(training, config.optimizer.batch),
        key=key,
        start=start,
        origin=origin,
    )


def _network(config: PotentialTrainConfig) -> NetworkConfig:
    assert config.network is not None
    return config.network


def split_frames(
    frames: Frames,
    validation: Frames | None,
    config: PotentialTrainConfig,
    start: LoadedPotential | None = None,
) -> Split:
    """Frames that train and that validate, by formula, so that polymorphs stay together.

    Raises:
        ValueError: if none trains, schemes differ, or ``start`` lacks an element of the data.
    """
    if validation is not None and validation.scheme != frames.scheme:
        raise ValueError(
            f"frames of {frames.scheme!r} cannot be validated on {validation.scheme!r}: label "
            "both alike"
        )
    train = frames.take((formula_hashes(frames.group) < config.train_below) | _elements(frames))
    if not len(train):
        raise ValueError(
            f"none of {len(frames)} frames has a formula hash below {config.train_below}: give "
            "more frames, or raise train_below"
        )
    held = frames if validation is None else validation
    hashes = formula_hashes(held.group)
    held = held.take(
        (hashes >= config.train_below) & (hashes < config.validate_below) & ~_elements(held)
    )
    known = set(np.unique(train.crystals.atomic_numbers).tolist())
    if start is not None:
        if foreign := known - start.elements:
            names = ", ".join(SYMBOLS[z] for z in sorted(foreign))
            raise ValueError(
                f"{start.name} does not know {names}: leave such frames out, or train afresh"
            )
        known = set(start.elements)
    foreign_atoms = ~np.isin(held.crystals.atomic_numbers, sorted(known))
    per_frame = np.bincount(held.crystals.crystal_index[foreign_atoms], minlength=len(held))
    usable = held.take(per_frame == 0)
    return Split(train, usable if len(usable) else None, len(held) - len(usable))


def _elements(frames: Frames) -> Bool[np.ndarray, " n"]:
    """Which frames hold one element.  They always train: every energy is measured from theirs."""
    crystals = frames.crystals
    starts = crystals.offsets[:-1]
    lowest = np.minimum.reduceat(crystals.atomic_numbers, starts)
    return lowest == np.maximum.reduceat(crystals.atomic_numbers, starts)


def _initial(run: _Run) -> Potential:
    """The potential that the first step improves."""
    if run.start is None:
        return fresh_potential(run.training, _network(run.config), run.config.seed)
    if run.config.refit:
        return refit(run.start.potential, run.split.train, run.config.seed)
    return run.start.potential


def _run_key(
    frames: Frames,
    validation: Frames | None,
    config: PotentialTrainConfig,
    start: LoadedPotential | None,
) -> dict[str, Any]:
    """What makes two trainings the same."""
    digest = hashlib.sha256()
    for part in (frames, *([] if validation is None else [validation])):
        c = part.crystals
        columns = (c.lattice, c.atomic_numbers, c.frac_coords, c.offsets)
        for array in (*columns, part.energy, part.forces, part.stress, part.first):
            digest.update(np.ascontiguousarray(array).tobytes())
    return {
        "data_sha256": digest.hexdigest(),
        "scheme": frames.scheme,
        "started_from": None if start is None else start.scheme,
        "config": config.model_dump(mode="json"),
    }


def _finished(out: Path, key: dict[str, Any]) -> PotentialCard | None:
    """The card of the finished training in ``out``, None if there is nothing."""
    if not out.exists():
        return None
    _, card = load(out)
    if any(card.get(name) != value for name, value in key.items()):
        raise ValueError(
            f"{out} holds weights of other data or settings: choose another file, or delete it"
        )
    return PotentialCard.model_validate(card)


def _resume(partial: Path, key: dict[str, Any], state: State) -> tuple[State, Place]:
    """State and place of an unfinished training, or of none."""
    if not partial.exists():
        return state, Place()
    file = read_model_file(partial)
    if file.about.get("run") != key:
        raise ValueError(
            f"{partial} is an unfinished training of other data or settings: delete it, or choose "
            "another file to write"
        )
    return jax.tree.map(jnp.asarray, file.fill(state)), Place(**file.about["place"])


def _description(run: _Run) -> str:
    """Data and shape of a batch, in a line."""
    train, fill_of_rows = run.split.train, run.training.n_rows.mean() / run.shape.rows
    return (
        f"{len(train)} frames train ({int(train.first.sum())} first frames, "
        f"{int(train.crystals.offsets[-1])} atoms, {run.training.avg_n_neighbors:.1f} neighbours "
        f"each), {len(run.split.validation) if run.split.validation else 0} validate; batches of "
        f"about {1 / fill_of_rows:.0f} frames, {run.shape.atoms} atoms, {run.shape.rows} rows"
    )


def _report(
    run: _Run, potential: Potential, place: Place, recent: list[Losses], listener: Listener
) -> Validation | None:
    """Say how the training goes; the errors on some of the frames that validate."""
    errors = None if run.glimpse is None else validate(potential, run.glimpse, run.shape)
    parts = [f"{100 * place.fraction:.1f} % in {place.seconds:.0f} s (epoch {place.epoch})"]
    if recent:
        mean = Losses(*np.mean(np.array(recent), axis=0))
        parts.append(
            f"losses {1000 * mean.energy:.1f} meV/atom, {mean.forces:.4f} eV/Å, "
            f"{mean.stress:.5f} eV/Å3"
        )
    if errors is not None:
        parts.append(f"validation {errors.all}; gentle frames {errors.gentle}")
    listener.say("; ".join(parts))
    return errors


def _card(
    run: _Run,
    potential: Potential,
    state: State,
    place: Place,
    errors: Validation | None,
    *,
    finished: bool,
) -> PotentialCard:
    config, train, held = run.config, run.split.train, run.split.validation
    leaves = jax.tree.leaves(eqx.filter(potential, eqx.is_inexact_array))
    return PotentialCard(
        **run.key,
        data=run.origin.data,
        train_frames=len(train),
        train_first_frames=int(train.first.sum()),
        train_atoms=int(train.crystals.offsets[-1]),
        train_formulas=len(set(train.group.tolist())),
        validation_frames=0 if held is None else len(held),
        validation_unknown=run.split.unknown,
        split=(
            f"MD5(reduced formula) mod 100: under {config.train_below} trains, "
            f"from there under {config.validate_below} validates"
        ),
        elements=len(potential.config.elements),
        parameters=sum(leaf.size for leaf in leaves),
        validation=errors,
        finished=finished,
        epochs=round(place.epoch + place.batch / max(1, len(_plan(run, place.epoch))), 3),
        steps=int(state.steps),
        wall_seconds=round(place.seconds, 1),
        command=run.origin.command,
        **circumstances(),
    )
