"""Evolution over the crystals evaluated so far: the best breed, children are varied and kept apart.

Evolutionary search as of Oganov and Glass (J. Chem. Phys. 124, 244704 (2006)): slabs of two
parents, permutations of atoms, strains, displacements, and exchanges of like elements, in cells of
any size that is allowed, over a population that has been relaxed.  What is best in one objective or
several is sorted into fronts (``gnomon.generate.evolution.population``); of two drawn at random the
better breeds.  Until the population has ``FEWEST`` crystals, random cells are the first generation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Int64

from gnomon.crystals import Crystals
from gnomon.elements import COVALENT_RADII, SYMBOLS, atomic_number, element
from gnomon.generate import CHUNK, Candidates, Generator
from gnomon.generate.chunks import rechunk
from gnomon.generate.evolution.population import Population
from gnomon.generate.evolution.variation import (
    SHIFT,
    STRAIN,
    distorted,
    enlarged,
    exchanged,
    heredity,
    permutation,
    redrawn,
)
from gnomon.generate.random.generator import SEPARATION
from gnomon.generate.random.generator import make as random_cells
from gnomon.generate.random.soft_spheres import push_apart
from gnomon.generate.registry import GeneratorSettings
from gnomon.structure.duplicates import FAST, group_duplicates

ODDS = {
    "heredity": 0.3,
    "redrawing": 0.3,
    "permutation": 0.15,
    "displacement": 0.1,
    "strain": 0.05,
    "exchange": 0.1,
}
"""Of the ways to vary; one that cannot be done gives way to another.

Strains are few: of 43 in three searches of oxides (Al2MgO4, MgSiO3) 31 relaxed to what was there,
of 48 displacements 25, of 54 permutations 21, of 155 children of two parents 64."""

FEWEST, MOST, CHILDREN, TRIES = 4, 40, 200, 10
"""Crystals that breed, at least and at most; children of a generation; draws for each."""


@dataclass(frozen=True, eq=False)
class EvolutionGenerator:
    """Children of the best crystals of a population.

    Each child has its own random numbers, from the seed and its place.

    Attributes:
        elements: children hold no others, where given.
        max_atoms: largest child.
        known: reduced formulas that no child has.
        population: that breeds; without it the parents do, none better than another.
        first: makes the first generation, while fewer than ``FEWEST`` crystals could breed.
        conserved: whether children have the composition of a parent: its elements and amounts.
            Otherwise slabs of different compositions meet, and elements are exchanged.
        children: in a generation.
    """

    elements: tuple[str, ...] = ()
    max_atoms: int = 16
    known: frozenset[str] = frozenset()
    population: Population | None = None
    first: Generator | None = None
    conserved: bool = False
    children: int = CHILDREN
    name: ClassVar[str] = "evolution"

    def generate(self, parents: Crystals, *, seed: int = 0) -> Iterator[Candidates]:
        """Yield one generation, each child once; parents breed if there is no population."""
        given = self.population or Population(parents, np.zeros((len(parents), 1)))
        breeding = self._breeding(given)
        if len(breeding.crystals) >= FEWEST or (len(breeding.crystals) and self.first is None):
            yield from rechunk(self._generation(breeding.crystals, seed), CHUNK)
        elif self.first is not None:
            for chunk in self.first.generate(parents, seed=seed):
                rows = chunk.lineage.to_pylist()
                yield Candidates.of(chunk.crystals, self.name, [row["change"] for row in rows])

    def _breeding(self, given: Population) -> Population:
        """The best of the population, no two of them alike, in their order."""
        allowed = [atomic_number(symbol) for symbol in self.elements or SYMBOLS[1:]]
        crystals = given.crystals
        inside = crystals.composition[:, allowed].sum(axis=1) == crystals.n_atoms
        inside &= crystals.n_atoms <= self.max_atoms
        rows = np.flatnonzero(inside)
        best = Population(crystals[rows], given.objectives[rows]).best(4 * MOST)
        if not len(best.crystals):
            return best
        _, firsts = np.unique(group_duplicates(best.crystals, FAST).of, return_index=True)
        kept = np.sort(firsts)[:MOST]
        return Population(best.crystals[kept], best.objectives[kept])

    def _generation(self, breeding: Crystals, seed: int) -> Iterator[Candidates]:
        made = [
            self._child(breeding, np.random.default_rng([seed, k])) for k in range(self.children)
        ]
        there = [one for one in made if one is not None]
        if not there:
            return
        crystals = Crystals.concatenate([child for child, _, _ in there])
        radii = SEPARATION * COVALENT_RADII[crystals.atomic_numbers]
        apart, good = push_apart(crystals, radii)
        new = np.array([f not in self.known for f in apart.reduced_formulas], bool)
        _, firsts = np.unique(apart.ids.astype(str), return_index=True)
        once = np.zeros(len(apart), bool)
        once[firsts] = True
        yield Candidates.of(
            apart,
            self.name,
            [change for _, change, _ in there],
            parent_id=[str(breeding.ids[parent]) for _, _, parent in there],
        ).take(good & new & once)

    def _child(
        self, breeding: Crystals, rng: np.random.Generator
    ) -> tuple[Crystals, str, int] | None:
        """A child, how it came about, and its first parent."""
        for _ in range(TRIES):
            how = str(rng.choice(list(ODDS), p=list(ODDS.values())))
            row = self._tournament(len(breeding), rng)
            parent = breeding[row]
            if how != "exchange":
                times = 1 + int(rng.integers(self.max_atoms // int(breeding.n_atoms[row])))
                parent = enlarged(parent, times, rng)
            child, other = self._varied(how, breeding, row, parent, rng)
            if child is not None and len(child.atomic_numbers) <= self.max_atoms:
                with_ = f" with {breeding[other].reduced_formulas[0]}" if other >= 0 else ""
                return _resized(child, breeding[row]), f"{how}{with_}", row
        return None

    def _varied(
        self,
        how: str,
        breeding: Crystals,
        row: int,
        parent: Crystals,
        rng: np.random.Generator,
    ) -> tuple[Crystals | None, int]:
        """A child of one crystal by one of the ``ODDS``, and its second parent, -1 without one."""
        if how in ("permutation", "redrawing"):
            vary = permutation if how == "permutation" else redrawn
            return vary(parent, rng), -1
        if how == "strain":
            return distorted(parent, rng, strain=STRAIN), -1
        if how == "displacement":
            shift = SHIFT * float(rng.uniform(0.5, 2.0))
            return distorted(parent, rng, strain=STRAIN / 2, shift=shift), -1
        if how == "exchange":
            alike = {} if self.conserved else self._alike
            return exchanged(parent, alike, rng), -1
        others = self._mates(breeding, row, len(parent.atomic_numbers))
        if not len(others):
            return None, -1
        other = int(others[self._tournament(len(others), rng)])
        times = max(len(parent.atomic_numbers) // int(breeding.n_atoms[other]), 1)
        mate = enlarged(breeding[other], times, rng)
        return heredity(parent, mate, rng, conserved=self.conserved), other

    def _mates(self, breeding: Crystals, row: int, size: int) -> Int64[np.ndarray, " k"]:
        """Rows of the crystals that can be a second parent of a child of such a size."""
        mates = np.arange(len(breeding)) != row
        if self.conserved:
            mates &= breeding.reduced_formulas == breeding.reduced_formulas[row]
            mates &= size % breeding.n_atoms == 0
        return np.flatnonzero(mates)

    @staticmethod
    def _tournament(n: int, rng: np.random.Generator) -> int:
        """Of two drawn at random the better one: crystals are in their order."""
        return int(rng.integers(n, size=2).min())

    @property
    def _alike(self) -> dict[int, tuple[int, ...]]:
        """Elements of the same group of the periodic table among those allowed."""
        allowed = [atomic_number(symbol) for symbol in self.elements or SYMBOLS[1:]]
        group = {z: element(z).group for z in allowed}
        return {z: tuple(o for o in allowed if o != z and group[o] == group[z]) for z in allowed}


def _resized(child: Crystals, parent: Crystals) -> Crystals:
    """The child at the volume of its parent, as much for the cubed radii of its atoms."""
    room = [float((COVALENT_RADII[one.atomic_numbers] ** 3).sum()) for one in (child, parent)]
    wanted = float(parent.volumes[0]) * room[0] / room[1]
    return child.scale_volume(wanted / float(child.volumes[0]))


def make(settings: GeneratorSettings) -> EvolutionGenerator:
    """The generator of a campaign: the first generation of a system is of random cells."""
    small = 0 < len(settings.system) <= LARGEST_SYSTEM
    return EvolutionGenerator(
        settings.system,
        settings.max_atoms,
        settings.known,
        settings.population,
        random_cells(settings) if small else None,
    )


LARGEST_SYSTEM = 6
"""Elements whose compositions random cells can go through."""
