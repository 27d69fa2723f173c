"""Lessons follow from outcomes, whatever their order, and the next experiment follows from them."""

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnomon.synthesis.lab.choose import Laboratory
from gnomon.synthesis.lab.furnace import Furnace
from gnomon.synthesis.lab.lessons import Outcome, explained
from gnomon.synthesis.lab.sets import Heating, precursor_sets
from tests.test_synthesis_reactions import AIR, solids

POOL = ["BaCO3", "BaO", "TiO2", "Ba2TiO4"]
SETS = precursor_sets("BaTiO3", POOL, AIR)
CARBONATE = SETS[1]
CELSIUS = (700.0, 900.0, 1100.0)


@cache
def laboratory() -> Laboratory:
    return Laboratory(solids(), "BaTiO3", SETS, CELSIUS, AIR)


def outcome(celsius: float, mixture=CARBONATE, **fractions: float) -> Outcome:
    return Outcome(Heating(mixture, celsius), fractions)


def test_a_product_of_two_precursors_is_explained_by_their_reaction() -> None:
    lab = laboratory()
    made = outcome(900.0, BaTiO3=0.96, TiO2=0.02, BaCO3=0.02)  # traces are none
    (event,) = explained(made, lab.thermodynamics[900.0], AIR)
    assert {*event.reactants} == {"BaCO3", "TiO2"}
    assert event.products == ("BaTiO3",)
    lesson = lab.learned([made])[frozenset({"BaCO3", "TiO2"})]
    assert (lesson.reacts, lesson.products) == (900.0, ("BaTiO3",))
    assert lab.succeeded(made)


def test_what_lies_side_by_side_is_inert_so_far() -> None:
    lab = laboratory()
    lessons = lab.learned([outcome(700.0, BaCO3=0.7, TiO2=0.3)])
    assert lessons[frozenset({"BaCO3", "TiO2"})].inert == 700.0
    later = lab.learned(
        [outcome(900.0, BaTiO3=1.0), outcome(700.0, BaCO3=0.7, TiO2=0.3)],
    )[frozenset({"BaCO3", "TiO2"})]
    assert (later.inert, later.reacts) == (700.0, 900.0)


@st.composite
def outcomes(draw) -> list[Outcome]:
    found = []
    for _ in range(draw(st.integers(0, 6))):
        names = draw(st.sets(st.sampled_from([*POOL, "BaTiO3"]), min_size=1, max_size=4))
        mixture, celsius = draw(st.sampled_from(SETS)), draw(st.sampled_from(CELSIUS))
        shares = dict.fromkeys(sorted(names), 1 / len(names))
        found.append(Outcome(Heating(mixture, celsius), shares))
    return found


@settings(max_examples=25, deadline=None)
@given(found=outcomes(), random=st.randoms())
def test_lessons_agree_with_themselves_whatever_the_order(found, random) -> None:
    lab = laboratory()
    lessons = lab.learned(found)
    assert all(one.inert < one.reacts for one in lessons.values())
    by_temperature: dict[tuple, Outcome] = {}
    for one in found:  # the same experiment twice is told twice: its later outcome comes later
        by_temperature[one.heating.mixture.precursors, one.heating.celsius] = one
    apart = list(by_temperature.values())
    again = list(apart)
    random.shuffle(again)
    assert lab.learned(again) == lab.learned(apart)


def test_an_inert_pair_is_left_for_another_one() -> None:
    lab = laboratory()
    before = {(c.heating.mixture, c.heating.celsius): c for c in lab.ranked()}
    assert len(before) == len(SETS) * len(CELSIUS)
    tried = [outcome(900.0, BaCO3=0.7, TiO2=0.3)]
    after = {(c.heating.mixture, c.heating.celsius): c for c in lab.ranked(tried)}
    assert (CARBONATE, 900.0) not in after
    assert after[CARBONATE, 700.0].chance < before[CARBONATE, 700.0].chance / 2
    best = lab.ranked(tried)[0]
    assert best.heating.mixture != CARBONATE or best.heating.celsius > 900.0


def test_the_same_outcomes_give_the_same_choice() -> None:
    tried = [outcome(700.0, BaCO3=0.5, TiO2=0.3, BaTiO3=0.2)]
    fresh = Laboratory(solids(), "BaTiO3", SETS, CELSIUS, AIR)
    assert fresh.ranked(tried) == laboratory().ranked(tried)


@pytest.mark.parametrize("law", ["diffusion", "collective"])
def test_a_campaign_ends_with_everything_tried_or_the_target(law) -> None:
    lab, furnace = laboratory(), Furnace(solids(), ["BaTiO3", *POOL], AIR, law, 4)
    tried: list[Outcome] = []
    while ranked := lab.ranked(tried):
        heating = ranked[0].heating
        tried.append(Outcome(heating, furnace.heat(heating)))
        if lab.succeeded(tried[-1]):
            break
    assert lab.succeeded(tried[-1]) or len(tried) == len(SETS) * len(CELSIUS)


def test_a_phase_that_the_table_lacks_is_a_sentence() -> None:
    with pytest.raises(ValueError, match="the table has no phase Ba3Ti"):
        Laboratory(solids(), "Ba3Ti", SETS, CELSIUS, AIR)
