"""The engine that is always there: worker processes on this machine."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gnomon.run.listener import SILENT, Listener
from gnomon.run.passes.careful import carefully, do
from gnomon.run.passes.work import Failed, Receipt, Task, Work
from gnomon.run.pool import Pool, processes


@dataclass(frozen=True)
class Processes:
    """Worker processes; each holds one shard, or one bucket, at a time.

    Attributes:
        workers: how many; 0 for one a core.
        limit: seconds that one task may take before its worker is stopped.
    """

    workers: int = 0
    limit: float = math.inf

    def run(self, work: Work, listener: Listener = SILENT) -> None:
        """Do what is not done."""
        with Pool[Task, Receipt | Failed](do, (work,), processes(self.workers), self.limit) as pool:
            for step in work.steps:
                waiting = work.waiting(step)
                total, left = len(work.tasks(step)), len(waiting)
                for done, _ in enumerate(carefully(work, pool, waiting), 1 + total - left):
                    listener.tick(f"{work.of.name}: {step}", done, total)
