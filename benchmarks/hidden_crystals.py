"""How many real crystals come back from the rest, when all crystals of their formula are hidden.

    python benchmarks/hidden_crystals.py --data DATA --work hidden

Drawn at random: ternary and quaternary compounds of the Materials Project that were reported (a
year is known), lie within 0.1 eV/atom of its hull and have up to 24 atoms in the primitive cell;
their formulas are among those that the learned table never saw.  One after the other is hidden with
every crystal of its formula.  All other crystals are parents; substitution (learned and published
table) and partial substitution (SAPS) run with their default thresholds on those that can give the
formula at all: the rest could not change the result.  Candidates of the formula come by their
probability, and of those with one fingerprint (``gnomon.structure.duplicates``) the most probable.

A crystal is found where a candidate matches it (pymatgen's StructureMatcher, default tolerances, on
primitive cells): as generated, and after both are relaxed.  The first 20 candidates of a generator
are relaxed; those from the sixth on only where none of the first five matched, which changes no
figure.  Work goes on where it was stopped: each target has its own files.
"""

import argparse
import json
import math
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gnomon.crystals import Crystals
from gnomon.discover.rates import wilson
from gnomon.dynamics.settings import RelaxConfig
from gnomon.evaluate import Evaluator
from gnomon.evaluate.registry import EvaluatorConfig, make_evaluator
from gnomon.evaluate.table import evaluate_all, rows_of
from gnomon.hull.phases import ON_HULL
from gnomon.io import from_arrow
from gnomon.run.files import write_atomically
from gnomon.run.listener import SILENT
from gnomon.structure.labels import prototype_labels
from gnomon.structure.symmetry import primitive
from hidden_candidates import (
    GENERATORS,
    LEARNED,
    LIMITS,
    PUBLISHED,
    SAPS,
    Rest,
    generated,
    matching,
)
from record import RESULTS, save

RELAXED = (LEARNED, SAPS)
"""Generators whose candidates are relaxed."""

NEAR_HULL = 0.1
"""eV/atom: what has been made lies as a rule closer (Sun et al., Sci. Adv. 2, e1600225 (2016))."""

UNSEEN = 75
"""Formula hashes from here on did not train the learned table (nor gnomon-1)."""

MOST_ATOMS = 24
"""In the primitive cell."""

RELAXATIONS = (5, 20)
"""Candidates relaxed at first, and altogether where none of the first matched."""

RELAX = RelaxConfig(fmax=0.05, max_steps=100)
ENDED = ("converged", "not_converged")
"""Statuses after which there is a crystal to compare."""

TARGETS_AT_ONCE = 20
PART = re.compile(r" on (\d+) of (\d+)")
"""Sites replaced and sites there are, in the lineage of SAPS."""

SYMPREC = 0.1
"""Å, of the symmetry of prototypes (the Materials Project's for relaxed crystals)."""

RESULT = RESULTS / "hidden_crystals.json"


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
        rows = rows_of(evaluate_all(crystals, evaluator, SILENT))
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
    for row, path in zip(rows, _paths(everything, rows, work, "candidates"), strict=True):
        if not path.exists():
            hidden = primitive(everything[row])
            formula = hidden.reduced_formulas[0]
            write_table(generated(hidden, Rest.without(everything, formula)), path)
            print(path.name, flush=True)
    races, paths = read_races(table, rows, work), _paths(everything, rows, work, "relaxed")
    todo = [i for i, race in enumerate(races) if race.relaxed is None]
    for start in range(0, len(todo), TARGETS_AT_ONCE):
        some = todo[start : start + TARGETS_AT_ONCE]
        began = time.process_time()
        relax([races[i] for i in some], evaluator)
        spent = (time.process_time() - began) / len(some)
        for i in some:
            facts = {"cpu_seconds": str(spent), "scheme": evaluator.scheme}
            write_table(races[i].relaxed.replace_schema_metadata(facts), paths[i])
        print("relaxed", start + len(some), "of", len(todo), f"{spent:.1f} CPU s each", flush=True)
    return read_races(table, rows, work)


def read_races(table: pa.Table, rows: Sequence[int], work: Path) -> list[Race]:
    """What the work folder has of these targets; candidates must be there."""
    everything = from_arrow(table)
    paths = [_paths(everything, rows, work, kind) for kind in ("candidates", "relaxed")]
    return [
        Race(
            primitive(everything[row]),
            pq.read_table(candidates),
            pq.read_table(relaxed) if relaxed.exists() else None,
        )
        for row, candidates, relaxed in zip(rows, *paths, strict=True)
    ]


def _paths(crystals: Crystals, rows: Sequence[int], work: Path, kind: str) -> list[Path]:
    formulas = crystals.take(rows).reduced_formulas.tolist()
    pairs = zip(rows, formulas, strict=True)
    return [work / f"{row:05d}-{formula}.{kind}.parquet" for row, formula in pairs]


def with_prototype(crystals: Crystals, rows: Sequence[int], work: Path) -> list[bool]:
    """Whether a crystal of another formula has the prototype of each of these.

    The label of a prototype says nothing of free parameters: see ``gnomon.structure.labels``.
    """
    if not (path := work / "prototypes.parquet").exists():
        write_table(pa.table({"label": prototype_labels(crystals, SYMPREC).tolist()}), path)
    labels = np.array(pq.read_table(path)["label"].to_pylist(), dtype=object)
    formulas = crystals.reduced_formulas
    return [bool(labels[i] and (labels[formulas != formulas[i]] == labels[i]).any()) for i in rows]


# --- what is reported -----------------------------------------------------------------------------


def rate(hits: Sequence[bool]) -> str:
    """k of n with Wilson's 95 % interval."""
    found = wilson(sum(hits), len(hits))
    return f"{found.k} of {found.n} ({100 * found.low:.0f} to {100 * found.high:.0f} %)"


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


def partial(race: Race) -> bool:
    """Whether a candidate of SAPS that keeps some atoms of the old ion matches as generated."""
    columns = (race.candidates[c].to_pylist() for c in ("generator", "change", "matches"))
    some = (PART.search(change) for name, change, same in zip(*columns, strict=True) if same)
    return any(part is not None and part[1] != part[2] for part in some)


def recall(ranks: Sequence[dict[str, int]], names: Sequence[str]) -> dict[str, str]:
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


def not_found(races: Sequence[Race], prototypes: Sequence[bool], name: str) -> dict[str, Any]:
    """Targets that a generator did not find, by reason."""
    missed: dict[str, list[tuple[str, bool]]] = defaultdict(list)
    for race, known in zip(races, prototypes, strict=True):
        if why := reason(race, name):
            missed[why].append((race.hidden.reduced_formulas[0], known))
    return {
        why: {
            "targets": len(some),
            "of these with their prototype among the rest": sum(known for _, known in some),
            "formulas": " ".join(sorted(formula for formula, _ in some)),
        }
        for why, some in missed.items()
    }


def report(
    races: Sequence[Race], above: Sequence[float], prototypes: Sequence[bool]
) -> dict[str, Any]:
    """All figures; those after relaxation are of the targets for which it is done."""
    before = [first_ranks(r) for r in races]
    done = [i for i, race in enumerate(races) if race.relaxed is not None]
    after = {i: races[i].ranks() for i in done}
    stable = [i for i in done if above[i] <= ON_HULL]
    relaxed = [races[i] for i in done]
    choices = {**{name: (name,) for name in GENERATORS}, "either": RELAXED}
    formulas = [race.hidden.reduced_formulas[0] for race in races]
    statuses = Counter(s for race in relaxed for s in race.relaxed["status"].to_pylist())
    return {
        "as generated": {name: recall(before, names) for name, names in choices.items()},
        "as generated, candidates in random order": {n: chance(races, n) for n in GENERATORS},
        "after relaxation": {
            name: _within(recall([after[i] for i in done], names))
            for name, names in choices.items()
            if name != PUBLISHED
        },
        "after relaxation, on the hull": {
            name: _within(recall([after[i] for i in stable], names))
            for name, names in choices.items()
            if name != PUBLISHED
        },
        "relaxations": dict(statuses),
        "prototype among the rest": rate(prototypes),
        "saps, part of an ion, as generated": rate([partial(race) for race in races]),
        "not found": {
            name: not_found(relaxed, [prototypes[i] for i in done], name) for name in RELAXED
        },
        "ranks after relaxation": {
            f"{i + 1} {formulas[i]}": ", ".join(f"{name} {rank}" for name, rank in after[i].items())
            for i in done
        },
        "candidates": {n: _sizes([_number(race, n) for race in races]) for n in GENERATORS},
        "cpu_minutes": round(sum(_seconds(race) for race in relaxed) / 60, 1),
    }


def _within(found: dict[str, str]) -> dict[str, str]:
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
    parser.add_argument("--finished", action="store_true", help="report what the folder has")
    parser.add_argument("--evaluator", default="gnomon-1")
    parser.add_argument("--result", type=Path, default=RESULT)
    given = parser.parse_args()
    table = pq.read_table(given.data / "materials_project" / "structures.parquet")
    eligible = qualifying(table)
    rows = np.random.default_rng(given.seed).permutation(eligible)[: given.targets].tolist()
    if given.finished:
        races = read_races(table, rows, given.work)
    else:
        evaluator = make_evaluator(EvaluatorConfig(name=given.evaluator), RELAX)
        part, parts = given.share
        races = run(table, rows[part - 1 :: parts], given.work, evaluator)
        if parts > 1:
            return
    scheme = next(r.relaxed for r in races if r.relaxed is not None).schema.metadata[b"scheme"]
    above = [table["e_above_hull"][row].as_py() for row in rows]
    facts = {
        "drawn": {"targets": len(rows), "of": len(eligible), "seed": given.seed},
        "rule": f"reported, e_above_hull <= {NEAR_HULL}, 3 or 4 elements, at most {MOST_ATOMS} "
        f"atoms in the primitive cell, formula hash >= {UNSEEN}",
        "caps": {"looked at": LIMITS[-1], "relaxed": RELAXATIONS[-1], **RELAX.model_dump()},
        "scheme": scheme.decode(),
        "crystals in the file": len(table),
    }
    prototypes = with_prototype(from_arrow(table), rows, given.work)
    save({**facts, **report(races, above, prototypes)}, given.result)


if __name__ == "__main__":
    main()
