"""Passes: pure functions over the shards of a table, run by an engine that is chosen by name.

A pass maps shards, and may group their rows by a key and reduce each group.  It goes on where it
was stopped, and its answer is the same whatever the engine, the number of workers, and their
deaths: a task is a function of files, its output appears whole or not at all, and rows are sorted
before they are reduced.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

from gnomon.run.listener import SILENT, Listener
from gnomon.run.passes.progress import watching
from gnomon.run.passes.shards import Shards
from gnomon.run.passes.work import Pass, PassError, Work, counted
from gnomon.run.registry import Registry

__all__ = ["ENGINES", "Engine", "Pass", "PassError", "Shards", "counted", "run"]


@runtime_checkable
class Engine(Protocol):
    """What gets the tasks of a pass done."""

    def run(self, work: Work, listener: Listener = SILENT) -> None:
        """Do all that is not done."""


ENGINES = Registry(
    "engine",
    "gnomon.engines",
    {
        "processes": "gnomon.run.passes.processes:Processes",
        "direct": "gnomon.run.passes.beam:direct",
        "flink": "gnomon.run.passes.beam:flink",
        "spark": "gnomon.run.passes.beam:spark",
        "dataflow": "gnomon.run.passes.beam:dataflow",
        "slurm": "gnomon.run.passes.slurm:Slurm",
        "joined": "gnomon.run.passes.slurm:Joined",
    },
)
"""Engines by name."""


def run(of: Pass, shards: Shards, out: Path, engine: Engine, listener: Listener = SILENT) -> Shards:
    """Run a pass, or what is left of it; the same bytes from any engine.

    Args:
        of: the functions.
        shards: the table that they are run over.
        out: folder of the result.
        engine: what runs them.
        listener: hears the progress.

    Returns:
        A part for each shard or, with a key, for each bucket.

    Raises:
        StoreError: if the folder holds another pass, is damaged, or cannot be written.
        PassError: if a function fails on too many records.
    """
    work = Work(of, shards, out)
    work.begin()
    if not work.finished:
        with watching(work, listener):
            engine.run(work, listener)
        return work.end()
    work.tidy()
    return Shards.open(out)
