"""Gibbs energies of formation at a temperature, in eV/atom.

Of a solid (Bartel et al., Nat. Commun. 9, 4168 (2018), equations 1, 4 and 6; about 50 meV/atom):

    G_f(T) = dH_f + G_delta(T) - sum_i x_i G_i(T)
    G_delta(T) = (-2.48e-4 ln V - 8.94e-5 m / V) T + 0.181 ln T - 0.882

with dH_f the formation energy, V the volume (Å³/atom), m the reduced mass, and G_i(T) the Gibbs
energy of element i.  Of a gas as the NIST-JANAF tables have it, with R T ln p.  Elements are zero
at every temperature.  Elements and gases are tabulated every 100 K and interpolated between; both
tables are pymatgen's, which took them from FactSage and from NIST-JANAF.

    >>> import numpy as np
    >>> round(float(g_delta(np.array([9.4]), np.array([15.1]), 1000.0)[0]), 3)  # about MgO
    -0.331
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
from jaxtyping import Float64

from gnomon.chemistry.gases import GAS_CONSTANT, KJ_PER_MOL
from gnomon.elements import SYMBOLS, atomic_number, element, parse_formula, reduced_formula

COLDEST, HOTTEST = 300.0, 2000.0
"""Temperatures (K) between which elements are tabulated."""

CARBONATE = 0.83
"""eV for each CO3 that the formation energies of carbonates lack in PBE with the Materials
Project's corrections: the mean of Li, Na, K, Rb, Cs, Mn, Cd and Zn carbonates against the NBS
tables (Wagman et al., J. Phys. Chem. Ref. Data 11, suppl. 2 (1982)) is 0.77, recomputed by
benchmarks/thermochemistry.py; McDermott et al., Nat. Commun. 12, 3097 (2021) use 0.83."""

PRESSURES = {"O2": 0.21, "CO2": 4e-4, "H2O": 0.02, "N2": 0.78}
"""Partial pressures (bar) of air at half its humidity at 30 °C."""


def g_delta(
    volume_per_atom: Float64[np.ndarray, " n"],
    reduced_mass: Float64[np.ndarray, " n"],
    temperature: float,
) -> Float64[np.ndarray, " n"]:
    """The descriptor of Bartel et al., eV/atom.

    Args:
        volume_per_atom: Å³/atom.
        reduced_mass: of ``reduced_masses``, g/mol.
        temperature: K.
    """
    by_volume = -2.48e-4 * np.log(volume_per_atom) - 8.94e-5 * reduced_mass / volume_per_atom
    return by_volume * temperature + 0.181 * np.log(temperature) - 0.882


@cache
def _masses() -> Float64[np.ndarray, 119]:
    """pymatgen's, as its own Gibbs energies have them."""
    return np.array([0.0, *(float(element(z).atomic_mass) for z in range(1, len(SYMBOLS)))])


def reduced_masses(composition: Float64[np.ndarray, "n 119"]) -> Float64[np.ndarray, " n"]:
    """The mean reduced mass of pairs of elements (Bartel et al., equation 6), g/mol; 0 for one.

    m = 1 / ((k - 1) N) sum_{i<j} (a_i + a_j) m_i m_j / (m_i + m_j) over the k elements.
    """
    masses, found = _masses(), np.zeros(len(composition))
    for row, amounts in enumerate(composition):
        z = np.flatnonzero(amounts)
        if len(z) > 1:
            i, j = np.triu_indices(len(z), 1)
            a, m = amounts[z], masses[z]
            pairs = (a[i] + a[j]) * m[i] * m[j] / (m[i] + m[j])
            found[row] = pairs.sum() / ((len(z) - 1) * a.sum())
    return found


def element_gibbs(temperature: float) -> dict[str, float]:
    """Gibbs energy of each tabulated element, eV/atom.

    Raises:
        ValueError: outside of the tables.
    """
    _check(temperature)
    grid, table = _element_table()
    return {s: float(np.interp(temperature, grid, values)) for s, values in table.items()}


def gases() -> tuple[str, ...]:
    """Compounds that are tabulated as gases, as reduced formulas."""
    return tuple(_gas_table())


def gas_gibbs(formula: str, temperature: float, pressure: float = 1.0) -> float:
    """Gibbs energy of formation of a gas at a temperature (K) and a pressure (bar), eV/molecule.

    Elements that are gases may be asked for too: O2 at its own pressure.

    Raises:
        ValueError: for an unknown gas, no pressure, or a temperature outside of the tables.
    """
    _check(temperature)
    if not pressure > 0:
        raise ValueError(f"a pressure of {pressure} bar of {formula}: it must be above 0")
    mixing = GAS_CONSTANT * temperature * np.log(pressure) * KJ_PER_MOL
    if len(parse_formula(formula)) == 1:
        return float(mixing)
    name = reduced_formula(
        tuple(sorted((atomic_number(s), int(n)) for s, n in parse_formula(formula).items()))
    )
    if name not in _gas_table():
        raise ValueError(f"no table of the gas {formula}: there are {', '.join(gases())}")
    temperatures, values = _gas_table()[name]
    if temperature > temperatures[-1]:
        raise ValueError(f"the table of {formula} ends at {temperatures[-1]:g} K")
    return float(np.interp(temperature, temperatures, values) + mixing)


def gibbs_energies(
    composition: Float64[np.ndarray, "n 119"],
    formation_energy_per_atom: Float64[np.ndarray, " n"],
    volume_per_atom: Float64[np.ndarray, " n"],
    temperature: float,
) -> Float64[np.ndarray, " n"]:
    """Gibbs energies of formation of solids, eV/atom; elements keep their formation energies.

    Args:
        composition: (n, 119), atoms by atomic number, on any scale.
        formation_energy_per_atom: eV/atom, of one scheme.
        volume_per_atom: Å³/atom.
        temperature: K.

    Raises:
        ValueError: for an element without a table, or a temperature outside of the tables.
    """
    table = element_gibbs(temperature)
    present = [SYMBOLS[z] for z in np.flatnonzero(composition.any(axis=0))]
    if unknown := [symbol for symbol in present if symbol not in table]:
        raise ValueError(
            f"no table of the Gibbs energy of {', '.join(unknown)}: leave out phases that hold it"
        )
    of_element = np.zeros(len(SYMBOLS))
    for symbol in present:
        of_element[atomic_number(symbol)] = table[symbol]
    fractions = composition / composition.sum(axis=1, keepdims=True)
    delta = g_delta(volume_per_atom, reduced_masses(composition), temperature)
    compound = np.count_nonzero(composition, axis=1) > 1
    return formation_energy_per_atom + np.where(compound, delta - fractions @ of_element, 0.0)


def carbonates(composition: Float64[np.ndarray, "n 119"]) -> Float64[np.ndarray, " n"]:
    """Carbonate groups an atom: of compounds of C with at least 3 O for each and another element.

    Oxalates and cyanides have fewer O and are none; organic salts with much H are none either.
    """
    c, o, h = (composition[:, atomic_number(symbol)] for symbol in ("C", "O", "H"))
    more = np.count_nonzero(composition, axis=1) > 2
    return np.where((c > 0) & (o >= 3 * c) & more & (h <= 2 * o - 3 * c), c, 0) / composition.sum(1)


def check_pressures(pressures: Mapping[str, float]) -> None:
    """Refuse what is no pressure of a tabulated gas.

    Raises:
        ValueError: as ``gas_gibbs``.
    """
    for gas, pressure in pressures.items():
        gas_gibbs(gas, COLDEST, pressure)


def _check(temperature: float) -> None:
    if not COLDEST <= temperature <= HOTTEST:
        raise ValueError(
            f"{temperature:g} K lies outside of the tables of the elements: "
            f"from {COLDEST:g} to {HOTTEST:g} K"
        )


@cache
def _element_table() -> tuple[Float64[np.ndarray, " t"], dict[str, Sequence[float]]]:
    from pymatgen.entries.computed_entries import G_ELEMS

    return (
        np.array([float(t) for t in G_ELEMS]),
        {symbol: [row[symbol] for row in G_ELEMS.values()] for symbol in G_ELEMS["300"]},
    )


@cache
def _gas_table() -> dict[str, tuple[Sequence[float], Sequence[float]]]:
    """Temperatures (K) and Gibbs energies (eV/molecule) of the gases by reduced formula."""
    from pymatgen.entries.computed_entries import G_GASES

    found: dict[str, tuple[Sequence[float], Sequence[float]]] = {}
    for text, row in G_GASES.items():
        counts = tuple(sorted((atomic_number(s), int(n)) for s, n in parse_formula(text).items()))
        found[reduced_formula(counts)] = ([float(t) for t in row], list(row.values()))
    return found
