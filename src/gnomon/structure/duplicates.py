"""Groups of crystals that are the same: formula, fingerprint, then the exact matcher.

Matching within tolerances is not transitive, so groups are the connected components of the graph of
matches, and not the greedy groups around whichever crystal came first.  Nearest pairs are compared
first, and pairs that are connected already not at all, which changes no component.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float64, Int64

from gnomon.crystals import Crystals
from gnomon.structure.components import joined
from gnomon.structure.fingerprint import fingerprints
from gnomon.structure.matching import Matcher

TOLERANCE = 0.5
"""Relative distance of fingerprints up to which the matcher is asked.

Of the 4,322 pairs of one formula in 24,440 crystals of the Materials Project the matcher finds 418
the same; the median distance of those is 0.075, and of 410 it is at most 0.5 (of 351 at most 0.2).
(``benchmarks/fingerprints.py``)."""

SAME = 0.02
"""Relative distance of fingerprints up to which crystals count as the same without a matcher."""

ROWS = 512
"""Fingerprints compared with all others of their formula at a time."""

BLOCK = 100_000
"""Pairs that are objects of Python at a time."""


def group_duplicates(
    crystals: Crystals, *, tolerance: float | None = None, match: bool = True
) -> Int64[np.ndarray, " n"]:
    """Group of each crystal: equal numbers are the same crystal, up to its size and mirror image.

    Groups are numbered from 0 in the order of their first crystals.

    Args:
        crystals: in any cells.
        tolerance: relative distance of fingerprints, |x - y| over the root mean square of |x| and
            |y|, beyond which crystals differ; ``TOLERANCE``, or ``SAME`` without the matcher.
        match: let pymatgen's ``StructureMatcher`` decide on pairs within the tolerance; without it
            they are taken as the same, which merges polytypes (stackings of the same layers).

    Raises:
        ValueError: if the tolerance is negative or no number.
    """
    limit = tolerance if tolerance is not None else (TOLERANCE if match else SAME)
    if not (np.isfinite(limit) and limit >= 0):
        raise ValueError(f"the tolerance must be a number from 0 on, not {limit}")
    first = np.arange(len(crystals))
    for buckets in _batches(crystals):
        pairs = np.concatenate([members[_near_pairs(values, limit)] for members, values in buckets])
        near, place = np.unique(pairs, return_inverse=True)
        same = Matcher().on(crystals.take(near)) if match else _always
        first[near] = near[joined(len(near), _listed(place.reshape(-1, 2)), same)]
    return _numbered(first)


def find_known(
    crystals: Crystals, reference: Crystals, *, tolerance: float | None = None, match: bool = True
) -> Int64[np.ndarray, " n"]:
    """Index of a reference crystal that each crystal is the same as, -1 where it is new.

    Args:
        crystals: candidates.
        reference: known crystals; those of other formulas are not looked at.
        tolerance: as of ``group_duplicates``.
        match: as of ``group_duplicates``.
    """
    wanted = set(crystals.reduced_formulas.tolist())
    near = np.flatnonzero([formula in wanted for formula in reference.reduced_formulas])
    both = Crystals.concatenate([reference.take(near), crystals])
    groups = group_duplicates(both, tolerance=tolerance, match=match)
    first: dict[int, int] = {}
    for group, i in zip(groups.tolist(), near.tolist(), strict=False):
        first.setdefault(group, i)
    return np.array([first.get(group, -1) for group in groups[len(near) :].tolist()], np.int64)


def relative_distances(
    one: Float64[np.ndarray, "a length"], other: Float64[np.ndarray, "b length"]
) -> Float64[np.ndarray, "a b"]:
    """|x - y| / sqrt((|x|^2 + |y|^2) / 2) of every pair of fingerprints of one formula."""
    squares = np.sum(one**2, axis=1)[:, None] + np.sum(other**2, axis=1)
    apart = np.maximum(squares - 2 * one @ other.T, 0.0)
    return np.sqrt(2 * apart / np.maximum(squares, 1e-300))


def _always(i: int, j: int) -> bool:
    return True


def _batches(
    crystals: Crystals,
) -> Iterator[list[tuple[Int64[np.ndarray, " _"], Float64[np.ndarray, "_ _"]]]]:
    """Crystals of each reduced composition that more than one has, and their fingerprints.

    Many compositions at once, each of its own size: most are of two crystals.
    """
    held: list[Int64[np.ndarray, " _"]] = []
    waiting = 0
    for members in _formulas(crystals):
        held.append(members)
        waiting += len(members)
        if waiting >= ROWS:
            yield _with_fingerprints(crystals, held)
            held, waiting = [], 0
    if held:
        yield _with_fingerprints(crystals, held)


def _with_fingerprints(
    crystals: Crystals, buckets: list[Int64[np.ndarray, " _"]]
) -> list[tuple[Int64[np.ndarray, " _"], Float64[np.ndarray, "_ _"]]]:
    found = fingerprints(crystals.take(np.concatenate(buckets)))
    ends = np.cumsum([len(members) for members in buckets])
    values = [
        found.values[found.offsets[end - len(members)] : found.offsets[end]]
        for members, end in zip(buckets, ends.tolist(), strict=True)
    ]
    return [
        (members, rows.reshape(len(members), -1))
        for members, rows in zip(buckets, values, strict=True)
    ]


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


def _near_pairs(
    values: Float64[np.ndarray, "k length"], tolerance: float
) -> Int64[np.ndarray, "pairs 2"]:
    """Pairs within the tolerance, nearest first."""
    first, second, distance = [], [], []
    for start in range(0, len(values), ROWS):
        apart = relative_distances(values[start : start + ROWS], values)
        i, j = np.nonzero(apart <= tolerance)
        later = j > i + start
        first.append(i[later] + start)
        second.append(j[later])
        distance.append(apart[i[later], j[later]])
    order = np.argsort(np.concatenate(distance), kind="stable")
    return np.stack([np.concatenate(first), np.concatenate(second)], axis=1)[order]


def _listed(pairs: Int64[np.ndarray, "pairs 2"]) -> Iterator[tuple[int, int]]:
    """Pairs of Python's integers, some at a time: a large bucket has millions."""
    for start in range(0, len(pairs), BLOCK):
        first, second = pairs[start : start + BLOCK].T.tolist()
        yield from zip(first, second, strict=True)


def _numbered(first: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
    """Groups in the order of their first members, from links to first members."""
    _, groups = np.unique(first, return_inverse=True)
    return groups.astype(np.int64)
