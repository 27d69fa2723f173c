"""What no relaxation may end in, by rules that hold for every evaluator."""

import numpy as np
from jaxtyping import Float64, Integer

from gnomon.crystals import Crystals
from gnomon.elements import COVALENT_RADII
from gnomon.structure.neighbors import neighbors

MAX_ENERGY = 1e3
"""eV/atom in magnitude: beyond this an energy is numerical nonsense."""

MAX_VOLUME_FACTOR = 8.0
"""A cell that grows beyond this factor has fallen apart."""

MIN_CONTACT = 0.4
"""Atoms closer than this share of the sum of their covalent radii have collapsed."""


def nonsense(
    volume: float,
    energy_per_atom: float,
    lattice: Float64[np.ndarray, "3 3"],
    atomic_numbers: Integer[np.ndarray, " atoms"],
    frac_coords: Float64[np.ndarray, "atoms 3"],
) -> str:
    """Why a relaxed crystal and its energy are no result, or empty.

    Args:
        volume: of the cell as given, Å3.
        energy_per_atom: eV/atom.
        lattice, atomic_numbers, frac_coords: of the crystal as relaxed, Å.
    """
    if not np.isfinite(energy_per_atom) or abs(energy_per_atom) > MAX_ENERGY:
        return f"energy {energy_per_atom:g} eV/atom"
    growth = abs(np.linalg.det(lattice)) / volume
    if not growth < MAX_VOLUME_FACTOR:
        return f"the cell grew by a factor of {growth:.1f}"
    try:
        relaxed = Crystals.single(lattice, atomic_numbers, frac_coords)
    except ValueError as error:
        return f"no crystal was left: {error}"
    if collapsed(relaxed):
        return f"two atoms closer than {MIN_CONTACT} of the sum of their covalent radii"
    return ""


def collapsed(crystal: Crystals) -> bool:
    """Whether two atoms of one crystal are closer than ``MIN_CONTACT`` allows."""
    radii = MIN_CONTACT * COVALENT_RADII[crystal.atomic_numbers]
    if 4 / 3 * np.pi * (radii**3).sum() > crystal.volumes[0]:
        return True  # spheres that do not fit in: no need to count their countless contacts
    found = neighbors(crystal, 2 * float(radii.max()))
    return bool((found.distances < radii[found.receivers] + radii[found.senders]).any())


def alone(crystal: Crystals, cutoff: float) -> str:
    """How many atoms of one crystal see no other within the cutoff (Å), in words, or empty.

    No force acts on such an atom wherever it is: it rests without being at a minimum.
    """
    n = len(crystal.atomic_numbers)
    apart = n - len(np.unique(neighbors(crystal, cutoff).receivers))
    if not apart:
        return ""
    return (
        f"{apart} of {n} atoms see no other within the {cutoff:g} Å of the potential: nothing "
        "acts on them"
    )
