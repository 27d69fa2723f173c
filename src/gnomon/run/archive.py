"""A folder in one file, with checksums, and back: whole or not at all, nothing overwritten."""

from __future__ import annotations

import json
import os
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any

from gnomon.run.files import renamed
from gnomon.run.folder import Folder
from gnomon.run.listener import SILENT, Listener
from gnomon.run.writing import StoreError, cannot_write

CONTENTS = "gnomon-backup.json"
"""The first file of an archive: format, and the others with their sizes and sha256."""

FORMAT = "gnomon backup 1"
MAX_CONTENTS = 2**26
"""Bytes of the list; a file takes about 130."""

MAX_RATIO = 200
"""How much larger than the archive its files may be, beside a first MiB."""

BLOCK = 2**20


def backup(folder: Folder, archive: Path, listener: Listener = SILENT) -> int:
    """Write all files of a folder into a new archive; returns how many.

    Args:
        folder: of a campaign, a verification or reference phases; it must be sound.
        archive: a zip file that does not exist yet.
        listener: hears of progress, and of what can be made anew.

    Raises:
        StoreError: if the folder is in use or damaged, or the archive is there or cannot be
            written.
    """
    if archive.exists():
        raise StoreError(f"{archive} is there already: name a new file")
    if not folder.is_begun:
        raise StoreError(f"{folder.root} holds nothing that gnomon wrote")
    _check_place(archive)
    with folder.locked(listener):
        names = [name for name in folder.everything() if (folder.root / name) != archive]
        files = {}
        for name in names:
            data = (folder.root / name).read_bytes()
            files[name] = {"bytes": len(data), "sha256": sha256(data).hexdigest()}
        try:
            with renamed(archive) as new, _new_zip(new) as file:
                file.writestr(CONTENTS, json.dumps({"format": FORMAT, "files": files}))
                for done, name in enumerate(names, 1):
                    file.write(folder.root / name, name)
                    listener.tick("backup", done, len(names))
        except OSError as error:
            raise cannot_write(archive, error) from error
    return len(names)


def _check_place(archive: Path) -> None:
    """Make the folder of an archive, before anything is read.

    Raises:
        StoreError: if nothing can be written there.
    """
    try:
        archive.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(archive, error) from error
    if not os.access(archive.parent, os.W_OK):
        raise StoreError(f"nothing can be written in {archive.parent}: name another place")


def restore(archive: Path, folder: Path, listener: Listener = SILENT) -> int:
    """Write the files of an archive into a new folder; returns how many.

    Every name, size and checksum is held against the list in the archive before the folder gets
    its name.

    Args:
        archive: as ``backup`` wrote it.
        folder: does not exist yet, or is empty.
        listener: hears of progress.

    Raises:
        StoreError: if the archive is damaged or none, or the folder is there or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise StoreError(f"{folder} is there already: name a new folder")
    try:
        with zipfile.ZipFile(archive) as file:
            files = _contents(file, archive.stat().st_size)
            folder.parent.mkdir(parents=True, exist_ok=True)
            _check_room(folder.parent, files)
            with renamed(folder) as new:
                for done, (name, facts) in enumerate(files.items(), 1):
                    path = new.joinpath(*PurePosixPath(name).parts)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    _copy(file, path, name, facts)
                    listener.tick("restore", done, len(files))
                for one in (Folder(new), *Folder(new).inner):
                    one.sound()
    except StoreError:
        raise
    except (FileNotFoundError, IsADirectoryError) as error:
        raise StoreError(f"{error.filename}: {error.strerror}") from error
    except OSError as error:
        raise cannot_write(folder, error) from error
    except _DAMAGE as error:
        raise StoreError(f"{archive} is no whole backup of gnomon: {error}") from error
    return len(files)


def _new_zip(path: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False)


class ArchiveError(ValueError):
    """What an archive holds is not what it says."""


_DAMAGE = (
    *(ArchiveError, zipfile.BadZipFile, zlib.error, struct.error),
    *(EOFError, NotImplementedError, RuntimeError, LookupError, ValueError),
)
"""What ``zipfile`` and zlib raise for damaged and encrypted files, and we for others."""


def _contents(file: zipfile.ZipFile, size: int) -> dict[str, dict[str, Any]]:
    """The list of an archive, which agrees with what is in it."""
    members = {one.filename: one for one in file.infolist()}
    first = members.pop(CONTENTS, None)
    if first is None or first.file_size > MAX_CONTENTS:
        raise ArchiveError(f"it has no {CONTENTS}")
    with file.open(first) as stream:
        said = json.loads(stream.read(MAX_CONTENTS))
    if not isinstance(said, dict) or said.get("format") != FORMAT:
        raise ArchiveError(f"its format is not {FORMAT!r}")
    files = said.get("files")
    if not isinstance(files, dict) or files.keys() != members.keys():
        raise ArchiveError("its files are not those of its list")
    if len(file.infolist()) != len(members) + 1:
        raise ArchiveError("a file stands twice in it")
    for name, facts in files.items():
        if not _is_safe(name):
            raise ArchiveError(f"a name in it leads elsewhere: {name!r}")
        if stat.S_ISLNK(members[name].external_attr >> 16) or members[name].is_dir():
            raise ArchiveError(f"{name} is no plain file")
        if not isinstance(facts, dict) or facts.get("bytes") != members[name].file_size:
            raise ArchiveError(f"{name} has another size than in the list")
    if sum(one.file_size for one in members.values()) > MAX_RATIO * size + 2**20:
        raise ArchiveError("its files would be far larger than backups are")
    return files


def _is_safe(name: str) -> bool:
    """Whether a name stays in the folder, on any system."""
    parts = name.split("/")
    return not (
        any(part.strip(" .") == "" for part in parts)
        or any(character in name for character in '\\:*?"<>|')
        or not name.isprintable()
    )


def _check_room(folder: Path, files: Mapping[str, Any]) -> None:
    needed, free = sum(one["bytes"] for one in files.values()), shutil.disk_usage(folder).free
    if needed > free:
        raise StoreError(f"{folder} has room for {free} bytes, and {needed} are needed")


def _copy(file: zipfile.ZipFile, path: Path, name: str, facts: Mapping[str, Any]) -> None:
    """Write a file of an archive, and no more of it than the list says."""
    digest, left = sha256(), int(facts["bytes"])
    with file.open(name) as source, path.open("xb") as target:
        while left >= 0 and (block := source.read(min(BLOCK, left + 1))):
            left -= len(block)
            digest.update(block)
            target.write(block)
    if left or digest.hexdigest() != facts.get("sha256"):
        raise ArchiveError(f"{name} is damaged")
