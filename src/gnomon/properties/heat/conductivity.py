"""Thermal conductivity of the lattice, for small cells: three-phonon scattering by phono3py.

Second and third derivatives of the energy come from supercells with one and with two displaced
atoms, which share the batches of the evaluator; the Boltzmann equation is solved in the relaxation
time approximation (Togo, Chaput and Tanaka, Phys. Rev. B 91, 094306 (2015)).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from jaxtyping import Float64
from pydantic import Field

from gnomon.chemistry.cautions import of_metals
from gnomon.crystals import Crystals
from gnomon.io.tables import OK, column, value_schema
from gnomon.properties import answered, reason
from gnomon.properties.by_evaluator import ByEvaluator, means
from gnomon.properties.heat.phonons import SYMPREC, PhononConfig, cell_of, crystal_of, vibrations
from gnomon.properties.registry import PropertySettings

SCHEMA = value_schema(
    "thermal conductivity of the lattice, mean over directions",
    "W/(m K)",
    column("temperature", pa.float64(), "of the conductivity", unit="K"),
    column(
        "conductivity_tensor",
        pa.list_(column("item", pa.float64(), "kappa_ij", unit="W/(m K)")),
        "6 numbers, xx yy zz yz xz xy, Cartesian axes of the crystal as relaxed; W/(m K)",
    ),
    column("lowest_frequency", pa.float64(), "negative where imaginary", unit="THz"),
    column("supercell_atoms", pa.int64(), "atoms in a displaced supercell"),
    column("displacements", pa.int64(), "supercells"),
)

METALS = "metals only: electrons conduct heat, not the lattice"
"""Status of these."""


class ConductivityConfig(PhononConfig):
    """How thermal conductivities are computed."""

    distance: float = Field(default=0.03, gt=0, description="of a displaced atom, Å")
    min_length: float = Field(default=7.5, gt=0, description="least height of a supercell, Å")
    pair: float = Field(
        default=4.5, gt=0, description="between two displaced atoms at most, Å; beyond, no third"
    )
    max_displacements: int = Field(default=500, ge=1, description="supercells of a crystal")
    mesh: float = Field(default=45.0, gt=0, description="length of phono3py's mesh of q points, Å")
    isotopes: bool = Field(default=True, description="scattering by natural isotopes, too")


@dataclass(frozen=True, eq=False)
class Conductivity(ByEvaluator[ConductivityConfig]):
    """Thermal conductivity from third derivatives; a ``Property``."""

    schema: ClassVar[pa.Schema] = SCHEMA

    def compute(self, crystals: Crystals, known: Mapping[str, pa.Table]) -> pa.Table:
        """Relax, displace one and two atoms, and let phonons scatter."""
        rows: list[dict[str, Any]] = [
            {"status": METALS if metallic else OK} for metallic in of_metals(crystals)
        ]
        asked = [i for i, row in enumerate(rows) if row["status"] == OK]
        relaxed = self.evaluated(crystals.take(asked), self.relaxer, "relaxing")
        found: dict[int, Any] = {}
        for k, i in enumerate(asked):
            rows[i]["status"] = reason(relaxed, k)
            if rows[i]["status"] == OK:
                one = displaced(relaxed.relaxed[k], self.config)
                if isinstance(one, str):
                    rows[i]["status"] = one
                else:
                    found[i] = one
        for i, answer in self._scattered(found).items():
            rows[i] = answer
        return answered(SCHEMA, crystals.ids, self.relaxer.scheme, rows)

    def _scattered(self, found: Mapping[int, Any]) -> dict[int, dict[str, Any]]:
        """Rows of the crystals whose supercells are made."""
        cells = [crystal_of(cell) for one in found.values() for cell in _there(one)]
        forced, rows = self.evaluated(Crystals.concatenate(cells), self.single, "displacing"), {}
        offsets, end = forced.relaxed.offsets, 0
        for i, one in found.items():
            begin, end = end, end + len(_there(one))
            forces = forced.forces[offsets[begin] : offsets[end]].reshape(end - begin, -1, 3)
            lost = forced.message[begin:end][~np.isfinite(forces).all(axis=(1, 2))]
            if len(lost):
                why = f"no forces of a displaced supercell: {lost[0] or self.single.scheme}"
                rows[i] = {"status": why}
            else:
                rows[i] = conductivity(one, forces, self.config)
        return rows


def displaced(crystal: Crystals, config: ConductivityConfig) -> Any:
    """A ``phono3py.Phono3py`` with its displacements, or why there is none.

    Args:
        crystal: one, at a minimum of energy for its cell.
        config: how.
    """
    from phono3py import Phono3py

    cell = cell_of(crystal, config, "thermal_conductivity")
    if isinstance(cell, str):
        return cell
    unit, times, primitive = cell
    made = Phono3py(unit, times, primitive_matrix=primitive, symprec=SYMPREC)
    made.generate_displacements(distance=config.distance, cutoff_pair_distance=config.pair)
    if (count := len(_there(made))) > config.max_displacements:
        most = f"{config.max_displacements} (thermal_conductivity.max_displacements)"
        return f"{count} displaced supercells, more than {most}"
    return made


def conductivity(
    made: Any, forces: Float64[np.ndarray, "k atoms 3"], config: ConductivityConfig
) -> dict[str, Any]:
    """A row of the table, without id and level.

    Args:
        made: of ``displaced``.
        forces: eV/Å, of its displaced supercells that are there.
        config: how.
    """
    from phonopy import Phonopy

    given = iter(forces)
    cells = made.supercells_with_displacements
    made.forces = [np.zeros_like(forces[0]) if c is None else next(given) for c in cells]
    made.produce_fc3()
    made.symmetrize_fc3()
    made.symmetrize_fc2()
    harmonic = Phonopy(made.unitcell, made.supercell_matrix, primitive_matrix=made.primitive_matrix)
    harmonic.force_constants = made.fc2
    status, said = vibrations(harmonic, config)
    row = {
        "status": status,
        "temperature": config.temperature,
        "lowest_frequency": said["lowest_frequency"],
        "supercell_atoms": said["supercell_atoms"],
        "displacements": len(forces),
    }
    if status != OK:
        return row
    made.mesh_numbers = config.mesh
    made.init_phph_interaction()
    made.run_thermal_conductivity(temperatures=[config.temperature], is_isotope=config.isotopes)
    six = np.asarray(made.thermal_conductivity.kappa)[0, 0]
    return row | {"value": float(six[:3].mean()), "conductivity_tensor": six.tolist()}


def _there(made: Any) -> list[Any]:
    """Displaced supercells that are asked for: those of pairs too far apart are None."""
    return [cell for cell in made.supercells_with_displacements if cell is not None]


def make(settings: PropertySettings) -> Conductivity:
    """The property, by the evaluator of the settings.

    Raises:
        ValueError: if phono3py is not installed.
    """
    if find_spec("phono3py") is None:
        raise ValueError("thermal_conductivity needs phono3py: pip install 'gnomon[properties]'")
    config = settings.of("thermal_conductivity", ConductivityConfig)
    return Conductivity(config, *means(settings, config))
