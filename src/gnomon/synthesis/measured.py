"""Gibbs energies of formation of solids whose enthalpy, entropy and heat capacity were measured.

    G_f(T) = dH_f + C (T - T0) - T (S + C ln(T / T0)) - sum_i n_i G_i(T),  T0 = 298.15 K

with C the heat capacity at T0, held there.  The table is of the CRC Handbook of Chemistry and
Physics (Haynes, 95th ed., 2014) as the package chemicals carries it, BaTiO3 of the NBS tables
(Wagman et al., J. Phys. Chem. Ref. Data 11, suppl. 2 (1982)); benchmarks/measured_solids.py makes
it, and leaves out what contradicts itself.  Melting and transitions of the solid are not in it.

    >>> round(measured_gibbs("MgO", 1000.0), 3)  # JANAF: -2.555
    -2.539
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources

import numpy as np

from gnomon.chemistry.gases import KJ_PER_MOL
from gnomon.elements import parse_formula
from gnomon.synthesis.thermo import element_gibbs

STANDARD = 298.15
"""K of the table."""


def measured_solids() -> frozenset[str]:
    """Reduced formulas in the table."""
    return frozenset(_table())


def measured_enthalpy(formula: str) -> float:
    """Enthalpy of formation of a measured solid at 298.15 K, eV/atom.

    Raises:
        KeyError: for a formula that is not in the table.
    """
    return _table()[formula][0] * KJ_PER_MOL / sum(parse_formula(formula).values())


def measured_gibbs(formula: str, temperature: float) -> float:
    """Gibbs energy of formation of a measured solid at a temperature (K), eV/atom.

    Raises:
        KeyError: for a formula that is not in the table.
        ValueError: outside of the tables of the elements.
    """
    enthalpy, entropy, capacity = _table()[formula]
    amounts, elements = parse_formula(formula), element_gibbs(temperature)
    warmed = capacity * (temperature - STANDARD)
    disorder = temperature * (entropy + capacity * np.log(temperature / STANDARD))
    own = (enthalpy + (warmed - disorder) / 1000) * KJ_PER_MOL
    apart = sum(n * elements[symbol] for symbol, n in amounts.items())
    return float((own - apart) / sum(amounts.values()))


@cache
def _table() -> dict[str, tuple[float, float, float]]:
    """kJ/mol, J/mol/K and J/mol/K by reduced formula."""
    text = (resources.files("gnomon.synthesis") / "measured_solids.json").read_text("utf-8")
    return {name: (h, s, c) for name, (h, s, c) in json.loads(text).items()}
