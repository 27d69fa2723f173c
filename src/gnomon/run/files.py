"""Files that are whole or not there, written under a temporary name and renamed; the cache."""

import glob
import hashlib
import importlib.util
import os
import platform
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from platformdirs import user_cache_path

TEMPORARY = re.compile(r"\..+\.((?P<host>[^.]+)-)?(?P<process>\d+)\.[0-9a-f]{8}\.tmp")
"""Names of what is being written, and of what a process that was killed left of it."""

HOST = platform.node().partition(".")[0] or "here"
"""This machine's name: processes of others, on a file system that they share, are not known."""

_WRITING: set[str] = set()
"""Those of this process."""


def temporary_name(path: Path) -> Path:
    """A new path beside this one, for a file or a folder that is being written."""
    return path.with_name(f".{path.name}.{HOST}-{os.getpid()}.{secrets.token_hex(4)}.tmp")


@contextmanager
def renamed(path: Path) -> Iterator[Path]:
    """A path beside this one to write to, a file or a folder, renamed to it in the end.

    Readers and a kill see what was there before or all of the new; a failure leaves nothing behind,
    and what a kill left is removed by the next who writes the same file.
    """
    sweep(path.parent, path.name)
    temporary = temporary_name(path)
    _WRITING.add(temporary.name)
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):  # the first error is the one to tell
            remove(temporary)
        raise
    finally:
        _WRITING.discard(temporary.name)


def remove(path: Path) -> None:
    """Remove a file or a folder with all that is in it, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


def sweep(folder: Path, name: str | None = None, *, alone: bool = False) -> list[Path]:
    """Remove, and return, what processes that ended left in a folder under names of ``renamed``.

    Args:
        folder: itself, not those in it.
        name: of the one file that it was to become; any by default.
        alone: no other process writes here, so that those that seem to run are others by now.
    """
    left = []
    for path in folder.glob(f".{'*' if name is None else glob.escape(name)}.*.tmp"):
        found = TEMPORARY.fullmatch(path.name)
        if not found or path.name in _WRITING:
            continue
        if alone or not _runs(found["host"] or HOST, int(found["process"])):
            with suppress(OSError):  # whoever else removed it meanwhile
                remove(path)
            left.append(path)
    return left


def _runs(host: str, process: int) -> bool:
    """Whether another process of this number runs, as far as can be known."""
    if host != HOST:
        return True
    if process == os.getpid():
        return False
    try:
        if os.name == "posix":
            os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        pass
    return True


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


def file_of_package(package: str, name: str) -> Path:
    """A file in the folder of an installed package, which is not imported: that may take seconds.

    Raises:
        ValueError: if the package is not there.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        top = package.partition(".")[0]
        raise ValueError(f"{name} of {package} is missing: reinstall {top} (pip install -U {top})")
    return Path(spec.submodule_search_locations[0]) / name
