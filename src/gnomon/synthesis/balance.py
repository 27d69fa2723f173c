"""Reactions in whole numbers: exact arithmetic, so that a reaction balances or is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import combinations
from math import gcd, lcm

from gnomon.elements import parse_formula

FINEST = 1000
"""Largest denominator of an amount in a formula, as in La0.875Sr0.125MnO3."""

AIR = ("O2", "CO2", "H2O")
"""Gases that air gives as well as takes."""

GIVEN_OFF = {
    **{"CO2": 1, "H2O": 1, "O2": 1, "NH3": 1, "NO2": 2, "SO2": 2, "HCl": 2, "HF": 2},
    **{"N2": 3, "CO": 3, "Cl2": 3, "I2": 3, "H2": 5},
}
"""Gases that a reaction of solids may give off, and how much each is to be avoided: between two
balanced reactions the one with the lower sum is meant."""

UNLIKE = {"NO3": "NH3", "NH4": "NO2"}
"""Groups in the formula of a precursor, and the gas that their nitrogen does not leave as: that of
nitrates beside ammonium leaves as N2."""

MOST_GASES = 4
"""Gases in one reaction."""


@dataclass(frozen=True)
class Reaction:
    """A balanced reaction: whole coefficients and formulas of both sides.

    >>> str(balance(["BaCO3", "TiO2"], ["BaTiO3", "CO2"]))
    'BaCO3 + TiO2 → BaTiO3 + CO2'
    """

    left: tuple[tuple[int, str], ...]
    right: tuple[tuple[int, str], ...]

    def __str__(self) -> str:
        """As a chemist writes it."""
        return " → ".join(
            " + ".join(f"{n} {f}" if n > 1 else f for n, f in side)
            for side in (self.left, self.right)
        )

    @property
    def difference(self) -> dict[str, Fraction]:
        """Atoms right minus left by element, where they differ: nothing for a reaction."""
        total: dict[str, Fraction] = {}
        for sign, side in ((-1, self.left), (1, self.right)):
            for n, formula in side:
                for symbol, amount in amounts(formula).items():
                    total[symbol] = total.get(symbol, Fraction(0)) + sign * n * amount
        return {symbol: count for symbol, count in total.items() if count}


@lru_cache(maxsize=65_536)
def _amounts(formula: str) -> tuple[tuple[str, Fraction], ...]:
    return tuple(
        (symbol, Fraction(amount).limit_denominator(FINEST))
        for symbol, amount in parse_formula(formula).items()
    )


def amounts(formula: str) -> dict[str, Fraction]:
    """Exact amounts of the elements of a formula.

    Raises:
        ValueError: if it is no formula.
    """
    return dict(_amounts(formula))


def kernel(formulas: Sequence[str]) -> tuple[Fraction, ...] | None:
    """The only way to combine formulas to nothing, up to a factor; None for none or several.

    >>> [int(n) for n in kernel(["H2O", "H2", "O2"])]
    [-2, 2, 1]
    """
    contents = [amounts(formula) for formula in formulas]
    elements = sorted({symbol for content in contents for symbol in content})
    rows = [[content.get(symbol, Fraction(0)) for content in contents] for symbol in elements]
    pivots: list[int] = []
    for column in range(len(formulas)):
        at = next((r for r in range(len(pivots), len(rows)) if rows[r][column]), None)
        if at is None:
            continue
        top = len(pivots)
        rows[top], rows[at] = rows[at], rows[top]
        lead = rows[top][column]
        rows[top] = [value / lead for value in rows[top]]
        for r, row in enumerate(rows):
            if r != top and (factor := row[column]):
                rows[r] = [a - factor * b for a, b in zip(row, rows[top], strict=True)]
        pivots.append(column)
    free = [column for column in range(len(formulas)) if column not in pivots]
    if len(free) != 1:
        return None
    solution = [Fraction(0)] * len(formulas)
    solution[free[0]] = Fraction(1)
    for row, column in zip(rows, pivots, strict=False):
        solution[column] = -row[free[0]]
    whole = lcm(*(value.denominator for value in solution))
    divisor = gcd(*(int(value * whole) for value in solution))
    return tuple(value * whole / divisor for value in solution)


def balance(left: Sequence[str], right: Sequence[str]) -> Reaction | None:
    """The reaction of these formulas; None where there is none, or more than one.

    All formulas of the left side but gases of air must be used up; what would stand on the other
    side than asked for makes it none, but a gas of air may change sides.
    """
    formulas = [*dict.fromkeys(left), *(f for f in dict.fromkeys(right) if f not in left)]
    found = kernel(formulas)
    if found is None:
        return None
    sides = [-1] * len(dict.fromkeys(left)) + [1] * (len(formulas) - len(dict.fromkeys(left)))
    for sign in (1, -1):
        turned = [sign * value for value in found]
        pairs = list(zip(turned, sides, formulas, strict=True))
        if all(v * side > 0 or f in AIR for v, side, f in pairs):
            reactants = tuple((int(-v), f) for v, _, f in pairs if v < 0)
            products = tuple((int(v), f) for v, _, f in pairs if v > 0)
            return Reaction(reactants, products) if reactants and products else None
    return None


def with_gases(
    left: Sequence[str], target: str, others: Mapping[str, int] = GIVEN_OFF
) -> Reaction | None:
    """The reaction of precursors to a target in which as few gases as needed leave or enter.

    >>> str(with_gases(["Li2CO3", "NH4H2PO4", "TiO2"], "LiTi2P3O12"))
    'Li2CO3 + 6 NH4H2PO4 + 4 TiO2 → 2 LiTi2P3O12 + CO2 + 9 H2O + 6 NH3'
    >>> str(with_gases(["Ni(NO3)2(H2O)6"], "NiO"))
    '2 Ni(NO3)2(H2O)6 → 2 NiO + 12 H2O + O2 + 4 NO2'
    """
    inside = {symbol for f in (*left, target) for symbol in amounts(f)}
    wrong = {gas for group, gas in UNLIKE.items() if any(group in f for f in left)}
    gases = [
        gas
        for gas in others
        if {*amounts(gas)} <= inside | {"O"} and gas not in {*left, target, *wrong}
    ]
    sets = [s for size in range(MOST_GASES + 1) for s in combinations(gases, size)]
    for chosen in sorted(sets, key=lambda s: (sum(others[g] for g in s), len(s))):
        found = balance(left, [target, *chosen])
        if found is not None and target in {formula for _, formula in found.right}:
            return found
    return None


def energy(reaction: Reaction, per_formula: Mapping[str, float]) -> float:
    """Energy of a reaction as written, of energies of formula units, in their unit.

    Raises:
        KeyError: for a formula without one.
    """
    return sum(n * per_formula[f] for n, f in reaction.right) - sum(
        n * per_formula[f] for n, f in reaction.left
    )
