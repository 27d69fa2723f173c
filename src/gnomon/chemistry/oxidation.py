"""Oxidation states of a compound: one tabulated ion for each element, charges in balance."""

import itertools
from functools import cache, lru_cache

import numpy as np

from gnomon.elements import SYMBOLS, Counts, atomic_number, element

MAX_COMBINATIONS = 1_000_000
"""Sets of states tried for one compound; eight elements of five states each are 400,000."""

IONIC = frozenset(atomic_number(symbol) for symbol in ("O", "F", "S", "Cl", "Se", "Br", "I"))
"""Elements that make no metallic compounds: where these are, atoms without charges say that states
are mixed, and not that there are none."""


@lru_cache(maxsize=200_000)
def oxidation_states(counts: Counts) -> tuple[int, ...] | None:
    """Most likely integer state of each element, None where none balances the charges.

    Of all sets of one common state (ICSD) for each element that are neutral, the one that the ICSD
    shows most often, summed over atoms, is taken: the ranking of pymatgen's
    ``Composition.oxi_state_guesses``, restricted to one state for each element.

    Args:
        counts: (atomic number, atoms) of each element.

    Returns:
        The states in the order of ``counts``, e.
    """
    options = [common_states(z) for z, _ in counts]
    size = int(np.prod([len(o) for o in options], dtype=float))
    if len(counts) < 2 or not 0 < size <= MAX_COMBINATIONS:
        return None

    def charge(states: tuple[int, ...]) -> int:
        return sum(q * n for q, (_, n) in zip(states, counts, strict=True))

    def seen(states: tuple[int, ...]) -> float:
        return sum(n * occurrence(z, q) for q, (z, n) in zip(states, counts, strict=True))

    balanced = (states for states in itertools.product(*options) if charge(states) == 0)
    return max(balanced, key=seen, default=None)


def ions(counts: Counts) -> tuple[str, ...] | None:
    """Ion of each element, such as ``Na+``; neutral ones, such as ``Cu0``, in metals.

    Where no states balance, all atoms count as neutral unless one of ``IONIC`` is among them: so
    elements, alloys and intermetallics have ions, and compounds of mixed valence have none.

    Args:
        counts: (atomic number, atoms) of each element.

    Returns:
        The ions in the order of ``counts``, None where there are none.
    """
    states = oxidation_states(counts)
    if states is None:
        if any(z in IONIC for z, _ in counts):
            return None
        states = (0,) * len(counts)
    return tuple(write_ion(z, q) for (z, _), q in zip(counts, states, strict=True))


@lru_cache(maxsize=200_000)
def nearest_ions(counts: Counts) -> tuple[str, ...] | None:
    """The same as ``ions``, and for compounds of mixed valence the nearest ion of one element.

    One element may have a mean state between two of its common ones, such as Fe of Fe3O4 (+8/3),
    and counts as the ion nearest to it (Fe3+), of two the more frequent one.  Of all choices the
    one that the ICSD shows most often is taken, a mean state counting as the rarer of the two that
    it lies between.

    Args:
        counts: (atomic number, atoms) of each element.

    Returns:
        The ions in the order of ``counts``, None where there are none.
    """
    found = ions(counts)
    options = [common_states(z) for z, _ in counts]
    if found is not None or len(counts) < 2 or not all(options):
        return found
    best: tuple[float, tuple[int, ...]] | None = None
    for at, (z, n) in enumerate(counts):
        rest = [(counts[j], options[j]) for j in range(len(counts)) if j != at]
        if np.prod([len(o) for _, o in rest], dtype=float) > MAX_COMBINATIONS:
            continue
        for states in itertools.product(*(o for _, o in rest)):
            mean = -sum(q * m for q, ((_, m), _) in zip(states, rest, strict=True)) / n
            lower = [q for q in options[at] if q < mean]
            upper = [q for q in options[at] if q > mean]
            if not (lower and upper):
                continue
            between = (max(lower), min(upper))
            seen = n * min(occurrence(z, q) for q in between)
            seen += sum(m * occurrence(y, q) for q, ((y, m), _) in zip(states, rest, strict=True))
            if best is None or seen > best[0]:
                own = min((abs(q - mean), -occurrence(z, q), q) for q in between)[2]
                best = (seen, (*states[:at], own, *states[at:]))
    if best is None:
        return None
    return tuple(write_ion(z, q) for (z, _), q in zip(counts, best[1], strict=True))


def write_ion(z: int, charge: int) -> str:
    """Name of an ion: 26, 3 → ``Fe3+``; 11, 1 → ``Na+``; 29, 0 → ``Cu0``."""
    if charge == 0:
        return f"{SYMBOLS[z]}0"
    number = "" if abs(charge) == 1 else str(abs(charge))
    return f"{SYMBOLS[z]}{number}{'+' if charge > 0 else '-'}"


@cache
def common_states(z: int) -> tuple[int, ...]:
    """Oxidation states of an element that are common in the ICSD, through pymatgen."""
    states = element(z).icsd_oxidation_states or element(z).common_oxidation_states
    return tuple(int(q) for q in states)


@cache
def occurrence(z: int, state: int) -> float:
    """How often the ICSD shows an element in this state (pymatgen's count)."""
    from pymatgen.core import Species
    from pymatgen.core.bond_valence import PRIOR_PROB

    return float(PRIOR_PROB.get(Species(SYMBOLS[z], state), 0))
