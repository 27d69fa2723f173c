"""Batches of one shape from labelled frames, assembled while the network computes.

Neighbours are sought once a frame and kept in rows, as ``AtomBatch`` holds them, in few bytes: a
batch is a few gathers of NumPy.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int8, Int64, UInt8, UInt16

from gnomon.crystals import Crystals, ragged_take
from gnomon.io.frames import Frames
from gnomon.potential.batch import ROW, AtomBatch, Shape, needed, pack, padded
from gnomon.structure.neighbors import neighbors

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
    """Frames with their neighbours in rows; indices count from the first atom of each crystal.

    Attributes:
        frames: geometries and labels.
        cart_coords: Å, of each atom.
        row_offsets: where the rows of each crystal begin and end.
        receivers, senders, shifts: of each row; see ``AtomBatch``.
        degrees: places that a row fills.
    """

    frames: Frames
    cart_coords: Float64[np.ndarray, "atoms 3"]
    row_offsets: Int64[np.ndarray, " n_plus_1"]
    receivers: UInt16[np.ndarray, " rows"]
    senders: UInt16[np.ndarray, "rows width"]
    shifts: Int8[np.ndarray, "rows width 3"]
    degrees: UInt8[np.ndarray, " rows"]

    @property
    def n_rows(self) -> Int64[np.ndarray, " n"]:
        """Rows of each frame."""
        return np.diff(self.row_offsets)

    @property
    def avg_n_neighbors(self) -> float:
        """Neighbours of an atom, on average."""
        return float(self.degrees.sum(dtype=np.int64) / max(1, len(self.cart_coords)))


def prepare(frames: Frames, cutoff: float) -> Samples:
    """Find the neighbours of every atom of every frame.

    Raises:
        ValueError: for a frame too large or too skewed for the small integers that keep it.
    """
    parts = [_rows(frames.crystals[i : i + CHUNK], cutoff) for i in range(0, len(frames), CHUNK)]
    counts, receivers, senders, shifts, degrees = (
        np.concatenate(column) for column in zip(*parts, strict=True)
    )
    row_offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    coords = frames.crystals.cart_coords
    return Samples(frames, coords, row_offsets, receivers, senders, shifts, degrees)


def _rows(
    crystals: Crystals, cutoff: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Rows of each crystal, then receivers, senders, shifts and degrees of the rows."""
    found = neighbors(crystals, cutoff)
    batch = pack(crystals, cutoff, found=found, shape=needed(crystals, found))
    receivers, mask = np.asarray(batch.receivers), np.asarray(batch.mask)
    of_row = crystals.crystal_index[receivers]
    first = crystals.offsets[:-1][of_row]
    senders = np.where(mask, np.asarray(batch.senders) - first[:, None], 0)
    shifts = np.asarray(batch.shifts)
    if senders.max(initial=0) > np.iinfo(np.uint16).max or np.abs(shifts).max(initial=0) > 127:
        raise ValueError(
            "a frame has over 65,536 atoms, or neighbours over 127 cells away: train on the "
            "reduced cells of such frames, or leave them out"
        )
    return (
        np.bincount(of_row, minlength=len(crystals)),
        (receivers - first).astype(np.uint16),
        senders.astype(np.uint16),
        shifts.astype(np.int8),
        mask.sum(axis=1).astype(np.uint8),
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
    frames, crystals = samples.frames, samples.frames.crystals
    atoms, atom_offsets = ragged_take(crystals.offsets, chosen)
    rows, row_offsets = ragged_take(samples.row_offsets, chosen)
    r, k = len(rows), len(chosen)
    of_row = np.repeat(atom_offsets[:-1], np.diff(row_offsets)).astype(np.int32)
    mask = np.zeros((shape.rows, ROW), bool)
    mask[:r] = np.arange(ROW) < samples.degrees[rows][:, None]
    senders = np.full((shape.rows, ROW), shape.atoms - 1, np.int32)
    senders[:r] = np.where(mask[:r], samples.senders[rows] + of_row[:, None], shape.atoms - 1)
    of_atom = np.repeat(np.arange(k), np.diff(atom_offsets))
    batch = AtomBatch(
        atomic_numbers=padded(crystals.atomic_numbers[atoms].astype(np.int32), shape.atoms, 0),
        crystal=padded(of_atom.astype(np.int32), shape.atoms, shape.crystals - 1),
        positions=padded(samples.cart_coords[atoms].astype(np.float32), shape.atoms, 0),
        lattice=np.concatenate(
            [crystals.lattice[chosen], np.tile(np.eye(3), (shape.crystals - k, 1, 1))]
        ).astype(np.float32),
        senders=senders,
        shifts=padded(samples.shifts[rows].astype(np.float32), shape.rows, 0),
        mask=mask,
        receivers=padded(samples.receivers[rows] + of_row, shape.rows, shape.atoms - 1),
    )
    targets = Targets(
        padded(frames.energy[chosen].astype(np.float32), shape.crystals, np.nan),
        padded(np.diff(atom_offsets).astype(np.float32), shape.crystals, 1),
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
