"""Files that are whole or not there, written under a temporary name and renamed; the cache."""

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from platformdirs import user_cache_path


@contextmanager
def renamed(path: Path) -> Iterator[Path]:
    """A path beside this one to write to, a file or a folder, renamed to it in the end.

    Readers and a kill see what was there before or all of the new; a failure leaves nothing behind.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):  # the first error is the one to tell
            if temporary.is_dir():
                shutil.rmtree(temporary)
            temporary.unlink(missing_ok=True)
        raise


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file, whole or not at all, and its folder.

    Raises:
        OSError: if the disk is full or the folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with renamed(path) as temporary, temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sha256_of(path: Path) -> str:
    """Checksum of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_folder() -> Path:
    """gnomon's cache: the folder of ``GNOMON_CACHE``, or one where the system keeps caches."""
    own = os.environ.get("GNOMON_CACHE")
    return Path(own).expanduser() if own else user_cache_path("gnomon", appauthor=False)
