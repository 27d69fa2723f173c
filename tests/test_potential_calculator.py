"""``gnomon.Calculator`` in ASE: open directions, neighbour lists that serve on, clear refusals."""

import subprocess
import sys

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import PropertyNotImplementedError
from ase.stress import full_3x3_to_voigt_6_stress
from hypothesis import given, settings

import gnomon
from gnomon.evaluate.calculators import make_calculator
from gnomon.io import to_ase
from gnomon.potential.batch import Shape
from gnomon.potential.calculator import closed
from tests.strategies import ELEMENTS, random_crystal, rngs
from tests.tiny_potentials import tiny_file, tiny_potential

EXACT = {"rtol": 1e-9, "atol": 1e-9}


@pytest.fixture(scope="module")
def calculator():
    return gnomon.Calculator(tiny_potential(repulsion=True))


@pytest.fixture(scope="module")
def precise():
    return gnomon.Calculator(tiny_potential(repulsion=True), dtype="float64")


def values(calculator, atoms):
    """Energy, forces and stress, by a calculator that has seen other atoms before."""
    atoms = atoms.copy()
    atoms.calc = calculator
    return atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()


def assert_same(found, expected, tolerance):
    for mine, yours in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, yours, **tolerance)


# --- agreement ------------------------------------------------------------------------------------


def test_it_agrees_with_batched_prediction(calculator):
    """To single precision of the largest force: the repulsion of close atoms is strong."""
    crystal = random_crystal(np.random.default_rng(613))
    expected = calculator.loaded.predict(crystal, capacity=Shape(16, 64, 2))
    stress = full_3x3_to_voigt_6_stress(expected.stress[0])
    found = values(calculator, to_ase(crystal)[0])
    for mine, yours in zip(found, (expected.energy[0], expected.forces, stress), strict=True):
        np.testing.assert_allclose(mine, yours, rtol=0, atol=3e-6 * np.abs(yours).max())


def test_energies_of_atoms_add_up(calculator):
    atoms = to_ase(random_crystal(np.random.default_rng(0)))[0]
    atoms.calc = calculator
    assert atoms.get_potential_energies().shape == (len(atoms),)
    assert atoms.get_potential_energies().sum() == pytest.approx(atoms.get_potential_energy())
    free = atoms.get_potential_energy(force_consistent=True)
    assert free == atoms.get_potential_energy()


def test_double_precision_is_double(precise, calculator):
    atoms = to_ase(random_crystal(np.random.default_rng(1)))[0]
    assert values(calculator, atoms)[0] == pytest.approx(values(precise, atoms)[0], abs=1e-4)
    atoms.calc = precise
    forces, h = atoms.get_forces(), 1e-4
    ends = []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.positions[0, 1] += sign * h
        ends.append(values(precise, moved)[0])
    assert (ends[1] - ends[0]) / (2 * h) == pytest.approx(forces[0, 1], rel=1e-5, abs=1e-6)


# --- open directions ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pbc", [(True, True, False), (False, True, False), (False, False, False), (True, True, True)]
)
def test_open_directions_are_as_a_wide_vacuum(precise, pbc):
    """Whatever the cell says of open directions, atoms outside of it included."""
    rng = np.random.default_rng(8)
    lattice = np.eye(3) * 4.2 + rng.uniform(-0.3, 0.3, (3, 3))
    positions = rng.uniform(size=(3, 3)) @ lattice + 30 * ~np.array(pbc)
    numbers = rng.choice(ELEMENTS, 3)
    atoms = Atoms(numbers, positions, cell=lattice, pbc=pbc)
    wide = lattice.copy()
    if not all(pbc):
        wide = closed(lattice, np.array(pbc), positions, 25.0)
    vacuum = Atoms(numbers, positions, cell=wide, pbc=True)
    energy, forces, stress = values(precise, atoms)
    expected = values(precise, vacuum)
    ratio = vacuum.get_volume() / atoms.get_volume()
    assert_same((energy, forces, stress), (*expected[:2], expected[2] * ratio), EXACT)


def test_a_molecule_needs_no_cell(precise):
    water = molecule("H2O")
    water.numbers[water.numbers == 1] = 3
    boxed = water.copy()
    boxed.set_cell([25.0] * 3)
    boxed.pbc = True
    water.calc = precise
    energy, forces, _ = values(precise, boxed)
    assert water.get_potential_energy() == pytest.approx(energy, abs=1e-9)
    np.testing.assert_allclose(water.get_forces(), forces, **EXACT)
    with pytest.raises(PropertyNotImplementedError):
        water.get_stress()


def test_atoms_beyond_each_others_reach_are_alone(precise):
    one = values(precise, Atoms("Au", cell=[9.0] * 3))[0]
    apart = Atoms("Au2", [[0, 0, 0], [0, 0, 1e4]])
    apart.calc = precise
    assert apart.get_potential_energy() == pytest.approx(2 * one)
    np.testing.assert_array_equal(apart.get_forces(), 0)


# --- neighbour lists that serve on ----------------------------------------------------------------


@pytest.mark.parametrize("pbc", [True, False, (True, True, False)], ids=str)
@given(rng=rngs)
@settings(max_examples=3)
def test_a_list_that_serves_on_gives_the_same_as_a_fresh_one(precise, rng, pbc):
    """Along a walk with strain, drift, wrapping and jumps."""
    atoms = to_ase(random_crystal(rng, max_atoms=3))[0]
    atoms.pbc = pbc
    fresh = gnomon.Calculator(precise.loaded, dtype="float64", skin=0.0)
    for _ in range(8):
        atoms.positions += rng.normal(scale=0.03, size=atoms.positions.shape) + rng.uniform(size=3)
        if rng.random() < 0.5:
            strain = np.eye(3) + rng.normal(scale=0.005, size=(3, 3))
            atoms.set_cell(atoms.cell.array @ strain, scale_atoms=bool(rng.random() < 0.8))
        if rng.random() < 0.2:
            atoms.wrap()
        assert_same(values(precise, atoms), values(fresh, atoms), EXACT)


def test_small_moves_need_no_new_list_and_no_compilation():
    calculator = gnomon.Calculator(tiny_potential(), skin=0.4)
    atoms = bulk("Cu", cubic=True) * 2
    rng = np.random.default_rng(0)
    shapes = set()
    for _ in range(20):
        atoms.positions += rng.uniform(-0.02, 0.02, atoms.positions.shape)
        atoms.positions += [3.0, 0.0, 0.0]  # all together is no move at all
        values(calculator, atoms)
        shapes.add(calculator._listed.batch.shape)
    assert calculator.rebuilds <= 4
    assert len(shapes) == 1


def test_other_atoms_are_other_atoms(precise):
    rng = np.random.default_rng(4)
    atoms = to_ase(random_crystal(rng))[0]
    first = values(precise, atoms)
    other = atoms.copy()
    other.numbers[:] = 79
    assert values(precise, other)[0] != pytest.approx(first[0])
    values(precise, to_ase(random_crystal(rng))[0])
    assert_same(values(precise, atoms), first, EXACT)


# --- refusals and absurdities ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("atoms", "said"),
    [
        (Atoms("RaO", [[0, 0, 0], [0, 0, 2.5]]), "does not know Ra"),
        (Atoms("XO", [[0, 0, 0], [0, 0, 2.5]]), "does not know X"),
        (Atoms(), "no atoms"),
        (Atoms("O", [[0, 0, np.nan]]), "not finite"),
        (Atoms("O", pbc=True), "flat along periodic directions"),
        (Atoms("O", cell=[4, 4, 0], pbc=True), "flat along periodic directions"),
        (Atoms("O", cell=[[4, 0, 0], [8, 0, 0], [0, 0, 4]], pbc=[1, 1, 0]), "flat along"),
        (Atoms("O", cell=[0.02] * 3, pbc=True), "too many pairs"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_calculated_is_explained(calculator, atoms, said):
    atoms.calc = calculator
    with pytest.raises(ValueError, match=said):
        atoms.get_potential_energy()


def test_absurd_atoms_give_finite_numbers(calculator):
    cube = [4.0] * 3
    for atoms in (
        Atoms("O2", [[0, 0, 0], [0, 0, 0.3]], cell=cube, pbc=True),
        Atoms("O2", [[0, 0, 0], [0, 0, 0]], cell=cube, pbc=True),
        Atoms("O", cell=[200.0] * 3, pbc=True),
        Atoms("O", cell=[1.0] * 3, pbc=True),
    ):
        for value in values(calculator, atoms):
            assert np.isfinite(value).all()


@pytest.mark.parametrize(
    "arguments", [{"dtype": "float16"}, {"skin": -0.1}, {"skin": float("nan")}], ids=str
)
def test_arguments_that_make_no_sense_are_refused(arguments):
    with pytest.raises(Exception, match=r"dtype|skin"):
        gnomon.Calculator(tiny_potential(), **arguments)


# --- packaging ------------------------------------------------------------------------------------


def test_weights_come_by_path_and_the_evaluator_takes_it_by_name(tmp_path):
    path = tiny_file(tmp_path)
    calculator = make_calculator("gnomon.Calculator", {"weights": str(path)})
    assert isinstance(calculator, gnomon.Calculator)
    assert "sha256" in calculator.scheme
    atoms = bulk("Cu")
    assert_same(values(calculator, atoms), values(gnomon.Calculator(path), atoms), EXACT)


def test_importing_gnomon_imports_neither_ase_nor_jax():
    code = (
        "import sys, gnomon; assert 'Calculator' in gnomon.__all__; "
        "print([m for m in ('ase', 'jax', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
