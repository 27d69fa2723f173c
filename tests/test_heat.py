"""Heat: Debye's model, phonons, expansion, and the bound on it."""

import ase.build
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnomon.crystals import Crystals
from gnomon.dynamics.settings import RelaxConfig
from gnomon.evaluate.registry import EvaluatorConfig
from gnomon.io import as_crystals
from gnomon.io.tables import OK
from gnomon.properties import answers
from gnomon.properties.heat.debye import expansion_factor, heat_capacity, heat_per_volume
from gnomon.properties.mechanics.moduli import young_modulus
from gnomon.properties.registry import PROPERTIES, PropertySettings

EMT = EvaluatorConfig(name="ase:ase.calculators.emt.EMT", workers=1)
METALS = as_crystals([ase.build.bulk(symbol) for symbol in ("Cu", "Al", "Ni")])


@given(st.floats(50, 2000), st.floats(5, 3000))
def test_heat_capacity_rises_to_dulong_and_petit(debye, temperature):
    low, high = heat_capacity(np.array([debye]), temperature), heat_capacity(np.array([debye]), 1e6)
    assert 0 < low[0] <= high[0] <= 3 * 8.31447
    cold = 12 * np.pi**4 / 5 * 8.314463 / 40**3  # Debye's law at T = theta/40
    assert heat_capacity(np.array([debye]), debye / 40) == pytest.approx(cold, rel=1e-3)


def test_the_bound_of_expansion_has_its_maximum_where_it_is_published():
    best = 2 * (11 - 2 * np.sqrt(10)) / 9
    assert expansion_factor(np.linspace(0, 0.5, 50001)).max() == pytest.approx(best, abs=1e-6)


HOT = {"phonons": {"temperature": 3000.0, "min_length": 7.0, "mesh": 30.0}}


@pytest.fixture(scope="module")
def vibrating():
    """Phonons by EMT of fcc copper and aluminium, and of copper where it has no minimum: bcc."""
    pytest.importorskip("phonopy", reason="phonopy is not installed (extra properties)")
    bcc = as_crystals(ase.build.bulk("Cu", "bcc", a=2.87))
    made = PROPERTIES.get("phonons")(PropertySettings(EMT, RelaxConfig(), HOT))
    return made.compute(Crystals.concatenate([METALS[:2], bcc]), {}).to_pylist()


def test_hot_crystals_have_the_heat_capacity_of_dulong_and_petit(vibrating):
    for row in vibrating[:2]:
        assert row["status"] == OK
        assert row["value"] == pytest.approx(3 * 8.314463, rel=3e-3)
        assert row["lowest_frequency"] == pytest.approx(0, abs=1e-3)  # sound, at gamma
        # classical: F = -kT ln(kT / h nu) a mode, so that F < 0 < E_0
        assert row["free_energy"] < 0 < row["zero_point_energy"]
    assert 6.5 < vibrating[0]["highest_frequency"] < 8.5  # measured 7.3 THz


def test_a_crystal_without_a_minimum_says_so_and_keeps_its_frequency(vibrating):
    row = vibrating[2]
    assert row["status"].startswith("not stable: a mode of -")
    assert row["value"] is None
    assert row["lowest_frequency"] < -0.5
    assert 0 < row["imaginary_share"] < 1


def test_copper_expands_as_measured():
    pytest.importorskip("phonopy", reason="phonopy is not installed (extra properties)")
    options = {"expansion": {"volumes": 5, "min_length": 7.0, "mesh": 30.0}}
    made = PROPERTIES.get("expansion")(PropertySettings(EMT, RelaxConfig(), options))
    [row] = made.compute(METALS[:1], {}).to_pylist()
    assert row["status"] == OK
    assert row["value"] == pytest.approx(16.5e-6, rel=0.3)
    # alpha_V = gamma C_V / (K V): what the table says of itself
    volume = row["volume_per_atom"] * 1e-30 * 6.02214e23
    derived = row["gruneisen"] * 24.0 / (row["bulk_modulus"] * 1e9 * volume) / 3
    assert row["value"] == pytest.approx(derived, rel=0.05)


@pytest.mark.parametrize("name", ["phonons", "expansion"])
def test_supercells_that_are_too_large_are_refused(name):
    pytest.importorskip("phonopy", reason="phonopy is not installed (extra properties)")
    options = {name: {"max_atoms": 3}}
    made = PROPERTIES.get(name)(PropertySettings(EMT, RelaxConfig(), options))
    [row] = made.compute(METALS[:1], {}).to_pylist()
    assert "more than 3" in row["status"]
    assert row["value"] is None


@settings(max_examples=8)
@given(st.floats(0.0, 0.45), st.floats(0.01, 1.5))
def test_an_expansion_on_the_bound_is_all_that_it_can_be(nu, share):
    bulk, ratio = np.array([100.0]), np.array([nu])
    shear = bulk * 3 * (1 - 2 * nu) / (2 * (1 + nu))
    known = {
        "elastic": {"value": bulk, "shear_modulus": shear, "volume_per_atom": [16.0]},
        "expansion": {"value": [0.0], "temperature": [300.0]},
        "phonons": {"value": [24.0], "temperature": [300.0]},
    }
    heat = heat_per_volume(np.array([24.0]), np.array([16.0]))
    known["expansion"]["value"] = (
        share * expansion_factor(ratio) * heat / young_modulus(bulk, shear)
    )
    made = PROPERTIES.get("expansion_bound")(PropertySettings())

    def made_up(name):
        return PROPERTIES.get(name)(PropertySettings())

    tables = {
        name: answers(made_up(name).schema, METALS.ids[:1], "", [OK], **columns)
        for name, columns in known.items()
    }
    [row] = made.compute(METALS[:1], tables).to_pylist()
    assert row["value"] == pytest.approx(share)
    assert row["poisson_ratio"] == pytest.approx(nu, abs=1e-9)
    assert row["answer"] == ("within the bound" if row["value"] <= 1 else "beyond the bound")
