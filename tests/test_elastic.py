"""Elastic tensors from few distortions: what symmetry leaves out is there all the same."""

import ase.build
import numpy as np
import pytest
from ase.calculators.emt import EMT
from ase.optimize import BFGS

from gnomon.crystals import Crystals
from gnomon.dynamics.invariance import Invariance
from gnomon.dynamics.settings import RelaxConfig
from gnomon.evaluate.registry import EvaluatorConfig
from gnomon.io import as_crystals, to_ase
from gnomon.io.tables import OK
from gnomon.potential.card import EV_PER_A3
from gnomon.properties.mechanics import elastic
from gnomon.properties.mechanics.distortions import (
    MANDEL,
    VOIGT,
    Action,
    distortions,
    from_mandel,
    hessian,
    to_mandel,
)
from gnomon.properties.registry import PropertySettings

SETTINGS = PropertySettings(
    EvaluatorConfig(name="ase:ase.calculators.emt.EMT", workers=1),
    RelaxConfig(),
    {"elastic": {"fmax": 1e-4}},
)
QUARTZ = ase.build.bulk("SiC", "wurtzite", a=3.08, c=5.05)
TRICLINIC = Crystals.single(
    [[4.0, 0, 0], [0.3, 4.5, 0], [0.2, 0.7, 5.0]],
    [29, 13, 79],
    [[0, 0, 0], [0.4, 0.5, 0.1], [0.7, 0.2, 0.6]],
)
CRYSTALS = {
    "rock salt": (as_crystals(ase.build.bulk("NaCl", "rocksalt", a=5.64)), 2),
    "zincblende": (as_crystals(ase.build.bulk("ZnS", "zincblende", a=5.4)), 3),
    "wurtzite": (as_crystals(QUARTZ), 6),
    "triclinic": (TRICLINIC, 24),
}


def action_of(crystal):
    invariance = Invariance.of(crystal)
    lattice, _, frac_coords = crystal.arrays(0)
    return Action.of(invariance.crystal(lattice, frac_coords)[0], invariance)


@pytest.mark.parametrize("name", CRYSTALS)
def test_few_distortions_give_back_any_hessian_that_has_the_symmetry(name):
    crystal, cells = CRYSTALS[name]
    action = action_of(crystal)
    size = 6 + 3 * len(crystal.frac_coords)
    drawn = np.random.default_rng(3).normal(size=(size, size))
    still = np.eye(size)
    still[6:, 6:] -= np.tile(np.eye(3), (size // 3 - 2,) * 2) / (size // 3 - 2)
    truth = still @ action.commuting(drawn + drawn.T) @ still
    made = distortions(action, 0.01, 0.02)
    assert sum(one.count for one in made) == cells
    gradients = [[sign * truth @ one.q for sign in (1, -1)[: one.count]] for one in made]
    found = hessian(action, made, gradients)
    assert np.allclose(found, truth, atol=1e-9)
    for k in range(len(action)):  # Neumann's principle
        turn = action.strains[k]
        assert np.allclose(turn @ found[:6, :6] @ turn.T, found[:6, :6], atol=1e-9)


def test_strains_have_six_numbers():
    six = np.arange(12.0).reshape(2, 6)
    assert np.allclose(to_mandel(from_mandel(six)), six)
    assert np.allclose((from_mandel(six) ** 2).sum(axis=(1, 2)), (six**2).sum(axis=1))


def strained_one_by_one(crystal, strain=0.003):
    """The tensor (GPa) by relaxing the ions in twelve strained cells."""
    slopes = []
    for i, j in VOIGT:
        stresses = []
        for sign in (1, -1):
            (atoms,) = to_ase(crystal)
            step = np.zeros((3, 3))
            step[i, j] = step[j, i] = sign * (strain if i == j else strain / 2)
            atoms.set_cell(atoms.cell @ (np.eye(3) + step), scale_atoms=True)
            atoms.calc = EMT()
            BFGS(atoms, logfile=None).run(fmax=1e-4, steps=200)
            stresses.append(atoms.get_stress(voigt=False))
        change = EV_PER_A3 * (stresses[0] - stresses[1]) / (2 * strain)
        slopes.append([change[a, b] for a, b in VOIGT])
    return (np.array(slopes) + np.transpose(slopes)) / 2


def test_the_tensor_is_that_of_all_strains_relaxed_one_by_one():
    hcp = as_crystals(ase.build.bulk("Cu", "hcp", a=2.55, c=4.2))
    made = elastic.make(SETTINGS)
    (row,) = made.compute(hcp, {}).to_pylist()
    assert row["status"] == OK
    found = np.reshape(row["elastic_tensor"], (6, 6))
    relaxed = made.evaluated(hcp, made.relaxer, "").relaxed
    assert np.allclose(found, strained_one_by_one(relaxed), atol=0.01 * found.max())
    clamped = elastic.Elastic(
        made.config.model_copy(update={"clamped": True}),
        made.relaxer,
        made.fixed,
        made.single,
        made.listener,
    )
    (stiff,) = clamped.compute(hcp, {}).to_pylist()
    assert stiff["elastic_tensor"][0] > row["elastic_tensor"][0] + 1  # ions of hcp follow a strain


def test_a_supercell_has_the_tensor_of_its_cell():
    cell = as_crystals(ase.build.bulk("Al", "fcc", a=4.0))
    large = as_crystals(ase.build.bulk("Al", "fcc", a=4.0, cubic=True))
    rows = elastic.make(SETTINGS).compute(Crystals.concatenate([cell, large]), {}).to_pylist()
    assert np.allclose(rows[0]["elastic_tensor"], rows[1]["elastic_tensor"], atol=0.1)


def test_ions_that_would_move_make_a_crystal_unstable():
    second = np.diag([1.0] * 6 + [0, 0, 0, -0.3, 2, 2])
    softest, tensor = elastic.relaxed_tensor(second, 10.0)
    assert softest == pytest.approx(-0.3)
    assert np.allclose(tensor, EV_PER_A3 / 10 * np.diag(1 / MANDEL**2))
