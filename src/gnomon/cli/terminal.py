"""What people see in a terminal: data on stdout, everything else on stderr."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from gnomon.run.listener import Listener


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
    """Rows as aligned columns on stdout, readable without colour; numbers to 4 decimals."""
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
    return f"{value:.4f}" if isinstance(value, float) else str(value)


@contextmanager
def listening() -> Iterator[Listener]:
    """A listener that prints lines and draws progress bars on stderr."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    console = Console(stderr=True, highlight=False)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    progress = Progress(*columns, console=console, transient=True)
    tasks: dict[str, Any] = {}

    def tick(what: str, done: int, total: int) -> None:
        progress.start()
        if what not in tasks:
            for task in tasks.values():
                progress.remove_task(task)
            tasks.clear()
            tasks[what] = progress.add_task(what, total=total)
        progress.update(tasks[what], completed=done, total=total)

    try:
        yield Listener(
            say=lambda text: console.print(text, markup=False, soft_wrap=True), tick=tick
        )
    finally:
        if tasks:  # a bar that never started would leave an empty line
            progress.stop()
