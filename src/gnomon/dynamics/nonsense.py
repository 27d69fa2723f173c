"""What no relaxation may end in, by rules that hold for every evaluator."""

import numpy as np
from jaxtyping import Bool, Float64, Integer

from gnomon.crystals import Crystals
from gnomon.elements import COVALENT_RADII
from gnomon.structure.neighbors import neighbors

MAX_ENERGY = 1e3
"""eV/atom in magnitude: beyond this an energy is numerical nonsense."""

MAX_VOLUME_FACTOR = 8.0
"""A cell that grows beyond this factor has fallen apart."""

MIN_CONTACT = 0.4
"""Atoms closer than this share of the sum of their covalent radii have collapsed."""

CLOSE = f"two atoms closer than {MIN_CONTACT} of the sum of their covalent radii"

MIN_FILLED = 0.01
"""Share of a cell that spheres of covalent radii fill; of 24,440 crystals of the Materials Project
two have less: helium, and a CaC2 whose cell is mostly empty."""


MAX_EMPTY = 7.0
"""Å without an atom between planes of a cell; of 24,440 crystals of the Materials Project 1 % have
more than 3.6, and what has more than this are single layers and chains with vacuum about them."""


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
    if collapsed(relaxed)[0]:
        return CLOSE
    return ""


def collapsed(crystals: Crystals) -> Bool[np.ndarray, " n"]:
    """In which crystals two atoms are closer than ``MIN_CONTACT`` allows."""
    radii = MIN_CONTACT * COVALENT_RADII[crystals.atomic_numbers]
    spheres = 4 / 3 * np.pi * np.add.reduceat(radii**3, crystals.offsets[:-1])
    found = spheres > crystals.volumes  # that do not fit in: their contacts are countless
    rest = np.flatnonzero(~found)
    some = crystals.take(rest)
    if len(some):
        radii = MIN_CONTACT * COVALENT_RADII[some.atomic_numbers]
        pairs = neighbors(some, 2 * float(radii.max()))
        near = pairs.distances < radii[pairs.receivers] + radii[pairs.senders]
        found[rest[some.crystal_index[pairs.receivers[near]]]] = True
    return found


def unphysical(crystals: Crystals) -> list[str]:
    """Why each is no crystal of which a model could say anything, or empty."""
    volumes = 4 / 3 * np.pi * COVALENT_RADII[crystals.atomic_numbers] ** 3
    shares = np.add.reduceat(volumes, crystals.offsets[:-1]) / crystals.volumes
    apart = empty_layers(crystals)
    empty = f"its atoms fill less than {MIN_FILLED:.0%} of the cell: a molecule, or a gas"
    return [
        CLOSE
        if close
        else empty
        if share < MIN_FILLED
        else f"an empty layer of {layer:.1f} Å: a slab, a chain or a molecule, not a crystal"
        if layer > MAX_EMPTY
        else ""
        for close, share, layer in zip(collapsed(crystals), shares, apart, strict=True)
    ]


def empty_layers(crystals: Crystals) -> Float64[np.ndarray, " n"]:
    """The thickest layer between planes of each cell that holds no atom, Å.

    >>> from ase.build import bulk, fcc111
    >>> from gnomon.io import as_crystals
    >>> slab = fcc111("Cu", (1, 1, 3), vacuum=6.0)
    >>> slab.pbc = True
    >>> empty_layers(as_crystals([bulk("Cu"), slab])).round(1).tolist()
    [2.1, 12.0]
    """
    heights = 1 / np.linalg.norm(np.linalg.inv(crystals.lattice), axis=1)
    first, last = crystals.offsets[:-1], crystals.offsets[1:] - 1
    found = np.zeros(len(crystals))
    for axis in range(3):
        along = crystals.frac_coords[:, axis] % 1.0
        along = along[np.lexsort((along, crystals.crystal_index))]
        following = np.append(along[1:], 0.0)
        following[last] = along[first] + 1
        widest = np.maximum.reduceat(following - along, first) if len(first) else found
        found = np.maximum(found, widest * heights[:, axis])
    return found


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
