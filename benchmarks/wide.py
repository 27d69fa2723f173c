"""How the pass of a campaign over all known crystals grows, and what each of its stages takes.

    python benchmarks/wide.py --data DATA --work FOLDER [--sizes 100000 1000000] [--workers 2]
    python benchmarks/wide.py --data DATA --work FOLDER [--sizes 100000 1000000] --foretell

Parents are the first of a shuffled ``materials_project/structures.parquet`` that propose about so
many candidates (435 each); all of them propose about ten million.  Each size is one pass of
`gnomon discover --all` by the engine ``processes``: CPU seconds of its two stages, the memory of
the largest worker, and the most that driver and workers took together at any moment, pages that
they share counted once (proportional set sizes, every half second).  The same functions over the
same shards in a plain loop, in a process of its own, say what the engine costs, at the smallest
size.  A pass that was stopped goes on; the seconds are those of all its tasks, so other work on
the machine does not count, and the memory is the most of all its turns.  ``--foretell`` holds
what `gnomon discover --all --dry-run` says against passes that are done.
"""

import argparse
import json
import multiprocessing
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
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
from gnomon.run.memory import give_back, taken
from gnomon.run.passes import ENGINES, Pass, Shards, run
from gnomon.run.passes.forecast import forecast
from gnomon.run.passes.work import Work, counts_of
from gnomon.run.writing import write_json
from record import RESULTS, save

RESULT, FORETOLD = RESULTS / "wide.json", RESULTS / "wide_forecast.json"
IMAGE = Path(__file__).resolve().parents[1] / "docs" / "images" / "wide-growth.svg"
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


def pass_of(
    size: int, rows: pa.Table, recipe: Recipe, ranker: Ranker, work: Path
) -> tuple[Pass, Shards, Path]:
    """The pass, its shards, and where its result goes."""
    folder = work / f"{size}"
    shards = Shards.write(folder / "parents", rows_of_parents(rows.slice(0, size // EACH), SHARD))
    step = Pass(
        "propose",
        partial(drafts, recipe=recipe),
        key="composition",
        reduce=partial(ranked, ranker=ranker),
        buckets=buckets_of(size),
    )
    return step, shards, folder / "ranked"


def by_engine(
    size: int, rows: pa.Table, recipe: Recipe, ranker: Ranker, work: Path, workers: int
) -> dict[str, Any]:
    """One pass; what was finished of it before is not done again."""
    step, shards, out = pass_of(size, rows, recipe, ranker, work)
    engine = ENGINES.get("processes")(workers=workers)
    give_back()
    with memory(out.with_name("memory.json")) as most:
        found = run(step, shards, out, engine, Listener(say=print, tick=_tick))
    proposed, cpu = found.counts[PROPOSED], found.facts["cpu_seconds"]
    return {
        "parents": size // EACH,
        "proposed": proposed,
        "kept": found.rows,
        "workers": workers,
        "cpu_seconds": cpu,
        "wall_seconds_of_all_tasks": found.facts["seconds"],
        "candidates_a_cpu_second": round(proposed / sum(cpu.values()), 1),
        "largest_worker_mb": round(found.facts["peak_bytes"] / 1e6),
        "driver_mb": round(most["driver"] / 1e6),
        "together_mb": round(most["together"] / 1e6),
        "counts": dict(found.counts),
    }


@contextmanager
def memory(told: Path) -> Iterator[dict[str, int]]:
    """The most that this process takes, and with its workers, while the block runs; bytes.

    The file holds it all along, so that a pass that is stopped tells how far it came with what.
    """
    most = json.loads(told.read_text()) if told.is_file() else {"driver": 0, "together": 0}
    over, here = threading.Event(), psutil.Process()

    def watch() -> None:
        while not over.wait(0.5):
            driver = taken([here.pid])
            workers = taken(one.pid for one in here.children(recursive=True))
            most["driver"] = max(most["driver"], driver)
            most["together"] = max(most["together"], driver + workers)
            write_json(told, most)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield most
    finally:
        over.set()
        watcher.join()


def foretold(
    size: int, rows: pa.Table, recipe: Recipe, ranker: Ranker, work: Path
) -> dict[str, Any]:
    """What a pass that is done was going to take, and what it took, in CPU seconds."""
    step, shards, out = pass_of(size, rows, recipe, ranker, work)
    said = forecast(Work(step, shards, work / "unused"), workers=1)
    took = sum(Shards.open(out).facts["cpu_seconds"].values())
    print(said)
    return {
        "parents": size // EACH,
        "records": said.sample.given,
        "foretold": round(said.seconds, 1),
        "took": round(took, 1),
        "ratio": round(said.seconds / took, 2),
    }


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
        "cpu_seconds": {"map": round(mapping, 1), "reduce": round(ranking, 1)},
        "drafts_a_cpu_second": round(proposed / mapping, 1),
        "ranked_a_cpu_second": round(len(every) / ranking, 1),
        "bytes_a_draft": round(every.nbytes / len(every), 1),
    }


def draw(passes: list[dict[str, Any]]) -> None:
    """CPU seconds over candidates, with what would be linear."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({"svg.hashsalt": "gnomon", "svg.fonttype": "none"})
    figure, axes = plt.subplots(figsize=(5, 3.5), layout="constrained")
    proposed = np.array([one["proposed"] for one in passes])
    for step, label in (("map", "propose, sort out"), ("reduce", "networks, hull, best of each")):
        axes.loglog(proposed, [one["cpu_seconds"][step] for one in passes], "o-", label=label)
    whole = np.array([sum(one["cpu_seconds"].values()) for one in passes])
    axes.loglog(proposed, whole[0] * proposed / proposed[0], "k:", label="both, if linear")
    axes.loglog(proposed, whole, "ks-", label="both")
    axes.set(xlabel="candidates proposed", ylabel="CPU seconds")
    axes.legend(loc="upper left")
    figure.savefig(IMAGE, metadata={"Date": None})


def _tick(what: str, done: int, total: int) -> None:
    print(f"{what} {done}/{total}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--foretell", action="store_true")
    given = parser.parse_args()
    rows, recipe, ranker = prepared(given.data, given.work)
    if given.foretell:
        each = [foretold(size, rows, recipe, ranker, given.work) for size in given.sizes]
        save({"passes": each}, FORETOLD)
        return
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as other:
        loop = other.submit(by_loop, given.sizes[0], rows, recipe, ranker).result()
    passes: list[dict[str, Any]] = []
    for size in given.sizes:
        passes.append(by_engine(size, rows, recipe, ranker, given.work, given.workers))
        ratio = {
            step: round(passes[0]["cpu_seconds"][step] / loop["cpu_seconds"][step], 3)
            for step in loop["cpu_seconds"]
        }
        save({"loop": loop, "engine_over_loop": ratio, "passes": passes}, RESULT)
    draw(passes)


if __name__ == "__main__":
    main()
