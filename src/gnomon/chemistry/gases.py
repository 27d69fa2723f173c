"""Chemical potentials of gases at a temperature and a pressure, from the NIST-JANAF tables.

    mu(T, p) = dfH(0 K) + [H(T) - H(0 K)] - T S(T) + R T ln(p / 1 bar)

in eV a molecule, relative to the elements in their reference states at 0 K: that is where formation
energies of crystals are zero, so these numbers and a hull share one scale (Reuter, Scheffler, Phys.
Rev. B 65, 035406 (2001), equation 22).  Enthalpies and entropies are Shomate fits of the NIST
Chemistry WebBook (SRD 69) to Chase, NIST-JANAF Thermochemical Tables, 4th ed. (1998), which gives
dfH(0 K) and H(298.15 K) - H(0 K) too.  Formation enthalpies of molecules are measured ones: an
energy scheme that is wrong about a molecule does not spoil the reservoir.

    >>> round(chemical_potential("O2", 1000.0, 1.0) / 2, 2)  # Reuter and Scheffler: -1.10
    -1.1
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gnomon.elements import parse_formula

GAS_CONSTANT = 8.31446261815324e-3
"""kJ/mol/K (CODATA 2018, exact)."""

KJ_PER_MOL = 1 / 96.48533212331
"""eV in a kJ/mol (CODATA 2018, exact)."""


@dataclass(frozen=True)
class Gas:
    """One gas of the tables.

    Attributes:
        formation_enthalpy: dfH at 0 K, kJ/mol.
        heating: H(298.15 K) - H(0 K), kJ/mol.
        fits: lowest and highest temperature (K) of each Shomate fit, and its A to H.
    """

    formation_enthalpy: float
    heating: float
    fits: tuple[tuple[float, ...], ...]


# fmt: off
GASES = {
    "H2": Gas(0.0, 8.467, (
        (298., 1000., 33.066178, -11.363417, 11.432816, -2.772874, -0.158558, -9.980797,
         172.707974, 0.),
        (1000., 2500., 18.563083, 12.257357, -2.859786, 0.268238, 1.977990, -1.147438,
         156.288133, 0.),
    )),
    "N2": Gas(0.0, 8.670, (
        (100., 500., 28.98641, 1.853978, -9.647459, 16.63537, 0.000117, -8.671914, 226.4168, 0.),
        (500., 2000., 19.50583, 19.88705, -8.598535, 1.369784, 0.527601, -4.935202, 212.3900, 0.),
    )),
    "O2": Gas(0.0, 8.683, (
        (100., 700., 31.32234, -20.23531, 57.86644, -36.50624, -0.007374, -8.903471, 246.7945, 0.),
        (700., 2000., 30.03235, 8.772972, -3.988133, 0.788313, -0.741599, -11.32468, 236.1663, 0.),
    )),
    # published from 500 K on, and within 0.002 J/mol/K of the table at 298.15 K
    "H2O": Gas(-238.921, 9.904, (
        (298., 1700., 30.09200, 6.832514, 6.793435, -2.534480, 0.082139, -250.8810, 223.3967,
         -241.8264),
    )),
    "CO2": Gas(-393.151, 9.364, (
        (298., 1200., 24.99735, 55.18696, -33.69137, 7.948387, -0.136638, -403.6075, 228.2431,
         -393.5224),
        (1200., 6000., 58.16639, 2.720074, -0.492289, 0.038844, -6.447293, -425.9186, 263.6125,
         -393.5224),
    )),
}
# fmt: on


def enthalpy_and_entropy(gas: str, temperature: float) -> tuple[float, float]:
    """H(T) - H(0 K) in kJ/mol and S(T) in J/mol/K at 1 bar.

    Raises:
        ValueError: for an unknown gas, or a temperature (K) outside of its fits.
    """
    if gas not in GASES:
        raise ValueError(f"no table of the gas {gas!r}: there are {', '.join(GASES)}")
    fits = GASES[gas].fits
    for low, high, a, b, c, d, e, f, g, h in fits:
        if low <= temperature <= high:
            t = temperature / 1000
            enthalpy = a * t + b * t**2 / 2 + c * t**3 / 3 + d * t**4 / 4 - e / t + f - h
            entropy = a * np.log(t) + b * t + c * t**2 / 2 + d * t**3 / 3 - e / (2 * t**2) + g
            return float(enthalpy + GASES[gas].heating), float(entropy)
    raise ValueError(
        f"{temperature} K lies outside of the tables of {gas}: from {fits[0][0]:g} to "
        f"{fits[-1][1]:g} K"
    )


def chemical_potential(gas: str, temperature: float, pressure: float) -> float:
    """Chemical potential in eV a molecule at a temperature (K) and a partial pressure (bar).

    Raises:
        ValueError: for an unknown gas, a temperature outside of its tables, or no pressure.
    """
    if not pressure > 0:
        raise ValueError(f"a pressure of {pressure} bar of {gas}: it must be above 0")
    enthalpy, entropy = enthalpy_and_entropy(gas, temperature)
    mixing = GAS_CONSTANT * temperature * np.log(pressure)
    free = GASES[gas].formation_enthalpy + enthalpy - temperature * entropy / 1000 + mixing
    return float(free * KJ_PER_MOL)


def element_potentials(pressures: Mapping[str, float], temperature: float) -> dict[str, float]:
    """What gases in contact with a crystal fix the chemical potentials of elements at, eV/atom.

    A molecule fixes the sum of its elements' potentials, as mu_H2O = 2 mu_H + mu_O, so there must
    be as many gases as elements in them: O2 alone, O2 with H2O and CO2, H2 with H2O.

    Args:
        pressures: partial pressure of each gas, bar.
        temperature: K.

    Raises:
        ValueError: if the gases leave a potential open or contradict each other, and as
            ``chemical_potential``.
    """
    potentials = [chemical_potential(gas, temperature, p) for gas, p in pressures.items()]
    formulas = [parse_formula(gas) for gas in pressures]
    elements = sorted({symbol for formula in formulas for symbol in formula})
    counts = np.array([[formula.get(symbol, 0) for symbol in elements] for formula in formulas])
    if counts.shape[0] != counts.shape[1] or np.linalg.matrix_rank(counts) < len(elements):
        raise ValueError(
            f"{', '.join(pressures)} do not fix the chemical potentials of {', '.join(elements)}: "
            "give as many gases as elements, such as O2 for O, H2O with O2, CO2 with O2"
        )
    solved = np.linalg.solve(counts.astype(np.float64), np.array(potentials))
    return dict(zip(elements, solved.tolist(), strict=True))
