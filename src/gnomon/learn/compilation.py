"""Compiled programs kept on disk: a network takes seconds to compile for each shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax

from gnomon.run.files import cache_folder

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
