"""Which files a folder holds, with their checksums: whatever else becomes of them is found.

``manifest.jsonl`` is a journal.  Each line says what becomes of files, their sha256 or null for
removed, and holds the checksum of itself and of all lines before it.  A line is on disk before
the change that it announces, and the next line confirms it.  So after a kill the files of the last
line, and no others, may be as before or as announced; a file in no line is none of ours.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gnomon.run.files import sha256_of, write_atomically

MANIFEST = "manifest.jsonl"
SEED = "gnomon manifest 1"
"""What the checksum of the first line goes on from."""

Changes = Mapping[str, str | None]
"""Names of files to their sha256 in hexadecimal, None for no file."""


class ManifestError(ValueError):
    """The journal itself, or a file of its last line, is not as it was written."""


@dataclass(frozen=True)
class Listed:
    """What the journal says.

    Attributes:
        files: to checksums, the last written last, as they were before the last line.
        last: the changes of the last line.
        chain: checksum of all lines.
        end: bytes of whole lines.
    """

    files: dict[str, str]
    last: dict[str, str | None]
    chain: str
    end: int

    def allowed(self, name: str) -> set[str | None]:
        """What a file may be: one checksum, or two if it is of the last line."""
        before = self.files.get(name)
        return {before, self.last.get(name, before)}

    @property
    def names(self) -> list[str]:
        """All files that may be there, the last written last."""
        new = [name for name, checksum in self.last.items() if checksum is not None]
        return [name for name in self.files if name not in new] + new


class Manifest:
    """The journal of a folder.  One process at a time may write; any may read meanwhile."""

    def __init__(self, root: Path, unlisted: Callable[[], Iterable[str]]) -> None:
        """Name the folder, and what says which of its files are taken over as they are.

        Args:
            root: the folder; nothing is read yet.
            unlisted: names of files for the first line, where there is no journal yet.
        """
        self.root, self.path, self.unlisted = root, root / MANIFEST, unlisted
        self._read: tuple[tuple[int, int], Listed] | None = None

    def listed(self) -> Listed | None:
        """What the journal says, None if there is none.

        Raises:
            ManifestError: if a line is damaged.
        """
        try:
            state = _state(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if self._read is None or self._read[0] != state:
            self._read = (state, self._parsed(self.path.read_bytes()))
        return self._read[1]

    def _parsed(self, data: bytes) -> Listed:
        *lines, _ = data.split(b"\n")  # a kill leaves a last line that is not whole
        files: dict[str, str] = {}
        last: dict[str, str | None] = {}
        chain, end = hashlib.sha256(SEED.encode()).hexdigest(), 0
        for number, line in enumerate(lines, 1):
            files = _after(files, last)
            with suppress(ValueError, KeyError, TypeError):
                last = json.loads(line)["files"]
            chain, whole = _line(chain, last)
            if whole != line + b"\n":
                raise ManifestError(f"line {number} is damaged")
            end += len(whole)
        if not lines:
            raise ManifestError("it is cut short")
        return Listed(files, last, chain, end)

    def record(self, changes: Changes) -> None:
        """Announce changes, and confirm what was announced before.

        Raises:
            ManifestError: if the journal is damaged, or a file of its last line is.
            OSError: if it cannot be written.
        """
        listed = self.listed()
        if listed is None:
            taken = {name: checksum_at(self.root / name) for name in sorted(self.unlisted())}
            start = hashlib.sha256(SEED.encode()).hexdigest()
            write_atomically(self.path, _line(start, taken)[1])
            listed = self.listed()
            assert listed is not None
        now = {name: checksum_at(self.root / name) for name in listed.last}
        for name in sorted(now.keys() - changes.keys()):
            if now[name] not in listed.allowed(name):
                raise ManifestError(f"{name} is not as it was written")
        ended = {name: found for name, found in now.items() if found != listed.last[name]}
        if changes or listed.last:
            self._append(listed, {**ended, **changes})

    def _append(self, listed: Listed, changes: Changes) -> None:
        chain, line = _line(listed.chain, changes)
        with self.path.open("r+b") as file:
            file.truncate(listed.end)
            file.seek(listed.end)
            try:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
            except BaseException:
                file.truncate(listed.end)
                raise
        files, end = _after(listed.files, listed.last), listed.end + len(line)
        self._read = (_state(self.path), Listed(files, dict(changes), chain, end))


def _state(path: Path) -> tuple[int, int]:
    """What tells that a file was written since."""
    state = path.stat()
    return state.st_size, state.st_mtime_ns


def checksum_at(path: Path) -> str | None:
    """sha256 of a file; None where there is none."""
    return sha256_of(path) if path.is_file() else None


def _line(chain: str, changes: Changes) -> tuple[str, bytes]:
    """The checksum of a line and all before it, and the line."""
    text = json.dumps(changes)
    new = hashlib.sha256(f"{chain} {text}".encode()).hexdigest()
    return new, f'{{"files": {text}, "chain": "{new}"}}\n'.encode()


def _after(files: dict[str, str], changes: Changes) -> dict[str, str]:
    """The files after changes; what is written moves to the end."""
    for name, checksum in changes.items():
        files.pop(name, None)
        if checksum is not None:
            files[name] = checksum
    return files
