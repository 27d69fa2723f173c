"""Laws of formation energies that a potential expects of unrelaxed crystals."""

from dataclasses import replace

import numpy as np
import pytest

from gnomon.crystals import Crystals
from gnomon.elements import SYMBOLS
from gnomon.evaluate.batched import BatchedEvaluator
from gnomon.evaluate.corrections import Corrected, mp2020_correction_per_atom
from gnomon.evaluate.expected import PotentialModel, estimated
from gnomon.evaluate.references import fitted
from gnomon.models import EnergyModel
from gnomon.potential.predict import load_potential
from tests.calculators import FastEvaluator

ROUND_OFF = 1e-4
"""eV/atom; single precision in batches of another shape."""

SALT = Crystals.single(
    5.64 / 2 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]), [11, 17], [[0, 0, 0], [0.5, 0.5, 0.5]]
)


@pytest.fixture(scope="module")
def potential():
    return load_potential("gnomon-2")


def test_it_is_the_energy_of_the_potential_against_fitted_elements(potential):
    model = PotentialModel(potential, volumes=(1.0,))
    assert isinstance(model, EnergyModel)
    zero = fitted(model.scheme, ["Na", "Cl"])
    energy = potential.predict(SALT).energy[0] / 2 + mp2020_correction_per_atom(SALT)[0]
    found = model.predict(SALT)
    assert found.median[0] == pytest.approx(energy - sum(zero.values()) / 2, abs=ROUND_OFF)
    assert found.median[0] == pytest.approx(-2.1, abs=0.1), "eV/atom in the Materials Project"


def test_a_wrong_volume_costs_little_and_more_volumes_never_raise(potential):
    wrong = Crystals.concatenate([SALT, SALT.scale_volume(1.12), SALT.scale_volume(0.94)])
    one = PotentialModel(potential, volumes=(1.0,)).predict(wrong).median
    five = PotentialModel(potential).predict(wrong).median
    assert np.all(five <= one + ROUND_OFF)
    assert np.ptp(five) < 0.5 * np.ptp(one)


def test_what_it_cannot_say_has_a_reason(potential):
    z = next(z for z in range(1, 100) if z not in potential.elements)
    other = Crystals.single(SALT.lattice[0], [11, z], SALT.frac_coords)
    found = PotentialModel(potential, volumes=(1.0,)).predict(Crystals.concatenate([other, SALT]))
    assert SYMBOLS[z] in found.reasons[0]
    assert np.isnan(found.median[0])
    assert found.predicted.tolist() == [False, True]
    assert len(PotentialModel(potential).predict(SALT.take([]))) == 0


def test_an_estimate_is_the_same_energy_without_elements(potential):
    crystals = Crystals.concatenate([SALT, SALT.scale_volume(1.1)])
    found = estimated(Corrected(BatchedEvaluator(potential)), crystals)
    model = PotentialModel(potential)
    zero = fitted(model.scheme, ["Na", "Cl"])
    wanted = model.predict(crystals).median + sum(zero.values()) / 2
    np.testing.assert_allclose(found, wanted, atol=ROUND_OFF)
    assert estimated(FastEvaluator(), crystals) is None


def test_a_potential_without_fitted_elements_is_refused(potential):
    with pytest.raises(ValueError, match="no energies of the elements"):
        PotentialModel(replace(potential, name="another"))
