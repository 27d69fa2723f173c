"""Candidates of one formula from crystals of other formulas: which parents can give it at all.

Substitution sends each of a parent's elements to one of the target's, so the amounts must agree
(``assignments``).  Partial substitution gives sites of one element to another, so the atomic
fractions of parent and target differ in two elements alone (``one_ion_apart``).  The generators run
on these parents only, the most probable first: the others could not add a candidate.
"""

import itertools
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from gnomon.crystals import Crystals
from gnomon.duplicates import group_duplicates
from gnomon.elements import MAX_Z, SYMBOLS, reduced_formula
from gnomon.generate import LINEAGE, Candidates, Generator
from gnomon.generate.chunks import rechunk
from gnomon.generate.oxidation import ions as ions_of
from gnomon.generate.saps import SapsGenerator
from gnomon.generate.substitution import Counts, SubstitutionGenerator, reduced_counts
from gnomon.generate.substitution_model import THRESHOLD, SubstitutionModel
from gnomon.generate.substitution_tables import learned_model
from gnomon.io import to_arrow, to_pymatgen
from gnomon.symmetry import primitive

LEARNED, PUBLISHED, SAPS = "substitution", "substitution, published table", "saps"
GENERATORS = (LEARNED, PUBLISHED, SAPS)

LIMITS = (1, 5, 20, 100)
"""Candidates that a user looks at."""

MOST_RAW = 1000
"""Candidates of one formula and generator that are looked at, the most probable of more."""


@dataclass(frozen=True, eq=False)
class Rest:
    """The crystals that stay, as parents."""

    crystals: Crystals

    @classmethod
    def without(cls, crystals: Crystals, formula: str) -> "Rest":
        """All crystals but those of a reduced formula."""
        return cls(crystals.take(crystals.reduced_formulas != formula))

    @cached_property
    def counts(self) -> list[Counts]:
        """Reduced composition of each."""
        return list(reduced_counts(self.crystals))


@cache
def assignments(parent: tuple[int, ...], target: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Ways to make each of a parent's elements one of a target's so that the amounts agree.

    Two of the parent's may become one; each of the target's must come out.

    Args:
        parent: reduced amounts of the parent's elements.
        target: reduced amounts of the target's.
    """
    units, rest = divmod(sum(parent), sum(target))
    if rest or len(parent) < len(target):
        return ()
    wanted = [units * n for n in target]
    ways = itertools.product(range(len(target)), repeat=len(parent))
    return tuple(
        way
        for way in ways
        if [sum(n for n, t in zip(parent, way, strict=True) if t == k) for k in range(len(target))]
        == wanted
    )


def one_ion_apart(
    composition: np.ndarray, target: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which compositions become the target where one element takes sites of another.

    The number of atoms stays, so atomic fractions differ in these two elements alone.

    Args:
        composition: (n, 119) atoms of each element.
        target: (119,).

    Returns:
        Rows, and for each the element that gives way and the one that takes its sites.
    """
    apart = composition * target.sum() - composition.sum(axis=1)[:, None] * target
    rows = np.flatnonzero(((apart > 0).sum(axis=1) == 1) & ((apart < 0).sum(axis=1) == 1))
    return rows, apart[rows].argmax(axis=1), apart[rows].argmin(axis=1)


@cache
def best_by_element(model: SubstitutionModel) -> np.ndarray:
    """(119, ions): the largest probability that an ion of an element stands for each ion."""
    best = np.zeros((MAX_Z + 1, len(model.species)))
    np.maximum.at(best, model.atomic_numbers, model.probabilities)
    return best


@dataclass(frozen=True, eq=False)
class Parents:
    """Those that can give a formula, the most probable first.

    Attributes:
        rows: positions of those above the threshold.
        fitting: how many could by their amounts, whatever the probability.
    """

    rows: np.ndarray
    fitting: int


def by_substitution(rest: Rest, target: Counts, model: SubstitutionModel) -> Parents:
    """Parents whose every element is replaced by one of the target's (or stays)."""
    elements = np.array([z for z, _ in target])
    amounts = tuple(n for _, n in target)
    best, fitting, found = best_by_element(model), 0, []
    for row, counts in enumerate(rest.counts):
        ways = assignments(tuple(n for _, n in counts), amounts)
        fitting += bool(ways)
        at = [model.index.get(ion, -1) for ion in (ions_of(counts) if ways else None) or ()]
        if at and min(at) >= 0:
            replaced = best[elements[np.array(ways)], at]
            found.append((float(replaced.prod(axis=1).max()), row))
    return Parents(_above_threshold(found), fitting)


def by_partial_substitution(rest: Rest, target: Counts, model: SubstitutionModel) -> Parents:
    """Parents of which one ion is replaced on some or all of its sites."""
    wanted = np.zeros(MAX_Z + 1, np.int64)
    wanted[[z for z, _ in target]] = [n for _, n in target]
    best, found = best_by_element(model), []
    rows, olds, news = one_ion_apart(rest.crystals.composition, wanted)
    for row, old, new in zip(rows.tolist(), olds.tolist(), news.tolist(), strict=True):
        counts = rest.counts[row]
        names = dict(zip((z for z, _ in counts), ions_of(counts) or (), strict=False))
        if (ion := names.get(old)) in model.index:
            found.append((float(best[new, model.index[ion]]), row))
    return Parents(_above_threshold(found), len(rows))


def _above_threshold(found: Iterable[tuple[float, int]]) -> np.ndarray:
    kept = sorted((-p, row) for p, row in found if p > THRESHOLD)
    return np.array([row for _, row in kept], np.int64)


def generator_of(name: str, target: Counts, parents: Crystals) -> Generator:
    """The generator with its defaults, kept to the target's elements and formula."""
    elements = tuple(SYMBOLS[z] for z, _ in target)
    if name == SAPS:
        unwanted = other_formulas(parents, target)
        return SapsGenerator(elements=elements, exclude=(), known=unwanted)
    return SubstitutionGenerator(model=table_of(name), elements=elements, exclude=())


def table_of(name: str) -> SubstitutionModel:
    """The substitution table of a generator."""
    return SubstitutionModel.pymatgen() if name == PUBLISHED else learned_model()


def other_formulas(parents: Crystals, target: Counts) -> frozenset[str]:
    """What partial substitution by the target's elements makes of parents besides the target.

    Named as known formulas these are not made, which saves nearly all of the time and changes
    nothing in the candidates of the target.
    """
    found = set()
    for row, atoms in zip(parents.composition, primitive(parents).n_atoms, strict=True):
        index = min(SapsGenerator.max_index, SapsGenerator.max_atoms // int(atoms))
        cell = row * int(atoms) // row.sum()
        for times, old, (new, _) in itertools.product(
            range(1, index + 1), np.flatnonzero(row).tolist(), target
        ):
            for size in range(1, times * int(cell[old]) + 1):
                changed = times * cell
                changed[old] -= size
                changed[new] += size
                changed //= np.gcd.reduce(changed)
                found.add(tuple((z, int(changed[z])) for z in np.flatnonzero(changed).tolist()))
    return frozenset(reduced_formula(counts) for counts in found - {target})


def of_formula(chunks: Iterable[Candidates], formula: str) -> Candidates:
    """Candidates of a reduced formula, the most probable first, equals as they come."""
    parts = []
    for chunk in chunks:
        kept = chunk.crystals.reduced_formulas == formula
        parts.append(Candidates(chunk.crystals.take(kept), chunk.lineage.filter(pa.array(kept))))
    [whole] = list(rechunk(parts, 10**9)) or [Candidates(Crystals.empty(), LINEAGE.empty_table())]
    order = np.argsort(-whole.lineage["score"].to_numpy(), kind="stable")[:MOST_RAW]
    return Candidates(whole.crystals.take(order), whole.lineage.take(pa.array(order)))


def distinct(candidates: Candidates) -> Candidates:
    """The first of each group of duplicates, up to as many as anyone looks at.

    By fingerprints alone: to match hundreds of orders of one parent with each other takes minutes.
    """
    groups = group_duplicates(candidates.crystals, match=False)
    firsts = np.unique(groups, return_index=True)[1][: LIMITS[-1]]
    return Candidates(candidates.crystals.take(firsts), candidates.lineage.take(pa.array(firsts)))


def matching(hidden: Crystals, crystals: Crystals) -> np.ndarray:
    """Which crystals match the hidden one."""
    from pymatgen.analysis.structure_matcher import StructureMatcher  # noqa: PLC0415

    matcher, [own] = StructureMatcher(), to_pymatgen(hidden)
    return np.array([matcher.fit(own, other) for other in to_pymatgen(crystals)], bool)


def generated(hidden: Crystals, rest: Rest) -> pa.Table:
    """Distinct candidates of every generator for one target; what led to them as metadata."""
    [target], [formula] = list(reduced_counts(hidden)), hidden.reduced_formulas.tolist()
    tables, facts = [], {}
    for name in GENERATORS:
        began = time.process_time()
        find = by_partial_substitution if name == SAPS else by_substitution
        parents = find(rest, target, table_of(name))
        crystals = rest.crystals.take(parents.rows)
        generator = generator_of(name, target, crystals)
        every = of_formula(generator.generate(crystals, seed=0), formula)
        kept = distinct(every)
        columns = {
            "generator": pa.array([name] * len(kept.crystals), pa.string()),
            "rank": pa.array(range(1, len(kept.crystals) + 1), pa.int64()),
            "matches": pa.array(matching(hidden, kept.crystals)),
            **{c: kept.lineage[c] for c in ("parent_id", "change", "score")},
        }
        tables.append(_with_columns(to_arrow(kept.crystals), columns))
        facts[name] = {
            "fitting": parents.fitting,
            "parents": len(parents.rows),
            "candidates": len(every.crystals),
            "cpu_seconds": time.process_time() - began,
        }
    return pa.concat_tables(tables).replace_schema_metadata({"facts": json.dumps(facts)})


def _with_columns(table: pa.Table, columns: dict[str, Any]) -> pa.Table:
    for name, column in columns.items():
        table = table.append_column(name, column)
    return table
