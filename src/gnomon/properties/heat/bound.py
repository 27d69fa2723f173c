"""Mazhnik's bound on the thermal expansion, as a check of an expansion.

    alpha_L E <= f(nu) c_V rho,    f = 2 (1 + nu) (1 - 2 nu) / (2 - 3 nu)

As alpha_L = gamma c_V rho / (3 K), it says that the Grüneisen parameter gamma is at most
2 (1 + nu) / (2 - 3 nu).  What lies beyond has an expansion, a heat capacity or moduli that are
wrong, or is more anharmonic than Poisson's ratio tells.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from gnomon.crystals import Crystals
from gnomon.io.tables import OK, column, value_schema
from gnomon.properties import answers
from gnomon.properties.heat.debye import (
    debye_temperature,
    expansion_factor,
    heat_capacity,
    heat_per_volume,
    sound_velocity,
)
from gnomon.properties.mechanics.moduli import (
    NEEDS,
    Moduli,
    Numbers,
    OfModuli,
    numbers,
    poisson_ratio,
    young_modulus,
)
from gnomon.properties.registry import PropertySettings

WITHIN, BEYOND = "within the bound", "beyond the bound"

SCHEMA = value_schema(
    "linear thermal expansion over the most that it can be by Mazhnik's bound",
    "1",
    column("poisson_ratio", pa.float64(), "Poisson's ratio nu", unit="1"),
    column("reduced_expansion", pa.float64(), "alpha_L E / (c_V rho), at most f(nu)", unit="1"),
    column("expansion", pa.float64(), "linear thermal expansion alpha_L", unit="1/K"),
    column("temperature", pa.float64(), "of expansion and heat capacity", unit="K"),
    column("gruneisen", pa.float64(), "3 alpha_L K / (c_V rho)", unit="1"),
    column("answer", pa.string(), f"{WITHIN}, or {BEYOND}"),
    uncertainty="what those of expansion and moduli make of it",
)


ROOM = 300.0
"""K; of the expansions that the network was taught."""


class Bound:
    """How much of what is possible an expansion is; a ``Property``."""

    schema = SCHEMA

    def __init__(self, config: OfModuli) -> None:
        """From phonons and strained cells, or from what the networks predict."""
        self.expansion = "expansion" if config.moduli == "elastic" else "thermal_expansion"
        capacity = ("phonons",) if config.moduli == "elastic" else ()
        self.needs = (*NEEDS[config.moduli], self.expansion, *capacity)

    def compute(self, crystals: Crystals, known: Mapping[str, pa.Table]) -> pa.Table:
        """Of crystals whose moduli and expansion are known; of those without expansion, none."""
        m, alpha = Moduli.of(crystals, known), known[self.expansion]
        expansion, error = (numbers(alpha, name) for name in ("value", "uncertainty"))
        if self.expansion == "thermal_expansion":  # of the volume
            expansion, error = expansion / 3, error / 3
        temperature = np.full(len(crystals), ROOM)
        if "phonons" in known:
            capacity = numbers(known["phonons"], "value")
            temperature = numbers(known["phonons"], "temperature")
            other = numbers(alpha, "temperature") != temperature
        else:
            velocity = sound_velocity(m.bulk, m.shear, m.density)
            capacity = heat_capacity(debye_temperature(velocity, m.volume), ROOM)
            other = np.zeros(len(crystals), bool)
        heat = heat_per_volume(capacity, m.volume)

        def share(bulk: Numbers, shear: Numbers) -> Numbers:
            n = poisson_ratio(bulk, shear)
            return expansion * young_modulus(bulk, shear) / (expansion_factor(n) * heat)

        value = share(m.bulk, m.shear)
        apart = "expansion and heat capacity are of different temperatures"
        statuses = [
            apart if why == OK and off else why for why, off in zip(m.statuses, other, strict=True)
        ]
        return answers(
            SCHEMA,
            crystals.ids,
            m.level,
            statuses,
            value=value,
            uncertainty=np.hypot(m.uncertainty(share), value * np.nan_to_num(error / expansion)),
            poisson_ratio=m.poisson,
            reduced_expansion=expansion * m.young / heat,
            expansion=expansion,
            temperature=temperature,
            gruneisen=3 * expansion * m.bulk / heat,
            answer=[None if not np.isfinite(v) else WITHIN if v <= 1 else BEYOND for v in value],
        )


def make(settings: PropertySettings) -> Bound:
    """The property."""
    return Bound(settings.of("expansion_bound", OfModuli))
