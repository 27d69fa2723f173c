"""Readings that would mislead without a word: a thing said twice, in another unit, or oddly."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.io import read, write
from gnomon.io.parquet_footer import FooterError, row_groups
from gnomon.io.plausible import contact
from tests.strategies import random_crystal
from tests.test_field_cases import accepted, rejected, written
from tests.test_field_kinds import PLACES, poscar

# --- POSCAR ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (poscar("NA CL", "1 1"), "'NA' is read as Na"),
        (poscar("na cl", "1 1"), "'cl' is read as Cl"),
        (poscar("Na\nCl", "1\n1"), None),
        (poscar("Na Cl", "1 1").replace("x\n", "Na1 Cl1\n", 1), None),
        (poscar("Na Cl", "1 1").replace("x\n", "K1 Br1\n", 1), "the first line is 'K1 Br1'"),
        (poscar("Na Cl", "1 1", PLACES.replace("Direct", "Angstrom")), "taken as Direct"),
        (poscar("Na Cl", "1 1", "Direct\n0 0 0\n1.7 1.7 2.7\n"), "are they Cartesian"),
        (poscar("Na Cl", "1 1", PLACES.replace("Direct", "Cartesian")), "another unit"),
        (poscar("Na Cl", "1 1", scale="1.8897"), "another unit"),
        (poscar("Na Cl", "1 1", scale="0.5292"), "another unit"),
    ],
)
def test_a_poscar_says_what_was_read(tmp_path: Path, text: str, told: str | None) -> None:
    formula, atoms, warning = accepted(written(tmp_path, "POSCAR", text))
    assert (formula, atoms) == ("NaCl", 2)
    assert warning is None if told is None else told in str(warning)


@pytest.mark.parametrize("before", ["", "Selective dynamics\n"])
def test_a_poscar_without_a_kind_of_positions_is_told_so(tmp_path: Path, before: str) -> None:
    text = poscar("Na Cl", "1 1", before + PLACES.removeprefix("Direct\n"))
    reason, detail = rejected(written(tmp_path, "POSCAR", text))
    assert reason == "unreadable"
    assert "Direct or Cartesian" in detail


def test_lengths_in_picometres_are_no_crystal(tmp_path: Path) -> None:
    reason, detail = rejected(
        written(tmp_path, "POSCAR", poscar("Na Cl", "1 1").replace("3.4", "340"))
    )
    assert reason == "too_large"
    assert "unit" in detail


BOHR = 0.529177


@pytest.mark.parametrize("scale", [1 / BOHR, BOHR])
def test_lengths_in_bohr_are_told_by_contacts(shared_data: Path, scale: float) -> None:
    """Of real crystals: none is warned of as it is, nearly all in another unit."""
    table = shared_data / "materials_project" / "structures.parquet"
    rows = pq.read_table(table).slice(0, 300).to_pylist()
    told = np.zeros((2, 0), bool)
    for row in rows:
        cell, frac = np.reshape(row["lattice"], (3, 3)), np.reshape(row["frac_coords"], (-1, 3))
        numbers = np.array(row["atomic_numbers"], np.int64)
        found = [bool(contact(factor * cell, numbers, frac)) for factor in (1.0, scale)]
        told = np.column_stack([told, found])
    assert told[0].sum() == 0
    assert told[1].mean() > 0.95


# --- Parquet --------------------------------------------------------------------------------------


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.sampled_from(["snappy", "none", "zstd"]))
def test_sizes_in_a_footer_are_those_of_pyarrow(
    tmp_path_factory: pytest.TempPathFactory, seed: int, group: int, compression: str
) -> None:
    path = tmp_path_factory.mktemp("footer") / "a.parquet"
    write(path, random_crystal(np.random.default_rng(seed)))
    pq.write_table(
        pq.read_table(path), path, row_group_size=group, compression=compression, store_schema=False
    )
    metadata = pq.ParquetFile(path).metadata
    with path.open("rb") as file:
        found = row_groups(file, 10_000_000)
    assert len(found) == metadata.num_row_groups
    for i, one in enumerate(found):
        expected = metadata.row_group(i)
        assert one.rows == expected.num_rows
        assert one.columns == [
            (c.path_in_schema.partition(".")[0], c.num_values, c.total_uncompressed_size)
            for c in map(expected.column, range(expected.num_columns))
        ]


@given(st.binary(max_size=200))
def test_rubbish_is_no_footer(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("footer") / "a.parquet"
    path.write_bytes(data + len(data).to_bytes(4, "little") + b"PAR1")
    with path.open("rb") as file:
        try:
            found = row_groups(file, 10_000_000)
        except FooterError:
            return
    assert found == []


def test_histograms_of_another_length_end_no_process(tmp_path: Path) -> None:
    """pyarrow would end it: a footer whose size statistics do not fit the levels of a column."""
    path = tmp_path / "a.parquet"
    write(path, random_crystal(np.random.default_rng(0)))
    data = bytearray(path.read_bytes())
    length = int.from_bytes(data[-8:-4], "little")
    start = len(data) - 8 - length
    rng = np.random.default_rng(0)
    for place in rng.choice(np.arange(start, len(data) - 8), 300, replace=False).tolist():
        broken = data.copy()
        broken[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(broken)
        found = read([tmp_path])
        assert len(found.crystals) + len(found.rejects) >= 1
