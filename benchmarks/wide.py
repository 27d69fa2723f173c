"""How the pass of a campaign over all known crystals grows, and what each of its stages takes.

    python benchmarks/wide.py --data DATA --work FOLDER [--sizes 100000 1000000] [--workers 2]

Parents are the first of a shuffled ``materials_project/structures.parquet`` that propose about so
many candidates (435 each); all of them propose about ten million.  Each size is one pass of
`gnomon discover --all` by the engine ``processes``: candidates a second of wall time, CPU seconds,
peak memory of the largest process and of all together.  The same functions over the same shards in
a plain loop say what each stage takes and what the engine costs, at the smallest size.
"""

import argparse
import resource
import shutil
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gnomon.chemistry.sanity import SanityConfig
from gnomon.discover.wide.database import MATERIALS_PROJECT, Database
from gnomon.discover.wide.drafts import Recipe, drafts, rows_of_parents
from gnomon.discover.wide.filters import Filter
from gnomon.discover.wide.ranking import Ranker, ranked
from gnomon.elements import DEFAULT_EXCLUDED
from gnomon.generate.prototypes.occurrence import BUNDLED as KNOWN_PROTOTYPES
from gnomon.run.listener import Listener
from gnomon.run.passes import ENGINES, Pass, Shards, run
from gnomon.run.passes.work import counts_of
from record import RESULTS, save

RESULT = RESULTS / "wide.json"
EACH = 435
"""Candidates that a parent proposes, about."""
SHARD = 64
PROPOSED = "proposed by substitution"


def prepared(data: Path, work: Path) -> tuple[pa.Table, Recipe, Ranker]:
    """Shuffled parents, and what is done with them."""
    work.mkdir(parents=True, exist_ok=True)
    structures = data / "materials_project" / "structures.parquet"
    phases = data / "materials_project" / "ground_states.parquet"
    rows = pq.read_table(structures)
    rows = rows.take(np.random.default_rng(0).permutation(len(rows)))
    pq.write_table(rows, work / "parents.parquet")
    database = Database.read(work / "parents.parquet", MATERIALS_PROJECT, (phases,))
    np.save(work / "known.npy", database.compositions)
    elements = tuple(e for e in database.elements if e not in DEFAULT_EXCLUDED)
    recipe = Recipe(
        ("substitution",),
        Filter(elements, 2, 5),
        52,
        SanityConfig(),
        str(work / "known.npy"),
        KNOWN_PROTOTYPES,
    )
    ranker = Ranker(str(work / "parents.parquet"), MATERIALS_PROJECT, (str(phases),), random=20)
    return rows, recipe, ranker


def buckets_of(size: int) -> int:
    """Buckets of about 20,000 drafts."""
    return max(4, size // 20_000)


def by_engine(
    size: int, rows: pa.Table, recipe: Recipe, ranker: Ranker, work: Path, workers: int
) -> dict[str, Any]:
    """One pass; what was finished of it before is not done again."""
    folder = work / f"{size}"
    shards = Shards.write(folder / "parents", rows_of_parents(rows.slice(0, size // EACH), SHARD))
    step = Pass(
        "propose",
        partial(drafts, recipe=recipe),
        key="composition",
        reduce=partial(ranked, ranker=ranker),
        buckets=buckets_of(size),
    )
    before, began = _cpu(), time.monotonic()
    engine = ENGINES.get("processes")(workers=workers)
    found = run(step, shards, folder / "ranked", engine, Listener(tick=_tick))
    wall = time.monotonic() - began
    proposed = found.counts[PROPOSED]
    result = {
        "parents": size // EACH,
        "proposed": proposed,
        "kept": found.rows,
        "workers": workers,
        "wall_seconds": round(wall, 1),
        "cpu_seconds": round(_cpu() - before, 1),
        "candidates_a_second": round(proposed / wall, 1),
        "candidates_a_cpu_second": round(proposed / (_cpu() - before), 1),
        "largest_process_mb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
        "driver_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "counts": dict(found.counts),
        "facts": dict(found.facts),
    }
    if size < 1_000_000:
        shutil.rmtree(folder)
    return result


def by_loop(size: int, rows: pa.Table, recipe: Recipe, ranker: Ranker) -> dict[str, Any]:
    """The same functions in a plain loop in one process."""
    shards = list(rows_of_parents(rows.slice(0, size // EACH), SHARD))
    drafts(shards[0].slice(0, 1), recipe)
    began = time.process_time()
    made = [drafts(shard, recipe) for shard in shards]
    mapping = time.process_time() - began
    every = pa.concat_tables([one.replace_schema_metadata(None) for one in made])
    bucket = every["composition"].to_numpy() % np.uint64(buckets_of(size))
    ranked(every.slice(0, 500), ranker)
    began = time.process_time()
    for i in range(buckets_of(size)):
        ranked(every.filter(pa.array(bucket == i)).combine_chunks(), ranker)
    ranking = time.process_time() - began
    proposed = sum(counts_of(one)[PROPOSED] for one in made)
    return {
        "proposed": proposed,
        "cpu_seconds": round(mapping + ranking, 1),
        "drafts_a_cpu_second": round(proposed / mapping, 1),
        "ranked_a_cpu_second": round(len(every) / ranking, 1),
        "bytes_a_draft": round(every.nbytes / len(every), 1),
    }


def _cpu() -> float:
    own, children = (
        resource.getrusage(of) for of in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def _tick(what: str, done: int, total: int) -> None:
    print(f"{what} {done}/{total}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    rows, recipe, ranker = prepared(given.data, given.work)
    result: dict[str, Any] = {"loop": by_loop(given.sizes[0], rows, recipe, ranker)}
    result["passes"] = [
        by_engine(size, rows, recipe, ranker, given.work, given.workers) for size in given.sizes
    ]
    first = result["passes"][0]
    result["engine_over_loop"] = round(first["cpu_seconds"] / result["loop"]["cpu_seconds"], 3)
    save(result, RESULT)


if __name__ == "__main__":
    main()
