"""Trouble with POSCAR, JSON, frames and slow answers that people of this field have reported."""

import copy
import json
import time
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from gnomon.chemistry.oxidation import nearest_ions
from gnomon.crystals import Crystals
from gnomon.io import as_crystals, read, write
from gnomon.io.frames import read_frames
from gnomon.structure.symmetry import canonical_ids, space_groups
from tests.distorted import barium_titanate, copper_gold, elpasolite
from tests.field_files import accepted, optimade, rejected, written

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


# --- frames with labels ---------------------------------------------------------------------------


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
