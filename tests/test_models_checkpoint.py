"""Files of arrays: they come back bit for bit, or are refused with a reason."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest

from gnomon.learn.checkpoint import (
    CheckpointError,
    load_arrays,
    load_header,
    save_arrays,
)
from gnomon.run.files import write_atomically

TREE = {
    "weights": np.arange(6, dtype=np.float32).reshape(2, 3) / 7,
    "seen": np.array([True, False, True]),
    "nothing": np.zeros((0, 4)),
    "count": np.array(3, dtype=np.int32),
}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "folder" / "arrays.gnomon"
    save_arrays(path, {"name": "test"}, TREE)
    return path


def like(tree: dict[str, np.ndarray]) -> dict[str, jax.ShapeDtypeStruct]:
    return {k: jax.ShapeDtypeStruct(v.shape, v.dtype) for k, v in tree.items()}


def test_arrays_come_back_bit_for_bit(saved):
    loaded = load_arrays(saved, like(TREE))
    for name, array in TREE.items():
        assert loaded[name].dtype == array.dtype
        np.testing.assert_array_equal(loaded[name], array)


def test_the_header_is_one_line_of_json(saved):
    header = json.loads(saved.read_bytes().split(b"\n")[0])
    assert header["name"] == "test"
    assert header == load_header(saved)


def test_nothing_but_the_file_is_left(saved):
    assert [p.name for p in saved.parent.iterdir()] == [saved.name]


@pytest.mark.parametrize("keep", [-1, -8])
def test_a_file_cut_short_is_refused(saved, keep):
    saved.write_bytes(saved.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match="damaged"):
        load_arrays(saved, like(TREE))


def test_a_longer_file_is_refused(saved):
    saved.write_bytes(saved.read_bytes() + b"\0")
    with pytest.raises(CheckpointError, match="damaged"):
        load_arrays(saved, like(TREE))


def test_a_changed_byte_is_noticed(saved):
    data = bytearray(saved.read_bytes())
    data[-5] ^= 1
    saved.write_bytes(data)
    with pytest.raises(CheckpointError, match="damaged"):
        load_arrays(saved, like(TREE))


@pytest.mark.parametrize("content", [b"", b"\x80\x04pickle", b"{}\n", b'{"format": "other"}\n'])
def test_another_file_is_no_model(tmp_path, content):
    path = tmp_path / "other"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="no gnomon model"):
        load_header(path)


def test_arrays_of_another_shape_or_name_are_refused(saved):
    wider = {**TREE, "weights": np.zeros((2, 4), np.float32)}
    with pytest.raises(CheckpointError, match="weights"):
        load_arrays(saved, like(wider))
    with pytest.raises(CheckpointError, match="4 arrays where 3 are expected"):
        load_arrays(saved, like({k: v for k, v in TREE.items() if k != "seen"}))


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("gnomon.run.files.os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
