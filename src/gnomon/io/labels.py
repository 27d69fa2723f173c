"""``Labels``: energies, forces and stresses of crystals, whoever computed them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from gnomon.ragged import ragged_take

SCHEME_KEY = "energy_scheme"
"""Where a file names the scheme: metadata of a Parquet schema, comment lines of extended XYZ."""


class Labels(NamedTuple):
    """Labels of n crystals, all of one energy scheme; NaN where there is none.

    Attributes:
        energy: (n,), total, eV.
        forces: (atoms, 3), eV/Å.
        stress: (n, 3, 3), eV/Å^3, positive under tension, as in ASE.
    """

    energy: Float[np.ndarray, " n"]
    forces: Float[np.ndarray, "atoms 3"]
    stress: Float[np.ndarray, "n 3 3"]

    @classmethod
    def none(cls, n: int, atoms: int) -> Labels:
        """Room for the labels of n crystals of so many atoms in all."""
        return cls(np.full(n, np.nan), np.full((atoms, 3), np.nan), np.full((n, 3, 3), np.nan))

    def take(self, offsets: Int[np.ndarray, " n_plus_1"], index: Int[np.ndarray, " k"]) -> Labels:
        """Those of some of the crystals, whose atoms lie between these offsets."""
        atoms, _ = ragged_take(offsets, index)
        return Labels(self.energy[index], self.forces[atoms], self.stress[index])

    def put(
        self, offsets: Int[np.ndarray, " n_plus_1"], index: Int[np.ndarray, " k"], found: Any
    ) -> None:
        """Set those of some of the crystals; what comes behind theirs, as padding, is left out."""
        atoms, _ = ragged_take(offsets, index)
        for mine, rows, theirs in zip(self, (index, atoms, index), found, strict=True):
            mine[rows] = theirs[: len(rows)]
