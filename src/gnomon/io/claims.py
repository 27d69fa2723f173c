"""What a record says of its crystal besides the sites, held against the crystal that was built.

What cannot both be true makes a reject.  What is odd, but may be true, is a warning of the record.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gnomon.crystals import AMU_PER_A3_IN_G_PER_CM3
from gnomon.elements import MASSES, SYMBOLS
from gnomon.io.reasons import Reason, UnusableError, contradiction

VOLUME = (0.005, 0.02)
"""Relative errors of a stated cell volume that are odd, and that refute the record."""

DENSITY = (0.03, 0.10)
"""The same for a stated density."""

MAX_FORMULA = 1000
"""Characters of a formula that are read."""

_NUMBER = r"(\d+\.?\d*|\.\d+)?"
_TERM = re.compile(rf"([A-Z][a-z]?){_NUMBER}")
_GROUP = re.compile(rf"[(\[{{]([^()\[\]{{}}]*)[)\]}}]{_NUMBER}")
_PART = re.compile(rf"{_NUMBER}(.*)")
_JOINTS = re.compile(r"\s\.\s*|[·•*,?]|\.\s|\.(?=\d*\(?H2O)")
"""Between the parts of a formula: ``Ca S O4 . 2(H2 O)``."""
_CHARGE = re.compile(r"(?<=[A-Za-z\d)\]}])(?:\s+\d*[+-]|(?<=[A-Za-z])\d*[+-]\d*)(?![\dA-Za-z])")
"""Of an ion, with what may also be an amount: ``O2-``."""


@dataclass(frozen=True)
class Formula:
    """A formula as written: amounts of elements, and by how much each may be off by rounding."""

    amounts: Mapping[str, float]
    rounding: Mapping[str, float]

    @classmethod
    def parse(cls, text: str) -> "Formula | None":
        """``Al2 Mg O4``, ``Ca (O H)2``, ``CuSO4.5H2O``; None for anything else.

        Of a formula with charges the elements alone are kept: any amount is within rounding.
        """
        amounts: dict[str, float] = {}
        rounding: dict[str, float] = {}
        neutral, charges = _CHARGE.subn("", text[:MAX_FORMULA])
        compact = "".join(map(_multiplied, _JOINTS.split(neutral)))
        if not compact or _TERM.sub("", compact):
            return None
        for symbol, number in _TERM.findall(compact):
            element = "H" if symbol in ("D", "T") else symbol
            decimals = len(number.partition(".")[2])
            if element not in SYMBOLS[1:] or len(number) > 12:
                return None
            amounts[element] = amounts.get(element, 0.0) + float(number or 1)
            rounding[element] = rounding.get(element, 0.0) + (10.0**-decimals if decimals else 0.0)
            rounding[element] += np.inf if charges else 0.0
        amounts = {element: amount for element, amount in amounts.items() if amount > 0}
        return cls(amounts, rounding) if amounts else None

    def is_of_the_ratio_of(self, other: "Formula") -> bool:
        """Whether two formulas have one composition, within the rounding of their digits."""
        if self.amounts.keys() != other.amounts.keys():
            return False
        totals = [sum(one.amounts.values()) for one in (self, other)]
        return all(
            abs(self.amounts[e] / totals[0] - other.amounts[e] / totals[1])
            <= 1e-6 + self.rounding[e] / totals[0] + other.rounding[e] / totals[1]
            for e in self.amounts
        )


def _multiplied(part: str) -> str:
    """A part of a formula, ``2(H2 O)``, without factors in front and brackets."""

    def times(content: str, factor: str | None) -> str:
        if not factor:
            return content
        return _TERM.sub(lambda m: f"{m[1]}{float(m[2] or 1) * float(factor):g}", content)

    part = _PART.sub(r"(\2)\1", "".join(part.split()), count=1)
    while (outer := _GROUP.sub(lambda m: times(m[1], m[2]), part)) != part:
        part = outer
    return part


@dataclass(frozen=True)
class Claims:
    """What a record says; None where it is silent.

    Attributes:
        formula: of one formula unit.
        units: formula units in the cell.
        volume: of the cell, Å^3.
        density: g/cm^3.
        n_sites: atoms in the cell.
    """

    formula: Formula | None = None
    units: float | None = None
    volume: float | None = None
    density: float | None = None
    n_sites: int | None = None

    def check(self, lattice: Any, atomic_numbers: Any) -> list[str]:
        """What is odd about a crystal (cell in Å, numbers of all atoms in it).

        Raises:
            UnusableError: if it is not what the record says: ``incomplete`` where elements of the
                formula have no site, else ``contradictory``.
        """
        numbers = np.asarray(atomic_numbers, np.int64)
        counts = {SYMBOLS[z]: int(n) for z, n in enumerate(np.bincount(numbers)) if n and z}
        volume = abs(float(np.linalg.det(lattice)))
        odd = list(self._volume(volume))
        if self.n_sites is not None and self.n_sites != len(numbers):
            raise contradiction(f"{self.n_sites} sites are stated, there are {len(numbers)}")
        if self.formula is not None:
            odd += self._ratio(self.formula, counts)
        built = float(MASSES[numbers].sum()) / max(volume, 1e-9) * AMU_PER_A3_IN_G_PER_CM3
        off = None if not self.density else abs(built / self.density - 1)
        expected, slack = self._expected()
        counted = any(abs(len(numbers) - n) <= slack for n in expected)
        if expected and not counted:
            detail = f"{self.units:g} formula units are {expected[0]:g} atoms, not {len(numbers)}"
            if off is None or off > DENSITY[0]:
                raise contradiction(detail)
            odd.append(f"{detail}, but the density is that of these atoms")
        if off is not None and off > DENSITY[0]:
            detail = f"a density of {self.density:g} g/cm^3 is stated, the atoms have {built:.4g}"
            if off > DENSITY[1] and not counted:
                raise contradiction(detail)
            odd.append(detail)
        return odd

    def _volume(self, volume: float) -> Iterator[str]:
        if not self.volume:
            return
        off = abs(volume / self.volume - 1)
        detail = f"a cell volume of {self.volume:g} Å^3 is stated, the cell has {volume:.6g}"
        if off > VOLUME[1]:
            raise contradiction(detail)
        if off > VOLUME[0]:
            yield detail

    def _ratio(self, formula: Formula, counts: Mapping[str, int]) -> Iterator[str]:
        """Elements and their ratio."""
        if absent := sorted(formula.amounts.keys() - counts.keys()):
            raise UnusableError(
                Reason.incomplete, f"the formula has {', '.join(absent)}, but no site holds it"
            )
        if extra := sorted(counts.keys() - formula.amounts.keys()):
            raise contradiction(f"sites hold {', '.join(extra)}, which the formula has not")
        n, total = sum(counts.values()), sum(formula.amounts.values())
        for element, amount in formula.amounts.items():
            expected = amount * n / total
            slack = 1e-6 + (formula.rounding[element] + max(formula.rounding.values())) * n / total
            if abs(counts[element] - expected) > slack + 1e-6 * n:
                raise contradiction(
                    f"{counts[element]} of {n} atoms are {element}, {expected:.4g} by the formula"
                )
        if self.units is None and not any(formula.rounding.values()) and n % total:
            yield f"{n} atoms are no whole number of formulas of {total:g}"

    def _expected(self) -> tuple[list[float], float]:
        """Atoms in so many formula units, and by how many that may be off by rounding.

        pymatgen writes the formula of the whole cell beside the units in it: then either is meant.
        """
        if self.formula is None or not self.units:
            return [], 0.0
        amounts, units = np.array(list(self.formula.amounts.values())), self.units
        atoms = units * amounts.sum()
        of_cell = units > 1 and not (amounts / units % 1).any()
        slack = 1e-6 * atoms + units * sum(self.formula.rounding.values())
        return [atoms, *([amounts.sum()] if of_cell else [])], slack
