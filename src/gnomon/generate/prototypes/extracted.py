"""Prototypes taken from crystals, and decorated with other elements.

Crystals of one label (``labels``) may still be different structures: those whose fingerprints,
elements replaced by stand-ins, lie far apart are prototypes of their own.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from jaxtyping import Int64

from gnomon.crystals import Crystals
from gnomon.elements import SYMBOLS, atomic_number
from gnomon.generate import CHUNK, LINEAGE, Candidates
from gnomon.generate.chunks import rechunk
from gnomon.generate.prototypes.generator import Prototype
from gnomon.structure.contacts import closest_distances
from gnomon.structure.duplicates import find_known, group_duplicates
from gnomon.structure.labels import prototype_label
from gnomon.structure.protostructures import protostructure
from gnomon.structure.symmetry import SymmetryError, primitive

SAME_PROTOTYPE = 0.2
"""Relative distance of fingerprints up to which crystals of one label share a prototype: free
parameters of one structure differ from compound to compound."""

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
        if known:
            same = find_known(
                stand_ins, Crystals.concatenate(known), tolerance=SAME_PROTOTYPE, match=False
            )
            if np.any(same >= 0):
                continue
        known.append(candidate.crystal)
        groups = group_duplicates(stand_ins, match=False)
        _, firsts = np.unique(groups, return_index=True)
        found.append(replace(candidate, decorations=candidate.decorations[firsts]))
    return found


@dataclass(frozen=True, eq=False)
class ExtractedGenerator:
    """Every inequivalent decoration of given prototypes with the elements of a chemical system.

    Attributes:
        system: element symbols; subsystems come along.
        prototypes: of ``extract_prototypes``.
        name: in the lineage.

    Raises:
        ValueError: for an unknown or a repeated element, or an empty system.
    """

    system: tuple[str, ...]
    prototypes: tuple[Prototype, ...]
    name: str = "prototypes"

    def __post_init__(self) -> None:
        for symbol in self.system:
            atomic_number(symbol)
        if not self.system or len(set(self.system)) != len(self.system):
            raise ValueError(f"a system takes each element once, at least one; got {self.system}")

    def generate(self, parents: Crystals, *, seed: int = 0) -> Iterator[Candidates]:
        """Yield all candidates, prototype after prototype; parents and seed have no influence."""
        yield from rechunk(self._decorated(), CHUNK)

    def _decorated(self) -> Iterator[Candidates]:
        numbers = sorted(atomic_number(s) for s in self.system)
        for prototype in self.prototypes:
            for elements in prototype.choices(numbers):
                crystals = prototype.decorate(elements)
                yield Candidates(crystals, self._lineage(prototype, elements, crystals))

    def _lineage(
        self, prototype: Prototype, elements: Int64[np.ndarray, "k m"], crystals: Crystals
    ) -> pa.Table:
        start = f"{prototype.label} ({prototype.compound}): "
        changes = [
            start + ", ".join(f"{chr(ord('A') + i)}={SYMBOLS[z]}" for i, z in enumerate(row))
            for row in elements.tolist()
        ]
        rows = {
            "id": crystals.ids.tolist(),
            "parent_id": pa.nulls(len(crystals), pa.string()),
            "generator": [self.name] * len(crystals),
            "change": changes,
            "score": [prototype.simplicity] * len(crystals),
        }
        return pa.table(rows, schema=LINEAGE)


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
