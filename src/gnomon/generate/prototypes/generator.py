"""Prototypes decorated with the elements of a system: the AFLOW library's, or given ones.

Of the library, elements come in a few common structures and in their measured ground state.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from gnomon.chemistry.elemental import elemental_structures
from gnomon.chemistry.prototypes import Prototype, prototypes
from gnomon.crystals import Crystals
from gnomon.elements import SYMBOLS, atomic_number
from gnomon.generate import CHUNK, Candidates
from gnomon.generate.chunks import rechunk
from gnomon.generate.registry import GeneratorSettings


@dataclass(frozen=True)
class PrototypeGenerator:
    """Every inequivalent decoration of every prototype with the elements of a chemical system.

    A system of k elements takes all prototypes of 2 to k species and of each element its
    ``elemental_structures``, so that its subsystems come along.  Cells of compounds are primitive
    and scaled isotropically until the closest contact equals the sum of covalent radii (Cordero
    2008).

    Attributes:
        system: element symbols, such as ``("Au", "Cu")``.
        max_atoms: the largest primitive cell used, but for the ground states of the elements.
        given: prototypes to take instead of the library's and the elements' (``extracted``).

    Raises:
        ValueError: for an unknown or a repeated element, an empty system or ``max_atoms`` < 1.
    """

    system: tuple[str, ...]
    max_atoms: int = 24
    given: tuple[Prototype, ...] | None = None
    name: ClassVar[str] = "prototypes"

    def __post_init__(self) -> None:
        for symbol in self.system:
            atomic_number(symbol)
        if not self.system or len(set(self.system)) != len(self.system):
            raise ValueError(f"a system takes each element once, at least one; got {self.system}")
        if self.max_atoms < 1:
            raise ValueError(f"max_atoms must be at least 1, got {self.max_atoms}")

    def generate(self, parents: Crystals, *, seed: int = 0) -> Iterator[Candidates]:
        """Yield all candidates, the library's simple cells first; parents and seed are not used."""
        yield from rechunk(self._decorated(), CHUNK)

    def _decorated(self) -> Iterator[Candidates]:
        numbers = sorted(atomic_number(s) for s in self.system)
        if self.given is None:
            for z in numbers:
                for one in elemental_structures(SYMBOLS[z], self.max_atoms):
                    yield Candidates.of(one.crystal, self.name, [one.origin], score=one.simplicity)
        for prototype in self._prototypes():
            for elements in prototype.choices(numbers, CHUNK):
                changes = [
                    f"{prototype.origin}: "
                    + ", ".join(f"{chr(ord('A') + i)}={SYMBOLS[z]}" for i, z in enumerate(row))
                    for row in elements.tolist()
                ]
                crystals = prototype.decorate(elements)
                yield Candidates.of(crystals, self.name, changes, score=prototype.simplicity)

    def _prototypes(self) -> Iterator[Prototype]:
        if self.given is not None:
            yield from (p for p in self.given if p.n_atoms <= self.max_atoms)
            return
        for n_species in range(2, len(self.system) + 1):
            yield from prototypes(n_species, self.max_atoms)


def make(settings: GeneratorSettings) -> PrototypeGenerator:
    """The generator of a campaign."""
    return PrototypeGenerator(settings.system, settings.max_atoms)
