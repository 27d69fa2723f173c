"""Phonons by finite displacements: the displaced supercells of all crystals share batches.

Displacements, symmetry, force constants and thermal sums are phonopy's (Togo et al., J. Phys.:
Condens. Matter 35, 353001 (2023)); the forces are the evaluator's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field

from gnomon.crystals import Crystals
from gnomon.elements import SYMBOLS
from gnomon.evaluate import Evaluator
from gnomon.evaluate.table import evaluate_all
from gnomon.io.tables import OK, column, value_schema
from gnomon.properties import answered, reason
from gnomon.properties.by_evaluator import ByEvaluator, Tight, means
from gnomon.properties.registry import PropertySettings
from gnomon.run.listener import Listener
from gnomon.structure.supercells import repeats

KJ_MOL = 0.010364269656
"""eV in 1 kJ/mol."""

SCHEMA = value_schema(
    "heat capacity at constant volume of a mole of atoms, from phonons",
    "J/(mol K)",
    column("temperature", pa.float64(), "of heat capacity, entropy and free energy", unit="K"),
    column("entropy", pa.float64(), "vibrational, of a mole of atoms", unit="J/(mol K)"),
    column("free_energy", pa.float64(), "vibrational, zero point included", unit="eV/atom"),
    column("zero_point_energy", pa.float64(), "of the vibrations", unit="eV/atom"),
    column("lowest_frequency", pa.float64(), "negative where imaginary", unit="THz"),
    column("highest_frequency", pa.float64(), "the last phonon peak lies below it", unit="THz"),
    column("imaginary_share", pa.float64(), "of the modes", unit="1"),
    column("supercell_atoms", pa.int64(), "atoms in a displaced supercell"),
    column("displacements", pa.int64(), "supercells"),
)


SYMPREC = 1e-3
"""Å; of the symmetry that saves displacements."""


class PhononConfig(Tight):
    """How phonons are computed."""

    temperature: float = Field(default=300.0, gt=0, description="of the thermal sums, K")
    distance: float = Field(default=0.02, gt=0, description="of a displaced atom, Å")
    min_length: float = Field(default=9.0, gt=0, description="least height of a supercell, Å")
    max_atoms: int = Field(default=400, ge=1, description="in a supercell")
    mesh: float = Field(default=60.0, gt=0, description="length of phonopy's mesh of q points, Å")
    fmax: float = Field(default=0.001, gt=0, description="force left in a relaxed crystal, eV/Å")
    tolerance: float = Field(
        default=0.15, ge=0, description="imaginary frequencies up to this are noise, THz"
    )


@dataclass(frozen=True, eq=False)
class Phonons(ByEvaluator[PhononConfig]):
    """Heat capacity and stability from phonons; a ``Property``."""

    schema: ClassVar[pa.Schema] = SCHEMA

    def compute(self, crystals: Crystals, known: Mapping[str, pa.Table]) -> pa.Table:
        """Relax, displace, and sum over modes; what is not stable has no heat capacity."""
        relaxed = self.evaluated(crystals, self.relaxer, "relaxing")
        rows: list[dict[str, Any]] = [{"status": reason(relaxed, i)} for i in range(len(crystals))]
        good = [i for i, row in enumerate(rows) if row["status"] == OK]
        made = force_constants(relaxed.relaxed.take(good), self.single, self.config, self.listener)
        for i, one in zip(good, made, strict=True):
            if isinstance(one, str):
                rows[i] = {"status": one}
                continue
            status, said = vibrations(one, self.config)
            count = len(one.supercells_with_displacements)
            rows[i] = {"status": status, "displacements": count, **said}
        return answered(SCHEMA, crystals.ids, self.relaxer.scheme, rows)


def force_constants(
    crystals: Crystals, single: Evaluator, config: PhononConfig, listener: Listener
) -> list[Any]:
    """A ``phonopy.Phonopy`` with force constants for each crystal, or why there is none.

    Args:
        crystals: at a minimum of energy for their cells.
        single: gives the forces of a crystal as it is.
        config: how.
        listener: hears of progress.
    """
    found = [_displaced(crystal, config) for crystal in crystals]
    cells = [
        crystal_of(cell)
        for one in found
        if not isinstance(one, str)
        for cell in one.supercells_with_displacements
    ]
    forced = evaluate_all(Crystals.concatenate(cells), single, listener, "displacing")
    offsets, begin = forced.relaxed.offsets, 0
    for k, one in enumerate(found):
        if isinstance(one, str):
            continue
        end = begin + len(one.supercells_with_displacements)
        forces = forced.forces[offsets[begin] : offsets[end]].reshape(end - begin, -1, 3)
        lost = forced.message[begin:end][~np.isfinite(forces).all(axis=(1, 2))]
        begin = end
        if len(lost):
            found[k] = f"no forces of a displaced supercell: {lost[0] or single.scheme}"
            continue
        one.forces = forces
        one.produce_force_constants(show_drift=False)
        one.symmetrize_force_constants(show_drift=False)
    return found


def vibrations(phonons: Any, config: PhononConfig) -> tuple[str, dict[str, Any]]:
    """What the modes say, by name of column, and ``ok`` or that the crystal is not stable."""
    mesh = phonons.run_mesh(config.mesh)
    frequencies, weights = mesh.frequencies, mesh.weights
    per_atom = len(phonons.primitive)
    soft = (frequencies < -config.tolerance) * weights[:, None]
    row = {
        "temperature": config.temperature,
        "lowest_frequency": float(frequencies.min()),
        "highest_frequency": float(frequencies.max()),
        "imaginary_share": float(soft.sum() / (weights.sum() * frequencies.shape[1])),
        "supercell_atoms": len(phonons.supercell),
    }
    if soft.any():
        return (
            f"not stable: a mode of {row['lowest_frequency']:.2f} THz (imaginary) at the "
            f"tolerance of {config.tolerance:g} THz",
            row,
        )
    thermal = phonons.run_thermal_properties(
        temperatures=[0.0, config.temperature], exclude_gamma_acoustic=True
    )
    zero, free = KJ_MOL * np.asarray(thermal.free_energy) / per_atom
    row |= {
        "value": float(thermal.heat_capacity[1]) / per_atom,
        "entropy": float(thermal.entropy[1]) / per_atom,
        "free_energy": float(free),
        "zero_point_energy": float(zero),
    }
    return OK, row


def cell_of(crystal: Crystals, config: PhononConfig, name: str) -> Any:
    """Cell, supercell matrix, primitive matrix of a crystal for phonopy, or that it is too large.

    Args:
        crystal: one.
        config: of the property.
        name: of the property.
    """
    from phonopy.structure.atoms import PhonopyAtoms
    from phonopy.structure.cells import guess_primitive_matrix

    lattice, numbers, frac_coords = crystal.arrays(0)
    times = repeats(lattice, config.min_length)
    if (size := len(numbers) * math.prod(times)) > config.max_atoms:
        return f"a supercell of {size} atoms, more than {config.max_atoms} ({name}.max_atoms)"
    symbols = [SYMBOLS[z] for z in numbers]
    cell = PhonopyAtoms(symbols, cell=lattice, scaled_positions=frac_coords)
    return cell, np.diag(times), guess_primitive_matrix(cell, symprec=SYMPREC)


def _displaced(crystal: Crystals, config: PhononConfig) -> Any:
    """A ``phonopy.Phonopy`` with its displacements, or why there is none."""
    from phonopy import Phonopy

    cell = cell_of(crystal, config, "phonons")
    if isinstance(cell, str):
        return cell
    unit, times, primitive = cell
    made = Phonopy(unit, times, primitive_matrix=primitive, symprec=SYMPREC)
    made.generate_displacements(distance=config.distance)
    return made


def crystal_of(cell: Any) -> Crystals:
    """A crystal of phonopy's atoms."""
    return Crystals.single(cell.cell, cell.numbers, cell.scaled_positions % 1.0)


def make(settings: PropertySettings) -> Phonons:
    """The property, by the evaluator of the settings."""
    config = settings.of("phonons", PhononConfig)
    return Phonons(config, *means(settings, config))
