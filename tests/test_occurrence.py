"""Counts of prototypes in known crystals: what they weigh, how likeness is learned, and files."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.crystals import Crystals
from gnomon.elements import atomic_number, element
from gnomon.generate.prototypes.learning import (
    LikenessConfig,
    alike_by_descriptors,
    known_crystals,
    learn_likeness,
    learn_volumes,
    likelihood,
)
from gnomon.generate.prototypes.occurrence import BUNDLED, Occurrence
from gnomon.structure.labels import prototype_label
from gnomon.structure.protostructures import protostructure
from tests.strategies import rewritten, rngs

HALF = np.array([[0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]])
SALTS = [(a, b) for a in ("Li", "Na", "K", "Rb") for b in ("F", "Cl", "Br")]
ALLOYS = [("Ni", "Al"), ("Co", "Al"), ("Fe", "Al"), ("Ni", "Ti"), ("Co", "Ti"), ("Fe", "Ti")]


def rock_salt(one, two):
    numbers = [atomic_number(one), atomic_number(two)]
    return Crystals.single(5.6 * HALF, numbers, [[0, 0, 0], [0.5] * 3])


def caesium_chloride(one, two):
    numbers = [atomic_number(one), atomic_number(two)]
    return Crystals.single(3.0 * np.eye(3), numbers, [[0, 0, 0], [0.5] * 3])


def fluorite(one, two):
    numbers = [atomic_number(one), *[atomic_number(two)] * 2]
    return Crystals.single(5.5 * HALF, numbers, [[0, 0, 0], [0.25] * 3, [0.75] * 3])


def label(crystal):
    return prototype_label(protostructure(crystal))


@pytest.fixture(scope="module")
def learned():
    crystals = [rock_salt(*pair) for pair in SALTS] + [caesium_chloride(*pair) for pair in ALLOYS]
    known = known_crystals(Crystals.concatenate(crystals))
    likeness, volumes = learn_likeness(known), learn_volumes(known)
    return Occurrence(known, likeness, known.frequency, volumes, {"source": "made up"})


def test_what_is_common_among_like_elements_counts_more(learned):
    """Of two salts and an alloy that are not among the known, each likes its own structure."""
    for pair in (("Cs", "F"), ("K", "I")):
        assert learned.count(label(rock_salt(*pair))) > 3 * learned.count(
            label(caesium_chloride(*pair))
        )
    assert learned.count(label(caesium_chloride("Mn", "Al"))) > 3 * learned.count(
        label(rock_salt("Mn", "Al"))
    )


def test_a_prototype_that_nothing_known_has_counts_zero(learned):
    assert learned.count(label(fluorite("Ca", "F"))) == 0.0


@given(rngs, st.sampled_from(SALTS))
def test_a_count_does_not_depend_on_how_the_crystal_is_written(learned, rng, pair):
    crystal = rock_salt(*pair)
    count = learned.count(label(crystal))
    assert count > 0
    assert learned.count(label(rewritten(crystal, rng))) == pytest.approx(count)
    assert learned.count(label(rock_salt(*pair[::-1]))) == pytest.approx(count)


def test_orders_of_elements_that_one_prototype_allows():
    assert sorted(label(rock_salt("Na", "Cl")).orders.tolist()) == [[11, 17], [17, 11]]
    assert label(fluorite("Ca", "F")).orders.tolist() == [[20, 9]]
    assert label(fluorite("F", "Ca")).orders.tolist() == [[9, 20]]


def test_without_a_composition_its_crystals_do_not_count(learned):
    left = replace(learned, known=learned.known.without("NaCl"))
    assert len(left.known) == len(learned.known) - 1
    salt = label(rock_salt("Na", "Cl"))
    assert left.count(salt) < learned.count(salt)
    assert len(learned.known.without("ClNa")) == len(learned.known)


def test_likeness_is_a_probability(learned):
    for likeness in (learned.likeness, alike_by_descriptors(0.8), Occurrence.load().likeness):
        assert np.all(likeness >= 0)
        np.testing.assert_allclose(likeness.sum(axis=0), 1.0, atol=2e-3)  # half precision


def test_each_step_makes_the_known_more_likely(learned):
    """Expectation maximisation never loses, but for what smoothing and the unlike take."""
    found = []
    for steps in (0, 1, 2, 4):
        config = LikenessConfig(steps=steps, smoothing=1e-6)
        likeness = learn_likeness(learned.known, config)
        found.append(likelihood(learned.known, likeness, learned.known).per_crystal)
    assert np.all(np.diff(found) > -1e-2)
    assert found[-1] > found[0] + 1


def test_what_is_learned_is_more_likely_than_what_knows_no_elements(learned):
    hidden = known_crystals(Crystals.concatenate([rock_salt("Cs", "I"), fluorite("Ca", "F")]))
    measured = likelihood(learned.known, learned.likeness, hidden)
    assert (measured.crystals, measured.unseen) == (1, 1)
    assert measured.per_crystal > measured.of_any


def test_elements_most_alike_by_descriptors_share_a_group():
    alike = alike_by_descriptors(0.8)
    np.fill_diagonal(alike, 0)
    for symbol in ("K", "Ca", "Cl", "Se", "Zr", "Mo", "La"):
        z = atomic_number(symbol)
        assert element(int(alike[:, z].argmax())).group == element(z).group


def test_a_file_gives_the_same_counts(learned, tmp_path):
    learned.save(tmp_path / "mine.gnomon")
    again = Occurrence.load(tmp_path / "mine.gnomon")
    assert again.card == learned.card
    assert again.known.labels == learned.known.labels
    for crystal in (rock_salt("Cs", "F"), caesium_chloride("Mn", "Al")):
        found = again.count(label(crystal))
        assert found == pytest.approx(learned.count(label(crystal)), rel=5e-3)  # half precision


def test_files_of_other_kinds_are_refused(tmp_path):
    from gnomon.models.bundled import model_path

    with pytest.raises(ValueError, match="prototypes"):
        Occurrence.load(model_path("composition-1"))
    with pytest.raises(FileNotFoundError, match=BUNDLED):
        Occurrence.load(tmp_path / "none.gnomon")


def test_the_one_in_the_package_says_what_it_is_from():
    card = Occurrence.load().card
    assert "CC-BY 4.0" in card["source"]
    assert card["crystals"] == len(Occurrence.load().known)
    assert card["held out"]["per_crystal"] > card["held out"]["of_any"] + 4
