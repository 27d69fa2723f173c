"""A pass over shards: what its functions are, what of it is done, and one task of it.

The folder of a pass holds, until it is finished, for each task that is done its output and then a
receipt (JSON) that says what it came to.  A task is a pure function of files, so it may be done
twice, at the same time or one after the other: the same bytes get the same name.
"""

from __future__ import annotations

import hashlib
import json
import resource
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from gnomon.run.files import remove
from gnomon.run.passes.batches import as_ipc, batch, read, share, split, starts
from gnomon.run.passes.shards import LIST, Part, Shards, part_name, write_part
from gnomon.run.writing import StoreError, write_bytes, write_json

Function = Callable[[pa.Table], pa.Table]
COUNTS = b"counts"
PASS = "pass.json"


class PassError(RuntimeError):
    """A pass cannot be finished: its functions fail on too much."""


@dataclass(frozen=True)
class Pass:
    """Functions over tables, run over shards by any engine.

    They must be picklable (functions of modules, with ``functools.partial``), take tables without
    rows, and depend on nothing but their table and the files that they name.  ``map`` treats its
    rows, and ``reduce`` its keys, as if they were alone, so that the result is the same however
    they are parted; what ``map`` leaves twice, because it stands in two shards, ``reduce`` joins.

    Attributes:
        name: for people.
        map: rows of a shard to rows.
        key: the column that ``reduce`` groups by; without one there is only ``map``.
        reduce: all rows of some keys, sorted by key, ``order``, and where they came from, to rows.
        order: columns.
        buckets: how many parts the keys are in.
        lost: records on which a worker died or hung, and the reason, to rows; none by default.
        sample: how many records a forecast tries, at most.
    """

    name: str
    map: Function
    key: str | None = None
    reduce: Function | None = None
    order: tuple[str, ...] = ()
    buckets: int = 64
    lost: Callable[[pa.Table, str], pa.Table] | None = None
    sample: int = 512

    def __post_init__(self) -> None:
        """Check that it can be run."""
        if (self.key is None) != (self.reduce is None):
            raise ValueError(f"pass {self.name!r}: `key` and `reduce` go together")
        if self.buckets < 1:
            raise ValueError(f"pass {self.name!r}: at least one bucket, not {self.buckets}")


def sorted_by(rows: pa.Table, of: Pass) -> pa.Table:
    """Rows as ``reduce`` gets them: by key, then by the pass's order; equal ones as they came."""
    assert of.key is not None
    keys = [(name, "ascending") for name in dict.fromkeys((of.key, *of.order))]
    return rows.combine_chunks().take(pc.sort_indices(rows, sort_keys=keys))  # stable


def counted(rows: pa.Table, counts: Mapping[str, int]) -> pa.Table:
    """Rows that carry counts of what became of others; those of all tasks are added.

    >>> rows = counted(pa.table({"n": [1]}), {"too close": 2})
    >>> counts_of(rows)
    Counter({'too close': 2})
    """
    metadata = dict(rows.schema.metadata or {})
    return rows.replace_schema_metadata({**metadata, COUNTS: json.dumps(dict(counts))})


def counts_of(rows: pa.Table) -> Counter[str]:
    """The counts that rows carry."""
    return Counter(json.loads((rows.schema.metadata or {}).get(COUNTS, b"{}")))


@dataclass(frozen=True)
class Task:
    """A piece of a pass.

    Attributes:
        step: which function.
        number: of the shard to map, of the bucket to reduce.
        piece: (i, n): of its rows, or keys, the i-th of n equal shares.
        reason: why these records are given up; empty where the function is to be asked.
        joins: the pieces whose results make that of the whole.
    """

    step: Literal["map", "reduce"]
    number: int
    piece: tuple[int, int] = (0, 1)
    reason: str = ""
    joins: tuple[tuple[int, int], ...] = ()

    @property
    def name(self) -> str:
        """Of its files."""
        i, n = self.piece
        return f"{self.step}-{self.number:05d}" + (f".{i}of{n}" if n > 1 else "")

    @property
    def whole(self) -> Task:
        """The task that it is a piece of."""
        return Task(self.step, self.number)


@dataclass(frozen=True)
class Receipt:
    """What a task came to.

    Attributes:
        rows: of its output.
        given: rows that it began with.
        sha256: of the output.
        counts: by reason.
        lost: records that were given up.
        seconds: of wall time.
        cpu_seconds: of all threads of its process.
        peak: of memory of the process so far, bytes.
    """

    rows: int
    given: int
    sha256: str
    counts: dict[str, int] = field(default_factory=dict)
    lost: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak: int = 0


def added(receipts: Iterable[Receipt]) -> Counter[str]:
    """The counts of several."""
    counts: Counter[str] = Counter()
    for one in receipts:
        counts.update(one.counts)
    return counts


@dataclass(frozen=True)
class Failed:
    """A function that raised: asked again, it would again."""

    reason: str


@dataclass(frozen=True)
class Work:
    """A pass over shards into a folder."""

    of: Pass
    shards: Shards
    out: Path

    @property
    def finished(self) -> bool:
        """Whether all is there."""
        return (self.out / LIST).is_file()

    def begin(self) -> None:
        """Make the folder, or check that it is of this pass.

        Raises:
            StoreError: if it is of another pass or other shards.
        """
        this = {
            "pass": self.of.name,
            "key": self.of.key,
            "order": list(self.of.order),
            "buckets": self.of.buckets,
            "shards": self.shards.digest,
        }
        path = self.out / PASS
        try:
            found = json.loads(path.read_bytes()) if path.is_file() else None
        except ValueError:
            found = {}
        if found is None:
            write_json(path, this)
        elif found != this:
            raise StoreError(
                f"{self.out} holds another pass, or one over other shards: remove it to begin anew"
            )

    @property
    def steps(self) -> tuple[Literal["map", "reduce"], ...]:
        """One after the other."""
        return ("map",) if self.of.reduce is None else ("map", "reduce")

    def tasks(self, step: Literal["map", "reduce"]) -> list[Task]:
        """All of a step."""
        count = len(self.shards) if step == "map" else self.of.buckets
        return [Task(step, number) for number in range(count)]

    def waiting(self, step: Literal["map", "reduce"]) -> list[Task]:
        """Those that are not done."""
        return [task for task in self.tasks(step) if not self.is_done(task)]

    def is_done(self, task: Task) -> bool:
        """Whether its output is there."""
        return self.receipt_path(task).is_file() and self.output(task).is_file()

    def receipt(self, task: Task) -> Receipt:
        """Of a task that is done."""
        return Receipt(**json.loads(self.receipt_path(task).read_bytes()))

    def receipt_path(self, task: Task) -> Path:
        """The file of its receipt, which appears after its output."""
        return self.out / f"{task.name}.json"

    def output(self, task: Task) -> Path:
        """The file of its rows: a part, or what others read."""
        if task.piece == (0, 1) and task.step == self.steps[-1]:
            return self.out / part_name(task.number)
        return self.out / f"{task.name}.arrow"

    def bucket(self, number: int) -> pa.Table:
        """The rows of a bucket, shard by shard."""
        files = [self.output(task) for task in self.tasks("map")]
        parts = [batch(path, number, self.of.buckets) for path in files]
        return pa.concat_tables(parts, promote_options="default")  # of an earlier release: fewer

    def given(self, task: Task) -> pa.Table:
        """The rows that a task begins with."""
        if task.step == "map":
            rows = self.shards.read(task.number)
            return rows.slice(*share(len(rows), task.piece))
        assert self.of.key is not None
        rows = sorted_by(self.bucket(task.number), self.of)
        begins = starts(rows[self.of.key])
        first, count = share(len(begins) - 1, task.piece)
        begin, end = begins[first], begins[first + count]
        return rows.slice(begin, end - begin)

    def items(self, task: Task) -> int:
        """Into how many pieces a task could be divided."""
        rows = self.given(task)
        return len(rows) if task.step == "map" else len(starts(rows[self.of.key])) - 1

    def do(self, task: Task) -> Receipt | Failed:
        """Do a task, unless it is done.

        Whatever its function raises is told; errors of the folder are raised.
        """
        if self.is_done(task):
            return self.receipt(task)
        began, worked = time.monotonic(), time.process_time()
        given = 0
        if task.joins:
            pieces = [Task(task.step, task.number, piece) for piece in task.joins]
            receipts = [self.receipt(piece) for piece in pieces]
            counts = added(receipts)
            rows = pa.concat_tables(read(self.output(piece)) for piece in pieces)
            lost = [record for one in receipts for record in one.lost]
        else:
            table = self.given(task)
            given, lost = len(table), self._lost(task, table) if task.reason else []
            try:
                rows = self._function(task)(table)
                if not isinstance(rows, pa.Table):
                    raise TypeError(f"{task.step} gave {type(rows).__name__}, not a table")
                counts = counts_of(rows)
            except Exception as error:  # whatever a function raises, on records of any kind
                return Failed(_told(error))
        receipt = Receipt(
            len(rows),
            given,
            self._write(task, rows.replace_schema_metadata(None)),
            dict(counts),
            lost,
            round(time.monotonic() - began, 3),
            round(time.process_time() - worked, 3),
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS,
        )
        write_json(self.receipt_path(task), asdict(receipt))
        return receipt

    def _function(self, task: Task) -> Function:
        """What makes the rows of a task."""
        function = self.of.map if task.step == "map" else self.of.reduce
        assert function is not None
        if not task.reason:
            return function
        if self.of.lost is None:
            return lambda given: function(given.slice(0, 0))
        lost = self.of.lost
        return lambda given: lost(given, task.reason)

    def _lost(self, task: Task, given: pa.Table) -> list[dict[str, Any]]:
        """What says which records these are."""
        which: dict[str, Any] = {"step": task.step, "number": task.number, "reason": task.reason}
        if task.step == "map":
            row = share(self.shards.parts[task.number].rows, task.piece)[0]
            return [which | {"row": row}] if len(given) else []
        return [which | {"key": str(key)} for key in pc.unique(given[self.of.key]).to_pylist()]

    def _write(self, task: Task, rows: pa.Table) -> str:
        """Write the output of a task; its checksum."""
        if task.piece == (0, 1) and task.step == self.steps[-1]:
            return write_part(self.out, task.number, rows).sha256
        batches = [rows]
        if task.piece == (0, 1):
            assert self.of.key is not None
            batches = split(rows, self.of.key, self.of.buckets)
        data = as_ipc(batches)
        write_bytes(self.output(task), data)
        return hashlib.sha256(data).hexdigest()

    def end(self) -> Shards:
        """List the output, and remove what is not part of it."""
        receipts = {step: [self.receipt(task) for task in self.tasks(step)] for step in self.steps}
        every = [one for found in receipts.values() for one in found]
        parts = [
            Part(part_name(i), one.rows, one.sha256)
            for i, one in enumerate(receipts[self.steps[-1]])
        ]
        facts = {
            "seconds": {
                step: round(sum(r.seconds for r in found), 3) for step, found in receipts.items()
            },
            "cpu_seconds": {
                step: round(sum(r.cpu_seconds for r in found), 3)
                for step, found in receipts.items()
            },
            "peak_bytes": max(one.peak for one in every),
        }
        counts = added(every)
        lost = tuple(record for one in every for record in one.lost)
        shards = Shards(self.out, tuple(parts), dict(sorted(counts.items())), lost, facts)
        shards.finish()
        self.tidy()
        return shards

    def tidy(self) -> None:
        """Remove what is not part of the output."""
        keep = {PASS, LIST, *(part.name for part in Shards.open(self.out).parts)}
        for path in self.out.iterdir():
            if path.name not in keep:
                remove(path)


def _told(error: Exception) -> str:
    """An error in a line, with its place."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({Path(last.filename).name}, line {last.lineno})"


_MAXRSS = 1 if sys.platform == "darwin" else 1024
"""Bytes in the unit of ru_maxrss."""
