"""Graphs of crystals: atoms that a network cannot tell apart merged, padding to few shapes.

Atoms with equal surroundings become one node and their equal pairs one edge with a count, so
rocksalt is two nodes in every cell and supercell; a network with weighted sums gives the very same
energy per atom, several times faster.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int, Int32, Int64, UInt8, UInt64

from gnomon.crystals import Crystals
from gnomon.ragged import ragged_take
from gnomon.structure.hashes import scramble
from gnomon.structure.neighbors import TIE, Neighbors, chunks, neighbors

CUTOFF = 4.0
"""Å; the structural network of GNoME joins atoms up to this distance (Merchant et al. 2023)."""

MERGE = TIE
"""Å; pairs whose distances fall into the same bin of this width count as equal.

Merged distances are averaged, so each is off by less than this."""

_PHASE = 0.381966  # of a bin: keeps the edges of bins away from round numbers of Å


@dataclass(frozen=True)
class Graphs:
    """Graphs of n crystals in columns; nodes are classes of atoms, edges classes of pairs.

    Attributes:
        atomic_numbers: Z of each node.
        shares: fraction of the crystal's atoms that a node stands for; they add up to 1.
        node_offsets: the nodes of crystal i are ``node_offsets[i]:node_offsets[i + 1]``.
        senders, receivers: nodes at the ends of each edge, counted from the crystal's first node.
        distances: Å.
        received, sent: how many such pairs one atom of the receiving (of the sending) node has.
        edge_offsets: the edges of crystal i are ``edge_offsets[i]:edge_offsets[i + 1]``.
    """

    atomic_numbers: UInt8[np.ndarray, " nodes"]
    shares: Float32[np.ndarray, " nodes"]
    node_offsets: Int64[np.ndarray, " n_plus_1"]
    senders: Int32[np.ndarray, " edges"]
    receivers: Int32[np.ndarray, " edges"]
    distances: Float32[np.ndarray, " edges"]
    received: Float32[np.ndarray, " edges"]
    sent: Float32[np.ndarray, " edges"]
    edge_offsets: Int64[np.ndarray, " n_plus_1"]

    def __len__(self) -> int:
        """Number of crystals."""
        return len(self.node_offsets) - 1

    @property
    def n_nodes(self) -> Int64[np.ndarray, " n"]:
        """Nodes of each crystal."""
        return np.diff(self.node_offsets)

    @property
    def n_edges(self) -> Int64[np.ndarray, " n"]:
        """Edges of each crystal."""
        return np.diff(self.edge_offsets)

    @property
    def coordination(self) -> float:
        """Mean number of neighbours of an atom, every crystal counting the same."""
        receivers = self.receivers + np.repeat(self.node_offsets[:-1], self.n_edges)
        pairs = np.sum(self.received * self.shares[receivers], dtype=np.float64)
        return float(pairs) / max(len(self), 1)

    def take(self, index: Int[np.ndarray, " k"]) -> Graphs:
        """The graphs of the crystals at these indices, in order."""
        nodes, node_offsets = ragged_take(self.node_offsets, index)
        edges, edge_offsets = ragged_take(self.edge_offsets, index)
        return Graphs(
            atomic_numbers=self.atomic_numbers[nodes],
            shares=self.shares[nodes],
            node_offsets=node_offsets,
            senders=self.senders[edges],
            receivers=self.receivers[edges],
            distances=self.distances[edges],
            received=self.received[edges],
            sent=self.sent[edges],
            edge_offsets=edge_offsets,
        )


class BatchSize(NamedTuple):
    """Room in a padded batch, one crystal and one node of it for the padding itself."""

    crystals: int
    nodes: int
    edges: int


class GraphBatch(NamedTuple):
    """Graphs padded to a ``BatchSize``, as a network takes them.

    Padding nodes belong to the last crystal with share 0, padding edges to the last node with
    counts 0; ``real`` tells crystals from padding.
    """

    atomic_numbers: Int32[Any, " N"]
    shares: Float32[Any, " N"]
    crystal: Int32[Any, " N"]
    senders: Int32[Any, " E"]
    receivers: Int32[Any, " E"]
    distances: Float32[Any, " E"]
    received: Float32[Any, " E"]
    sent: Float32[Any, " E"]
    real: Bool[Any, " B"]


def build_graphs(
    crystals: Crystals,
    cutoff: float = CUTOFF,
    max_neighbors: int | None = None,
    merge: float = MERGE,
) -> Graphs:
    """Graphs with equal atoms and pairs merged; ``merge = 0`` keeps every one apart.

    Atoms are equal when colour refinement (Weisfeiler and Leman 1968) over elements and binned
    distances cannot tell them apart; message passing over distances can then not either, so the
    small graph gives the energy of the large one.  Materials Project crystals have 2.6 times fewer
    nodes and 3.6 times fewer edges than atoms and pairs at 4 Å.

    Args:
        crystals: any cells.
        cutoff: Å.
        max_neighbors: see ``gnomon.structure.neighbors.neighbors``.
        merge: width of the bins, Å.

    Raises:
        ValueError: for a cutoff or a number of neighbours that is not positive.
    """
    parts = []
    for _, chunk in chunks(crystals, cutoff):
        found = neighbors(chunk, cutoff, max_neighbors)
        parts.append(_merged(chunk, found, merge))
    return _concatenate(parts)


def pack(
    graphs: Graphs, order: Int[np.ndarray, " k"], size: BatchSize
) -> Iterator[tuple[Int64[np.ndarray, " batch"], GraphBatch]]:
    """Padded batches of these graphs in this order, each with the indices of its crystals.

    Batches are filled until the next graph has no room; a graph too large for ``size`` comes
    alone, in a batch of twice the size or its next doubling, so shapes stay few.
    """
    order = np.asarray(order, dtype=np.int64)
    room = np.array(size) - (1, 1, 0)
    ends = np.cumsum(
        np.stack([np.ones(len(order), np.int64), graphs.n_nodes[order], graphs.n_edges[order]], 1),
        axis=0,
    )
    start = 0
    while start < len(order):
        used = ends[start - 1] if start else np.zeros(3, np.int64)
        stop = min(int(np.searchsorted(ends[:, i], used[i] + room[i], "right")) for i in range(3))
        index = order[start : max(stop, start + 1)]
        fitting = size
        while np.any(ends[start + len(index) - 1] - used > np.array(fitting) - (1, 1, 0)):
            fitting = BatchSize(size.crystals, fitting.nodes * 2, fitting.edges * 2)
        yield index, _pad(graphs.take(index), fitting)
        start += len(index)


def batch_size(graphs: Graphs, crystals: int) -> BatchSize:
    """Room for so many average graphs and for the largest one, about a tenth to spare.

    Nodes and edges are rounded up to a few sizes, so that data which grew a little compiles
    nothing anew.
    """
    nodes, edges = graphs.n_nodes, graphs.n_edges
    return BatchSize(
        crystals + 1,
        _rounded(max(crystals * nodes.mean() * 1.03, nodes.max(initial=1) + 1)),
        _rounded(max(crystals * edges.mean() * 1.03, edges.max(initial=1))),
    )


def _rounded(room: float) -> int:
    """The next of 16, 18, 20, ... 30, 32, 36, 40, ...: eight sizes from each power of two."""
    step = 2 ** max(int(np.log2(max(room, 1))) - 3, 0)
    return int(np.ceil(room / step)) * step


# --- merging --------------------------------------------------------------------------------------


def _merged(crystals: Crystals, found: Neighbors, merge: float) -> Graphs:
    """Graphs whose nodes are the classes of atoms, whose edges are the classes of pairs.

    Without a width of bins every atom and every pair is a class of its own.
    """
    if merge > 0:
        bins = scramble(np.floor(found.distances / merge + _PHASE).astype(np.uint64))
        first, node, size = _classes(crystals, found, bins)
        receivers, senders = node[found.receivers], node[found.senders]
        key = scramble(
            scramble(scramble(receivers.astype(np.uint64)) + senders.astype(np.uint64)) + bins
        )
    else:
        first = np.arange(len(crystals.atomic_numbers))
        size, receivers, senders = np.ones_like(first), found.receivers, found.senders
        key = np.arange(len(receivers), dtype=np.uint64)
    _, example, edge, pairs = np.unique(
        key, return_index=True, return_inverse=True, return_counts=True
    )
    order = np.lexsort((example, receivers[example]))  # edges of a crystal lie together
    distances = np.bincount(edge, weights=found.distances, minlength=len(pairs)) / pairs
    receivers, senders, pairs = receivers[example][order], senders[example][order], pairs[order]

    cell = crystals.crystal_index[first]
    node_offsets = np.searchsorted(cell, np.arange(len(crystals) + 1))
    start = node_offsets[:-1][cell[receivers]]
    return Graphs(
        atomic_numbers=crystals.atomic_numbers[first],
        shares=(size / crystals.n_atoms[cell]).astype(np.float32),
        node_offsets=node_offsets,
        senders=(senders - start).astype(np.int32),
        receivers=(receivers - start).astype(np.int32),
        distances=distances[order].astype(np.float32),
        received=(pairs / size[receivers]).astype(np.float32),
        sent=(pairs / size[senders]).astype(np.float32),
        edge_offsets=np.searchsorted(cell[receivers], np.arange(len(crystals) + 1)),
    )


def _classes(
    crystals: Crystals, found: Neighbors, bins: UInt64[np.ndarray, " pairs"]
) -> tuple[Int64[np.ndarray, " nodes"], Int64[np.ndarray, " atoms"], Int64[np.ndarray, " nodes"]]:
    """Classes of equal atoms: first atom of each, class of every atom, atoms in each.

    Classes are numbered by their first atom, so those of a crystal lie together.
    """
    atoms = len(crystals.atomic_numbers)
    ends = np.searchsorted(found.receivers, np.arange(atoms + 1))
    color = scramble(crystals.crystal_index.astype(np.uint64) * 256 + crystals.atomic_numbers)
    classes, before = len(np.unique(color)), 0
    while classes > before:
        # a sum of hashes is a hash of the multiset; differences of running sums are exact mod 2^64
        sums = np.append(
            np.uint64(0), np.cumsum(scramble(color[found.senders] + bins), dtype=np.uint64)
        )
        color = scramble(scramble(color) + sums[ends[1:]] - sums[ends[:-1]])
        classes, before = len(np.unique(color)), classes
    _, first, node, size = np.unique(
        color, return_index=True, return_inverse=True, return_counts=True
    )
    order = np.argsort(first)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return first[order], rank[node], size[order]


def _concatenate(parts: Sequence[Graphs]) -> Graphs:
    def column(name: str) -> Any:
        arrays = [getattr(part, name) for part in parts]
        if not name.endswith("offsets"):
            return np.concatenate(arrays)
        lengths = np.concatenate([np.diff(a) for a in arrays])
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])

    return Graphs(**{name: column(name) for name in Graphs.__dataclass_fields__})


# --- padding --------------------------------------------------------------------------------------


def _pad(graphs: Graphs, size: BatchSize) -> GraphBatch:
    n, nodes, edges = len(graphs), len(graphs.shares), len(graphs.distances)
    start = np.repeat(graphs.node_offsets[:-1], graphs.n_edges)

    def padded(values: np.ndarray, length: int, fill: int, dtype: type) -> np.ndarray:
        out: np.ndarray = np.full(length, fill, dtype)
        out[: len(values)] = values
        return out

    last = size.nodes - 1
    if nodes > last or n > size.crystals - 1 or edges > size.edges:
        raise ValueError(f"{n} crystals, {nodes} nodes and {edges} edges do not fit into {size}")
    return GraphBatch(
        atomic_numbers=padded(graphs.atomic_numbers, size.nodes, 0, np.int32),
        shares=padded(graphs.shares, size.nodes, 0, np.float32),
        crystal=padded(
            np.repeat(np.arange(n), graphs.n_nodes), size.nodes, size.crystals - 1, np.int32
        ),
        senders=padded(graphs.senders + start, size.edges, last, np.int32),
        receivers=padded(graphs.receivers + start, size.edges, last, np.int32),
        distances=padded(graphs.distances, size.edges, 1, np.float32),
        received=padded(graphs.received, size.edges, 0, np.float32),
        sent=padded(graphs.sent, size.edges, 0, np.float32),
        real=padded(np.ones(n, bool), size.crystals, 0, np.bool_),
    )
