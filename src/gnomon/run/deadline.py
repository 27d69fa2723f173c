"""A deadline that ends a block of code wherever it is."""

from __future__ import annotations

import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

AGAIN = 0.5
"""Seconds after which it is looked again, and the end called for again: Python drops what callbacks
of the garbage collector raise."""


LAST_MINUTE = 60.0
"""Seconds before a deadline from which on it is looked whether the end has come."""

_ends: list[Callable[[], float]] = []
"""Of the blocks that are in work, when each ends, the innermost last."""


class OutOfTimeError(BaseException):
    """The deadline has come.  No ``Exception``, so that no failure of a crystal is made of it."""


def slowness() -> float:
    """How many times as long as on an idle machine work takes now, by the processes a core.

    >>> slowness() >= 1.0
    True
    """
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)) if hasattr(os, "getloadavg") else 1


def left() -> float:
    """Seconds until the block of ``until`` ends that is in work; infinite in none.

    >>> left()
    inf
    """
    main = threading.current_thread() is threading.main_thread()
    return _ends[-1]() - time.monotonic() if _ends and main else math.inf


@contextmanager
def until(deadline: float, afterwards: Callable[[], float] = lambda: 0.0) -> Iterator[None]:
    """Raise ``OutOfTimeError`` in the block when the time is over.

    It comes as an interrupt from the keyboard would, between two steps of Python; a call of a
    compiled library is not cut (who begins a long one asks ``left`` before).  In threads other than
    the main one, and on systems without timers, nothing is raised: whoever wants to end has to look
    at the clock besides.

    Args:
        deadline: of time.monotonic().
        afterwards: seconds before it that the block has to end: what is to be done after it will
            take so long.  It is asked again and again, at most a minute before the deadline.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or not hasattr(signal, "setitimer") or not math.isfinite(deadline):
        yield
        return

    def ends() -> float:
        return deadline - min(LAST_MINUTE, afterwards())

    def end(number: int, frame: FrameType | None) -> None:
        if time.monotonic() >= ends():
            raise OutOfTimeError

    def unraisable(dropped: Any) -> None:
        if not isinstance(dropped.exc_value, OutOfTimeError):
            hook(dropped)

    hook, sys.unraisablehook = sys.unraisablehook, unraisable
    before = signal.signal(signal.SIGALRM, end)
    _ends.append(ends)
    try:
        first = deadline - LAST_MINUTE - time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, max(first, 1e-3), AGAIN)
        yield
    finally:
        _ends.pop()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        sys.unraisablehook = hook
