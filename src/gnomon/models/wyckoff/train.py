"""Training of the transformer on crystals."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float64, Int8, Int64
from pydantic import Field

from gnomon.crystals import Crystals
from gnomon.learn.card import run_key, sha256_of_arrays
from gnomon.learn.fit import QUIET, Report, Session, fit
from gnomon.learn.optimize import OptimizerConfig, State, advance, initial_state
from gnomon.learn.split import SplitConfig
from gnomon.models.wyckoff.layers import Dropout, WyckoffConfig
from gnomon.models.wyckoff.model import GeneratorCard, HeldOut, WyckoffModel
from gnomon.models.wyckoff.network import BUCKETS, Losses, Wyckoff
from gnomon.models.wyckoff.properties import NAME, Property
from gnomon.models.wyckoff.sequences import (
    MAX_ORBITS,
    Batch,
    Sequences,
    Tables,
    batches,
    sequences,
    tables,
)
from gnomon.run.stamp import stamp

ROWS = 64
"""Crystals that the loss of a step is divided by, whatever its shape: each weighs the same."""

SHOWN = 512
"""Validation rows whose loss is told on the way."""


class GeneratorTrainConfig(SplitConfig):
    """How the generator is trained."""

    network: WyckoffConfig = WyckoffConfig()
    optimizer: OptimizerConfig = OptimizerConfig(
        epochs=40, batch=1024, learning_rate=2e-3, weight_decay=0.05, clip=10.0, averaging=0.998
    )
    max_orbits: int = Field(
        default=MAX_ORBITS, ge=1, le=MAX_ORBITS, description="of a crystal that trains"
    )
    dropout: float = Field(
        default=0.2, ge=0, lt=1, description="share of what each block adds that a step forgets"
    )
    buckets: int = Field(
        default=4, ge=2, le=BUCKETS, description="of a property, equally full unless it has edges"
    )
    seed: int = Field(default=0, ge=0, description="of the weights and the order of the rows")


@dataclass(frozen=True, eq=False)
class PropertyRows:
    """A property of crystals that a generator is to know.

    Attributes:
        name: by which it is asked for.
        unit: of the values.
        values: n of them, NaN where unknown.
        scheme: where they are from.
        edges: upper bounds of its ranges but the last; None: those that make them equally full.
    """

    name: str
    unit: str
    values: Float64[np.ndarray, " n"]
    scheme: str
    edges: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(NAME, self.name):
            raise ValueError(f"{self.name!r} is no name to ask by: take letters, digits and _")
        edges = self.edges or ()
        if len(edges) >= BUCKETS or list(edges) != sorted(set(edges)):
            raise ValueError(
                f"edges of {self.name} must rise and be fewer than {BUCKETS}, not {edges}"
            )

    def property_of(self, training: Bool[np.ndarray, " n"], buckets: int) -> Property:
        """Its ranges: as given, or by quantiles over the rows that train.

        Where many values are the same, as the gap of metals is, ranges without a row are left out.
        """
        edges, known = self.edges, self.values[training & np.isfinite(self.values)]
        if edges is None:
            inner = np.arange(1, buckets) / buckets
            found = (
                [float(f"{edge:.4g}") for edge in np.quantile(known, inner)] if len(known) else []
            )
            edges = tuple(sorted({edge for edge in found if edge < known.max()}))
        return Property(name=self.name, unit=self.unit, scheme=self.scheme, edges=edges)


@dataclass(frozen=True, eq=False)
class GeneratorRows:
    """What a generator is trained on.

    Attributes:
        crystals: n of them.
        e_above_hull: eV/atom, NaN where unknown.
        name: of the data, for the card.
        properties: what candidates may be asked for.
    """

    crystals: Crystals
    e_above_hull: Float64[np.ndarray, " n"]
    name: str
    properties: tuple[PropertyRows, ...] = ()

    @property
    def columns(self) -> tuple[np.ndarray, ...]:
        """All numbers, for the checksum."""
        c = self.crystals
        return (
            *(c.lattice, c.atomic_numbers, c.frac_coords, c.offsets),
            self.e_above_hull,
            *(part for one in self.properties for part in (one.values, np.array(one.edges or ()))),
        )

    @property
    def scheme(self) -> str:
        """Names, units and origin of the properties."""
        return "; ".join(f"{one.name} ({one.unit}), {one.scheme}" for one in self.properties)

    def properties_of(self, config: GeneratorTrainConfig) -> tuple[Property, ...]:
        """What is asked for, with ranges."""
        training, _ = config.masks(self.crystals.reduced_formulas)
        return tuple(one.property_of(training, config.buckets) for one in self.properties)

    def buckets(self, known: Sequence[Property]) -> Int8[np.ndarray, "n p"]:
        """The range of each crystal of each property, 0 where its value is not known."""
        found = np.zeros((len(self.crystals), len(known)), np.int8)
        for k, (one, rows) in enumerate(zip(known, self.properties, strict=True)):
            found[:, k] = one.buckets(rows.values)
        return found


def train_generator(
    data: GeneratorRows,
    config: GeneratorTrainConfig,
    session: Session = QUIET,
) -> WyckoffModel:
    """Train a transformer; the model that comes out has a card.

    Args:
        data: crystals with what is known of them; those with more than ``max_orbits`` orbits are
            left out.
        config: settings; ``optimizer.batch`` counts tokens.
        session: where unfinished work is kept, and who hears of it.

    Raises:
        ValueError: if too few rows train, or the unfinished work is that of another training.
    """
    made = sequences(
        data.crystals,
        data.e_above_hull,
        data.buckets(data.properties_of(config)),
        listener=session.listener,
    )
    return train_sequences(data, made, config, session)


def train_sequences(
    data: GeneratorRows,
    made: tuple[Sequences, Int64[np.ndarray, " k"]],
    config: GeneratorTrainConfig,
    session: Session = QUIET,
) -> WyckoffModel:
    """The same from sequences that were made before.

    Args:
        data: crystals with what is known of them.
        made: sequences, and which of the crystals have them.
        config: settings.
        session: where unfinished work is kept, and who hears of it.
    """
    training, held = parted(data, made, config)
    network, seconds = train_network(
        Wyckoff(config.network, tables(), config.seed, len(data.properties)),
        training,
        held,
        config,
        session,
        run_key(data.columns, config, data.scheme),
    )
    card = GeneratorCard(
        kind=WyckoffModel.kind,
        scheme=data.scheme,
        data=data.name,
        data_sha256=sha256_of_arrays(data.columns),
        rows=len(data.crystals),
        train_rows=len(training),
        split=config.rule,
        config=config.model_dump(mode="json"),
        validation=held_out(network, held, config) if len(held) else None,
        wall_seconds=seconds,
        stamp=stamp(),
        properties=data.properties_of(config),
        elements=tuple(np.unique(training.elements[training.elements > 0]).tolist()),
    )
    return WyckoffModel(network, card)


def parted(
    data: GeneratorRows,
    made: tuple[Sequences, Int64[np.ndarray, " k"]],
    config: GeneratorTrainConfig,
) -> tuple[Sequences, Sequences]:
    """Sequences that train, and those that validate, without the long ones."""
    every, rows = made
    short = every.orbits <= config.max_orbits
    every, rows = every.take(np.flatnonzero(short)), rows[short]
    split = config.split(data.crystals.reduced_formulas[rows])
    return every.take(split.train), every.take(split.validation)


def train_network(
    network: Wyckoff,
    training: Sequences,
    validation: Sequences,
    config: GeneratorTrainConfig,
    session: Session,
    run: dict[str, Any],
) -> tuple[Wyckoff, float]:
    """The network of averaged weights, and how many seconds it took."""
    state, static = initial_state(network, config.optimizer, members=False)
    known = Tables(*map(np.asarray, network.tables))

    def step(state: State, batch: Batch, rate: Float[Array, ""]) -> tuple[State, Losses]:
        return _step(state, static, batch, rate, config)

    def epoch(number: int, skip: int) -> Iterator[tuple[float, Batch]]:
        rng = np.random.default_rng([config.seed, number])
        done = 0
        for rows, batch in batches(training, known, config.optimizer.batch, rng):
            done += rows
            if skip:
                skip -= 1
            else:
                yield done / len(training), batch

    def report(found: Report) -> None:
        told = Losses(*found.losses)
        words = f"epoch {found.place.epoch + 1}: {told.all:.2f} nats a crystal"
        if len(validation):
            rows = np.arange(min(SHOWN, len(validation)))
            average = eqx.combine(found.state.average, static)
            words += f", held out {held_out(average, validation.take(rows), config).nats:.2f}"
        session.listener.say(f"{words}, {found.place.seconds:.0f} s")

    fitted = fit(step, epoch, state, config.optimizer, session, run=run, report=report)
    return eqx.combine(fitted.state.average, static), fitted.place.seconds


def held_out(network: Wyckoff, data: Sequences, config: GeneratorTrainConfig) -> HeldOut:
    """Nats a crystal of rows that trained nothing, under conditions left out as in training."""
    known = Tables(*map(np.asarray, network.tables))
    rng = np.random.default_rng(config.seed)
    total, n = np.zeros(5), 0
    for rows, batch in batches(data, known, config.optimizer.batch, rng):
        total += np.asarray(_sums(network, batch))
        n += rows
    parts = (total / n).round(4).tolist()
    return HeldOut(
        rows=n, nats=round(sum(parts), 4), parts=dict(zip(Losses._fields[1:], parts, strict=True))
    )


@eqx.filter_jit
def _sums(network: Wyckoff, batch: Batch) -> Float[Array, " 5"]:
    return jnp.sum(network.losses(batch) * batch.real[:, None], axis=0)


@eqx.filter_jit
def _step(
    state: State, static: Any, batch: Batch, rate: Float[Array, ""], config: GeneratorTrainConfig
) -> tuple[State, Losses]:
    def loss(params: Any) -> tuple[Float[Array, ""], Losses]:
        lost = Dropout(jax.random.key(batch.seed), config.dropout)
        parts = eqx.combine(params, static).losses(batch, lost)
        parts = jnp.sum(parts * batch.real[:, None], axis=0)
        mean = parts / jnp.sum(batch.real)
        return jnp.sum(parts) / ROWS, Losses(jnp.sum(mean), *mean)

    return advance(state, rate, config.optimizer, loss)
