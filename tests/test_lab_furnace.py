"""The simulated furnace keeps atoms, goes downhill, and each law is what it says."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnomon.synthesis.lab.crucible import (
    KELVIN,
    closed_atoms,
    fixed_elements,
    grams_per_atom,
    in_gas,
    potentials,
    weight_fractions,
)
from gnomon.synthesis.lab.events import Event
from gnomon.synthesis.lab.furnace import Furnace, seen
from gnomon.synthesis.lab.kinetics import LAWS
from gnomon.synthesis.lab.sets import Heating, precursor_sets, weighed
from tests.test_synthesis_reactions import AIR, solids

POOL = ["BaCO3", "BaO", "TiO2", "Ba2TiO4"]
SETS = precursor_sets("BaTiO3", POOL, AIR)


@cache
def furnace(law: str = "diffusion", seed: int = 0) -> Furnace:
    return Furnace(solids(), ["BaTiO3", *POOL], AIR, law, seed)


def _moles(fractions: dict[str, float]) -> np.ndarray:
    """Of the atoms that are not fixed."""
    return np.array([w / grams_per_atom(n, fixed_elements(AIR)) for n, w in fractions.items()])


def metals(fractions: dict[str, float]) -> float:
    """Ba for each Ti."""
    atoms = closed_atoms(list(fractions), AIR)
    total = _moles(fractions) @ (atoms / atoms.sum(axis=1, keepdims=True))
    return float(total[56] / total[22])


def energy(fractions: dict[str, float], celsius: float) -> float:
    """Grand potential of a closed atom with the errors of no world, eV."""
    phases = in_gas(solids(), celsius + KELVIN, AIR)
    own = dict(zip(phases.ids.tolist(), phases.formation_energy_per_atom.tolist(), strict=True))
    n = _moles(fractions)
    return float(sum(a * own[name] for a, name in zip(n, fractions, strict=True)) / n.sum())


@pytest.mark.parametrize("law", LAWS)
@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 5),
    which=st.integers(0, len(SETS) - 1),
    celsius=st.sampled_from([300.0, 640.0, 900.0, 1200.0, 1400.0]),
)
def test_a_heating_keeps_the_atoms_and_loses_energy(law, seed, which, celsius) -> None:
    mixture = SETS[which]
    found = furnace(law, seed).heat(Heating(mixture, celsius, 4.0))
    assert sum(found.values()) == pytest.approx(1)
    assert min(found.values()) > 0
    assert metals(found) == pytest.approx(1, abs=1e-4)  # nothing in it is volatile
    before = weight_fractions(weighed(mixture, AIR), AIR)
    assert energy(found, celsius) <= energy(before, celsius) + 0.03  # the errors of the world


@pytest.mark.parametrize("law", LAWS)
def test_hotter_or_longer_goes_further_and_cold_does_nothing(law) -> None:
    went = set()
    for seed in range(3):
        world, mixture = furnace(law, seed), SETS[1]
        cold = world.heat(Heating(mixture, 300.0, 0.1))
        assert sum(cold.get(name, 0) for name in mixture.precursors) > 0.99
        heated = [world.heat(Heating(mixture, 800.0, hours)) for hours in (0.5, 5.0, 50.0)]
        still = [sum(one.get(name, 0) for name in mixture.precursors) for one in heated]
        assert sorted(still, reverse=True) == pytest.approx(still)
        went.add(still[0] > still[2] + 0.01)
    assert True in went


def test_a_world_is_the_same_again_and_another_seed_is_another_world() -> None:
    again = Furnace(solids(), ["BaTiO3", *POOL], AIR)
    assert again.heat(Heating(SETS[0], 900.0)) == furnace().heat(Heating(SETS[0], 900.0))
    outcomes = [furnace("diffusion", s).heat(Heating(SETS[1], 800.0)) for s in range(4)]
    assert len({tuple(one.items()) for one in outcomes}) > 2


def test_only_with_the_collective_law_it_matters_what_lies_beside() -> None:
    event = Event(("BaO", "TiO2"), (0.5, 0.5), ("BaTiO3",), (1.0,), -0.3)
    both = frozenset(event.reactants)
    for name, law in LAWS.items():
        rates = {law.rates([event], both | {other}, 1200.0, 0)[0] for other in ("", "CuO", "ZnO")}
        assert (len(rates) > 1) == (name == "collective")
        assert all(rate > 0 for rate in rates)


def test_the_driving_force_chooses_among_products() -> None:
    events = [
        Event(("A", "B"), (0.5, 0.5), (product,), (1.0,), energy)
        for product, energy in (("weak", -0.05), ("strong", -0.25))
    ]
    for name in ("diffusion", "nucleation"):
        weak, strong = LAWS[name].rates(events, frozenset("AB"), 1200.0, 0)
        assert strong > weak


def test_volatile_elements_leave() -> None:
    from gnomon.synthesis.lab import furnace as module

    world = furnace("diffusion", 9)
    flies = {"Ba": 900}  # as if it were
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "FLIES", flies)
        assert metals(world.heat(Heating(SETS[0], 1200.0, 20.0))) < 0.99


def test_all_sets_weigh_the_target_in() -> None:
    assert [str(one) for one in SETS] == ["Ba2TiO4 + TiO2", "BaCO3 + TiO2", "BaO + TiO2"]
    for one in SETS:
        total = np.array(one.amounts) @ closed_atoms(one.precursors, AIR)
        assert total == pytest.approx(closed_atoms(["BaTiO3"], AIR)[0])


@pytest.mark.parametrize(
    ("target", "pool", "said"),
    [
        ("TiO2", POOL, "holds Ti besides what the gas gives"),
        ("CO2", POOL, "holds nothing besides"),
        ("BaTiO3", ["BaO", "BaCO3"], "no precursor holds Ti"),
        ("BaTiO3", ["BaO", "CaTiO3"], "no precursor holds Ti"),
    ],
)
def test_what_cannot_be_weighed_in_is_a_sentence(target, pool, said) -> None:
    with pytest.raises(ValueError, match=said):
        precursor_sets(target, pool, AIR)


def test_the_furnace_says_what_it_cannot_do() -> None:
    with pytest.raises(ValueError, match="goes from 300 to 1400"):
        furnace().heat(Heating(SETS[0], 2000.0))
    with pytest.raises(ValueError, match="there are diffusion, nucleation, collective"):
        furnace("magic")
    with pytest.raises(ValueError, match="no phase CuO"):
        Furnace(solids(), ["CuO"], AIR)


@given(st.sets(st.sampled_from(["O2", "CO2", "H2O", "N2"])))
def test_gases_fix_the_potentials_of_the_elements_that_they_fix(gases) -> None:
    pressures = dict.fromkeys(gases, 0.1)
    found = fixed_elements(pressures)
    assert set(potentials(1000.0, pressures)) == found
    assert ("C" in found) == ({"O2", "CO2"} <= gases)


def test_an_analysis_errs_but_adds_up() -> None:
    found = seen({"BaTiO3": 0.7, "TiO2": 0.295, "Ba2TiO4": 0.005}, 0, "run")
    assert sum(found.values()) == pytest.approx(1)
    assert set(found) == {"BaTiO3", "TiO2"}
    assert found["BaTiO3"] == pytest.approx(0.7, abs=0.15)


def test_a_phase_that_is_alone_falls_apart_too() -> None:
    """BaO takes up CO2 of the air when it is cold."""
    from gnomon.synthesis.lab.events import AtTemperature

    phases = in_gas(solids(), 600.0, AIR)
    alone = AtTemperature(phases).groups(frozenset(["BaO"]), False, {"BaO": 1.0})
    assert [event.products for group in alone for event in group] == [("BaCO3",)]
