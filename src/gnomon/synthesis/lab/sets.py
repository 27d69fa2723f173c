"""Precursor sets: all ways to weigh in a target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np

from gnomon.elements import atomic_number
from gnomon.hull.phases import compositions
from gnomon.synthesis.lab.crucible import closed_atoms, closed_elements, fixed_elements

SHARE = 1e-6
"""Amounts of a precursor below this, a formula unit of the target, are none."""


@dataclass(frozen=True)
class PrecursorSet:
    """What is weighed in.

    Attributes:
        precursors: formulas, sorted.
        amounts: formula units of each for one of the target.
    """

    precursors: tuple[str, ...]
    amounts: tuple[float, ...]

    def __str__(self) -> str:
        """Formulas with plus signs."""
        return " + ".join(self.precursors)


def precursor_sets(
    target: str, pool: Sequence[str], pressures: Mapping[str, float]
) -> list[PrecursorSet]:
    """All sets of precursors that give the target in one way, all used up but for gases.

    >>> air = {"O2": 0.21, "CO2": 4e-4}
    >>> found = precursor_sets("BaTiO3", ["BaO", "BaCO3", "TiO2", "Ba2TiO4", "BaTiO3"], air)
    >>> [str(one) for one in found]
    ['Ba2TiO4 + TiO2', 'BaCO3 + TiO2', 'BaO + TiO2']

    Args:
        target: formula.
        pool: formulas of precursors; the target itself is none.
        pressures: of the gases (bar), which give and take their elements.

    Raises:
        ValueError: if all of the target comes from gases but one element, or no precursor holds
            one of its elements.
    """
    wanted = closed_elements(target, pressures)
    if len(wanted) < 2:
        raise ValueError(
            f"{target} holds {' and '.join(wanted) or 'nothing'} besides what the gas gives: "
            "there are no two precursors to react"
        )
    atoms = closed_atoms([target, *pool], pressures)
    goal, columns = atoms[0], np.flatnonzero(atoms[0])
    own = atoms[1:, columns]
    inside = (own.sum(axis=1) > 0) & (own.sum(axis=1) == atoms[1:].sum(axis=1))
    usable = sorted({pool[row] for row in np.flatnonzero(inside).tolist()} - {target})
    held = {symbol for name in usable for symbol in closed_elements(name, pressures)}
    if lacking := [symbol for symbol in wanted if symbol not in held]:
        raise ValueError(f"no precursor holds {', '.join(lacking)}: {target} cannot be made")
    of = dict(zip(pool, own, strict=True))
    found = []
    for size in range(2, len(wanted) + 1):
        for chosen in combinations(usable, size):
            matrix = np.array([of[name] for name in chosen]).T
            if np.linalg.matrix_rank(matrix) < size:
                continue
            amounts = np.linalg.lstsq(matrix, goal[columns], rcond=None)[0]
            if np.allclose(matrix @ amounts, goal[columns]) and (amounts > SHARE).all():
                found.append(PrecursorSet(chosen, tuple(amounts.tolist())))
    return found


@dataclass(frozen=True)
class Heating:
    """One experiment: what is weighed in, how hot and how long."""

    mixture: PrecursorSet
    celsius: float
    hours: float = 8.0


def weighed(mixture: PrecursorSet, pressures: Mapping[str, float]) -> dict[str, float]:
    """Atoms of each precursor that the gases do not fix, one in all."""
    return dict(_weighed(mixture, fixed_elements(pressures)))


@lru_cache(maxsize=4096)
def _weighed(mixture: PrecursorSet, fixed: frozenset[str]) -> tuple[tuple[str, float], ...]:
    counts = compositions(mixture.precursors)
    counts[:, [atomic_number(symbol) for symbol in fixed]] = 0.0
    atoms = counts.sum(axis=1) * np.array(mixture.amounts)
    return tuple(zip(mixture.precursors, (atoms / atoms.sum()).tolist(), strict=True))
