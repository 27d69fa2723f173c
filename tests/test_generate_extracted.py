"""Prototypes taken from crystals, and candidates of outside generators."""

import numpy as np
import pytest
from hypothesis import given, settings

from gnomon.crystals import Crystals
from gnomon.elements import atomic_number
from gnomon.generate import LINEAGE, Generator
from gnomon.generate.from_file import FileGenerator
from gnomon.generate.prototypes.extracted import extract_prototypes
from gnomon.generate.prototypes.generator import PrototypeGenerator
from gnomon.io import InputError, write
from gnomon.structure.duplicates import FAST, group_duplicates
from gnomon.structure.labels import prototype_labels
from gnomon.structure.symmetry import canonical_ids
from tests.strategies import rewritten, rngs


def cubic(a, symbols, frac):
    return Crystals.single(np.eye(3) * a, [atomic_number(s) for s in symbols], frac)


def caesium_chloride(one, two):
    return cubic(4.1, [one, two], [[0, 0, 0], [0.5, 0.5, 0.5]])


def perovskite(a, b, x):
    frac = [[0.5, 0.5, 0.5], [0, 0, 0], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]]
    return cubic(3.9, [a, b, x, x, x], frac)


@settings(max_examples=5)
@given(rngs)
def test_prototypes_are_the_same_however_crystals_are_written(rng):
    given_ones = [caesium_chloride("Cs", "Cl"), perovskite("Ca", "Ti", "O")]
    batch = Crystals.concatenate([rewritten(one, rng) for one in given_ones])
    found = extract_prototypes(batch)
    assert [p.label for p in found] == ["AB_cP2_221_a_b", "ABC3_cP5_221_a_b_c"]


def test_each_prototype_comes_once_whatever_its_elements():
    batch = Crystals.concatenate(
        [
            caesium_chloride("Cs", "Cl"),
            caesium_chloride("Cu", "Zn"),
            caesium_chloride("Zn", "Cu").supercell(2),
        ]
    )
    [found] = extract_prototypes(batch)
    assert found.compound == "CsCl"
    assert len(found.decorations) == 1  # both sites are the same


def test_decorations_are_all_inequivalent_ones():
    batch = Crystals.concatenate([caesium_chloride("Cs", "Cl"), perovskite("Ca", "Ti", "O")])
    generator = PrototypeGenerator(("Na", "Nb", "O"), given=tuple(extract_prototypes(batch)))
    assert isinstance(generator, Generator)
    before = batch.ids.tolist()
    [chunk] = generator.generate(Crystals.empty(), seed=0)
    assert len(chunk.crystals) == 3 + 6  # three pairs in one way; six orders of three elements
    assert len(set(group_duplicates(chunk.crystals, FAST).of.tolist())) == 9
    assert chunk.lineage.schema == LINEAGE
    assert chunk.lineage["id"].to_pylist() == chunk.crystals.ids.tolist()
    assert set(prototype_labels(chunk.crystals)) == {"AB_cP2_221_a_b", "ABC3_cP5_221_a_b_c"}
    assert Crystals.concatenate([batch]).ids.tolist() == before


def test_large_and_broken_crystals_give_no_prototype():
    broken = cubic(4.0, ["Na", "Na"], [[0, 0, 0], [0, 0, 1e-5]])
    batch = Crystals.concatenate([broken, perovskite("Ca", "Ti", "O")])
    assert extract_prototypes(batch, max_atoms=4) == []


def test_a_system_names_each_element_once():
    with pytest.raises(ValueError, match="once"):
        PrototypeGenerator(("Na", "Na"), given=())


# --- files ----------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path):
    batch = Crystals.concatenate(
        [
            caesium_chloride("Cs", "Cl"),
            caesium_chloride("Cs", "Cl"),
            caesium_chloride("Cu", "Zn"),
            perovskite("Ca", "Ti", "O"),
        ]
    )
    write(tmp_path / "made.extxyz", batch)
    return tmp_path / "made.extxyz"


def test_structures_of_a_file_take_part_under_their_label(file):
    generator = FileGenerator((file,), "diffusion")
    assert isinstance(generator, Generator)
    [chunk] = generator.generate(Crystals.empty(), seed=0)
    assert chunk.crystals.reduced_formulas.tolist() == ["CsCl", "ZnCu", "CaTiO3"]
    assert chunk.lineage.schema == LINEAGE
    assert set(chunk.lineage["generator"].to_pylist()) == {"diffusion"}
    assert all("made.extxyz" in change for change in chunk.lineage["change"].to_pylist())


def test_files_as_diffusion_models_write_them_hold_the_same_crystals(tmp_path):
    """MatterGen: extended XYZ and CIF of ASE; Chemeleon-DNG: CIF, and JSON of pymatgen."""
    from ase.build import bulk
    from ase.io import write as write_atoms
    from monty.serialization import dumpfn
    from pymatgen.io.ase import AseAtomsAdaptor

    made = [bulk("NaCl", "rocksalt", a=5.7), bulk("NaCl", "cesiumchloride", a=3.4)]
    write_atoms(tmp_path / "generated_crystals.extxyz", made)
    (tmp_path / "unpacked").mkdir()
    for i, atoms in enumerate(made):
        write_atoms(tmp_path / "unpacked" / f"gen_{i}.cif", atoms, format="cif")
    structures = [AseAtomsAdaptor.get_structure(atoms) for atoms in made]
    dumpfn(structures, tmp_path / "generated_structures.json.gz")
    found = []
    for name in ("generated_crystals.extxyz", "unpacked", "generated_structures.json.gz"):
        [chunk] = FileGenerator((tmp_path / name,), "mattergen").generate(Crystals.empty(), seed=0)
        found.append(canonical_ids(chunk.crystals).tolist())
    assert len(set(found[0])) == 2
    assert found[0] == found[1] == found[2]


def test_elements_and_sizes_outside_of_a_campaign_are_left_out(file):
    generator = FileGenerator((file,), "diffusion", elements=("Cs", "Cl", "Ca", "Ti", "O"))
    [chunk] = generator.generate(Crystals.empty(), seed=0)
    assert chunk.crystals.reduced_formulas.tolist() == ["CsCl", "CaTiO3"]
    small = FileGenerator((file,), "diffusion", max_atoms=1)
    assert list(small.generate(Crystals.empty(), seed=0)) == []


def test_records_that_cannot_be_read_are_counted(file, tmp_path, caplog):
    (tmp_path / "broken.cif").write_text("no crystal")
    generator = FileGenerator((file, tmp_path / "broken.cif"), "diffusion")
    assert sum(len(c.crystals) for c in generator.generate(Crystals.empty(), seed=0)) == 3
    assert "1 records" in caplog.text


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="absent"):
        list(FileGenerator((tmp_path / "absent.cif",), "x").generate(Crystals.empty(), seed=0))


@pytest.mark.parametrize(
    "arguments", [{"paths": ()}, {"name": " "}, {"elements": ("Qq",)}, {"max_atoms": 0}]
)
def test_what_makes_no_sense_is_refused(arguments, file):
    with pytest.raises(ValueError, match=r"file|label|element|at least"):
        FileGenerator(**{"paths": (file,), "name": "x", **arguments})
