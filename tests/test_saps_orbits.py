"""Subsets of sites under random groups: counted by Burnside, enumerated by brute force."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.crystals import Crystals
from gnomon.generate.saps.burnside import cycle_labels, cycle_lengths, draw_orbits, fixed_subsets
from gnomon.generate.saps.orbits import SubsetOrbits
from gnomon.generate.saps.superlattices import (
    hermite,
    hermite_forms,
    inequivalent_forms,
    supercells,
)
from gnomon.structure.symmetry import operations
from tests.strategies import random_unimodular, rngs

FCC = np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
MAX_ORDER = 400


def generated(rng, max_sites=8):
    """A random permutation group of small order, all elements."""
    while True:
        n = int(rng.integers(1, max_sites + 1))
        generators = [tuple(rng.permutation(n).tolist()) for _ in range(int(rng.integers(0, 3)))]
        group, fresh = {tuple(range(n))}, [tuple(range(n))]
        while fresh and len(group) <= MAX_ORDER:
            products = {tuple(h[i] for i in g) for g in fresh for h in generators}
            fresh = list(products - group)
            group |= products
        if len(group) <= MAX_ORDER:
            return np.array(sorted(group))


def first_of_orbit(group, subset):
    return min(tuple(sorted(row)) for row in group[:, list(subset)].tolist())


groups = rngs.map(generated)


@given(groups)
def test_every_orbit_comes_once_and_burnside_agrees(group):
    orbits = SubsetOrbits(group)
    sites = group.shape[1]
    for size in range(sites + 1):
        every = {first_of_orbit(group, s) for s in itertools.combinations(range(sites), size)}
        found = [first_of_orbit(group, np.flatnonzero(s)) for s in orbits.representatives(size)]
        assert len(found) == len(set(found)) == len(every) == orbits.counts[size]
        assert set(found) == every


@given(groups, rngs, st.integers(1, 5))
def test_a_capped_choice_has_no_two_of_an_orbit(group, rng, most):
    orbits = SubsetOrbits(group)
    for size in range(group.shape[1] + 1):
        chosen = orbits.choose(size, most, rng)
        assert chosen.sum(axis=1).tolist() == [size] * len(chosen)
        assert len(chosen) == min(most, orbits.counts[size])
        firsts = {first_of_orbit(group, np.flatnonzero(s)) for s in chosen}
        assert len(firsts) == len(chosen)


@given(groups)
def test_numbering_sites_in_another_way_changes_no_count(group):
    order = np.random.default_rng(0).permutation(group.shape[1])
    renumbered = np.empty_like(group)
    renumbered[:, order] = order[group]
    assert SubsetOrbits(renumbered).counts == SubsetOrbits(group).counts


@given(rngs)
def test_fixed_subsets_are_unions_of_cycles(rng):
    permutation = rng.permutation(int(rng.integers(1, 9)))
    n = len(permutation)
    fixed = [0] * (n + 1)
    for size in range(n + 1):
        for subset in itertools.combinations(range(n), size):
            fixed[size] += {int(permutation[i]) for i in subset} == set(subset)
    assert list(fixed_subsets(cycle_lengths(permutation))) == fixed
    labels = cycle_labels(permutation)
    np.testing.assert_array_equal(labels, labels[permutation])


def test_orbits_are_drawn_uniformly():
    """Pairs of eight sites on a ring: four orbits, of 8, 8, 8 and 4 pairs; each in a quarter."""
    ring = np.array([(np.arange(8) * sign + shift) % 8 for sign in (1, -1) for shift in range(8)])
    drawn = draw_orbits(ring, 2, 4000, np.random.default_rng(0))
    distance = [int(np.diff(np.flatnonzero(s))[0]) for s in drawn]
    counts = np.bincount([min(d, 8 - d) for d in distance], minlength=5)[1:]
    # five standard deviations of a binomial of 4,000 draws with odds of 1/4
    assert np.abs(counts - 1000).max() < 5 * np.sqrt(4000 * 0.25 * 0.75)


def test_more_orbits_than_can_be_listed_are_drawn_with_whole_orbits_first():
    """60 sites under a rotation of three cycles of 20: C(60, 20) / 20 orbits are some 2e14."""
    turn = np.concatenate([20 * k + np.roll(np.arange(20), -1) for k in range(3)])
    group = [np.arange(60)]
    for _ in range(19):
        group.append(turn[group[-1]])
    orbits = SubsetOrbits(np.array(group))
    chosen = orbits.choose(20, 50, np.random.default_rng(1))
    assert orbits.counts[20] > 10**14
    assert chosen.shape == (50, 60)
    whole = [set(np.flatnonzero(s) // 20) for s in chosen[:3]]
    assert sorted(map(tuple, whole)) == [(0,), (1,), (2,)]
    again = orbits.choose(20, 50, np.random.default_rng(1))
    np.testing.assert_array_equal(chosen, again)
    assert not np.array_equal(chosen, orbits.choose(20, 50, np.random.default_rng(2)))


def test_sixty_four_sites_fit():
    group = np.array([np.arange(64), np.arange(64)[::-1]])
    orbits = SubsetOrbits(group)
    assert len(orbits.representatives(1)) == len(orbits.representatives(63)) == 32
    assert len(orbits.representatives(2)) == orbits.counts[2] == (64 * 63 // 2 + 32) // 2


@pytest.mark.parametrize("group", [np.zeros((1, 65), int) + np.arange(65), np.zeros((0, 3), int)])
def test_a_group_that_does_not_fit_is_refused(group):
    with pytest.raises(ValueError, match="1 to 64 sites"):
        SubsetOrbits(group)


def test_what_is_no_permutation_is_refused():
    with pytest.raises(ValueError, match="no permutation"):
        SubsetOrbits(np.array([[0, 0]]))
    with pytest.raises(ValueError, match="no subset of 3"):
        SubsetOrbits(np.array([[0, 1]])).representatives(3)
    with pytest.raises(ValueError, match="no subset of 3"):
        draw_orbits(np.array([[0, 1]]), 3, 1, np.random.default_rng(0))


# --- superlattices --------------------------------------------------------------------------------


@given(rngs, st.integers(1, 8))
def test_the_hermite_form_is_the_same_in_every_basis(rng, index):
    forms = hermite_forms(index)
    form = forms[int(rng.integers(len(forms)))]
    np.testing.assert_array_equal(hermite(random_unimodular(rng) @ form), form)


def test_superlattices_are_as_many_as_published():
    """Sum over divisors (Hart and Forcade 2008, eq. 1); inequivalent fcc ones: their Table III."""
    assert [len(hermite_forms(n)) for n in range(1, 9)] == [1, 7, 13, 35, 31, 91, 57, 155]
    fcc = Crystals.single(FCC * 4, [29], [[0, 0, 0]])
    [(rotations, _)] = operations(fcc)
    found = [len(inequivalent_forms(rotations, n)) for n in range(1, 9)]
    assert found == [1, 2, 3, 7, 5, 10, 7, 20]


def test_derivative_structures_of_fcc_are_as_many_as_published():
    """Binary fcc structures of 2, 3 and 4 atoms a cell: 2, 3 and 12 up to exchanging the elements.

    Hart and Forcade, Phys. Rev. B 77, 224115 (2008), Table IV.
    """
    fcc = Crystals.single(FCC * 4, [29], [[0, 0, 0]])
    found = {2: 0, 3: 0, 4: 0}
    for cell in supercells(fcc, 4):
        orbits = SubsetOrbits(cell.permutations)
        for size in range(1, cell.index // 2 + 1):
            subsets = orbits.representatives(size)
            moved = subsets[:, cell.translations] == subsets[:, None, :]
            primitive = subsets[~moved.all(axis=2).any(axis=1)]
            if 2 * size < cell.index:
                found[cell.index] += len(primitive)
            else:
                found[cell.index] += len(
                    {
                        frozenset(
                            (first_of_orbit(cell.permutations, np.flatnonzero(half)))
                            for half in (s, ~s)
                        )
                        for s in primitive
                    }
                )
    assert found == {2: 2, 3: 3, 4: 12}


def test_permutations_of_a_supercell_form_a_group():
    sites = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    perovskite = Crystals.single(np.eye(3) * 3.9, [56, 22, 8, 8, 8], sites)
    for cell in supercells(perovskite, 3):
        rows = {tuple(row) for row in cell.permutations.tolist()}
        products = {tuple(g[h].tolist()) for g in cell.permutations for h in cell.permutations[:6]}
        assert products <= rows
        assert {tuple(row) for row in cell.translations.tolist()} <= rows
        numbers = cell.crystal.atomic_numbers
        assert all(np.array_equal(numbers[g], numbers) for g in cell.permutations)
        assert len(numbers) == 5 * cell.index


def test_a_lattice_of_no_volume_and_no_index_are_refused():
    with pytest.raises(ValueError, match="span no lattice"):
        hermite(np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0]]))
    with pytest.raises(ValueError, match="at least 1"):
        hermite_forms(0)
