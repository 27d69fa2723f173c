"""Symmetry-aware partial substitution (SAPS): some atoms of an ion are replaced, not all.

An ion of the parent gives way to a likely one on 1, 2, ... or all of its sites, in the primitive
cell and in small supercells; of the choices that the parent's space group turns into each other one
is kept (Merchant et al., Nature 624, 80 (2023), Methods).  Exact: two candidates of one parent are
equivalent only if a symmetry of the parent maps one on the other.  That holds because the elements
of a candidate tell the parent apart in it, the new one being read as the replaced one, and because
choices that repeat within the cell are left to the smaller cell.  Where the new element was in the
parent before, canonical cells are compared instead.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Int64, UInt8

from gnomon.crystals import Crystals
from gnomon.elements import COVALENT_RADII, DEFAULT_EXCLUDED
from gnomon.generate import CHUNK, LINEAGE, Candidates
from gnomon.generate.chunks import rechunk
from gnomon.generate.orbits import MAX_SITES, SubsetOrbits
from gnomon.generate.oxidation import ions, oxidation_states
from gnomon.generate.substitution import (
    SKIPPED,
    allowed_elements,
    composition_keys,
    formula_key,
    reduced_counts,
)
from gnomon.generate.substitution_model import THRESHOLD, SubstitutionModel
from gnomon.generate.substitution_tables import learned_model
from gnomon.generate.superlattices import Supercell, supercells
from gnomon.symmetry import SymmetryError, canonical_ids, primitive

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Exchange:
    """One ion of a parent and what may replace it."""

    ion: str
    z: int
    new_ions: tuple[str, ...]
    elements: Int64[np.ndarray, " k"]  # of the new ions, each once
    probabilities: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class SapsGenerator:
    """Candidates by replacing some or all atoms of one ion by another.

    Attributes:
        model: probabilities of substitution.
        threshold: smallest probability that the new ion stands for the old one.
        elements: candidates hold only these, where given.
        exclude: elements that no candidate may hold.
        known: reduced formulas that no candidate may have.
        charge_balanced: keep candidates whose elements have one common oxidation state each that
            balance, or are metals in a parent of metals (GNoME dropped this test).
        max_index: largest supercell, in primitive cells.
        max_atoms: largest cell; parents that are larger are left out.
        most: choices kept for one ion, cell and number of sites.  Of more, those that replace whole
            orbits of sites come first, then orbits of choices drawn uniformly.
        chunk: candidates in a chunk.

    Raises:
        ValueError: for an unknown element, a text that is no formula, or a number out of range.
    """

    model: SubstitutionModel = field(default_factory=learned_model)
    threshold: float = THRESHOLD
    elements: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = DEFAULT_EXCLUDED
    known: frozenset[str] = frozenset()
    charge_balanced: bool = False
    max_index: int = 2
    max_atoms: int = 40
    most: int = 100
    chunk: int = CHUNK
    name: ClassVar[str] = "saps"

    def __post_init__(self) -> None:
        if not self.threshold > 0 or min(self.chunk, self.max_index, self.most) < 1:
            raise ValueError(
                "threshold, chunk, max_index and most must be positive, got threshold="
                f"{self.threshold}, chunk={self.chunk}, max_index={self.max_index} and "
                f"most={self.most}"
            )
        if not 1 <= self.max_atoms <= MAX_SITES:
            raise ValueError(f"max_atoms must be from 1 to {MAX_SITES}, got {self.max_atoms}")
        _ = self._allowed, self._known  # refuse what is no element or no formula

    def generate(self, parents: Crystals, *, seed: int) -> Iterator[Candidates]:
        """Yield candidates in the order of their parents.

        The candidates of a parent depend on it and on the seed alone, so parents may be shared out
        among workers.  Of parents that are one crystal the first is used; ``skipped`` lists those
        that yield none.
        """
        yield from rechunk(self._parts(parents, seed), self.chunk)

    def skipped(self, parents: Crystals) -> pa.Table:
        """The parents that are not used, and why (schema ``SKIPPED``)."""
        reasons = [self._reason(parents[i]) for i in range(len(parents))]
        rows = [i for i, reason in enumerate(reasons) if reason]
        return pa.table(
            {
                "id": parents.ids[rows].tolist(),
                "reduced_formula": parents.reduced_formulas[rows].tolist(),
                "reason": [reasons[i] for i in rows],
            },
            schema=SKIPPED,
        )

    # --- which parents and ions -----------------------------------------------------------------

    def _parts(self, parents: Crystals, seed: int) -> Iterator[Candidates]:
        seen: set[str] = set()
        for parent in parents:
            if self._reason(parent):
                continue
            [key] = canonical_ids(parent)
            if key not in seen:
                seen.add(key)
                yield from self._children(parent, seed)

    def _reason(self, parent: Crystals) -> str:
        """Why a parent is not used; empty if it is."""
        [counts] = reduced_counts(parent)
        found = ions(counts)
        if found is None:
            return "no common oxidation states, one for each element, balance the charges"
        if all(ion not in self.model.index for ion in found):
            return f"the model has none of {', '.join(found)}"
        try:
            cell = primitive(parent)
            if cell.n_atoms[0] > self.max_atoms:
                return f"{cell.n_atoms[0]} atoms in the primitive cell: more than {self.max_atoms}"
            next(supercells(cell, 1))
        except SymmetryError as error:
            return str(error)
        return ""

    def _children(self, parent: Crystals, seed: int) -> Iterator[Candidates]:
        cell = primitive(parent)
        index = min(self.max_index, self.max_atoms // int(cell.n_atoms[0]))
        exchanges = list(self._exchanges(parent))
        seen: set[str] = set()
        for supercell in _supercells(cell, index) if exchanges else ():
            for exchange in exchanges:
                for part in self._replaced(parent, supercell, exchange, seed):
                    yield _without_repeats(part, parent, seen)

    def _exchanges(self, parent: Crystals) -> Iterator[_Exchange]:
        [counts] = reduced_counts(parent)
        own = np.array([z for z, _ in counts])
        for (z, _), ion in zip(counts, ions(counts) or (), strict=True):
            others = own[own != z]
            if ion not in self.model.index or not self._allowed[others].all():
                continue
            column = self.model.probabilities[:, self.model.index[ion]]
            order = np.argsort(-column, kind="stable")
            order = order[: int((column > self.threshold).sum())]
            elements = self.model.atomic_numbers[order]
            usable = self._allowed[elements] & (elements != z)
            order, elements = order[usable], elements[usable]
            firsts = np.sort(np.unique(elements, return_index=True)[1])
            if len(firsts):
                yield _Exchange(
                    ion=ion,
                    z=z,
                    new_ions=tuple(self.model.species[i] for i in order[firsts]),
                    elements=elements[firsts],
                    probabilities=tuple(column[order[firsts]].tolist()),
                )

    # --- which sites ----------------------------------------------------------------------------

    def _replaced(
        self, parent: Crystals, cell: Supercell, exchange: _Exchange, seed: int
    ) -> Iterator[Candidates]:
        """The candidates of one parent in one cell by one exchange, by number of sites."""
        own = cell.crystal.atomic_numbers
        sites = np.flatnonzero(own == exchange.z)
        orbits = SubsetOrbits(_within(cell.permutations, sites))
        translations = _within(cell.translations, sites)
        key = [seed, int(parent.ids[0][:16], 16), exchange.z, *cell.form.ravel().tolist()]
        fewest = 1 if self._allowed[exchange.z] else len(sites)  # none may stay that is not allowed
        for size in range(fewest, len(sites) + 1):
            new = self._fitting(own, exchange, size)
            if not len(new):
                continue
            chosen = orbits.choose(size, self.most, np.random.default_rng([*key, size]))
            chosen = chosen[~_repeats(chosen, translations)]
            if not len(chosen):
                continue
            rows = np.concatenate(
                [_occupied(own, sites, chosen, int(z)) for z in exchange.elements[new]]
            )
            crystals = _crystals(cell.crystal, rows)
            changes = [_change(exchange, i, size, len(sites), cell) for i in new.tolist()]
            lineage = {
                "id": crystals.ids.tolist(),
                "parent_id": [parent.ids[0]] * len(rows),
                "generator": [self.name] * len(rows),
                "change": np.repeat(np.array(changes, dtype=object), len(chosen)).tolist(),
                "score": np.repeat(np.array(exchange.probabilities)[new], len(chosen)),
            }
            yield Candidates(crystals, pa.table(lineage, schema=LINEAGE))

    def _fitting(
        self, own: UInt8[np.ndarray, " atoms"], exchange: _Exchange, size: int
    ) -> Int64[np.ndarray, " i"]:
        """Positions of the new elements whose composition with this many sites is let through."""
        if not (self._known or self.charge_balanced):
            return np.arange(len(exchange.elements))
        kinds, amounts = np.unique(own, return_counts=True)
        amounts = np.append(np.where(kinds == exchange.z, amounts - size, amounts), size)
        rows = np.column_stack(
            [np.tile(kinds, (len(exchange.elements), 1)), exchange.elements]
        ).astype(np.int64)
        keys = composition_keys(rows, amounts)
        passed = np.array([key not in self._known for key in keys])
        if self.charge_balanced:
            passed &= [_balanced(row, amounts, exchange.ion) for row in rows]
        return np.flatnonzero(passed)

    # --- what is let through --------------------------------------------------------------------

    @cached_property
    def _allowed(self) -> Bool[np.ndarray, "119"]:
        return allowed_elements(self.elements, self.exclude)

    @cached_property
    def _known(self) -> frozenset[bytes]:
        return frozenset(formula_key(formula) for formula in self.known)


def _supercells(cell: Crystals, index: int) -> Iterator[Supercell]:
    """The supercells of a parent up to the first that spglib cannot reduce: one in thousands."""
    try:
        yield from supercells(cell, index)
    except SymmetryError as error:
        _log.warning("%s: larger supercells are left out: %s", cell.reduced_formulas[0], error)


def _within(
    permutations: Int64[np.ndarray, "order sites"], sites: Int64[np.ndarray, " some"]
) -> Int64[np.ndarray, "order some"]:
    """What permutations do to some of the sites, which they keep among themselves."""
    position = np.zeros(permutations.shape[1], np.int64)
    position[sites] = np.arange(len(sites))
    return position[permutations[:, sites]]


def _repeats(
    chosen: Bool[np.ndarray, "k sites"], translations: Int64[np.ndarray, "moved sites"]
) -> Bool[np.ndarray, " k"]:
    """Choices that a translation keeps: they belong to a smaller cell."""
    return np.all(chosen[:, translations] == chosen[:, None, :], axis=2).any(axis=1)


def _occupied(
    own: UInt8[np.ndarray, " atoms"],
    sites: Int64[np.ndarray, " sites"],
    chosen: Bool[np.ndarray, "k sites"],
    z: int,
) -> UInt8[np.ndarray, "k atoms"]:
    rows = np.tile(own, (len(chosen), 1))
    rows[:, sites] = np.where(chosen, np.uint8(z), rows[:, sites])
    return rows


def _crystals(cell: Crystals, rows: UInt8[np.ndarray, "k atoms"]) -> Crystals:
    """One cell, occupied in several ways; lengths follow the mean covalent radius."""
    k, atoms = rows.shape
    radii = COVALENT_RADII
    scale = radii[rows].sum(axis=1) / radii[cell.atomic_numbers].sum()
    return Crystals(
        lattice=cell.lattice * scale[:, None, None],
        atomic_numbers=rows.reshape(-1),
        frac_coords=np.tile(cell.frac_coords, (k, 1)),
        offsets=np.arange(k + 1) * atoms,
    )


def _without_repeats(part: Candidates, parent: Crystals, seen: set[str]) -> Candidates:
    """The same without crystals that came before, which only elements of the parent can make."""
    present = np.flatnonzero(parent.composition[0])
    kept = np.asarray(np.delete(part.crystals.composition, present, axis=1).any(axis=1))
    if kept.all():
        return part
    for row in np.flatnonzero(~kept).tolist():
        [key] = canonical_ids(part.crystals[row])
        kept[row] = key not in seen
        seen.add(key)
    return Candidates(part.crystals[kept], part.lineage.filter(pa.array(kept)))


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


def _change(exchange: _Exchange, i: int, size: int, sites: int, cell: Supercell) -> str:
    change = f"{exchange.ion}→{exchange.new_ions[i]} on {size} of {sites}"
    if cell.index == 1:
        return change
    return f"{change} in supercell {'/'.join(' '.join(map(str, row)) for row in cell.form)}"
