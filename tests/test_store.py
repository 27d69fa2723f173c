"""The campaign folder: whole files or none, one process at a time, errors that name the file."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from gnomon.discover.propose import structure_table
from gnomon.io import from_arrow
from gnomon.run.manifest import MANIFEST
from gnomon.run.store import SCHEMAS, Store
from gnomon.run.writing import StoreError, write_bytes, write_json, write_parquet
from tests.strategies import random_crystal


def crystal_rows(seed: int = 0, size: int = 3) -> pa.Table:
    rng = np.random.default_rng(seed)
    tables = [structure_table(random_crystal(rng)) for _ in range(size)]
    rows = pa.concat_tables(tables)
    return rows.append_column("canonical_id", rows["id"])


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# --- tables ---------------------------------------------------------------------------------------


def test_rows_come_back_as_they_were_appended_in_order(tmp_path: Path) -> None:
    store = Store(tmp_path)
    shards = [
        (0, crystal_rows(0)),
        (1, crystal_rows(1)),
        (0, crystal_rows(2)),
        (1, crystal_rows(3)),
    ]
    for number, rows in shards:
        store.append("crystals", number, rows)
    for number in (0, 1):
        expected = pa.concat_tables([rows for n, rows in shards if n == number])
        found = store.table("crystals", number)
        assert found.schema == SCHEMAS["crystals"]
        assert found.select(["id"]).equals(expected.select(["id"]))
        assert set(found["round"].to_pylist()) == {number}
        assert from_arrow(found).ids.tolist() == expected["id"].to_pylist()
    assert [r["round"] for r in store.table("crystals").to_pylist()] == [0] * 6 + [1] * 6


def test_a_table_without_shards_has_its_columns(tmp_path: Path) -> None:
    for name, schema in SCHEMAS.items():
        assert Store(tmp_path / "nowhere").table(name).schema == schema
    store = Store(tmp_path)
    store.append("crystals", 0, crystal_rows().slice(0, 0))
    assert len(store.table("crystals")) == 0


def test_shards_are_read_in_the_order_of_their_writing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    names = [store.append("crystals", 0, crystal_rows(i, 1)).name for i in range(12)]
    assert names == sorted(names)
    expected = [crystal_rows(i, 1)["id"][0].as_py() for i in range(12)]
    assert store.table("crystals")["id"].to_pylist() == expected


def test_discarding_leaves_the_other_rounds(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for number in (0, 1):
        store.append("crystals", number, crystal_rows(number))
    store.discard("crystals", 1)
    store.discard("lineage", 1)
    assert set(store.table("crystals")["round"].to_pylist()) == {0}


def test_a_damaged_shard_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path)
    path = store.append("crystals", 0, crystal_rows())
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(StoreError, match=r"part-0000.parquet is not as it was written: restore"):
        store.table("crystals")
    (tmp_path / MANIFEST).unlink()  # as in folders of before there were manifests
    with pytest.raises(StoreError, match=rf"{path} cannot be read .*delete it"):
        store.table("crystals")


def test_stage_markers_hold_their_facts(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.finished(3, "screen") is None
    store.finish(3, "screen", {"n_labels": 7, "message": "Å"})
    assert store.finished(3, "screen") == {"n_labels": 7, "message": "Å"}
    assert store.finished(3, "generate") is None


def test_provenance_of_no_campaign(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="holds no campaign: `gnomon discover` begins one"):
        _ = Store(tmp_path).provenance


def test_sql_sees_every_table_and_the_hull(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.append("crystals", 0, crystal_rows(0))
    store.append("crystals", 2, crystal_rows(1))
    counted = store.query("select round, count(*) as n from crystals group by round order by round")
    assert counted.to_pylist() == [{"round": 0, "n": 3}, {"round": 2, "n": 3}]
    for name in SCHEMAS:
        assert len(store.query(f"select * from {name} limit 0").column_names) == len(SCHEMAS[name])
    write_parquet(store.hull_path, pa.table({"e_above_hull": [0.25]}))
    store.seal()
    assert store.query("select e_above_hull from hull").to_pylist() == [{"e_above_hull": 0.25}]
    write_parquet(store.hull_path, pa.table({"e_above_hull": [0.0]}))
    with pytest.raises(StoreError, match="is not as it was written"):
        store.query("select e_above_hull from hull")


# --- whole files or none --------------------------------------------------------------------------


def test_nothing_but_the_file_is_left(tmp_path: Path) -> None:
    write_json(tmp_path / "deep" / "facts.json", {"a": 1})
    write_json(tmp_path / "deep" / "facts.json", {"a": 2})
    assert list(files(tmp_path)) == ["deep/facts.json"]
    assert (tmp_path / "deep" / "facts.json").read_text() == '{\n  "a": 2\n}\n'


def test_the_old_file_stands_until_the_new_one_is_whole_and_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_bytes(tmp_path / "file", b"old")
    seen: list[tuple[bytes, bytes]] = []
    fsync = os.fsync

    def look(descriptor: int) -> None:
        fsync(descriptor)
        [temporary] = [p for p in tmp_path.iterdir() if p != path]
        seen.append((path.read_bytes(), temporary.read_bytes()))

    monkeypatch.setattr(os, "fsync", look)
    write_bytes(path, b"new")
    assert seen == [(b"old", b"new")]
    assert files(tmp_path) == {"file": b"new"}


def raising(code: int) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise OSError(code, os.strerror(code))

    return fail


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("where", ["fsync", "open", "replace", "mkdir"])
def test_a_disk_that_refuses_leaves_the_store_intact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, code: int
) -> None:
    store = Store(tmp_path)
    store.append("crystals", 0, crystal_rows())
    before = files(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os if where == "fsync" else Path, where, raising(code))
        with pytest.raises(StoreError, match=rf"cannot write .*part-0001.*{os.strerror(code)}"):
            store.append("crystals", 0, crystal_rows(1))
    after = files(tmp_path)
    assert [name for name in after if after[name] != before[name]] in ([], [MANIFEST])
    assert len(store.table("crystals")) == 3
    assert not store.damages()
    store.append("crystals", 0, crystal_rows(1))
    assert len(store.table("crystals")) == 6


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "crystals").write_text("in the way")
    with pytest.raises(StoreError, match=r"cannot write .*crystals"):
        Store(tmp_path).append("crystals", 0, crystal_rows())
    with (
        pytest.raises(StoreError, match=r"cannot write .*crystals"),
        Store(tmp_path / "crystals").locked(),
    ):
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with (
        pytest.raises(StoreError, match=r"Permission denied.*mend the permissions"),
        Store(tmp_path).locked(),
    ):
        pass
    with pytest.raises(StoreError, match="Permission denied"):
        Store(tmp_path).append("crystals", 0, crystal_rows())


def test_a_folder_that_cannot_be_made_or_logged_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "open", raising(errno.EROFS))
    with pytest.raises(StoreError, match="Read-only file system"), Store(tmp_path).locked():
        pass


def test_what_a_killed_writer_left_is_never_read_and_is_swept_away(tmp_path: Path) -> None:
    """SIGKILL between writing and renaming: no handler runs, the temporary file stays."""
    store = Store(tmp_path)
    store.append("crystals", 0, crystal_rows())
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from gnomon.run.writing import write_bytes\n"
        "os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_bytes(Path(sys.argv[1]), b'half')"
    )
    shard = tmp_path / "crystals" / "round=000" / "part-0001.parquet"
    ended = subprocess.run([sys.executable, "-c", code, str(shard)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert len(list(shard.parent.iterdir())) == 2
    assert len(store.table("crystals")) == 3
    with store.locked():
        assert [p.name for p in shard.parent.iterdir()] == ["part-0000.parquet"]


# --- one process at a time ------------------------------------------------------------------------

HOLD = """
import sys
from gnomon.run.manifest import MANIFEST
from gnomon.run.store import Store
with Store(sys.argv[1]).locked():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_told_who_holds_the_campaign(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        store = Store(tmp_path)
        with (
            pytest.raises(StoreError, match=rf"\(pid {holder.pid}\) works on .*{tmp_path}"),
            store.locked(),
        ):
            pass
        holder.kill()
        holder.wait()
        with store.locked():  # however its holder ended, the system let go of it
            pass


def test_the_lock_is_free_after_an_error(tmp_path: Path) -> None:
    store = Store(tmp_path / "new" / "folder")
    with pytest.raises(KeyError), store.locked():
        raise KeyError
    with store.locked():
        pass
