"""A file over HTTP: resumed after a cut, and either right by its sha256 or not there.

Written here since the libraries for checksummed downloads (pooch among them) start again from
nothing after a cut, and would bring a second HTTP stack along.
"""

from __future__ import annotations

import http
import http.client
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.request import Request, build_opener

from gnomon.run.files import sha256_of
from gnomon.run.listener import SILENT, Listener

TIMEOUT = 30.0
"""Seconds that a server may stay silent."""

ATTEMPTS = 5
"""Requests that may bring nothing new, one after another, before a download is given up."""

LARGEST = 1 << 28
"""Bytes: a server that sends more than this is not sending weights (published ones have 3 MB)."""

_CHUNK = 1 << 16
_PAUSE = 0.5
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


class DownloadError(OSError):
    """A file that cannot be had: no network, no such address, a server that fails."""


class ChecksumError(DownloadError):
    """A file that came whole, and is another one."""


class _CutError(Exception):
    """A request that ended early; another one may go on from there."""


def download(
    url: str,
    sha256: str,
    path: Path,
    *,
    listener: Listener = SILENT,
    timeout: float = TIMEOUT,
    attempts: int = ATTEMPTS,
) -> None:
    """Put the file of this address and sha256 at ``path``, at once and whole.

    What has arrived waits in ``path.part`` for the next call, after a kill as well.  Of several
    processes one fetches and the others wait for it.  A file that is at ``path`` already stays
    until the right one takes its place.

    Raises:
        DownloadError: if the server cannot be reached or fails; what has arrived is kept.
        ChecksumError: if the file is another one; it is removed again.
        OSError: if the disk is full or the folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _unfinished(path, listener) as part:
        if path.is_file() and sha256_of(path) == sha256:
            return  # another process has fetched it meanwhile
        if not (part.is_file() and sha256_of(part) == sha256):
            joined = _fetch(url, part, listener, timeout, attempts)
            if joined and sha256_of(part) != sha256:
                listener.say(f"{path.name}: the part kept from before is damaged: starting again")
                part.unlink()
                _fetch(url, part, listener, timeout, attempts)
        found = sha256_of(part)
        if found != sha256:
            part.unlink()
            raise ChecksumError(
                f"{url} is not the file it should be: its sha256 is {found}, expected {sha256}; "
                "it was not kept. Something between here and the server changes it, or cuts it"
            )
        part.replace(path)


def _fetch(url: str, part: Path, listener: Listener, timeout: float, attempts: int) -> bool:
    """Request until the part is whole; returns whether it was joined from several answers."""
    idle, furthest = 0, _size(part)
    joined = furthest > 0
    while True:
        try:
            _receive(url, part, listener, timeout)
            return joined
        except _CutError as cut:
            joined, size = True, _size(part)
            idle = 0 if size > furthest else idle + 1
            furthest = max(size, furthest)
            if idle >= attempts:
                raise DownloadError(f"{url} cannot be fetched: {cut}, {idle} times") from cut
            listener.say(f"{part.stem}: {cut}; {size} bytes are here: trying again")
            time.sleep(_PAUSE * max(idle - 1, 0))


def _receive(url: str, part: Path, listener: Listener, timeout: float) -> None:
    """One request for what the part lacks.

    Raises:
        _CutError: if another request may go on, from where the part ends then.
        DownloadError: if another request would fail as well.
    """
    begun = _size(part)
    with _answer(url, begun, part, timeout) as response:
        start, total = _extent(response, begun, part)
        done = start
        with part.open("r+b" if start else "wb") as file:
            file.seek(start)
            for chunk in _chunks(response):
                file.write(chunk)
                done += len(chunk)
                if done > LARGEST:
                    raise DownloadError(f"{url} sends more than {LARGEST} bytes: no weights")
                listener.tick(part.stem, done, total or done)
    if total is not None and done < total:
        raise _CutError("the connection was cut")


def _answer(url: str, begun: int, part: Path, timeout: float) -> http.client.HTTPResponse:
    """The server's answer to a request for everything from byte ``begun`` on."""
    headers = {"User-Agent": "gnomon", "Accept-Encoding": "identity"}
    if begun:
        headers["Range"] = f"bytes={begun}-"
    try:
        return build_opener().open(Request(url, headers=headers), timeout=timeout)
    except HTTPError as error:
        error.close()
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and begun:
            part.unlink()
            raise _CutError("the part kept from before is too long") from error
        if error.code >= 500 or error.code == http.HTTPStatus.TOO_MANY_REQUESTS:
            raise _CutError(f"the server answered {error.code} {error.reason}") from error
        raise DownloadError(
            f"{url} cannot be fetched: the server answered {error.code} {error.reason}"
        ) from error
    except URLError as error:
        raise DownloadError(f"{url} cannot be reached: {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        raise _CutError(f"the server gave no answer ({error})") from error


def _extent(response: http.client.HTTPResponse, begun: int, part: Path) -> tuple[int, int | None]:
    """First byte of the answer, and size of the whole file where the server tells it."""
    if response.status != http.HTTPStatus.PARTIAL_CONTENT:
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if length.isdigit() else None
    match = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if match is None or int(match[1]) != begun:
        part.unlink(missing_ok=True)
        raise _CutError("the server sent another range than asked for")
    return begun, None if match[2] == "*" else int(match[2])


def _chunks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """The body; errors of the connection told apart from those of the disk."""
    while True:
        try:
            chunk = response.read(_CHUNK)
        except (OSError, http.client.HTTPException) as error:
            raise _CutError(f"the connection was lost ({error})") from error
        if not chunk:
            return
        yield chunk


def _size(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0


@contextmanager
def _unfinished(path: Path, listener: Listener) -> Iterator[Path]:
    """Where to write until the file is whole: ours alone while the block runs."""
    with path.with_name(f"{path.name}.lock").open("a") as handle:
        if _lock(handle, path.name, listener):
            yield path.with_name(f"{path.name}.part")
            return
    own = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        yield own
    finally:
        own.unlink(missing_ok=True)  # nobody would know it again


def _lock(handle: IO[str], name: str, listener: Listener) -> bool:
    """Wait for the lock, which the system frees when its holder dies; False: no locks here."""
    try:
        import fcntl
    except ImportError:  # Windows
        return False
    told = False
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if not told:
                listener.say(f"{name}: another process fetches it: waiting")
            told = True
            time.sleep(0.1)
        except OSError:  # a network file system without locks
            return False
