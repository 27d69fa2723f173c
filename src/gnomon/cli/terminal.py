"""What people see in a terminal: data on stdout, everything else on stderr."""

from __future__ import annotations

import json
import logging
import math
import os
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from gnomon.run.listener import COMPILING, Listener

SILENCE = 25.0
"""Seconds after which a log has another line."""

LONG = 2.0
"""Seconds of compiling that are worth a word."""

LEAST = 5e-5
"""Smaller numbers would be nothing in 4 decimals."""

NOISE = 1e-9
"""Rounding, which stays nothing."""


def quiet() -> None:
    """Keep warnings and alarms of libraries off the terminal, here and in worker processes.

    What gnomon itself has to say comes as it is.  To be called before libraries are loaded.
    """
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # XLA: slow compilations, machine types
    logging.basicConfig(handlers=[logging.NullHandler()])
    own = logging.StreamHandler()
    own.setFormatter(logging.Formatter("warning: %(message)s"))
    logging.getLogger("gnomon").addHandler(own)


def say(message: str) -> None:
    """A line on stderr."""
    print(message, file=sys.stderr, flush=True)


def put_json(data: Any) -> None:
    """Data as JSON on stdout; infinities, which JSON lacks, as null."""
    print(json.dumps(_finite(data), indent=2, allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and math.isinf(value) else value


def put_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows as aligned columns on stdout, readable without colour.

    Numbers have 4 decimals; those that would be nothing then, as an expansion in 1/K, 4 digits.
    """
    if not rows:
        print("nothing found")
        return
    names = list(rows[0])
    cells = [[_cell(row[name]) for name in names] for row in rows]
    widths = [max(len(n), *(len(c[i]) for c in cells)) for i, n in enumerate(names)]
    for line in [names, *cells]:
        print("  ".join(text.ljust(w) for text, w in zip(line, widths, strict=True)).rstrip())


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if not isinstance(value, float):
        return str(value)
    return f"{value:.4g}" if NOISE < abs(value) < LEAST else f"{value:.4f}"


@contextmanager
def listening(began: float | None = None) -> Iterator[Listener]:
    """A listener of stderr: bars in a terminal; in a log a line where it would be silent long.

    Both say when a program takes long to compile.

    Args:
        began: when the command did, of time.monotonic(); now, if not given.
    """
    screen = (_Bars if sys.stderr.isatty() else _Lines)()
    over = threading.Event()
    watch = threading.Thread(target=_watch, args=(screen, over), daemon=True)
    watch.start()
    try:
        start = time.monotonic() if began is None else began
        yield Listener(screen.say, screen.tick, start, screen.note)
    finally:
        over.set()
        watch.join()
        screen.close()


class _Lines:
    """Progress as lines, none where there is enough to read already."""

    def __init__(self) -> None:
        self._began = self._said = time.monotonic()
        self._doing = "at work"
        self._note = ""

    def say(self, text: str) -> None:
        self._said = time.monotonic()
        say(text)

    def tick(self, what: str, done: int, total: int) -> None:
        self._doing = f"{what}: {done} of {total}"

    def note(self, text: str) -> None:
        self._note = f"; {text}" if text else ""

    def beat(self) -> None:
        """Called often: a line, if there was none for long."""
        now = time.monotonic()
        if now - self._said > SILENCE:
            self.say(f"{self._doing}{self._note} ({now - self._began:.0f} s)")

    def close(self) -> None: ...


class _Bars:
    """Progress as bars, lines above them."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
        )
        from rich.text import Text

        self._note = ""

        def noted() -> list[Any]:
            return [Text(self._note)] if self._note else []

        class WithNote(Progress):
            """The note below the bar, in as many lines as it needs: beside it neither has room."""

            def get_renderables(self) -> Iterator[Any]:
                yield from super().get_renderables()
                yield from noted()

        self._console = Console(stderr=True, highlight=False)
        what = TextColumn("{task.description}")
        columns = (what, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = WithNote(*columns, console=self._console, transient=True)
        self._tasks: dict[str, Any] = {}

    def say(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)

    def tick(self, what: str, done: int, total: int) -> None:
        self._progress.start()
        if what not in self._tasks:
            for task in self._tasks.values():
                self._progress.remove_task(task)
            self._tasks = {what: self._progress.add_task(what, total=total)}
        self._progress.update(self._tasks[what], completed=done, total=total)

    def note(self, text: str) -> None:
        self._note = text

    def beat(self) -> None: ...

    def close(self) -> None:
        if self._tasks:  # a bar that never started would leave an empty line
            self._progress.stop()


def _watch(screen: _Lines | _Bars, over: threading.Event) -> None:
    """Tell of long silences, and of programs that take long to compile."""
    since: list[float] = []  # when the compilation in work began
    monitoring: Any = None

    def begins(event: str, *_: object, **__: object) -> None:
        if event == COMPILING:
            since[:] = [time.monotonic()]

    def ends(event: str, *_: object, **__: object) -> None:
        if event == COMPILING:
            since.clear()

    while not over.wait(0.1):
        if monitoring is None and getattr(sys.modules.get("jax"), "monitoring", None):
            monitoring = sys.modules["jax.monitoring"]
            monitoring.register_scalar_listener(begins)
            monitoring.register_event_duration_secs_listener(ends)
        if since and time.monotonic() - since[0] > LONG:
            screen.say("compiling (once for this shape)...")
            since.clear()
        screen.beat()
    if monitoring is not None:
        monitoring.unregister_scalar_listener(begins)
        monitoring.unregister_event_duration_listener(ends)
