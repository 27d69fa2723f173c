"""Magnetic moments: where a calculation begins, and what it may not end in."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Integer

MAX_MOMENT = 8.0
"""μB an atom: no free atom has more than the 8 of gadolinium (7 in 4f, 1 in 5d)."""

MAX_JUMP = 0.2
"""μB an atom by which the last two calculations of a relaxation may differ."""

OXYGEN = 8

START = {
    **{23: 3.0, 24: 4.0, 25: 5.0, 26: 4.0, 27: 3.0, 28: 2.0},  # V to Ni
    **{58: 1.0, 59: 3.0, 60: 4.0, 61: 5.0, 62: 6.0, 63: 7.0, 64: 7.0, 65: 6.0, 66: 5.0, 67: 4.0},
    **{68: 3.0, 69: 2.0},  # Er, Tm
}
"""μB an atom, for V to Ni and 4f metals: about the spins of Hund's rules, all parallel, as
calculations that begin without a moment stay without one, and too large a moment shrinks."""


def starting_moments(
    atomic_numbers: Integer[np.ndarray, " atoms"],
) -> Float64[np.ndarray, " atoms"]:
    """Ferromagnetic start (μB) for elements that may carry a moment; zero for all others.

    Pure oxygen begins as triplet O2.
    """
    if np.all(atomic_numbers == OXYGEN):
        return np.ones(len(atomic_numbers))
    return np.array([START.get(int(z), 0.0) for z in atomic_numbers], dtype=np.float64)


def wrong_moment(moment: float, before: float | None, n_atoms: int) -> str:
    """What is wrong with the total moment (μB) that a calculation ended with, or empty.

    Args:
        moment: in the end.
        before: of the calculation before, None where there was none.
        n_atoms: in the cell.
    """
    if not np.isfinite(moment) or abs(moment) > MAX_MOMENT * n_atoms:
        return (
            f"a moment of {moment / n_atoms:.1f} μB an atom, more than any atom carries: "
            "the magnetic state is nonsense"
        )
    if before is not None and abs(abs(moment) - abs(before)) > MAX_JUMP * n_atoms:
        return (
            f"the moment went from {before:.2f} to {moment:.2f} μB between the last two "
            "calculations: they are of two magnetic states"
        )
    return ""
