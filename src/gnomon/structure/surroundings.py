"""Keys of the orders of atoms on one set of sites, which other parents' sites may give as well.

Weisfeiler and Leman's refinement (Nauchno-Tekh. Inf. 2 (9), 12 (1968)): a site starts with its
element, and takes in again and again what its neighbours have become, each with the shell it stands
in.  Shells are counted from the nearest, in units of the cube root of the volume of an atom, so
that size does not matter, nor free parameters and ratios of axes while they leave the order of the
shells.  Equal orders have equal keys, in any cell and of any parent; mirror images do, too.  That
different orders have different keys is no theorem: ``tests/test_surroundings.py`` counts on real
crystals.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64, Integer, UInt64

from gnomon.crystals import Crystals
from gnomon.structure.hashes import mean, scramble
from gnomon.structure.neighbors import neighbors

REACH = (2.2, 2.6)
"""Neighbours up to a distance between these, where the gap is largest: 45 to 75 of them."""

APART = 0.01
"""Distances of one shell follow each other more closely than this."""

ROUNDS = 3
"""How often sites take in their surroundings."""

AT_ONCE = 2_000_000
"""Pairs of neighbours in work at a time."""


@dataclass(frozen=True, eq=False)
class Surroundings:
    """Neighbours of the sites of one cell, each site among its own.

    Attributes:
        starts: (sites,), the first pair of each site.
        neighbors: (pairs,), the site at the other end, in order of the first.
        shells: (pairs,), a hash of the shell it stands in.
    """

    starts: Int64[np.ndarray, " sites"]
    neighbors: Int64[np.ndarray, " pairs"]
    shells: UInt64[np.ndarray, " pairs"]

    def keys(self, rows: Integer[np.ndarray, "k sites"]) -> UInt64[np.ndarray, " k"]:
        """Key of each way to put elements (atomic numbers, or others) on the sites."""
        most = max(1, AT_ONCE // max(1, len(self.neighbors)))
        parts = [self._keys(rows[start : start + most]) for start in range(0, len(rows), most)]
        return np.concatenate(parts) if parts else np.zeros(0, np.uint64)

    def _keys(self, rows: Integer[np.ndarray, "k sites"]) -> UInt64[np.ndarray, " k"]:
        state = scramble(rows.astype(np.uint64))
        for _ in range(ROUNDS):
            arriving = scramble(state[:, self.neighbors] + self.shells)
            state = np.add.reduceat(arriving, self.starts, axis=1)
        half = np.uint64(32)
        return mean(state >> half) << half | mean(state << half >> half)


def surroundings(cell: Crystals) -> Surroundings:
    """Neighbours of the sites of a cell (a batch of one)."""
    sites = np.arange(len(cell.atomic_numbers))
    found = neighbors(cell.scale_volume(cell.n_atoms / cell.volumes), REACH[1])
    shell = _shells(found.distances)
    near = shell > 0
    receivers = np.concatenate([sites, found.receivers[near]])
    senders = np.concatenate([sites, found.senders[near]])
    hashes = scramble(np.concatenate([0 * sites, shell[near]]).astype(np.uint64) + _SHELLS)
    order = np.argsort(receivers, kind="stable")
    return Surroundings(np.searchsorted(receivers[order], sites), senders[order], hashes[order])


def _shells(distances: Float64[np.ndarray, " pairs"]) -> Int64[np.ndarray, " pairs"]:
    """Shell of each distance, the nearest 1; 0 beyond the widest gap within ``REACH``."""
    if not len(distances):
        return np.zeros(0, np.int64)
    order = np.argsort(distances, kind="stable")
    gaps = np.diff(distances[order], append=REACH[1])
    shell = 1 + np.concatenate([[0], np.cumsum(gaps[:-1] > APART)])
    outer = np.flatnonzero(distances[order] + gaps > REACH[0])
    shell[outer[gaps[outer].argmax()] + 1 :] = 0
    return shell[np.argsort(order)]


_SHELLS = np.uint64(1 << 20)
