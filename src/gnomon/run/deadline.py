"""A deadline that ends a block of code wherever it is."""

from __future__ import annotations

import math
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

AGAIN = 2.0
"""Seconds after which the end is called for again: Python drops what callbacks of the garbage
collector raise."""


class OutOfTimeError(BaseException):
    """The deadline has come.  No ``Exception``, so that no failure of a crystal is made of it."""


@contextmanager
def until(deadline: float) -> Iterator[None]:
    """Raise ``OutOfTimeError`` in the block at a deadline of time.monotonic().

    It comes as an interrupt from the keyboard would, between two steps of Python; a call of a
    compiled library is not cut.  In threads other than the main one, and on systems without timers,
    nothing is raised: whoever wants to end has to look at the clock besides.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or not hasattr(signal, "setitimer") or not math.isfinite(deadline):
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        raise OutOfTimeError

    def unraisable(dropped: Any) -> None:
        if not isinstance(dropped.exc_value, OutOfTimeError):
            hook(dropped)

    hook, sys.unraisablehook = sys.unraisablehook, unraisable
    before = signal.signal(signal.SIGALRM, end)
    try:
        signal.setitimer(signal.ITIMER_REAL, max(deadline - time.monotonic(), 1e-3), AGAIN)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        sys.unraisablehook = hook
