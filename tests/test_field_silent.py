"""Readings that would mislead without a word: a thing said twice, in another unit, or oddly."""

import copy
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from gnomon.io import InputError, ReadResult, Reason, read, write
from gnomon.io.frames import Frames, read_frames, write_frames
from gnomon.io.parquet_footer import FooterError, row_groups
from gnomon.io.plausible import contact
from tests.field_files import SITES, accepted, cell, optimade, rejected, written
from tests.strategies import random_crystal
from tests.test_field_kinds import PLACES, SALT, poscar

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


# --- CIF ------------------------------------------------------------------------------------------

FACE_CENTRED = "_symmetry_space_group_name_H-M 'F m -3 m'\n"
TYPED = SITES.replace("label\n", "label\n_atom_site_type_symbol\n")
CARTESIAN = SITES + "".join(f"_atom_site_Cartn_{x}\n" for x in "xyz")
ALONE = "".join(line + "\n" for line in CARTESIAN.splitlines() if "fract" not in line)
BONDS = "loop_\n" + "".join(
    f"_geom_bond_{x}\n" for x in ("atom_site_label_1", "atom_site_label_2", "distance")
)
COUNTED = "loop_\n_atom_type_symbol\n_atom_type_number_in_cell\n"


def halite(said: str = "", sites: str = SALT, a: float = 5.64) -> str:
    return "data_x\n" + cell(a, a, a, 90, 90, 90) + FACE_CENTRED + said + sites


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        (halite(), None),
        (halite(a=10.66), "another unit"),
        (halite(a=564), "too_large"),
        (halite("_cell_length_units pm\n", a=564), "contradictory"),
        (halite("_cell_length_a_units bohr\n", a=10.66), "contradictory"),
        (halite("_cell_length_units angstroms\n"), None),
        (halite().replace("_cell_length_a ", "_cell_length_a_pm "), "contradictory"),
        (halite("_cell.length_a 6.1\n"), "contradictory"),
        (halite().replace("gamma 90", "gamma ?"), "unreadable"),
        ("".join(x + "\n" for x in halite().splitlines() if "angle" not in x), "90 is taken"),
        (halite("_exptl_crystal_density_meas 2.1\n"), None),
        (halite("_exptl_crystal_density_meas 1.08\n"), "1.08 g/cm^3 was measured"),
        (
            halite("_exptl_crystal_density_meas 1.1\n_exptl_crystal_density_diffrn 2.163\n"),
            "was measured",
        ),
        (halite("_exptl_crystal_F_000 112\n"), None),
        (halite("_exptl_crystal_F_000 56\n"), "F(000) is 56"),
        (halite("_exptl_crystal_F_000 20\n_diffrn_radiation_probe neutron\n"), None),
        (halite(COUNTED + "Na+ 4\nCl- 4\n"), None),
        (halite(COUNTED + "Na+ 2\nCl- 4\n"), "contradictory"),
        (halite("_space_group_point_group_H-M 'm -3 m'\n"), None),
        (halite("_space_group_point_group_H-M '-4 3 m'\n"), "contradictory"),
        (halite("_space_group_Laue_class '4/mmm'\n"), "contradictory"),
        (
            halite("_chemical_formula_sum 'Na Cl'\n_chemical_formula_moiety 'K Br'\n"),
            "two formulas",
        ),
        (halite("_chemical_formula_sum 'Na Cl'\n_chemical_formula_moiety 'Na1 +, Cl1 -'\n"), None),
        (
            halite("_chemical_formula_sum 'Na Cl'\n_chemical_formula_weight 74.55\n"),
            "formula weight",
        ),
        (halite("_cod_error_flag retracted\n"), "retracted"),
        (halite(BONDS + "Na1 Cl1 4.884(2)\n"), None),
        (halite(BONDS + "Na1 Cl1 2.82\n"), "contradictory"),
        (
            halite(BONDS + "_geom_bond_site_symmetry_2\nNa1 Cl1 2.82 3_455\nNa1 Cl1 4.884 .\n"),
            None,
        ),
        (halite(sites=CARTESIAN + "Na1 0 0 0 1 1 1\nCl1 .5 .5 .5 1 1 5.884\n"), None),
        (
            halite(sites=CARTESIAN + "Na1 0 0 0 0 0 0\nCl1 .5 .5 .5 2.82 0 0\n"),
            "contradictory",
        ),
        (halite(sites=ALONE + "Na1 0 0 0\nCl1 2.82 2.82 2.82\n"), "incomplete"),
        (halite(sites=SITES + "Na1 0 0 0\nCl1 2.5 2.5 2.5\n"), "are they Cartesian"),
        (halite(sites=TYPED + "Na1 Cl 0 0 0\nCl1 Na .5 .5 .5\n"), "is of the type Cl"),
        (halite(sites=TYPED + "a Na+ 0 0 0\nb Cl- .5 .5 .5\n"), None),
        (halite(sites=TYPED + "a Na1+ 0 0 0\nb Cl2- .5 .5 .5\n"), "add up to -4"),
        (halite(sites=SITES + "Tet1 0 0 0\nCl1 .5 .5 .5\n"), "unknown_element"),
        (halite(sites=SITES + "Uiso 0 0 0\nCl1 .5 .5 .5\n"), "unknown_element"),
        (halite(sites=SITES + "Cat1 0 0 0\nCl1 .5 .5 .5\n"), "unknown_element"),
        (halite(sites=TYPED + "a Oct 0 0 0\nCl1 Cl .5 .5 .5\n"), "unknown_element"),
        (halite(sites=TYPED + "a Hal 0 0 0\nCl1 Cl .5 .5 .5\n"), "unknown_element"),
    ],
)
def test_what_a_cif_says_twice_is_held_against_itself(
    tmp_path: Path, text: str, outcome: str | None
) -> None:
    held(written(tmp_path, "a.cif", text), ("NaCl", 8), outcome)


def held(found: ReadResult, expected: tuple[str, int], outcome: str | None) -> None:
    """A reject of this reason, or the crystal with these words in its warning."""
    if outcome in tuple(Reason):
        assert rejected(found)[0] == outcome
        return
    formula, atoms, warning = accepted(found)
    assert (formula, atoms) == expected
    assert warning is None if outcome is None else outcome in str(warning)


def test_words_are_elements_where_the_formula_has_them(tmp_path: Path) -> None:
    text = halite("_chemical_formula_sum 'Te Cl'\n", SITES + "Tet1 0 0 0\nCl1 .5 .5 .5\n")
    held(written(tmp_path, "a.cif", text), ("TeCl", 8), "'Tet1' is read as Te")
    silicon = halite(sites=TYPED + "a Siva 0 0 0\n", a=3.9)  # of a table of scattering factors
    held(written(tmp_path, "b.cif", silicon), ("Si", 4), None)


def test_codes_of_databases_name_the_record(tmp_path: Path) -> None:
    found = written(tmp_path, "a.cif", halite("_cod_database_code 1000041\n"))
    assert found.rows["source_id"].to_pylist() == ["1000041"]


# --- JSON -----------------------------------------------------------------------------------------

ROCK_SALT = Structure.from_spacegroup(
    "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
).as_dict()


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        ({}, None),
        ({"e_above_hull": 0.1, "energy_above_hull": 0.2}, "contradictory"),
        ({"energy_above_hull": 0.2, "is_stable": True}, "called stable"),
        ({"deprecated": True}, "deprecated"),
        ({"symmetry": {"number": 225, "symbol": "Fm-3m", "crystal_system": "Cubic"}}, None),
        ({"symmetry": {"number": 225, "symbol": "Pm-3m"}}, "contradictory"),
        ({"symmetry": {"number": 225, "crystal_system": "Hexagonal"}}, "contradictory"),
        ({"symmetry": {"symbol": "Pm-3m"}}, "the space group 221 is stated"),
        ({"pretty_formula": "KCl"}, "incomplete"),
        ({"composition": "KCl"}, "incomplete"),
        ({"full_formula": "Na4Cl4"}, None),
        ({"unit_cell_formula": {"Na": 4, "Cl": 2}}, "contradictory"),
        ({"natoms": 2}, "contradictory"),
        ({"density_atomic": 22.4}, None),
        ({"density_atomic": 44.0}, "contradictory"),
        ({"volume": 89.7}, "contradictory"),
        ({"energy": -27.2, "energy_per_atom": -3.4}, None),
        ({"energy": -27.2, "energy_per_atom": -6.8}, "contradictory"),
        ({"elements": ["Cl", "Na"], "chemsys": "Cl-K"}, "contradictory"),
    ],
)
def test_what_a_document_says_twice_is_held_against_itself(
    tmp_path: Path, said: dict[str, object], outcome: str | None
) -> None:
    text = json.dumps({"structure": ROCK_SALT, **said})
    held(written(tmp_path, "a.json", text), ("NaCl", 8), outcome)


def test_the_label_of_a_site_is_looked_at(tmp_path: Path) -> None:
    other = copy.deepcopy(ROCK_SALT)
    other["sites"][0]["label"] = "K"
    held(written(tmp_path, "a.json", json.dumps(other)), ("NaCl", 8), "'K' holds Na")


CAESIUM_CHLORIDE = {
    "lattice_vectors": [[3.4, 0, 0], [0, 3.4, 0], [0, 0, 3.4]],
    "cartesian_site_positions": [[0, 0, 0], [1.7, 1.7, 1.7]],
    "site_coordinate_span": "unit_cell",
    "chemical_formula_descriptive": "NaCl",
    "space_group_it_number": 221,
    "space_group_symbol_hall": ...,
}
HEAVY = {"name": "Na", "chemical_symbols": ["Na"], "concentration": [1.0], "mass": [39.1]}
MISNAMED = {"name": "Na", "chemical_symbols": ["K"], "concentration": [1.0]}
CHLORINE = {"name": "Cl", "chemical_symbols": ["Cl"], "concentration": [1.0]}
UNSAID = {"chemical_formula_reduced": ..., "chemical_formula_descriptive": ...}


@pytest.mark.parametrize(
    ("changed", "outcome"),
    [
        ({}, None),
        ({"chemical_formula_anonymous": "AB"}, None),
        ({"chemical_formula_anonymous": "A2B"}, "contradictory"),
        ({"space_group_symbol_hermann_mauguin": "P m -3 m"}, None),
        ({"space_group_symbol_hermann_mauguin": "F m -3 m"}, "contradictory"),
        ({"space_group_symbol_hall": "-P 4 2 3"}, None),
        ({"space_group_symbol_hall": "-F 4 2 3"}, "contradictory"),
        ({"cartesian_site_positions": [[0, 0, 0], [0.5, 0.5, 0.5]]}, "another unit"),
        ({"species": [HEAVY, CHLORINE]}, "has a mass of 39.1"),
    ],
)
def test_what_an_answer_of_optimade_says_twice_is_held_against_itself(
    tmp_path: Path, changed: dict[str, object], outcome: str | None
) -> None:
    held(optimade(tmp_path, **(CAESIUM_CHLORIDE | changed)), ("NaCl", 2), outcome)


def test_the_name_of_a_species_is_looked_at(tmp_path: Path) -> None:
    changed = {**CAESIUM_CHLORIDE, **UNSAID, "species": [MISNAMED, CHLORINE]}
    held(optimade(tmp_path, **changed), ("KCl", 2), "'Na' holds K")


# --- extended XYZ ---------------------------------------------------------------------------------

ATOMS = ("Na 0 0 0", "Cl 1.7 1.7 1.7")


def frame(head: str = "", columns: str = "", values: tuple[str, str] = ("", "")) -> str:
    rows = "".join(f"{atom} {value}\n" for atom, value in zip(ATOMS, values, strict=True))
    lattice = "3.4 0 0 0 3.4 0 0 0 3.4"
    return f'2\nLattice="{lattice}" Properties=species:S:1:pos:R:3{columns} {head}\n{rows}'


ENERGY = "energy=-6.8"


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        (frame(ENERGY), None),
        (frame(ENERGY, ":Z:I:1", ("11", "17")), None),
        (frame(ENERGY, ":Z:I:1", ("19", "17")), "contradictory"),
        (frame(ENERGY, ":symbols:S:1", ("K", "Cl")), "contradictory"),
        (frame(ENERGY, ":mass:R:1", ("22.99", "36.97")), None),
        (frame(ENERGY, ":mass:R:1", ("39.1", "35.45")), "mass of Na is 39.1"),
        (frame(ENERGY, ":frac_pos:R:3", ("0 0 0", ".5 .5 .5")), None),
        (frame(ENERGY, ":frac_pos:R:3", ("0 0 0", ".5 0 .5")), "contradictory"),
        (frame(ENERGY).replace("pos:R", "spos:R"), "incomplete"),
        (frame(f"{ENERGY} energy_per_atom=-3.4"), None),
        (frame(f"{ENERGY} energy_per_atom=-6.8"), "contradictory"),
        (frame(f"{ENERGY} energy=-9"), "contradictory"),
        (frame(f'{ENERGY} cell="5 0 0 0 5 0 0 0 5"'), "contradictory"),
        (frame(f"{ENERGY} units=hartree"), "contradictory"),
        (frame(f'{ENERGY} energy_unit=eV length_unit="Angstrom"'), None),
        (frame(f"{ENERGY} natoms=4"), "contradictory"),
        (frame(f"{ENERGY} volume=80"), "contradictory"),
        (frame(f"{ENERGY} formula=KCl"), "incomplete"),
        (frame(ENERGY).replace("3.4", "6.425").replace("1.7", "3.21"), "another unit"),
        (frame(ENERGY).replace("1.7", "0.5"), "another unit"),
        (frame(ENERGY, ":forces:R:3", ("0 0 1", "0 0 -1")), None),
        (frame(ENERGY, ":forces:R:3", ("0 0 5", "0 0 5")), "add up to zero"),
        (frame(ENERGY, ":f:R:3", ("0 0 1", "0 0 -1")), "keys that are not read: f"),
        (frame(f"{ENERGY} E=-9 temperature=300"), "not read: E, temperature"),
        (frame(f"{ENERGY} Energy=-9"), "labels that are not read: Energy"),
        (frame(f'{ENERGY} stress="12 0 0 0 12 0 0 0 12"'), "in another unit"),
        (frame(f'{ENERGY} virial="1 0 0 0 1 0 0 0 1" virials="2 0 0 0 2 0 0 0 2"'), "virials"),
    ],
)
def test_what_a_frame_says_twice_is_held_against_itself(
    tmp_path: Path, text: str, outcome: str | None
) -> None:
    path = tmp_path / "a.extxyz"
    path.write_text(text)
    if outcome in tuple(Reason) or outcome == "virials":
        with pytest.raises(InputError, match=outcome):
            read_frames(path, scheme="PBE")
        return
    said = "; ".join(read_frames(path, scheme="PBE").warnings)
    assert said == "" if outcome is None else outcome in said


def test_long_lines_of_brackets_take_no_time(tmp_path: Path) -> None:
    for text in ("{" * 900_000, "[" * 900_000, "x" * 900_000, "unit" * 200_000, "a=" * 400_000):
        found = written(tmp_path, "a.extxyz", frame(text))
        assert len(found.crystals) + len(found.rejects) >= 1


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
        found = row_groups(file)
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
            found = row_groups(file)
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


def test_columns_of_a_table_that_say_one_thing_agree(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write(path, random_crystal(np.random.default_rng(0)))
    table = pq.read_table(path).append_column("e_above_hull", pa.array([0.1]))
    for other, reasons in ((0.1, []), (0.2, ["contradictory"]), (None, [])):
        pq.write_table(
            table.append_column("energy_above_hull", pa.array([other], pa.float64())), path
        )
        assert read(path).rejects["reason"].to_pylist() == reasons


def test_labels_of_a_table_that_nothing_reads_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    frames = Frames.of(random_crystal(np.random.default_rng(0)), np.array([-1.0]), scheme="PBE")
    write_frames(path, frames)
    assert not read_frames(path).warnings
    table = pq.read_table(path)
    for name in ("virial", "dft_forces"):
        table = table.append_column(name, pa.array([[0.0] * 9]))
    pq.write_table(table, path)
    assert dict(read_frames(path).warnings) == {"labels that are not read: dft_forces, virial": 1}


def test_a_long_text_for_a_year_takes_no_memory(tmp_path: Path) -> None:
    """In a dictionary it lies there once, and would be read into every row."""
    path = tmp_path / "a.parquet"
    write(path, random_crystal(np.random.default_rng(0)))
    rows = pa.concat_tables([pq.read_table(path)] * 3)
    text = pa.DictionaryArray.from_arrays(pa.array([0, 0, 0], pa.int32()), pa.array(["x" * 10**6]))
    pq.write_table(rows.append_column("year", text), path)
    with pytest.raises(InputError, match="year must hold numbers"):
        read(path)
    assert rejected(read([tmp_path]))[0] == "unreadable"
