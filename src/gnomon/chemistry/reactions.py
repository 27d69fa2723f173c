"""Decomposition reactions, balanced in whole numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import gcd, lcm

from gnomon.elements import parse_formula

LARGEST_DENOMINATOR = 10_000
"""Coefficients per formula are fractions of small formulas; beyond this the balance is not read."""


@dataclass(frozen=True)
class Reaction:
    """``coefficient`` formula units of a phase fall into ``products``: (coefficient, formula).

    >>> str(balanced("LiFePO4", {"Fe3(PO4)2": 13 / 21, "Li3PO4": 8 / 21}))
    '3 LiFePO4 → Fe3(PO4)2 + Li3PO4'
    """

    coefficient: int
    formula: str
    products: tuple[tuple[int, str], ...]

    def __str__(self) -> str:
        sides = [[(self.coefficient, self.formula)], self.products]
        return " → ".join(
            " + ".join(f"{n} {formula}" if n > 1 else formula for n, formula in side)
            for side in sides
        )


def balanced(formula: str, shares: Mapping[str, float]) -> Reaction | None:
    """The reaction that turns a formula into phases with these fractions of the atoms.

    Returns:
        The reaction in the smallest whole coefficients, products by falling share; None where the
        fractions do not balance or where the only product is the formula itself.
    """
    if set(shares) <= {formula}:
        return None
    atoms = {name: _counts(name) for name in (formula, *shares)}
    size = sum(atoms[formula].values())
    exact = {
        name: Fraction(share * size / sum(atoms[name].values())).limit_denominator(
            LARGEST_DENOMINATOR
        )
        for name, share in sorted(shares.items(), key=lambda item: (-item[1], item[0]))
    }
    whole = lcm(*(coefficient.denominator for coefficient in exact.values()))
    numbers = {name: int(coefficient * whole) for name, coefficient in exact.items()}
    divisor = gcd(whole, *numbers.values())
    left = {symbol: n * whole for symbol, n in atoms[formula].items()}
    right: dict[str, int] = {}
    for name, coefficient in numbers.items():
        for symbol, n in atoms[name].items():
            right[symbol] = right.get(symbol, 0) + n * coefficient
    if left != right or min(numbers.values()) < 1:
        return None
    products = tuple((n // divisor, name) for name, n in numbers.items())
    return Reaction(whole // divisor, formula, products)


def _counts(formula: str) -> dict[str, int]:
    return {symbol: round(amount) for symbol, amount in parse_formula(formula).items()}
