"""Programs that take seconds to compile for each shape: kept on disk, and not begun too late."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax

from gnomon.run.deadline import OutOfTimeError, left, slowness
from gnomon.run.files import cache_folder
from gnomon.run.listener import COMPILING

USUAL = 5.0
"""Processor seconds that a program is taken to need which was not compiled before."""

MIN_SECONDS = 1.0
"""Programs that compile faster are not worth a file."""


def cache_compilations(folder: Path | None = None) -> Path:
    """Let JAX keep compiled programs in a folder, and say which.

    To be called by applications: it changes JAX for the whole process.  A folder that was chosen
    before, by ``JAX_COMPILATION_CACHE_DIR`` for example, stays.

    Args:
        folder: ``jax`` in gnomon's cache (``run.files.cache_folder``) where none is given.
    """
    settings: Any = jax.config
    chosen = settings.jax_compilation_cache_dir
    if chosen:
        return Path(chosen)
    if folder is None:
        folder = cache_folder() / "jax"
    settings.update("jax_compilation_cache_dir", str(folder))
    settings.update("jax_persistent_cache_min_compile_time_secs", MIN_SECONDS)
    return folder


@contextmanager
def none_too_late() -> Iterator[None]:
    """In this block no program is begun that would not be compiled in time (``run.deadline``).

    Nothing can cut a compiler.  A program of the same name took how long it will take, whatever its
    shape; kept ones take next to nothing.

    Raises:
        OutOfTimeError: where too little time is left to compile.
    """
    took: dict[Any, float] = {}

    def begins(event: str, value: float, **facts: Any) -> None:
        if event == COMPILING and left() < took.get(facts.get("fun_name"), USUAL * slowness()):
            raise OutOfTimeError

    def ends(event: str, duration_secs: float, **facts: Any) -> None:
        if event == COMPILING:
            name = facts.get("fun_name")
            took[name] = max(duration_secs, took.get(name, 0.0))

    jax.monitoring.register_scalar_listener(begins)
    jax.monitoring.register_event_duration_secs_listener(ends)
    try:
        yield
    finally:
        jax.monitoring.unregister_scalar_listener(begins)
        jax.monitoring.unregister_event_duration_listener(ends)
