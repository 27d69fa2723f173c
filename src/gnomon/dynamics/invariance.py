"""What a space group leaves free: crystals and steps projected on what its operations keep.

The group acts on coordinates counted from the centre of all atoms, where its translations are
exact fractions: no tolerance enters but that by which spglib found the operations, and what is
projected is symmetric to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from gnomon.crystals import Crystals
from gnomon.structure.symmetry import SYMPREC, operations


@dataclass(frozen=True, eq=False)
class Invariance:
    """The operations of one crystal's space group, as they act on its atoms.

    Attributes:
        rotations: of columns of fractional coordinates.
        images: atom ``images[k, i]`` is where operation k takes atom i,
        offsets: that many translations away from ``rotations[k] @ g[i]``, if g is fractional
            coordinates from the centre of all atoms.
    """

    rotations: Int64[np.ndarray, "k 3 3"]
    images: Int64[np.ndarray, "k atoms"]
    offsets: Float64[np.ndarray, "k atoms 3"]

    @classmethod
    def of(cls, crystal: Crystals, symprec: float = SYMPREC) -> Invariance:
        """The space group of one crystal.

        Raises:
            ValueError: if spglib's operations do not take the atoms to each other.
        """
        from scipy.spatial import cKDTree

        ((rotations, translations),) = operations(crystal, symprec)
        _, numbers, frac_coords = crystal.arrays(0)
        wrapped = crystal.wrap().frac_coords
        taken = np.einsum("kij,aj->kai", rotations, frac_coords) + translations[:, None]
        there = taken - np.floor(taken)
        there[there >= 1] = 0.0
        images = np.asarray(cKDTree(wrapped, boxsize=1.0).query(there)[1], dtype=np.int64)
        each = np.sort(images, axis=1) == np.arange(len(numbers))
        if not (each.all() and (numbers[images] == numbers).all()):
            raise ValueError(
                f"the symmetry operations within {symprec} Å do not take the atoms to each other: "
                "are two of them on top of each other?"
            )
        whole = np.rint(taken - frac_coords[images])
        return cls(rotations, images, whole - whole.mean(axis=1, keepdims=True))

    def crystal(
        self, lattice: Float64[np.ndarray, "3 3"], frac_coords: Float64[np.ndarray, "atoms 3"]
    ) -> tuple[Float64[np.ndarray, "3 3"], Float64[np.ndarray, "atoms 3"]]:
        """The nearest symmetric crystal, not turned."""
        centre = frac_coords.mean(axis=0)
        taken = np.einsum("kij,aj->kai", self.rotations, frac_coords - centre) - self.offsets
        metric = np.einsum(
            "kji,jm,kmn->in", self.rotations, lattice @ lattice.T, self.rotations
        ) / len(self.rotations)
        root = np.linalg.cholesky(metric)
        u, _, vt = np.linalg.svd(np.linalg.solve(root, lattice))
        return root @ u @ vt, self._averaged(taken) + centre

    def step(
        self,
        lattice: Float64[np.ndarray, "3 3"],
        atoms: Float64[np.ndarray, "atoms 3"],
        strain: Float64[np.ndarray, "3 3"],
    ) -> tuple[Float64[np.ndarray, "atoms 3"], Float64[np.ndarray, "3 3"]]:
        """The symmetric part of displacements (or forces) and of a strain (or stress).

        All Cartesian; the lattice must be symmetric.
        """
        turns = np.einsum("ji,kjm,nm->kin", lattice, self.rotations, np.linalg.inv(lattice))
        taken = np.einsum("kij,aj->kai", turns, atoms)
        strains = np.einsum("kij,jm,knm->in", turns, strain, turns) / len(turns)
        return self._averaged(taken), strains

    def _averaged(self, taken: Float64[np.ndarray, "k atoms 3"]) -> Float64[np.ndarray, "atoms 3"]:
        """The mean of what all operations bring to each atom."""
        total = np.zeros(taken.shape[1:])
        np.add.at(total, self.images, taken)
        return total / len(taken)
