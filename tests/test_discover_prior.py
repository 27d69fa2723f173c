"""Ranking by networks of other data: each on its own hull, whatever the scheme of the campaign."""

import numpy as np
import pytest

from gnomon.crystals import Crystals
from gnomon.discover.prior import bundled_models, expected_e_above_hull
from gnomon.hull.phases import ON_HULL
from gnomon.models import Predictions

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
    one, other = Constant([-0.10, -0.06]), Constant([-1.10, -1.14])
    found = expected_e_above_hull([one, other], crystals)
    np.testing.assert_allclose(found, [(0 + 0.04) / 2, (0.04 + 0) / 2], atol=1e-9)


def test_elements_lie_at_zero():
    found = expected_e_above_hull([Constant([0.3, 0.2, 0.1])], Crystals.concatenate(CUBE))
    np.testing.assert_allclose(found, [0.3, 0.2, 0.1], atol=1e-9)


def test_what_one_model_cannot_predict_has_no_rank():
    found = expected_e_above_hull(
        [Constant([-0.1, np.nan]), Constant([np.nan, -0.1])],
        Crystals.concatenate([CUBE[2], CUBE[2]]),
    )
    assert np.isnan(found).all()
    assert np.isnan(expected_e_above_hull([Constant([np.nan])], CUBE[2])).all()


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
    above = expected_e_above_hull(bundled_models(), Crystals.concatenate(candidates))
    assert above[0] == min(above)
    assert above[2] > above[0] + 100 * ON_HULL
