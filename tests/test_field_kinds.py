"""Records that mislead as people of this field report, kind by kind, in small inputs of ours."""

from pathlib import Path

import pytest

from tests.test_field_cases import SITES, accepted, cell, rejected, written

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
