"""Trouble that people have with energies: anions, choice of cells, signs of stresses, symmetry."""

from collections.abc import Iterator

import numpy as np
import pytest
from ase.build import bulk
from pymatgen.core import Lattice, Structure

from gnomon.crystals import Crystals
from gnomon.dynamics.settings import RelaxConfig
from gnomon.evaluate.by_name import evaluator, relax
from gnomon.evaluate.corrections import mp2020_corrections
from gnomon.io import as_crystals
from gnomon.potential.predict import LoadedPotential, load_potential
from gnomon.structure.symmetry import space_groups


@pytest.fixture(scope="module")
def potential() -> LoadedPotential:
    return load_potential("gnomon-1")


TETRAHEDRON = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])


@pytest.mark.parametrize("ligands", ["OOOO", "OOO", "SOOO"], ids=["sulfate", "sulfite", "thio"])
def test_sulfur_that_is_no_anion_takes_no_sulfide_correction(ligands: str) -> None:
    """pymatgen#4538: S6+ was given the correction of sulfides."""
    lengths = np.array([2.01 if symbol == "S" else 1.48 for symbol in ligands])
    around = TETRAHEDRON[: len(ligands)] * lengths[:, None] / 3**0.5 / 8
    places = np.concatenate([[[0.5] * 3, [0, 0, 0], [0, 0, 0.5]], 0.5 + around])
    crystal = Structure(Lattice.cubic(8), ["S", "Cs", "Li", *ligands], places)
    found = mp2020_corrections(as_crystals(crystal))
    assert [part.name for part in found.adjustments[0]] == ["MP2020 anion correction (oxide)"]
    assert found.per_atom[0] == pytest.approx(-0.687 * ligands.count("O") / len(crystal), abs=5e-4)


def cells_of_salt() -> Iterator[Structure]:
    """Rock salt in its primitive cell and in others."""
    primitive = Structure.from_ase_atoms(bulk("NaCl", "rocksalt", a=5.64))
    yield primitive
    yield primitive.make_supercell([[-1, 1, 1], [1, -1, 1], [1, 1, -1]], in_place=False)
    yield primitive.make_supercell([[1, 4, 0], [0, 1, 3], [0, 0, 1]], in_place=False)
    yield primitive.make_supercell([[0, 1, 0], [1, 0, 0], [0, 0, 1]], in_place=False)
    far = primitive.copy()
    far.translate_sites([1], [3, -2, 5], to_unit_cell=False)
    yield far


def test_energies_do_not_depend_on_the_cell(potential: LoadedPotential) -> None:
    """apax#279, fairchem#428, matgl#198: skewed and left-handed cells, atoms beyond the cell."""
    cells = list(cells_of_salt())
    assert np.linalg.det(cells[3].lattice.matrix) * np.linalg.det(cells[0].lattice.matrix) < 0
    batch = Crystals.concatenate([as_crystals(one) for one in cells])
    found = potential.predict(batch)
    np.testing.assert_allclose(found.energy / batch.n_atoms, found.energy[0] / 2, atol=2e-6)
    np.testing.assert_allclose(found.stress, np.broadcast_to(found.stress[0], (5, 3, 3)), atol=1e-6)


@pytest.mark.parametrize(("a", "sign"), [(3.4, -1), (3.8, 1)])
def test_a_compressed_crystal_has_a_negative_stress(
    potential: LoadedPotential, a: float, sign: int
) -> None:
    """ACEsuit/mace#1110: in ASE's sign, and equal to finite differences of the energy."""
    step = 1e-3
    batch = Crystals.concatenate(
        [as_crystals(bulk("Cu", "fcc", a=a * (1 + s))) for s in (0.0, step, -step)]
    )
    found = potential.predict(batch)
    stress = np.trace(found.stress[0]) / 3
    differences = (found.energy[1] - found.energy[2]) / (6 * step * batch.volumes[0])
    assert np.sign(stress) == sign
    assert stress == pytest.approx(differences, abs=1e-3)


def test_symmetry_that_is_fixed_is_kept() -> None:
    """atomate2#789: the space groups at a tight tolerance, also in a skewed cell."""
    titanate = Structure.from_spacegroup(
        "Pm-3m", Lattice.cubic(4.0), ["Ba", "Ti", "O"], [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0]]
    )
    zincite = Structure.from_spacegroup(
        "P6_3mc",
        Lattice.hexagonal(3.3, 5.1),
        ["Zn", "O"],
        [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.38]],
    )
    skewed = zincite.make_supercell([[1, 1, 0], [0, 1, 0], [0, 2, 1]], in_place=False)
    by = evaluator("gnomon-1", relax=RelaxConfig(symmetry=True, fmax=0.1))
    found = relax([titanate, skewed], by)
    assert space_groups(as_crystals(found.relaxed), symprec=1e-3).tolist() == [221, 186]
