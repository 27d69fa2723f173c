"""The list of files: what a kill leaves is accepted, whatever else becomes of a file is named."""

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from gnomon.run import manifest as manifest_module
from gnomon.run.folder import Folder
from gnomon.run.listener import Listener
from gnomon.run.manifest import MANIFEST
from gnomon.run.writing import StoreError

SHARD = "evaluations/round=000/part-0000.parquet"


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Three files, the second of them written twice, all of it confirmed."""
    folder = Folder(tmp_path / "folder")
    with folder.locked():
        folder.write("provenance.json", b'{"a": 1}\n')
        folder.write(SHARD, b"old")
        folder.write("stages/round=000/evaluate.json", b'{"b": 2}\n')
        folder.write(SHARD, b"rows")
    return folder


def again(folder: Folder) -> Folder:
    """As another process sees it."""
    return Folder(folder.root)


def test_a_folder_as_it_was_written_is_sound(folder: Folder) -> None:
    assert again(folder).damages() == []
    assert again(folder).read(SHARD) == b"rows"
    assert again(folder).names("*/round=*/*") == [SHARD, "stages/round=000/evaluate.json"]
    (folder.root / "notes.txt").write_text("mine")
    assert [(d.file, d.fatal) for d in again(folder).damages()] == [("notes.txt", False)]


def read_all(folder: Folder, pattern: str) -> list[bytes]:
    return [folder.read(name) for name in folder.names(pattern)]


DAMAGE: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: path.unlink(),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "emptied": lambda path: path.write_bytes(b""),
    "changed": lambda path: path.write_bytes(path.read_bytes().replace(b"r", b"s", 1) + b" "),
    "doubled": lambda path: path.write_bytes(2 * path.read_bytes()),
    "copied": lambda path: shutil.copy(path, path.with_name(f"part-0009{path.suffix}")),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("name", [SHARD, "stages/round=000/evaluate.json"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_named_and_refused(folder: Folder, name: str, damage: str) -> None:
    DAMAGE[damage](folder.root / name)
    amiss = name if damage != "copied" else name.rpartition("/")[0] + "/part-0009" + name[-8:]
    (found,) = again(folder).damages()
    assert found.fatal
    assert amiss.startswith(found.file[:-8])
    with pytest.raises(StoreError, match=r"part-000|evaluate.json"), again(folder).locked():
        pass
    with pytest.raises(StoreError, match=r"is (not|missing)"):
        read_all(again(folder), f"{name.partition('/')[0]}/*/*")


def test_every_flip_of_the_journal_is_found_or_changes_nothing(folder: Folder) -> None:
    """Also each length that it can be cut to; what is read is right or refused."""
    path = folder.root / MANIFEST
    whole = path.read_bytes()
    flips = [whole[:i] + bytes([whole[i] ^ 4]) + whole[i + 1 :] for i in range(len(whole))]
    cuts = [whole[:i] for i in range(len(whole))]
    refused = 0
    for data in [*flips, *cuts, whole + whole, b"\n", whole + b"\n"]:
        path.write_bytes(data)
        one = again(folder)
        if one.damages():
            refused += 1
            assert all(d.fatal or d.file == "provenance.json" for d in one.damages())
        else:
            assert one.read(SHARD) == b"rows"
            assert len(one.names("*/*/*")) == 2
    assert refused > 0.9 * len(flips + cuts)


def test_without_a_journal_files_are_listed_as_they_are_and_it_is_said_once(
    folder: Folder,
) -> None:
    (folder.root / MANIFEST).unlink()
    assert again(folder).damages() == []
    assert again(folder).read(SHARD) == b"rows"
    said: list[str] = []
    for _ in range(2):
        with again(folder).locked(Listener(said.append, lambda *_: None)):
            pass
    assert said == [f"{folder.root} has no {MANIFEST}: its 3 files are listed as they are"]
    (folder.root / SHARD).unlink()
    assert [d.file for d in again(folder).damages()] == [SHARD]


class Killed(BaseException):
    """No handler of errors sees it."""


def work(folder: Folder) -> None:
    with folder.locked():
        if not folder.has("provenance.json"):
            folder.write("provenance.json", b"{}")
        for number in range(3):
            if not folder.has(f"stages/round={number:03d}/evaluate.json"):
                folder.remove(folder.names(f"evaluations/round={number:03d}/*"))
                for part in range(2):
                    folder.write(
                        f"evaluations/round={number:03d}/part-{part:04d}.parquet", bytes([part])
                    )
                folder.write("provenance.json", bytes([number]))
                folder.write(f"stages/round={number:03d}/evaluate.json", b"{}")


def test_killed_at_any_system_call_it_goes_on_to_the_same_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before and after each line, half a line, each rename and each removal; also twice."""
    work(Folder(tmp_path / "undisturbed"))
    expected = contents(tmp_path / "undisturbed")
    steps, kill_at = [0], [10**9]

    def step() -> None:
        steps[0] += 1
        if steps[0] >= kill_at[0]:
            raise Killed

    def wrapped(function: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            step()
            result = function(*arguments, **options)
            step()
            return result

        return call

    def torn(
        self: manifest_module.Manifest, listed: manifest_module.Listed, changes: object
    ) -> None:
        step()
        append(self, listed, changes)  # type: ignore[arg-type]
        if steps[0] + 1 >= kill_at[0]:
            os.truncate(self.path, listed.end + 7)
        step()

    append = manifest_module.Manifest._append
    monkeypatch.setattr(manifest_module.Manifest, "_append", torn)
    monkeypatch.setattr(Path, "replace", wrapped(Path.replace))
    monkeypatch.setattr(Path, "unlink", wrapped(Path.unlink))
    work(Folder(tmp_path / "counted"))
    total = steps[0]
    assert total > 50
    for number in range(1, total + 1):
        folder = tmp_path / f"killed-{number}"
        for second in (number, 3):
            steps[0], kill_at[0] = 0, second
            with suppress(Killed):  # the second time little may be left to do
                work(Folder(folder))
        steps[0], kill_at[0] = 0, 10**9
        assert Folder(folder).damages() == []
        work(Folder(folder))
        assert contents(folder) == expected, number
        assert Folder(folder).damages() == [], number
        shutil.rmtree(folder)


def contents(folder: Path) -> dict[str, bytes]:
    """All files but the lock and the journal, which says how it went."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".lock") and path.name != MANIFEST
    }
