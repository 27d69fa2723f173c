"""Records that mislead as people of this field report, kind by kind, in small inputs of ours."""

import json
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from gnomon.io import InputError
from gnomon.io.claims import Formula
from gnomon.io.frames import read_frames
from tests.field_files import SITES, accepted, cell, optimade, rejected, written

CUBE = cell(5.64, 5.64, 5.64, 90, 90, 90)
ORTHORHOMBIC = cell(5.4, 5.5, 7.7, 90, 90, 90)
MONOCLINIC = cell(5.15, 5.2, 5.32, 90, 99.2, 90)
SALT = SITES + "Na1 0 0 0\nCl1 0.5 0.5 0.5\n"
NAME = "_space_group_name_H-M_alt"


def cif(text: str) -> str:
    return "data_x\n" + text


# --- names of space groups ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["P2(1)/c", "P 2(1)/c", "P 2~1~/c", "P2_{1}/c", "P 2<sub>1</sub>/c"]
)
def test_screw_axes_are_read_however_they_are_set(tmp_path: Path, name: str) -> None:
    text = cif(MONOCLINIC + f"{NAME} '{name}'\n" + SITES + "Zr1 0.276 0.04 0.208\n")
    assert accepted(written(tmp_path, "a.cif", text)) == ("Zr", 4, None)


@pytest.mark.parametrize(
    ("name", "number"),
    [("P n m a :cab", 62), ("P n m a", 62), ("I 4(1)/amd (origin choice 2)", 141)],
)
def test_a_setting_behind_the_name_is_taken(tmp_path: Path, name: str, number: int) -> None:
    if number == 141:
        sites = SITES + "Ti1 0 0.75 0.125\nO1 0 0.75 0.333\n"
        text = cell(3.78, 3.78, 9.5, 90, 90, 90) + f"{NAME} '{name}'\n" + sites
        assert accepted(written(tmp_path, "a.cif", cif(text))) == ("TiO2", 12, None)
        return
    code = "" if ":" in name else "_space_group_IT_coordinate_system_code cab\n"
    sites = SITES + "Ca1 0.99 0.03 0.25\nTi1 0 0.5 0\nO1 0.07 0.49 0.25\nO2 0.71 0.29 0.04\n"
    text = ORTHORHOMBIC + f"{NAME} '{name}'\n" + code + sites
    assert accepted(written(tmp_path, "a.cif", cif(text))) == ("CaTiO3", 20, None)


def test_old_and_new_tags_must_agree(tmp_path: Path) -> None:
    names = f"_symmetry_space_group_name_H-M 'F m -3 m'\n{NAME} 'P m -3 m'\n"
    numbers = "_symmetry_Int_Tables_number 225\n_space_group_IT_number 221\n"
    for said in (names, numbers):
        reason, detail = rejected(written(tmp_path, "a.cif", cif(CUBE + said + SALT)))
        assert reason == "contradictory"
        assert "disagree" in detail


def test_two_lists_of_operations_that_differ_are_told(tmp_path: Path) -> None:
    lists = "loop_\n_symmetry_equiv_pos_as_xyz\nx,y,z\n"
    lists += "loop_\n_space_group_symop_operation_xyz\nx,y,z\n-x,-y,-z\n"
    formula, atoms, warning = accepted(
        written(tmp_path, "a.cif", cif(CUBE + lists + SITES + "Se1 0.2 0.1 0.3\n"))
    )
    assert (formula, atoms) == ("Se", 2)
    assert "two lists" in str(warning)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("_symmetry_Int_Tables_number -1\n", "unreadable"),
        ("_symmetry_Int_Tables_number 300\n", "contradictory"),
        ('_space_group_magn.name_BNS "Fm-3m1\'"\n', "unreadable"),
        ("loop_\n_space_group_symop_magn_ssg_operation.algebraic\nx1,x2,x3,x4,+1\n", "incomplete"),
        ("_symmetry_cell_setting triclinic\n_symmetry_Int_Tables_number 225\n", "contradictory"),
    ],
)
def test_symmetry_that_is_stated_is_never_p1(tmp_path: Path, said: str, reason: str) -> None:
    assert rejected(written(tmp_path, "a.cif", cif(CUBE + said + SALT)))[0] == reason


def test_a_name_under_the_tag_of_the_number_is_a_name(tmp_path: Path) -> None:
    text = cif(CUBE + "_symmetry_Int_Tables_number Fm-3m\n" + SALT)
    assert accepted(written(tmp_path, "a.cif", text)) == ("NaCl", 8, None)


def test_lengths_and_volumes_are_above_zero(tmp_path: Path) -> None:
    text = cif(CUBE.replace("length_a 5.64", "length_a -5.64") + f"{NAME} 'P 1'\n" + SALT)
    assert rejected(written(tmp_path, "a.cif", text))[0] == "unreadable"
    text = cif(CUBE + f"{NAME} 'F m -3 m'\n_cell_volume -179.4\n_cell_formula_units_Z 0\n" + SALT)
    warning = str(accepted(written(tmp_path, "b.cif", text))[2])
    assert "_cell_volume" in warning
    assert "_cell_formula_units_z" in warning


# --- sites and formulas ---------------------------------------------------------------------------

BRUCITE = cell(3.142, 3.142, 4.766, 90, 90, 120) + f"{NAME} 'P -3 m 1'\n"
TYPED = SITES.replace("_label\n", "_label\n_atom_site_type_symbol\n", 1)


@pytest.mark.parametrize(
    "formula",
    [
        "_chemical_formula_sum 'Mg (O H)2'",
        "_chemical_formula_sum 'Mg O . H2 O'",
        "_chemical_formula_moiety 'Mg 2+, 2(O H 1-)'",
        "_chemical_formula_iupac 'Mg (O H)2'",
    ],
)
def test_formulas_of_any_kind_are_held_against_the_sites(tmp_path: Path, formula: str) -> None:
    sites = SITES + "Mg1 0 0 0\nO1 0.333333 0.666667 0.2203\n"
    reason, detail = rejected(written(tmp_path, "a.cif", cif(BRUCITE + formula + "\n" + sites)))
    assert reason == "incomplete"
    assert "H" in detail


@pytest.mark.parametrize(
    ("text", "amounts"),
    [
        ("CuSO4.5H2O", {"Cu": 1, "S": 1, "O": 9, "H": 10}),
        ("Ca(NO3)2 . 4(H2 O)", {"Ca": 1, "N": 2, "O": 10, "H": 8}),
        ("((N H4)2 Fe) (S O4)2", {"N": 2, "H": 8, "Fe": 1, "S": 2, "O": 8}),
        ("Na1-x Cl", None),
        ("(C12 H12)n", None),
    ],
)
def test_formulas_are_multiplied_out(text: str, amounts: dict[str, float] | None) -> None:
    found = Formula.parse(text)
    assert (found and dict(found.amounts)) == amounts


@pytest.mark.parametrize("site", ["V1 Va", "V1 Vac", "N1 NH4", "S1 SO4", "O1 H2O", "X1 X"])
def test_types_that_are_no_atoms_are_rejects(tmp_path: Path, site: str) -> None:
    sites = TYPED + f"Na1 Na 0 0 0\n{site} 0.5 0.5 0.5\n"
    reason, _ = rejected(written(tmp_path, "a.cif", cif(CUBE + f"{NAME} 'P 1'\n" + sites)))
    assert reason in ("unknown_element", "incomplete")


@pytest.mark.parametrize("label", ["Va1", "T1", "M1"])
def test_labels_that_are_no_elements_are_rejects(tmp_path: Path, label: str) -> None:
    sites = SITES + f"Na1 0 0 0\n{label} 0.5 0.5 0.5\n"
    result = written(tmp_path, "a.cif", cif(CUBE + f"{NAME} 'P 1'\n" + sites))
    assert rejected(result)[0] == "unknown_element"


def test_capital_types_and_water_oxygen_stay_elements(tmp_path: Path) -> None:
    sites = TYPED + "A1 CO3+ 0 0 0\nA2 OW 0.5 0.5 0.5\n"
    text = cif(CUBE + f"{NAME} 'P 1'\n" + sites)
    assert accepted(written(tmp_path, "a.cif", text))[0] == "CoO"


@pytest.mark.parametrize(
    ("column", "values", "reason"),
    [
        ("_atom_site_disorder_group", "1 2", "partial_occupancy"),
        ("_atom_site_disorder_group", ". -1", "partial_occupancy"),
        ("_atom_site_calc_flag", "d dum", "unknown_element"),
    ],
)
def test_sites_that_are_not_all_there_are_rejects(
    tmp_path: Path, column: str, values: str, reason: str
) -> None:
    one, other = values.split()
    sites = SITES + f"{column}\nNa1 0 0 0 {one}\nCl1 0.5 0.5 0.5 {other}\n"
    text = cif(CUBE + f"{NAME} 'P 1'\n" + sites)
    assert rejected(written(tmp_path, "a.cif", text))[0] == reason


def test_wyckoff_positions_are_held_against_the_operations(tmp_path: Path) -> None:
    sites = SITES + "_atom_site_Wyckoff_symbol\nNa1 0 0 0 4a\nCl1 0.5 0.5 0.5 8c\n"
    text = cif(CUBE + f"{NAME} 'F m -3 m'\n" + sites)
    assert "site 1" in str(accepted(written(tmp_path, "a.cif", text))[2])


# --- POSCAR ---------------------------------------------------------------------------------------

VECTORS = "3.4 0 0\n0 3.4 0\n0 0 3.4\n"
PLACES = "Direct\n0 0 0\n0.5 0.5 0.5\n"


def poscar(symbols: str, counts: str, rest: str = PLACES, scale: str = "1.0") -> str:
    return f"x\n{scale}\n{VECTORS}{symbols}\n{counts}\n{rest}"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (poscar("Na K Cl", "1 1"), "contradictory"),
        (poscar("Na", "1 1"), "contradictory"),
        (poscar("Na H.5", "1 1"), "unknown_element"),
        (poscar("Na Cl", "1 1", "Direct\n0 0 0 K\n0.5 0.5 0.5 Cl\n"), "contradictory"),
        (poscar("Na Cl", "1 1", PLACES + "0.5 0.5 0\n"), "contradictory"),
    ],
)
def test_symbols_counts_and_positions_of_a_poscar_agree(
    tmp_path: Path, text: str, reason: str
) -> None:
    assert rejected(written(tmp_path, "POSCAR", text))[0] == reason


@pytest.mark.parametrize(
    "text",
    [
        poscar("Na Cl", "1 1", scale="1.0d0 ! factor"),
        poscar("Na_pv/ab12 Cl ! species", "1 1 # counts"),
        poscar("Na Cl", "1 1", "Direct\n0.0d0 0 0\n5.0D-1 0.5 0.5\n"),
        poscar("Na Cl", "1 1", "Selective\nDirect\n0 0 0 T T F Na1\n0.5 0.5 0.5 T T T Cl2\n"),
        poscar("Na Cl", "1 1", PLACES + "\n0.1 0 0\n0 0 0\n"),
    ],
)
def test_what_vasp_reads_is_read(tmp_path: Path, text: str) -> None:
    assert accepted(written(tmp_path, "POSCAR", text)) == ("NaCl", 2, None)


# --- documents ------------------------------------------------------------------------------------


PAIR: dict[str, object] = {
    "cartesian_site_positions": [[0, 0, 0], [2.82, 2.82, 2.82]],
    "site_coordinate_span": "unit_cell",
    "chemical_formula_descriptive": "NaCl",
    "space_group_it_number": 221,
    "space_group_symbol_hall": ...,
}


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"nperiodic_dimensions": 2}, "missing_lattice"),
        ({"structure_features": ["disorder"]}, "contradictory"),
        ({"species_at_sites": ["Na", "Br"]}, "contradictory"),
        ({"nelements": 3}, "contradictory"),
        ({"elements": ["Cl", "Na"], "elements_ratios": [0.75, 0.25]}, "contradictory"),
        ({"chemical_formula_hill": "ClK"}, "incomplete"),
        ({"chemical_formula_descriptive": "NaCl(H2O)2"}, "incomplete"),
    ],
)
def test_answers_of_optimade_are_held_against_their_sites(
    tmp_path: Path, changed: dict[str, object], reason: str
) -> None:
    assert rejected(optimade(tmp_path, **(PAIR | changed)))[0] == reason


def test_features_and_groups_that_are_not_of_the_sites_are_told(tmp_path: Path) -> None:
    changed = {"structure_features": ["unheard_of"], "space_group_it_number": 229}
    warning = str(accepted(optimade(tmp_path, **(PAIR | changed)))[2])
    assert "unheard_of" in warning
    assert "229" in warning


SALT_JSON = Structure(Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]).as_dict()


@pytest.mark.parametrize(
    "said",
    [
        {"elements": ["K", "Cl"]},
        {"chemsys": "Cl-K"},
        {"nelements": 3},
        {"composition": {"Na": 1, "Cl": 2}},
        {"composition_reduced": {"Na": 2, "Cl": 1}},
    ],
)
def test_documents_are_held_against_their_structures(
    tmp_path: Path, said: dict[str, object]
) -> None:
    text = json.dumps({"structure": SALT_JSON, **said})
    assert rejected(written(tmp_path, "a.json", text))[0] == "contradictory"


def test_group_charge_and_cell_of_a_document_are_looked_at(tmp_path: Path) -> None:
    charged = {"structure": {**SALT_JSON, "charge": 1}, "symmetry": {"number": 225}}
    warning = str(accepted(written(tmp_path, "a.json", json.dumps(charged)))[2])
    assert "225" in warning
    assert "charge" in warning
    longer = {**SALT_JSON, "lattice": {**SALT_JSON["lattice"], "a": 6.5}}
    assert rejected(written(tmp_path, "b.json", json.dumps(longer)))[0] == "contradictory"


@pytest.mark.parametrize(("virial", "accepts"), [(-1.0, True), (1.0, False)])
def test_a_stress_and_a_virial_agree(tmp_path: Path, virial: float, accepts: bool) -> None:
    numbers = " ".join(str(v) for v in (virial * 27 * np.eye(3)).ravel())
    text = f"""1
Lattice="3 0 0 0 3 0 0 0 3" energy=-1 stress="1 1 1 0 0 0" virial="{numbers}"
Cu 0 0 0
"""
    (tmp_path / "a.extxyz").write_text(text)
    if accepts:
        assert np.allclose(
            read_frames(tmp_path / "a.extxyz", scheme="EMT").frames.stress, np.eye(3)
        )
    else:
        with pytest.raises(InputError, match="virial"):
            read_frames(tmp_path / "a.extxyz", scheme="EMT")
