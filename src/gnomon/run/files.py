"""Files that are whole or not there, written under a temporary name and renamed; the cache."""

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from platformdirs import user_cache_path


def write_atomically(path: Path, data: bytes) -> None:
    """Write beside the file, then rename: readers and a kill see the old file or the new one.

    Raises:
        OSError: if the disk is full or the folder cannot be written; nothing is left behind.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        with suppress(OSError):  # the first error is the one to tell
            temporary.unlink(missing_ok=True)
        raise


def sha256_of(path: Path) -> str:
    """Checksum of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_folder() -> Path:
    """gnomon's cache: the folder of ``GNOMON_CACHE``, or one where the system keeps caches."""
    own = os.environ.get("GNOMON_CACHE")
    return Path(own).expanduser() if own else user_cache_path("gnomon", appauthor=False)
