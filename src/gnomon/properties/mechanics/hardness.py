"""Hardness and fracture toughness from elastic moduli, by the models in use.

They hold for covalent and ionic crystals and say nothing of ductile metals.  Measured hardness
depends on the load: compare at equal load.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from gnomon.chemistry.cautions import of_metals
from gnomon.crystals import Crystals
from gnomon.io.tables import column, value_schema
from gnomon.properties import answers
from gnomon.properties.mechanics.moduli import (
    NEEDS,
    Moduli,
    Numbers,
    OfModuli,
    poisson_ratio,
    young_modulus,
)
from gnomon.properties.registry import PropertySettings

SCHEMA = value_schema(
    "Vickers hardness (Mazhnik and Oganov 2019)",
    "GPa",
    column("hardness_teter", pa.float64(), "0.151 G (Teter 1998)", unit="GPa"),
    column("hardness_chen", pa.float64(), "2 (k² G)^0.585 - 3 (Chen 2011)", unit="GPa"),
    column("hardness_tian", pa.float64(), "0.92 k^1.137 G^0.708 (Tian 2012)", unit="GPa"),
    column("toughness", pa.float64(), "K_IC (Mazhnik and Oganov 2019)", unit="MPa m^1/2"),
    column("pugh_ratio", pa.float64(), "K/G, above 1.75 in ductile metals (Pugh 1954)", unit="1"),
    column("toughness_niu", pa.float64(), "K_IC (Niu 2019)", unit="MPa m^1/2"),
    uncertainty="what that of the moduli makes of it; that of the model is not in it",
)

METALLIC = "metals only: the models hold for covalent and ionic crystals"
"""Status of crystals without an element that is no metal."""


def mazhnik_hardness(young: Numbers, poisson: Numbers) -> Numbers:
    """Vickers hardness, GPa: 0.096 chi(nu) E (Mazhnik and Oganov, J. Appl. Phys. 126, 125109
    (2019)).

    >>> mazhnik_hardness(np.array([1142.0]), np.array([0.07])).round().tolist()  # diamond
    [101.0]

    Args:
        young: Young's modulus, GPa.
        poisson: Poisson's ratio.
    """
    return 0.096 * chi(poisson) * young


def chi(poisson: Numbers) -> Numbers:
    """chi(nu) of Mazhnik and Oganov.

    >>> chi(np.array([0.1, 0.2, 0.3])).round(3).tolist()
    [0.881, 0.552, 0.543]
    """
    nu = poisson
    return (1 - 8.5 * nu + 19.5 * nu**2) / (1 - 7.5 * nu + 12.2 * nu**2 + 19.6 * nu**3)


def zeta(poisson: Numbers) -> Numbers:
    """zeta(nu) of Mazhnik and Oganov, with the digits as printed.

    >>> zeta(np.array([0.1, 0.2, 0.3])).round(3).tolist()
    [1.154, 1.759, 2.267]
    """
    nu = poisson
    return (1 - 13.7 * nu + 48.6 * nu**2) / (1 - 15.2 * nu + 70.2 * nu**2 - 81.5 * nu**3)


def mazhnik_toughness(young: Numbers, poisson: Numbers, volume: Numbers) -> Numbers:
    """Fracture toughness K_IC, MPa m^1/2: 8840^(-1/2) V0^(1/6) (zeta(nu) E)^(3/2) / 100.

    >>> diamond = np.array([1142.0]), np.array([0.07]), np.array([5.68])
    >>> mazhnik_toughness(*diamond).round(1).tolist()
    [6.4]

    Args:
        young: Young's modulus, GPa.
        poisson: Poisson's ratio.
        volume: Å3 an atom.
    """
    return 0.01 * 8840**-0.5 * volume ** (1 / 6) * (zeta(poisson) * young) ** 1.5


def niu_toughness(bulk: Numbers, shear: Numbers, volume: Numbers) -> Numbers:
    """Fracture toughness K_IC, MPa m^1/2: V0^(1/6) G (K/G)^(1/2) / 100 (Niu, Niu and Oganov, J.
    Appl. Phys. 125, 065105 (2019)).

    >>> diamond = np.array([443.0]), np.array([535.0]), np.array([5.68])
    >>> niu_toughness(*diamond).round(1).tolist()
    [6.5]
    """
    return 0.01 * volume ** (1 / 6) * shear * np.sqrt(bulk / shear)


def teter_hardness(shear: Numbers) -> Numbers:
    """Vickers hardness, GPa: 0.151 G (Teter, MRS Bull. 23, 22 (1998))."""
    return 0.151 * shear


def chen_hardness(bulk: Numbers, shear: Numbers) -> Numbers:
    """Vickers hardness, GPa: 2 (k² G)^0.585 - 3, k = G/K (Chen et al., Intermetallics 19, 1275
    (2011)); below zero it says "soft".

    >>> chen_hardness(np.array([443.0]), np.array([535.0])).round(1).tolist()  # diamond
    [95.4]
    """
    return 2 * ((shear / bulk) ** 2 * shear) ** 0.585 - 3


def tian_hardness(bulk: Numbers, shear: Numbers) -> Numbers:
    """Vickers hardness, GPa: 0.92 k^1.137 G^0.708, k = G/K (Tian et al., Int. J. Refract. Met. Hard
    Mater. 33, 93 (2012)).

    >>> tian_hardness(np.array([443.0]), np.array([535.0])).round(1).tolist()  # diamond
    [97.4]
    """
    return 0.92 * (shear / bulk) ** 1.137 * shear**0.708


class Hardness:
    """Hardness and toughness of what has moduli; a ``Property``."""

    schema = SCHEMA

    def __init__(self, config: OfModuli) -> None:
        """From the moduli that the settings name."""
        self.needs = NEEDS[config.moduli]

    def compute(self, crystals: Crystals, known: Mapping[str, pa.Table]) -> pa.Table:
        """Of crystals whose moduli are known; alloys of metals have no hardness."""
        m = Moduli.of(crystals, known)
        metals = of_metals(crystals)
        with np.errstate(invalid="ignore"):
            return answers(
                SCHEMA,
                crystals.ids,
                m.level,
                [METALLIC if metal else why for why, metal in zip(m.statuses, metals, strict=True)],
                value=_of_moduli(m.bulk, m.shear),
                uncertainty=m.uncertainty(_of_moduli),
                hardness_teter=teter_hardness(m.shear),
                hardness_chen=chen_hardness(m.bulk, m.shear),
                hardness_tian=tian_hardness(m.bulk, m.shear),
                pugh_ratio=m.bulk / m.shear,
                toughness=mazhnik_toughness(m.young, m.poisson, m.volume),
                toughness_niu=niu_toughness(m.bulk, m.shear, m.volume),
            )


def _of_moduli(bulk: Numbers, shear: Numbers) -> Numbers:
    return mazhnik_hardness(young_modulus(bulk, shear), poisson_ratio(bulk, shear))


def make(settings: PropertySettings) -> Hardness:
    """The property."""
    return Hardness(settings.of("hardness", OfModuli))
