"""Moduli of crystals for what follows from them: computed by strains, or predicted by networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
from jaxtyping import Float64
from pydantic import BaseModel, ConfigDict, Field

from gnomon.crystals import Crystals
from gnomon.io.tables import OK

Source = Literal["elastic", "predicted"]

NEEDS: Mapping[Source, tuple[str, ...]] = {
    "elastic": ("elastic",),
    "predicted": ("bulk_modulus", "shear_modulus"),
}
"""Properties that the moduli come from."""


class OfModuli(BaseModel):
    """Settings of what follows from moduli."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    moduli: Source = Field(
        default="elastic",
        description="from strained cells, or predicted by the networks in the package",
    )


@dataclass(frozen=True, eq=False)
class Moduli:
    """Moduli of n crystals, GPa; NaN where there are none.

    Attributes:
        bulk, shear: K and G.
        volume: Å3 an atom.
        density: g/cm3.
        statuses: ``ok``, or why there are none.
        level: what gave them.
    """

    bulk: Float64[np.ndarray, " n"]
    shear: Float64[np.ndarray, " n"]
    volume: Float64[np.ndarray, " n"]
    density: Float64[np.ndarray, " n"]
    statuses: list[str]
    level: str

    @classmethod
    def of(cls, crystals: Crystals, known: Mapping[str, pa.Table]) -> Moduli:
        """From the tables of ``NEEDS``: relaxed cells with elastic ones, else cells as given."""
        reasons = [
            [why if why == OK else f"{name}: {why}" for why in table["status"].to_pylist()]
            for name, table in known.items()
        ]
        statuses = [next((w for w in each if w != OK), OK) for each in zip(*reasons, strict=True)]
        level = next((str(one) for t in known.values() for one in t["level"].to_pylist()), "")
        if "elastic" in known:
            names = ("value", "shear_modulus", "volume_per_atom", "density")
            bulk, shear, volume, density = (_numbers(known["elastic"], name) for name in names)
            return cls(bulk, shear, volume, density, statuses, level)
        bulk, shear = (_numbers(known[name], "value") for name in NEEDS["predicted"])
        return cls(
            bulk, shear, crystals.volumes / crystals.n_atoms, crystals.densities, statuses, level
        )

    @property
    def young(self) -> Float64[np.ndarray, " n"]:
        """Young's modulus E = 9 K G / (3 K + G), GPa."""
        return 9 * self.bulk * self.shear / (3 * self.bulk + self.shear)

    @property
    def poisson(self) -> Float64[np.ndarray, " n"]:
        """Poisson's ratio (3 K - 2 G) / (6 K + 2 G)."""
        return (3 * self.bulk - 2 * self.shear) / (6 * self.bulk + 2 * self.shear)


def _numbers(table: pa.Table, name: str) -> Float64[np.ndarray, " n"]:
    return table[name].to_numpy(zero_copy_only=False).astype(np.float64)
