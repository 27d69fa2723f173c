"""A folder whose files are listed with their checksums, locked by who writes, checked by who reads.

A kill at any moment leaves whole files only and loses at most the one in work.  Whatever else
becomes of a file is found when it is read, or when all of them are checked.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa

from gnomon.run.files import remove, sweep
from gnomon.run.listener import SILENT, Listener
from gnomon.run.lock import HeldError, locked
from gnomon.run.manifest import MANIFEST, Changes, Listed, Manifest, ManifestError, checksum_at
from gnomon.run.writing import (
    StoreError,
    as_json,
    as_parquet,
    cannot_write,
    write_bytes,
    write_json,
)

OURS = (
    *("crystals", "lineage", "screening", "decisions", "evaluations"),
    *("stages", "models", "answers"),
    *("plans", "outcomes", "scans"),
)
"""Folders whose files are all of gnomon's making: another one there is a mistake."""

HULL, REPORT, DERIVED, LOG = "hull.parquet", "report", "derived.json", "campaign.log"

ROOTS = ("provenance.json", "reference.json", "laboratory.json")
"""What says of which settings all the rest is."""

REMADE = {
    "config.toml": "discover",
    "verification.json": "verify",
    "verification.parquet": "verify",
    "records.parquet": "databases",
    "phases.parquet": "databases",
}
"""Listed files that follow from others, and the command that writes them anew."""


@dataclass(frozen=True)
class Damage:
    """What is wrong with a file.

    Attributes:
        file: its name in the folder.
        what: is wrong.
        cure: what to do.
        fatal: whether answers may depend on it.
    """

    file: str
    what: str
    cure: str
    fatal: bool = True

    def __str__(self) -> str:
        """As a sentence."""
        return f"{self.file} {self.what}: {self.cure}"


class Folder:
    """A folder of listed files.  Reading needs nothing else; writing wants ``locked()`` around it.

    Files are named relative to the folder, with slashes.
    """

    def __init__(self, root: Path | str) -> None:
        """Name the folder; nothing is read or made yet."""
        self.root = Path(root)
        self.manifest = Manifest(self.root, self._of_before)

    @property
    def inner(self) -> list[Folder]:
        """The folders of this kind in it: verifications."""
        return [Folder(path) for path in sorted(self.root.glob("verification/*/"))]

    @contextmanager
    def locked(self, listener: Listener = SILENT) -> Iterator[None]:
        """Hold the folder; the system lets go of it when the process ends, however it ends.

        What a process that was killed left half done is removed or ended first.

        Args:
            listener: hears what was amiss.

        Raises:
            StoreError: if another process holds it, it cannot be written, or it is damaged.
        """
        with self.held():
            for folder, _, _ in os.walk(self.root):
                top = Path(folder).relative_to(self.root).parts[:1]
                sweep(Path(folder), alone=bool(top) and top[0] in OURS)
            self.sound(listener)
            if self._listed() is None and (taken := self._of_before()):
                listener.say(
                    f"{self.root} has no {MANIFEST}: its {len(taken)} files are listed as they are"
                )
                self._record({})
            try:
                yield
            finally:  # the last line is confirmed
                with suppress(StoreError):
                    if self._listed() is not None:
                        self._record({})

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder as it is.

        Raises:
            StoreError: if another process holds it, or it cannot be written.
        """
        holder = self.root / ".lock.pid"
        with ExitStack() as stack:
            try:
                self.root.mkdir(parents=True, exist_ok=True)
                stack.enter_context(locked(self.root / ".lock"))
                holder.write_text(str(os.getpid()), "utf-8")
            except OSError as error:
                raise cannot_write(self.root, error) from error
            except HeldError as error:
                owner = holder.read_text("utf-8", "replace") if holder.is_file() else "unknown"
                raise StoreError(
                    f"another process (pid {owner}) works on {self.root}: "
                    "wait for it, stop it, or choose another folder with --out"
                ) from error
            yield

    def log(self, message: str) -> None:
        """Add a line to campaign.log."""
        try:
            with (self.root / LOG).open("a", encoding="utf-8") as file:
                file.write(message + "\n")
        except OSError as error:
            raise cannot_write(self.root / LOG, error) from error

    # --- files ----------------------------------------------------------------------------------

    def write(self, name: str, data: bytes) -> Path:
        """List a file, then write it whole or not at all.

        Raises:
            StoreError: if the disk is full or the folder cannot be written; the store is intact.
        """
        path = self.root / name
        self._record({name: sha256(data).hexdigest()}, path)
        return write_bytes(path, data)

    def write_facts(self, name: str, facts: Mapping[str, Any]) -> Path:
        """Write facts as JSON, whole or not at all."""
        return self.write(name, as_json(facts))

    def write_table(self, name: str, table: pa.Table) -> Path:
        """Write a table as Parquet, whole or not at all."""
        return self.write(name, as_parquet(table))

    def remove(self, names: Iterable[str]) -> None:
        """Remove files, if they are there, and from the list."""
        gone = list(names)
        self._record(dict.fromkeys(gone))
        for name in gone:
            remove(self.root / name)

    @contextmanager
    def making(self, name: str) -> Iterator[Path]:
        """Where to write a file that takes long, which then becomes the one of this name.

        If that is there, it is its path.
        """
        path = self.root / name
        if self.has(name):
            self.read(name)
            yield path
            return
        work = self.root / "work" / path.name
        work.parent.mkdir(exist_ok=True)
        yield work
        path.parent.mkdir(exist_ok=True)
        self._record({name: checksum_at(work)})
        work.replace(path)
        with suppress(OSError):  # others are being made
            work.parent.rmdir()

    def has(self, name: str) -> bool:
        """Whether there is such a file, or should be.

        Raises:
            StoreError: if there is one that gnomon did not write.
        """
        there = (self.root / name).is_file()  # first: files are listed before they are there
        if (listed := self._listed()) is None:
            return there
        if there and listed.allowed(name) == {None}:
            raise StoreError(f"{self.root}: {_strange(name, read=True)}")
        return there or None not in listed.allowed(name)

    def names(self, pattern: str) -> list[str]:
        """The files of a pattern such as ``stages/round=*/screen.json``, in order.

        Raises:
            StoreError: if there is one that gnomon did not write.
        """
        there = {path.relative_to(self.root).as_posix() for path in self.root.glob(pattern)}
        listed = self._listed()
        names = () if listed is None else listed.names
        return sorted(
            name
            for name in there.union(name for name in names if fnmatchcase(name, pattern))
            if self.has(name)
        )

    def read(self, name: str) -> bytes:
        """The bytes of a file, as they were written.

        Raises:
            StoreError: if it is missing or was changed.
        """
        path, data = self.root / name, None
        try:
            data = path.read_bytes()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            pass
        except OSError as error:
            raise StoreError(f"{path} cannot be read: {error.strerror or error}") from error
        listed, found = self._listed(), None if data is None else sha256(data).hexdigest()
        if data is None or (listed is not None and found not in listed.allowed(name)):
            raise StoreError(f"{self.root}: {self._damaged(name, found)}")
        return data

    def facts(self, name: str) -> dict[str, Any]:
        """What a file of JSON says.

        Raises:
            StoreError: if it is missing, was changed, or holds something else.
        """
        try:
            found = json.loads(self.read(name))
        except ValueError as error:
            found = error
        if not isinstance(found, dict):
            raise StoreError(f"{self.root}: {self._damaged(name, '')}")
        return found

    def intact(self, name: str) -> bool:
        """Whether there is such a file, as it was written."""
        listed, found = self._listed(), checksum_at(self.root / name)
        return found is not None and (listed is None or found in listed.allowed(name))

    def _listed(self) -> Listed | None:
        try:
            return self.manifest.listed()
        except ManifestError as error:
            raise StoreError(
                f"{self.root / MANIFEST}: {error}; restore the folder from a backup, or delete "
                "this file and the next run takes the others as they are"
            ) from error
        except OSError as error:
            raise StoreError(f"{self.root / MANIFEST} cannot be read: {error.strerror}") from error

    def _record(self, changes: Changes, path: Path | None = None) -> None:
        self._listed()
        try:
            self.manifest.record(changes)
        except ManifestError as error:
            raise StoreError(f"{self.root}: {error}: {self._cure}") from error
        except OSError as error:
            raise cannot_write(path or self.manifest.path, error) from error

    # --- damage -----------------------------------------------------------------------------------

    def sound(self, listener: Listener = SILENT) -> None:
        """Read all files; tell what is amiss that can be made anew.

        Raises:
            StoreError: if anything else is amiss; it names the files.
        """
        found = self.damages()
        for one in found:
            if not one.fatal:
                listener.say(f"{self.root}: {one}")
        if fatal := [one for one in found if one.fatal]:
            more = f" ({len(fatal)} files in all: `gnomon check {self.root}` lists them)"
            raise StoreError(f"{self.root}: {fatal[0]}{more if fatal[1:] else ''}")

    def damages(self) -> list[Damage]:
        """What is wrong with the files of the folder, and of those in it."""
        for _ in range(3):  # a campaign that goes on meanwhile is no damage
            there = self._files()  # first: files are listed before they are there
            try:
                listed = self._listed()
                found = self._amiss(listed, there) + self._derived_amiss(listed, there)
                if not found or self._listed() is listed:
                    break
            except StoreError as error:
                what, _, cure = str(error).partition("; ")
                return [Damage(MANIFEST, what.partition(": ")[2] or "cannot be read", cure)]
        for folder in self.inner:
            place = folder.root.relative_to(self.root).as_posix()
            found += [replace(one, file=f"{place}/{one.file}") for one in folder.damages()]
        return found

    def _amiss(self, listed: Listed | None, there: list[str]) -> list[Damage]:
        """Listed files that are not as written, and others that are not listed."""
        if listed is None:
            return []
        found = []
        for name in listed.names:
            checksum = checksum_at(self.root / name)
            if checksum not in listed.allowed(name):
                found.append(self._damaged(name, checksum))
        strange = [n for n in there if listed.allowed(n) == {None} and not _is_derived(n)]
        return found + [_strange(name, read=name.partition("/")[0] in OURS) for name in strange]

    def _derived_amiss(self, listed: Listed | None, there: list[str]) -> list[Damage]:
        """Derived files that are not as written: they are made anew, so nothing is lost."""
        derived = list(filter(_is_derived, there))
        cure = f"`gnomon report {self.root}` makes it anew"
        path = self.root / DERIVED
        if not path.is_file():
            missing = listed is not None and derived
            return [Damage(DERIVED, "is missing", cure, fatal=False)] if missing else []
        try:
            files = dict(json.loads(path.read_bytes())["files"])
        except (ValueError, TypeError, LookupError):
            return [Damage(DERIVED, "is damaged", cure, fatal=False)]
        return [
            Damage(name, _what(checksum), cure, fatal=False)
            for name in sorted({*files, *derived})
            if (checksum := checksum_at(self.root / name)) != files.get(name)
        ]

    def _damaged(self, name: str, checksum: str | None) -> Damage:
        if remade := REMADE.get(name):
            cure = f"the same `gnomon {remade}` as before writes it anew"
            return Damage(name, _what(checksum), cure, fatal=False)
        return Damage(name, _what(checksum), self._cure)

    @property
    def _cure(self) -> str:
        return (
            "restore the folder from a backup, or `gnomon check "
            f"{self.root} --repair` goes back to what came before this file"
        )

    def go_back(self) -> list[str]:
        """Remove damaged files and all that were written after the first of them; which these are.

        Raises:
            StoreError: if what all the rest depends on is damaged, or the folder is in use.
        """
        with self.held():
            if (listed := self._listed()) is None:
                return []
            names = listed.names
            bad = [names.index(one.file) for one in self._amiss(listed, []) if one.fatal]
            gone = names[min(bad, default=len(names)) :]
            if lost := [names[place] for place in bad if names[place] in ROOTS]:
                raise StoreError(
                    f"{self.root}: {lost[0]} is damaged, on which all else depends: restore the "
                    "folder from a backup, or begin anew in another one"
                )
            gone = [name for name in gone if name not in ROOTS]
            self.remove(gone)
            self._record({})
            return gone

    def seal(self) -> None:
        """Note the checksums of the derived files."""
        names = filter(_is_derived, self._files())
        write_json(
            self.root / DERIVED, {"files": {name: checksum_at(self.root / name) for name in names}}
        )

    def _files(self) -> list[str]:
        """All files that are not hidden, without those that have no checksum or another list."""
        found = []
        for folder, folders, files in os.walk(self.root):
            place = Path(folder).relative_to(self.root)
            without = ("verification", "work", "tables") if place == Path() else ()
            folders[:] = [f for f in folders if not f.startswith(".") and f not in without]
            found += [(place / name).as_posix() for name in files if not name.startswith(".")]
        return sorted({*found} - {MANIFEST, DERIVED, LOG})

    @property
    def is_begun(self) -> bool:
        """Whether gnomon wrote something here."""
        return self._listed() is not None or bool(self._of_before())

    def everything(self) -> list[str]:
        """All files worth keeping, those of the folders in this one too: no locks, no work."""
        own = [name for name in (MANIFEST, DERIVED, LOG) if (self.root / name).is_file()]
        tables = sorted((self.root / "tables").glob("*.parquet"))
        marks = [path for path in [self.root / REPORT / ".gnomon-report"] if path.is_file()]
        found = [*own, *self._files()]
        found += [path.relative_to(self.root).as_posix() for path in (*marks, *tables)]
        for folder in self.inner:
            place = folder.root.relative_to(self.root).as_posix()
            found += [f"{place}/{name}" for name in folder.everything()]
        return found

    def _of_before(self) -> list[str]:
        """The files of a folder of before there were manifests."""
        names = self._files()
        if not any(name in ROOTS or name.startswith("evaluations/round=") for name in names):
            return []
        return [
            name
            for name in names
            if name.startswith(tuple(f"{folder}/" for folder in OURS))
            or ("/" not in name and name.endswith((".json", ".toml", ".parquet")) and name != HULL)
        ]


def _is_derived(name: str) -> bool:
    return name == HULL or name.startswith(f"{REPORT}/")


def _what(checksum: str | None) -> str:
    return "is missing" if checksum is None else "is not as it was written"


def _strange(name: str, *, read: bool) -> Damage:
    """A file that gnomon did not write, or wrote into another folder."""
    cure = "move it away" + (
        f"; if {MANIFEST} was cut short, restore it, or delete it and the next run lists all files"
        if read
        else "; nothing reads it"
    )
    return Damage(name, f"is not in {MANIFEST}", cure, fatal=read)
