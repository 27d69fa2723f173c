"""Elastic tensors from the forces and stresses of a few distorted cells, ions relaxed.

With second derivatives of the energy by strains and displacements at the relaxed crystal, the ions
follow a strain to where no force is left on them:

    C = (H_ss - H_su H_uu^-1 H_us) / V

Distortions are as many as the crystal's symmetry asks for (``distortions.py``); those of all
crystals share the batches of the evaluator.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from jaxtyping import Float64
from pydantic import Field

from gnomon.crystals import Crystals
from gnomon.dynamics.invariance import Invariance
from gnomon.evaluate import Evaluations
from gnomon.io.tables import OK, column, value_schema
from gnomon.potential.card import EV_PER_A3
from gnomon.properties import answered, reason
from gnomon.properties.by_evaluator import ByEvaluator, Tight, means
from gnomon.properties.mechanics.distortions import (
    MANDEL,
    Action,
    Distortion,
    distortions,
    hessian,
    to_mandel,
)
from gnomon.properties.mechanics.measured import uncertainties
from gnomon.properties.registry import PropertySettings
from gnomon.structure.symmetry import SymmetryError, primitive

SYMPREC = 0.01
"""Å; of the symmetry of a relaxed crystal."""

SOFT = 0.005
"""eV/Å2; force constants of ions up to this are noise, and the ions are left where they are."""

MODULI = {
    "value": ("bulk modulus K, Hill's mean of Voigt's and Reuss' bounds", "GPa"),
    "shear_modulus": ("shear modulus G, Hill's mean of Voigt's and Reuss' bounds", "GPa"),
    "bulk_modulus_voigt": ("upper bound of the bulk modulus", "GPa"),
    "bulk_modulus_reuss": ("lower bound of the bulk modulus", "GPa"),
    "shear_modulus_voigt": ("upper bound of the shear modulus", "GPa"),
    "shear_modulus_reuss": ("lower bound of the shear modulus", "GPa"),
    "young_modulus": ("Young's modulus E = 9 K G / (3 K + G)", "GPa"),
    "lowest_stiffness": ("lowest eigenvalue of the tensor, positive where it is stable", "GPa"),
    "poisson_ratio": ("Poisson's ratio (3 K - 2 G) / (6 K + 2 G)", "1"),
    "universal_anisotropy": ("5 G_V/G_R + K_V/K_R - 6, 0 where isotropic", "1"),
}
"""Numbers that follow from a tensor, with what they are and their units."""

SCHEMA = value_schema(
    *MODULI["value"],
    *(column(n, pa.float64(), about, unit=u) for n, (about, u) in MODULI.items() if n != "value"),
    column(
        "softest_displacement",
        pa.float64(),
        "lowest force constant of the ions in their primitive cell, translations left out",
        unit="eV/Å2",
    ),
    column("shear_uncertainty", pa.float64(), "of the shear modulus, as of the value", unit="GPa"),
    column("residual_pressure", pa.float64(), "left in the relaxed crystal", unit="GPa"),
    column("volume_per_atom", pa.float64(), "of the relaxed crystal", unit="Å3"),
    column("density", pa.float64(), "of the relaxed crystal", unit="g/cm3"),
    column(
        "elastic_tensor",
        pa.list_(column("item", pa.float64(), "C_ij", unit="GPa")),
        "36 numbers, Voigt's order xx yy zz yz xz xy, Cartesian axes of the crystal as given; GPa",
    ),
    uncertainty="mean error of this level on 60 crystals against PBE, where it was measured",
)


class ElasticConfig(Tight):
    """How elastic tensors are computed.

    Steps are small, as tensors are off by their squares: those of soft crystals by up to 10 % with
    a strain of 0.005 and 0.01 Å, 18 of 19 by up to 0.6 % with these (``benchmarks/elastic.py``).
    """

    strain: float = Field(default=0.001, gt=0, le=0.05, description="of a distorted cell")
    distance: float = Field(default=0.003, gt=0, le=0.2, description="of a displaced atom, Å")
    clamped: bool = Field(default=False, description="keep the ions where the strain takes them")


@dataclass(frozen=True, eq=False)
class Elastic(ByEvaluator[ElasticConfig]):
    """Elastic tensors by any evaluator that gives forces and stresses; a ``Property``."""

    schema: ClassVar[pa.Schema] = SCHEMA

    def compute(self, crystals: Crystals, known: Mapping[str, pa.Table]) -> pa.Table:
        """Relax, distort, and fit; what does not relax or is no minimum of energy has no moduli."""
        cells = Crystals.concatenate([_primitive(crystal) for crystal in crystals])
        relaxed = self.evaluated(cells, self.relaxer, "relaxing")
        rows: list[dict[str, Any]] = []
        asked: dict[int, Asked] = {}
        for i, crystal in enumerate(relaxed.relaxed):
            rows.append({"status": _without_stress(relaxed, i)})
            if rows[i]["status"] == OK:
                rows[i] |= _told(crystal, relaxed.stress[i])
                try:
                    asked[i] = Asked.of(crystal, self.config)
                except ValueError as error:
                    rows[i]["status"] = str(error)
        distorted = Crystals.concatenate([one.cells for one in asked.values()])
        found, end = self.evaluated(distorted, self.single, "distorting"), 0
        for i, one in asked.items():
            part = range(end, end := end + len(one.cells))
            lost = next((why for k in part if (why := _without_stress(found, k)) != OK), None)
            rows[i] |= {"status": f"distorted: {lost}"} if lost else self._row(one, found, part)
        return answered(SCHEMA, crystals.ids, self.relaxer.scheme, rows)

    def _row(self, asked: Asked, found: Evaluations, part: range) -> dict[str, Any]:
        """What the answers of the distorted cells come to."""
        second = asked.hessian(found, part)
        softest, tensor = relaxed_tensor(second, asked.crystal.volumes[0], self.config.clamped)
        row = {"softest_displacement": softest}
        if softest < -SOFT:
            why = f"not stable: a displacement of ions has a force constant of {softest:.3g} eV/Å2"
            return {"status": why, **row}
        status, numbers = moduli(tensor)
        if status == OK:
            both = (numbers["value"], numbers["shear_modulus"])
            numbers |= uncertainties(self.relaxer.scheme, *both)
        return {"status": status, "elastic_tensor": tensor.ravel().tolist(), **row, **numbers}


@dataclass(frozen=True, eq=False)
class Asked:
    """What is asked of an evaluator about one crystal.

    Attributes:
        crystal: relaxed, its symmetry made exact.
        action: of its space group.
        made: distortions.
        cells: the crystal so distorted.
    """

    crystal: Crystals
    action: Action
    made: list[Distortion]
    cells: Crystals

    @classmethod
    def of(cls, crystal: Crystals, config: ElasticConfig) -> Asked:
        """Of a relaxed crystal.

        Raises:
            ValueError: if its symmetry is no group on its atoms.
        """
        lattice, numbers, frac_coords = crystal.arrays(0)
        invariance = Invariance.of(crystal, SYMPREC)
        lattice, frac_coords = invariance.crystal(lattice, frac_coords)
        exact = Crystals.single(lattice, numbers, frac_coords % 1.0)
        action = Action.of(lattice, invariance)
        made = distortions(action, config.strain, config.distance)
        cells = Crystals.concatenate([one.cells(exact) for one in made])
        return cls(exact, action, made, cells)

    def hessian(self, found: Evaluations, part: range) -> Float64[np.ndarray, "m m"]:
        """Second derivatives from the answers ``part`` of a table, those of ``cells``."""
        stress = self.crystal.volumes[0] * to_mandel(found.stress[part.start : part.stop])
        offsets = found.relaxed.offsets
        forces = found.forces[offsets[part.start] : offsets[part.stop]].reshape(len(part), -1)
        gradients = iter(np.hstack([stress, -forces]))
        answers = [[next(gradients) for _ in range(one.count)] for one in self.made]
        return hessian(self.action, self.made, answers)


def relaxed_tensor(
    second: Float64[np.ndarray, "m m"], volume: float, clamped: bool = False
) -> tuple[float, Float64[np.ndarray, "6 6"]]:
    """The lowest force constant of the ions (eV/Å2), and the elastic tensor (GPa, Voigt).

    Args:
        second: derivatives of the energy (eV) by strains (Mandel) and displacements (Å).
        volume: Å3.
        clamped: leave the ions where the strain takes them.
    """
    constants, modes = np.linalg.eigh(second[6:, 6:])
    softest = float(np.delete(constants, np.argsort(np.abs(constants))[:3]).min(initial=np.inf))
    follow = (np.abs(constants) > SOFT) & (not clamped)
    coupled = second[:6, 6:] @ modes[:, follow]
    whole = second[:6, :6] - coupled / constants[follow] @ coupled.T
    return softest, EV_PER_A3 / volume * whole / np.outer(MANDEL, MANDEL)


def _primitive(crystal: Crystals) -> Crystals:
    """Its primitive cell, as far as spglib finds one: fewer atoms, and fewer distortions."""
    try:
        return primitive(crystal, SYMPREC)
    except SymmetryError:
        return crystal


def _told(crystal: Crystals, stress: Float64[np.ndarray, "3 3"]) -> dict[str, float]:
    """What is told of a relaxed crystal beside its moduli."""
    return {
        "residual_pressure": -EV_PER_A3 * float(np.trace(stress)) / 3,
        "volume_per_atom": float(crystal.volumes[0] / crystal.n_atoms[0]),
        "density": float(crystal.densities[0]),
    }


def moduli(tensor: Float64[np.ndarray, "6 6"]) -> tuple[str, dict[str, float]]:
    """What a tensor (GPa) says of a polycrystal, and ``ok`` or why it says nothing.

    A crystal is stable where all eigenvalues of its tensor are positive (Mouhat and Coudert, PRB
    90, 224104 (2014)).  Moduli: Hill, Proc. Phys. Soc. A 65, 349 (1952), by pymatgen.

    >>> silicon = np.diag([103.0, 103, 103, 80, 80, 80])
    >>> silicon[:3, :3] += 63
    >>> status, values = moduli(silicon)
    >>> status, round(values["value"], 1), round(values["shear_modulus"], 1)
    ('ok', 97.3, 67.1)
    >>> moduli(-silicon)[0]
    'not stable: the lowest eigenvalue of the elastic tensor is -292 GPa'
    """
    from pymatgen.analysis.elasticity import ElasticTensor

    lowest = float(np.linalg.eigvalsh(tensor * np.outer(MANDEL, MANDEL))[0])
    if not lowest > 0:
        status = f"not stable: the lowest eigenvalue of the elastic tensor is {lowest:.3g} GPa"
        return status, {"lowest_stiffness": lowest}
    whole = ElasticTensor.from_voigt(tensor)
    bulk, shear = float(whole.k_vrh), float(whole.g_vrh)
    return OK, {
        "value": bulk,
        "shear_modulus": shear,
        "bulk_modulus_voigt": float(whole.k_voigt),
        "bulk_modulus_reuss": float(whole.k_reuss),
        "shear_modulus_voigt": float(whole.g_voigt),
        "shear_modulus_reuss": float(whole.g_reuss),
        "young_modulus": 9 * bulk * shear / (3 * bulk + shear),
        "lowest_stiffness": lowest,
        "poisson_ratio": float(whole.homogeneous_poisson),
        "universal_anisotropy": float(whole.universal_anisotropy),
    }


def _without_stress(found: Evaluations, i: int) -> str:
    """Why an evaluation gives no stress of a minimum, or ``ok``."""
    why, known = reason(found, i), bool(np.isfinite(found.stress[i]).all())
    return why if known or why != OK else f"{found.scheme} gives no stress"


def make(settings: PropertySettings) -> Elastic:
    """The property, by the evaluator of the settings."""
    config = settings.of("elastic", ElasticConfig)
    return Elastic(config, *means(settings, config))
