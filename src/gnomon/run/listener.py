"""Who hears how long work gets on: the terminal, a notebook, a test."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Listener:
    """Receives lines of text, and progress as (what, done, of how many)."""

    say: Callable[[str], None]
    tick: Callable[[str, int, int], None]

    def of(self, what: str) -> "Listener":
        """The same, to which all progress is that of one thing."""
        return Listener(self.say, lambda _, done, total: self.tick(what, done, total))


SILENT = Listener(say=lambda _: None, tick=lambda *_: None)
"""Hears nothing."""
