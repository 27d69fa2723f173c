"""What a chemist calls a crystal: its structure type, found by structure in the AFLOW library.

The library holds one compound of each type, so it also knows some compounds by name: a crystal of
the type and of the composition of its compound is that compound (rutile TiO2, L1_0 CuAu).
"""

from collections.abc import Iterator
from functools import cache

import numpy as np

from gnomon.chemistry.prototypes import Prototype, aflow
from gnomon.crystals import Crystals
from gnomon.structure.duplicates import Sameness, find_known
from gnomon.structure.symmetry import SymmetryError, primitive

SAME_TYPE = Sameness(fingerprint=np.inf, symprec=0.0)
"""Types are compared by the matcher alone: lengths and free parameters differ between compounds."""


def structure_types(crystals: Crystals) -> list[Prototype | None]:
    """The prototype of each crystal, None where the library has none like it.

    >>> from ase.build import bulk
    >>> from gnomon.io import as_crystals
    >>> found = structure_types(as_crystals([bulk("MgO", "rocksalt", a=4.2), bulk("Cu")]))
    >>> [prototype.type_name for prototype in found]
    ['NaCl type (B1, Halite, Rock Salt)', 'Cu type (A1, Copper)']

    Args:
        crystals: in any cells; volumes do not matter.
    """
    return [_type_of(crystal) for crystal in crystals]


def _type_of(crystal: Crystals) -> Prototype | None:
    try:
        cell = primitive(crystal)
    except SymmetryError:
        return None
    elements, amounts = np.unique(cell.atomic_numbers, return_counts=True)
    chosen = list(_fitting(tuple(amounts.tolist())))
    if not chosen:
        return None
    volume = float(cell.volumes[0])
    made = [prototype.decorate(elements[row][None].astype(np.int64)) for prototype, row in chosen]
    scaled = [one.scale_volume(volume / float(one.volumes[0])) for one in made]
    [found] = find_known(cell, Crystals.concatenate(scaled), SAME_TYPE).tolist()
    return None if found < 0 else chosen[found][0]


@cache
def _in_order(n_species: int) -> tuple[tuple[Prototype, tuple[int, ...]], ...]:
    """The prototypes of so many species, and how many atoms each letter has."""
    every = aflow(n_species)
    return tuple((p, tuple(np.bincount(p.crystal.atomic_numbers)[1:].tolist())) for p in every)


def _fitting(amounts: tuple[int, ...]) -> Iterator[tuple[Prototype, np.ndarray]]:
    """Prototypes and the decorations of their letters that give these amounts of the elements."""
    for prototype, own in _in_order(len(amounts)):
        if sorted(own) != sorted(amounts):
            continue
        for row in prototype.decorations:
            if tuple(amounts[i] for i in row) == own:
                yield prototype, row
