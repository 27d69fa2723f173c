"""The one training loop: it goes on after a kill, keeps the running average and tells how it goes.

What is trained comes in as a step and batches; what becomes of the trained state is the caller's.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gnomon.learn.card import Card
from gnomon.learn.model_file import read_model_file, write_model_file
from gnomon.learn.optimize import (
    OptimizerConfig,
    State,
    advance_members,
    initial_state,
    learning_rate,
)
from gnomon.run.listener import SILENT, Listener

SAVE_EVERY = 60.0
"""Seconds of training that a kill may cost, and about a step more."""

Batch = TypeVar("Batch")
Network = TypeVar("Network", bound=eqx.Module)


class Place(NamedTuple):
    """How far a training has come.

    Attributes:
        epoch: passes over the data that are done.
        batch: batches that are done of the pass in work.
        share: of the whole training that is done, which the learning rate follows.
        seconds: spent so far, all runs together.
    """

    epoch: int = 0
    batch: int = 0
    share: float = 0.0
    seconds: float = 0.0


class Report(NamedTuple):
    """What is known on the way: the state, its place, the mean losses since the last report."""

    state: State
    place: Place
    losses: Any


@dataclass(frozen=True)
class Fitted:
    """A trained state, where it stands, and the mean loss of each epoch."""

    state: State
    place: Place
    history: tuple[float, ...]


@dataclass(frozen=True)
class Session:
    """What a training is given besides data and settings.

    Attributes:
        partial: file that keeps unfinished work, from which the same training goes on.
        listener: hears how it goes.
        save_every: seconds between two times that work is kept and reported [``SAVE_EVERY``].
    """

    partial: Path | None = None
    listener: Listener = SILENT
    save_every: float | None = None


QUIET = Session()
"""Keeps nothing, tells nobody."""


def fit(  # noqa: PLR0913  (what, how, from where, for how long)
    step: Callable[[State, Batch, Float[Array, ""]], tuple[State, Any]],
    batches: Callable[[int, int], Iterable[tuple[float, Batch]]],
    state: State,
    config: OptimizerConfig,
    session: Session = QUIET,
    *,
    run: Mapping[str, Any] | None = None,
    minutes: float | None = None,
    report: Callable[[Report], None] | None = None,
) -> Fitted:
    """Train a state to the end of its schedule.

    A training that was killed goes on from what its session kept, with the same result as if it
    had not been.

    Args:
        step: state, batch and learning rate to the next state and its losses: a number, or a tuple
            of numbers of which the first is the whole.
        batches: of an epoch, without so many at its beginning: the share of the epoch that is
            done after each, and the batch.  The same whenever it is asked for.
        state: where to start.
        config: epochs and learning rates.
        session: where unfinished work is kept, how often, and who hears of it.
        run: what makes two trainings the same, as ``run_key`` of ``gnomon.learn.card``.
        minutes: of training, all runs together, that the schedule runs over instead of epochs.
        report: hears how the training goes each time that work is kept.

    Raises:
        ValueError: if what the session kept is an unfinished training of another run.
    """
    every = SAVE_EVERY if session.save_every is None else session.save_every
    state, place, history, losses = _resumed(session.partial, run, state)
    began, saved = time.monotonic() - place.seconds, time.monotonic()
    recent: list[Any] = []
    while place.share < 1:
        before = sum(weight for weight, _ in losses)
        for done, batch in batches(place.epoch, place.batch):
            rate = jnp.asarray(learning_rate(place.share, config), jnp.float32)
            last = recent[-1] if recent else None
            state, loss = step(state, batch, rate)
            jax.block_until_ready(last)  # type: ignore[no-untyped-call]  # else steps pile up, and the clock says nothing
            recent.append(loss)
            losses.append((done - before, jax.tree.leaves(loss)[0]))
            before, seconds = done, time.monotonic() - began
            by_epochs = (place.epoch + done) / config.epochs
            share = by_epochs if minutes is None else seconds / (60 * minutes)
            place = Place(place.epoch, place.batch + 1, share, seconds)
            session.listener.tick("training", min(round(1000 * share), 1000), 1000)
            if time.monotonic() - saved > every:
                if session.partial is not None:
                    _save(session.partial, run, Fitted(state, place, history), losses)
                if report is not None:
                    report(Report(state, place, jax.tree.map(_mean, *recent)))
                saved, recent = time.monotonic(), []
            if minutes is not None and share >= 1:
                break
        else:
            share = (place.epoch + 1) / config.epochs if minutes is None else place.share
            place = Place(place.epoch + 1, 0, share, place.seconds)
        weights, values = zip(*losses, strict=True)
        history = (*history, float(np.average(np.array(values), weights=weights)))
        losses = []
    return Fitted(state, place, history)


def _mean(*values: Array) -> float:
    return float(np.mean(np.array(values)))


def _save(
    partial: Path, run: Mapping[str, Any] | None, reached: Fitted, losses: list[tuple[float, Any]]
) -> None:
    about = {
        "kind": "unfinished training",
        "run": run,
        "place": reached.place._asdict(),
        "history": reached.history,
        "losses": [(weight, float(loss)) for weight, loss in losses],
    }
    write_model_file(partial, about, reached.state)


def _resumed(
    partial: Path | None, run: Mapping[str, Any] | None, state: State
) -> tuple[State, Place, tuple[float, ...], list[tuple[float, Any]]]:
    """State, place, losses of the epochs and of the batches of an unfinished training, or none."""
    if partial is None or not partial.exists():
        return state, Place(), (), []
    found = read_model_file(partial)
    if found.about.get("run") != run:
        raise ValueError(
            f"{partial} is an unfinished training of other data or settings: delete it, or choose "
            "another file to write"
        )
    about, arrays = found.about, jax.tree.map(jnp.asarray, found.fill(state))
    losses = [(weight, loss) for weight, loss in about["losses"]]
    return arrays, Place(**about["place"]), tuple(about["history"]), losses


# --- ensembles ------------------------------------------------------------------------------------


def fit_members(
    networks: Network,
    loss: Callable[..., Float[Array, ""]],
    batches: Callable[[int], Iterable[tuple[float, Any, tuple[Any, ...]]]],
    config: OptimizerConfig,
    words: Callable[[float], str],
    run: Mapping[str, Any],
    session: Session,
) -> tuple[Network, Fitted]:
    """Train every member of an ensemble on the same batches.

    Args:
        networks: a network with a leading axis of members on every array.
        loss: of a network, a batch, the settings and what is its own of the batch; compiled once
            for each shape.
        batches: of an epoch: the share of it that is done after each, the batch, and what members
            have of their own, along a leading axis.
        config: how members are optimised.
        words: what a mean loss comes to, for people.
        run: what makes two trainings the same, as ``run_key``.
        session: where unfinished work is kept, and who hears of it.

    Returns:
        The networks of averaged weights, and how the training went.
    """
    state, static = initial_state(networks, config, members=True)

    def step(state: State, batch: Any, rate: Float[Array, ""]) -> tuple[State, Float[Array, ""]]:
        return _step(state, static, batch, rate, config, loss)

    def rest(epoch: int, skip: int) -> Iterable[tuple[float, Any]]:
        return ((done, (both, own)) for done, both, own in islice(batches(epoch), skip, None))

    def report(found: Report) -> None:
        session.listener.say(
            f"epoch {found.place.epoch + 1} of {config.epochs}: {words(found.losses)}, "
            f"{found.place.seconds:.0f} s"
        )

    fitted = fit(step, rest, state, config, session, run=run, report=report)
    return eqx.combine(fitted.state.average, static), fitted


@eqx.filter_jit
def _step(
    state: State,
    static: Any,
    batch: tuple[Any, tuple[Any, ...]],
    rate: Float[Array, ""],
    config: OptimizerConfig,
    loss: Callable[..., Float[Array, ""]],
) -> tuple[State, Float[Array, ""]]:
    """One step of every member."""
    both, own = batch

    def of_member(params: Any, *mine: Any) -> Float[Array, ""]:
        return loss(eqx.combine(params, static), both, config, *mine)

    return advance_members(state, rate, config, of_member, *own)


# --- what was trained in a file -------------------------------------------------------------------


@runtime_checkable
class Trained(Protocol):
    """A model that says what it was trained on."""

    @property
    def card(self) -> Card[Any] | None:
        """What it is."""


Model = TypeVar("Model", bound=Trained)


def keep(
    out: Path,
    key: dict[str, Any],
    make: Callable[[Path], Model],
    *,
    load: Callable[[Path], Model],
    save: Callable[[Path, Model], None],
) -> Model:
    """The model in a file, which is made unless it is there.

    Args:
        out: the file.
        key: the ``run_key`` of the model that is wanted.
        make: trains it, and keeps unfinished work in a file.
        load: reads a model from a file.
        save: writes it.

    Raises:
        ValueError: if the file holds a model of other data or settings.
    """
    if out.exists():
        model = load(out)
        if model.card is None or model.card.key != key:
            raise ValueError(
                f"{out} holds a model of other data or settings: choose another file, or delete it"
            )
        return model
    partial = out.with_name(out.name + ".partial")
    model = make(partial)
    save(out, model)
    partial.unlink(missing_ok=True)
    return model
