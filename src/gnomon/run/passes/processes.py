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
        options: it has none.
    """

    workers: int = 0
    limit: float = math.inf
    options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what it has not."""
        if self.options:
            raise ValueError(f"worker processes have no options, but {self.options[0]} was given")

    def run(self, work: Work, listener: Listener = SILENT) -> None:
        """Do what is not done."""
        with Pool[Task, Receipt | Failed](do, (work,), processes(self.workers), self.limit) as pool:
            for step in work.steps:
                for _ in carefully(work, pool, work.waiting(step)):
                    pass
