"""Atoms and neighbours of several crystals in arrays of fixed shape, as the potential takes them.

The neighbours of an atom fill rows of ``ROW`` places, as many rows as it needs: a sum over a row is
a small matrix product, and crystals of any coordination share a batch with little padding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Int64

from gnomon.crystals import Crystals
from gnomon.structure.neighbors import Neighbors, neighbors

ROW = 16
"""Places for neighbours in a row."""


class Shape(NamedTuple):
    """Sizes of a batch: one compilation serves all batches of a shape."""

    atoms: int
    rows: int
    crystals: int

    def covers(self, other: Shape) -> bool:
        """Whether a batch of the other shape fits into this one."""
        return all(mine >= yours for mine, yours in zip(self, other, strict=True))

    def fitting(self, least: Shape) -> Shape:
        """The smallest that covers ``least`` of this, its doublings and its halves."""
        power = max(math.ceil(math.log2(max(a, 1) / b)) for a, b in zip(least, self, strict=True))
        return Shape(*(max(1, math.ceil(size * 2.0**power)) for size in self))

    def rounded(self) -> Shape:
        """The next of a few sizes, at most an eighth larger where sizes are large."""
        return Shape(*(round_up(size) for size in self))


class AtomBatch(eqx.Module):
    """Crystals of one batch.  Padding: atomic number 0, masked places, a unit cell of 1 Å.

    Attributes:
        atomic_numbers, crystal: of each atom, and the index of its crystal.
        positions: Cartesian, Å.
        lattice: Å, rows are a, b, c.
        senders, shifts, mask: neighbours in rows; ``positions[sender] + shift @ lattice`` is where
            the neighbour sits; the mask is False for empty places.
        receivers: the atom whose neighbours a row holds, ascending.
    """

    atomic_numbers: Int[Array, " atoms"] | Int[np.ndarray, " atoms"]
    crystal: Int[Array, " atoms"] | Int[np.ndarray, " atoms"]
    positions: Float[Array, "atoms 3"] | Float[np.ndarray, "atoms 3"]
    lattice: Float[Array, "crystals 3 3"] | Float[np.ndarray, "crystals 3 3"]
    senders: Int[Array, "rows width"] | Int[np.ndarray, "rows width"]
    shifts: Float[Array, "rows width 3"] | Float[np.ndarray, "rows width 3"]
    mask: Bool[Array, "rows width"] | Bool[np.ndarray, "rows width"]
    receivers: Int[Array, " rows"] | Int[np.ndarray, " rows"]

    @property
    def shape(self) -> Shape:
        """Sizes with padding."""
        return Shape(len(self.positions), len(self.receivers), len(self.lattice))

    def vectors(self) -> Float[Array, "rows width 3"]:
        """From each receiver to its neighbours, Å; meaningless where the mask is False."""
        cells = jax.numpy.asarray(self.lattice)[self.crystal[self.receivers]]
        positions = jax.numpy.asarray(self.positions)
        images = jax.numpy.einsum("rwi,rij->rwj", self.shifts, cells)
        return positions[self.senders] + images - positions[self.receivers][:, None]


def needed(crystals: Crystals, found: Neighbors) -> Shape:
    """The smallest shape for these crystals."""
    atoms = int(crystals.offsets[-1])
    return Shape(atoms, int(rows_of(found, atoms).sum()), len(crystals))


def rows_of(found: Neighbors, n_atoms: int) -> Int64[np.ndarray, " atoms"]:
    """Rows that the neighbours of each atom fill."""
    return -(-np.bincount(found.receivers, minlength=n_atoms) // ROW)


def pack(
    crystals: Crystals,
    found: Neighbors,
    *,
    shape: Shape | None = None,
    dtype: type[np.floating] = np.float32,
) -> AtomBatch:
    """A batch of all the crystals.

    Args:
        crystals: at least one.
        found: their neighbours within the cutoff; with a skin added to it where the batch is to
            serve while the atoms move.
        shape: sizes with padding; the smallest of a few that fits, where none is given.
        dtype: of positions and lattice.

    Raises:
        ValueError: if the shape is too small.
    """
    least = needed(crystals, found)
    shape = least.rounded() if shape is None else shape
    if not shape.covers(least):
        raise ValueError(f"a batch of {tuple(shape)} does not hold {tuple(least)}: give a larger")
    n = least.atoms
    senders, shifts, mask, receivers = _in_rows(found, n, shape)
    return AtomBatch(
        atomic_numbers=padded(crystals.atomic_numbers.astype(np.int32), shape.atoms, 0),
        crystal=padded(crystals.crystal_index.astype(np.int32), shape.atoms, shape.crystals - 1),
        positions=padded(crystals.cart_coords.astype(dtype), shape.atoms, 0),
        lattice=np.concatenate(
            [crystals.lattice, np.tile(np.eye(3), (shape.crystals - len(crystals), 1, 1))]
        ).astype(dtype),
        senders=senders,
        shifts=shifts.astype(dtype),
        mask=mask,
        receivers=receivers,
    )


def batches(
    crystals: Crystals, cutoff: float, capacity: Shape, *, skin: float = 0.0
) -> Iterator[tuple[Int64[np.ndarray, " k"], AtomBatch]]:
    """Batches of crystals of like size, each with the indices of its crystals.

    All have the shape of ``capacity``, unless one crystal alone needs more, or all together less:
    then twice, four times, half, a quarter ... of it, so that few shapes come up.
    """
    order = np.argsort(crystals.n_atoms, kind="stable")
    start = 0
    while start < len(order):
        count = min(len(order) - start, capacity.crystals)
        ahead = np.cumsum(crystals.n_atoms[order[start : start + count]])
        count = max(1, int(np.searchsorted(ahead, capacity.atoms, side="right")))
        chosen = order[start : start + count]
        part = crystals.take(chosen)
        found = neighbors(part, cutoff + skin)
        rows = rows_of(found, int(part.offsets[-1]))
        used = np.cumsum(np.add.reduceat(rows, part.offsets[:-1]))
        fits = max(1, int(np.searchsorted(used, capacity.rows, side="right")))
        if fits < count:
            chosen, part = chosen[:fits], part[:fits]
            keep = found.receivers < part.offsets[-1]
            found = Neighbors(*(column[keep] for column in found))
        least = needed(part, found)
        whole = start > 0 or len(chosen) < len(order)
        shape = capacity if whole and capacity.covers(least) else capacity.fitting(least)
        yield chosen, pack(part, found, shape=shape)
        start += len(chosen)


def round_up(size: int) -> int:
    """The next of 1, 2, ... 16, 18, 20, ... 32, 36, ...: eight sizes an octave."""
    step = 1 << max(0, int(size - 1).bit_length() - 4)
    return -(-max(size, 1) // step) * step


def _in_rows(
    found: Neighbors, n_atoms: int, shape: Shape
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Neighbours, sorted by receiver, spread over rows."""
    degree, rows = np.bincount(found.receivers, minlength=n_atoms), rows_of(found, n_atoms)
    first_row, first_pair = np.cumsum(rows) - rows, np.cumsum(degree) - degree
    place = np.arange(len(found.receivers)) - first_pair[found.receivers]
    at = first_row[found.receivers] * ROW + place
    last = shape.atoms - 1
    senders = np.full(shape.rows * ROW, last, dtype=np.int32)
    shifts = np.zeros((shape.rows * ROW, 3))
    mask = np.zeros(shape.rows * ROW, dtype=bool)
    senders[at], shifts[at], mask[at] = found.senders, found.shifts, True
    return (
        senders.reshape(-1, ROW),
        shifts.reshape(-1, ROW, 3),
        mask.reshape(-1, ROW),
        padded(np.repeat(np.arange(n_atoms), rows).astype(np.int32), shape.rows, last),
    )


def padded(values: np.ndarray, size: int, fill: float | int) -> np.ndarray:
    """The values, and ``fill`` in the rest of so many places."""
    room = np.full((size - len(values), *values.shape[1:]), fill, dtype=values.dtype)
    return np.concatenate([values, room])
