"""Training of a potential on labelled frames: split, schedule, model card."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float, Int64
from pydantic import Field

from gnomon.io.frames import Frames
from gnomon.learn.card import run_key
from gnomon.learn.fit import QUIET, Place, Report, Session, fit, keep
from gnomon.learn.optimize import OptimizerConfig, State, initial_state
from gnomon.learn.split import SplitConfig, formula_hashes
from gnomon.potential.batch import AtomBatch, Shape
from gnomon.potential.card import PotentialCard, Validation
from gnomon.potential.checkpoint import Weighted, load, save
from gnomon.potential.config import NetworkConfig
from gnomon.potential.loader import (
    Samples,
    Targets,
    batch_shape,
    epoch_order,
    fill,
    is_element,
    prepare,
    stream,
)
from gnomon.potential.network import Potential
from gnomon.potential.predict import LoadedPotential
from gnomon.potential.start import fresh_potential, refit
from gnomon.potential.steps import LossConfig, Losses, step
from gnomon.potential.validate import validate
from gnomon.run.stamp import stamp

SAVE_EVERY = 240.0
"""Seconds of training that a kill may cost."""

LATEST = ".latest"
"""What the file is called that holds weights of an unfinished training."""

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
    element_share: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="of a batch drawn from frames of one element, in crystals and molecules: few, "
        "and all energies of formation hang on them",
    )
    started_from: str | None = Field(
        default=None, description="scheme of the weights that go on; filled in by the training"
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


@dataclass(frozen=True)
class Lessons:
    """What a potential learns from.

    Attributes:
        frames: labelled crystals of one energy scheme.
        validation: frames to validate on instead of those of ``frames``; of both only formulas are
            taken that never train.
        start: a trained potential to go on from; the settings have no network then.
        name, command: what the card says of the data, and of how it came about.
    """

    frames: Frames
    validation: Frames | None = None
    start: LoadedPotential | None = None
    name: str = "frames given as arrays"
    command: str | None = None

    def key(self, config: PotentialTrainConfig) -> dict[str, Any]:
        """What makes two trainings the same."""
        columns: list[np.ndarray] = []
        for part in (self.frames, *([] if self.validation is None else [self.validation])):
            c = part.crystals
            columns += (c.lattice, c.atomic_numbers, c.frac_coords, c.offsets)
            columns += (part.energy, part.forces, part.stress, part.first)
        if self.start is not None:
            config = config.model_copy(update={"started_from": self.start.scheme})
        return run_key(columns, config, self.frames.scheme)


@dataclass(frozen=True)
class _Run:
    """All that stays the same throughout a training."""

    lessons: Lessons
    config: PotentialTrainConfig
    split: Split
    training: Samples
    glimpse: Frames | None
    shape: Shape


def train_potential(
    lessons: Lessons, config: PotentialTrainConfig, session: Session = QUIET
) -> Weighted:
    """Train on the frames whose formula hash is below ``train_below``.

    Each time that unfinished work is kept, weights that can be used meanwhile are written beside
    it, with the suffix ``.latest``.

    Args:
        lessons: labelled frames, and where to start.
        config: how to train.
        session: where unfinished work is kept [every ``SAVE_EVERY`` seconds], and who hears the
            losses and the errors on frames that validate.

    Raises:
        ValueError: if no frame trains, schemes differ, the start lacks an element of the data, or
            unfinished work is that of other data or settings.
    """
    if session.save_every is None:
        session = replace(session, save_every=SAVE_EVERY)
    run = _prepare(lessons, config)
    session.listener.say(_description(run))
    fresh, static = initial_state(_initial(run), config.optimizer, members=False)

    def batches(epoch: int, skip: int) -> Iterator[tuple[float, tuple[AtomBatch, Targets]]]:
        plan = _plan(run, epoch)
        ready = stream(run.training, plan[skip:], run.shape)
        yield from ((done / len(plan), batch) for done, batch in enumerate(ready, skip + 1))

    def once(
        state: State, batch: tuple[AtomBatch, Targets], rate: Float[Array, ""]
    ) -> tuple[State, Losses]:
        return step(state, static, *batch, rate, config.optimizer, config.loss)

    def tell(found: Report) -> None:
        potential = eqx.combine(found.state.average, static)
        errors = None if run.glimpse is None else validate(potential, run.glimpse, run.shape)
        session.listener.say(_progress(found, errors))
        if session.partial is not None and found.losses is not None:
            card = _card(run, potential, found.state, found.place, errors, finished=False)
            save(session.partial.with_suffix(LATEST), Weighted(potential, card))

    if session.partial is None or not session.partial.exists():
        tell(Report(fresh, Place(), None))
    fitted = fit(
        once,
        batches,
        fresh,
        config.optimizer,
        session,
        run=lessons.key(config),
        minutes=config.minutes,
        report=tell,
    )
    potential = eqx.combine(fitted.state.average, static)
    held = run.split.validation
    errors = None if held is None else validate(potential, held, run.shape)
    card = _card(run, potential, fitted.state, fitted.place, errors, finished=True)
    return Weighted(potential, card)


def train_into(
    out: Path, lessons: Lessons, config: PotentialTrainConfig, session: Session = QUIET
) -> PotentialCard:
    """``train_potential``, written to a file unless it is there; its card.

    Unfinished work is kept in ``OUT.partial``, and weights that can be used meanwhile in
    ``OUT.latest``.  The same call goes on after a kill, and returns at once where it has finished.

    Raises:
        ValueError: if ``out`` holds other weights, or as ``train_potential``.
    """

    def make(partial: Path) -> Weighted:
        return train_potential(lessons, config, replace(session, partial=partial))

    card = keep(out, lessons.key(config), make, load=load, save=save).card
    out.with_name(out.name + LATEST).unlink(missing_ok=True)
    assert card is not None
    return card


def _plan(run: _Run, epoch: int) -> list[Int64[np.ndarray, " _"]]:
    """Frames of each batch of an epoch: the same whenever it is asked for."""
    rng = np.random.default_rng([run.config.seed, epoch])
    train = run.split.train
    often = [(train.first, run.config.first_share), (is_element(train), run.config.element_share)]
    return fill(epoch_order(often, rng), run.training, run.shape)


def _prepare(lessons: Lessons, config: PotentialTrainConfig) -> _Run:
    """Split, neighbours, and the shape of a batch."""
    if (config.network is None) != (lessons.start is not None):
        raise ValueError("give a network to train from random weights, or weights to start from")
    split = split_frames(lessons, config)
    cutoff = lessons.start.cutoff if lessons.start else _network(config).cutoff
    training = prepare(split.train, cutoff)
    held = split.validation
    drawn = np.random.default_rng(config.seed).permutation(len(held) if held else 0)
    few = np.sort(drawn[: config.validation_frames])
    return _Run(
        lessons=lessons,
        config=config,
        split=split,
        training=training,
        glimpse=held.take(few) if held else None,
        shape=batch_shape(training, config.optimizer.batch),
    )


def _network(config: PotentialTrainConfig) -> NetworkConfig:
    assert config.network is not None
    return config.network


def split_frames(lessons: Lessons, config: PotentialTrainConfig) -> Split:
    """Frames that train and that validate, by formula, so that polymorphs stay together.

    Raises:
        ValueError: if none trains, schemes differ, or the start lacks an element of the data.
    """
    frames, validation, start = lessons.frames, lessons.validation, lessons.start
    if validation is not None and validation.scheme != frames.scheme:
        raise ValueError(
            f"frames of {frames.scheme!r} cannot be validated on {validation.scheme!r}: label "
            "both alike"
        )
    train = frames.take((formula_hashes(frames.group) < config.train_below) | is_element(frames))
    if not len(train):
        raise ValueError(
            f"none of {len(frames)} frames has a formula hash below {config.train_below}: give "
            "more frames, or raise train_below"
        )
    held = frames if validation is None else validation
    hashes = formula_hashes(held.group)
    held = held.take(
        (hashes >= config.train_below) & (hashes < config.validate_below) & ~is_element(held)
    )
    known = set(np.unique(train.crystals.atomic_numbers).tolist())
    if start is not None:
        if foreign := start.foreign(known):
            raise ValueError(
                f"{start.name} does not know {foreign}: leave such frames out, or train afresh"
            )
        known = set(start.elements)
    foreign_atoms = ~np.isin(held.crystals.atomic_numbers, sorted(known))
    per_frame = np.bincount(held.crystals.crystal_index[foreign_atoms], minlength=len(held))
    usable = held.take(per_frame == 0)
    return Split(train, usable if len(usable) else None, len(held) - len(usable))


def _initial(run: _Run) -> Potential:
    """The potential that the first step improves."""
    start = run.lessons.start
    if start is None:
        return fresh_potential(run.training, _network(run.config), run.config.seed)
    if run.config.refit:
        return refit(start.potential, run.split.train, run.config.seed)
    return start.potential


def _description(run: _Run) -> str:
    """Data and shape of a batch, in a line."""
    train, fill_of_rows = run.split.train, run.training.n_rows.mean() / run.shape.rows
    return (
        f"{len(train)} frames train ({int(train.first.sum())} first frames, "
        f"{int(train.crystals.offsets[-1])} atoms, {run.training.avg_n_neighbors:.1f} neighbours "
        f"each), {len(run.split.validation) if run.split.validation else 0} validate; batches of "
        f"about {1 / fill_of_rows:.0f} frames, {run.shape.atoms} atoms, {run.shape.rows} rows"
    )


def _progress(found: Report, errors: Validation | None) -> str:
    """How the training goes, in a line."""
    place = found.place
    parts = [f"{100 * place.share:.1f} % in {place.seconds:.0f} s (epoch {place.epoch})"]
    if found.losses is not None:
        mean = found.losses
        parts.append(
            f"losses {1000 * mean.energy:.1f} meV/atom, {mean.forces:.4f} eV/Å, "
            f"{mean.stress:.5f} eV/Å3"
        )
    if errors is not None:
        parts.append(f"validation {errors.all}; gentle frames {errors.gentle}")
    return "; ".join(parts)


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
        **run.lessons.key(config),
        data=run.lessons.name,
        rows=len(train) + (len(held) if held else 0) + run.split.unknown,
        train_rows=len(train),
        train_first_frames=int(train.first.sum()),
        train_atoms=int(train.crystals.offsets[-1]),
        train_formulas=len(set(train.group.tolist())),
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
        command=run.lessons.command,
        stamp=stamp(),
    )
