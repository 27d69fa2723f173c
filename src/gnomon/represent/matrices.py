"""Eigenvalues of the Coulomb matrix and of the sine matrix, by falling size, padded with zeros.

Coulomb (Rupp et al., Phys. Rev. Lett. 108, 058301 (2012)): Z_i Z_j / d_ij between the atoms of one
cell, images left out.  Sine (Faber et al., Int. J. Quantum Chem. 115, 1094 (2015)):
Z_i Z_j / |B sin^2(pi B^-1 r_ij)|, B the lattice, which is periodic.  Both have 0.5 Z^2.4 on the
diagonal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64
from pydantic import BaseModel, ConfigDict, Field

from gnomon.represent import Card, Given, places_of
from gnomon.run.registry import options_of

Lengths = Callable[[np.ndarray, np.ndarray], np.ndarray]


class MatrixConfig(BaseModel):
    """How many eigenvalues."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    most: int = Field(default=60, ge=1, description="the largest ones that are kept")


@dataclass(frozen=True)
class Matrix:
    """Eigenvalues of a matrix of atoms."""

    name: str
    card: Card
    lengths: Lengths
    config: MatrixConfig

    @property
    def columns(self) -> tuple[str, ...]:
        """Eigenvalues by falling size."""
        return tuple(f"{self.name}_{i}" for i in range(self.config.most))

    def represent(self, given: Given) -> Float64[np.ndarray, "n d"]:
        """Eigenvalues of crystals."""
        crystals = places_of(given, self.name)
        rows = np.zeros((len(crystals), self.config.most))
        for i, row in enumerate(rows):
            lattice, numbers, frac = crystals.arrays(i)
            z = numbers.astype(np.float64)
            matrix = np.diag(0.5 * z**2.4)
            off = ~np.eye(len(z), dtype=bool)
            apart = self.lengths(frac[:, None] - frac, lattice)
            matrix[off] = np.outer(z, z)[off] / apart[off]
            values = np.linalg.eigvalsh(matrix)
            values = values[np.argsort(-np.abs(values))][: len(row)]
            row[: len(values)] = values
        return rows


def _direct(moved: np.ndarray, lattice: np.ndarray) -> np.ndarray:
    return np.linalg.norm(moved @ lattice, axis=-1)


def _periodic(moved: np.ndarray, lattice: np.ndarray) -> np.ndarray:
    return np.linalg.norm(np.sin(np.pi * moved) ** 2 @ lattice, axis=-1)


def make_coulomb(options: Mapping[str, Any]) -> Matrix:
    """Eigenvalues of the Coulomb matrix."""
    card = Card(
        "eigenvalues of the Coulomb matrix of the cell as it is given",
        "Rupp et al., Phys. Rev. Lett. 108, 058301 (2012), doi:10.1103/PhysRevLett.108.058301",
        structure=True,
        differs={
            "from another origin": "images are left out, and others lie in the cell",
            "in a doubled cell": "has twice as many eigenvalues",
        },
    )
    return Matrix("coulomb", card, _direct, options_of("coulomb", MatrixConfig, options))


def make_sine(options: Mapping[str, Any]) -> Matrix:
    """Eigenvalues of the sine matrix."""
    card = Card(
        "eigenvalues of the sine matrix of the cell as it is given",
        "Faber et al., Int. J. Quantum Chem. 115, 1094 (2015), doi:10.1002/qua.24917",
        structure=True,
        differs={
            "in another basis": "depends on the vectors of the cell",
            "in a doubled cell": "has twice as many eigenvalues",
        },
    )
    return Matrix("sine", card, _periodic, options_of("sine", MatrixConfig, options))
