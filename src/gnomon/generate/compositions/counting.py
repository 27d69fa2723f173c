"""How many compositions there are: counted exactly, without enumerating them.

A combination is a set of n different species (an element in an oxidation state) with coprime
amounts of at most ``largest``, as Davies et al. count them (Chem 1, 617 (2016), table 1: 403
species, amounts up to 8).  Whether charges balance depends on the charges alone, so species are
counted by their charges, and the amounts once for each multiset of charges.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import combinations_with_replacement
from math import comb, factorial, prod

import numpy as np

Charges = tuple[int, ...]
"""Charges in ascending order."""


@dataclass(frozen=True)
class Ion:
    """A species.

    Attributes:
        symbol: of the element.
        charge: e, not 0.
        electronegativity: Pauling's, None where there is none.
    """

    symbol: str
    charge: int
    electronegativity: float | None


@dataclass(frozen=True)
class Counts:
    """Combinations of n species.

    Attributes:
        unconstrained: all of them.
        neutral: those whose charges balance.
        ordered: those in which, besides, every cation is less electronegative than every anion.
    """

    unconstrained: int
    neutral: int
    ordered: int


@cache
def coprime_amounts(n: int, largest: int) -> int:
    """Tuples of n amounts from 1 to ``largest`` without a common divisor.

    All of them, less those of every common divisor d: as many as up to largest / d without one.
    """
    divided = sum(coprime_amounts(n, largest // d) for d in range(2, largest + 1))
    return int(largest**n - divided)


def unconstrained(species: int, n: int, largest: int = 8) -> int:
    """Sets of n of so many species times their amounts."""
    return comb(species, n) * coprime_amounts(n, largest)


def count(
    ions: Sequence[Ion], n: int, largest: int = 8, *, distinct_elements: bool = False
) -> Counts:
    """Count the combinations of n species.

    Args:
        ions: the species, each once.
        n: how many are combined, at least 2.
        largest: amount of a species.
        distinct_elements: leave out combinations that hold an element twice.

    Raises:
        ValueError: if n is less than 2, or an ion comes twice or has no charge.
    """
    if n < 2 or len(set(ions)) < len(ions) or any(ion.charge == 0 for ion in ions):
        raise ValueError("counting takes two or more species, each once, none without a charge")
    ways = _choices(_by_element(ions, distinct_elements), n)
    whole = {charges: w for charges, w in ways.items() if len(charges) == n}
    everything = sum(whole.values())
    neutral = sum(w * balanced_amounts(charges, largest) for charges, w in whole.items())
    ordered = _ordered(ions, n, largest, distinct_elements)
    return Counts(everything * coprime_amounts(n, largest), neutral, ordered)


@lru_cache(maxsize=100_000)
def balanced_amounts(charges: Charges, largest: int) -> int:
    """Coprime amounts up to ``largest`` that make these charges sum to zero."""
    if min(charges) > 0 or max(charges) < 0:
        return 0
    axes = np.ix_(*[np.arange(1, largest + 1)] * len(charges))
    total = sum(q * axis for q, axis in zip(charges, axes, strict=True))
    divisor = np.gcd.reduce(np.broadcast_arrays(*axes))
    return int(((np.asarray(total) == 0) & (divisor == 1)).sum())


def _ordered(ions: Sequence[Ion], n: int, largest: int, distinct_elements: bool) -> int:
    """By the electronegativity of the highest cation: cations up to it, anions above it."""
    known = [ion for ion in ions if ion.electronegativity is not None]
    total = 0
    before: Mapping[Charges, int] = {(): 1}
    for limit in sorted({ion.electronegativity or 0.0 for ion in known if ion.charge > 0}):
        low = [i for i in known if i.charge > 0 and (i.electronegativity or 0.0) <= limit]
        high = [i for i in known if i.charge < 0 and (i.electronegativity or 0.0) > limit]
        cations = _choices(_by_element(low, distinct_elements), n - 1)
        anions = _choices(_by_element(high, distinct_elements), n - 1)
        for positive, ways in cations.items():
            new = ways - before.get(positive, 0)
            for negative, others in anions.items() if new else ():
                if len(positive) + len(negative) == n:
                    charges = (*negative, *positive)
                    total += new * others * balanced_amounts(charges, largest)
        before = cations
    return total


def _by_element(ions: Iterable[Ion], distinct_elements: bool) -> list[list[int]]:
    """Charges of which one may be taken from each list: of an element, or of one species."""
    if not distinct_elements:
        return [[ion.charge] for ion in ions]
    groups: dict[str, list[int]] = defaultdict(list)
    for ion in ions:
        groups[ion.symbol].append(ion.charge)
    return list(groups.values())


def _choices(groups: list[list[int]], most: int) -> dict[Charges, int]:
    """Ways to get each multiset of up to ``most`` charges, at most one charge from a group.

    The coefficients of the product over groups of (1 + sum of x_q over its charges q).
    """
    alike = Counter(tuple(sorted(group)) for group in groups)
    ways: dict[Charges, int] = {(): 1}
    for group, times in alike.items():
        powers = [
            (picked, _arrangements(picked) * comb(times, k))
            for k in range(min(times, most) + 1)
            for picked in combinations_with_replacement(group, k)
        ]
        longer: dict[Charges, int] = defaultdict(int)
        for charges, w in ways.items():
            for picked, factor in powers:
                if len(charges) + len(picked) <= most:
                    longer[tuple(sorted(charges + picked))] += w * factor
        ways = dict(longer)
    return ways


def _arrangements(picked: Charges) -> int:
    """Orders of a multiset: which of the groups that are alike gives which charge."""
    return factorial(len(picked)) // prod(map(factorial, Counter(picked).values()))
