"""Sanity of candidates: what is out of the question, and why."""

import numpy as np
from hypothesis import given

from gnomon.chemistry.sanity import SanityConfig, insane
from gnomon.crystals import Crystals
from gnomon.elements import atomic_number
from tests.strategies import rewritten, rngs

CHARGES = SanityConfig(oxidation=True, electronegativity=True)


def caesium_chloride(one, two, a):
    numbers = [atomic_number(one), atomic_number(two)]
    return Crystals.single(np.eye(3) * a, numbers, [[0, 0, 0], [0.5, 0.5, 0.5]])


@given(rngs)
def test_the_verdict_does_not_depend_on_how_a_crystal_is_written(rng):
    crystal = caesium_chloride("Cs", "Cl", float(rng.uniform(1.5, 16)))
    same = insane(Crystals.concatenate([crystal, rewritten(crystal, rng)]), CHARGES)
    assert same[0] == same[1]


def test_distances_and_volumes_have_reasons():
    sizes = [1.5, 2.6, 4.1, 30.0]
    batch = Crystals.concatenate([caesium_chloride("Cs", "Cl", a) for a in sizes])
    found = insane(batch, SanityConfig(min_distance=0.5, min_volume=2.0))
    assert found[0].startswith("atoms 0.")
    assert found[1:].tolist() == ["volume too small", "", "volume too large"]


def test_charges_are_asked_for_only_on_request():
    alloy, salt = caesium_chloride("Cu", "Zn", 2.95), caesium_chloride("Cs", "Cl", 4.1)
    both = Crystals.concatenate([alloy, salt])
    assert insane(both, SanityConfig()).tolist() == ["", ""]
    assert insane(both, CHARGES).tolist() == ["no common oxidation states balance the charges", ""]


def test_elements_have_no_charges_and_no_crystals_no_reasons():
    copper = Crystals.single(np.eye(3) * 2.5, [29], [[0, 0, 0]])
    assert insane(copper, CHARGES).tolist() == [""]
    assert insane(Crystals.empty(), CHARGES).tolist() == []
