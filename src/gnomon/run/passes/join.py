"""Workers that join a pass from anywhere that sees its folder, without a master.

A worker takes the next task that is not done and that nobody claimed lately, until none is left.  A
claim is a file whose age counts: what a worker took that died or hangs is taken again by another
after a while, and if both end, they wrote the same bytes.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import os
import pickle
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gnomon.run.files import cache_folder, write_atomically
from gnomon.run.passes.careful import carefully, do
from gnomon.run.passes.work import Failed, Receipt, Task, Work
from gnomon.run.pool import Pool
from gnomon.run.writing import StoreError, write_bytes

PICKLE = "pass.pickle"

PATIENCE = 60.0
"""A claim is old after so many seconds, and three times those of the longest task so far; while
none has ended, after ten times as many."""

EVERY = 2.0
"""Seconds between two looks at what others have in work."""


def publish(work: Work) -> None:
    """Write down the pass for those who join it; to be read by processes of the same user alone."""
    data = pickle.dumps(work)
    write_bytes(work.out / PICKLE, _signature(data) + data)


def published(folder: Path) -> Work | None:
    """The first pass in a folder, or in those in it, that has tasks left; None without.

    Raises:
        StoreError: if it was not written by this user.
    """
    for path in sorted(folder.rglob(PICKLE)):
        with suppress(FileNotFoundError):  # it was finished just now
            signature, data = (found := path.read_bytes())[:32], found[32:]
            if not hmac.compare_digest(signature, _signature(data)):
                raise StoreError(f"{path} was not written by you: only your own passes are joined")
            work: Work = pickle.loads(data)
            if not work.finished and any(map(work.waiting, work.steps)):
                return work
    return None


def passes_of(folder: Path, stay: float = 0.0) -> Iterator[Work]:
    """Passes that a folder has in work, one after the other, until none comes for ``stay`` s.

    Raises:
        StoreError: if there was none, or one was not written by this user.
    """
    found, last = 0, time.monotonic()
    while True:
        if (work := published(folder)) is not None:
            yield work
            found, last = found + 1, time.monotonic()
        elif time.monotonic() - last < stay:
            time.sleep(EVERY)
        elif found:
            return
        else:
            raise StoreError(f"{folder} has no pass in work: `gnomon discover` begins one")


def join(
    work: Work,
    first: int = 0,
    of: int = 1,
    limit: float = math.inf,
    patience: float = PATIENCE,
) -> None:
    """Do tasks of a pass until all are done, whoever did them.

    Args:
        work: the pass, whose folder is there.
        first: which of the workers this is, so that each begins somewhere else.
        of: how many workers there are.
        limit: seconds that one task may take.
        patience: seconds after which a claim of another may be old.

    Raises:
        PassError: if a function fails on too many records.
    """
    _compile_here()
    with Pool[Task, Receipt | Failed](do, (work,), 1, limit) as pool:
        for step in work.steps:
            tasks = work.tasks(step)
            start = len(tasks) * first // of
            tasks = tasks[start:] + tasks[:start]
            claims = _Claims(work, limit, patience)
            while tasks := [task for task in tasks if not (work.finished or claims.done(task))]:
                free = [task for task in tasks if claims.free(task)]
                for task in free:
                    if claims.take(task):
                        with claims.held(task):
                            for receipt in carefully(work, pool, [task]):
                                claims.longest = max(claims.longest, receipt.seconds)
                if not free:
                    time.sleep(EVERY)


class _Claims:
    """Who takes which task."""

    def __init__(self, work: Work, limit: float, patience: float) -> None:
        self.work = work
        self.limit = limit
        self.patience = patience
        self.longest = 0.0

    def done(self, task: Task) -> bool:
        return self.work.is_done(task)

    def free(self, task: Task) -> bool:
        """Whether nobody claimed it lately."""
        old = min(self.limit, 10 * self.patience)
        if self.longest:
            old = max(self.patience, 3 * self.longest)
        with suppress(OSError):
            return time.time() - self._path(task).stat().st_mtime > old
        return True

    def take(self, task: Task) -> bool:
        """Claim a task, unless another was quicker."""
        if self.done(task) or not self.free(task):
            return False
        with suppress(OSError):  # the folder goes when the pass is finished
            self._path(task).touch()
            return True
        return False

    @contextmanager
    def held(self, task: Task) -> Iterator[None]:
        """A failure in this block leaves the task to others, who need not wait for it."""
        try:
            yield
        except BaseException:
            self._path(task).unlink(missing_ok=True)
            raise

    def _path(self, task: Task) -> Path:
        return self.work.out / f"{task.name}.claim"


def _compile_here() -> None:
    """Keep compiled programs on this node: thousands of readers are too much for a shared disk."""
    user = os.getuid() if hasattr(os, "getuid") else "user"
    place = os.environ.get("SLURM_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", f"{place}/gnomon-compiled-{user}")


def _signature(data: bytes) -> bytes:
    """What only this user can write under data that will be unpickled."""
    path = cache_folder() / "passes.key"
    if not path.is_file():
        write_atomically(path, secrets.token_bytes(32))
        path.chmod(0o600)
    return hmac.digest(path.read_bytes(), data, hashlib.sha256)
