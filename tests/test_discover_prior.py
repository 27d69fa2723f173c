"""Ranking by networks of other data: each on its own hull, whatever the scheme of the campaign."""

from dataclasses import replace

import numpy as np
import pytest

from gnomon.crystals import Crystals
from gnomon.discover.prior import WEIGHTS, above_own_hull, bundled_models, evidence, log_odds
from gnomon.discover.screen import Verdicts, select
from gnomon.generate.prototypes.generator import PrototypeGenerator
from gnomon.generate.prototypes.occurrence import Occurrence
from gnomon.hull.phases import ON_HULL
from gnomon.models import Predictions
from gnomon.structure.labels import prototype_labels

CUBE = [
    Crystals.single(3 * np.eye(3), [29], [[0, 0, 0]]),
    Crystals.single(3 * np.eye(3), [79], [[0, 0, 0]]),
    Crystals.single(3 * np.eye(3), [29, 79], [[0, 0, 0], [0.5, 0.5, 0.5]]),
]
"""Cu, Au, CuAu."""


class Constant:
    """A model that knows the answers."""

    scheme = "made up"

    def __init__(self, energies: list[float]) -> None:
        self.energies = np.array(energies)

    def predict(self, crystals: Crystals) -> Predictions:
        reasons = np.where(np.isfinite(self.energies), "", "unknown").astype(object)
        return Predictions(self.energies[None], reasons)


def test_each_model_has_a_hull_of_its_own():
    """A shift of all energies of one model's compounds moves its hull along."""
    crystals = Crystals.concatenate([CUBE[2], CUBE[2]])
    for energies in ([-0.10, -0.06], [-1.10, -1.06]):
        found = above_own_hull(Constant(energies), crystals)
        np.testing.assert_allclose(found, [0.0, 0.04], atol=1e-9)


def test_elements_lie_at_zero():
    found = above_own_hull(Constant([0.3, 0.2, 0.1]), Crystals.concatenate(CUBE))
    np.testing.assert_allclose(found, [0.3, 0.2, 0.1], atol=1e-9)


def test_what_a_model_cannot_predict_counts_as_far_above_its_hull():
    crystals = Crystals.concatenate([CUBE[2], CUBE[2]])
    unknown = Constant([-0.1, np.nan])
    assert np.isnan(above_own_hull(unknown, crystals)).tolist() == [False, True]
    assert evidence(crystals, np.zeros(2), [unknown])[:, -1].tolist() == [0.0, 1.0]


def test_odds_grow_with_the_count_and_fall_with_energies():
    crystals = Crystals.concatenate([CUBE[2], CUBE[2], CUBE[2]])
    models = [Constant([-0.1, -0.1, 0.0]), Constant([-0.1, -0.1, 0.0])]
    often, seldom, high = evidence(crystals, np.array([9.0, 1.0, 1.0]), models) @ WEIGHTS
    assert often > seldom > high


def candidates(system, known):
    """Compounds that the prototypes give."""
    chunks = PrototypeGenerator(tuple(system.split("-")), 16, known=known).generate(
        Crystals.empty()
    )
    crystals = Crystals.concatenate([chunk.crystals for chunk in chunks])
    return crystals[(crystals.composition > 0).sum(axis=1) > 1]


def chosen(crystals, odds, seed, count):
    """Formulas and prototypes of the first so many."""
    every = np.ones(len(crystals), dtype=bool)
    selection = select(
        crystals.ids,
        -odds,
        Verdicts(every, every, np.full(len(crystals), "", dtype=object)),
        count=count,
        random_share=0.2,
        one_each=False,
        rng=np.random.default_rng([seed, 1]),
    )
    taken = crystals[np.array([how is not None for how in selection])]
    assert len(taken) == count
    return set(zip(taken.reduced_formulas, prototype_labels(taken), strict=True))


@pytest.mark.parametrize(
    ("system", "wanted"),
    [
        ("Na-Cl", [{("NaCl", "AB_cF8_225_a_b")}]),
        ("Ti-O", [{("TiO2", "AB2_tP6_136_a_f"), ("TiO2", "AB2_tI12_141_a_e")}]),
        ("Au-Cu", [{("CuAu", "AB_tP2_123_a_d")}, {("Cu3Au", "AB3_cP4_221_a_c")}]),
    ],
)
def test_textbook_structures_are_among_the_first_twenty(system, wanted):
    """And among the first thirty, if their own compositions are left out of the known crystals."""
    told = Occurrence.load()
    known = told.known
    for formula in {formula for any_of in wanted for formula, _ in any_of}:
        known = known.without(formula)
    for occurrence, count in ((told, 20), (replace(told, known=known), 30)):
        crystals = candidates(system, occurrence)
        odds = log_odds(crystals, occurrence, bundled_models())
        for seed in (0, 1, 2):
            found = chosen(crystals, odds, seed, count)
            assert all(found & any_of for any_of in wanted)


def rock_salt(cation: int, anion: int, a: float) -> Crystals:
    lattice = a / 2 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])
    return Crystals.single(lattice, [cation, anion], [[0, 0, 0], [0.5, 0.5, 0.5]])


def caesium_chloride(cation: int, anion: int, a: float) -> Crystals:
    return Crystals.single(a * np.eye(3), [cation, anion], [[0, 0, 0], [0.5, 0.5, 0.5]])


@pytest.mark.parametrize(
    ("cation", "anion", "a_rock_salt", "a_caesium_chloride"),
    [(11, 17, 5.64, 3.46), (12, 8, 4.21, 2.65), (3, 9, 4.03, 2.50)],
    ids=["NaCl", "MgO", "LiF"],
)
def test_the_networks_in_the_package_prefer_rock_salt_to_rare_others(
    cation, anion, a_rock_salt, a_caesium_chloride
):
    """Known salts, in their structure, in another one, and with atoms that do not balance."""
    candidates = [
        rock_salt(cation, anion, a_rock_salt),
        caesium_chloride(cation, anion, a_caesium_chloride),
        Crystals.single(  # fluorite, with the wrong count of atoms
            1.1 * a_rock_salt / 2 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]),
            [anion, cation, cation],
            [[0, 0, 0], [0.25, 0.25, 0.25], [0.75, 0.75, 0.75]],
        ),
    ]
    crystals = Crystals.concatenate(candidates)
    above = np.mean([above_own_hull(model, crystals) for model in bundled_models()], axis=0)
    assert above[0] == min(above)
    assert above[2] > above[0] + 100 * ON_HULL
