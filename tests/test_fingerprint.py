"""Fingerprints and groups of duplicates: laws of writing, noise, and the exact matcher."""

import numpy as np
import pytest
from hypothesis import given, settings

from gnomon.crystals import Crystals
from gnomon.structure.duplicates import (
    FAST,
    Sameness,
    find_known,
    group_duplicates,
    relative_distances,
)
from gnomon.structure.fingerprint import fingerprints
from gnomon.structure.matching import Matcher
from tests.strategies import random_crystal, rewritten, rngs, seeds

ROUNDING = 1e-7
"""Relative distance that the rounding of coordinates may make."""


def distance(one, other):
    first, second = fingerprints(Crystals.concatenate([one, other]))
    return float(relative_distances(first[None], second[None])[0, 0])


def noisy(crystal, angstrom, rng):
    moves = rng.normal(0, angstrom, crystal.frac_coords.shape) @ np.linalg.inv(crystal.lattice[0])
    return crystal.with_frac_coords(crystal.frac_coords + moves)


def stacked(layers, element=29):
    """A close packing of spheres, a letter for each layer."""
    a, height = 2.55, 2.55 * np.sqrt(2 / 3)
    lattice = [[a, 0, 0], [-a / 2, a * np.sqrt(3) / 2, 0], [0, 0, height * len(layers)]]
    shifts = {"A": (0, 0), "B": (1 / 3, 2 / 3), "C": (2 / 3, 1 / 3)}
    frac = [(*shifts[letter], i / len(layers)) for i, letter in enumerate(layers)]
    return Crystals.single(lattice, [element] * len(layers), frac)


@given(rngs)
def test_the_way_of_writing_has_no_influence(rng):
    crystal = random_crystal(rng)
    assert distance(crystal, rewritten(crystal, rng)) < ROUNDING
    assert distance(crystal, crystal.supercell([1, 2, 1])) < ROUNDING
    mirrored = crystal.with_lattice(crystal.lattice * [1, 1, -1])
    assert distance(crystal, mirrored) < ROUNDING
    assert distance(crystal, crystal.scale_volume(1.1)) < ROUNDING


@given(rngs)
def test_small_noise_makes_small_changes(rng):
    crystal = random_crystal(rng)
    moved = noisy(crystal, 1e-3, rng)
    assert distance(crystal, moved) < 0.02
    assert distance(crystal, noisy(crystal, 1e-5, rng)) < 3e-4


@given(seeds)
def test_a_batch_has_the_fingerprints_of_its_crystals(seed):
    rng = np.random.default_rng(seed)
    several = [random_crystal(rng) for _ in range(4)]
    together = fingerprints(Crystals.concatenate(several))
    for found, one in zip(together, several, strict=True):
        np.testing.assert_allclose(found, fingerprints(one)[0], atol=1e-12)


@settings(max_examples=8)
@given(rngs)
def test_duplicates_are_found_in_any_cell_and_order(rng):
    crystals = [random_crystal(rng) for _ in range(3)]
    copies = [noisy(rewritten(one, rng), 1e-3, rng) for one in crystals]
    order = rng.permutation(6)
    batch = Crystals.concatenate([[*crystals, *copies][i] for i in order])
    groups = group_duplicates(batch).of
    of = dict(zip(order.tolist(), groups.tolist(), strict=True))
    assert all(of[i] == of[i + 3] for i in range(3))
    assert group_duplicates(batch, FAST).of.tolist() == groups.tolist()


def test_groups_are_numbered_in_the_order_of_their_first_crystals():
    batch = Crystals.concatenate([stacked("ABC"), stacked("AB"), stacked("ABCABC"), stacked("A")])
    assert group_duplicates(batch).of.tolist() == [0, 1, 0, 2]


def test_the_matcher_tells_polytypes_apart_that_fingerprints_hold_for_alike():
    """4H and 6H zinc sulfide differ in how far layers repeat only, beyond what is looked at."""

    def polytype(layers):
        one = stacked(layers, 30).with_lattice(stacked(layers).lattice * 1.5)
        lattice, _, frac = one.arrays(0)
        sulfur = frac + np.array([0, 0, 0.75 / len(layers)])
        numbers = [30] * len(frac) + [16] * len(frac)
        return Crystals.single(lattice, numbers, np.concatenate([frac, sulfur]))

    both = Crystals.concatenate([polytype("ABCABACB"), polytype("ABCACBCB")])
    assert distance(both[0], both[1]) < 0.05
    assert len(set(group_duplicates(both).of.tolist())) == 2
    near = Sameness(fingerprint=0.05, matcher=None)
    assert len(set(group_duplicates(both, near).of.tolist())) == 1


def test_a_chain_of_distortions_is_cut_and_told():
    """Each matches the next; the ends do not match each other, and never stand in one group."""
    base = Crystals.single(np.eye(3) * 4.0, [55, 17], [[0, 0, 0], [0.5, 0.5, 0.5]])
    chain = Crystals.concatenate(
        [base.with_lattice(base.lattice * [1, 1, 1.05 + 0.08 * i]) for i in range(6)]
    )
    groups = group_duplicates(chain)
    assert 1 < len(set(groups.of.tolist())) < 6
    assert groups.chained
    fit = Matcher().on(chain)
    together = groups.of[:, None] == groups.of
    assert all(fit(i, j) for j in range(6) for i in range(j) if together[i, j])
    assert all(fit(i, j) and not together[i, j] for i, j in groups.chained)


def test_known_crystals_are_found_by_index():
    reference = Crystals.concatenate([stacked("AB"), stacked("A", 47), stacked("ABC")])
    found = find_known(
        Crystals.concatenate([stacked("ABCABC"), stacked("AB", 79), stacked("AB")]), reference
    )
    assert found.tolist() == [2, -1, 0]


def test_nothing_in_nothing_out():
    assert len(fingerprints(Crystals.empty())) == 0
    assert group_duplicates(Crystals.empty()).of.tolist() == []
    assert find_known(stacked("AB"), Crystals.empty()).tolist() == [-1]


def test_a_tolerance_must_be_a_number():
    for senseless in ({"fingerprint": -1.0}, {"symprec": float("nan")}, {"scale": 0.9}):
        with pytest.raises(ValueError, match=r"must be at least"):
            Sameness(**senseless)


def test_parents_are_left_alone():
    crystal = stacked("ABC")
    before = [crystal.lattice.copy(), crystal.frac_coords.copy()]
    group_duplicates(Crystals.concatenate([crystal, crystal]))
    np.testing.assert_array_equal(before[0], crystal.lattice)
    np.testing.assert_array_equal(before[1], crystal.frac_coords)
