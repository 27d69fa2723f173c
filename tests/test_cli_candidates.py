"""The commands that make candidates and tell duplicates, called as functions."""

import json

import numpy as np
import pytest

from gnomon.cli.duplicates import duplicates
from gnomon.cli.prototypes import generate_prototypes
from gnomon.cli.random_search import generate_random
from gnomon.cli.shared import CommandError
from gnomon.crystals import Crystals
from gnomon.io import read, write


@pytest.fixture
def file(tmp_path):
    salt = Crystals.single(np.eye(3) * 4.1, [55, 17], [[0, 0, 0], [0.5, 0.5, 0.5]])
    copper = Crystals.single(np.eye(3) * 2.6, [29], [[0, 0, 0]])
    write(tmp_path / "three.parquet", Crystals.concatenate([salt, copper, salt.supercell(2)]))
    return tmp_path / "three.parquet"


def test_random_cells_stream_to_a_file(tmp_path):
    out = tmp_path / "cells.parquet"
    generate_random(["Cu", "NaCl"], out, count=3, formula_units=1, max_atoms=4)
    assert set(read(out).crystals.reduced_formulas) <= {"Cu", "NaCl"}
    with pytest.raises(FileExistsError):
        generate_random(["Cu"], out)


def test_prototypes_of_a_file_are_decorated(file, tmp_path, capsys):
    out = tmp_path / "decorated.parquet"
    generate_prototypes("Ni-Ti", out, [str(file)], 24)
    assert sorted(read(out).crystals.reduced_formulas) == ["Ni", "Ti", "TiNi"]
    assert "2 prototypes in 3 crystals" in capsys.readouterr().err


def test_duplicates_are_counted_and_the_first_kept(file, tmp_path, capsys):
    out = tmp_path / "distinct.parquet"
    duplicates([str(file)], out, json=True)
    printed = json.loads(capsys.readouterr().out)
    assert (printed["crystals"], printed["groups"]) == (3, 2)
    assert [row["group"] for row in printed["rows"]] == [0, 1, 0]
    assert len(read(out).crystals) == 2


def test_what_is_known_is_left_out(file, tmp_path):
    out = tmp_path / "new.parquet"
    duplicates([str(file)], out, [str(file)])
    assert not len(read_table(out))
    with pytest.raises(CommandError, match="tolerance"):
        duplicates([str(file)], tolerance=-1.0)


def read_table(path):
    import pyarrow.parquet as pq

    return pq.read_table(path)
