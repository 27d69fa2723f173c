"""Groups of crystals that are the same: formula, size, fingerprint, exact matcher, space group.

Matching within tolerances is not transitive: a may match b and b match c, but a not c.  A group
never holds two crystals that differ: nearest pairs are joined first, and two groups only if all of
the one are the same as all of the other (complete linkage).  Pairs that match and stay apart
nevertheless are told (``Groups.chained``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from gnomon.crystals import Crystals
from gnomon.run.listener import SILENT, Listener
from gnomon.structure.fingerprint import fingerprints
from gnomon.structure.matching import Matcher
from gnomon.structure.symmetry import space_groups

TWINS = 1e-5
"""Relative distance, of fingerprints and sizes, up to which crystals that match stand for each
other: a third one is compared with one of them only."""

TRICLINIC = 2
"""Space groups up to this number tell of noise as often as of a distortion: it leaves no other."""

STEADY = 3.0
"""A space group counts if it is the same at a tolerance so many times as tight: noise of about the
tolerance leaves some operations and takes others."""

MIRRORED = {78: 76, 95: 91, 96: 92, 145: 144, 153: 151, 154: 152, 170: 169, 172: 171}
MIRRORED |= {179: 178, 181: 180, 213: 212}
"""Space groups that are mirror images of others: one of each pair stands for both."""

ROWS = 512
"""Fingerprints compared with all others of their formula at a time."""

Same = Callable[[int, int], bool]


@dataclass(frozen=True)
class Sameness:
    """When two crystals of one reduced formula are the same, mirror images too.

    Attributes:
        fingerprint: relative distance of fingerprints, |x - y| over the root mean square of |x| and
            |y|, beyond which they differ.  Of the 4,322 pairs of one formula in 24,440 crystals of
            the Materials Project the matcher finds 418 the same; the median distance of those is
            0.075, and of 410 it is at most 0.5 (``benchmarks/fingerprints.py``).
        matcher: judges the pairs that are left; None takes them all for the same, which merges
            polytypes (stackings of the same layers) and lets groups chain.
        symprec: Å; what the matcher finds the same differs all the same where the space groups at
            this tolerance do: tilts, ferroelectric shifts, strains.  Groups of crystals with noise
            do not count (``TRICLINIC``, ``STEADY``).  0 leaves it to the matcher.
        scale: largest ratio of their lengths, (volume / atoms)^(1/3).

    Raises:
        ValueError: for a tolerance below 0, a ratio below 1, or no number.
    """

    fingerprint: float = 0.5
    matcher: Matcher | None = field(default_factory=Matcher)
    symprec: float = 0.03
    scale: float = 1.2

    def __post_init__(self) -> None:
        for name, least in (("fingerprint", 0), ("symprec", 0), ("scale", 1)):
            if not getattr(self, name) >= least:
                raise ValueError(f"{name} must be at least {least}, not {getattr(self, name)}")

    def on(self, crystals: Crystals) -> Same:
        """The test whether crystals i and j of a batch are the same, the earlier one first."""
        if self.matcher is None:
            return lambda i, j: True
        match = self.matcher.on(crystals)

        @cache
        def group(i: int) -> int:
            """Space group of a crystal, 0 where noise may hide it."""
            if not self.symprec:
                return 0
            [found] = space_groups(crystals[i], self.symprec).tolist()
            steady = [found] == space_groups(crystals[i], self.symprec / STEADY).tolist()
            return MIRRORED.get(found, found) if steady and found > TRICLINIC else 0

        @cache
        def same(i: int, j: int) -> bool:
            return match(i, j) and (group(i) == group(j) or 0 in (group(i), group(j)))

        return same


FAST = Sameness(fingerprint=0.02, matcher=None)
"""By fingerprints alone."""


class Groups(NamedTuple):
    """Which of n crystals are the same.

    Attributes:
        of: (n,), the group of each; groups are numbered in the order of their first crystals.
        chained: pairs of crystals that are the same and stand in different groups, as others of
            these groups differ.
    """

    of: Int64[np.ndarray, " n"]
    chained: tuple[tuple[int, int], ...]


def group_duplicates(
    crystals: Crystals, same: Sameness | None = None, *, listener: Listener = SILENT
) -> Groups:
    """Groups of crystals that are the same.

    Args:
        crystals: in any cells.
        same: when two are; ``Sameness()`` if not given.
        listener: hears how many crystals have been compared with all others of their formula.
    """
    same = same or Sameness()
    first = np.arange(len(crystals))
    chained: list[tuple[int, int]] = []
    for near in _near_pairs(crystals, same, listener):
        members, place = np.unique(near.pairs, return_inverse=True)
        pairs = place.reshape(-1, 2)
        if same.matcher is None:
            first[members] = members[_connected(len(members), pairs)]
            continue
        judge = same.on(crystals.take(members))
        root, apart = _linked(len(members), pairs, (near.distances <= TWINS).tolist(), judge)
        first[members] = members[root]
        chained += [(int(members[i]), int(members[j])) for i, j in apart]
    _, groups = np.unique(first, return_inverse=True)
    return Groups(groups.astype(np.int64), tuple(chained))


def find_known(
    crystals: Crystals, reference: Crystals, same: Sameness | None = None
) -> Int64[np.ndarray, " n"]:
    """Index of the nearest reference crystal that each crystal is the same as, -1 where it is new.

    Args:
        crystals: candidates.
        reference: known crystals; those of other formulas are not looked at.
        same: when two are; ``Sameness()`` if not given.
    """
    same = same or Sameness()
    wanted = set(crystals.reduced_formulas.tolist())
    known = np.flatnonzero([formula in wanted for formula in reference.reduced_formulas])
    both = Crystals.concatenate([reference.take(known), crystals])
    found = np.full(len(both), -1, np.int64)
    for near in _near_pairs(both, same, SILENT):
        crossing = (near.pairs[:, 0] < len(known)) & (near.pairs[:, 1] >= len(known))
        members, place = np.unique(near.pairs[crossing], return_inverse=True)
        judge = same.on(both.take(members))
        for i, j in place.reshape(-1, 2).tolist():
            if found[members[j]] < 0 and judge(i, j):
                found[members[j]] = known[members[i]]
    return found[len(known) :]


def relative_distances(
    one: Float64[np.ndarray, "a length"], other: Float64[np.ndarray, "b length"]
) -> Float64[np.ndarray, "a b"]:
    """|x - y| / sqrt((|x|^2 + |y|^2) / 2) of every pair of fingerprints of one formula."""
    squares = np.sum(one**2, axis=1)[:, None] + np.sum(other**2, axis=1)
    apart = np.maximum(squares - 2 * one @ other.T, 0.0)
    return np.sqrt(2 * apart / np.maximum(squares, 1e-300))


def _connected(n: int, pairs: Int64[np.ndarray, "k 2"]) -> Int64[np.ndarray, " n"]:
    """First member of the connected component of each of n."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    edges = coo_array((np.ones(len(pairs), bool), tuple(pairs.T)), (n, n))
    _, component = connected_components(edges, directed=False)
    _, firsts = np.unique(component, return_index=True)
    return firsts[component]


def _linked(
    n: int, pairs: Int64[np.ndarray, "k 2"], twins: Sequence[bool], same: Same
) -> tuple[Int64[np.ndarray, " n"], list[tuple[int, int]]]:
    """First member of the group of each of n, and the pairs that are the same but stay apart.

    Args:
        n: how many there are.
        pairs: those that may be the same, the nearest first.
        twins: whether a pair is so near that one stands for both.
        same: whether two are the same, the earlier one first.
    """
    from scipy.cluster.hierarchy import DisjointSet

    groups, silent = DisjointSet(range(n)), set[int]()
    apart = []
    for (i, j), near in zip(pairs.tolist(), twins, strict=True):
        if groups.connected(i, j) or not same(i, j):
            continue
        one, other = groups.subset(i) - silent, groups.subset(j) - silent
        if near:
            silent |= other
        elif not all(same(min(a, b), max(a, b)) for a in one for b in other):
            apart.append((i, j))
            continue
        groups.merge(i, j)
    root = np.zeros(n, np.int64)
    for members in groups.subsets():
        root[list(members)] = min(members)
    return root, [(i, j) for i, j in apart if root[i] != root[j]]


class _Near(NamedTuple):
    """Pairs of crystals of one formula, and how far apart they are in fingerprint and size."""

    pairs: Int64[np.ndarray, "k 2"]
    distances: Float64[np.ndarray, " k"]


def _near_pairs(crystals: Crystals, same: Sameness, listener: Listener) -> Iterator[_Near]:
    """Pairs of crystals that may be the same, nearest first, many small formulas at a time."""
    lengths = np.cbrt(crystals.volumes / crystals.n_atoms)
    buckets = list(_formulas(crystals))
    done, total = 0, sum(map(len, buckets))
    held: list[Int64[np.ndarray, " _"]] = []
    for k, members in enumerate(buckets):
        held.append(members)
        if sum(map(len, held)) < ROWS and k < len(buckets) - 1:
            continue
        found = iter(fingerprints(crystals.take(np.concatenate(held))))
        parts = [_of_formula(m, np.array([next(found) for _ in m]), lengths, same) for m in held]
        yield _Near(*map(np.concatenate, zip(*parts, strict=True)))
        done += sum(map(len, held))
        listener.tick("match", done, total)
        held = []


def _formulas(crystals: Crystals) -> Iterator[Int64[np.ndarray, " k"]]:
    """Indices of the crystals of each reduced composition that more than one has."""
    counts = crystals.composition
    if not len(counts):
        return
    reduced = (counts // np.gcd.reduce(counts, axis=1)[:, None]).astype(np.uint16)
    rows = [row.tobytes() for row in reduced]
    _, bucket, sizes = np.unique(
        np.array(rows, dtype=object), return_inverse=True, return_counts=True
    )
    order = np.argsort(bucket, kind="stable")
    for members in np.split(order, np.cumsum(sizes)[:-1]):
        if len(members) > 1:
            yield members


def _of_formula(
    members: Int64[np.ndarray, " k"],
    values: Float64[np.ndarray, "k length"],
    lengths: Float64[np.ndarray, " n"],
    same: Sameness,
) -> _Near:
    parts = []
    for start in range(0, len(values), ROWS):
        apart = relative_distances(values[start : start + ROWS], values)
        i, j = np.nonzero(apart <= same.fingerprint)
        later = j > i + start
        parts.append((i[later] + start, j[later], apart[i[later], j[later]]))
    first, second, distance = (np.concatenate(column) for column in zip(*parts, strict=True))
    pairs = members[np.stack([first, second], axis=1)]
    size = np.abs(np.log(lengths[pairs[:, 0]] / lengths[pairs[:, 1]]))
    alike = np.flatnonzero(size <= np.log(same.scale))
    distance = np.hypot(distance, size)[alike]
    order = np.argsort(distance, kind="stable")
    return _Near(pairs[alike[order]], distance[order])
