"""Does a campaign over all known crystals find those that it was not told of?

    python benchmarks/prospective.py --data DATA --work FOLDER [--fit]

Parents, hull and prototypes come from formulas whose hash is below 75, and so do the networks and
tables in the package; of the candidates only compositions of hash 75 to 84 are ranked.  The key:
formulas of hash 75 to 84 on the hull of ``materials_project/structures.parquet``.  *Reachable* are
those with a crystal of the formula on the hull whose anonymous prototype some parent has.  The hull
that candidates are ranked with has the phases of ``ground_states.parquet`` too (hashes below 75),
since most phases that compete have no crystal in the first file.

Recall is counted over the reachable formulas at the first 1,000, 5,000 and 20,000 compositions;
acceleration is the number found over that expected in random order of all compositions proposed
(hypergeometric), and over the order of the probability of substitution alone.  Intervals: 95 %,
bootstrap over the formulas of the key.

``--fit``: weights of the evidence by logistic regression on an inner split: parents below 60,
compositions of 60 to 74, prototypes of hashes below 60; the networks have seen these formulas.
"""

import argparse
import json
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gnomon.chemistry.sanity import SanityConfig
from gnomon.crystals import Crystals
from gnomon.discover.wide.database import MATERIALS_PROJECT, Database
from gnomon.discover.wide.drafts import (
    DRAFTS,
    RELAXED,
    Recipe,
    built,
    drafts,
    firsts_of,
    rows_of_parents,
)
from gnomon.discover.wide.filters import Filter
from gnomon.discover.wide.learning import learned
from gnomon.discover.wide.ranking import RANKED, WEIGHTS, Ranker, evidence, ranked
from gnomon.elements import DEFAULT_EXCLUDED
from gnomon.generate.prototypes.occurrence import BUNDLED as KNOWN_PROTOTYPES
from gnomon.generate.prototypes.occurrence import Occurrence
from gnomon.hull.phases import ON_HULL
from gnomon.io import from_arrow
from gnomon.learn.split import formula_hash
from gnomon.run.listener import Listener
from gnomon.run.passes import ENGINES, Pass, Shards, counted, run
from gnomon.run.passes.work import counts_of
from gnomon.structure.labels import prototype_labels
from record import RESULTS, save

RESULT, FIT = RESULTS / "prospective.json", RESULTS / "prospective_fit.json"
FIRST = (1_000, 5_000, 20_000)
MAX_ATOMS = 24
SHARD, BUCKETS = 64, 64
PARENTS_OF_FIT = 5_000
RESAMPLES = 2_000


def prepare(data: Path, work: Path, below: int) -> tuple[Recipe, Ranker]:
    """Parents, phases, known compositions and prototypes of hashes below a number."""
    work.mkdir(parents=True, exist_ok=True)
    crystals, phases = work / "parents.parquet", work / "phases.parquet"
    mp = data / "materials_project"
    if not phases.exists():
        rows = pq.read_table(mp / "structures.parquet")
        pq.write_table(rows.filter(pc.less(rows["formula_hash"], below)), crystals)
        others = pq.read_table(mp / "ground_states.parquet")
        hashes = np.array([formula_hash(f) for f in others["reduced_formula"].to_pylist()])
        pq.write_table(others.filter(pa.array(hashes < below)), phases)
    database = Database.read(crystals, MATERIALS_PROJECT, (phases,))
    np.save(work / "known.npy", database.compositions)
    name = KNOWN_PROTOTYPES
    if below < 75:
        name, whole = str(work / "prototypes.gnomon"), Occurrence.load()
        hashes = np.array([formula_hash(f) for f in whole.known.reduced_formulas])
        replace(whole, known=whole.known.take(hashes < below)).save(Path(name))
    elements = tuple(e for e in database.elements if e not in DEFAULT_EXCLUDED)
    recipe = Recipe(
        generators=("substitution",),
        filter=Filter(elements, 2, 6),
        max_atoms=MAX_ATOMS,
        sanity=SanityConfig(),
        known=str(work / "known.npy"),
        prototypes=name,
    )
    ranker = Ranker(str(crystals), MATERIALS_PROJECT, (str(phases),), look=0.2, threshold=10.0)
    return recipe, ranker


@cache
def crystals_of(path: str) -> Crystals:
    """The parents."""
    return from_arrow(pq.read_table(path, columns=["lattice", "atomic_numbers", "frac_coords"]))


def drafts_of_hashes(
    shard: pa.Table, recipe: Recipe, parents: str, low: int, high: int
) -> pa.Table:
    """Drafts whose formula has a hash between two; the best substitution of each is counted."""
    rows = drafts(shard, recipe)
    if not len(rows):
        return rows
    tally = counts_of(rows)
    keys = rows["composition"].to_numpy()
    _, first, of = np.unique(keys, return_index=True, return_inverse=True)
    formulas = built(rows.take(first), crystals_of(parents)).reduced_formulas
    hashes = np.array([formula_hash(f) for f in formulas])
    wanted = ((hashes >= low) & (hashes < high))[of]
    tally["other hashes"] = int((~wanted).sum())
    return counted(rows.filter(pa.array(wanted)), tally)


def every_composition(bucket: pa.Table, ranker: Ranker) -> pa.Table:
    """``ranked``, a row without predictions for all others, and each one's best probability."""
    found = ranked(bucket, ranker)
    tally = counts_of(found)
    drafted = bucket.replace_schema_metadata(None).combine_chunks()
    keys, score = drafted["composition"].to_numpy(), drafted["score"].to_numpy()
    best = drafted.take(firsts_of((keys,), (-score, drafted["kind"].to_numpy()))).combine_chunks()
    place = np.searchsorted(best["composition"].to_numpy(), found["composition"].to_numpy())
    left = np.ones(len(best), bool)
    left[place] = False
    others = best.filter(pa.array(left)).combine_chunks()
    n = len(others)
    columns = {name: others[name] for name in DRAFTS.names}
    columns["reduced_formula"] = pa.array(
        built(others, ranker.known.parents).reduced_formulas, pa.string()
    )
    columns["unbalanced"] = pa.array(np.zeros(n, bool))
    nulls = {f.name: columns.get(f.name, pa.nulls(n, f.type)) for f in RANKED}
    rows = pa.concat_tables([found.replace_schema_metadata(None), pa.table(nulls, RANKED)])
    place = np.searchsorted(best["composition"].to_numpy(), rows["composition"].to_numpy())
    rows = rows.append_column("best_score", best["score"].take(place))
    geometry = ["lattice", "frac_coords"]
    return counted(rows.drop_columns(geometry), tally)


def ranked_all(
    work: Path, recipe: Recipe, ranker: Ranker, low: int, high: int, parents: int | None = None
) -> Shards:
    """All compositions of some hashes that the parents give, ranked."""
    table = pq.read_table(ranker.database)
    table = table.slice(0, parents) if parents else table
    shards = Shards.write(work / "shards", rows_of_parents(table, SHARD))
    made = partial(drafts_of_hashes, recipe=recipe, parents=ranker.database, low=low, high=high)
    step = Pass(
        name="prospective",
        map=made,
        key="composition",
        reduce=partial(every_composition, ranker=ranker),
        buckets=BUCKETS,
    )
    engine = ENGINES.get("processes")(workers=1)
    return run(step, shards, work / "ranked", engine, Listener(say=print, tick=_tick))


def _tick(what: str, done: int, total: int) -> None:
    print(f"{what} {done}/{total}", flush=True)


def stable_key(data: Path, work: Path, low: int, high: int) -> tuple[set[str], set[str]]:
    """Formulas of these hashes on the hull, and which of them are reachable."""
    file = work / "key.json"
    if not file.exists():
        rows = pq.read_table(data / "materials_project" / "structures.parquet")
        hashes = rows["formula_hash"]
        mine = pc.and_(pc.greater_equal(hashes, low), pc.less(hashes, high))
        stable = rows.filter(pc.and_(mine, pc.less_equal(rows["e_above_hull"], ON_HULL)))
        compound = (from_arrow(stable).composition > 0).sum(axis=1) > 1
        stable = stable.filter(pa.array(compound))
        prototypes = set(prototype_labels(crystals_of(str(work / "parents.parquet")), RELAXED))
        own = prototype_labels(from_arrow(stable), RELAXED).tolist()
        formulas = stable["reduced_formula"].to_pylist()
        reached = {f for f, t in zip(formulas, own, strict=True) if t and t in prototypes}
        file.write_text(json.dumps([sorted(set(formulas)), sorted(reached)]))
    key, reached = json.loads(file.read_text())
    return set(key), set(reached)


def told(rows: pa.Table, odds: np.ndarray, key: set[str], reached: set[str]) -> dict[str, Any]:
    """Recall and acceleration of three orders of all compositions."""
    formulas = np.array(rows["reduced_formula"].to_pylist(), dtype=object)
    hit = np.array([f in reached for f in formulas])
    score = rows["best_score"].to_numpy()
    tie = np.random.default_rng(0).random(len(rows))
    place = {
        name: np.argsort(np.lexsort((tie, -merit)))
        for name, merit in (("odds", odds), ("substitution", score))
    }
    n = len(rows)
    found: dict[str, Any] = {
        "compositions": n,
        "key": len(key),
        "reachable": len(reached),
        "reachable_and_proposed": int(hit.sum()),
    }
    rng = np.random.default_rng(1)
    at = {name: place[name][hit] for name in place}
    lost = len(reached) - int(hit.sum())
    for first in FIRST:
        k = {name: (at[name] < first).astype(float) for name in at}
        draws = rng.integers(0, len(reached), (RESAMPLES, len(reached)))
        padded = {name: np.concatenate([one, np.zeros(lost)])[draws] for name, one in k.items()}
        proposed = np.concatenate([np.ones(int(hit.sum())), np.zeros(lost)])[draws].sum(axis=1)
        random = proposed * min(1.0, first / n)
        by = {name: one.sum(axis=1) for name, one in padded.items()}
        expected = hit.sum() * min(1.0, first / n)
        found[f"first_{first}"] = {
            "found": int(k["odds"].sum()),
            "found_by_substitution_alone": int(k["substitution"].sum()),
            "expected_at_random": float(expected),
            "recall": float(k["odds"].sum() / len(reached)),
            "recall_interval": _interval(by["odds"] / len(reached)),
            "over_random": float(k["odds"].sum() / expected),
            "over_random_interval": _interval(by["odds"] / random),
            "over_substitution": float(k["odds"].sum() / max(k["substitution"].sum(), 1.0)),
            "over_substitution_interval": _interval(
                by["odds"] / np.maximum(by["substitution"], 1.0)
            ),
        }
    return found


def _interval(values: np.ndarray) -> list[float]:
    return [float(x) for x in np.quantile(values, (0.025, 0.975))]


def odds_of(rows: pa.Table, weights: np.ndarray) -> np.ndarray:
    """Log odds; what was far above the hull comes last, by its probability of substitution."""
    known = rows["predicted_e_above_hull"].is_valid().to_numpy()
    odds = rows["best_score"].to_numpy() - 1e6
    odds[known] = evidence(rows.filter(pa.array(known))) @ weights
    return odds


def fit(data: Path, work: Path) -> None:
    """Weights of the evidence on the inner split."""
    recipe, ranker = prepare(data, work, 60)
    shards = ranked_all(work, recipe, ranker, 60, 75, PARENTS_OF_FIT)
    rows = shards.table()
    key, reached = stable_key(data, work, 60, 75)
    known = rows.filter(rows["predicted_e_above_hull"].is_valid())
    stable = np.array([f in key for f in known["reduced_formula"].to_pylist()])
    weights = learned(evidence(known), stable, np.zeros(len(WEIGHTS)), 10.0)
    print("weights", np.round(weights, 2).tolist())
    result = told(rows, odds_of(rows, weights), key, reached)
    save({"weights": weights.tolist(), "stable": int(stable.sum()), **result}, FIT)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--fit", action="store_true")
    given = parser.parse_args()
    if given.fit:
        fit(given.data, given.work / "fit")
        return
    work = given.work / "test"
    recipe, ranker = prepare(given.data, work, 75)
    shards = ranked_all(work, recipe, ranker, 75, 85)
    rows = shards.table()
    key, reached = stable_key(given.data, work, 75, 85)
    odds = odds_of(rows, WEIGHTS)
    first = rows.take(np.argsort(-odds, kind="stable")[: FIRST[-1]])
    pq.write_table(first, work / "first.parquet")
    result = told(rows, odds, key, reached)
    save({"funnel": dict(shards.counts), "work": dict(shards.facts), **result}, RESULT)


if __name__ == "__main__":
    main()
