"""Mean oxidation states of a compound whose atoms may each have a state of their own."""

from functools import lru_cache

import numpy as np
from jaxtyping import Float64

from gnomon.chemistry.oxidation import common_states, occurrence
from gnomon.elements import Counts

NEVER = -np.inf


@lru_cache(maxsize=200_000)
def mean_states(
    counts: Counts, allowed: tuple[tuple[int, ...], ...] | None = None
) -> tuple[float, ...] | None:
    """Most likely mean state of each element, None where no states balance the charges.

    Each atom has one of its element's common states (ICSD), all charges are in balance, and of all
    ways the one is taken that the ICSD shows most often, summed over atoms: the ranking of
    pymatgen's ``Composition.oxi_state_guesses``, which lists all ways, whose number grows
    exponentially with that of atoms.  Here the best way to each sum of charges is kept, atom by
    atom, so that formulas of hundreds of atoms take milliseconds.

    Args:
        counts: (atomic number, atoms) of each element.
        allowed: states that atoms of each element may have; by default the common ones.

    Returns:
        The states in the order of ``counts``, e; those of equal rank in pymatgen's order.

    >>> mean_states(((26, 3), (8, 4)))  # Fe3O4
    (2.6666666666666665, -2.0)
    """
    states = allowed or tuple(common_states(z) for z, _ in counts)
    if len(counts) < 2 or not all(states):
        return None
    tables = [_scores(z, n, own) for (z, n), own in zip(counts, states, strict=True)]
    # best[i][s - low[i]]: of the elements from i on, the best score of all ways to the charge s
    low, best = 0, np.zeros(1)
    behind = [(low, best)]
    for start, scores in reversed(tables):
        best = _joined(scores, best)
        low += start
        behind.append((low, best))
    if not 0 <= -low < len(best) or best[-low] == NEVER:
        return None
    charges, left = [], 0
    for (start, scores), (rest_low, rest) in zip(tables, behind[-2::-1], strict=True):
        # charge c of this element leaves left - c to the others
        at = left - (start + np.arange(len(scores))) - rest_low
        inside = (at >= 0) & (at < len(rest))
        total = np.full(len(scores), NEVER)
        total[inside] = scores[inside] + rest[at[inside]]
        charges.append(start + int(total.argmax()))
        left -= charges[-1]
    return tuple(charge / n for charge, (_, n) in zip(charges, counts, strict=True))


@lru_cache(maxsize=4096)
def _scores(z: int, n: int, states: tuple[int, ...]) -> tuple[int, Float64[np.ndarray, " sums"]]:
    """Of n atoms: the lowest sum of their states, and the best score of each sum from it on."""
    low = min(states)
    one = np.full(max(states) - low + 1, NEVER)
    for state in states:
        one[state - low] = max(one[state - low], occurrence(z, state))
    scores = np.zeros(1)
    for _ in range(n):
        scores = _joined(one, scores)
    return n * low, scores


def _joined(
    one: Float64[np.ndarray, " a"], other: Float64[np.ndarray, " b"]
) -> Float64[np.ndarray, " c"]:
    """Best scores of the sums of two parts: a convolution of maximum and plus."""
    short, long = sorted((one, other), key=len)
    joined = np.full(len(short) + len(long) - 1, NEVER)
    for i in np.flatnonzero(short > NEVER):
        part = joined[i : i + len(long)]
        np.maximum(part, short[i] + long, out=part)
    return joined
