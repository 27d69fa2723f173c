"""Laws of graphs: the neighbours of the infinite crystal, whatever way its cell is written."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.crystals import Crystals
from gnomon.represent.graphs import (
    BatchSize,
    Graphs,
    batch_size,
    build_graphs,
    pack,
)
from tests.strategies import crystals, random_unimodular, rewritten, rngs

LENGTH_TOLERANCE = 1e-9
"""Å; float64 distances of a few Å from coordinates of a few cells."""

FLOAT32_TOLERANCE = 1e-6
"""Relative rounding of the float32 columns of a graph, a few units in the last place."""

cutoffs = st.floats(1.5, 5.0)

ROCKSALT = Crystals.single(
    [[0, 2.82, 2.82], [2.82, 0, 2.82], [2.82, 2.82, 0]], [11, 17], [[0, 0, 0], [0.5, 0.5, 0.5]]
)
SIMPLE_CUBIC = Crystals.single(2.0 * np.eye(3), [29], [[0.3, 0.1, 0.9]])


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
