"""What a pass is going to take, measured on a few of its records before it begins."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from gnomon.run.listener import SILENT, Listener
from gnomon.run.passes import Engine
from gnomon.run.passes.batches import as_ipc
from gnomon.run.passes.work import Pass, PassError, Work, sorted_by
from gnomon.run.pool import Lost, Pool

FIRST, SAMPLE = 16, 512
"""Records that load and compile what all need, and at most those that are tried after them: some
records give a thousand rows and most give none."""

ENOUGH = 15.0
"""Seconds of trying after which no more records are."""

WORTH = 1000
"""Records of which a forecast is worth its time."""


@dataclass(frozen=True)
class Measured:
    """What became of a sample.

    Attributes:
        given: records of it.
        mapped: rows that ``map`` made of them.
        kept: rows in the end.
        begin: seconds of the first time, which load and compile.
        map: seconds of ``map``, at the rate of the largest part of the sample.
        reduce: seconds of ``reduce``, likewise.
        size: bytes of the mapped rows, compressed.
    """

    given: int
    mapped: int
    kept: int
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
        """Of wall time."""
        work = self.scale * (self.sample.map + self.sample.reduce)
        return self.sample.begin + work / self.workers

    def __str__(self) -> str:
        """As a line."""
        one, all_of = self.sample, self.scale
        rate = one.mapped / max(one.map + one.reduce, 1e-6)
        workers = f"{self.workers} worker" + "s" * (self.workers != 1)
        return (
            f"{self.name}: {self.given:,} records give about {all_of * one.mapped:,.0f} rows, in "
            f"{_time(self.seconds)} with {workers} ({rate:,.0f} rows/s each); "
            f"{all_of * one.size / 1e9:.1f} GB on disk meanwhile "
            f"(measured on {one.given} records)"
        )


def forecast(work: Work, workers: int, sample: int = SAMPLE) -> Forecast:
    """Try a pass on a few of its records, in a process of its own.

    Args:
        work: the pass; nothing is written.
        workers: that will share it.
        sample: how many records at most, spread over the shards.

    Raises:
        PassError: if the process died.
        ValueError: if there are no records.
    """
    first = min(FIRST, sample)
    rows = _spread(work, first + sample).slice(0, first + sample)
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

    The times are those of the last and largest part: small ones have a larger share of what each
    costs whatever it holds.
    """
    began = time.monotonic()
    _both(of, rows.slice(0, first))
    start = time.monotonic()
    given = mapped = kept = size = 0
    spent, times = 0.0, np.zeros(2)
    at = min(first, len(rows) // 2)  # of very few all are tried again
    while at < len(rows) and spent < ENOUGH:
        some = rows.slice(at, max(given, FIRST))
        before = time.monotonic()
        made, middle, left = _both(of, some)
        times = np.array([middle - before, time.monotonic() - middle]) / max(len(made), 1)
        spent += float(times.sum()) * max(len(made), 1)
        given, mapped, kept = given + len(some), mapped + len(made), kept + len(left)
        size += len(as_ipc([made.replace_schema_metadata(None)]))
        at += len(some)
    to_map, to_reduce = (times * max(mapped, 1)).tolist()
    return Measured(given, mapped, kept, start - began, to_map, to_reduce, size)


def _both(of: Pass, rows: pa.Table) -> tuple[pa.Table, float, pa.Table]:
    """The mapped rows, when they were there, and those in the end."""
    mapped = of.map(rows)
    middle = time.monotonic()
    if of.reduce is None:
        return mapped, middle, mapped
    return mapped, middle, of.reduce(sorted_by(mapped, of))


def _spread(work: Work, count: int) -> pa.Table:
    """Records drawn from some shards at equal distances; the same each time."""
    places = np.unique(np.linspace(0, len(work.shards) - 1, min(count, 16)).astype(int))
    rng, each, tables = np.random.default_rng(0), -(-count // len(places)), []
    for place in places:
        rows = work.shards.read(int(place))
        tables.append(rows.take(rng.permutation(len(rows))[:each]))
    whole = pa.concat_tables(tables)
    return whole.take(rng.permutation(len(whole)))


def _time(seconds: float) -> str:
    """For people.

    >>> _time(42.0), _time(5400.0), _time(1e5)
    ('42 s', '90 min', '28 h')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
