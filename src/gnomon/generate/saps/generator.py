"""Symmetry-aware partial substitution (SAPS): some atoms of an ion are replaced, not all.

An ion of the parent gives way to a likely one on 1, 2, ... or all of its sites, in the primitive
cell and in small supercells, while others may be replaced wholly; of the choices that the parent's
space group turns into each other one is kept (Merchant et al., Nature 624, 80 (2023), Methods).

Exact: two candidates of one parent are equivalent only if a symmetry of the parent maps one on the
other.  That holds because the elements of a candidate tell the parent apart in it, the new one
being read as the replaced one, and because choices that repeat within the cell are left to the
smaller cell.  Where elements fall together, or several exchanges come to one composition,
candidates whose atoms have the same surroundings are compared by their canonical cells.

Of parents of one prototype the first is used for the elements that they share, and of candidates of
different parents whose atoms have the same surroundings the first is kept.
"""

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Int64, UInt8, UInt64

from gnomon.chemistry.oxidation import ions, nearest_ions, oxidation_states
from gnomon.crystals import Crystals
from gnomon.generate import Candidates
from gnomon.generate.registry import GeneratorSettings
from gnomon.generate.saps.exchanges import Exchanges, exchanges, shared_compositions, unseen
from gnomon.generate.saps.occupations import occupations, occupied_crystals, repeats, within
from gnomon.generate.saps.orbits import MAX_SITES, SubsetOrbits
from gnomon.generate.saps.superlattices import Supercell, supercells
from gnomon.generate.seen import SeenKeys
from gnomon.generate.substitution.limits import NO_IONS, Substituting
from gnomon.run.pool import Lost, Pool
from gnomon.structure.hashes import scramble
from gnomon.structure.surroundings import surroundings
from gnomon.structure.symmetry import SymmetryError, canonical_ids, primitive

_log = logging.getLogger(__name__)

_Keyed = tuple[Candidates, UInt64[np.ndarray, " k"]]

AHEAD = 4
"""Parents for each worker whose candidates may wait for those of an earlier one."""


@dataclass(frozen=True, eq=False)
class _Family:
    """One parent: its primitive cell, and what may be exchanged in it."""

    id: str
    cell: Crystals
    exchanges: Sequence[Exchanges]


@dataclass(frozen=True, eq=False)
class SapsGenerator(Substituting):
    """Candidates by replacing some or all atoms of one ion by another.

    Attributes:
        model: probabilities of substitution.
        threshold: smallest probability of a list of ions in place of the parent's.
        elements: candidates hold only these, where given.
        exclude: elements that no candidate may hold; None: radioactive or very scarce ones, unless
            ``elements`` or ``formulas`` name some.
        known: reduced formulas that no candidate may have.
        formulas: candidates have one of these reduced formulas, where given.
        charge_balanced: keep candidates whose elements have one common oxidation state each that
            balance, or are metals in a parent of metals (GNoME dropped this test).
        others: ions that may be replaced on all their sites beside the one that gives way.
        max_index: largest supercell, in primitive cells.
        max_atoms: largest cell; parents that are larger are left out.
        most: choices kept for one ion, cell and number of sites.  Of more, those that replace whole
            orbits of sites come first, then orbits of choices drawn uniformly.
        chunk: candidates in a chunk.
        workers: processes; the candidates do not depend on it.  With more than one, all candidates
            of ``AHEAD`` parents for each are held in memory.

    Raises:
        ValueError: for an unknown element, a text that is no formula, or a number out of range.
    """

    others: int = 1
    max_index: int = 2
    max_atoms: int = 40
    most: int = 100
    workers: int = 1
    name: ClassVar[str] = "saps"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("max_index", "most", "workers"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if self.others < 0:
            raise ValueError(f"others counts ions, from 0 on, got {self.others}")
        if not 1 <= self.max_atoms <= MAX_SITES:
            raise ValueError(f"max_atoms must be from 1 to {MAX_SITES}, got {self.max_atoms}")

    def reasons(self, parents: Crystals) -> list[str]:
        """Why a parent cannot be used, empty where it can."""
        prepared = (self._prepared(parent) for parent in parents)
        return [reason or (_asymmetry(cell) if ways else "") for reason, cell, ways in prepared]

    # --- which parents and ions -----------------------------------------------------------------

    def parts(self, parents: Crystals, seed: int) -> Iterator[Candidates]:
        """The candidates of one exchange in one cell after the other, each once."""
        seen = SeenKeys()
        for part, keys in self._every(self._families(parents), seed):
            yield part.take(seen.add(keys))

    def _every(self, families: Iterator[_Family], seed: int) -> Iterator[_Keyed]:
        """The candidates of all families, in order, whoever makes them."""
        if self.workers == 1:
            for family in families:
                yield from self.of_family(family, seed)
            return
        with Pool[_Family, list[_Keyed]](_made, (self, seed), self.workers, math.inf) as pool:
            for made in pool.run(families, ahead=AHEAD * self.workers):
                if isinstance(made, Lost):
                    raise ChildProcessError(
                        f"the candidates of a parent are lost: {made.reason} "
                        "(if memory was short, take fewer workers)"
                    )
                yield from made

    def _families(self, parents: Crystals) -> Iterator[_Family]:
        seen = SeenKeys()
        for parent in parents:
            _, cell, ways = self._prepared(parent)
            if new := unseen(cell, ways, seen):
                yield _Family(parent.ids[0], cell, new)

    def _prepared(self, parent: Crystals) -> tuple[str, Crystals, list[Exchanges]]:
        """Why a parent cannot be used, its primitive cell, and what may be exchanged in it.

        Symmetry is looked for only where something may be exchanged.
        """
        [counts] = parent.reduced_counts
        found = nearest_ions(counts)
        if found is None:
            return NO_IONS, parent, []
        if all(ion not in self.model.index for ion in found):
            return f"the model has none of {', '.join(found)}", parent, []
        own = np.array([z for z, _ in counts])
        ways = exchanges(own, found, self.model, self.threshold, self.allowed, self.others)
        if not ways:
            return "", parent, []
        try:
            cell = primitive(parent)
            n = int(cell.n_atoms[0])
            if n > self.max_atoms:
                return f"{n} atoms in the primitive cell: more than {self.max_atoms}", parent, []
        except SymmetryError as error:
            return str(error), parent, []
        return "", cell, ways

    # --- which sites ----------------------------------------------------------------------------

    def of_family(self, family: _Family, seed: int) -> Iterator[_Keyed]:
        """All candidates of one parent, and keys by which they are compared with others'.

        Those of one parent never share a key: the second with the same surroundings gets a further
        key, and is so compared with the second of another parent.
        """
        cell = family.cell
        index = min(self.max_index, self.max_atoms // int(cell.n_atoms[0]))
        amounts = np.unique(cell.atomic_numbers, return_counts=True)[1]
        shared = shared_compositions(family.exchanges, amounts, index)
        alike: dict[int, list[Crystals]] = {}
        own = SeenKeys()
        for supercell in _supercells(cell, index):
            near = surroundings(supercell.crystal)
            for exchange in family.exchanges:
                for part, rows, unsure in self._replaced(
                    family.id, supercell, exchange, shared, seed
                ):
                    keys = near.keys(rows)
                    kept = _first_ones(part.crystals, keys, unsure, alike)
                    yield part.take(kept), _unlike(keys[kept], own)

    def _replaced(
        self,
        parent_id: str,
        cell: Supercell,
        exchange: Exchanges,
        shared: UInt64[np.ndarray, " _"],
        seed: int,
    ) -> Iterator[tuple[Candidates, UInt8[np.ndarray, "k atoms"], Bool[np.ndarray, " k"]]]:
        """The candidates of one parent in one cell by one ion's exchanges, by number of sites.

        With the elements on the sites of each, and whether it may equal another of the parent.
        """
        own, ion = np.unique(cell.crystal.atomic_numbers, return_inverse=True)
        sites = np.flatnonzero(ion == exchange.at)
        orbits = SubsetOrbits(within(cell.permutations, sites))
        translations = within(cell.translations, sites)
        z = int(own[exchange.at])
        key = [seed, int(parent_id[:16], 16), z, *cell.form.ravel().tolist()]
        fewest = 1 if self.allowed[z] else len(sites)  # none may stay that is not allowed
        for size in range(fewest, len(sites) + 1):
            amounts = exchange.amounts(np.bincount(ion), size)
            ways = self._fitting(exchange, amounts)
            if not len(ways):
                continue
            chosen = orbits.choose(size, self.most, np.random.default_rng([*key, size]))
            chosen = chosen[~repeats(chosen, translations)]
            if not len(chosen):
                continue
            unsure = exchange.unsure(amounts, shared)
            at_once = max(1, self.chunk // len(chosen))
            for start in range(0, len(ways), at_once):
                some = ways[start : start + at_once]
                rows = occupations(exchange, some, ion, sites, chosen)
                crystals = occupied_crystals(cell.crystal, rows)
                changes = [
                    _change(exchange.changes[i], size, len(sites), cell) for i in some.tolist()
                ]
                candidates = Candidates.of(
                    crystals,
                    self.name,
                    [change for change in changes for _ in chosen],
                    parent_id=parent_id,
                    score=np.repeat(exchange.probabilities[some], len(chosen)),
                )
                yield candidates, rows, np.repeat(unsure[some], len(chosen))

    def _fitting(
        self, exchange: Exchanges, amounts: Int64[np.ndarray, " n"]
    ) -> Int64[np.ndarray, " i"]:
        """Positions of the exchanges whose composition with these amounts is let through."""
        passed = exchange.counted(amounts).copy()
        passed[passed] = self.wanted.passed(exchange.kinds[passed], amounts)
        if self.charge_balanced:
            passed[passed] = [
                _balanced(row, amounts, exchange.ion) for row in exchange.kinds[passed]
            ]
        return np.flatnonzero(passed)


def make(settings: GeneratorSettings) -> SapsGenerator:
    """The generator of a campaign."""
    return SapsGenerator(
        elements=settings.system,
        exclude=settings.exclude,
        known=settings.known,
        max_atoms=min(settings.max_atoms, MAX_SITES),
    )


def _made(generator: SapsGenerator, seed: int, family: _Family) -> list[_Keyed]:
    return list(generator.of_family(family, seed))


def _asymmetry(cell: Crystals) -> str:
    """Why the space group of a cell does not hold; empty if it does."""
    try:
        next(supercells(cell, 1))
    except SymmetryError as error:
        return str(error)
    return ""


def _supercells(cell: Crystals, index: int) -> Iterator[Supercell]:
    """The supercells of a parent up to the first that spglib cannot reduce: one in thousands."""
    try:
        yield from supercells(cell, index)
    except SymmetryError as error:
        _log.warning("%s: other supercells are left out: %s", cell.reduced_formulas[0], error)


def _first_ones(
    crystals: Crystals,
    keys: UInt64[np.ndarray, " k"],
    unsure: Bool[np.ndarray, " k"],
    alike: dict[int, list[Crystals]],
) -> Bool[np.ndarray, " k"]:
    """Which crystals did not come before, where that may be.

    Those that may come again are kept in ``alike`` by their keys.
    """
    kept = np.ones(len(keys), bool)
    for i in np.flatnonzero(unsure).tolist():
        one, others = crystals[i], alike.setdefault(int(keys[i]), [])
        if others:
            own, *before = canonical_ids(Crystals.concatenate([one, *others])).tolist()
            kept[i] = own not in before
        if kept[i]:
            others.append(one)
    return kept


def _unlike(keys: UInt64[np.ndarray, " k"], own: SeenKeys) -> UInt64[np.ndarray, " k"]:
    """Keys that are not among a parent's own, which take them in."""
    keys, waiting = keys.copy(), np.arange(len(keys))
    while len(waiting):
        waiting = waiting[~own.add(keys[waiting])]
        keys[waiting] = scramble(keys[waiting])
    return keys


def _balanced(
    elements: Int64[np.ndarray, " m"], amounts: Int64[np.ndarray, " m"], replaced: str
) -> bool:
    totals: dict[int, int] = {}
    for z, n in zip(elements.tolist(), amounts.tolist(), strict=True):
        totals[z] = totals.get(z, 0) + n
    counts = tuple(sorted((z, n) for z, n in totals.items() if n))
    if replaced.endswith("0"):
        found = ions(counts)
        return found is not None and all(ion.endswith("0") for ion in found)
    return oxidation_states(counts) is not None


def _change(what: str, size: int, sites: int, cell: Supercell) -> str:
    change = f"{what} on {size} of {sites}"
    if cell.index == 1:
        return change
    return f"{change} in supercell {'/'.join(' '.join(map(str, row)) for row in cell.form)}"
