"""Locks between processes, on any system: free again when their holder ends, however it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


class HeldError(Exception):
    """Another process holds the lock."""


@contextmanager
def locked(path: Path, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold a lock.

    Args:
        path: of the lock file, which stays.
        waiting: told before the lock of another process is waited for; without it nobody waits.

    Raises:
        HeldError: if another process holds it and nobody waits.
        OSError: if the folder cannot be written, or its file system knows no locks.
    """
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        if waiting is None:
            raise HeldError from error
        waiting()
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
