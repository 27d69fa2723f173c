"""How far a pass is, whoever does its tasks: read from their receipts while they come."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

from gnomon.run.listener import Listener
from gnomon.run.passes.work import Receipt, Task, Work, added

EVERY = 1.0
"""Seconds between two looks into the folder."""

SHOWN = 6
"""Reasons that stand in the live line."""


@contextmanager
def watching(work: Work, listener: Listener) -> Iterator[None]:
    """Tell how far the pass is while the block runs."""
    over = threading.Event()
    progress = Progress(work)
    watch = threading.Thread(target=_watch, args=(progress, listener, over), daemon=True)
    watch.start()
    try:
        yield
    finally:
        over.set()
        watch.join()
        listener.note("")


def _watch(progress: Progress, listener: Listener, over: threading.Event) -> None:
    last = False
    while not last:
        last = over.wait(EVERY)
        with suppress(OSError, ValueError):  # a file system that is slow to show what is there
            progress.look()
        progress.tell(listener)


class Progress:
    """What the receipts of a pass say so far."""

    def __init__(self, work: Work) -> None:
        """Of a pass that may go on."""
        self.work = work
        self.receipts: dict[Task, Receipt] = {}
        self.look()

    def look(self) -> None:
        """Read the receipts that are new."""
        for step in self.work.steps:
            for task in self.work.tasks(step):
                if task not in self.receipts and self.work.receipt_path(task).is_file():
                    self.receipts[task] = self.work.receipt(task)

    def tell(self, listener: Listener) -> None:
        """Tell how far the step in work is."""
        done = sum(task.step == self.step for task in self.receipts)
        listener.note(str(self))
        listener.tick(f"{self.work.of.name}: {self.step}", done, len(self.work.tasks(self.step)))

    @property
    def step(self) -> Literal["map", "reduce"]:
        """The one in work."""
        begun = {task.step for task in self.receipts}
        return [step for step in self.work.steps if step in begun][-1] if begun else "map"

    def __str__(self) -> str:
        """Rows that went in and came out of the step in work, how fast, the memory of the largest
        worker, and what was counted most in the whole pass."""
        if not self.receipts:
            return ""
        every = self.receipts.values()
        step = [one for task, one in self.receipts.items() if task.step == self.step]
        given, rows = sum(one.given for one in step), sum(one.rows for one in step)
        rate = max(given, rows) / max(sum(one.seconds for one in step), 1e-3)
        peak = max(one.peak for one in every)
        counts = [f"{n:,} {reason}" for reason, n in added(every).most_common(SHOWN) if n]
        flow = f"{given:,} to {rows:,} rows"
        speed = f"{rate:,.{0 if rate >= 10 else 1}f}/s a worker"
        return ", ".join([flow, speed, f"{peak / 1e9:.1f} GB", *counts])
