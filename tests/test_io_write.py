"""Writing: round trips of every format, nothing overwritten or half written."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given

from gnomon import io
from gnomon.crystals import Crystals
from tests.strategies import random_crystal, rewritten, rngs
from tests.test_io_read import ROCKSALT

TEXT_TOLERANCE = 1e-9
"""Å and fractional: CIF and POSCAR are written with 12 digits; cells here are below 100 Å."""

EXTXYZ_TOLERANCE = 1e-8
"""Å: ASE writes positions with 8 decimals."""


def odd(rng: np.random.Generator) -> Crystals:
    """A crystal in an odd cell of either handedness."""
    return rewritten(random_crystal(rng), rng)


one_crystal = rngs.map(odd)


@pytest.mark.parametrize("name", ["x.parquet", "x.json"])
def test_exact_formats_keep_every_bit_and_fact(name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    crystals = Crystals.concatenate([odd(rng) for _ in range(20)])
    energies = rng.normal(size=20)
    rows = pa.table(
        {
            "id": pa.array(crystals.ids, pa.string()),
            "source_id": [None, *(f"mp-{i}" for i in range(19))],
            "formation_energy_per_atom": energies,
            "year": pa.array([None, *range(1990, 2009)], pa.int32()),
        }
    )
    io.write(tmp_path / name, crystals, rows=rows)
    result = io.read(tmp_path / name, strict=True)
    assert result.crystals.ids.tolist() == crystals.ids.tolist()
    assert result.rows["formation_energy_per_atom"].to_pylist() == energies.tolist()
    assert result.rows["year"].to_pylist() == rows["year"].to_pylist()
    assert result.rows["source_id"].to_pylist()[1:] == rows["source_id"].to_pylist()[1:]


@given(one_crystal)
def test_extxyz_keeps_crystals(tmp_path_factory: pytest.TempPathFactory, crystal: Crystals) -> None:
    file = tmp_path_factory.mktemp("x") / "x.extxyz"
    rows = pa.table({"e_above_hull": [0.1], "source_id": ["mp-1"]})
    io.write(file, Crystals.concatenate([crystal, crystal]), rows=pa.concat_tables([rows, rows]))
    result = io.read(file, strict=True)
    np.testing.assert_allclose(
        result.crystals[1].cart_coords, crystal.cart_coords, rtol=0, atol=EXTXYZ_TOLERANCE
    )
    np.testing.assert_array_equal(result.crystals.lattice[0], crystal.lattice[0])
    assert result.rows["e_above_hull"].to_pylist() == [0.1, 0.1]
    assert result.rows["source_id"].to_pylist() == ["mp-1", "mp-1"]


@pytest.mark.parametrize("name", ["x.cif", "POSCAR"])
@given(crystal=one_crystal)
def test_text_formats_keep_the_crystal_and_its_handedness(
    tmp_path_factory: pytest.TempPathFactory, name: str, crystal: Crystals
) -> None:
    file = tmp_path_factory.mktemp("x") / name
    io.write(file, crystal)
    back = io.read(file, strict=True).crystals
    # the same atoms in the same places, in a right-handed cell
    sign = np.sign(np.linalg.det(crystal.lattice[0]))
    lattice, numbers, frac = crystal.arrays(0)
    lattice, frac = lattice * sign, frac * sign
    assert np.linalg.det(back.lattice[0]) > 0
    np.testing.assert_allclose(
        back.lattice[0] @ back.lattice[0].T, lattice @ lattice.T, rtol=TEXT_TOLERANCE, atol=1e-7
    )
    assert back.n_atoms.tolist() == [len(numbers)]
    difference = back.frac_coords[None] - frac[:, None]
    difference = np.abs(difference - np.rint(difference)).max(axis=-1)
    partner = difference.argmin(axis=1)
    assert sorted(partner) == list(range(len(numbers)))
    assert difference.min(axis=1).max() < TEXT_TOLERANCE
    np.testing.assert_array_equal(back.atomic_numbers[partner], numbers)


@pytest.mark.parametrize("name", ["x.cif", "x.vasp", "POSCAR"])
def test_several_crystals_become_a_folder_of_named_files(name: str, tmp_path: Path) -> None:
    other = ROCKSALT.substitute({"Na": "K"})
    io.write(tmp_path / name, Crystals.concatenate([ROCKSALT, other]))
    suffix = ".cif" if name == "x.cif" else ".vasp"
    assert sorted(p.name for p in (tmp_path / name).iterdir()) == sorted(
        f"{f}_{i}{suffix}" for f, i in (("NaCl", ROCKSALT.ids[0]), ("KCl", other.ids[0]))
    )
    assert io.read(tmp_path / name).crystals.reduced_formulas.tolist() == ["KCl", "NaCl"]
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["x.parquet", "x.extxyz", "x.json", "x.cif", "POSCAR"])
@pytest.mark.parametrize("n", [1, 2])
def test_nothing_is_overwritten_unasked(name: str, n: int, tmp_path: Path) -> None:
    first = Crystals.concatenate([ROCKSALT] * n)
    io.write(tmp_path / name, first)
    with pytest.raises(FileExistsError, match="exists: choose another name, or pass overwrite"):
        io.write(tmp_path / name, first.substitute({"Na": "K"}))
    assert set(io.read(tmp_path / name).crystals.reduced_formulas) == {"NaCl"}
    io.write(tmp_path / name, first.substitute({"Na": "K"}), overwrite=True)
    assert "KCl" in io.read(tmp_path / name).crystals.reduced_formulas
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_a_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    io.write(tmp_path / "x.parquet", ROCKSALT)
    before = (tmp_path / "x.parquet").read_bytes()

    def fail(table: pa.Table, path: Path, **options: object) -> None:
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(pq, "write_table", fail)
    with pytest.raises(OSError, match="disk full"):
        io.write(tmp_path / "x.parquet", ROCKSALT, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["x.parquet"]
    assert (tmp_path / "x.parquet").read_bytes() == before


def test_wrong_suffixes_and_rows_are_mistakes(tmp_path: Path) -> None:
    with pytest.raises(io.InputError, match=r"not written as '.csv'; name the file \*.parquet"):
        io.write(tmp_path / "x.csv", ROCKSALT)
    with pytest.raises(io.InputError, match="2 rows for 1 crystals"):
        io.write(tmp_path / "x.json", ROCKSALT, rows=pa.table({"year": [1, 2]}))
    with pytest.raises(io.InputError, match="ids of the rows are not those"):
        io.write(tmp_path / "x.json", ROCKSALT, rows=pa.table({"id": ["mp-1"]}))
    assert list(tmp_path.iterdir()) == []


def test_no_crystals_is_a_legal_table(tmp_path: Path) -> None:
    for name in ("x.parquet", "x.json", "x.extxyz"):
        io.write(tmp_path / name, Crystals.empty())
        result = io.read(tmp_path / name)
        assert len(result.crystals) == 0
        assert result.rejects["reason"].to_pylist() == ["empty"]
