"""Oxidation states of a compound: one tabulated ion for each element, charges in balance."""

import itertools
from functools import cache, lru_cache

import numpy as np

from gnomon.elements import SYMBOLS

MAX_COMBINATIONS = 1_000_000
"""Sets of states tried for one compound; eight elements of five states each are 400,000."""


@lru_cache(maxsize=200_000)
def oxidation_states(counts: tuple[tuple[int, int], ...]) -> tuple[int, ...] | None:
    """Most likely integer state of each element, None where none balances the charges.

    Of all sets of one common state (ICSD) for each element that are neutral, the one that the ICSD
    shows most often, summed over atoms, is taken: the ranking of pymatgen's
    ``Composition.oxi_state_guesses``, restricted to one state for each element.

    Args:
        counts: (atomic number, atoms) of each element.

    Returns:
        The states in the order of ``counts``, e.
    """
    options = [_common_states(z) for z, _ in counts]
    size = int(np.prod([len(o) for o in options], dtype=float))
    if len(counts) < 2 or not 0 < size <= MAX_COMBINATIONS:
        return None
    best: tuple[float, tuple[int, ...]] | None = None
    for states in itertools.product(*options):
        if sum(q * n for q, (_, n) in zip(states, counts, strict=True)):
            continue
        seen = sum(n * _occurrence(z, q) for q, (z, n) in zip(states, counts, strict=True))
        if best is None or seen > best[0]:
            best = (seen, states)
    return None if best is None else best[1]


@cache
def _common_states(z: int) -> tuple[int, ...]:
    from pymatgen.core import Element  # noqa: PLC0415  (0.1 s that `--help` need not pay)

    element = Element(SYMBOLS[z])
    states = element.icsd_oxidation_states or element.common_oxidation_states
    return tuple(int(q) for q in states)


@cache
def _occurrence(z: int, state: int) -> float:
    """How often the ICSD shows an element in this state (pymatgen's count)."""
    from pymatgen.core import Species  # noqa: PLC0415
    from pymatgen.core.bond_valence import PRIOR_PROB  # noqa: PLC0415

    return float(PRIOR_PROB.get(Species(SYMBOLS[z], state), 0))
