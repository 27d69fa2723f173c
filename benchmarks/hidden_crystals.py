"""How many real crystals come back from the rest, when all crystals of their formula are hidden.

    python benchmarks/hidden_crystals.py --data DATA --work hidden

Drawn at random: ternary and quaternary compounds of the Materials Project that were reported (a
year is known), lie within 0.1 eV/atom of its hull and have up to 24 atoms in the primitive cell;
their formulas are among those that the learned table never saw.  One after the other is hidden with
every crystal of its formula.  All other crystals are parents; substitution (learned and published
table) and partial substitution (SAPS) run with their default thresholds on those that can give the
formula at all: the rest could not change the result.  Candidates of the formula come by their
probability, and of those with one fingerprint (``gnomon.duplicates``) the most probable.

A crystal is found where a candidate matches it (pymatgen's StructureMatcher, default tolerances, on
primitive cells): as generated, and after both are relaxed.  The first 20 candidates of a generator
are relaxed; those from the sixth on only where none of the first five matched, which changes no
figure.  Work goes on where it was stopped: each target has its own files.
"""

import argparse
import itertools
import json
import math
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gnomon.crystals import Crystals
from gnomon.duplicates import group_duplicates
from gnomon.elements import MAX_Z, SYMBOLS, reduced_formula
from gnomon.evaluate import Evaluator
from gnomon.evaluate.config import RelaxConfig
from gnomon.evaluate.registry import EvaluatorConfig, make_evaluator
from gnomon.evaluate.table import rows_of
from gnomon.files import write_atomically
from gnomon.generate import LINEAGE, Candidates, Generator
from gnomon.generate.chunks import rechunk
from gnomon.generate.oxidation import ions as ions_of
from gnomon.generate.saps import SapsGenerator
from gnomon.generate.substitution import Counts, SubstitutionGenerator, reduced_counts
from gnomon.generate.substitution_model import THRESHOLD, SubstitutionModel
from gnomon.generate.substitution_tables import learned_model
from gnomon.hull import ON_HULL
from gnomon.io import from_arrow, to_arrow, to_pymatgen
from gnomon.report.statistics import wilson
from gnomon.symmetry import primitive
from record import RESULTS, save

LEARNED, PUBLISHED, SAPS = "substitution", "substitution, published table", "saps"
GENERATORS = (LEARNED, PUBLISHED, SAPS)
RELAXED = (LEARNED, SAPS)
"""Generators whose candidates are relaxed."""

LIMITS = (1, 5, 20, 100)
"""Candidates that a user looks at."""

NEAR_HULL = 0.1
"""eV/atom: what has been made lies as a rule closer (Sun et al., Sci. Adv. 2, e1600225 (2016))."""

UNSEEN = 75
"""Formula hashes from here on did not train the learned table (nor gnomon-1)."""

MOST_ATOMS = 24
MOST_RAW = 1000
"""Candidates of one formula and generator that are looked at, the most probable of more."""

RELAXATIONS = (5, 20)
"""Candidates relaxed at first, and altogether where none of the first matched."""

RELAX = RelaxConfig(fmax=0.05, max_steps=100)
ENDED = ("converged", "not_converged")
"""Statuses after which there is a crystal to compare."""

TARGETS_AT_ONCE = 20
RESULT = RESULTS / "hidden_crystals.json"


# --- targets and parents --------------------------------------------------------------------------


def qualifying(table: pa.Table) -> np.ndarray:
    """Rows of the table that may be hidden."""
    crystals = from_arrow(table)
    kinds = (crystals.composition > 0).sum(axis=1)
    above = table["e_above_hull"].to_numpy()
    reported = np.array([year is not None for year in table["year"].to_pylist()])
    rows = np.flatnonzero(
        np.isin(kinds, (3, 4))
        & (above <= NEAR_HULL)
        & reported
        & (table["formula_hash"].to_numpy() >= UNSEEN)
        & (crystals.n_atoms <= 4 * MOST_ATOMS)
    )
    atoms = primitive(crystals.take(rows)).n_atoms
    return rows[atoms <= MOST_ATOMS]


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


# --- candidates -----------------------------------------------------------------------------------


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


# --- relaxation -----------------------------------------------------------------------------------


@dataclass(eq=False)
class Race:
    """One target while its candidates are relaxed."""

    hidden: Crystals
    candidates: pa.Table
    relaxed: pa.Table | None = None  # rows of the evaluations, the hidden crystal's first
    relaxed_hidden: Crystals | None = None

    def waiting(self, most: int) -> Crystals:
        """Crystals to be relaxed next: up to a rank, of generators that have not found it."""
        wanted = [] if self.relaxed is not None else [self.hidden]
        done = set() if self.relaxed is None else set(self.relaxed["id"].to_pylist())
        ranks = self.ranks()
        rows = [
            i
            for i, (name, rank, key) in enumerate(self._keys())
            if name in RELAXED and rank <= most and name not in ranks and key not in done
        ]
        return Crystals.concatenate(
            [*wanted, from_arrow(self.candidates.take(np.array(rows, np.int64)))]
        )

    def ranks(self) -> dict[str, int]:
        """Rank of the first candidate that matches after relaxation, by generator."""
        if self.relaxed is None or self.relaxed["status"][0].as_py() not in ENDED:
            return {}
        hits = dict(
            zip(self.relaxed["id"].to_pylist(), self.relaxed["matches"].to_pylist(), strict=True)
        )
        found: dict[str, int] = {}
        for name, rank, key in self._keys():
            if hits.get(key):
                found[name] = min(rank, found.get(name, rank))
        return {name: rank for name, rank in found.items() if name in RELAXED}

    def _keys(self) -> Iterator[tuple[str, int, str]]:
        columns = (self.candidates[c].to_pylist() for c in ("generator", "rank", "id"))
        return zip(*columns, strict=True)

    def take_in(self, rows: pa.Table) -> None:
        """Add evaluations, and compare them with the relaxed hidden crystal."""
        crystals = from_arrow(rows)
        if self.relaxed is None:
            self.relaxed_hidden = crystals[0]
        ended = np.isin(rows["status"].to_pylist(), ENDED)
        same = matching(self.relaxed_hidden, crystals) & ended
        if self.relaxed is None:
            same[0] = False  # the hidden crystal itself
        rows = rows.append_column("matches", pa.array(same))
        self.relaxed = rows if self.relaxed is None else pa.concat_tables([self.relaxed, rows])


def relax(races: Sequence[Race], evaluator: Evaluator) -> None:
    """Relax the candidates of several targets together."""
    for most in RELAXATIONS:
        parts = [race.waiting(most) for race in races]
        crystals = Crystals.concatenate(parts)
        if not len(crystals):
            continue
        tables = [
            rows_of(["?"] * len(part.relaxed), part, evaluator.scheme)
            for part in evaluator.evaluate(crystals, chunk=64)
        ]
        rows = pa.concat_tables(tables)
        rows = rows.set_column(0, "id", pa.array(crystals.ids, pa.string()))
        start = 0
        for race, part in zip(races, parts, strict=True):
            if len(part):
                race.take_in(rows.slice(start, len(part)))
            start += len(part)


# --- the run --------------------------------------------------------------------------------------


def write_table(table: pa.Table, path: Path) -> None:
    """A Parquet file that is whole or not there."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    write_atomically(path, sink.getvalue().to_pybytes())


def run(table: pa.Table, rows: Sequence[int], work: Path, evaluator: Evaluator) -> list[Race]:
    """Generate for every target, then relax; files in the work folder are taken as they are."""
    everything = from_arrow(table)
    names = [f"{row:05d}-{everything[row].reduced_formulas[0]}" for row in rows]
    for row, name in zip(rows, names, strict=True):
        if not (path := work / f"{name}.candidates.parquet").exists():
            hidden = primitive(everything[row])
            formula = hidden.reduced_formulas[0]
            write_table(generated(hidden, Rest.without(everything, formula)), path)
            print(name, flush=True)
    races = [
        Race(primitive(everything[row]), pq.read_table(work / f"{name}.candidates.parquet"))
        for row, name in zip(rows, names, strict=True)
    ]
    paths = [work / f"{name}.relaxed.parquet" for name in names]
    todo = [i for i, path in enumerate(paths) if not path.exists()]
    for start in range(0, len(todo), TARGETS_AT_ONCE):
        some = todo[start : start + TARGETS_AT_ONCE]
        began = time.process_time()
        relax([races[i] for i in some], evaluator)
        spent = (time.process_time() - began) / len(some)
        for i in some:
            facts = {"cpu_seconds": str(spent), "scheme": evaluator.scheme}
            write_table(races[i].relaxed.replace_schema_metadata(facts), paths[i])
        print("relaxed", start + len(some), "of", len(todo), f"{spent:.1f} CPU s each", flush=True)
    for race, path in zip(races, paths, strict=True):
        race.relaxed = pq.read_table(path)
    return races


# --- what is reported -----------------------------------------------------------------------------


def rate(hits: Sequence[bool]) -> dict[str, Any]:
    """k of n with Wilson's 95 % interval, in per cent."""
    found = wilson(sum(hits), len(hits))
    return {
        "k": found.k,
        "n": found.n,
        "interval": [round(100 * x) for x in (found.low, found.high)],
    }


def by_chance(candidates: int, good: int, most: int) -> float:
    """Probability that the first so many in random order hold a good one."""
    most = min(most, candidates)
    return 1 - math.comb(candidates - good, most) / math.comb(candidates, most)


def first_ranks(race: Race) -> dict[str, int]:
    """Rank of the first candidate that matches as generated, by generator."""
    found: dict[str, int] = {}
    columns = (race.candidates[c].to_pylist() for c in ("generator", "rank", "matches"))
    for name, rank, same in zip(*columns, strict=True):
        if same:
            found.setdefault(name, rank)
    return found


def reason(race: Race, name: str) -> str:
    """Why a generator has not found a target after relaxation; empty where it has."""
    facts = json.loads(race.candidates.schema.metadata[b"facts"])[name]
    cases = {
        "": name in race.ranks(),
        "no parent of a fitting formula": not facts["fitting"],
        "parents below the threshold or without ions": not facts["parents"],
        "the parents give no candidate of the formula": not facts["candidates"],
        "the hidden crystal did not relax": race.relaxed["status"][0].as_py() not in ENDED,
        f"matched as generated, beyond the first {RELAXATIONS[-1]}": first_ranks(race).get(name, 0)
        > RELAXATIONS[-1],
        "other structures only": True,
    }
    return next(why for why, holds in cases.items() if holds)


def recall(ranks: Sequence[dict[str, int]], names: Sequence[str]) -> dict[str, Any]:
    """Targets that one of the generators found within so many candidates of each."""
    best = [min((r[name] for name in names if name in r), default=math.inf) for r in ranks]
    return {f"within {most}": rate([rank <= most for rank in best]) for most in LIMITS}


def chance(races: Sequence[Race], name: str) -> dict[str, float]:
    """Targets that the same candidates in random order would find as generated, on average."""
    sets = [
        race.candidates.filter(pc.equal(race.candidates["generator"], name))["matches"].to_pylist()
        for race in races
    ]
    return {
        f"within {most}": round(sum(by_chance(len(s), sum(s), most) for s in sets), 1)
        for most in LIMITS
    }


def report(races: Sequence[Race], above: Sequence[float]) -> dict[str, Any]:
    """All figures."""
    before, after = [first_ranks(r) for r in races], [r.ranks() for r in races]
    stable = [i for i, e in enumerate(above) if e <= ON_HULL]
    choices = {**{name: (name,) for name in GENERATORS}, "either": RELAXED}
    formulas = [race.hidden.reduced_formulas[0] for race in races]
    missed: dict[str, dict[str, list[str]]] = {name: {} for name in RELAXED}
    for name, (formula, race) in itertools.product(RELAXED, zip(formulas, races, strict=True)):
        if why := reason(race, name):
            missed[name].setdefault(why, []).append(formula)
    statuses = Counter(s for race in races for s in race.relaxed["status"].to_pylist())
    return {
        "as generated": {name: recall(before, names) for name, names in choices.items()},
        "as generated, candidates in random order": {n: chance(races, n) for n in GENERATORS},
        "after relaxation": {
            name: _within(recall(after, names))
            for name, names in choices.items()
            if name != PUBLISHED
        },
        "after relaxation, on the hull": {
            name: _within(recall([after[i] for i in stable], names))
            for name, names in choices.items()
            if name != PUBLISHED
        },
        "relaxations": dict(statuses),
        "not found": {
            name: {why: [len(some), sorted(some)] for why, some in whys.items()}
            for name, whys in missed.items()
        },
        "ranks after relaxation": dict(zip(formulas, after, strict=True)),
        "candidates": {n: _sizes([_number(race, n) for race in races]) for n in GENERATORS},
        "cpu_minutes": round(sum(_seconds(race) for race in races) / 60, 1),
    }


def _within(found: dict[str, Any]) -> dict[str, Any]:
    """Only as many candidates as were relaxed."""
    return {f"within {most}": found[f"within {most}"] for most in LIMITS if most <= RELAXATIONS[-1]}


def _number(race: Race, name: str) -> int:
    return race.candidates["generator"].to_pylist().count(name)


def _sizes(numbers: Sequence[int]) -> dict[str, float]:
    return {"median": float(np.median(numbers)), "largest": max(numbers), "sum": sum(numbers)}


def _seconds(race: Race) -> float:
    facts = json.loads(race.candidates.schema.metadata[b"facts"])
    relaxing = float(race.relaxed.schema.metadata[b"cpu_seconds"])
    return relaxing + sum(f["cpu_seconds"] for f in facts.values())


def main() -> None:
    """Draw, generate, relax, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("hidden"))
    parser.add_argument("--targets", type=int, default=300)
    parser.add_argument("--seed", type=int, default=300)
    parser.add_argument(
        "--share", type=int, nargs=2, default=(1, 1), metavar=("I", "N"), help="do part I of N only"
    )
    parser.add_argument("--evaluator", default="gnomon-1")
    parser.add_argument("--result", type=Path, default=RESULT)
    given = parser.parse_args()
    table = pq.read_table(given.data / "materials_project" / "structures.parquet")
    eligible = qualifying(table)
    rows = np.random.default_rng(given.seed).permutation(eligible)[: given.targets].tolist()
    evaluator = make_evaluator(EvaluatorConfig(name=given.evaluator), RELAX)
    part, parts = given.share
    races = run(table, rows[part - 1 :: parts], given.work, evaluator)
    if parts > 1:
        return
    above = [table["e_above_hull"][row].as_py() for row in rows]
    facts = {
        "drawn": {"targets": len(rows), "of": len(eligible), "seed": given.seed},
        "scheme": evaluator.scheme,
        "parents": len(table),
    }
    save({**facts, **report(races, above)}, given.result)


if __name__ == "__main__":
    main()
