"""Backups: what comes back is what went in, or nothing comes back."""

import json
import shutil
import stat
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from gnomon.cli import main
from gnomon.run.archive import CONTENTS, FORMAT, backup, restore
from gnomon.run.folder import Folder
from gnomon.run.writing import StoreError, write_bytes

SHARD = "evaluations/round=000/part-0000.parquet"


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """A campaign of sorts, with a verification and a report."""
    folder = Folder(tmp_path / "campaign")
    with folder.locked():
        folder.write("provenance.json", b'{"a": 1}\n')
        folder.write(SHARD, bytes(range(256)) * 50)
    folder.log("it began")
    write_bytes(folder.root / "hull.parquet", b"hull")
    write_bytes(folder.root / "report" / ".gnomon-report", b"")
    write_bytes(folder.root / "report" / "index.html", b"page")
    write_bytes(folder.root / "tables" / "band_gap.parquet", b"gaps")
    folder.seal()
    level = Folder(folder.root / "verification" / "gpaw-1a2b")
    with level.locked():
        level.write("verification.json", b"{}")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """All files but locks."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".lock")
    }


def test_a_campaign_comes_back_after_damage(
    folder: Folder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive, whole = tmp_path / "kept" / "campaign.zip", contents(folder.root)
    assert main(["backup", str(folder.root), str(archive)]) == 0
    assert main(["check", str(folder.root)]) == 0
    (folder.root / SHARD).unlink()
    capsys.readouterr()
    assert main(["check", str(folder.root), "--json"]) == 1
    assert [row["file"] for row in json.loads(capsys.readouterr().out)["amiss"]] == [SHARD]
    with pytest.raises(StoreError, match=r"part-0000.parquet is missing"):
        backup(folder, tmp_path / "second.zip")
    assert not (tmp_path / "second.zip").exists()
    assert main(["restore", str(archive), str(tmp_path / "again")]) == 0
    assert main(["check", str(tmp_path / "again")]) == 0
    assert contents(tmp_path / "again") == whole


def test_repair_goes_back_to_what_came_before_the_damage(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    with folder.locked():
        for name in ("provenance.json", "stages/a.json", SHARD, "stages/b.json"):
            folder.write(name, name.encode())
    folder.root.joinpath(SHARD).write_bytes(b"damaged")
    assert main(["check", str(tmp_path)]) == 1
    assert main(["check", str(tmp_path), "--repair"]) == 0
    assert folder.names("*/*") == ["stages/a.json"]
    assert not (tmp_path / "stages" / "b.json").exists()
    (tmp_path / "provenance.json").write_bytes(b"")
    assert main(["check", str(tmp_path), "--repair"]) == 1
    assert (tmp_path / "stages" / "a.json").exists()


def test_nothing_is_overwritten(folder: Folder, tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    backup(folder, archive)
    before = archive.read_bytes()
    with pytest.raises(StoreError, match="is there already"):
        backup(folder, archive)
    assert archive.read_bytes() == before
    for place in (folder.root, archive):
        with pytest.raises(StoreError, match="is there already"):
            restore(archive, place)
    with pytest.raises(StoreError, match="holds nothing that gnomon wrote"):
        backup(Folder(tmp_path / "nowhere"), tmp_path / "b.zip")
    assert not (tmp_path / "nowhere").exists()


def test_every_damaged_archive_is_refused_and_leaves_nothing(
    folder: Folder, tmp_path: Path
) -> None:
    backup(folder, tmp_path / "a.zip")
    whole = (tmp_path / "a.zip").read_bytes()
    expected = contents(folder.root)
    places = range(0, len(whole), 7)
    damaged = [whole[:i] + bytes([whole[i] ^ 16]) + whole[i + 1 :] for i in places]
    refused = 0
    for data in [*damaged, *(whole[:i] for i in places), whole + whole]:
        (tmp_path / "b.zip").write_bytes(data)
        try:
            restore(tmp_path / "b.zip", tmp_path / "out")
        except StoreError:
            refused += 1
            assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zip", "b.zip", "campaign"]
        else:  # a bit that says nothing, such as one of a date
            assert contents(tmp_path / "out") == expected
            shutil.rmtree(tmp_path / "out")
    assert refused > 0.7 * len(damaged) + len(places) - 5


def archive_of(path: Path, files: dict[str, bytes], **said: Any) -> None:
    """An archive whose list is right, whatever is in it."""
    listed = {n: {"bytes": len(d), "sha256": sha256(d).hexdigest()} for n, d in files.items()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(CONTENTS, json.dumps({"format": FORMAT, "files": listed | said}))
        for name, data in files.items():
            file.writestr(name, data)


def link(path: Path) -> None:
    archive_of(path, {})
    info = zipfile.ZipInfo("models")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    listed = {"models": {"bytes": 4, "sha256": sha256(b"/etc").hexdigest()}}
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(CONTENTS, json.dumps({"format": FORMAT, "files": listed}))
        file.writestr(info, "/etc")


EVIL: dict[str, Callable[[Path], object]] = {
    "above": lambda path: archive_of(path, {"../evil": b"x"}),
    "deep above": lambda path: archive_of(path, {"models/../../evil": b"x"}),
    "absolute": lambda path: archive_of(path, {"/tmp/evil": b"x"}),
    "a drive": lambda path: archive_of(path, {"C:evil": b"x"}),
    "backslashes": lambda path: archive_of(path, {"..\\evil": b"x"}),
    "an empty name": lambda path: archive_of(path, {"models//evil": b"x"}),
    "a link": link,
    "a bomb": lambda path: archive_of(path, {"models/bomb": bytes(3 * 10**7)}),
    "not listed": lambda path: archive_of(path, {}, more={"bytes": 1, "sha256": ""}),
    "no list": lambda path: zipfile.ZipFile(path, "w").close(),
    "no archive": lambda path: path.write_text("nothing"),
}


@pytest.mark.parametrize("what", EVIL)
def test_an_archive_of_others_is_refused(tmp_path: Path, what: str) -> None:
    (tmp_path / "home").mkdir()
    EVIL[what](tmp_path / "home" / "a.zip")
    with pytest.raises(StoreError, match="is no whole backup of gnomon"):
        restore(tmp_path / "home" / "a.zip", tmp_path / "home" / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["home"]
    assert [p.name for p in (tmp_path / "home").iterdir()] == ["a.zip"]
