"""Trouble that people of this field have reported, in small inputs of our own, each answered right.

The right answers come from gemmi, pymatgen, finite differences or arithmetic.
"""

import copy
import json
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ase.build import bulk
from pymatgen.core import Lattice, Structure

from gnomon.chemistry.oxidation import nearest_ions
from gnomon.cli import main
from gnomon.crystals import Crystals
from gnomon.discover.screen import screen
from gnomon.discover.settings import CampaignConfig
from gnomon.evaluate.by_name import relax
from gnomon.io import ReadResult, as_crystals, read, write
from gnomon.io.frames import read_frames
from gnomon.structure.duplicates import find_known, group_duplicates
from gnomon.structure.matching import Matcher
from gnomon.structure.polymorphs import polymorphs
from gnomon.structure.symmetry import canonical_ids, space_groups
from tests.strategies import rewritten

# --- reading ------------------------------------------------------------------------------------


def written(folder: Path, name: str, text: str) -> ReadResult:
    (folder / name).write_text(text)
    return read(folder / name)


def accepted(result: ReadResult) -> tuple[str, int, str | None]:
    """Formula, atoms and warnings of the one crystal."""
    assert result.rejects.to_pylist() == []
    [warning] = result.rows["warnings"].to_pylist()
    return str(result.crystals.reduced_formulas[0]), int(result.crystals.n_atoms[0]), warning


def rejected(result: ReadResult) -> tuple[str, str]:
    """Reason and detail of the one reject."""
    assert len(result.crystals) == 0
    [row] = result.rejects.to_pylist()
    return row["reason"], row["detail"]


def shortest(crystal: Crystals) -> float:
    structure = as_structure(crystal)
    return min(n.nn_distance for site in structure for n in structure.get_neighbors(site, 3.0))


def as_structure(crystal: Crystals) -> Structure:
    return Structure(crystal.lattice[0], crystal.atomic_numbers.tolist(), crystal.frac_coords)


def cell(a: float, b: float, c: float, alpha: float, beta: float, gamma: float) -> str:
    values = {"length_a": a, "length_b": b, "length_c": c}
    values |= {"angle_alpha": alpha, "angle_beta": beta, "angle_gamma": gamma}
    return "".join(f"_cell_{key} {value}\n" for key, value in values.items())


SITES = "loop_\n_atom_site_label\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n"

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


# --- POSCAR and JSON ------------------------------------------------------------------------------


def test_three_scale_factors_stretch_each_direction(tmp_path: Path) -> None:
    """Legal since VASP 6; also the hashes of VASP 6.4 and a negative scale, a volume."""
    rows = "0 2.82 2.82\n2.82 0 2.82\n2.82 2.82 0\n"
    end = "Na_pv/hash Cl\n1 1\n{}\n0 0 0\n{}\n"
    direct, cartesian = end.format("Direct", "0.5 0.5 0.5"), end.format("Cart", "2.82 2.82 2.82")
    for scale, volume in (("1.0", 1.0), ("1 1.1 1.2", 1.32), ("-44.85", 44.85 / (2 * 2.82**3))):
        for rest in (direct, cartesian):
            result = written(tmp_path, "POSCAR", f"salt\n{scale}\n{rows}{rest}")
            assert accepted(result) == ("NaCl", 2, None)
            assert result.crystals.volumes[0] == pytest.approx(volume * 2 * 2.82**3, rel=1e-6)
            assert np.abs(result.crystals.frac_coords[1] % 1 - 0.5).max() < 1e-9
    flat = written(tmp_path, "POSCAR", f"salt\n1 -1 1\n{rows}{direct}")
    assert rejected(flat)[0] == "unreadable"


ATTRIBUTES = {
    "dimension_types": [1, 1, 1],
    "lattice_vectors": [[5.64, 0, 0], [0, 5.64, 0], [0, 0, 5.64]],
    "cartesian_site_positions": [[0, 0, 0], [2.82, 0, 0]],
    "species_at_sites": ["Na", "Cl"],
    "species": [
        {"name": name, "chemical_symbols": [name], "concentration": [1.0]} for name in ("Na", "Cl")
    ],
    "structure_features": [],
    "nsites": 2,
    "site_coordinate_span": "asymmetric_unit",
    "chemical_formula_reduced": "ClNa",
    "chemical_formula_descriptive": "Na4Cl4",
    "space_group_it_number": 225,
    "space_group_symbol_hall": "-F 4 2 3",
}


def optimade(folder: Path, **changed: object) -> ReadResult:
    attributes = copy.deepcopy(ATTRIBUTES) | changed
    attributes = {key: value for key, value in attributes.items() if value is not ...}
    document = {"data": [{"type": "structures", "id": "a6", "attributes": attributes}]}
    return written(folder, "x.json", json.dumps(document))


def test_sites_that_do_not_fill_the_cell_are_expanded_or_rejected(tmp_path: Path) -> None:
    """optimade-python-tools#2411, #2418: ``site_coordinate_span``."""
    assert accepted(optimade(tmp_path)) == ("NaCl", 8, None)
    unknown = {"space_group_symbol_hall": ..., "space_group_it_number": ...}
    assert rejected(optimade(tmp_path, **unknown))[0] == "incomplete"
    operations = {"space_group_symmetry_operations_xyz": ["x,y,z", "-x,-y,-z"]}
    assert rejected(optimade(tmp_path, **operations))[0] == "contradictory"
    for span in ("molecular_asymmetric_unit", "other"):
        assert rejected(optimade(tmp_path, site_coordinate_span=span))[0] == "incomplete"


def test_formula_and_counts_are_held_against_the_sites(tmp_path: Path) -> None:
    whole: dict[str, object] = {"site_coordinate_span": "unit_cell"}
    whole |= {"chemical_formula_descriptive": "NaCl", "space_group_it_number": 123}
    whole |= {"space_group_symbol_hall": ...}
    assert accepted(optimade(tmp_path, **whole)) == ("NaCl", 2, None)
    assert rejected(optimade(tmp_path, **whole, nsites=8))[0] == "contradictory"
    assert rejected(optimade(tmp_path, **whole, elements=["Cl", "K"]))[0] == "contradictory"
    for formula, reason in (("Cl2Na", "contradictory"), ("ClHNa", "incomplete")):
        wrong = optimade(tmp_path, **whole, chemical_formula_reduced=formula)
        assert rejected(wrong)[0] == reason


def test_either_kind_of_coordinates_is_read(tmp_path: Path) -> None:
    frac = {"fractional_site_positions": [[0, 0, 0], [0.5, 0, 0]]}
    result = optimade(tmp_path, **frac, cartesian_site_positions=...)
    assert accepted(result) == ("NaCl", 8, None)
    assert accepted(optimade(tmp_path, **frac)) == ("NaCl", 8, None)
    other = optimade(tmp_path, fractional_site_positions=[[0, 0, 0], [0.4, 0, 0]])
    assert rejected(other)[0] == "contradictory"
    assert rejected(optimade(tmp_path, cartesian_site_positions=...))[0] == "incomplete"


def test_answers_of_layers_and_without_species_are_rejects(tmp_path: Path) -> None:
    """optimade-python-tools#1212, #1103, qmpy#129."""
    layer = optimade(tmp_path, dimension_types=[1, 1, 0])
    assert rejected(layer)[0] == "missing_lattice"
    assert rejected(optimade(tmp_path, species=...))[0] == "incomplete"


def test_documents_of_the_materials_project_are_held_against_themselves(tmp_path: Path) -> None:
    structure = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0, 0]]
    )
    right = {
        "material_id": "mp-22862",
        "formula_pretty": "NaCl",
        "nsites": 8,
        "volume": structure.volume,
        "density": float(structure.density),
        "structure": structure.as_dict(),
    }
    assert accepted(written(tmp_path, "x.json", json.dumps(right))) == ("NaCl", 8, None)
    for wrong in (
        {"formula_pretty": "Na2Cl"},
        {"nsites": 2},
        {"volume": structure.volume / 4},
        {"density": 4.0},
    ):
        result = written(tmp_path, "x.json", json.dumps(right | wrong))
        assert rejected(result)[0] == "contradictory"
    moved = copy.deepcopy(right)
    moved["structure"]["sites"][0]["abc"] = [0.1, 0, 0]
    assert rejected(written(tmp_path, "x.json", json.dumps(moved)))[0] == "contradictory"


# --- frames with labels -------------------------------------------------------------------------


def frame(comment: str) -> str:
    head = 'Lattice="0 1.7 1.7 1.7 0 1.7 1.7 1.7 0" Properties=species:S:1:pos:R:3:forces:R:3'
    return f'1\n{head} pbc="T T T" {comment}\nCu 0 0 0 0 0 0\n'


@pytest.mark.parametrize("key", ["virial", "virials"])
@pytest.mark.parametrize("numbers", ["2 0.1 0 0.1 3 0 0 0 4", "2 3 4 0 0 0.1"])
def test_a_virial_is_a_stress(tmp_path: Path, key: str, numbers: str) -> None:
    """mace#1518, dpdata#983: stress = -virial / volume; virials were ignored without a word."""
    (tmp_path / "f.extxyz").write_text(frame(f'energy=-3.0 {key}="{numbers}"'))
    found = read_frames(tmp_path / "f.extxyz", scheme="EMT")
    expected = -np.array([[2, 0.1, 0], [0.1, 3, 0], [0, 0, 4]]) / (2 * 1.7**3)
    np.testing.assert_allclose(found.frames.stress[0], expected, rtol=1e-12)
    assert not found.warnings


def test_labels_that_are_not_read_are_counted_and_named(tmp_path: Path) -> None:
    others = 'dft_stress="1 2 3 4 5 6" REF_energy=-2.0 formation_energy_per_atom=0.1 strain=0.2'
    text = frame("energy=-3.0") + 2 * frame(f"energy=-3.0 {others}") + frame("REF_energy=-3.0")
    (tmp_path / "f.extxyz").write_text(text)
    found = read_frames(tmp_path / "f.extxyz", scheme="EMT")
    assert len(found.frames) == 3
    assert dict(found.warnings) == {
        "labels that are not read: REF_energy, dft_stress": 2,
        "keys that are not read: strain": 2,
        "labels that are not read: REF_energy": 1,
    }


# --- formats, hard inputs -------------------------------------------------------------------------


def test_formats_agree(tmp_path: Path) -> None:
    """mattergen#67: CIF and extended XYZ of one crystal disagreed."""
    batch = as_crystals([copper_gold(1.0), elpasolite(6), barium_titanate(0.08)])
    for name in ("x.cif", "x.extxyz", "x.vasp", "x.json", "x.parquet"):
        write(tmp_path / name, batch)
        back = read(tmp_path / name).crystals
        assert set(canonical_ids(back)) == set(canonical_ids(batch))


@pytest.mark.parametrize(
    "counts", [((48, 96), (52, 97)), ((23, 5), (26, 7), (28, 6), (42, 4), (74, 3), (8, 61))]
)
def test_oxidation_states_of_large_formulas_take_no_time(
    counts: tuple[tuple[int, int], ...],
) -> None:
    """ShakeNBreak#92, matminer#454: Cd96Te97 and formulas of many metals."""
    start = time.process_time()
    nearest_ions(counts)
    assert time.process_time() - start < 5.0


def test_a_nearly_cubic_cell_is_answered_at_once() -> None:
    """spglib#567, #59."""
    lattice = np.eye(3) * 5.0 + np.array([[0, 1e-5, -2e-5], [3e-5, 1e-5, 0], [0, -1e-5, 2e-5]])
    crystal = Crystals.single(lattice, [26, 26], [[0, 0, 0], [0.5, 0.5, 0.5]])
    start = time.process_time()
    assert canonical_ids(crystal).tolist()[0]
    assert space_groups(crystal, 0.1).tolist() == [229]
    assert time.process_time() - start < 2.0


# --- matching -----------------------------------------------------------------------------------


def copper_gold(ratio: float, volume: float = 31.5) -> Structure:
    """B2 at c/a = 1, L1_0 at the square root of 2."""
    a = (volume / ratio) ** (1 / 3)
    return Structure(Lattice.tetragonal(a, a * ratio), ["Cu", "Au"], [[0, 0, 0], [0.5, 0.5, 0.5]])


@pytest.mark.parametrize("between", [[], [1.2], [1.1, 1.2, 1.3]])
def test_crystals_in_between_do_not_join_two_phases(between: list[float]) -> None:
    """pymatgen#4528, #1665: grouping is not transitive, groups depend on what else is there."""
    batch = as_crystals([copper_gold(c) for c in (1.0, 2**0.5, *between)])
    of = group_duplicates(batch).of
    assert of[0] != of[1]
    fit = Matcher().on(batch)
    assert all(fit(i, j) for j in range(len(of)) for i in range(j) if of[i] == of[j])
    found = polymorphs(batch, np.zeros(len(batch)))
    assert not any({0, 1} <= set(one.members) for one in found)


def elpasolite(degrees: float) -> Structure:
    """Ba2EuTaO6, the octahedra about Ta turned about c."""
    s = Structure.from_spacegroup(
        "Fm-3m",
        Lattice.cubic(8.44),
        ["Ba", "Eu", "Ta", "O"],
        [[0.25] * 3, [0, 0, 0], [0.5] * 3, [0.235, 0, 0]],
    )
    w = np.radians(degrees)
    turn = np.array([[np.cos(w), -np.sin(w), 0], [np.sin(w), np.cos(w), 0], [0, 0, 1]])
    centres = [site.frac_coords for site in s if site.specie.symbol == "Ta"]
    for i, site in enumerate(s):
        if site.specie.symbol == "O":
            away = [site.frac_coords - c - np.round(site.frac_coords - c) for c in centres]
            j = int(np.argmin([np.linalg.norm(d) for d in away]))
            s.replace(i, "O", centres[j] + turn @ away[j])
    return s.get_primitive_structure()


def barium_titanate(shift: float) -> Structure:
    """Cubic, or with Ti and O moved along c by about so many Å."""
    z = shift / 4.0
    return Structure(
        Lattice.tetragonal(4.0, 4.0 * (1 + z)),
        ["Ba", "Ti", "O", "O", "O"],
        [[0, 0, 0], [0.5, 0.5, 0.5 + z], [0.5, 0.5, -z], [0.5, 0, 0.5 - z], [0, 0.5, 0.5 - z]],
    )


DISTORTED = {
    **{f"tilt of {w} degrees": (elpasolite(0), elpasolite(w)) for w in (2, 3, 6, 10, 14)},
    "ferroelectric shift": (barium_titanate(0.0), barium_titanate(0.08)),
}


@pytest.mark.parametrize("name", DISTORTED)
def test_distortions_that_change_the_space_group_are_phases_of_their_own(name: str) -> None:
    """pymatgen#3796: tilted octahedra and polar shifts counted as rediscoveries."""
    both = as_crystals(DISTORTED[name])
    assert len(set(space_groups(both).tolist())) == 2
    assert Matcher().on(both)(0, 1)  # the matcher alone is generous
    rng = np.random.default_rng(0)
    batch = Crystals.concatenate([both, *(rewritten(one, rng) for one in both)])
    assert group_duplicates(batch).of.tolist() == [0, 1, 0, 1]
    assert find_known(both[:1], both[1:]).tolist() == [-1]
    assert len(polymorphs(both, np.zeros(2))) == 2


@pytest.mark.parametrize("noise", [0.003, 0.01, 0.02, 0.1])
def test_noise_makes_no_new_crystal(noise: float) -> None:
    """What relaxations leave (0.01 Å), or so much that nothing of the symmetry is left."""
    rng = np.random.default_rng(1)
    for structure in (elpasolite(0), elpasolite(14), barium_titanate(0.0)):
        copies = [structure.copy() for _ in range(3)]
        for one in copies[1:]:
            for i in range(len(one)):
                one.translate_sites([i], rng.normal(0, noise, 3), frac_coords=False)
        assert group_duplicates(as_crystals(copies)).of.tolist() == [0, 0, 0]


def test_mirror_images_are_one_crystal() -> None:
    sites = [[0.47, 0, 1 / 3], [0.4135, 0.2669, 0.2144]]
    left = Structure.from_spacegroup("P3_121", Lattice.hexagonal(4.91, 5.40), ["Si", "O"], sites)
    right = Structure(left.lattice.matrix * [1, 1, -1], left.species, left.frac_coords)
    both = as_crystals([left, right])
    assert space_groups(both, 0.01).tolist() == [152, 154]
    assert group_duplicates(both).of.tolist() == [0, 0]


def test_crystals_of_other_sizes_are_others() -> None:
    """Lengths are scaled before they are compared, but not without bound."""
    copper = as_crystals(
        Structure(
            Lattice.cubic(3.61),
            ["Cu"] * 4,
            [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]],
        )
    )
    scaled = [copper.scale_volume(f**3) for f in (1.0, 1.05, 1.15, 7.2 / 3.61)]
    assert group_duplicates(Crystals.concatenate(scaled)).of.tolist() == [0, 0, 0, 1]


# --- what cannot be answered, and what was named ------------------------------------------------


def run_command(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def table_of_phases(path: Path, **energies: float) -> Path:
    """Parquet of phases: formula to formation energy in eV/atom."""
    columns = {
        "reduced_formula": list(energies),
        "formation_energy_per_atom": list(energies.values()),
    }
    pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize("system", ["U-O", "Pu-O", "Tc-O", "Pm-F", "Ac-O", "Pa-O", "Np-O", "Th-O"])
def test_elements_that_were_named_are_not_left_out(tmp_path: Path, system: str) -> None:
    out = tmp_path / "formulas.parquet"
    assert run_command("generate", "compositions", system, "--max-atoms", 9, "--out", out) == 0
    assert pq.read_metadata(out).num_rows > 0


def test_named_elements_are_substituted_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    structure = Structure.from_spacegroup(
        "P4_2/mnm", Lattice.tetragonal(4.59, 2.96), ["Ti", "O"], [[0, 0, 0], [0.305, 0.305, 0]]
    )
    write(tmp_path / "TiO2.cif", structure)

    def formulas(parent: str, *options: str) -> list[str]:
        out = tmp_path / f"{parent}{len(list(tmp_path.iterdir()))}.parquet"
        command = ("generate", "substitutions", tmp_path / f"{parent}.cif", "--out", out)
        assert run_command(*command, *options) == 0
        return [str(formula) for formula in pq.read_table(out)["reduced_formula"].to_pylist()]

    assert "UO2" in formulas("TiO2", "--elements", "U-O")
    assert formulas("TiO2", "--formula", "UO2") == ["UO2"]
    assert not any("U" in formula for formula in formulas("TiO2"))
    write(tmp_path / "UO2.cif", structure.copy().replace_species({"Ti": "U"}))
    formulas("UO2")
    assert "no candidate holds U: name such elements with --elements" in capsys.readouterr().err


def test_a_campaign_screens_the_elements_of_its_system(tmp_path: Path) -> None:
    config = CampaignConfig(system="U-O", generate={"max_atoms": 3})
    cell_of_uo2 = as_crystals(
        Structure.from_spacegroup(
            "Fm-3m", Lattice.cubic(5.47), ["U", "O"], [[0, 0, 0], [0.25, 0.25, 0.25]]
        ).get_primitive_structure()
    )
    assert screen(cell_of_uo2, config.screen, known=frozenset()).kept.all()


SALTS = {"Na": 0.0, "Cl2": 0.0, "NaCl": -2.1, "Li": 0.0, "Fe": 0.0, "P": 0.0, "O2": 0.0}


def test_an_element_without_a_reference_costs_its_own_query_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = table_of_phases(tmp_path / "phases.parquet", **SALTS, LiFePO4=-2.5)
    assert run_command("hull", table, "NaCl", "HgO", "LiFePO4", "--scheme", "MP") == 0
    shown = capsys.readouterr()
    assert "NaCl" in shown.out
    assert "LiFePO4" in shown.out
    assert "HgO: " in shown.err
    assert "Hg" in shown.err
    assert run_command("hull", table, "NaCl", "HgO", "Xx2", "LiFePO4", "--json") == 0
    salt, mercury, typo, phosphate = json.loads(capsys.readouterr().out)
    assert (salt["reason"], salt["phases"][0]["e_above_hull"]) == ("", 0.0)
    assert (phosphate["reason"], phosphate["phases"][0]["e_above_hull"]) == ("", 0.0)
    assert mercury["phases"] == []
    assert "Hg" in mercury["reason"]
    assert "Xx" in typo["reason"]
    assert run_command("hull", table, "HgO", "HgS") == 1
    assert "HgS" in capsys.readouterr().err


@pytest.mark.parametrize("options", [("--limits",), ("--open", "Cl=-1")])
def test_the_same_with_limits_and_reservoirs(
    tmp_path: Path, options: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    table = table_of_phases(tmp_path / "phases.parquet", **SALTS)
    assert run_command("hull", table, "NaCl", "HgO", *options, "--json") == 0
    found = capsys.readouterr()
    assert "HgO: " in found.err
    assert "NaCl" in found.out
    assert run_command("hull", table, "HgO", *options) == 1


def test_a_window_lists_every_polymorph_in_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = {
        "id": ["ca", "as", "low", "same", "same", "high"],
        "reduced_formula": ["Ca", "As", *["CaAs4"] * 4],
        "formation_energy_per_atom": [0.0, 0.0, -0.4, -0.36, -0.35, -0.2],
    }
    pq.write_table(pa.table(columns), tmp_path / "phases.parquet")
    for query in ("Ca-As", "CaAs4"):
        command = ("hull", tmp_path / "phases.parquet", query, "--json")
        assert run_command(*command, "--window", 0.1) == 0
        [answer] = json.loads(capsys.readouterr().out)
        compounds = [p for p in answer["phases"] if p["reduced_formula"] == "CaAs4"]
        assert [p["id"] for p in compounds] == ["low", "same", "same"]
        assert [p["e_above_hull"] for p in compounds] == pytest.approx([0.0, 0.04, 0.05])
        assert run_command(*command) == 0
        [answer] = json.loads(capsys.readouterr().out)
        ids = [p["id"] for p in answer["phases"] if p["reduced_formula"] == "CaAs4"]
        assert ids == ["low"]


def test_energies_go_straight_from_evaluate_to_hull(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "CuAu.cif", Structure(Lattice.tetragonal(2.8, 3.7), ["Cu", "Au"], L1_0))
    emt = ("--evaluator", "ase:ase.calculators.emt.EMT")
    relaxed = tmp_path / "relaxed.parquet"
    assert run_command("evaluate", tmp_path / "CuAu.cif", *emt, "--out", relaxed) == 0
    capsys.readouterr()
    assert run_command("hull", relaxed, "Au-Cu", "--json") == 0
    found = capsys.readouterr()
    assert "evaluating Cu, Au, which the table lacks" in found.err
    [answer] = json.loads(found.out)
    energies = {p["reduced_formula"]: p["formation_energy_per_atom"] for p in answer["phases"]}
    table = pq.read_table(relaxed)
    alone = relax([bulk("Cu"), bulk("Au")], emt[1]).evaluations.energy_per_atom.mean()
    formed = pytest.approx(table["energy_per_atom"][0].as_py() - alone, abs=1e-3)
    assert energies == {"Au": 0.0, "Cu": 0.0, "CuAu": formed}
    others = pa.array(["elsewhere.Calculator (elsewhere 1)"] * len(table))
    at = table.schema.get_field_index("scheme")
    pq.write_table(table.set_column(at, "scheme", others), tmp_path / "other.parquet")
    assert run_command("hull", tmp_path / "other.parquet", "Au-Cu") == 1
    assert "evaluate crystals of Cu, Au with the same evaluator" in capsys.readouterr().err


L1_0 = [[0, 0, 0], [0.5, 0.5, 0.5]]
