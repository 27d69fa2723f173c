"""How far a pass is, whoever does its tasks: read from their receipts while they come."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from gnomon.run.listener import Listener
from gnomon.run.passes.work import Receipt, Task, Work, added

EVERY = 1.0
"""Seconds between two looks into the folder."""

SHOWN = 3
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
        """Of a pass that may go on: what was done before is no part of the rate."""
        self.work = work
        self.began = time.monotonic()
        self.receipts: dict[Task, Receipt] = {}
        self.look()
        self.before = frozenset(self.receipts)

    def look(self) -> None:
        """Read the receipts that are new."""
        for step in self.work.steps:
            for task in self.work.tasks(step):
                if task not in self.receipts and self.work.receipt_path(task).is_file():
                    self.receipts[task] = self.work.receipt(task)

    def tell(self, listener: Listener) -> None:
        """Tell how far the step in work is."""
        begun = {task.step for task in self.receipts}
        for step in [step for step in self.work.steps if step in begun][-1:]:
            done = sum(task.step == step for task in self.receipts)
            listener.note(str(self))
            listener.tick(f"{self.work.of.name}: {step}", done, len(self.work.tasks(step)))

    def __str__(self) -> str:
        """Rows that came and went, how fast, how much memory, and what was counted most."""
        every = self.receipts.values()
        new = sum(one.rows for task, one in self.receipts.items() if task not in self.before)
        rate = new / max(time.monotonic() - self.began, 1e-3)
        peak = max((one.peak for one in every), default=0)
        counts = [f"{n:,} {reason}" for reason, n in added(every).most_common(SHOWN) if n]
        rows = sum(one.rows for one in every)
        return ", ".join([f"{rows:,} rows", f"{rate:,.0f}/s", f"{peak / 1e9:.1f} GB", *counts])
