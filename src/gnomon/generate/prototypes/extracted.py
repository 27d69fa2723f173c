"""Prototypes taken from crystals.

Crystals of one label (``labels``) may still be different structures: those whose fingerprints,
elements replaced by stand-ins, lie far apart are prototypes of their own.
"""

import itertools
from dataclasses import replace

import numpy as np

from gnomon.chemistry.prototypes import Prototype
from gnomon.crystals import Crystals
from gnomon.structure.contacts import closest_distances
from gnomon.structure.duplicates import FAST, Sameness, find_known, group_duplicates
from gnomon.structure.labels import prototype_label
from gnomon.structure.protostructures import protostructure
from gnomon.structure.symmetry import SymmetryError, primitive

SAME_PROTOTYPE = Sameness(fingerprint=0.2, matcher=None, scale=np.inf)
"""When crystals of one label share a prototype: free parameters of one structure differ from
compound to compound."""

MAX_SPECIES = 5
"""Most species of a prototype: all orders of its species are compared."""


def extract_prototypes(
    crystals: Crystals, *, max_atoms: int = 24, symprec: float = 0.1
) -> list[Prototype]:
    """The prototypes of crystals, each once, in the order in which they come.

    Crystals of more than ``max_atoms`` atoms in the primitive cell or ``MAX_SPECIES`` elements,
    and those without symmetry, give none.

    Args:
        crystals: any.
        max_atoms: of a primitive cell.
        symprec: tolerance of the symmetry search, Å.
    """
    found: list[Prototype] = []
    of_label: dict[str, list[Crystals]] = {}
    for crystal in crystals:
        candidate = _anonymous(crystal, max_atoms, symprec)
        if candidate is None:
            continue
        stand_ins = _decorations(candidate)
        known = of_label.setdefault(candidate.label, [])
        if known and np.any(
            find_known(stand_ins, Crystals.concatenate(known), SAME_PROTOTYPE) >= 0
        ):
            continue
        known.append(candidate.crystal)
        groups = group_duplicates(stand_ins, FAST).of
        _, firsts = np.unique(groups, return_index=True)
        found.append(replace(candidate, decorations=candidate.decorations[firsts]))
    return found


def _anonymous(crystal: Crystals, max_atoms: int, symprec: float) -> Prototype | None:
    """The prototype of one crystal with all orders of its species, or None."""
    structure = protostructure(crystal, symprec)
    label = prototype_label(structure)
    if not label.text or len(label.elements) > MAX_SPECIES:
        return None
    try:
        cell = primitive(crystal, symprec)
    except SymmetryError:
        return None
    if len(cell.atomic_numbers) > max_atoms:
        return None
    letter = np.zeros(int(label.elements.max()) + 1, np.int64)
    letter[label.elements] = np.arange(1, len(label.elements) + 1)
    cell = cell.with_atomic_numbers(letter[cell.atomic_numbers])
    _, distances = closest_distances(cell)
    orders = np.array(list(itertools.permutations(range(len(label.elements)))), np.int64)
    return Prototype(label.text, str(crystal.reduced_formulas[0]), cell, distances, orders)


def _decorations(prototype: Prototype) -> Crystals:
    """The structure with stand-ins for its species in all orders, the given one first."""
    letters = prototype.crystal.atomic_numbers.astype(np.int64) - 1
    rows = [
        prototype.crystal.with_atomic_numbers(order[letters] + 1) for order in prototype.decorations
    ]
    return Crystals.concatenate(rows)
