"""Random structure search: symmetric random cells of a composition whose atoms keep their distance.

AIRSS (Pickard and Needs, J. Phys.: Condens. Matter 23, 053201 (2011)) as in Merchant et al.,
Nature 624, 80 (2023): 100 cells a composition, volumes from 0.4 to 1.2 of an estimate from atomic
radii.  Relaxation and ranking are left to an evaluator (``gnomon.discover.search``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pyarrow as pa

from gnomon.crystals import Crystals
from gnomon.elements import COVALENT_RADII, atomic_number, parse_formula, reduced_formula
from gnomon.generate import CHUNK, Candidates
from gnomon.generate.chunks import rechunk
from gnomon.generate.compositions.generator import CompositionGenerator
from gnomon.generate.random.soft_spheres import push_apart
from gnomon.generate.random.symmetric_cells import Draft, draft
from gnomon.generate.registry import GeneratorSettings
from gnomon.structure.duplicates import FAST, group_duplicates

VOLUME_PER_RADIUS_CUBED = 6.71
"""Volume over the sum of cubed covalent radii: the median of 24,440 relaxed crystals of the
Materials Project, of which 90 % lie between 4.45 and 19.9 (open networks of small atoms, quartz
among them)."""

SEPARATION = 0.75
"""Smallest distances, in sums of covalent radii: 2 % of those crystals have a shorter one."""

ROUNDS = 20
"""Draws for a place among the candidates before it stays empty."""

RANDOM_CELLS = 20
"""Random cells of a composition in each round of a campaign; in the next they are others."""

BATCH = 200
"""Cells drawn and pushed apart together."""


@dataclass(frozen=True)
class RandomSearchGenerator:
    """Random symmetric cells of given compositions.

    Each candidate has its own random numbers, from the seed, its composition and its place: it
    is the same however many others are made, and wherever.

    Attributes:
        compositions: formulas such as ``SiO2``.
        count: cells of each composition.
        max_formula_units: of a primitive cell, from 1 on.
        max_atoms: of a primitive cell; a single formula unit may be larger.
        volumes: bounds of the volume, in units of the estimate.
        space_groups: international numbers to draw from.

    Raises:
        ValueError: for a formula that is none or has fractional amounts, a count or a size below 1,
            volumes that are not positive and ascending, or a space group that does not exist.
    """

    compositions: tuple[str, ...]
    count: int = 100
    max_formula_units: int = 8
    max_atoms: int = 24
    volumes: tuple[float, float] = (0.4, 1.2)
    space_groups: tuple[int, ...] = field(default=tuple(range(1, 231)), repr=False)
    name: ClassVar[str] = "random"

    def __post_init__(self) -> None:
        for formula in self.compositions:
            whole_amounts(formula)
        if min(self.count, self.max_formula_units, self.max_atoms) < 1:
            raise ValueError("count, max_formula_units and max_atoms must be at least 1")
        if not 0 < self.volumes[0] <= self.volumes[1] < np.inf:
            raise ValueError(f"volumes {self.volumes} must be positive and ascending")
        if not self.space_groups or not set(self.space_groups) <= set(range(1, 231)):
            raise ValueError("space groups are international numbers from 1 to 230")

    def generate(self, parents: Crystals, *, seed: int = 0) -> Iterator[Candidates]:
        """Yield the cells of one composition after the other; parents have no influence.

        Cells that are the same up to their size as an earlier one of the composition are left out,
        and so are places for which no draw succeeded: there may be fewer than ``count``.
        """
        parts = (self.distinct_cells(formula, seed) for formula in self.compositions)
        yield from rechunk(parts, CHUNK)

    def cells(self, formula: str, seed: int) -> Candidates:
        """All cells of one composition, duplicates among them; one row for each success."""
        amounts = whole_amounts(formula)
        name = reduced_formula(tuple(amounts.items()))
        own = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest())
        crystals, changes = [], []
        for start in range(0, self.count, BATCH):
            places = range(start, min(start + BATCH, self.count))
            for crystal, change in self._batch(amounts, seed, own, places):
                crystals.append(crystal)
                changes.append(change)
        return Candidates.of(Crystals.concatenate(crystals), self.name, changes)

    def distinct_cells(self, formula: str, seed: int) -> Candidates:
        """The cells of one composition, each once up to its size."""
        found = self.cells(formula, seed)
        groups = group_duplicates(found.crystals, FAST).of
        _, firsts = np.unique(groups, return_index=True)
        return Candidates(found.crystals.take(firsts), found.lineage.take(pa.array(firsts)))

    def most_atoms(self, formula: str) -> int:
        """Atoms of the largest cell of a composition."""
        amounts = whole_amounts(formula)
        return self._most_units(amounts) * sum(amounts.values())

    def _most_units(self, amounts: Mapping[int, int]) -> int:
        return max(1, min(self.max_formula_units, self.max_atoms // sum(amounts.values())))

    def _batch(
        self, amounts: Mapping[int, int], seed: int, own: int, places: range
    ) -> list[tuple[Crystals, str]]:
        """Cells for these places; those that fail are drawn again from the same random numbers."""
        streams = [np.random.default_rng([seed, own, place]) for place in places]
        kept: dict[int, tuple[Crystals, str]] = {}
        waiting = list(range(len(places)))
        for _ in range(ROUNDS):
            drawn = [self._drawn(amounts, streams[k]) for k in waiting]
            cells = Crystals.concatenate([cell.crystal for cell, _ in drawn])
            shrink = np.repeat([scale for _, scale in drawn], cells.n_atoms)
            radii = SEPARATION * shrink * COVALENT_RADII[cells.atomic_numbers]
            apart, good = push_apart(cells, radii)
            for row in np.flatnonzero(good).tolist():
                kept[waiting[row]] = (apart[row], _change(drawn[row][0], amounts))
            waiting = [k for k in waiting if k not in kept]
            if not waiting:
                break
        return [kept[k] for k in sorted(kept)]

    def _drawn(self, amounts: Mapping[int, int], rng: np.random.Generator) -> tuple[Draft, float]:
        """A draft, and the factor on lengths that goes with its volume (at most 1)."""
        units = int(rng.integers(1, self._most_units(amounts) + 1))
        counts = {z: n * units for z, n in amounts.items()}
        factor = float(rng.uniform(*self.volumes))
        cell = draft(counts, factor * estimated_volume(counts), self.space_groups, rng)
        return cell, min(1.0, float(np.cbrt(factor)))


def make(settings: GeneratorSettings) -> RandomSearchGenerator:
    """The generator of a campaign: cells of every composition whose oxidation states balance."""
    compositions = CompositionGenerator(
        settings.system,
        max_atoms=max(2, settings.max_atoms // 2),
        exclude=settings.exclude,
        known=settings.known,
    )
    formulas = [f for rows in compositions.generate() for f in rows["reduced_formula"].to_pylist()]
    return RandomSearchGenerator(
        tuple(formulas), count=RANDOM_CELLS, max_atoms=max(2, settings.max_atoms)
    )


def estimated_volume(counts: Mapping[int, int]) -> float:
    """Volume of so many atoms of each element, Å^3, from covalent radii (Cordero 2008)."""
    return VOLUME_PER_RADIUS_CUBED * float(
        sum(n * COVALENT_RADII[z] ** 3 for z, n in counts.items())
    )


def whole_amounts(formula: str) -> dict[int, int]:
    """Atoms of each element (by atomic number, ascending) in the reduced formula.

    Raises:
        ValueError: if the text is no formula, or has fractional amounts.
    """
    amounts = parse_formula(formula)
    if any(n != int(n) for n in amounts.values()):
        raise ValueError(f"{formula!r} has fractional amounts: multiply them to whole numbers")
    counts = sorted((atomic_number(symbol), int(n)) for symbol, n in amounts.items())
    divisor = np.gcd.reduce([n for _, n in counts])
    return {z: int(n // divisor) for z, n in counts}


def _change(cell: Draft, amounts: Mapping[int, int]) -> str:
    units = int(cell.crystal.n_atoms[0]) // sum(amounts.values())
    plural = "s" if units > 1 else ""
    return f"space group {cell.space_group}, {units} formula unit{plural}"
