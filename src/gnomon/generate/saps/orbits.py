"""Subsets of sites that differ under a group of permutations, each orbit once.

The representative of an orbit is its subset that comes first when subsets are written as ascending
lists of sites.  Orderly generation (Read, Ann. Discrete Math. 2, 107 (1978)): a representative
without its last site is again a representative, so that those of size k are found among those of
size k - 1 with one later site, and nothing is ever compared with what was found before.
"""

from functools import cached_property

import numpy as np
from jaxtyping import Bool, Int64, UInt64

from gnomon.generate.saps.burnside import draw_orbits, orbit_counts

MAX_SITES = 64
"""Sites that one mask of 64 bits holds."""

ENUMERABLE = 100_000
"""Orbits up to which all are enumerated; beyond, they are drawn."""

BLOCK = 16
"""Permutations tried at a time: most subsets that are no representative fail in the first few."""

TRIES = 20
"""Draws for each orbit asked for, before what was found has to do."""


class SubsetOrbits:
    """Orbits of the subsets of sites under a group.

    Attributes:
        group: (order, sites), all elements of the group, once; site i goes to ``group[g, i]``.

    Raises:
        ValueError: if there are no sites or more than ``MAX_SITES``, or a row is no permutation.
    """

    def __init__(self, group: Int64[np.ndarray, "order sites"]) -> None:
        """Take in a group; what it costs is paid when orbits are asked for."""
        order, sites = group.shape
        if not order or not 1 <= sites <= MAX_SITES:
            raise ValueError(f"orbits need 1 to {MAX_SITES} sites and a group, got {group.shape}")
        if not np.array_equal(np.sort(group, axis=1), np.tile(np.arange(sites), (order, 1))):
            raise ValueError("a row of the group is no permutation of the sites")
        self.group = np.unique(group, axis=0)
        self._levels: list[UInt64[np.ndarray, " k"]] = [np.zeros(1, np.uint64)]

    @property
    def sites(self) -> int:
        """Number of sites."""
        return int(self.group.shape[1])

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """Orbits of subsets of each size 0, 1, ..., sites, by Burnside's lemma."""
        return orbit_counts(self.group)

    def representatives(self, size: int) -> Bool[np.ndarray, "k sites"]:
        """One subset of each orbit of subsets of this size, in order of their lists of sites.

        Raises:
            ValueError: if there is no subset of this size.
        """
        self._check(size)
        if 2 * size > self.sites:  # complements of representatives are one for each orbit, too
            return ~self.representatives(self.sites - size)
        while len(self._levels) <= size:
            self._levels.append(self._extend(self._levels[-1]))
        return self._unpack(self._levels[size])

    def choose(self, size: int, most: int, rng: np.random.Generator) -> Bool[np.ndarray, "k sites"]:
        """At most this many subsets of this size, no two of one orbit.

        All orbits, if they are no more than ``most``.  Else first the unions of whole orbits of
        sites, which keep the group, then orbits drawn uniformly.  More than ``ENUMERABLE`` orbits
        are not listed but drawn; then a few may be missing of those asked for.
        """
        self._check(size)
        if self.counts[size] <= most:
            return self.representatives(size)
        whole = self._whole_orbits(size)[:most]
        if self.counts[size] <= ENUMERABLE:
            others = self.representatives(size)
            others = others[rng.permutation(len(others))[:most]]
        else:
            others = self._draw(size, most, rng)
        canonical = self._canonical(np.concatenate([self._pack(whole), self._pack(others)]))
        _, firsts = np.unique(canonical, return_index=True)
        return self._unpack(canonical[np.sort(firsts)[:most]])

    def _check(self, size: int) -> None:
        if not 0 <= size <= self.sites:
            raise ValueError(f"{self.sites} sites have no subset of {size}")

    def _draw(self, size: int, most: int, rng: np.random.Generator) -> Bool[np.ndarray, "k sites"]:
        found = np.zeros(0, np.uint64)
        for _ in range(TRIES):
            drawn = self._canonical(self._pack(draw_orbits(self.group, size, most, rng)))
            both = np.concatenate([found, drawn])
            _, firsts = np.unique(both, return_index=True)
            found = both[np.sort(firsts)][:most]
            if len(found) == most:
                break
        return self._unpack(found)

    def _whole_orbits(self, size: int) -> Bool[np.ndarray, "k sites"]:
        """Unions of orbits of single sites that have this size."""
        _, orbit = np.unique(self.group.min(axis=0), return_inverse=True)
        lengths = np.bincount(orbit)
        if len(lengths) > 12:  # a crystal of so many orbits has little symmetry to keep
            return np.zeros((0, self.sites), bool)
        unions = np.arange(2 ** len(lengths))[:, None] >> np.arange(len(lengths)) & 1
        return unions[unions @ lengths == size].astype(bool)[:, orbit]

    # --- subsets as masks: site 0 is the highest bit, so earlier lists are larger numbers --------

    @cached_property
    def _bits(self) -> UInt64[np.ndarray, " sites"]:
        return np.uint64(1) << np.arange(self.sites - 1, -1, -1, dtype=np.uint64)

    def _pack(self, subsets: Bool[np.ndarray, "k sites"]) -> UInt64[np.ndarray, " k"]:
        return np.where(subsets, self._bits, np.uint64(0)).sum(axis=1, dtype=np.uint64)

    def _unpack(self, masks: UInt64[np.ndarray, " k"]) -> Bool[np.ndarray, "k sites"]:
        return (masks[:, None] & self._bits) != 0

    @cached_property
    def _tables(self) -> UInt64[np.ndarray, "order bytes 256"]:
        """Image of each value of each byte of a mask under each permutation."""
        width = -(-self.sites // 8)
        images = np.zeros((len(self.group), 8 * width), np.uint64)  # by bit, lowest first
        images[:, : self.sites] = self._bits[self.group][:, ::-1]
        by_byte = images.reshape(len(self.group), width, 8)
        tables = np.zeros((len(self.group), width, 256), np.uint64)
        for bit in range(8):
            tables[:, :, np.arange(256) >> bit & 1 == 1] |= by_byte[:, :, bit, None]
        return tables

    def _images(
        self, masks: UInt64[np.ndarray, " k"], block: slice
    ) -> UInt64[np.ndarray, "block k"]:
        tables = self._tables[block]
        images = np.zeros((len(tables), len(masks)), np.uint64)
        for byte in range(tables.shape[1]):
            values = (masks >> np.uint64(8 * byte)) & np.uint64(255)
            images |= tables[:, byte, :][:, values.astype(np.intp)]
        return images

    def _blocks(self) -> list[slice]:
        return [slice(i, i + BLOCK) for i in range(0, len(self.group), BLOCK)]

    def _canonical(self, masks: UInt64[np.ndarray, " k"]) -> UInt64[np.ndarray, " k"]:
        """Mask of the representative of each subset's orbit."""
        largest = masks
        for block in self._blocks():
            largest = np.maximum(largest, self._images(masks, block).max(axis=0, initial=0))
        return largest

    def _extend(self, masks: UInt64[np.ndarray, " k"]) -> UInt64[np.ndarray, " more"]:
        """Representatives with one site more, from those of one size."""
        kept = []
        for start in range(0, len(masks), 4096):
            part = masks[start : start + 4096]
            lowest = part & (~part + np.uint64(1))  # the last site; 0 for the empty set
            later = (self._bits < lowest[:, None]) | (lowest[:, None] == 0)
            rows, sites = np.nonzero(later)
            longer = part[rows] | self._bits[sites]
            for block in self._blocks():
                longer = longer[np.all(self._images(longer, block) <= longer, axis=0)]
            kept.append(longer)
        return np.concatenate(kept)
