"""Trouble with CIFs that people of this field have reported, in small inputs of our own.

The right answers come from gemmi, pymatgen, finite differences or arithmetic.
"""

from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Structure

from gnomon.crystals import Crystals
from tests.field_files import SITES, accepted, cell, rejected, written


def shortest(crystal: Crystals) -> float:
    structure = as_structure(crystal)
    return min(n.nn_distance for site in structure for n in structure.get_neighbors(site, 3.0))


def as_structure(crystal: Crystals) -> Structure:
    return Structure(crystal.lattice[0], crystal.atomic_numbers.tolist(), crystal.frac_coords)


SILICON = (
    "data_si2\n"
    + cell(5.431, 5.431, 5.431, 90, 90, 90)
    + "_space_group_name_H-M_alt 'F d -3 m :2'\n_space_group_IT_number 227\n"
    + "_space_group_IT_coordinate_system_code 2\n"
    + "_chemical_formula_sum Si\n_cell_formula_units_Z 8\n"
    + SITES
    + "Si1 0.125 0.125 0.125\n"
)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("", ""),
        ("F d -3 m :2", "F d -3 m"),
        ("F d -3 m :2", "F d -3 m Z"),
        ("F d -3 m :2", "Fd-3m:2"),
        ("F d -3 m :2", "F 41/d -3 2/m :2"),
        ("_space_group_name_H-M_alt 'F d -3 m :2'\n", ""),
        ("_space_group_name_H-M_alt 'F d -3 m :2'", '_space_group_name_Hall "-F 4vw 2vw 3"'),
    ],
)
def test_origin_choices_are_kept(tmp_path: Path, old: str, new: str) -> None:
    """HEXRD#965: the origin choice of a CIF is dropped, and atoms land in wrong places."""
    result = written(tmp_path, "x.cif", SILICON.replace(old, new))
    assert accepted(result) == ("Si", 8, None)
    assert shortest(result.crystals) == pytest.approx(5.431 * 3**0.5 / 4, abs=1e-3)


def test_an_origin_that_is_not_stated_is_found_and_said(tmp_path: Path) -> None:
    bare = SILICON.replace(" :2", "").replace("_space_group_IT_coordinate_system_code 2\n", "")
    formula, atoms, warning = accepted(written(tmp_path, "x.cif", bare))
    assert (formula, atoms) == ("Si", 8)
    assert warning is not None
    assert "F d -3 m:2" in warning
    unsaid = bare.replace("_cell_formula_units_Z 8\n", "")
    formula, atoms, warning = accepted(written(tmp_path, "x.cif", unsaid))
    assert (formula, atoms) == ("Si", 8)  # 16 would be 1.92 Å apart
    assert warning is not None
    assert "leaves the most room" in warning
    counted = unsaid.replace("label\n", "label\n_atom_site_symmetry_multiplicity\n")
    for multiplicity in (8, 24):  # some programs write the order of the site instead
        text = counted.replace("Si1 ", f"Si1 {multiplicity} ")
        formula, atoms, warning = accepted(written(tmp_path, "x.cif", text))
        assert (formula, atoms) == ("Si", 8)
        assert "what else is stated" in str(warning)
    for wrong in (SILICON.replace("m :2", "m :1"), bare.replace("-3 m'", "-3 m S'")):
        assert rejected(written(tmp_path, "x.cif", wrong))[0] == "contradictory"


SPINEL = (
    "data_spinel\n"
    + cell(8.083, 8.083, 8.083, 90, 90, 90)
    + "_space_group_name_H-M_alt 'F d -3 m :2'\n"
    + "_chemical_formula_sum 'Al2 Mg O4'\n_cell_formula_units_Z 8\n"
    + SITES
    + "Mg1 0.125 0.125 0.125\nAl1 0.5 0.5 0.5\nO1 0.2624 0.2624 0.2624\n"
)


def test_no_list_of_operations_is_no_p1(tmp_path: Path) -> None:
    """pymatgen#488: without listed operations P1 was assumed."""
    assert accepted(written(tmp_path, "x.cif", SPINEL)) == ("MgAl2O4", 56, None)
    unknown = SPINEL.replace("F d -3 m :2", "Q d -3 m")
    assert rejected(written(tmp_path, "x.cif", unknown))[0] == "unreadable"
    nothing = SPINEL.replace("_space_group_name_H-M_alt 'F d -3 m :2'\n", "")
    reason, detail = rejected(written(tmp_path, "x.cif", nothing))
    assert reason == "contradictory"
    assert "atoms" in detail
    silent = nothing.replace("_cell_formula_units_Z 8\n", "").replace("Al2 Mg O4", "Al Mg O")
    assert "P 1 is taken" in str(accepted(written(tmp_path, "x.cif", silent))[2])


CORUNDUM = (
    "data_corundum\n"
    + cell(5.128, 5.128, 5.128, 55.28, 55.28, 55.28)
    + "_symmetry_space_group_name_H-M 'R -3 c :R'\n_symmetry_Int_Tables_number 167\n"
    + "_chemical_formula_sum 'Al2 O3'\n_cell_formula_units_Z 2\n"
    + SITES.replace("label\n", "label\n_atom_site_type_symbol\n")
    + "Al1 Al3+ 0.3522 0.3522 0.3522\nO1 O2- 0.5563 0.9437 0.25\n"
)


@pytest.mark.parametrize("name", ["R -3 c :R", "R -3 c", "R -3 c R", "R-3c:r", "R -3 2/c"])
def test_rhombohedral_axes_are_told_by_name_or_cell(tmp_path: Path, name: str) -> None:
    """pymatgen#1203, objcryst#67: hexagonal operations on a rhombohedral cell."""
    text = CORUNDUM.replace("R -3 c :R", name)
    assert accepted(written(tmp_path, "x.cif", text)) == ("Al2O3", 10, None)


def test_a_cell_of_another_shape_is_a_contradiction(tmp_path: Path) -> None:
    text = CORUNDUM.replace("R -3 c :R", "R -3 c :H")
    reason, detail = rejected(written(tmp_path, "x.cif", text))
    assert reason == "contradictory"
    assert "shape" in detail


HALITE = (
    "data_halite\n"
    + cell(5.6402, 5.6402, 5.6402, 90, 90, 90)
    + "_symmetry_space_group_name_H-M 'F m -3 m'\n_symmetry_Int_Tables_number 225\n"
    + "_chemical_formula_sum 'Na Cl'\n_cell_formula_units_Z 4\n"
    + "loop_\n_symmetry_equiv_pos_as_xyz\nx,y,z\n"
    + SITES
    + "Na 0 0 0\nCl 0.5 0.5 0.5\n"
)


def test_an_identity_alone_does_not_pass_for_a_higher_group(tmp_path: Path) -> None:
    """openbabel#2586: the name says Fm-3m, the list of operations holds the identity only."""
    reason, detail = rejected(written(tmp_path, "x.cif", HALITE))
    assert reason == "contradictory"
    assert "225" in detail
    partial = HALITE.replace("x,y,z\n", "x,y,z\n-y,x,z\n")
    assert "no group" in rejected(written(tmp_path, "x.cif", partial))[1]
    listed = HALITE.replace("loop_\n_symmetry_equiv_pos_as_xyz\nx,y,z\n", "")
    assert accepted(written(tmp_path, "x.cif", listed)) == ("NaCl", 8, None)


BRUCITE = (
    "data_brucite\n"
    + cell(3.142, 3.142, 4.766, 90, 90, 120)
    + "_symmetry_space_group_name_H-M 'P -3 m 1'\n"
    + "_chemical_formula_sum 'H2 Mg O2'\n_cell_formula_units_Z 1\n"
    + SITES
    + "Mg1 0 0 0\nO1 0.333333 0.666667 0.2203\n"
)


def test_elements_of_the_formula_need_sites(tmp_path: Path) -> None:
    """pymatgen#3542, QMOF#29: hydrogens in the formula, not among the sites."""
    reason, detail = rejected(written(tmp_path, "x.cif", BRUCITE))
    assert (reason, "H" in detail) == ("incomplete", True)
    whole = BRUCITE + "H1 0.333333 0.666667 0.43\n"
    assert accepted(written(tmp_path, "x.cif", whole)) == ("Mg(HO)2", 5, None)
    extra = whole + "Na1 0 0 0.5\n"
    assert rejected(written(tmp_path, "x.cif", extra))[0] == "contradictory"


HYDRATE = (
    "data_hydrate\n"
    + cell(6.0, 6.0, 6.0, 90, 90, 90)
    + "_symmetry_space_group_name_H-M 'P 1'\n_chemical_formula_sum 'Ca H4 O2'\n"
    + SITES
    + "CA1 0 0 0\nWAT1 0.4 0.1 0.1\nOW2 0.1 0.4 0.5\nH1 0.5 0.2 0.1\nH2 0.5 0.0 0.1\n"
    + "HW3 0.2 0.5 0.5\nHO4 0.0 0.5 0.5\n"
)


def test_labels_are_read_with_the_formula(tmp_path: Path) -> None:
    """xrayutilities#103, cuemol2#118: tungsten of WAT, holmium of HO."""
    reason, detail = rejected(written(tmp_path, "x.cif", HYDRATE))
    assert (reason, "WAT1" in detail) == ("incomplete", True)
    named = HYDRATE.replace("WAT1", "OW1")
    assert accepted(written(tmp_path, "x.cif", named)) == ("Ca(H2O)2", 7, None)
    guess = named.replace("_chemical_formula_sum 'Ca H4 O2'\n", "")
    reason, detail = rejected(written(tmp_path, "x.cif", guess))
    assert reason == "unknown_element"
    assert "CA1" in detail
    assert rejected(written(tmp_path, "x.cif", named.replace("CA1", "ZR1")))[0] == "contradictory"


ZINCITE = (
    "data_zincite\n"
    + cell(3.25, 3.25, 5.207, 90, 90, 120)
    + "_symmetry_space_group_name_H-M 'P 63 m c'\n"
    + "_chemical_formula_sum 'Zn O'\n_cell_formula_units_Z 2\n"
    + SITES
    + "Zn1 0.333 0.667 0.0\nO1 0.333 0.667 0.382\n"
)


@pytest.mark.parametrize("x", ["0.333 0.667", "0.3333 0.6667", "0.33 0.67", "0.333(1) 0.667(1)"])
def test_few_digits_merge_images_of_a_special_position(tmp_path: Path, x: str) -> None:
    """aiida-core#1256, pymatgen#2175: images of a special position stay apart."""
    result = written(tmp_path, "x.cif", ZINCITE.replace("0.333 0.667", x))
    assert accepted(result) == ("ZnO", 4, None)
    zinc = result.crystals.frac_coords[result.crystals.atomic_numbers == 30]
    assert np.abs(zinc[:, 0] % 1 - np.array([1 / 3, 2 / 3])).max() < 1e-9


def test_many_digits_are_meant_as_they_are(tmp_path: Path) -> None:
    off = ZINCITE.replace("Zn1 0.333 0.667", "Zn1 0.33033333 0.66766667")
    assert rejected(written(tmp_path, "x.cif", off))[0] in ("atoms_too_close", "contradictory")


def test_capitals_and_quoted_numbers_are_legal(tmp_path: Path) -> None:
    """acwf-verification-scripts#22, and keywords in capitals, which CIF allows."""
    quoted = HALITE.replace("loop_\n_symmetry_equiv_pos_as_xyz\nx,y,z\n", "")
    quoted = quoted.replace("_symmetry_space_group_name_H-M 'F m -3 m'\n", "")
    quoted = quoted.replace("number 225", "number '225'")
    assert accepted(written(tmp_path, "x.cif", quoted)) == ("NaCl", 8, None)
    capitals = SILICON.replace("data_", "DATA_").replace("loop_", "LOOP_")
    capitals = capitals.replace("_cell_length_a", "_Cell_Length_A")
    assert accepted(written(tmp_path, "x.cif", capitals)) == ("Si", 8, None)


def test_mixed_and_doubled_sites_are_rejects(tmp_path: Path) -> None:
    """materials_discovery#12 and pymatgen#3373: atoms on top of each other, species dropped."""
    double = HYDRATE.replace("WAT1 0.4 0.1 0.1", "CA2 0.00001 0 0").replace("OW2", "O2")
    assert rejected(written(tmp_path, "x.cif", double))[0] == "partial_occupancy"
    mixed = (
        "data_x\n"
        + cell(4.2, 4.2, 4.2, 90, 90, 90)
        + "_symmetry_space_group_name_H-M 'F m -3 m'\n"
        + SITES
        + "_atom_site_occupancy\nMg1 0 0 0 0.5\nFe1 0 0 0 0.5\nO1 0.5 0.5 0.5 1\n"
    )
    assert rejected(written(tmp_path, "x.cif", mixed))[0] == "partial_occupancy"


@pytest.mark.parametrize(
    ("line", "outcome"),
    [
        ("_cell_volume 179.43", None),
        ("_cell_volume 178", "warning"),
        ("_cell_volume 170", "contradictory"),
        ("_exptl_crystal_density_diffrn 2.163", None),
        ("_exptl_crystal_density_diffrn 2.05", "warning"),
        ("_exptl_crystal_density_diffrn 1.1", "warning"),  # formula and Z agree with the atoms
        ("_cell_formula_units_Z 2", "contradictory"),
        ("_cell_formula_units_Z 2\n_exptl_crystal_density_diffrn 2.163", "warning"),
        ("_chemical_formula_sum 'Na2 Cl'", "contradictory"),
        ("_chemical_formula_sum 'Na0.5 Cl0.5'\n_cell_formula_units_Z 8", None),
        ("_chemical_formula_sum 'Na (Cl'", "warning"),
        ("_chemical_formula_sum 'Na4 Cl4'", None),  # of the cell, as pymatgen writes it
        ("_chemical_formula_sum 'Na2 Cl2'", "contradictory"),
        ("_symmetry_Int_Tables_number 216", "contradictory"),
        ('_symmetry_space_group_name_Hall "-F 4 2 3"', None),
        ('_symmetry_space_group_name_Hall "F 4 2 3"', "contradictory"),
        ("_symmetry_space_group_name_Hall nonsense", "warning"),
        ("_space_group_crystal_system cubic", None),
        ("_symmetry_cell_setting tetragonal", "contradictory"),
        ("_chemical_formula_weight 58.44", None),
        ("_chemical_formula_weight 29.2", "warning"),
    ],
)
def test_whatever_a_cif_says_of_itself_is_held_against_it(
    tmp_path: Path, line: str, outcome: str | None
) -> None:
    text = HALITE.replace("loop_\n_symmetry_equiv_pos_as_xyz\nx,y,z\n", "")
    for tag in (part.split()[0] for part in line.splitlines()):
        text = "".join(kept for kept in text.splitlines(keepends=True) if tag not in kept)
    text = text.replace("loop_", f"{line}\nloop_", 1)
    result = written(tmp_path, "x.cif", text)
    if outcome == "contradictory":
        assert rejected(result)[0] == outcome
        return
    formula, atoms, warning = accepted(result)
    assert (formula, atoms) == ("NaCl", 8)
    assert (warning is not None) == (outcome == "warning")
