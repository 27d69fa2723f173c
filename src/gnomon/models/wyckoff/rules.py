"""What orbits may come next: symmetry, the elements or formula that were asked for, the size."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Int64

from gnomon.elements import MAX_Z
from gnomon.models.wyckoff.sequences import LETTERS, MAX_ORBITS, Tables
from gnomon.structure.asymmetric_unit import element_order

END = 0
"""In the place of an element: there are no more orbits."""


@dataclass(eq=False)
class Orbits:
    """The orbits of n crystals so far, and what each may take next.

    Elements come in the order of ``element_order`` and positions of one element in their own; what
    has no freedom is taken once.  A row that outgrows ``max_atoms`` in a primitive cell is lost: if
    positions that are too large were forbidden, what began as a large crystal would end as a piece
    of it.

    Attributes:
        known: tables of all space groups.
        allowed: (n, 119), elements that may occur.
        needed: (n, 119), elements that must.
        formula: (n, 119), reduced formula that must come out, 0 everywhere for any.
        max_atoms: of the primitive cell.
        kinds: elements of a crystal, at least; what ends with fewer is not complete.
    """

    known: Tables
    allowed: Bool[np.ndarray, "n 119"]
    needed: Bool[np.ndarray, "n 119"]
    formula: Int64[np.ndarray, "n 119"]
    max_atoms: int
    kinds: int = 1
    group: Int64[np.ndarray, " n"] = field(init=False)
    elements: Int64[np.ndarray, "n N"] = field(init=False)
    positions: Int64[np.ndarray, "n N"] = field(init=False)
    count: Int64[np.ndarray, " n"] = field(init=False)
    amounts: Int64[np.ndarray, "n 119"] = field(init=False)
    taken: Bool[np.ndarray, "n 27"] = field(init=False)
    ended: Bool[np.ndarray, " n"] = field(init=False)
    complete: Bool[np.ndarray, " n"] = field(init=False)

    def begin(self, group: Int64[np.ndarray, " n"]) -> None:
        """Empty crystals of these space groups."""
        n = len(group)
        self.group = group
        self.elements, self.positions = np.zeros((2, n, MAX_ORBITS), np.int64)
        self.count, self.amounts = np.zeros(n, np.int64), np.zeros((n, MAX_Z + 1), np.int64)
        self.taken = np.zeros((n, LETTERS), bool)
        self.ended, self.complete = np.zeros((2, n), bool)
        self._atoms = self.known.multiplicity[group] // self.known.centring[group, None]
        self._fixed = ~self.known.free[group].any(axis=2)
        self._rows = np.arange(n)

    @property
    def last(self) -> Int64[np.ndarray, " n"]:
        """Element of the last orbit, 0 before the first."""
        return self.elements[self._rows, np.maximum(self.count - 1, 0)]

    def elements_allowed(self) -> Bool[np.ndarray, "n 119"]:
        """Elements that may come next, and the end (0); none in rows that are lost."""
        order = element_order()
        last = self.last
        missing = self.needed & (self.amounts == 0)
        ranks = np.where(missing, order, order.max() + 1).min(axis=1)
        may = self.allowed & (order >= np.where(last > 0, order[last], -1)[:, None])
        may &= order <= ranks[:, None]
        may[self.count == MAX_ORBITS] = False
        settled, asked = self._settled(last), self.formula.any(axis=1)
        same = np.arange(MAX_Z + 1) == last[:, None]
        room = np.where(same, *(self._fits(e)[:, None] for e in (last, np.zeros_like(last))))
        for z in np.flatnonzero(self.formula.any(axis=0)).tolist():
            room[asked, z] = self._fits(np.full(len(last), z))[asked]
        may &= room & (same | settled[:, None])
        may[:, END] = (self.count > 0) & ~missing.any(axis=1) & settled
        may[self.ended] = False
        return np.asarray(may)

    def add(
        self,
        which: Bool[np.ndarray, " n"],
        element: Int64[np.ndarray, " n"],
        position: Int64[np.ndarray, " n"],
    ) -> None:
        """One more orbit in some rows; those that outgrow ``max_atoms`` are lost."""
        rows = np.flatnonzero(which)
        at = self.count[rows]
        self.elements[rows, at], self.positions[rows, at] = element[rows], position[rows]
        self.amounts[rows, element[rows]] += self._atoms[rows, position[rows]]
        self.taken[rows, position[rows]] = True
        self.count[rows] += 1
        self.ended |= self.amounts.sum(axis=1) > self.max_atoms

    def end(self, which: Bool[np.ndarray, " n"]) -> None:
        """Some rows have no more orbits: complete where the end was allowed."""
        now = which & ~self.ended
        missing = (self.needed & (self.amounts == 0)).any(axis=1)
        enough = (self.amounts > 0).sum(axis=1) >= self.kinds
        self.complete |= now & enough & ~missing & self._settled(self.last)
        self.ended |= which

    def _fits(self, element: Int64[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
        """Whether any position can take these elements."""
        return np.asarray(self.positions_allowed(element).any(axis=1))

    def _settled(self, last: Int64[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
        """Whether the last element has the atoms that the formula asks for."""
        own, unit = self.amounts[self._rows, last], self.formula[self._rows, last]
        units = self._units()
        whole = np.where(units > 0, own == units * unit, own % np.maximum(unit, 1) == 0)
        return (self.formula.sum(axis=1) == 0) | (last == 0) | whole

    def _units(self) -> Int64[np.ndarray, " n"]:
        """Formula units, which the first element decides once another has come; 0 before."""
        first = self.elements[:, 0]
        amount, unit = self.amounts[self._rows, first], self.formula[self._rows, first]
        known = (first > 0) & (self.last != first) & (unit > 0)
        return np.where(known, amount // np.maximum(unit, 1), 0)

    def positions_allowed(self, element: Int64[np.ndarray, " n"]) -> Bool[np.ndarray, "n 27"]:
        """Positions that the next orbit may take, if it is of these elements (0: of a new one).

        Only a formula bounds them, by the atoms of its units that fit into ``max_atoms``.
        """
        last = self.last
        free = (self._atoms > 0) & ~(self.taken & self._fixed)
        at = self.positions[self._rows, np.maximum(self.count - 1, 0)]
        free &= (element != last)[:, None] | (np.arange(LETTERS) >= at[:, None])
        asked = self.formula.sum(axis=1)
        unit, own = self.formula[self._rows, element], self.amounts[self._rows, element]
        first = self.elements[:, 0]
        settled = self.amounts[self._rows, first] // np.maximum(self.formula[self._rows, first], 1)
        beyond = (first > 0) & (element != first)
        most = np.where(beyond, settled, self.max_atoms // np.maximum(asked, 1))
        left = np.minimum(self.max_atoms - self.amounts.sum(axis=1), most * unit - own)
        return free & ((asked == 0)[:, None] | (self._atoms <= left[:, None]))
