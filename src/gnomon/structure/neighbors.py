"""Periodic neighbours: every pair of atoms within a cutoff, whatever the cell."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import vesin
from jaxtyping import Float64, Int64

from gnomon.crystals import Crystals
from gnomon.ragged import counted

TIE = 1e-3
"""Å; neighbours whose distances differ by no more than this count as equally far."""

WORK = 1 << 15
"""Pairs of atoms, estimated, that are in work at a time: small enough for a processor's cache."""

LARGE = 200
"""Atoms of a crystal from which on lists of cells are faster (vesin's)."""


class Neighbors(NamedTuple):
    """Directed pairs, sorted by receiver: an image of the sender lies within the cutoff.

    Attributes:
        receivers, senders: indices of atoms in the batch.
        distances: Å.
        shifts: cells to add to the sender: ``frac[sender] + shift - frac[receiver]`` is the vector.
    """

    receivers: Int64[np.ndarray, " pairs"]
    senders: Int64[np.ndarray, " pairs"]
    distances: Float64[np.ndarray, " pairs"]
    shifts: Int64[np.ndarray, "pairs 3"]


def neighbors(crystals: Crystals, cutoff: float, max_neighbors: int | None = None) -> Neighbors:
    """All pairs of atoms within the cutoff, over as many periodic images as it takes.

    With a lower triangular lattice the images in a sphere are three nested intervals, so none
    outside is looked at (Fincke and Pohst, Math. Comp. 44, 463 (1985)); skewed, left-handed and
    tiny cells need no special care.  Large crystals are divided into cells by vesin.

    Args:
        crystals: any cells; fractional coordinates need not be wrapped.
        cutoff: Å, inclusive.
        max_neighbors: keep so many nearest ones of each atom, and all as far as the last of them
            (within ``TIE``): which of several equal ones comes first must not matter.

    Raises:
        ValueError: for a cutoff or a number of neighbours that is not positive.
    """
    if not (np.isfinite(cutoff) and cutoff > 0):
        raise ValueError(f"the cutoff must be a positive number of Å, not {cutoff}")
    if max_neighbors is not None and max_neighbors < 1:
        raise ValueError(f"max_neighbors must be at least 1, not {max_neighbors}")
    parts = []
    for start, chunk in chunks(crystals, cutoff):
        if len(chunk) == 1 and len(chunk.atomic_numbers) >= LARGE:
            found = _by_cells(chunk, cutoff)
        else:
            found = _both_ways(chunk, *_half(chunk, cutoff))
        if max_neighbors is not None:
            found = _nearest(found, max_neighbors)
        first = crystals.offsets[start]
        parts.append(
            found._replace(receivers=found.receivers + first, senders=found.senders + first)
        )
    return Neighbors(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def vectors_of(crystals: Crystals, found: Neighbors) -> Float64[np.ndarray, "pairs 3"]:
    """From each atom to its neighbours, Å."""
    frac = crystals.frac_coords
    moved = frac[found.senders] + found.shifts - frac[found.receivers]
    lattice = crystals.lattice[crystals.crystal_index[found.receivers]]
    return np.einsum("pi,pij->pj", moved, lattice)


def chunks(crystals: Crystals, cutoff: float) -> Iterator[tuple[int, Crystals]]:
    """Runs of crystals with about ``WORK`` pairs each, and the index of the first; at least one."""
    atoms = crystals.n_atoms.astype(np.float64)
    pairs = atoms**2 * (1 + 4 / 3 * np.pi * cutoff**3 / crystals.volumes)
    chunk = np.cumsum(pairs) // WORK
    starts = np.flatnonzero(np.diff(chunk, prepend=-1))
    if not len(crystals):
        yield 0, crystals
        return
    for start, stop in zip(starts, [*starts[1:], len(crystals)], strict=True):
        yield int(start), crystals[int(start) : int(stop)]


def _half(
    crystals: Crystals, cutoff: float
) -> tuple[
    Int64[np.ndarray, " half"],
    Int64[np.ndarray, " half"],
    Float64[np.ndarray, " half"],
    list[Float64[np.ndarray, " half"]],
]:
    """Each pair once: receivers, senders (not before the receiver), distances, shifts by axis.

    Whole numbers n of cells along c, then b, then a, each within what the ones before left of the
    sphere.  Columns of numbers, not rows of vectors: gathering is what takes the time.
    """
    lower = _lower_triangular(crystals.lattice)[crystals.crystal_index]
    ax, bx, by = lower[:, 0, 0], lower[:, 1, 0], lower[:, 1, 1]
    cx, cy, cz = lower[:, 2].T
    fa, fb, fc = np.ascontiguousarray(crystals.frac_coords.T)
    reach2 = (cutoff * (1 + 1e-9)) ** 2  # rounding must not lose a pair at the cutoff

    atoms = np.arange(len(fa))
    i, within = counted(crystals.offsets[1:][crystals.crystal_index] - atoms)
    j = i + within
    c = fc[j] - fc[i]
    row, n_c = _integers(c, (np.sqrt(reach2) / cz)[i])
    i, j, c = i[row], j[row], c[row] + n_c
    left = np.maximum(reach2 - (c * cz[i]) ** 2, 0)

    b = fb[j] - fb[i]
    y = b + c * (cy / by)[i]  # in units of b's height
    row, n_b = _integers(y, np.sqrt(left) / by[i])
    i, j, c, n_c, b = i[row], j[row], c[row], n_c[row], b[row] + n_b
    left = np.maximum(left[row] - ((y[row] + n_b) * by[i]) ** 2, 0)

    x = fa[j] - fa[i] + b * (bx / ax)[i] + c * (cx / ax)[i]
    row, n_a = _integers(x, np.sqrt(left) / ax[i])
    i, j, n_b, n_c = i[row], j[row], n_b[row], n_c[row]
    distances = np.sqrt(((x[row] + n_a) * ax[i]) ** 2 + (reach2 - left[row]))

    first = np.where(n_c != 0, n_c, np.where(n_b != 0, n_b, n_a))
    keep = (distances <= cutoff) & ((i != j) | (first > 0))  # one of two opposite images of itself
    return i[keep], j[keep], distances[keep], [n[keep] for n in (n_a, n_b, n_c)]


def _by_cells(crystal: Crystals, cutoff: float) -> Neighbors:
    """The neighbours of one crystal, in time that grows with its atoms."""
    beyond = cutoff * (1 + 1e-9)  # rounding must not lose a pair at the cutoff
    search = vesin.NeighborList(cutoff=beyond, full_list=True, n_threads=1)
    wrapped = crystal.wrap()
    first, second, distances, shifts = search.compute(
        wrapped.cart_coords, crystal.lattice[0], periodic=True, quantities="ijdS"
    )
    order = np.argsort(first, kind="stable")
    order = order[distances[order] <= cutoff]
    cells = np.rint(crystal.frac_coords - wrapped.frac_coords).astype(np.int64)
    receivers, senders = first[order].astype(np.int64), second[order].astype(np.int64)
    shifts = shifts[order].astype(np.int64) - cells[senders] + cells[receivers]
    return Neighbors(receivers, senders, distances[order], shifts)


def _lower_triangular(lattice: Float64[np.ndarray, "n 3 3"]) -> Float64[np.ndarray, "n 3 3"]:
    """The same lattices rotated (or mirrored) to a along x and b in the xy plane."""
    upper = np.linalg.qr(np.swapaxes(lattice, 1, 2), mode="r")
    signs = np.sign(np.einsum("nii->ni", upper))
    return np.swapaxes(upper * signs[:, :, None], 1, 2)


def _integers(
    center: Float64[np.ndarray, " rows"], radius: Float64[np.ndarray, " rows"]
) -> tuple[Int64[np.ndarray, " total"], Float64[np.ndarray, " total"]]:
    """All (row, whole number n) with abs(center + n) <= radius of that row."""
    lowest = np.ceil(-radius - center)
    counts = np.maximum((np.floor(radius - center) - lowest).astype(np.int64) + 1, 0)
    rows, within = counted(counts)
    return rows, lowest[rows] + within


def _both_ways(
    crystals: Crystals,
    i: Int64[np.ndarray, " half"],
    j: Int64[np.ndarray, " half"],
    distances: Float64[np.ndarray, " half"],
    shifts: list[Float64[np.ndarray, " half"]],
) -> Neighbors:
    """Every pair from both its ends, sorted by receiver."""
    receivers = np.concatenate([i, j])
    small = len(crystals.atomic_numbers) <= np.iinfo(np.uint16).max  # then NumPy sorts by radix
    order = np.argsort(receivers.astype(np.uint16) if small else receivers, kind="stable")
    columns = [np.concatenate([n, -n])[order] for n in shifts]
    return Neighbors(
        receivers[order],
        np.concatenate([j, i])[order],
        np.concatenate([distances, distances])[order],
        np.stack(columns, axis=1).astype(np.int64),
    )


def _nearest(found: Neighbors, k: int) -> Neighbors:
    """The k nearest of each receiver, and all as far as the k-th."""
    order = np.lexsort((found.distances, found.receivers))
    receivers, distances = found.receivers[order], found.distances[order]
    counts = np.unique_counts(receivers).counts
    _, rank = counted(counts)
    last = (np.cumsum(counts) - counts) + np.minimum(counts, k) - 1
    reach = np.repeat(distances[last], counts) + TIE
    kept = np.sort(order[(rank < k) | (distances <= reach)])
    return Neighbors(*(column[kept] for column in found))
