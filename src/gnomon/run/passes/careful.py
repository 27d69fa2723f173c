"""Tasks done by workers that may die, hang, or choke on a record.

A task whose worker dies or hangs is tried again; if it fails still, its records are tried in halves
until those are found on which it fails, and these are given up, each with the reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Protocol, runtime_checkable

from gnomon.run.memory import give_back
from gnomon.run.passes.work import Failed, PassError, Receipt, Task, Work
from gnomon.run.pool import Lost

TRIES = 3
"""How often a task, or a record alone, is tried whose worker dies: machines fail, too."""

MOST_LOST = 16
"""Records that may be given up in one task: if there are more, the function is to blame."""


@runtime_checkable
class Workers(Protocol):
    """Processes that do tasks: ``run.pool.Pool``."""

    def arriving(self, tasks: Iterable[Task]) -> Iterator[tuple[int, Receipt | Failed | Lost]]:
        """Results as they come, each with the number of its task."""


def do(work: Work, task: Task) -> Receipt | Failed:
    """Do a task of a pass, in a worker process."""
    done = work.do(task)
    give_back()
    return done


def carefully(work: Work, workers: Workers, tasks: Iterable[Task]) -> Iterator[Receipt]:
    """Do tasks until each of them has its output.

    Args:
        work: the pass.
        workers: a pool of them for ``do``.
        tasks: whole ones, of one step.

    Yields:
        The receipt of each, as it is done.

    Raises:
        PassError: if a function fails on more than ``MOST_LOST`` records of a task, or on none.
    """
    repairs = _Repairs(work)
    waiting = list(tasks)
    while waiting:
        again: list[Task] = []
        for i, result in workers.arriving(waiting):
            task = waiting[i]
            if isinstance(result, (Lost, Failed)):
                again += repairs.instead(task, result)
            elif task.piece == (0, 1):
                yield result
            else:
                again += repairs.joined(task)
        waiting = again


class _Repairs:
    """What is done about tasks that failed."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.tries: Counter[Task] = Counter()
        self.given_up: Counter[Task] = Counter()
        self.open: Counter[Task] = Counter()
        self.pieces: dict[Task, list[tuple[int, int]]] = {}

    def instead(self, task: Task, failure: Lost | Failed) -> list[Task]:
        """What to do instead of a task that failed."""
        whole, (i, n) = task.whole, task.piece
        count = self.work.items(whole)
        alone = count * (i + 1) // n - count * i // n <= 1
        self.tries[task] += 1
        if isinstance(failure, Lost) and self.tries[task] < (TRIES if n == 1 or alone else 1):
            return [task]
        if task.reason or task.joins:
            raise self._blame(whole, failure.reason)
        if alone:
            self.given_up[whole] += 1
            if self.given_up[whole] > MOST_LOST:
                raise self._blame(whole, failure.reason)
            return [Task(task.step, task.number, task.piece, failure.reason)]
        self.open[whole] += 2 if n == 1 else 1
        return [Task(task.step, task.number, (2 * i + half, 2 * n)) for half in (0, 1)]

    def joined(self, task: Task) -> list[Task]:
        """The task that joins the pieces of a whole, if this was the last of them."""
        whole = task.whole
        pieces = self.pieces.setdefault(whole, [])
        pieces.append(task.piece)
        self.open[whole] -= 1
        if self.open[whole]:
            return []
        pieces.sort(key=lambda piece: Fraction(*piece))
        return [Task(task.step, task.number, joins=tuple(pieces))]

    def _blame(self, task: Task, reason: str) -> PassError:
        lost = self.given_up[task]
        on = f" on {lost} records and more" if lost else ""
        return PassError(f"pass {self.work.of.name!r}: {task.name} fails{on}: {reason}")
