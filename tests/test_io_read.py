"""Reading: formats, sources, and every record accounted for."""

import gzip
import io as bytes_io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gnomon import io
from gnomon.crystals import Crystals
from tests.damaged_files import optimade
from tests.strategies import random_crystal

ROCKSALT = Crystals.single(
    [[0, 2.82, 2.82], [2.82, 0, 2.82], [2.82, 2.82, 0]], [11, 17], [[0] * 3, [0.5] * 3]
)
FM3M = """data_NaCl
_cod_database_code 9000629
_symmetry_space_group_name_H-M 'F m -3 m'
_cell_length_a 5.64
_cell_length_b 5.64
_cell_length_c 5.64
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
loop_
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Na1 0 0 0
Cl1 0.5 0.5 0.5
"""
P1 = FM3M.replace("'F m -3 m'", "'P 1'")
POSCAR = "comment\n1.0\n4 0 0\n0 4 0\n0 0 4\nCs Cl\n1 1\nDirect\n0 0 0\n0.5 0.5 0.5\n"
FRAME = '2\nLattice="4 0 0 0 4 0 0 0 4" mp_id=mp-22865 energy=-6.5\nCs 0 0 0\nCl 2 2 2\n'


def mixed(folder: Path) -> None:
    """A folder of three formats at two depths, with files that are none of its business."""
    (folder / "deep").mkdir()
    (folder / "deep" / "POSCAR_CsCl").write_text(POSCAR)
    (folder / "frames.extxyz").write_text(FRAME * 3)
    (folder / "a.cif").write_text(P1)
    (folder / "notes.txt").write_text("not a crystal")
    (folder / ".hidden.cif").write_text("not a crystal")


def test_folders_are_read_recursively_and_in_order(tmp_path: Path) -> None:
    mixed(tmp_path)
    result = io.read(tmp_path)
    names = [s.removeprefix(f"{tmp_path}/") for s in result.rows["source"].to_pylist()]
    assert names == [
        "a.cif",
        "frames.extxyz#0",
        "frames.extxyz#1",
        "frames.extxyz#2",
        "deep/POSCAR_CsCl",
    ]
    assert len(result.rejects) == 0
    assert result.rows["id"].to_pylist() == result.crystals.ids.tolist()


def test_globs_and_lists_name_each_file_once(tmp_path: Path) -> None:
    mixed(tmp_path)
    result = io.read([tmp_path / "a.cif", f"{tmp_path}/*.cif", f"{tmp_path}/**/POSCAR*"])
    assert result.crystals.reduced_formulas.tolist() == ["NaCl", "CsCl"]


def test_a_name_with_brackets_is_a_name_first(tmp_path: Path) -> None:
    (tmp_path / "run[1].cif").write_text(P1)
    assert len(io.read(f"{tmp_path}/run[1].cif").crystals) == 1


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("missing.cif", "no such file or folder; check the path"),
        ("*.cif", "no file matches"),
        ("", "no crystals in this folder"),
        ("notes.txt", "format cannot be told .* say format="),
    ],
)
def test_sources_that_are_not_there_are_mistakes(source: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a crystal")
    with pytest.raises(io.InputError, match=message):
        io.iter_read(tmp_path / source)


def test_wrong_arguments_are_mistakes(tmp_path: Path) -> None:
    with pytest.raises(io.InputError, match="unknown format 'cfi': write one of cif"):
        io.read(tmp_path, format="cfi")
    with pytest.raises(io.InputError, match="no sources"):
        io.read([])
    with pytest.raises(io.InputError, match="at least 1"):
        io.read(tmp_path, max_atoms=0)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("name", ["x.cif", "x.vasp", "x.extxyz", "x.parquet", "x.json"])
def test_stdin_is_sniffed(
    name: str, zipped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    io.write(tmp_path / name, ROCKSALT)
    data = (tmp_path / name).read_bytes()
    pipe = bytes_io.BufferedReader(bytes_io.BytesIO(gzip.compress(data) if zipped else data))
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=pipe))
    result = io.read("-", strict=True)
    assert result.crystals.reduced_formulas.tolist() == ["NaCl"]
    assert result.rows["source"][0].as_py() in ("-", "-#0")
    assert not pipe.closed


@pytest.mark.parametrize("data", [b"\n" * 65_000, b"\n" + b"1" * 65_000, b"\xff" * 65_000, b""])
def test_sniffing_nothing_ends_soon_and_is_a_mistake(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "unknown").write_bytes(data)
    with pytest.raises(io.InputError, match="format cannot be told"):
        io.read(tmp_path / "unknown")


def test_format_overrules_the_name(tmp_path: Path) -> None:
    (tmp_path / "structure.txt").write_text(POSCAR)
    assert len(io.read(tmp_path / "structure.txt", format="poscar").crystals) == 1
    assert len(io.read(tmp_path / "structure.txt").crystals) == 1  # told by its content
    assert len(io.read(tmp_path / "structure.txt", format="json").rejects) == 1


@pytest.mark.parametrize("name", ["x.cif", "x.vasp", "x.extxyz", "x.parquet", "x.json"])
def test_every_format_may_be_gzipped(name: str, tmp_path: Path) -> None:
    io.write(tmp_path / name, ROCKSALT)
    plain = io.read(tmp_path / name)
    (tmp_path / f"{name}.gz").write_bytes(gzip.compress((tmp_path / name).read_bytes()))
    zipped = io.read(tmp_path / f"{name}.gz")
    assert zipped.crystals.ids.tolist() == plain.crystals.ids.tolist()


def test_gzip_bombs_and_torn_gzip_files_are_rejects(tmp_path: Path) -> None:
    for name in ("x.cif.gz", "x.extxyz.gz", "x.parquet.gz", "x.json.gz", "POSCAR.gz"):
        (tmp_path / name).write_bytes(gzip.compress(b" " * 2_000_000))
    result = io.read(tmp_path, max_bytes=1_000_000)
    reasons = dict(
        zip(result.rejects["source"].to_pylist(), result.rejects["reason"].to_pylist(), strict=True)
    )
    extxyz = reasons.pop(f"{tmp_path}/x.extxyz.gz")  # a line of a million bytes comes first
    assert set(reasons.values()) == {"too_large"}
    assert extxyz in ("too_large", "unreadable")
    (tmp_path / "torn.extxyz.gz").write_bytes(gzip.compress((FRAME * 9).encode())[:-12])
    torn = io.read(tmp_path / "torn.extxyz.gz")
    assert torn.rejects["reason"].to_pylist() == ["unreadable"]


# --- CIF -----------------------------------------------------------------------------------------


def test_symmetry_operations_are_applied(tmp_path: Path) -> None:
    listed = P1.replace(
        "loop_\n_atom_site_label",
        "loop_\n_symmetry_equiv_pos_as_xyz\n'x,y,z'\n'x+1/2,y+1/2,z'\nloop_\n_atom_site_label",
    )
    (tmp_path / "named.cif").write_text(FM3M)
    (tmp_path / "listed.cif").write_text(listed)
    result = io.read([tmp_path / "named.cif", tmp_path / "listed.cif"])
    assert result.crystals.n_atoms.tolist() == [8, 4]
    assert result.rows["source_id"].to_pylist() == ["9000629", "9000629"]


def test_blocks_of_one_name_are_all_read_and_metadata_are_no_record(tmp_path: Path) -> None:
    journal = "data_global\n_publ_author_name 'A. Author'\n"
    (tmp_path / "x.cif").write_text(journal + P1 + P1.replace("Na1", "K1"))
    result = io.read(tmp_path / "x.cif")
    assert result.crystals.reduced_formulas.tolist() == ["NaCl", "KCl"]
    assert result.rows["source"].to_pylist() == [f"{tmp_path}/x.cif#{i}" for i in range(2)]
    assert len(result.rejects) == 0


def test_without_symmetry_no_coordinate_is_rounded(tmp_path: Path) -> None:
    text = P1.replace("Na1 0 0 0", "Na1 0.33335 0 0") + "\n"
    text = text.replace("loop_", "loop_\n_symmetry_equiv_pos_as_xyz\n'x,y,z'\nloop_", 1)
    (tmp_path / "x.cif").write_text(text)
    assert io.read(tmp_path / "x.cif").crystals.frac_coords.max(axis=0)[0] == 0.5
    assert 0.33335 in io.read(tmp_path / "x.cif").crystals.frac_coords


def test_what_is_doubtful_is_said_in_the_row_and_not_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.cif").write_text(FM3M.replace("_symmetry_space_group_name_H-M 'F m -3 m'", ""))
    (warning,) = io.read(tmp_path / "x.cif").rows["warnings"].to_pylist()
    assert "no symmetry is stated" in warning
    assert capsys.readouterr() == ("", "")


# --- POSCAR, extended XYZ ------------------------------------------------------------------------


def test_deuterium_is_hydrogen_everywhere(tmp_path: Path) -> None:
    (tmp_path / "POSCAR").write_text(POSCAR.replace("Cs", "D"))
    (tmp_path / "x.extxyz").write_text(FRAME.replace("Cs", "D"))
    (tmp_path / "x.cif").write_text(P1.replace("Na1", "D1"))
    document = json.dumps(structure(ROCKSALT)).replace('"Na"', '"D"')
    (tmp_path / "x.json").write_text(document)
    assert set(io.read(tmp_path).crystals.reduced_formulas) == {"HCl"}
    assert len(io.read(tmp_path).crystals) == 4


def test_a_damaged_frame_costs_itself_only(tmp_path: Path) -> None:
    short = FRAME.replace("Cl 2 2 2\n", "")
    torn = FRAME.replace("2\n", "two\n", 1)
    (tmp_path / "x.extxyz").write_text(FRAME + short + FRAME + torn + FRAME)
    result = io.read(tmp_path / "x.extxyz")
    assert len(result.crystals) == 3
    assert result.rejects["reason"].to_pylist() == ["unreadable"] * 2


def test_frames_carry_their_id_and_energy(tmp_path: Path) -> None:
    (tmp_path / "x.extxyz").write_text(FRAME)
    (row,) = io.read(tmp_path / "x.extxyz").rows.to_pylist()
    assert row["source_id"] == "mp-22865"
    assert row["energy_per_atom"] == -3.25  # energy / atoms
    assert row["formation_energy_per_atom"] is None


# --- JSON ----------------------------------------------------------------------------------------


def structure(crystal: Crystals) -> dict[str, object]:
    return io.to_pymatgen(crystal)[0].as_dict()


@pytest.mark.parametrize("wrap", [lambda d: d, lambda d: [d, d], lambda d: {"data": [d]}])
def test_materials_project_documents(wrap: object, tmp_path: Path) -> None:
    document = {
        "material_id": "mp-22862",
        "structure": structure(ROCKSALT),
        "formation_energy_per_atom": -2.1,
        "energy_above_hull": 0.0,
        "year": 1913,
    }
    (tmp_path / "x.json").write_text(json.dumps(wrap(document)))  # type: ignore[operator]
    result = io.read(tmp_path / "x.json", strict=True)
    row = result.rows.to_pylist()[0]
    assert result.crystals[0].ids[0] == ROCKSALT.ids[0]
    assert (row["source_id"], row["e_above_hull"], row["year"]) == ("mp-22862", 0.0, 1913)
    assert row["formation_energy_per_atom"] == -2.1


@pytest.mark.parametrize("wrap", [lambda d: d, lambda d: {"data": [d]}, lambda d: {"data": d}])
def test_optimade_structures(wrap: object, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(json.dumps(wrap(optimade(ROCKSALT))))  # type: ignore[operator]
    result = io.read(tmp_path / "x.json", strict=True)
    assert result.rows["source_id"].to_pylist() == ["odbx/1"]
    assert result.crystals.reduced_formulas.tolist() == ["NaCl"]
    np.testing.assert_allclose(result.crystals.cart_coords, ROCKSALT.cart_coords, atol=1e-12)


def test_documents_cannot_import_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "intruder_of_test_io.py").write_text("class X: pass")
    monkeypatch.syspath_prepend(tmp_path)
    document = structure(ROCKSALT)
    evil = {"@module": "intruder_of_test_io", "@class": "X"}
    document["sites"][0]["properties"] = {"evil": evil}  # type: ignore[index]
    (tmp_path / "x.json").write_text(json.dumps({"structure": document, "evil": evil}))
    assert len(io.read(tmp_path / "x.json", strict=True).crystals) == 1
    assert "intruder_of_test_io" not in sys.modules


# --- Parquet -------------------------------------------------------------------------------------


def test_a_table_without_structures_is_a_mistake_by_name_and_a_reject_in_a_folder(
    tmp_path: Path,
) -> None:
    pq.write_table(pa.table({"id": ["mp-1"], "lattice": [[1.0] * 9]}), tmp_path / "x.parquet")
    with pytest.raises(io.InputError, match=r"x\.parquet: .*missing: atomic_numbers, frac_coords"):
        io.read(tmp_path / "x.parquet")
    (reject,) = io.read(tmp_path).rejects.to_pylist()
    assert reject["reason"] == "unreadable"
    assert "missing: atomic_numbers" in reject["detail"]


def test_bad_rows_of_a_table_are_rejects_in_their_place(tmp_path: Path) -> None:
    rows = io.to_arrow(Crystals.concatenate([ROCKSALT] * 8)).to_pylist()
    for i, row in enumerate(rows):
        row["id"] = f"mp-{i}"
        row["e_above_hull"] = float("nan") if i == 0 else 0.1
    rows[1]["lattice"] = None
    rows[2]["frac_coords"] = [0.0]
    rows[3]["atomic_numbers"] = [11, 0]
    rows[4]["e_above_hull"] = float("inf")
    rows[5]["lattice"] = [float("nan")] * 9
    rows[6]["frac_coords"] = [0.0] * 6
    nullable = pa.schema([f.with_nullable(True) for f in io.CRYSTALS])
    schema = nullable.append(pa.field("e_above_hull", pa.float64()))
    pq.write_table(pa.Table.from_pylist(rows, schema), tmp_path / "x.parquet")
    result = io.read(tmp_path / "x.parquet")
    assert result.rows["source_id"].to_pylist() == ["mp-0", "mp-7"]
    assert result.rows["e_above_hull"].to_pylist() == [None, 0.1]
    assert list(
        zip(*(result.rejects[c].to_pylist() for c in ("source_id", "reason")), strict=True)
    ) == [
        ("mp-1", "unreadable"),
        ("mp-2", "unreadable"),
        ("mp-3", "unknown_element"),
        ("mp-4", "not_finite"),
        ("mp-5", "not_finite"),
        ("mp-6", "atoms_too_close"),
    ]


@pytest.mark.parametrize("name", ["x.parquet", "x.extxyz"])
def test_chunks_are_the_whole_in_pieces(name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    io.write(tmp_path / name, Crystals.concatenate([random_crystal(rng) for _ in range(25)]))
    chunks = list(io.iter_read(tmp_path / name, chunk=10))
    whole = io.read(tmp_path / name)
    assert [len(c.crystals) for c in chunks] == [10, 10, 5]
    assert pa.concat_tables([c.rows for c in chunks]).equals(whole.rows)


def test_strict_raises_at_the_first_reject(tmp_path: Path) -> None:
    (tmp_path / "x.extxyz").write_text(FRAME + FRAME.replace("Cs", "Xx") + "nonsense\n")
    with pytest.raises(io.InputError, match=r"x\.extxyz#1: unknown_element: 'Xx'.*; mend or leave"):
        io.read(tmp_path / "x.extxyz", strict=True)


def test_shared_structures_are_read_whole(shared_data: Path) -> None:
    path = shared_data / "materials_project" / "structures.parquet"
    table = pq.read_table(path)
    result = io.read(path, strict=True)
    assert len(result.crystals) == len(table)
    assert result.crystals.reduced_formulas.tolist() == table["reduced_formula"].to_pylist()
    assert result.rows["source_id"].to_pylist() == table["id"].to_pylist()
    for name in ("formation_energy_per_atom", "e_above_hull"):
        assert result.rows[name].equals(table[name])
    assert result.rows["year"].null_count == table["year"].null_count


def test_shared_frames_are_all_accounted_for(shared_data: Path) -> None:
    path = shared_data / "dft_forces" / "mptrj-random-1k.extxyz.gz"
    result = io.read(path)
    assert len(result.crystals) + len(result.rejects) == 1_000
    assert len(result.rejects) == 0
    assert result.rows["energy_per_atom"].null_count == 0
    assert result.rows["source_id"][0].as_py() == "mp-1080834-0-1"


# --- large tables ---------------------------------------------------------------------------------


@pytest.mark.parametrize("group", [1, 7, 1000])
def test_rows_come_in_order_whatever_the_row_groups(tmp_path, group):
    batch = Crystals.concatenate(
        [Crystals.single(np.eye(3) * (3 + i / 100), [29], [[0, 0, 0]]) for i in range(25)]
    )
    pq.write_table(io.to_arrow(batch), tmp_path / "many.parquet", row_group_size=group)
    parts = [found.crystals for found in io.iter_read([str(tmp_path / "many.parquet")], chunk=10)]
    assert [len(part) for part in parts[:-1]] != [1] * 25  # small groups are not small chunks
    assert Crystals.concatenate(parts).ids.tolist() == batch.ids.tolist()
