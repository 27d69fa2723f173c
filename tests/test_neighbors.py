"""Laws of neighbour lists: those of the infinite crystal, whatever way its cell is written."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Structure

from gnomon.crystals import Crystals
from gnomon.represent.graphs import build_graphs
from gnomon.structure import neighbors as module
from gnomon.structure.neighbors import TIE, neighbors
from tests.strategies import crystals, random_crystal, rewritten, rngs

LENGTH_TOLERANCE = 1e-9
"""Å; float64 distances of a few Å from coordinates of a few cells."""

cutoffs = st.floats(1.5, 5.0)

ROCKSALT = Crystals.single(
    [[0, 2.82, 2.82], [2.82, 0, 2.82], [2.82, 2.82, 0]], [11, 17], [[0, 0, 0], [0.5, 0.5, 0.5]]
)
SIMPLE_CUBIC = Crystals.single(2.0 * np.eye(3), [29], [[0.3, 0.1, 0.9]])


def brute_force(crystal: Crystals, cutoff: float) -> set[tuple[int, ...]]:
    """(receiver, sender, shift) of all pairs, by trying every image in a box that is big enough."""
    lattice, _, frac = crystal.arrays(0)
    heights = 1 / np.linalg.norm(np.linalg.inv(lattice), axis=0)
    spread = np.ceil(np.abs(frac[:, None] - frac).max(axis=(0, 1)))
    reach = (np.ceil(cutoff / heights) + spread).astype(int)
    shifts = np.stack(np.meshgrid(*[np.arange(-r, r + 1) for r in reach]), -1).reshape(-1, 3)
    found = set()
    for i, here in enumerate(frac):
        for j, there in enumerate(frac):
            distances = np.linalg.norm((there + shifts - here) @ lattice, axis=1)
            for shift in shifts[distances <= cutoff]:
                if i != j or shift.any():
                    found.add((i, j, *shift.tolist()))
    return found


@given(rngs, cutoffs)
def test_neighbors_are_those_of_a_search_through_all_images(rng, cutoff):
    crystal = rewritten(random_crystal(rng, max_atoms=3), rng)
    found = neighbors(crystal, cutoff)
    pairs = zip(found.receivers, found.senders, *found.shifts.T, strict=True)
    listed = [tuple(map(int, pair)) for pair in pairs]
    assert len(set(listed)) == len(listed)
    assert set(listed) == brute_force(crystal, cutoff)


@given(rngs, cutoffs)
def test_neighbors_are_those_of_pymatgen(rng, cutoff):
    crystal = rewritten(random_crystal(rng), rng)
    lattice, numbers, frac = crystal.arrays(0)
    receivers, senders, shifts, distances = Structure(lattice, numbers, frac).get_neighbor_list(
        cutoff
    )
    found = neighbors(crystal, cutoff)
    theirs = np.lexsort((*shifts.T, senders, receivers))
    ours = np.lexsort((*found.shifts.T, found.senders, found.receivers))
    np.testing.assert_array_equal(found.receivers[ours], receivers[theirs])
    np.testing.assert_array_equal(found.senders[ours], senders[theirs])
    np.testing.assert_array_equal(found.shifts[ours], shifts[theirs])
    np.testing.assert_allclose(found.distances[ours], distances[theirs], atol=1e-7)


@given(rngs, cutoffs)
def test_shifts_lead_to_the_neighbor(rng, cutoff):
    crystal = rewritten(random_crystal(rng), rng)
    found = neighbors(crystal, cutoff)
    frac, lattice = crystal.frac_coords, crystal.lattice[0]
    vectors = (frac[found.senders] + found.shifts - frac[found.receivers]) @ lattice
    lengths = np.linalg.norm(vectors, axis=1)
    np.testing.assert_allclose(lengths, found.distances, atol=LENGTH_TOLERANCE)


@given(crystals, rngs, cutoffs)
def test_distances_do_not_depend_on_how_the_crystal_is_written(crystal, rng, cutoff):
    one, other = neighbors(crystal, cutoff), neighbors(rewritten(crystal, rng), cutoff)
    np.testing.assert_allclose(
        np.sort(one.distances), np.sort(other.distances), atol=LENGTH_TOLERANCE
    )


@given(crystals, cutoffs)
def test_every_pair_is_listed_from_both_sides(crystal, cutoff):
    found = neighbors(crystal, cutoff)
    there = {(*map(int, p),) for p in np.c_[found.receivers, found.senders, found.shifts]}
    back = {(*map(int, p),) for p in np.c_[found.senders, found.receivers, -found.shifts]}
    assert there == back


@given(st.lists(crystals, min_size=1, max_size=5), cutoffs)
def test_a_crystal_has_the_same_neighbors_in_any_company(batch, cutoff):
    together = neighbors(Crystals.concatenate(batch), cutoff)
    start, at = 0, 0
    for crystal in batch:
        alone = neighbors(crystal, cutoff)
        stop = start + len(alone.receivers)
        np.testing.assert_array_equal(together.receivers[start:stop] - at, alone.receivers)
        np.testing.assert_array_equal(together.senders[start:stop] - at, alone.senders)
        np.testing.assert_array_equal(together.distances[start:stop], alone.distances)
        start, at = stop, at + int(crystal.n_atoms[0])
    assert start == len(together.receivers)


@given(rngs, st.floats(1.0, 7.0))
@settings(max_examples=20)
def test_large_crystals_have_the_neighbors_of_small_ones(rng, cutoff):
    """Atoms by the hundred are searched in another way; not all of them are in the cell."""
    large = rewritten(random_crystal(rng), rng).supercell([2, 1, 3])
    moves = rng.integers(-1, 2, (len(large.frac_coords), 3))
    large = large.with_frac_coords(large.frac_coords + moves)
    slow = neighbors(large, cutoff)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "LARGE", 1)
        found = neighbors(large, cutoff)
    assert listed(found) == listed(slow)


def listed(found):
    rows = np.column_stack([found.receivers, found.senders, found.shifts])
    assert (np.diff(found.receivers) >= 0).all()
    return sorted(map(tuple, rows.tolist()))


def test_one_atom_sees_its_own_images_beyond_the_first_shell():
    found = neighbors(SIMPLE_CUBIC, cutoff=4.1)
    lengths, counts = np.unique(np.round(found.distances, 6), return_counts=True)
    np.testing.assert_allclose(lengths, 2 * np.sqrt([1, 2, 3, 4]), atol=1e-6)
    assert counts.tolist() == [6, 12, 8, 6]


def test_a_very_skewed_left_handed_cell_has_the_neighbors_of_the_cube():
    skew = np.array([[1, 0, 0], [37, -1, 0], [-90, 25, 1]])
    lattice = skew @ SIMPLE_CUBIC.lattice[0]
    assert np.linalg.det(lattice) < 0
    one = neighbors(SIMPLE_CUBIC, 4.1)
    other = neighbors(Crystals.single(lattice, [29], [[0.3, 0.1, 0.9]]), 4.1)
    np.testing.assert_allclose(np.sort(one.distances), np.sort(other.distances), atol=1e-9)


def test_the_cutoff_is_inclusive():
    assert len(neighbors(SIMPLE_CUBIC, 2.0).receivers) == 6
    assert len(neighbors(SIMPLE_CUBIC, 1.999).receivers) == 0


def test_two_atoms_at_one_place_are_neighbors():
    found = neighbors(Crystals.single(4 * np.eye(3), [1, 2], [[0.5] * 3, [1.5] * 3]), 1.0)
    assert found.receivers.tolist() == [0, 1]
    np.testing.assert_allclose(found.distances, 0, atol=LENGTH_TOLERANCE)


@given(crystals, st.integers(1, 12))
def test_max_neighbors_keeps_the_nearest_and_their_equals(crystal, k):
    everything, kept = neighbors(crystal, 5.0), neighbors(crystal, 5.0, max_neighbors=k)
    for atom in range(int(crystal.n_atoms[0])):
        lengths = np.sort(everything.distances[everything.receivers == atom])
        reach = lengths[min(k, len(lengths)) - 1] + TIE
        np.testing.assert_array_equal(
            np.sort(kept.distances[kept.receivers == atom]), lengths[lengths <= reach]
        )


def test_max_neighbors_keeps_a_shell_whole():
    assert len(neighbors(SIMPLE_CUBIC, 5.0, max_neighbors=1).receivers) == 6
    assert len(neighbors(SIMPLE_CUBIC, 5.0, max_neighbors=7).receivers) == 18


@pytest.mark.parametrize("cutoff", [0.0, -1.0, np.nan, np.inf])
def test_a_cutoff_that_makes_no_sense_is_refused(cutoff):
    with pytest.raises(ValueError, match="cutoff must be a positive number"):
        neighbors(ROCKSALT, cutoff)


def test_no_neighbors_to_keep_is_refused():
    with pytest.raises(ValueError, match="max_neighbors must be at least 1"):
        build_graphs(ROCKSALT, 4.0, max_neighbors=0)


def test_no_crystals_have_no_neighbors():
    assert len(neighbors(Crystals.empty(), 4.0).distances) == 0
    assert len(build_graphs(Crystals.empty(), 4.0)) == 0
