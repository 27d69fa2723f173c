"""What memory processes take, and what they can give back."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa

ARENA_MAX, MMAP_MAX, TRIM_THRESHOLD = -8, -4, -1
"""Options of ``mallopt(3)``."""

KEPT = 1 << 30
"""Bytes that are kept at the end of the heap."""


def give_back() -> None:
    """Return freed memory to the system, as glibc keeps what lies between pieces in use.

    Workers that ranked bucket after bucket grew from 0.8 to 1.2 GB without it.
    """
    pa.default_memory_pool().release_unused()
    if trim := _glibc("malloc_trim"):
        trim(0)


@cache
def keep_freed() -> None:
    """Let the process keep memory that it frees, up to ``KEPT``, for what it takes next.

    A compiled program takes its working memory anew at each call.  glibc gets such large pieces
    from the system and returns them, so that the system clears the same pages again at every step:
    a third of the processor's time of relaxations (``benchmarks/memory_kept.py``).  ``give_back``
    returns what is kept.  To be called before the first program is compiled, as each thread that
    has begun keeps a heap of its own.
    """
    if adjust := _glibc("mallopt"):
        for option, value in ((ARENA_MAX, 1), (MMAP_MAX, 0), (TRIM_THRESHOLD, KEPT)):
            adjust(option, value)


@cache
def _glibc(function: str) -> Any:
    """A function of glibc's ``malloc.h``; None elsewhere."""
    with suppress(OSError, AttributeError, TypeError):
        return getattr(ctypes.CDLL(None), function)
    return None


def taken(processes: Iterable[int]) -> int:
    """Bytes that processes take together, pages that several share counted once.

    The sum of proportional set sizes, which Linux tells (proc(5), smaps_rollup); 0 elsewhere.
    """
    total = 0
    for number in processes:
        with suppress(OSError):  # it has ended
            text = Path(f"/proc/{number}/smaps_rollup").read_text()
            total += sum(1024 * int(w.split()[1]) for w in text.splitlines() if w[:4] == "Pss:")
    return total
