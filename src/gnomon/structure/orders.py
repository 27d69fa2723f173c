"""Orders of one parent lattice: crystals that differ in which atom is where, and in little else."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gnomon.crystals import Crystals
from gnomon.structure.duplicates import Sameness

ANY = 1
"""Atomic number that stands for all elements."""

PARENT = Sameness(fingerprint=np.inf, symprec=0.0)
"""Parent lattices are compared by the matcher alone: orders strain them, each in its own way."""


def orders_of_one_lattice(crystals: Crystals) -> Callable[[int, int], bool]:
    """The test whether crystals i and j of a batch are different orders of one parent lattice.

    They have one composition; with all atoms made one element they are the same within the
    matcher's tolerances, and as they are they are not.  Atoms that were displaced or cells that
    were strained beyond these (0.25 Å, 20 % of a length, 5 degrees) are no order of the parent.

    >>> import numpy as np
    >>> fcc = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
    >>> twice = [[x, y, (z + k) / 2] for k in (0, 1) for x, y, z in fcc]
    >>> single = Crystals.single(np.eye(3) * 3.75, [79, 29, 29, 29], fcc)  # L1_2
    >>> numbers = [79, 29, 29, 29, 29, 29, 29, 79]  # D0_22
    >>> double = Crystals.single(np.diag([3.75, 3.75, 7.5]), numbers, twice)
    >>> test = orders_of_one_lattice(Crystals.concatenate([single, double, single]))
    >>> test(0, 1), test(0, 2)
    (True, False)
    """
    stripped = crystals.with_atomic_numbers(np.full(len(crystals.atomic_numbers), ANY))
    one_lattice, one_crystal = PARENT.on(stripped), Sameness(fingerprint=np.inf).on(crystals)
    formulas = crystals.reduced_formulas

    def orders(i: int, j: int) -> bool:
        first, second = sorted((i, j))
        return bool(
            formulas[i] == formulas[j]
            and one_lattice(first, second)
            and not one_crystal(first, second)
        )

    return orders
