"""Moduli of a tensor, hardness and toughness from moduli."""

from dataclasses import replace

import ase.build
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnomon.dynamics.settings import RelaxConfig
from gnomon.evaluate.registry import EvaluatorConfig
from gnomon.io import as_crystals
from gnomon.io.tables import OK
from gnomon.properties.mechanics.elastic import moduli
from gnomon.properties.mechanics.hardness import (
    chen_hardness,
    mazhnik_hardness,
    mazhnik_toughness,
    niu_toughness,
    teter_hardness,
    tian_hardness,
    zeta,
)
from gnomon.properties.mechanics.moduli import Moduli, young_modulus
from gnomon.properties.registry import PROPERTIES, PropertySettings

EMT = EvaluatorConfig(name="ase:ase.calculators.emt.EMT", workers=1)
METALS = as_crystals([ase.build.bulk(symbol) for symbol in ("Cu", "Al", "Ni")])


def tensors():
    """Symmetric, positive definite ones, GPa."""
    numbers = st.lists(st.floats(-1, 1), min_size=36, max_size=36)
    return numbers.map(lambda n: np.reshape(n, (6, 6))).map(lambda a: 40 * (a @ a.T + np.eye(6)))


@given(tensors())
def test_moduli_lie_between_their_bounds(tensor):
    status, found = moduli(tensor)
    assert status == OK
    assert found["bulk_modulus_reuss"] <= found["value"] * (1 + 1e-9)
    assert found["value"] <= found["bulk_modulus_voigt"] * (1 + 1e-9)
    assert found["shear_modulus_reuss"] <= found["shear_modulus"] * (1 + 1e-9)
    assert found["shear_modulus"] <= found["shear_modulus_voigt"] * (1 + 1e-9)
    assert found["universal_anisotropy"] >= -1e-9
    assert -1 < found["poisson_ratio"] < 0.5


@given(st.floats(10, 500), st.floats(5, 300))
def test_an_isotropic_tensor_gives_its_own_moduli(bulk, shear):
    tensor = np.diag([2 * shear] * 3 + [shear] * 3) + 0.0
    tensor[:3, :3] += bulk - 2 * shear / 3
    status, found = moduli(tensor)
    assert status == OK
    assert found["value"] == pytest.approx(bulk)
    assert found["shear_modulus"] == pytest.approx(shear)
    assert found["young_modulus"] == pytest.approx(9 * bulk * shear / (3 * bulk + shear))
    assert found["universal_anisotropy"] == pytest.approx(0, abs=1e-6)


def test_a_tensor_with_a_soft_direction_has_no_moduli():
    tensor = np.diag([100.0, 100, 100, 50, 50, -3])
    status, found = moduli(tensor)
    assert "not stable" in status
    assert "-6 GPa" in status  # Mandel's eigenvalue
    assert found == {"lowest_stiffness": pytest.approx(-6)}


def test_models_of_hardness_give_the_published_values_of_diamond():
    bulk, shear, young, nu, volume = np.array([[443.0], [535], [1142], [0.07], [5.68]])
    assert mazhnik_hardness(young, nu) == pytest.approx(101, abs=0.5)
    assert mazhnik_toughness(young, nu, volume) == pytest.approx(6.4, abs=0.05)
    assert teter_hardness(shear) == pytest.approx(80.8, abs=0.05)
    assert chen_hardness(bulk, shear) == pytest.approx(95.4, abs=0.05)
    assert tian_hardness(bulk, shear) == pytest.approx(97.4, abs=0.05)
    assert niu_toughness(bulk, shear, volume) == pytest.approx(6.5, abs=0.05)


def test_zeta_keeps_its_printed_digits_where_its_denominator_is_small():
    nu = 0.145
    below = 1 - 15.2 * nu + 70.2 * nu**2 - 81.5 * nu**3
    assert below == pytest.approx(0.0235, abs=1e-4)
    assert zeta(np.array([nu])) == pytest.approx((1 - 13.7 * nu + 48.6 * nu**2) / below)


@settings(max_examples=5)
@given(st.integers(0, 100))
def test_moduli_do_not_depend_on_the_frame(seed):
    rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    turned = METALS.with_lattice(METALS.lattice @ rotation)
    made = PROPERTIES.get("elastic")(PropertySettings(EMT, RelaxConfig()))
    before, after = (made.compute(c[:1], {}).to_pylist()[0] for c in (METALS, turned))
    for name in ("value", "shear_modulus", "universal_anisotropy"):
        assert after[name] == pytest.approx(before[name], rel=1e-2, abs=1e-2)


@given(st.floats(20, 400), st.floats(10, 300), st.floats(0, 0.02), st.floats(0, 0.02))
def test_small_errors_of_moduli_become_that_of_a_product(bulk, shear, of_bulk, of_shear):
    one = np.ones(1)
    errors = (of_bulk * bulk * one, of_shear * shear * one)
    m = Moduli(bulk * one, shear * one, *errors, one, one, [OK], "")
    found = m.uncertainty(lambda k, g: k * g**2) / (bulk * shear**2)
    assert found == pytest.approx(np.hypot(of_bulk, 2 * of_shear), rel=0.03)
    assert np.isnan(replace(m, bulk_error=np.nan * one).uncertainty(young_modulus)).all()
