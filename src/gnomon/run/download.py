"""A file from a server: resumed after a cut or a kill, and right by its sha256 or not there."""

from __future__ import annotations

import http
import re
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from gnomon.run.files import sha256_of
from gnomon.run.http import Answer, HttpError, PassingError, Patience, ask, persist
from gnomon.run.listener import SILENT, Listener
from gnomon.run.lock import locked
from gnomon.run.reach import Reach

_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


class ChecksumError(HttpError):
    """A file that came whole, and is another one."""


def download(
    url: str,
    sha256: str,
    path: Path,
    *,
    patience: Patience | None = None,
    listener: Listener = SILENT,
) -> None:
    """Put the file of this address and sha256 at ``path``, at once and whole.

    What has arrived waits in ``path.part`` for the next call, after a kill as well.  Of several
    processes one fetches and the others wait for it.  A file that is at ``path`` already stays
    until the right one takes its place.

    Raises:
        HttpError: if the server cannot be reached or fails; what has arrived is kept.
        ChecksumError: if the file is another one; it is removed again.
        OSError: if the disk is full or the folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _unfinished(path, listener) as part:
        if path.is_file() and sha256_of(path) == sha256:
            return  # another process has fetched it meanwhile
        if not (part.is_file() and sha256_of(part) == sha256):
            joined = _fetch(url, part, patience or Patience(), listener)
            if joined and sha256_of(part) != sha256:
                listener.say(f"{path.name}: the part kept from before is damaged: starting again")
                part.unlink()
                _fetch(url, part, patience or Patience(), listener)
        found = sha256_of(part)
        if found != sha256:
            part.unlink()
            raise ChecksumError(
                f"{url} is not the file it should be: its sha256 is {found}, expected {sha256}; "
                "it was not kept. Something between here and the server changes it, or cuts it"
            )
        part.replace(path)


def _fetch(url: str, part: Path, patience: Patience, listener: Listener) -> bool:
    """Request until the part is whole; returns whether it was joined from several answers."""

    def size() -> int:
        return part.stat().st_size if part.is_file() else 0

    def once() -> bool:
        begun = size()
        try:
            return _receive(url, begun, part, patience, listener)
        except HttpError as error:
            if error.status != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not begun:
                raise
            part.unlink()
            raise PassingError("the part kept from before is too long", wait=0.0) from error
        except PassingError as error:
            raise PassingError(f"{error}; {size()} bytes are here", error.wait) from error

    return persist(url, once, patience, listener, progress=size)


def _receive(url: str, begun: int, part: Path, patience: Patience, listener: Listener) -> bool:
    """One request for everything from byte ``begun`` on; whether the answer began there."""
    # what comes has a checksum, and files lie with whoever their servers lead to
    anywhere = Reach.of(url, None)
    with ask(url, patience, {"Range": f"bytes={begun}-"} if begun else {}, anywhere) as answer:
        start, total = _extent(answer, begun, part)
        done = start
        with part.open("r+b" if start else "wb") as file:
            file.seek(start)
            for chunk in answer.chunks:
                file.write(chunk)
                done += len(chunk)
                listener.tick(part.stem, done, total or done)
    return start > 0


def _extent(answer: Answer, begun: int, part: Path) -> tuple[int, int | None]:
    """First byte of the answer, and size of the whole file where the server tells it."""
    if answer.status != http.HTTPStatus.PARTIAL_CONTENT:
        length = answer.headers.get("Content-Length", "")
        return 0, int(length) if length.isdigit() else None
    match = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
    if match is None or int(match[1]) != begun:
        part.unlink(missing_ok=True)
        raise PassingError("the server sent another range than asked for", wait=0.0)
    return begun, None if match[2] == "*" else int(match[2])


@contextmanager
def _unfinished(path: Path, listener: Listener) -> Iterator[Path]:
    """Where to write until the file is whole: ours alone while the block runs."""
    part = path.with_name(f"{path.name}.part")
    lock = path.with_name(f"{path.name}.lock")
    with ExitStack() as stack:
        try:
            say = f"{path.name}: another process fetches it: waiting"
            stack.enter_context(locked(lock, lambda: listener.say(say)))
        except OSError:  # a network file system without locks: a name that nobody else knows
            part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
            stack.callback(part.unlink, missing_ok=True)
        yield part
