"""How many atoms of crystals are still there after the autoencoder."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32

from gnomon.crystals import Crystals
from gnomon.models.voxels.grids import atoms_of, grids
from gnomon.models.voxels.model import AT_ONCE, Recovered, VoxelModel

NEAR = 0.5
"""Å; at most so far from where it was, an atom is in its place."""


def recovered(model: VoxelModel, crystals: Crystals) -> Recovered:
    """Errors of the grids that come out, and the atoms in them."""
    squares, found = np.zeros(2), np.zeros((2, 3), np.int64)
    for start, out in zip(
        range(0, len(crystals), AT_ONCE), model.given_back(crystals), strict=True
    ):
        part = crystals[start : start + AT_ONCE]
        true = grids(part)
        squares += np.sum((out - true) ** 2), np.sum(true**2)
        for i in range(len(part)):
            found += counted(part[i], out[i]), counted(part[i], true[i])
    n = len(crystals.atomic_numbers)
    (in_place, element, made), (grid_in_place, grid_element, _) = (found / n).round(4).tolist()
    return Recovered(
        rows=len(crystals),
        atoms=n,
        error=round(float(squares[0] / squares[1]), 4),
        in_place=in_place,
        element=element,
        made=made,
        grid_in_place=grid_in_place,
        grid_element=grid_element,
    )


def counted(crystal: Crystals, grid: Float32[np.ndarray, "x y z c"]) -> tuple[int, int, int]:
    """Atoms of a crystal that are in their place in a grid, those also of their element; all."""
    atoms, (lattice, numbers, frac) = atoms_of(grid), crystal.arrays(0)
    if not len(atoms.atomic_numbers):
        return 0, 0, 0
    away = frac[:, None] - atoms.frac_coords
    apart = np.linalg.norm((away - np.rint(away)) @ lattice, axis=2)
    there = apart.min(axis=1) <= NEAR
    same = atoms.atomic_numbers[apart.argmin(axis=1)] == numbers
    return int(there.sum()), int((there & same).sum()), len(atoms.atomic_numbers)
