"""Solids in a furnace that is open: what the gas gives and takes freely does not count.

With O2, CO2, H2O and N2 at their pressures the potentials of O, C, H and N are fixed, so that a
solid is its other atoms and its energy a grand potential (``gnomon.hull.reservoirs``).  A carbonate
and an oxide of one metal then differ in energy alone, and reactions need no gases to balance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from jaxtyping import Float64

from gnomon.elements import SYMBOLS, atomic_number, element, parse_formula
from gnomon.hull.phases import Phases, compositions
from gnomon.hull.reservoirs import open_to
from gnomon.synthesis.solids import Solids
from gnomon.synthesis.thermo import PRESSURES, gas_gibbs

KELVIN = 273.15
"""0 °C."""

AIR = {**{gas: PRESSURES[gas] for gas in ("O2", "CO2", "H2O")}, "N2": 1e-20}
"""bar.  The N2 of the air does not react, and what nitrates and ammonium salts give off is carried
away, so that of N next to nothing counts: at 0.78 bar energies of the Materials Project would make
nitrates of Ba and K at 1,000 °C, which in truth lose their gases below that; at 1e-20 bar none is
stable from 600 °C on."""


def potentials(kelvin: float, pressures: Mapping[str, float]) -> dict[str, float]:
    """Chemical potentials (eV/atom) of the elements that gases at their pressures (bar) fix.

    O by O2, N by N2, and where there is O2 also C by CO2 and H by H2O.

    >>> sorted(potentials(1000.0, {"O2": 0.21, "CO2": 4e-4}))
    ['C', 'O']

    Raises:
        ValueError: as ``gnomon.synthesis.thermo.gas_gibbs``.
    """
    free = {gas: gas_gibbs(gas, kelvin, p) for gas, p in pressures.items()}
    found = {g[0]: free[g] / 2 for g in ("O2", "N2") if g in free}
    if "O" in found and "CO2" in free:
        found["C"] = free["CO2"] - 2 * found["O"]
    if "O" in found and "H2O" in free:
        found["H"] = (free["H2O"] - found["O"]) / 2
    return found


def in_gas(solids: Solids, kelvin: float, pressures: Mapping[str, float]) -> Phases:
    """Solids at a temperature without the elements that the gases fix, named by their formulas.

    Raises:
        ValueError: if no gas fixes anything, and as ``gas_gibbs``.
    """
    return open_to(solids.at(kelvin, pressures), potentials(kelvin, pressures))


def fixed_elements(pressures: Mapping[str, float]) -> frozenset[str]:
    """The elements that gases fix.

    >>> sorted(fixed_elements({"O2": 0.21, "N2": 0.78, "CO2": 4e-4}))
    ['C', 'N', 'O']
    """
    found = {gas[0] for gas in ("O2", "N2") if gas in pressures}
    if "O" in found:
        found |= {first for gas, first in (("CO2", "C"), ("H2O", "H")) if gas in pressures}
    return frozenset(found)


def closed_atoms(
    formulas: Sequence[str], pressures: Mapping[str, float]
) -> Float64[np.ndarray, "n 119"]:
    """Atoms of formulas that the gases do not fix.

    Raises:
        ValueError: for a text that is no formula.
    """
    counts = compositions(formulas)
    counts[:, [atomic_number(symbol) for symbol in fixed_elements(pressures)]] = 0.0
    return counts


@lru_cache(maxsize=65_536)
def grams_per_atom(formula: str, fixed: frozenset[str]) -> float:
    """g per mol of the atoms that are not fixed.

    Raises:
        ValueError: if all are.
    """
    contents = parse_formula(formula)
    grams = sum(n * float(element(atomic_number(s)).atomic_mass) for s, n in contents.items())
    atoms = sum(n for symbol, n in contents.items() if symbol not in fixed)
    if not atoms:
        raise ValueError(f"{formula} is nothing but what the gas gives")
    return grams / atoms


def weight_fractions(
    amounts: Mapping[str, float], pressures: Mapping[str, float]
) -> dict[str, float]:
    """Weight fractions of phases of which so many closed atoms are there, largest first."""
    fixed = fixed_elements(pressures)
    weights = {name: amount * grams_per_atom(name, fixed) for name, amount in amounts.items()}
    total = sum(weights.values())
    return {n: w / total for n, w in sorted(weights.items(), key=lambda item: -item[1])}


def closed_elements(formula: str, pressures: Mapping[str, float]) -> tuple[str, ...]:
    """Elements of a formula that the gases do not fix."""
    return tuple(SYMBOLS[z] for z in np.flatnonzero(closed_atoms([formula], pressures)[0]))
