"""Candidates of one formula from crystals of other formulas: which parents can give it at all.

Substitution sends each of a parent's elements to one of the target's, so the amounts must agree
(``assignments``).  Partial substitution gives sites of one of them to a second one (``splits``).
The generators run on these parents only, the most probable first: the others could not add a
candidate.
"""

import itertools
import json
import math
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from gnomon.chemistry.oxidation import nearest_ions
from gnomon.crystals import Crystals
from gnomon.elements import MAX_Z, SYMBOLS, Counts, reduced_formula
from gnomon.generate import LINEAGE, Candidates, Generator
from gnomon.generate.chunks import rechunk
from gnomon.generate.saps.generator import SapsGenerator
from gnomon.generate.substitution.generator import SubstitutionGenerator
from gnomon.generate.substitution.model import THRESHOLD, SubstitutionModel
from gnomon.generate.substitution.tables import learned_model
from gnomon.io import to_arrow, to_pymatgen
from gnomon.structure.duplicates import FAST, group_duplicates

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
        return self.crystals.reduced_counts


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


@cache
def splits(
    parent: tuple[int, ...], target: tuple[int, ...]
) -> tuple[tuple[int, tuple[int, ...], int], ...]:
    """Ways to make a target of a parent one of whose elements is split among two of the target's.

    Args:
        parent: reduced amounts of the parent's elements.
        target: reduced amounts of the target's.

    Returns:
        The position of the element that is split, the target's element in place of each of the
        parent's (for that one, what comes new), and the target's element that stays on the rest of
        its sites; -1 where nothing stays.
    """
    ways = []
    for at, way in itertools.product(
        range(len(parent)), itertools.product(range(len(target)), repeat=len(parent))
    ):
        left = [n * sum(parent) for n in target]  # in units of the target's atoms
        for j, (n, k) in enumerate(zip(parent, way, strict=True)):
            left[k] -= n * sum(target) if j != at else 0
        split = [k for k, n in enumerate(left) if n]
        if min(left) < 0 or left[way[at]] <= 0 or len(split) > 2:
            continue
        stays = [k for k in split if k != way[at]]
        ways.append((at, way, stays[0] if stays else -1))
    return tuple(ways)


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
        at = [model.index.get(ion, -1) for ion in (nearest_ions(counts) if ways else None) or ()]
        if at and min(at) >= 0:
            replaced = best[elements[np.array(ways)], at]
            found.append((float(replaced.prod(axis=1).max()), row))
    return Parents(_above_threshold(found), fitting)


def by_partial_substitution(rest: Rest, target: Counts, model: SubstitutionModel) -> Parents:
    """Parents of which one ion gives way in part or wholly, and others wholly."""
    elements = np.array([z for z, _ in target])
    amounts = tuple(n for _, n in target)
    unlike = rest.crystals.composition > 0
    unlike[:, elements] = False
    near = np.flatnonzero(unlike.sum(axis=1) <= SapsGenerator.others + 1)
    best, fitting, found = best_by_element(model), 0, []
    for row in near.tolist():
        counts = rest.counts[row]
        own = np.array([z for z, _ in counts])
        ways = [
            elements[list(way)]
            for at, way, stays in splits(tuple(n for _, n in counts), amounts)
            if stays in (-1, *np.flatnonzero(elements == own[at]))
        ]
        ways = [new for new in ways if 0 < (new != own).sum() <= SapsGenerator.others + 1]
        fitting += bool(ways)
        names = (nearest_ions(counts) if ways else None) or ()
        scores = [
            math.prod(
                float(best[z, model.index[ion]]) if ion in model.index else 0.0
                for z, old, ion in zip(new, own, names, strict=True)
                if z != old
            )
            for new in ways
            if names
        ]
        if scores:
            found.append((max(scores), row))
    return Parents(_above_threshold(found), fitting)


def _above_threshold(found: Iterable[tuple[float, int]]) -> np.ndarray:
    kept = sorted((-p, row) for p, row in found if p > THRESHOLD)
    return np.array([row for _, row in kept], np.int64)


def generator_of(name: str, target: Counts) -> Generator:
    """The generator with its defaults, asked for the target's formula."""
    formulas = frozenset([reduced_formula(target)])
    elements = tuple(SYMBOLS[z] for z, _ in target)
    if name == SAPS:
        return SapsGenerator(elements=elements, exclude=(), formulas=formulas)
    return SubstitutionGenerator(
        model=table_of(name), elements=elements, exclude=(), formulas=formulas
    )


def table_of(name: str) -> SubstitutionModel:
    """The substitution table of a generator."""
    return SubstitutionModel.pymatgen() if name == PUBLISHED else learned_model()


def of_formula(chunks: Iterable[Candidates], formula: str) -> Candidates:
    """Candidates of a reduced formula, the most probable first, equals as they come."""
    parts = []
    for chunk in chunks:
        kept = chunk.crystals.reduced_formulas == formula
        parts.append(chunk.take(kept))
    [whole] = list(rechunk(parts, 10**9)) or [Candidates(Crystals.empty(), LINEAGE.empty_table())]
    order = np.argsort(-whole.lineage["score"].to_numpy(), kind="stable")[:MOST_RAW]
    return Candidates(whole.crystals.take(order), whole.lineage.take(pa.array(order)))


def distinct(candidates: Candidates) -> Candidates:
    """The first of each group of duplicates, up to as many as anyone looks at.

    By fingerprints alone: to match hundreds of orders of one parent with each other takes minutes.
    """
    groups = group_duplicates(candidates.crystals, FAST).of
    firsts = np.unique(groups, return_index=True)[1][: LIMITS[-1]]
    return Candidates(candidates.crystals.take(firsts), candidates.lineage.take(pa.array(firsts)))


def matching(hidden: Crystals, crystals: Crystals) -> np.ndarray:
    """Which crystals match the hidden one."""
    from pymatgen.analysis.structure_matcher import StructureMatcher

    matcher, [own] = StructureMatcher(), to_pymatgen(hidden)
    return np.array([matcher.fit(own, other) for other in to_pymatgen(crystals)], bool)


def generated(hidden: Crystals, rest: Rest) -> pa.Table:
    """Distinct candidates of every generator for one target; what led to them as metadata."""
    [target], [formula] = hidden.reduced_counts, hidden.reduced_formulas.tolist()
    tables, facts = [], {}
    for name in GENERATORS:
        began = time.process_time()
        find = by_partial_substitution if name == SAPS else by_substitution
        parents = find(rest, target, table_of(name))
        crystals = rest.crystals.take(parents.rows)
        generator = generator_of(name, target)
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
