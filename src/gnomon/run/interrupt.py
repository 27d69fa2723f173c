"""Ctrl-C: the process ends at once, in whatever code it is, and says how to go on."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

SIGNALS = (signal.SIGINT, signal.SIGTERM)
CLEAN = "\r\x1b[2K\x1b[?25h"
"""In a terminal: the line of a progress bar, or of ``^C``, is cleared and the cursor shown."""

_WHOLE = threading.Lock()
"""Held where the end has to wait a moment."""


def end_at_signals(sentence: Callable[[], str]) -> None:
    """From now on SIGINT and SIGTERM end this process and its workers, after a sentence on stderr.

    A thread does it that the signal wakes: Python's own handlers wait for compilers and other
    foreign code to return, and what they raise has crashed XLA.  Files are written whole or not at
    all (``run.files``), so the end may come anywhere.  The exit code is 128 and the signal's.

    To be called by applications, in the main thread.
    """
    woken, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    for number in SIGNALS:
        signal.signal(number, lambda *_: None)
    threading.Thread(target=_end, args=(woken, sentence), daemon=True).start()


@contextmanager
def starting_a_process() -> Iterator[None]:
    """A worker that starts here begins deaf to Ctrl-C, which reaches it too, and the end waits.

    Its traceback would stand between the lines of the user, as it would if its parent ended while
    it reads from it.
    """
    with _WHOLE:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def hear_again() -> None:
    """In such a worker: from now on Ctrl-C ends it, without a word."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _end(woken: int, sentence: Callable[[], str]) -> None:
    while (number := os.read(woken, 1)[0]) not in SIGNALS:
        pass
    with suppress(Exception):  # nothing may keep the process from ending
        _WHOLE.acquire(timeout=1.0)
        if "multiprocessing.process" in sys.modules:
            for child in sys.modules["multiprocessing.process"].active_children():
                child.kill()
        text = (CLEAN if os.isatty(2) else "") + sentence() + "\n"
        os.write(2, text.encode())
    os._exit(128 + number)
