"""Thermal conductivity of a Morse crystal, and what has none."""

import ase.build
import numpy as np
import pytest

from gnomon.crystals import Crystals
from gnomon.evaluate.batched import BatchedEvaluator
from gnomon.io import as_crystals
from gnomon.io.tables import OK, check_table
from gnomon.properties import registry
from gnomon.properties.registry import PROPERTIES, PropertySettings
from tests.tiny_potentials import MORSE

CLOSE = as_crystals(ase.build.bulk("O", "fcc", a=3.6))


@pytest.fixture
def conducting(monkeypatch):
    """The thermal conductivity of crystals by a Morse potential, with options."""
    pytest.importorskip("phono3py", reason="phono3py is not installed (extra properties)")
    monkeypatch.setattr(
        registry, "make_evaluator", lambda _, relax, __: BatchedEvaluator(MORSE, relax)
    )

    def of(crystals, **options):
        small = {"min_length": 5.0, "pair": 2.0, "mesh": 12.0, "isotopes": False, **options}
        settings = PropertySettings(options={"thermal_conductivity": small})
        table = PROPERTIES.get("thermal_conductivity")(settings).compute(crystals, {})
        check_table(table)
        return table.to_pylist()

    return of


def test_a_hot_lattice_conducts_as_the_inverse_temperature(conducting):
    [one], [other] = (conducting(CLOSE, temperature=kelvin) for kelvin in (1500.0, 3000.0))
    assert one["status"] == OK
    assert one["value"] == pytest.approx(2 * other["value"], rel=0.02)  # three phonons, classical
    six = one["conductivity_tensor"]
    assert np.allclose(six[:3], one["value"], rtol=1e-3)  # cubic
    assert np.allclose(six[3:], 0, atol=1e-3 * one["value"])
    assert one["supercell_atoms"] == 27


def test_what_has_no_thermal_conductivity_says_why(conducting):
    pulled = as_crystals(ase.build.bulk("O", "sc", a=2.6))
    metal, shear = conducting(Crystals.concatenate([as_crystals(ase.build.bulk("Cu")), pulled]))
    assert metal["status"] == "metals only: electrons conduct heat, not the lattice"
    assert shear["status"].startswith("not stable: a mode of -")
    [many] = conducting(CLOSE, max_displacements=1)
    assert "displaced supercells, more than 1 (thermal_conductivity.max_disp" in many["status"]
    [large] = conducting(CLOSE, max_atoms=3)
    assert large["status"].endswith("more than 3 (thermal_conductivity.max_atoms)")
