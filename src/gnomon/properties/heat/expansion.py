"""Thermal expansion in the quasi-harmonic approximation.

Phonons at several volumes, at each of which the ions are relaxed in a cell of the same shape; the
volume of least free energy at each temperature is phonopy's (Vinet's equation of state).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field

from gnomon.crystals import Crystals
from gnomon.io.tables import OK, column, value_schema
from gnomon.potential.card import EV_PER_A3
from gnomon.properties import answered, reason
from gnomon.properties.by_evaluator import ByEvaluator, means
from gnomon.properties.heat.phonons import PhononConfig, force_constants, vibrations
from gnomon.properties.registry import PropertySettings

SCHEMA = value_schema(
    "linear thermal expansion at constant pressure, a third of the volume's",
    "1/K",
    column("temperature", pa.float64(), "of the expansion", unit="K"),
    column("volume_per_atom", pa.float64(), "at this temperature", unit="Å3"),
    column("bulk_modulus", pa.float64(), "isothermal, at this temperature", unit="GPa"),
    column("gruneisen", pa.float64(), "thermodynamic Grüneisen parameter", unit="1"),
)


STEP = 10.0
"""K; between temperatures."""


class ExpansionConfig(PhononConfig):
    """How thermal expansion is computed."""

    strain: float = Field(default=0.02, gt=0, le=0.1, description="largest, of a lattice vector")
    volumes: int = Field(default=7, ge=5, description="at which phonons are computed")


@dataclass(frozen=True, eq=False)
class Expansion(ByEvaluator[ExpansionConfig]):
    """Thermal expansion from phonons at several volumes; a ``Property``."""

    schema: ClassVar[pa.Schema] = SCHEMA

    def compute(self, crystals: Crystals, known: Mapping[str, pa.Table]) -> pa.Table:
        """Relax, scale, displace, and minimise the free energy at each temperature."""
        config = self.config
        relaxed = self.evaluated(crystals, self.relaxer, "relaxing")
        steps = (1 + np.linspace(-config.strain, config.strain, config.volumes)) ** 3
        many = relaxed.relaxed.take(np.repeat(np.arange(len(crystals)), config.volumes))
        scaled = many.scale_volume(np.tile(steps, len(crystals)))
        found = self.evaluated(scaled, self.fixed, "scaling")
        made = force_constants(found.relaxed, self.single, config, self.listener)
        rows = []
        for i in range(len(crystals)):
            part = range(i * config.volumes, (i + 1) * config.volumes)
            there = [reason(relaxed, i), *(_elsewhere(reason(found, k)) for k in part)]
            status = next((why for why in there if why != OK), OK)
            said: dict[str, float] = {}
            if status == OK:
                at = slice(part.start, part.stop)
                energies = found.energy_per_atom[at] * found.relaxed.n_atoms[at]
                status, said = expansion(made[at], found.relaxed.volumes[at], energies, config)
            rows.append({"status": status, "temperature": config.temperature, **said})
        return answered(SCHEMA, crystals.ids, self.single.scheme, rows)


def _elsewhere(status: str) -> str:
    return OK if status == OK else f"at another volume: {status}"


def expansion(
    made: list[Any], volumes: np.ndarray, energies: np.ndarray, config: ExpansionConfig
) -> tuple[str, dict[str, float]]:
    """The expansion of one crystal from its phonons at several volumes.

    Args:
        made: ``phonopy.Phonopy`` of each volume, or why there is none.
        volumes: of the cells, Å3.
        energies: of the cells, eV.
        config: how.
    """
    from phonopy import run_qha

    if lost := next((one for one in made if isinstance(one, str)), None):
        return lost, {}
    for one in made:
        status = _elsewhere(vibrations(one, config)[0])
        if status != OK:
            return status, {}
    cells = len(made[0].unitcell) / len(made[0].primitive)
    temperatures = np.arange(0.0, config.temperature + 3 * STEP, STEP)
    try:
        found = run_qha(
            made, temperatures, energies / cells, mesh=config.mesh, exclude_gamma_acoustic=True
        )
    except (RuntimeError, ValueError) as error:
        return f"no equation of state fits its free energies ({error})", {}
    at = int(np.abs(found.temperatures - config.temperature).argmin())
    volume = cells * float(found.equilibrium_volumes[at])
    if not volumes.min() < volume < volumes.max():
        return "its free energy has no minimum between the volumes (expansion.strain)", {}
    return OK, {
        "value": float(found.thermal_expansion[at]) / 3,
        "volume_per_atom": volume / len(made[0].unitcell),
        "bulk_modulus": EV_PER_A3 * float(found.bulk_moduli[at]),
        "gruneisen": float(found.gruneisen_parameters[at]),
    }


def make(settings: PropertySettings) -> Expansion:
    """The property, by the evaluator of the settings."""
    config = settings.of("expansion", ExpansionConfig)
    return Expansion(config, *means(settings, config))
