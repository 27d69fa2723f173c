"""Prototypes decorated with the elements of a system: of known crystals, the AFLOW library's, or
given ones.

Elements come in a few common structures and in their measured ground state.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gnomon.chemistry.elemental import elemental_structures
from gnomon.chemistry.prototypes import Prototype, prototypes
from gnomon.crystals import Crystals
from gnomon.elements import SYMBOLS, atomic_number
from gnomon.generate import CHUNK, Candidates
from gnomon.generate.chunks import rechunk
from gnomon.generate.prototypes.likely import likely
from gnomon.generate.prototypes.occurrence import MAX_SPECIES, Occurrence
from gnomon.generate.registry import GeneratorSettings
from gnomon.structure.labels import prototype_label
from gnomon.structure.protostructures import protostructure


@dataclass(frozen=True)
class PrototypeGenerator:
    """Every inequivalent decoration of every prototype with the elements of a chemical system.

    A system of k elements takes all prototypes of 2 to k species and of each element its
    ``elemental_structures``, so that its subsystems come along.  Cells of compounds are primitive
    and scaled isotropically until the closest contact equals the sum of covalent radii (Cordero
    2008).  Before them come the structures of known crystals that are likeliest for the elements
    (``likely``), and what the library has of the same prototype and the same elements in its places
    does not come again.

    Attributes:
        system: element symbols, such as ``("Au", "Cu")``.
        max_atoms: the largest primitive cell used, but for the ground states of the elements.
        given: prototypes to take instead of all others, the elements' too (``extracted``).
        known: crystals whose structures come first; none for the library alone.
        most: of their structures, for each choice of elements.

    Raises:
        ValueError: for an unknown or a repeated element, an empty system or ``max_atoms`` < 1.
    """

    system: tuple[str, ...]
    max_atoms: int = 24
    given: tuple[Prototype, ...] | None = None
    known: Occurrence | None = None
    most: int = 200
    name: ClassVar[str] = "prototypes"

    def __post_init__(self) -> None:
        for symbol in self.system:
            atomic_number(symbol)
        if not self.system or len(set(self.system)) != len(self.system):
            raise ValueError(f"a system takes each element once, at least one; got {self.system}")
        for name in ("max_atoms", "most"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")

    def generate(self, parents: Crystals, *, seed: int = 0) -> Iterator[Candidates]:
        """Yield all candidates, of the library simple cells first; no parents, no seed is used."""
        yield from rechunk(self._decorated(), CHUNK)

    def _decorated(self) -> Iterator[Candidates]:
        numbers = sorted(atomic_number(s) for s in self.system)
        if self.given is None:
            for z in numbers:
                for one in elemental_structures(SYMBOLS[z], self.max_atoms):
                    yield Candidates.of(one.crystal, self.name, [one.origin], score=one.simplicity)
        made: set[tuple[str, tuple[int, ...]]] = set()
        for part in self._of_known(numbers):
            made.update(map(_place, part.crystals))
            yield part
        for prototype in self._prototypes():
            for elements in prototype.choices(numbers, CHUNK):
                changes = [
                    f"{prototype.origin}: "
                    + ", ".join(f"{chr(ord('A') + i)}={SYMBOLS[z]}" for i, z in enumerate(row))
                    for row in elements.tolist()
                ]
                crystals = prototype.decorate(elements)
                part = Candidates.of(crystals, self.name, changes, score=prototype.simplicity)
                new = [not made or _place(one) not in made for one in crystals]
                yield part.take(np.array(new, dtype=bool))

    def _of_known(self, numbers: Sequence[int]) -> Iterator[Candidates]:
        """Structures of known crystals, for each choice of two to all elements."""
        if self.known is None or self.given is not None:
            return
        for size in range(2, min(len(numbers), MAX_SPECIES) + 1):
            for elements in itertools.combinations(numbers, size):
                found = likely(self.known, elements, self.max_atoms, self.most)
                scores = np.log1p(found.counts)  # those of the library are below 0
                yield Candidates.of(found.crystals, self.name, found.changes, score=scores)

    def _prototypes(self) -> Iterator[Prototype]:
        if self.given is not None:
            yield from (p for p in self.given if p.n_atoms <= self.max_atoms)
            return
        for n_species in range(2, len(self.system) + 1):
            yield from prototypes(n_species, self.max_atoms)


def make(settings: GeneratorSettings) -> PrototypeGenerator:
    """The generator of a campaign."""
    known = Occurrence.load(settings.prototypes)
    return PrototypeGenerator(settings.system, settings.max_atoms, known=known)


def _place(crystal: Crystals) -> tuple[str, tuple[int, ...]]:
    """Prototype and elements of a crystal."""
    label = prototype_label(protostructure(crystal))
    return label.text, tuple(label.elements.tolist())
