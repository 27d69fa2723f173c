"""Moduli of crystals for what follows from them: computed by strains, or predicted by networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
from jaxtyping import Float64
from pydantic import BaseModel, ConfigDict, Field

from gnomon.crystals import Crystals
from gnomon.io.tables import OK

Numbers = Float64[np.ndarray, " n"]
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
        bulk_error, shear_error: how far off they may be; NaN where nobody knows.
        volume: Å3 an atom.
        density: g/cm3.
        statuses: ``ok``, or why there are none.
        level: what gave them.
    """

    bulk: Numbers
    shear: Numbers
    bulk_error: Numbers
    shear_error: Numbers
    volume: Numbers
    density: Numbers
    statuses: list[str]
    level: str

    @classmethod
    def of(cls, crystals: Crystals, known: Mapping[str, pa.Table]) -> Moduli:
        """From the tables of ``NEEDS``: relaxed cells with elastic ones, else cells as given.

        What stands in further tables is not ok either where they are not.
        """
        reasons = [
            [why if why == OK else f"{name}: {why}" for why in table["status"].to_pylist()]
            for name, table in known.items()
        ]
        statuses = [next((w for w in each if w != OK), OK) for each in zip(*reasons, strict=True)]
        level = next((str(one) for t in known.values() for one in t["level"].to_pylist()), "")
        if "elastic" in known:
            names = ("value", "shear_modulus", "uncertainty", "shear_uncertainty")
            k, g, dk, dg = (numbers(known["elastic"], name) for name in names)
            volume, density = (numbers(known["elastic"], n) for n in ("volume_per_atom", "density"))
        else:
            k, g = (numbers(known[name], "value") for name in NEEDS["predicted"])
            dk, dg = (numbers(known[name], "uncertainty") for name in NEEDS["predicted"])
            volume, density = crystals.volumes / crystals.n_atoms, crystals.densities
        return cls(k, g, dk, dg, volume, density, statuses, level)

    def uncertainty(self, of: Callable[[Numbers, Numbers], Numbers]) -> Numbers:
        """What the errors of K and G, taken to be independent, do to a function of both.

        sqrt(d_K² + d_G²), with d_K² the mean of (f(K ± dK, G) - f(K, G))².

        Args:
            of: K and G (GPa) to the number; errors beyond nine tenths of a modulus count as that.
        """
        k, g = self.bulk, self.shear
        dk, dg = (np.minimum(e, 0.9 * m) for e, m in ((self.bulk_error, k), (self.shear_error, g)))
        with np.errstate(all="ignore"):
            moved = [of(k + dk, g), of(k - dk, g), of(k, g + dg), of(k, g - dg)]
            return np.sqrt(((np.array(moved) - of(k, g)) ** 2).sum(axis=0) / 2)

    @property
    def young(self) -> Numbers:
        """Young's modulus E = 9 K G / (3 K + G), GPa."""
        return young_modulus(self.bulk, self.shear)

    @property
    def poisson(self) -> Numbers:
        """Poisson's ratio (3 K - 2 G) / (6 K + 2 G)."""
        return poisson_ratio(self.bulk, self.shear)


def young_modulus(bulk: Numbers, shear: Numbers) -> Numbers:
    """Young's modulus E = 9 K G / (3 K + G), GPa."""
    return 9 * bulk * shear / (3 * bulk + shear)


def poisson_ratio(bulk: Numbers, shear: Numbers) -> Numbers:
    """Poisson's ratio (3 K - 2 G) / (6 K + 2 G)."""
    return (3 * bulk - 2 * shear) / (6 * bulk + 2 * shear)


def numbers(table: pa.Table, name: str) -> Numbers:
    """A column as an array, NaN for null."""
    return table[name].to_numpy(zero_copy_only=False).astype(np.float64)
