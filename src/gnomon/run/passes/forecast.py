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

SAMPLE = 16
"""Records that are tried, beside as many before, which load and compile what all need."""


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
        map: seconds of ``map``.
        reduce: seconds of ``reduce``.
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
        return (
            f"{self.name}: about {all_of * one.mapped:,.0f} rows of {self.given:,} records, "
            f"{rate:,.0f}/s a worker, {_time(self.seconds)} with {self.workers} workers; "
            f"{all_of * one.size / 1e9:.1f} GB on disk meanwhile "
            f"(measured on {one.given} records)"
        )


def forecast(work: Work, workers: int, sample: int = SAMPLE) -> Forecast:
    """Try a pass on a few of its records, in a process of its own.

    Args:
        work: the pass; nothing is written.
        workers: that will share it.
        sample: how many records, spread over the shards.

    Raises:
        PassError: if the process died.
        ValueError: if there are no records.
    """
    rows = _spread(work, 2 * sample)
    if not len(rows):
        raise ValueError(f"pass {work.of.name!r}: no records")
    with Pool[pa.Table, Measured](_measure, (work.of,), 1, np.inf) as pool:
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


def _measure(of: Pass, rows: pa.Table) -> Measured:
    first, second = (rows.take(np.arange(len(rows))[i::2]) for i in (1, 0))
    began = time.monotonic()
    _both(of, first)
    start = time.monotonic()
    mapped, middle, kept = _both(of, second)
    end = time.monotonic()
    size = len(as_ipc([mapped.replace_schema_metadata(None)]))
    return Measured(
        len(second), len(mapped), len(kept), start - began, middle - start, end - middle, size
    )


def _both(of: Pass, rows: pa.Table) -> tuple[pa.Table, float, pa.Table]:
    """The mapped rows, when they were there, and those in the end."""
    mapped = of.map(rows)
    middle = time.monotonic()
    if of.reduce is None:
        return mapped, middle, mapped
    return mapped, middle, of.reduce(sorted_by(mapped, of))


def _spread(work: Work, count: int) -> pa.Table:
    """Records drawn from some shards at equal distances; the same each time."""
    places = np.unique(np.linspace(0, len(work.shards) - 1, min(count, 8)).astype(int))
    rng, each, tables = np.random.default_rng(0), -(-count // len(places)), []
    for place in places:
        rows = work.shards.read(int(place))
        tables.append(rows.take(rng.permutation(len(rows))[:each]))
    return pa.concat_tables(tables)


def _time(seconds: float) -> str:
    """For people.

    >>> _time(42.0), _time(5400.0), _time(1e5)
    ('42 s', '90 min', '28 h')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
