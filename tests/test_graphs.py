"""Laws of graphs: the neighbours of the infinite crystal, whatever way its cell is written."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Structure

from gnomon.crystals import Crystals
from gnomon.graphs import (
    MERGE,
    BatchSize,
    Graphs,
    batch_size,
    build_graphs,
    neighbors,
    pack,
)
from tests.strategies import crystals, random_crystal, random_unimodular, rewritten, rngs

LENGTH_TOLERANCE = 1e-9
"""Å; float64 distances of a few Å from coordinates of a few cells."""

FLOAT32_TOLERANCE = 1e-6
"""Relative rounding of the float32 columns of a graph, a few units in the last place."""

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


def shells(graphs: Graphs, i: int) -> list[tuple[float, ...]]:
    """What an atom sees, without an order: (Z, Z of the neighbour, distance, atoms, pairs)."""
    nodes = slice(graphs.node_offsets[i], graphs.node_offsets[i + 1])
    edges = slice(graphs.edge_offsets[i], graphs.edge_offsets[i + 1])
    numbers, shares = graphs.atomic_numbers[nodes], graphs.shares[nodes]
    receivers, senders = graphs.receivers[edges], graphs.senders[edges]
    columns = (
        numbers[receivers],
        numbers[senders],
        np.round(graphs.distances[edges], 4),
        np.round(shares[receivers], 4),
        np.round(graphs.received[edges], 4),
        np.round(graphs.sent[edges], 4),
    )
    return sorted(zip(*(c.tolist() for c in columns), strict=True))


# --- neighbours -----------------------------------------------------------------------------------


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
        reach = lengths[min(k, len(lengths)) - 1] + MERGE
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


# --- merging --------------------------------------------------------------------------------------


def test_rocksalt_is_two_nodes_and_four_edges_in_every_cell():
    for crystal in (ROCKSALT, ROCKSALT.supercell(2), ROCKSALT.supercell([1, 2, 3])):
        graphs = build_graphs(crystal, 4.0)
        assert graphs.n_nodes.tolist() == [2]
        assert graphs.n_edges.tolist() == [4]
        np.testing.assert_allclose(graphs.shares, 0.5)
        assert sorted(graphs.received.tolist()) == [6, 6, 12, 12]
        assert graphs.coordination == 18


def test_merged_edges_count_what_one_atom_sends_and_receives():
    """Each O of fluorite-like ZrO2 has 4 Zr, each Zr has 8 O."""
    fcc = [[0, 2.55, 2.55], [2.55, 0, 2.55], [2.55, 2.55, 0]]
    graphs = build_graphs(Crystals.single(fcc, [40, 8, 8], [[0] * 3, [0.25] * 3, [0.75] * 3]), 2.3)
    by_receiver = {int(graphs.atomic_numbers[r]): i for i, r in enumerate(graphs.receivers)}
    zr, o = by_receiver[40], by_receiver[8]
    assert (graphs.received[zr], graphs.sent[zr]) == (8, 4)
    assert (graphs.received[o], graphs.sent[o]) == (4, 8)
    assert dict(zip(graphs.atomic_numbers, graphs.shares, strict=True)) == pytest.approx(
        {40: 1 / 3, 8: 2 / 3}
    )


@given(crystals, rngs, cutoffs, st.sampled_from([None, 6]))
def test_graphs_do_not_depend_on_how_the_crystal_is_written(crystal, rng, cutoff, k):
    one = build_graphs(crystal, cutoff, k)
    other = build_graphs(rewritten(crystal, rng), cutoff, k)
    a, b = np.array(shells(one, 0)), np.array(shells(other, 0))
    assert a.shape == b.shape
    np.testing.assert_allclose(a, b, atol=2e-4)  # rounded to 1e-4 above


@given(crystals, rngs, st.sampled_from([None, 8]))
def test_a_supercell_has_the_graph_of_its_cell(crystal, rng, k):
    matrix = random_unimodular(rng) @ np.diag([1, 2, 1])
    one, other = build_graphs(crystal, 4.0, k), build_graphs(crystal.supercell(matrix), 4.0, k)
    assert one.n_nodes.tolist() == other.n_nodes.tolist()
    np.testing.assert_allclose(np.array(shells(one, 0)), np.array(shells(other, 0)), atol=2e-4)


@given(crystals, cutoffs)
def test_merging_keeps_all_atoms_and_all_pairs(crystal, cutoff):
    cell = crystal.supercell([2, 1, 1])
    apart, merged = build_graphs(cell, cutoff, merge=0.0), build_graphs(cell, cutoff)
    assert apart.n_nodes.tolist() == cell.n_atoms.tolist()
    assert merged.n_nodes[0] * 2 <= apart.n_nodes[0]
    assert merged.shares.sum() == pytest.approx(1, rel=FLOAT32_TOLERANCE)
    assert merged.coordination == pytest.approx(apart.coordination, rel=FLOAT32_TOLERANCE)
    counts = merged.received * merged.shares[merged.receivers]
    np.testing.assert_allclose(
        counts, merged.sent * merged.shares[merged.senders], rtol=FLOAT32_TOLERANCE
    )
    far = counts @ merged.distances
    assert far == pytest.approx(apart.distances.sum() / cell.n_atoms[0], rel=1e-5, abs=1e-6)


def test_atoms_of_one_element_with_other_surroundings_stay_apart():
    """Cu3Au: gold and copper see each other; the face atoms of Cu4 in the same place are equal."""
    fcc = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
    assert build_graphs(Crystals.single(3.75 * np.eye(3), [79, 29, 29, 29], fcc)).n_nodes[0] == 2
    assert build_graphs(Crystals.single(3.75 * np.eye(3), [29] * 4, fcc)).n_nodes[0] == 1
    moved = [[0, 0, 0.02], *fcc[1:]]
    assert build_graphs(Crystals.single(3.75 * np.eye(3), [29] * 4, moved)).n_nodes[0] > 1


# --- padding --------------------------------------------------------------------------------------


@given(st.lists(crystals, min_size=1, max_size=7), rngs)
def test_packing_gives_every_graph_once_and_whole(batch, rng):
    graphs = build_graphs(Crystals.concatenate(batch), 3.5)
    order = rng.permutation(len(graphs))
    size = BatchSize(3, 12, 60)
    seen = []
    for index, padded in pack(graphs, order, size):
        seen.extend(index.tolist())
        assert padded.real.sum() == len(index) < len(padded.real)
        for row, i in enumerate(index):
            nodes = padded.crystal == row
            assert nodes.sum() == graphs.n_nodes[i]
            edges = nodes[padded.receivers] & (padded.received > 0)
            assert edges.sum() == graphs.n_edges[i]
            assert nodes[padded.senders[edges]].all()
            part = slice(graphs.edge_offsets[i], graphs.edge_offsets[i + 1])
            np.testing.assert_array_equal(padded.distances[edges], graphs.distances[part])
        padding = padded.crystal == len(padded.real) - 1
        assert padding.any()
        assert padded.shares[padding].sum() == 0
        assert np.all(padded.received[padding[padded.receivers]] == 0)
        assert len(padded.shares) % size.nodes == 0
    assert seen == order.tolist()


def test_batch_sizes_are_few():
    graphs = build_graphs(Crystals.concatenate([ROCKSALT] * 5), 4.0)
    grown = build_graphs(Crystals.concatenate([ROCKSALT] * 6), 4.0)
    assert batch_size(graphs, 64) == batch_size(grown, 64)
    assert batch_size(graphs, 64).crystals == 65


# --- real crystals --------------------------------------------------------------------------------


def test_real_crystals_shrink_and_keep_their_coordination(shared_data):
    path = shared_data / "materials_project" / "structures.parquet"
    table = pq.read_table(path, columns=["lattice", "atomic_numbers", "frac_coords"])[::100]
    batch = Crystals.concatenate(
        [
            Crystals.single(r["lattice"], r["atomic_numbers"], r["frac_coords"])
            for r in table.to_pylist()
        ]
    )
    apart, merged = build_graphs(batch, merge=0.0), build_graphs(batch)
    assert apart.n_nodes.sum() > 2 * merged.n_nodes.sum()
    assert apart.n_edges.sum() > 3 * merged.n_edges.sum()
    assert merged.coordination == pytest.approx(apart.coordination, rel=1e-5)
