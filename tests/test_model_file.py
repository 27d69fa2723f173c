"""Model files: arrays come back bit for bit, or the file is refused with a reason."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest
from safetensors import safe_open

from gnomon.learn.model_file import ModelFileError, read_model_file, write_model_file
from gnomon.run.files import write_atomically

TREE = {
    "weights": np.arange(6, dtype=np.float32).reshape(2, 3) / 7,
    "seen": np.array([True, False, True]),
    "nothing": np.zeros((0, 4)),
    "count": np.array(3, dtype=np.int32),
    "turned": np.arange(6.0).reshape(2, 3).T,
}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "folder" / "arrays.gnomon"
    write_model_file(path, {"kind": "test", "card": {"mae": 0.1}}, TREE)
    return path


def like(tree: dict[str, np.ndarray]) -> dict[str, jax.ShapeDtypeStruct]:
    return {k: jax.ShapeDtypeStruct(v.shape, v.dtype) for k, v in tree.items()}


def test_arrays_come_back_bit_for_bit(saved):
    found = read_model_file(saved)
    assert found.about == {"kind": "test", "card": {"mae": 0.1}}
    loaded = found.fill(like(TREE))
    for name, array in TREE.items():
        assert loaded[name].dtype == array.dtype
        np.testing.assert_array_equal(loaded[name], array)


def test_any_reader_of_safetensors_reads_arrays_and_card(saved):
    with safe_open(saved, framework="numpy") as file:
        np.testing.assert_array_equal(file.get_tensor("['weights']"), TREE["weights"])
        assert json.loads(file.metadata()["card"]) == {"mae": 0.1}


def test_nothing_but_the_file_is_left(saved):
    assert [p.name for p in saved.parent.iterdir()] == [saved.name]


def test_a_file_cut_anywhere_is_refused(saved):
    data = saved.read_bytes()
    for keep in range(0, len(data), 7):
        saved.write_bytes(data[:keep])
        with pytest.raises(ModelFileError, match=r"arrays\.gnomon is (damaged|no gnomon model)"):
            read_model_file(saved)
    saved.write_bytes(data + b"\0")
    with pytest.raises(ModelFileError, match="damaged"):
        read_model_file(saved)


def test_a_changed_byte_is_noticed_wherever_it_is(saved):
    data = saved.read_bytes()
    for i in range(0, len(data), 3):
        altered = bytearray(data)
        altered[i] ^= 1
        saved.write_bytes(altered)
        with pytest.raises(ModelFileError, match=r"arrays\.gnomon is (damaged|no gnomon model)"):
            read_model_file(saved)


@pytest.mark.parametrize("content", [b"", b"\x80\x04pickle", b"{}\n", b"\xff" * 40, b"\0" * 40])
def test_another_file_is_no_model(tmp_path, content):
    path = tmp_path / "other"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match="no gnomon model"):
        read_model_file(path)


@pytest.mark.parametrize("name", ["gnomon arrays 1", "gnomon potential 1"])
def test_a_file_of_an_earlier_version_says_what_to_do(tmp_path, name):
    path = tmp_path / "old.gnomon"
    path.write_bytes(json.dumps({"format": name, "kind": "structural"}).encode() + b"\n1234")
    with pytest.raises(ModelFileError, match=r"old\.gnomon .* earlier gnomon.*train"):
        read_model_file(path)


def test_arrays_of_another_shape_or_name_are_refused(saved):
    found = read_model_file(saved)
    wider = {**TREE, "weights": np.zeros((2, 4), np.float32)}
    with pytest.raises(ModelFileError, match="weights"):
        found.fill(like(wider))
    with pytest.raises(ModelFileError, match=r"5 arrays where 4 are expected.*seen"):
        found.fill(like({k: v for k, v in TREE.items() if k != "seen"}))


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("gnomon.run.files.os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
