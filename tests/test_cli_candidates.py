"""The commands that make candidates and tell duplicates."""

import json

import numpy as np
import pytest

from gnomon.cli import main
from gnomon.crystals import Crystals
from gnomon.io import read, write


@pytest.fixture
def file(tmp_path):
    salt = Crystals.single(np.eye(3) * 4.1, [55, 17], [[0, 0, 0], [0.5, 0.5, 0.5]])
    copper = Crystals.single(np.eye(3) * 2.6, [29], [[0, 0, 0]])
    write(tmp_path / "three.parquet", Crystals.concatenate([salt, copper, salt.supercell(2)]))
    return tmp_path / "three.parquet"


def test_random_cells_stream_to_a_file(tmp_path, capsys):
    out = tmp_path / "cells.parquet"
    few = ["--count", "3", "--max-formula-units", "1", "--max-atoms", "4", "--volumes", "0.5", "1"]
    assert main(["generate", "random", "Cu", "NaCl", *few, "--out", str(out)]) == 0
    assert set(read(out).crystals.reduced_formulas) <= {"Cu", "NaCl"}
    assert main(["generate", "random", "Cu", "--out", str(out)]) == 1
    assert "exists" in capsys.readouterr().err
    backwards = ["--volumes", "1", "0.5", "--out", str(tmp_path / "other.parquet")]
    assert main(["generate", "random", "Cu", *backwards]) == 1
    assert "must be positive and ascending" in capsys.readouterr().err


def test_prototypes_of_a_file_are_decorated(file, tmp_path, capsys):
    out = tmp_path / "decorated.parquet"
    command = ["generate", "prototypes", "Ni-Ti", "--from", str(file), "--out", str(out), "--json"]
    assert main(command) == 0
    assert sorted(read(out).crystals.reduced_formulas) == ["Ni", "Ti", "TiNi"]
    found = capsys.readouterr()
    assert "2 prototypes in 3 crystals" in found.err
    assert json.loads(found.out) == {"candidates": 3, "file": str(out)}


def test_duplicates_are_counted_and_the_first_kept(file, tmp_path, capsys):
    out = tmp_path / "distinct.parquet"
    assert main(["duplicates", str(file), "--out", str(out), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["crystals"], printed["groups"]) == (3, 2)
    assert [row["group"] for row in printed["rows"]] == [0, 1, 0]
    assert len(read(out).crystals) == 2


def test_what_is_known_is_left_out(file, tmp_path, capsys):
    out = tmp_path / "new.parquet"
    assert main(["duplicates", str(file), "--against", str(file), "--out", str(out)]) == 0
    assert not len(read_table(out))
    assert main(["duplicates", str(file), "--tolerance", "-1"]) == 1
    assert "symprec must be at least 0" in capsys.readouterr().err


def read_table(path):
    import pyarrow.parquet as pq

    return pq.read_table(path)
