"""A committee of potentials: how far apart its members are, and what it leaves to label."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnomon.crystals import Crystals
from gnomon.dataset.committee import AGREED, DisputedLabeller, disagreement
from gnomon.dataset.label import label_part
from gnomon.dataset.labellers import (
    Reasons,
)
from gnomon.dataset.perturb import (
    PerturbConfig,
    rattle,
)
from gnomon.io.labels import Labels
from tests.emt_metals import EMT_LABELLER, SMALL, metals
from tests.strategies import random_crystal, random_rotation
from tests.test_potential_perturb import seeds
from tests.tiny_potentials import MORSE, tiny_potential

COMMITTEE = (MORSE, tiny_potential(), tiny_potential(1))


@settings(max_examples=6)
@given(seed=seeds, turned=st.booleans())
def test_disagreement_depends_on_neither_order_nor_cell_nor_orientation(seed, turned):
    rng = np.random.default_rng(seed)
    crystal = random_crystal(rng)
    other = crystal.supercell([1, 2, 1])
    if turned:
        other = other.with_lattice(other.lattice @ random_rotation(rng))
    once = disagreement(crystal, COMMITTEE)
    np.testing.assert_allclose(disagreement(other, COMMITTEE[::-1]), once, rtol=1e-3, atol=1e-4)


def test_disagreement_is_the_spread_of_forces_and_of_the_pull_on_faces():
    crystals = rattle(metals(), np.full(6, 0.1), 0)
    a, b = (member.predict(crystals) for member in COMMITTEE[:2])
    found = disagreement(crystals, COMMITTEE[:2])
    for i, atoms in enumerate(crystals.n_atoms):
        own = slice(*crystals.offsets[i : i + 2])
        pull = np.linalg.norm(a.forces[own] - b.forces[own], axis=1).max() / 2
        push = np.linalg.norm(a.stress[i] - b.stress[i]) / 2
        push *= (crystals.volumes[i] / atoms) ** (2 / 3)
        assert found[i] == pytest.approx(max(pull, push), rel=1e-5)
    np.testing.assert_allclose(disagreement(crystals, [MORSE, MORSE]), 0, atol=1e-6)


def test_what_a_member_does_not_know_is_disputed():
    copper = metals()[0].with_atomic_numbers(np.full(4, 29))
    crystals = Crystals.concatenate([metals()[0], copper])
    found = disagreement(crystals, [MORSE, tiny_potential(elements=(29,))])
    assert np.isinf(found).tolist() == [True, False]


def test_only_disputed_frames_are_labelled():
    asked: list[str] = []

    class Counting:
        scheme = "EMT"

        def label(self, crystals: Crystals) -> tuple[Labels, Reasons]:
            asked.extend(crystals.ids)
            return EMT_LABELLER.label(crystals)

    crystals = rattle(metals(), np.full(6, 0.1), 0)
    apart = disagreement(crystals, COMMITTEE[:2])
    bound = float(np.median(apart))
    disputed = crystals.ids[apart >= bound].tolist()
    assert len(disputed) == 3
    config = SMALL.model_copy(update={"perturb": PerturbConfig(copies=0, volumes=())})
    labeller = DisputedLabeller(Counting(), COMMITTEE[:2], bound)
    frames, lineage = label_part(crystals, labeller, config)
    assert asked == disputed == frames.crystals.ids.tolist()
    agreed = [row["id"] for row in lineage.to_pylist() if row["reason"] == AGREED]
    assert agreed == crystals.ids[apart < bound].tolist()
    np.testing.assert_array_equal(frames.energy, EMT_LABELLER.label(frames.crystals)[0].energy)
    nothing, _ = label_part(crystals, replace(labeller, dispute=1e6), config)
    assert len(nothing) == 0
    assert asked == disputed
