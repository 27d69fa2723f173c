"""A pool of worker processes in which a task that hangs or kills its worker costs only itself."""

from __future__ import annotations

import itertools
import math
import multiprocessing as mp
import os
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar

from gnomon.run.interrupt import hear_again, starting_a_process

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Variables by which the common linear algebra libraries are told how many threads to take."""

STARTS = 3
"""How often a worker is started that a signal ends before it has begun."""

KILLED = -9
"""Exit code of a process that another ended (SIGKILL), or the system that lacked memory: its task
had no part in that, or may not the next time."""

KILLS = 3
"""How often a task may be in work when that happens before it is lost."""

Task = TypeVar("Task")
Result = TypeVar("Result")


def processes(wanted: int) -> int:
    """Worker processes where 0 asks for one a core."""
    return wanted or os.cpu_count() or 1


@dataclass(frozen=True)
class Lost:
    """A task without a result: its worker died, or ran past the limit and was stopped."""

    reason: str
    timed_out: bool
    seconds: float


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    task: int = -1
    given: Any = None
    began: float = field(default=0.0)


class Pool(Generic[Task, Result]):
    """Runs ``function(*shared, task)`` for many tasks in processes of their own.

    ``function`` and ``shared`` must be picklable: they travel to freshly spawned interpreters.
    Used as a context, so that no worker outlives it.
    """

    def __init__(
        self, function: Callable[..., Result], shared: tuple[Any, ...], workers: int, limit: float
    ) -> None:
        """``limit`` is in seconds of wall time for one task, the start of a worker not counted.

        Infinity is a limit, too.
        """
        self._function, self._shared = function, shared
        self._count, self._limit = workers, limit
        self._workers: list[_Worker] = []
        self._kills: Counter[int] = Counter()
        # fork would copy JAX's threads half-way
        self._context = mp.get_context("spawn")

    def __enter__(self) -> Pool[Task, Result]:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            _stop(worker)
        self._workers.clear()

    def run(self, tasks: Iterable[Task], ahead: int = sys.maxsize) -> Iterator[Result | Lost]:
        """Results in the order of the tasks.

        Args:
            tasks: each is sent to one worker; taken as workers become free.
            ahead: how many tasks may be done or in work beyond those that were yielded.
        """
        done: dict[int, Result | Lost] = {}
        i = 0

        def end() -> int:
            return i + ahead

        for number, result in self.arriving(tasks, end):
            done[number] = result
            while i in done:
                yield done.pop(i)
                i += 1

    def arriving(
        self, tasks: Iterable[Task], end: Callable[[], int] = lambda: sys.maxsize
    ) -> Iterator[tuple[int, Result | Lost]]:
        """Results as they come, each with the number of its task.

        Args:
            tasks: each is sent to one worker; taken as workers become free.
            end: the number before which tasks may be handed out now.
        """
        coming = enumerate(tasks)
        queue: deque[tuple[int, Task]] = deque()
        self._kills.clear()
        while True:
            queue.extend(itertools.islice(coming, self._count - len(queue)))
            if not (queue or any(worker.task >= 0 for worker in self._workers)):
                return
            self._hand_out(queue, end())
            yield from self._collect(queue).items()

    def _hand_out(self, queue: deque[tuple[int, Task]], end: int) -> None:
        for worker in [w for w in self._workers if w.task < 0 and not w.process.is_alive()]:
            _stop(worker)  # it died after its last answer: no task of ours is to pay for that
            self._workers.remove(worker)
        while len(self._workers) < min(self._count, len(self._workers) + len(queue)):
            self._workers.append(self._start())
        for worker in self._workers:
            if worker.task < 0 and queue and queue[0][0] < end:
                worker.task, worker.given = queue.popleft()
                worker.began = time.monotonic()
                with suppress(OSError):  # if it died this very moment, `_collect` will find out
                    worker.pipe.send(worker.given)

    def _collect(self, queue: deque[tuple[int, Task]]) -> dict[int, Result | Lost]:
        """Wait for something to happen, and say what; a task may stand in the queue again."""
        busy = [worker for worker in self._workers if worker.task >= 0]
        due = min(worker.began for worker in busy) + self._limit - time.monotonic()
        timeout = max(due, 0.0) if math.isfinite(due) else None
        ready = wait([worker.pipe for worker in busy], timeout=timeout)
        found: dict[int, Result | Lost] = {}
        for worker in busy:
            seconds = time.monotonic() - worker.began
            if worker.pipe in ready:
                try:
                    found[worker.task] = worker.pipe.recv()
                    worker.task = -1
                    continue
                except (EOFError, OSError):  # nothing, or the beginning of an answer
                    worker.process.join()
                    reason = f"its process ended with exit code {worker.process.exitcode}"
            elif seconds >= self._limit:
                reason = f"stopped after {seconds:.0f} s without an answer"
            else:
                continue
            self._kills[worker.task] += worker.process.exitcode == KILLED
            if worker.process.exitcode == KILLED and self._kills[worker.task] < KILLS:
                queue.appendleft((worker.task, worker.given))
            else:
                found[worker.task] = Lost(reason, worker.pipe not in ready, seconds)
            _stop(worker)
            self._workers.remove(worker)
        return found

    def _start(self) -> _Worker:
        for _ in range(STARTS):
            ours, theirs = self._context.Pipe()
            process = self._context.Process(
                target=_serve, args=(theirs, self._function, self._shared), daemon=True
            )
            with _single_threaded(), starting_a_process():
                process.start()
            theirs.close()
            # imports can take seconds: they do not count against a task's limit
            if not ours.poll(60.0):
                process.kill()
                raise RuntimeError("a worker process did not start within a minute")
            with suppress(EOFError):
                ours.recv()
                return _Worker(process, ours)
            process.join()
            if (process.exitcode or 0) >= 0:  # else a signal ended it, which need not come again
                break
        raise RuntimeError(
            f"a worker process ended at its start with exit code {process.exitcode} "
            "(a script that uses worker processes needs `if __name__ == '__main__':`)"
        )


@contextmanager
def _single_threaded() -> Iterator[None]:
    """Let processes started here begin with one thread for linear algebra.

    The workers share the cores already; threads on top made relaxations ten times slower.
    """
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _serve(pipe: Connection, function: Callable[..., Any], shared: tuple[Any, ...]) -> None:
    hear_again()
    mp.current_process().daemon = False  # a calculator has processes, too: they end with this one
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(EOFError, BrokenPipeError):  # a parent that was killed
        pipe.send("ready")
        while True:
            task = pipe.recv()
            pipe.send(function(*shared, task))


def _end_with_parent() -> None:
    """A parent that was killed cannot stop its workers, and a task may take hours more."""
    parent = mp.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _stop(worker: _Worker) -> None:
    worker.pipe.close()
    worker.process.kill()
    worker.process.join()
