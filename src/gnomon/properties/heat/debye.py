"""Debye's model of a crystal's heat, from its elastic moduli.

The mean velocity of sound gives the Debye temperature, that the heat capacity at constant volume.
Mazhnik's bound on the thermal expansion follows from Poisson's ratio.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from pydantic import Field
from scipy import constants
from scipy.integrate import quad_vec

from gnomon.crystals import Crystals
from gnomon.io.tables import column, value_schema
from gnomon.properties import answers
from gnomon.properties.mechanics.moduli import NEEDS, Moduli, Numbers, OfModuli
from gnomon.properties.registry import PropertySettings

SCHEMA = value_schema(
    "Debye temperature from elastic moduli",
    "K",
    column("sound_velocity", pa.float64(), "Debye's mean of the velocities of sound", unit="m/s"),
    column("heat_capacity", pa.float64(), "C_V of a mole of atoms", unit="J/(mol K)"),
    column("temperature", pa.float64(), "of the heat capacity", unit="K"),
    column(
        "expansion_bound",
        pa.float64(),
        "most that the linear thermal expansion can be, f(nu) c_V rho / E",
        unit="1/K",
    ),
    uncertainty="what that of the moduli makes of it; that of the model is not in it",
)


class DebyeConfig(OfModuli):
    """Of Debye's model."""

    temperature: float = Field(default=300.0, gt=0, description="of the heat capacity, K")


def sound_velocity(bulk: Numbers, shear: Numbers, density: Numbers) -> Numbers:
    """Debye's mean velocity, m/s: (1/3 (2/v_t³ + 1/v_l³))^(-1/3) (Anderson, J. Phys. Chem. Solids
    24, 909 (1963)).

    Args:
        bulk, shear: moduli, GPa.
        density: g/cm3.
    """
    transverse = np.sqrt(1e6 * shear / density)
    longitudinal = np.sqrt(1e6 * (bulk + 4 / 3 * shear) / density)
    return ((2 / transverse**3 + 1 / longitudinal**3) / 3) ** (-1 / 3)


def debye_temperature(velocity: Numbers, volume: Numbers) -> Numbers:
    """h/k_B (3 / (4 pi V0))^(1/3) v, K.

    >>> silicon = np.array([97.8]), np.array([66.6]), np.array([2.33])
    >>> debye_temperature(sound_velocity(*silicon), np.array([20.02])).round().tolist()
    [649.0]

    Args:
        velocity: m/s.
        volume: Å3 an atom.
    """
    wave = (3 / (4 * np.pi * volume)) ** (1 / 3) * 1e10
    return constants.h / constants.k * wave * velocity


def heat_capacity(debye: Numbers, temperature: float) -> Numbers:
    """Debye's heat capacity at constant volume, J/(mol K) of atoms.

    9 R (T/theta)³ times the integral of x⁴ e^x / (e^x - 1)² from 0 to theta/T.

    >>> heat_capacity(np.array([1.0, 428.0]), 300.0).round(2).tolist()  # 3 R; aluminium
    [24.94, 22.58]

    Args:
        debye: Debye temperatures, K.
        temperature: K.
    """
    ratio = debye / temperature

    def integrand(share: float) -> Numbers:  # of x in theta/T
        x = share * ratio
        with np.errstate(over="ignore", invalid="ignore"):
            return np.where(x > 0, ratio * x**4 * np.exp(-x) / np.expm1(-x) ** 2, 0.0)

    return 9 * constants.R / ratio**3 * quad_vec(integrand, 0, 1)[0]


def heat_per_volume(capacity: Numbers, volume: Numbers) -> Numbers:
    """c_V rho, GPa/K, of a heat capacity in J/(mol K) of atoms and a volume in Å3 an atom."""
    return capacity / (constants.N_A * volume * 1e-30) / 1e9


def expansion_factor(poisson: Numbers) -> Numbers:
    """f(nu) = 2 (1 + nu) (1 - 2 nu) / (2 - 3 nu) of Mazhnik's bound alpha_L E <= f c_V rho.

    >>> nu = np.linspace(0, 0.5, 5001)
    >>> bound = expansion_factor(nu)
    >>> float(nu[bound.argmax()].round(4)), float(bound.max().round(3))
    (0.1396, 1.039)
    """
    return 2 * (1 + poisson) * (1 - 2 * poisson) / (2 - 3 * poisson)


class Debye:
    """Debye temperature and heat capacity of what has moduli; a ``Property``."""

    schema = SCHEMA

    def __init__(self, config: DebyeConfig) -> None:
        """At the temperature of the settings, from the moduli that they name."""
        self.config, self.needs = config, NEEDS[config.moduli]

    def compute(self, crystals: Crystals, known: Mapping[str, pa.Table]) -> pa.Table:
        """Of crystals whose moduli are known."""
        m = Moduli.of(crystals, known)
        velocity = sound_velocity(m.bulk, m.shear, m.density)

        def of_moduli(bulk: Numbers, shear: Numbers) -> Numbers:
            return debye_temperature(sound_velocity(bulk, shear, m.density), m.volume)

        debye = of_moduli(m.bulk, m.shear)
        capacity = heat_capacity(debye, self.config.temperature)
        heat = heat_per_volume(capacity, m.volume)
        return answers(
            SCHEMA,
            crystals.ids,
            m.level,
            m.statuses,
            value=debye,
            uncertainty=m.uncertainty(of_moduli),
            sound_velocity=velocity,
            heat_capacity=capacity,
            temperature=np.full(len(crystals), self.config.temperature),
            expansion_bound=expansion_factor(m.poisson) * heat / m.young,
        )


def make(settings: PropertySettings) -> Debye:
    """The property."""
    return Debye(settings.of("debye", DebyeConfig))
