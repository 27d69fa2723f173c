"""The exact comparison of two crystals: pymatgen's ``StructureMatcher`` on cells reduced here."""

from __future__ import annotations

import contextlib
from typing import Any

from gnomon.crystals import Crystals
from gnomon.io import to_pymatgen
from gnomon.symmetry import SymmetryError, niggli, primitive

SYMPREC = 0.1
"""Å within which symmetry is looked for (the Materials Project's for relaxed crystals)."""


class Matcher:
    """Compares crystals of a batch by index, with pymatgen's default tolerances.

    Lattices may differ by 20 % in length and 5 degrees, sites by 0.3 of (V / n)^(1/3) on average
    (root mean square); sizes are made equal first.  Primitive cells are found once for each
    crystal, by spglib: crystals with unequal numbers of atoms in them differ.
    """

    def __init__(self, crystals: Crystals) -> None:
        """Work on the crystals of this batch."""
        from pymatgen.analysis.structure_matcher import StructureMatcher  # noqa: PLC0415

        self._crystals = crystals
        self._matcher = StructureMatcher(attempt_supercell=False)
        self._primitives: dict[int, Crystals] = {}
        self._structures: dict[int, Any] = {}

    def same(self, i: int, j: int) -> bool:
        """Whether crystals i and j match."""
        one, other = self.primitive(i), self.primitive(j)
        if len(one.atomic_numbers) != len(other.atomic_numbers):
            return False
        structures = self._structure(i), self._structure(j)
        return bool(self._matcher.fit(*structures, skip_structure_reduction=True))

    def primitive(self, i: int) -> Crystals:
        """The primitive cell of crystal i, or the cell as given where spglib finds none."""
        if i not in self._primitives:
            self._primitives[i] = _primitive(self._crystals[i])
        return self._primitives[i]

    def _structure(self, i: int) -> Any:
        """pymatgen's, in the Niggli cell where there is one."""
        if i not in self._structures:
            crystal = self.primitive(i)
            with contextlib.suppress(SymmetryError):
                crystal = niggli(crystal)
            [self._structures[i]] = to_pymatgen(crystal)
        return self._structures[i]


def _primitive(crystal: Crystals) -> Crystals:
    try:
        return primitive(crystal, SYMPREC)
    except SymmetryError:
        return crystal
