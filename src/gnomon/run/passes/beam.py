"""Passes as pipelines of Apache Beam, on any of its runners.

The rows of a bucket travel through Beam: (bucket, (shard, Arrow's file format)), grouped by bucket.
Shards are read and parts are written where they lie, so workers must see that folder.  A task runs
in a process of its own beside Beam's worker: a record on which it dies or hangs costs one row,
where Beam would try the bundle again and then end the pipeline.
"""

from __future__ import annotations

import math
import tempfile
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa

from gnomon.run.files import remove
from gnomon.run.listener import SILENT, Listener
from gnomon.run.passes.batches import as_ipc, batches, read
from gnomon.run.passes.careful import carefully, do
from gnomon.run.passes.work import Failed, Receipt, Task, Work
from gnomon.run.pool import Pool, processes
from gnomon.run.writing import write_bytes

RUNNERS = {
    "direct": "apache_beam.runners.portability.fn_api_runner.FnApiRunner",
    "flink": "FlinkRunner",
    "spark": "SparkRunner",
    "dataflow": "DataflowRunner",
}
"""Runners to what Beam calls them: its ``DirectRunner`` would fetch a program first."""


@dataclass(frozen=True)
class Beam:
    """A runner of Apache Beam.

    Attributes:
        workers: processes of the direct runner, 0 for one a core; others are told by ``options``.
        limit: seconds that one task may take before its process is stopped.
        options: as Beam takes them, such as ``--flink_master=localhost:8081``.
        runner: one of ``RUNNERS``.
    """

    workers: int = 0
    limit: float = math.inf
    options: tuple[str, ...] = ()
    runner: str = "direct"

    def run(self, work: Work, listener: Listener = SILENT) -> None:
        """Do what is not done; shards are mapped anew where a bucket of theirs is missing."""
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions

        own = ["--direct_running_mode=multi_processing"]
        own += [f"--direct_num_workers={processes(self.workers)}"]
        options = PipelineOptions([*(own if self.runner == "direct" else ()), *self.options])
        last = work.steps[-1]
        left = frozenset(task.number for task in work.waiting(last))
        shards = left if last == "map" else range(len(work.shards))
        if not left:
            return
        with beam.Pipeline(RUNNERS[self.runner], options) as pipeline:
            rows = (
                pipeline
                | "shards" >> beam.Create(sorted(shards))
                | "map" >> beam.FlatMap(partial(_mapped, work, self.limit, left))
            )
            if last == "reduce":
                _ = (
                    rows
                    | "group" >> beam.GroupByKey()
                    | "reduce" >> beam.Map(partial(_reduced, work, self.limit))
                )


direct = partial(Beam, runner="direct")
flink = partial(Beam, runner="flink")
spark = partial(Beam, runner="spark")
dataflow = partial(Beam, runner="dataflow")


@dataclass(frozen=True)
class Local(Work):
    """A pass in a folder of one worker, to which the rows of a bucket are brought."""

    def bring(self, number: int, tables: Iterable[pa.Table]) -> Path:
        """Write the rows of a bucket where ``bucket`` finds them."""
        return write_bytes(self._brought(number), as_ipc([pa.concat_tables(tables)]))

    def bucket(self, number: int) -> pa.Table:
        """Its rows."""
        return read(self._brought(number))

    def _brought(self, number: int) -> Path:
        return self.out / f"bucket-{number:05d}.arrow"


def _mapped(
    work: Work, limit: float, left: frozenset[int], number: int
) -> Iterator[tuple[int, tuple[int, bytes]]]:
    """Map a shard; its rows for each bucket that is left, one shard's even where there are none."""
    task = Task("map", number)
    local = _done(work, limit, task)
    if work.of.reduce is not None:
        for bucket, rows in enumerate(batches(local.output(task))):
            if bucket in left and (number == 0 or len(rows)):
                yield bucket, (number, as_ipc([rows]))
        remove(local.output(task))


def _reduced(work: Work, limit: float, group: tuple[int, Iterable[tuple[int, bytes]]]) -> None:
    """Reduce a bucket, whose rows came in any order."""
    bucket, values = group
    brought = dict(values)
    tables = (pa.ipc.open_file(pa.BufferReader(brought[i])).read_all() for i in sorted(brought))
    _done(work, limit, Task("reduce", bucket), tables)


_HERE = threading.local()
"""The process beside this thread."""


def _done(work: Work, limit: float, task: Task, tables: Iterable[pa.Table] | None = None) -> Local:
    """Do a task beside, and put what belongs there into the folder of the pass."""
    if getattr(_HERE, "work", None) != work:
        if hasattr(_HERE, "pool"):
            _HERE.pool.__exit__()
        _HERE.folder = tempfile.TemporaryDirectory(prefix="gnomon-")
        _HERE.local = Local(work.of, work.shards, Path(_HERE.folder.name))
        _HERE.pool = Pool[Task, Receipt | Failed](do, (_HERE.local,), 1, limit)
        _HERE.work = work
    local: Local = _HERE.local
    brought = None if tables is None else local.bring(task.number, tables)
    for _ in carefully(local, _HERE.pool, [task]):
        names = [local.output(task).name] if task.step == work.steps[-1] else []
        for name in [*names, local.receipt_path(task).name]:
            write_bytes(work.out / name, (local.out / name).read_bytes())
            remove(local.out / name)
    if brought:
        remove(brought)
    return local
