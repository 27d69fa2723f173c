"""Where records come from: paths, folders, globs and stdin; their formats; capped decompression."""

import glob
import gzip
import io
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from gnomon.io.reasons import InputError, Reason, UnusableError
from gnomon.io.records import Limits

FORMATS = ("cif", "poscar", "extxyz", "parquet", "json")
"""Formats that can be read, each also as ``.gz``."""

SUFFIXES = {
    ".cif": "cif",
    ".mcif": "cif",
    ".vasp": "poscar",
    ".poscar": "poscar",
    ".contcar": "poscar",
    ".extxyz": "extxyz",
    ".xyz": "extxyz",
    ".parquet": "parquet",
    ".json": "json",
}
"""Format by suffix; besides, VASP's own names POSCAR* and CONTCAR*."""

STDIN = "-"
"""The source that means standard input."""

_GZIP = b"\x1f\x8b"
_PEEK = 65_536


@dataclass(frozen=True)
class Source:
    """One file or stdin.  ``named``: the caller asked for this very file, not for a folder."""

    name: str
    format: str
    named: bool = True


def find(sources: str | Path | Sequence[str | Path], format: str | None) -> list[Source]:
    """Every file that the sources name, in order, each once.

    In folders only files of a known suffix count (hidden ones do not).

    Raises:
        InputError: for a path that is not there, a glob or folder in which nothing is found, and a
            file whose format is not known.
    """
    if format is not None and format not in FORMATS:
        raise InputError(f"unknown format {format!r}: write one of {', '.join(FORMATS)}")
    given = [sources] if isinstance(sources, str | Path) else list(sources)
    if not given:
        raise InputError("no sources: give a path, a folder, a glob or '-' for stdin")
    found = [source for one in given for source in _expand(str(one), format)]
    return list({source.name: source for source in reversed(found)}.values())[::-1]


@contextmanager
def stream(source: Source, limits: Limits) -> Iterator[io.BufferedReader]:
    """The bytes of a source, decompressed if they start as gzip does.  Stdin is left open.

    Raises:
        UnusableError: while reading, beyond ``max_bytes`` of decompressed data.
    """
    raw = _open(source.name)
    try:
        if raw.peek(2)[:2] == _GZIP:
            yield io.BufferedReader(_Capped(raw, limits.max_bytes), _PEEK)
        else:
            yield raw
    finally:
        if source.name != STDIN:
            raw.close()


def content(data: io.BufferedReader, limits: Limits, share: int = 1) -> bytes:
    """All bytes of a stream, for the formats that are parsed as a whole.

    Args:
        data: the stream.
        limits: with ``max_bytes``.
        share: one in so many of these bytes is allowed, where parsing takes more memory than text.

    Raises:
        UnusableError: if there are more.
    """
    most = max(1, limits.max_bytes // share)
    everything = data.read(most + 1)
    if len(everything) > most:
        of = "" if share == 1 else f", one in {share} of max_bytes"
        raise UnusableError(
            Reason.too_large, f"over {most} bytes{of}: split the file, or raise max_bytes"
        )
    return everything


def text(data: io.BufferedReader, limits: Limits, share: int) -> str:
    """All text of a stream.  Bytes that are not UTF-8 stand in comments, as a rule: replaced."""
    return content(data, limits, share).decode("utf-8-sig", errors="replace")


def sniff(head: bytes) -> str | None:
    """The format of a file that starts with these bytes, None where they tell nothing."""
    if head.startswith(b"PAR1"):
        return "parquet"
    lines = head.decode("utf-8-sig", errors="replace").splitlines()
    text_lines = [line.strip() for line in lines if line.strip()]
    if text_lines and text_lines[0].startswith(("{", "[")):
        return "json"
    if any(line.startswith(("data_", "loop_", "_cell_")) for line in text_lines):
        return "cif"
    if len(text_lines) > 1 and text_lines[0].isdecimal() and "=" in text_lines[1]:
        return "extxyz"
    # a comment (which may be blank), a scale, three vectors
    if len(lines) > 4 and list(map(_n_numbers, lines[1:5])) == [1, 3, 3, 3]:
        return "poscar"
    return None


def _n_numbers(line: str) -> int:
    try:
        return len(list(map(float, line.split())))
    except ValueError:
        return 0


def _expand(given: str, format: str | None) -> list[Source]:
    if given == STDIN or Path(given).is_file():
        return [Source(given, format or _format(given))]
    if Path(given).is_dir():
        found = [Source(p, format or f, named=False) for p, f in _walk(given)]
        if not found:
            raise InputError(
                f"{given}: no crystals in this folder; it takes files named "
                f"*{', *'.join(SUFFIXES)}, POSCAR*, CONTCAR*, or these with .gz"
            )
        return found
    if Path(given).exists():  # a named pipe, /dev/stdin
        return [Source(given, format or _format(given))]
    if any(c in given for c in "*?["):
        matches = [p for p in sorted(glob.glob(given, recursive=True)) if Path(p).is_file()]  # noqa: PTH207  (keeps relative paths as given)
        if not matches:
            raise InputError(f"{given}: no file matches; check the pattern (quote it in a shell)")
        return [Source(p, format or _format(p)) for p in matches]
    raise InputError(f"{given}: no such file or folder; check the path")


def _walk(folder: str) -> list[tuple[str, str]]:
    paths = []
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for name in sorted(files):
            path = Path(parent) / name
            format = _format_of_name(name)
            if format is not None and not name.startswith(".") and path.is_file():
                paths.append((str(path), format))
    return paths


def _format_of_name(name: str) -> str | None:
    plain = name.removesuffix(".gz")
    by_suffix = SUFFIXES.get(Path(plain).suffix.lower())
    if by_suffix is None and plain.startswith(("POSCAR", "CONTCAR")):
        return "poscar"
    return by_suffix


def _format(name: str) -> str:
    format = None if name == STDIN else _format_of_name(Path(name).name)
    if format is not None:
        return format
    # a pipe can be peeked at only once it is open: stdin is, other pipes need format=
    if name == STDIN or Path(name).is_file():
        format = sniff(_head(name))
    if format is None:
        raise InputError(
            f"{name}: the format cannot be told from the name or the content; "
            f"say format=, one of {', '.join(FORMATS)}"
        )
    return format


def _head(name: str) -> bytes:
    raw = _open(name)
    try:
        head = raw.peek(_PEEK)[:_PEEK]
    finally:
        if name != STDIN:
            raw.close()
    if not head.startswith(_GZIP):
        return head
    try:
        return gzip.GzipFile(fileobj=io.BytesIO(head)).read1(_PEEK)
    except (OSError, EOFError, ValueError):
        return b""


def _open(name: str) -> io.BufferedReader:
    if name != STDIN:
        return cast("io.BufferedReader", Path(name).open("rb", buffering=_PEEK))
    return cast("io.BufferedReader", sys.stdin.buffer)


class _Capped(io.RawIOBase):
    """Decompressed bytes of a gzip stream, up to a limit: a gzip bomb ends as a reject."""

    def __init__(self, raw: io.BufferedReader, max_bytes: int) -> None:
        self._gzip = gzip.GzipFile(fileobj=raw)
        self._left = self._limit = max_bytes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._gzip.read1(len(buffer))
        self._left -= len(data)
        if self._left < 0:
            raise _too_many_bytes(self._limit)
        buffer[: len(data)] = data
        return len(data)


def _too_many_bytes(limit: int) -> UnusableError:
    return UnusableError(
        Reason.too_large, f"over {limit} bytes once decompressed (raise max_bytes to read it)"
    )
