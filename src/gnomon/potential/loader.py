"""Batches of one shape from labelled frames, assembled while the network computes.

Neighbours are sought once a frame and kept in few bytes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int8, Int64, UInt16

from gnomon.crystals import Crystals
from gnomon.io.frames import Frames
from gnomon.potential.batch import AtomBatch, Shape, pack, padded, rows_of
from gnomon.ragged import ragged_take
from gnomon.structure.neighbors import Neighbors, neighbors

CHUNK = 256
"""Frames whose neighbours are sought at a time."""

AHEAD = 4
"""Batches that are ready before they are asked for."""

WAITING = 64
"""Frames that may be put off to a later batch, because a smaller one fits into this one."""

MAX_REPEATS = 4
"""How often frames are seen in an epoch for the sake of their group, however few there are."""


class Targets(NamedTuple):
    """Labels of a batch; NaN where there is none, padding among it.

    Attributes:
        energy: eV.
        n_atoms: of each crystal, 1 for padding.
        forces: eV/Å.
        stress: eV/Å3.
    """

    energy: Float32[np.ndarray, " crystals"]
    n_atoms: Float32[np.ndarray, " crystals"]
    forces: Float32[np.ndarray, "atoms 3"]
    stress: Float32[np.ndarray, "crystals 3 3"]


class Samples(NamedTuple):
    """Frames with their neighbours; indices count from the first atom of each crystal.

    Attributes:
        frames: geometries and labels.
        pair_offsets: where the pairs of each crystal begin and end.
        receivers, senders, shifts: of each pair; see ``Neighbors``.
        n_rows: rows that the neighbours of each frame fill; see ``AtomBatch``.
    """

    frames: Frames
    pair_offsets: Int64[np.ndarray, " n_plus_1"]
    receivers: UInt16[np.ndarray, " pairs"]
    senders: UInt16[np.ndarray, " pairs"]
    shifts: Int8[np.ndarray, "pairs 3"]
    n_rows: Int64[np.ndarray, " n"]

    @property
    def avg_n_neighbors(self) -> float:
        """Neighbours of an atom, on average."""
        return len(self.receivers) / max(1, int(self.frames.crystals.offsets[-1]))


def prepare(frames: Frames, cutoff: float) -> Samples:
    """Find the neighbours of every atom of every frame.

    Raises:
        ValueError: for a frame too large or too skewed for the small integers that keep it.
    """
    parts = [_pairs(frames.crystals[i : i + CHUNK], cutoff) for i in range(0, len(frames), CHUNK)]
    counts, receivers, senders, shifts, n_rows = (
        np.concatenate(column) for column in zip(*parts, strict=True)
    )
    pair_offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    return Samples(frames, pair_offsets, receivers, senders, shifts, n_rows)


def _pairs(
    crystals: Crystals, cutoff: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """How many pairs each crystal has; receivers, senders and shifts of them; rows of each."""
    found = neighbors(crystals, cutoff)
    of_atom = crystals.crystal_index
    of_pair = of_atom[found.receivers]
    first = crystals.offsets[of_pair]
    receivers, senders = found.receivers - first, found.senders - first
    if (
        senders.max(initial=0) > np.iinfo(np.uint16).max
        or np.abs(found.shifts).max(initial=0) > 127
    ):
        raise ValueError(
            "a frame has over 65,536 atoms, or neighbours over 127 cells away: train on the "
            "reduced cells of such frames, or leave them out"
        )
    return (
        np.bincount(of_pair, minlength=len(crystals)),
        receivers.astype(np.uint16),
        senders.astype(np.uint16),
        found.shifts.astype(np.int8),
        np.add.reduceat(rows_of(found, len(of_atom)), crystals.offsets[:-1]),
    )


def batch_shape(samples: Samples, batch: int) -> Shape:
    """The shape that holds about so many frames of average size, and the largest frame."""
    atoms, rows = samples.frames.crystals.n_atoms, samples.n_rows
    return Shape(
        atoms=int(max(1.1 * batch * atoms.mean(), atoms.max())),
        rows=int(max(batch * rows.mean(), rows.max(), 1)),
        crystals=2 * batch,
    )


def is_element(frames: Frames) -> Bool[np.ndarray, " n"]:
    """Which frames hold one element.  They always train: every energy is measured from theirs."""
    numbers, starts = frames.crystals.atomic_numbers, frames.crystals.offsets[:-1]
    return np.minimum.reduceat(numbers, starts) == np.maximum.reduceat(numbers, starts)


def epoch_order(
    often: Sequence[tuple[Bool[np.ndarray, " n"], float]], rng: np.random.Generator
) -> Int64[np.ndarray, " visits"]:
    """Every frame once in a random order, and in between those that shall come up more often.

    Of the frames drawn, each group in ``often`` makes up its share and the others are of all kinds
    (as of first frames of relaxations in Merchant et al. 2023, Methods), unless a frame of a group
    were to come up more than ``MAX_REPEATS`` times an epoch for it.

    Raises:
        ValueError: if the shares leave nothing to frames of all kinds.
    """
    order = rng.permutation(len(often[0][0]))
    rest = 1 - sum(share for _, share in often)
    if rest <= 0:
        raise ValueError("shares of frames that come up more often must come to less than 1")
    parts = [order]
    for group, share in often:
        members = np.flatnonzero(group)
        extra = min(round(share / rest * len(order)), MAX_REPEATS * len(members))
        rounds = -(-extra // max(1, len(members)))
        drawn = [rng.permutation(members) for _ in range(rounds)]
        parts.append(np.concatenate([members[:0], *drawn])[:extra])
    places = [(np.arange(len(part)) + 0.5) / max(1, len(part)) for part in parts]
    return np.concatenate(parts)[np.argsort(np.concatenate(places), kind="stable")]


def fill(
    order: Int64[np.ndarray, " visits"], samples: Samples, shape: Shape
) -> list[Int64[np.ndarray, " _"]]:
    """Frames of each batch: in this order, where a frame that does not fit waits for the next."""
    atoms = samples.frames.crystals.n_atoms.tolist()
    rows = samples.n_rows.tolist()
    coming, waiting = deque(order.tolist()), deque[int]()
    found: list[Int64[np.ndarray, " _"]] = []
    while coming or waiting:
        left_atoms, left_rows = shape.atoms, shape.rows
        chosen, put_off = list[int](), deque[int]()
        while (waiting or coming) and len(put_off) < WAITING and len(chosen) < shape.crystals:
            i = waiting.popleft() if waiting else coming.popleft()
            if atoms[i] <= left_atoms and rows[i] <= left_rows:
                chosen.append(i)
                left_atoms, left_rows = left_atoms - atoms[i], left_rows - rows[i]
            else:
                put_off.append(i)
        put_off.extend(waiting)
        waiting = put_off
        found.append(np.array(chosen, np.int64))
    return found


def assemble(
    samples: Samples, chosen: Int64[np.ndarray, " k"], shape: Shape
) -> tuple[AtomBatch, Targets]:
    """The batch of these frames, and their labels."""
    frames, crystals = samples.frames, samples.frames.crystals.take(chosen)
    atoms, _ = ragged_take(samples.frames.crystals.offsets, chosen)
    pairs, pair_offsets = ragged_take(samples.pair_offsets, chosen)
    first = np.repeat(crystals.offsets[:-1], np.diff(pair_offsets))
    found = Neighbors(
        samples.receivers[pairs] + first,
        samples.senders[pairs] + first,
        np.full(len(pairs), np.nan),  # no batch holds distances
        samples.shifts[pairs],
    )
    batch = pack(crystals, found, shape=shape)
    targets = Targets(
        padded(frames.energy[chosen].astype(np.float32), shape.crystals, np.nan),
        padded(crystals.n_atoms.astype(np.float32), shape.crystals, 1),
        padded(frames.forces[atoms].astype(np.float32), shape.atoms, np.nan),
        padded(frames.stress[chosen].astype(np.float32), shape.crystals, np.nan),
    )
    return batch, targets


def stream(
    samples: Samples, plan: Sequence[Int64[np.ndarray, " _"]], shape: Shape
) -> Iterator[tuple[AtomBatch, Targets]]:
    """The batches of a plan in order, each assembled in a thread before it is asked for."""
    ready: deque[Future[tuple[AtomBatch, Targets]]] = deque()
    with ThreadPoolExecutor(1) as thread:
        for chosen in plan:
            ready.append(thread.submit(assemble, samples, chosen, shape))
            if len(ready) > AHEAD:
                yield ready.popleft().result()
        while ready:
            yield ready.popleft().result()
