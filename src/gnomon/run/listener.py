"""Who hears how long work gets on: the terminal, a notebook, a test."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

COMPILING = "/jax/core/compile/backend_compile_duration"
"""What JAX calls a compilation for who listens: a scalar as it begins, a duration as it ends."""


@dataclass(frozen=True)
class Listener:
    """Receives lines of text, and progress as (what, done, of how many).

    Attributes:
        say: takes a line.
        tick: takes progress.
        began: when whoever listens began to wait, of time.monotonic().
        note: takes what stands beside the progress from now on.
    """

    say: Callable[[str], None]
    tick: Callable[[str, int, int], None]
    began: float = field(default_factory=time.monotonic)
    note: Callable[[str], None] = lambda _: None

    def of(self, what: str) -> "Listener":
        """The same, to which all progress is that of one thing."""
        return replace(self, tick=lambda _, done, total: self.tick(what, done, total))


SILENT = Listener(say=lambda _: None, tick=lambda *_: None)
"""Hears nothing."""
