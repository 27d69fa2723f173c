"""Elastic tensors from stresses of strained cells whose ions are relaxed.

C_ij = d sigma_i / d epsilon_j (Voigt) by central differences around the relaxed crystal, whose
residual stress cancels.  Each crystal is strained along the six symmetric directions, forth and
back; the strained cells of all crystals share the batches of the evaluator.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from jaxtyping import Float64
from pydantic import BaseModel, ConfigDict, Field

from gnomon.crystals import Crystals
from gnomon.evaluate import Evaluations, Evaluator
from gnomon.evaluate.table import evaluate_all
from gnomon.io.tables import OK, column, value_schema
from gnomon.potential.card import EV_PER_A3
from gnomon.properties import answers, reason
from gnomon.properties.registry import PropertySettings, evaluators
from gnomon.run.listener import SILENT, Listener

VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))

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
    column("residual_pressure", pa.float64(), "left in the relaxed crystal", unit="GPa"),
    column("volume_per_atom", pa.float64(), "of the relaxed crystal", unit="Å3"),
    column("density", pa.float64(), "of the relaxed crystal", unit="g/cm3"),
    column(
        "elastic_tensor",
        pa.list_(column("item", pa.float64(), "C_ij", unit="GPa")),
        "36 numbers, Voigt's order xx yy zz yz xz xy, axes of the relaxed cell; GPa",
    ),
)


class ElasticConfig(BaseModel):
    """How elastic tensors are computed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    strain: float = Field(default=0.005, gt=0, le=0.05, description="of every cell, forth and back")
    fmax: float = Field(default=0.005, gt=0, description="force left on the ions, eV/Å")
    max_steps: int = Field(default=200, ge=0, description="of their relaxation; 0 clamps them")


class Elastic:
    """Elastic tensors by any evaluator that gives stresses; a ``Property``."""

    needs: tuple[str, ...] = ()
    schema = SCHEMA

    def __init__(
        self,
        relaxer: Evaluator,
        strained: Evaluator,
        config: ElasticConfig,
        listener: Listener = SILENT,
    ) -> None:
        """Of two evaluators of one scheme.

        Args:
            relaxer: relaxes ions and cell.
            strained: relaxes the ions in a cell that stays.
            config: how.
            listener: hears of progress.
        """
        self.relaxer, self.strained = relaxer, strained
        self.config, self.listener = config, listener

    def compute(self, crystals: Crystals, known: Mapping[str, pa.Table]) -> pa.Table:
        """Relax, strain, and fit; what does not relax or is no minimum of energy has no moduli."""
        relaxed = evaluate_all(crystals, self.relaxer, self.listener, "relaxing")
        statuses = [_without_stress(relaxed, i) for i in range(len(crystals))]
        good = np.flatnonzero([status == OK for status in statuses])
        cells = strained_cells(relaxed.relaxed.take(good), self.config.strain)
        found = evaluate_all(cells, self.strained, self.listener, "straining")
        tensors = np.full((len(crystals), 6, 6), np.nan)
        for i, part in zip(good.tolist(), range(0, len(cells), 12), strict=True):
            reasons = [_without_stress(found, part + k) for k in range(12)]
            statuses[i] = next((f"strained: {why}" for why in reasons if why != OK), OK)
            tensors[i] = stiffness(found.stress[part : part + 12], self.config.strain)
        numbers = {name: np.full(len(crystals), np.nan) for name in MODULI}
        for i in np.flatnonzero([status == OK for status in statuses]).tolist():
            statuses[i], values = moduli(tensors[i])
            for name, value in values.items():
                numbers[name][i] = value
        shapes, pressures = relaxed.relaxed, -np.trace(relaxed.stress, axis1=1, axis2=2) / 3
        return answers(
            SCHEMA,
            crystals.ids,
            self.relaxer.scheme,
            statuses,
            **numbers,
            residual_pressure=EV_PER_A3 * pressures,
            volume_per_atom=shapes.volumes / shapes.n_atoms,
            density=shapes.densities,
            elastic_tensor=[tensor.ravel().tolist() for tensor in tensors],
        )


def strained_cells(crystals: Crystals, strain: float) -> Crystals:
    """Each crystal under twelve strains: six directions (Voigt), each forth and back.

    Shears are symmetric: a strain of gamma/2 in xy and in yx is one of gamma in Voigt's order.

    Args:
        crystals: n of them.
        strain: size of each, in Voigt's order.

    Returns:
        12 n crystals.
    """
    steps = np.zeros((12, 3, 3))
    for k, (i, j) in enumerate(VOIGT):
        half = strain if i == j else strain / 2
        for sign in (1, -1):
            steps[2 * k + (sign < 0), i, j] = steps[2 * k + (sign < 0), j, i] = sign * half
    repeated = crystals.take(np.repeat(np.arange(len(crystals)), 12))
    every = np.tile(np.eye(3) + steps, (len(crystals), 1, 1))
    return repeated.with_lattice(repeated.lattice @ every)


def stiffness(stress: Float64[np.ndarray, "12 3 3"], strain: float) -> Float64[np.ndarray, "6 6"]:
    """The elastic tensor, GPa, from the stresses (eV/Å3) of ``strained_cells``."""
    rows = np.array([stress[:, i, j] for i, j in VOIGT]).T
    slopes = EV_PER_A3 * (rows[0::2] - rows[1::2]) / (2 * strain)
    return (slopes + slopes.T) / 2


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

    weights = np.sqrt([1, 1, 1, 2, 2, 2])
    lowest = float(np.linalg.eigvalsh(tensor * np.outer(weights, weights))[0])
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
    still = {"relax_cell": False, "max_steps": config.max_steps}
    relaxer, strained = evaluators(settings, config.fmax, {}, still)
    return Elastic(relaxer, strained, config, settings.listener)
