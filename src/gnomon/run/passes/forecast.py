"""What a pass is going to take, measured on a few of its records before it begins."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gnomon.run.listener import SILENT, Listener
from gnomon.run.passes import Engine
from gnomon.run.passes.batches import as_ipc
from gnomon.run.passes.work import Pass, PassError, Work, sorted_by
from gnomon.run.pool import Lost, Pool

FIRST = 16
"""Records that load and compile what all need, before others are tried (``Pass.sample``, many, as
some records give a thousand rows and most give none)."""

SHARDS = 128
"""Shards at most that the records come from: like records often lie side by side."""

ENOUGH = 8.0
"""Seconds of trying either function after which no more is."""

WORTH = 1000
"""Records of which a forecast is worth its time."""


@dataclass(frozen=True)
class Measured:
    """What became of a sample.

    Seconds are those of a processor, which has nothing else to do.

    Attributes:
        given: records of it.
        mapped: rows that ``map`` made of them.
        begin: seconds of the first time, which load and compile.
        map: seconds of ``map``.
        reduce: seconds of ``reduce`` of the mapped rows, at the rate of the largest part that was
            tried of them.
        size: bytes of the mapped rows, compressed.
    """

    given: int
    mapped: int
    begin: float
    map: float
    reduce: float
    size: int


@dataclass(frozen=True)
class Forecast:
    """What a pass is going to take, if all records are like those of the sample.

    Attributes:
        name: of the pass.
        sample: what was measured.
        given: records in all.
        workers: that share the work.
    """

    name: str
    sample: Measured
    given: int
    workers: int

    @property
    def scale(self) -> float:
        """How many times the sample there is."""
        return self.given / self.sample.given

    @property
    def seconds(self) -> float:
        """Of wall time, where each worker has a core of its own."""
        work = self.scale * (self.sample.map + self.sample.reduce)
        return self.sample.begin + work / self.workers

    def __str__(self) -> str:
        """As a line."""
        one, all_of = self.sample, self.scale
        rate = one.mapped / max(one.map + one.reduce, 1e-6)
        workers = f"{self.workers} worker" + "s" * (self.workers != 1)
        return (
            f"{self.name}: {self.given:,} records give about {all_of * one.mapped:,.0f} rows, in "
            f"{lasting(self.seconds)} with {workers} ({rate:,.0f} rows/s each); "
            f"{all_of * one.size / 1e9:.1f} GB on disk meanwhile "
            f"(measured on {one.given} records)"
        )


def forecast(work: Work, workers: int) -> Forecast:
    """Try a pass on a few of its records, in a process of its own.

    Args:
        work: the pass; nothing is written.
        workers: that will share it.

    Raises:
        PassError: if the process died.
        ValueError: if there are no records.
    """
    first, most = min(FIRST, work.of.sample), min(FIRST, work.of.sample) + work.of.sample
    rows = _spread(work, most).slice(0, most)
    if not len(rows):
        raise ValueError(f"pass {work.of.name!r}: no records")
    with Pool[pa.Table, Measured](_measure, (work.of, first), 1, np.inf) as pool:
        [found] = pool.run([rows])
    if isinstance(found, Lost):
        raise PassError(f"pass {work.of.name!r}: the sample failed: {found.reason}")
    return Forecast(work.of.name, found, work.shards.rows, workers)


@dataclass(frozen=True)
class Foretold:
    """An engine that says what a pass is going to take before it begins.

    Attributes:
        engine: that does it; none for a dry run.
        workers: that share it.
    """

    engine: Engine | None
    workers: int

    def run(self, work: Work, listener: Listener = SILENT) -> None:
        """Say it, and do what is not done.

        Raises:
            DryRunError: where nothing is to be done.
        """
        worth = self.engine is None or work.shards.rows >= WORTH
        if worth and not any(work.is_done(task) for task in work.tasks("map")):
            found = str(forecast(work, self.workers))
            listener.say(found)
            if self.engine is None:
                raise DryRunError(found)
        if self.engine is None:
            raise DryRunError(f"{work.of.name}: it has begun already")
        self.engine.run(work, listener)


class DryRunError(Exception):
    """It was to be said what would be done, and nothing more."""


def _measure(of: Pass, first: int, rows: pa.Table) -> Measured:
    """Try some records, then others, twice as many each time, until it is enough.

    How many rows records give differs more than what a row costs, so all that is tried goes through
    ``map``, and of what comes of it some keys, drawn at random, through ``reduce``.
    """
    began = time.process_time()
    _reduced(of, of.map(rows.slice(0, first)))
    start = time.process_time()
    at = min(first, len(rows) // 2)  # of very few all are tried again
    tried, mapped = 0, []
    while at < len(rows) and time.process_time() - start < ENOUGH:
        some = rows.slice(at, max(tried, FIRST))
        mapped.append(of.map(some).replace_schema_metadata(None))
        tried, at = tried + len(some), at + len(some)
    middle = time.process_time()
    made = pa.concat_tables(mapped).combine_chunks()
    to_reduce = _to_reduce(of, made)
    size = len(as_ipc([made]))
    return Measured(tried, len(made), start - began, middle - start, to_reduce, size)


def _to_reduce(of: Pass, made: pa.Table) -> float:
    """Seconds that mapped rows would take, from those of some of their keys."""
    if of.key is None or not len(made):
        return 0.0
    keys = pc.unique(made[of.key])
    keys = keys.take(np.random.default_rng(0).permutation(len(keys)))
    at, spent, rate = 0, 0.0, 0.0
    while at < len(keys) and spent < ENOUGH:
        some = keys.slice(at, max(at, FIRST))
        own = made.filter(pc.is_in(made[of.key], some))
        began = time.process_time()
        _reduced(of, own)
        took = time.process_time() - began
        at, spent, rate = at + len(some), spent + took, took / len(own)
    return rate * len(made)


def _reduced(of: Pass, mapped: pa.Table) -> pa.Table:
    """What is left of mapped rows in the end."""
    return mapped if of.reduce is None else of.reduce(sorted_by(mapped, of))


def _spread(work: Work, count: int) -> pa.Table:
    """Records drawn from some shards at equal distances; the same each time."""
    places = np.unique(np.linspace(0, len(work.shards) - 1, min(count, SHARDS)).astype(int))
    rng, each, tables = np.random.default_rng(0), -(-count // len(places)), []
    for place in places:
        rows = work.shards.read(int(place))
        tables.append(rows.take(rng.permutation(len(rows))[:each]))
    whole = pa.concat_tables(tables)
    return whole.take(rng.permutation(len(whole)))


def lasting(seconds: float) -> str:
    """Seconds for people.

    >>> lasting(42.0), lasting(5400.0), lasting(1e5)
    ('42 s', '90 min', '28 h')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
