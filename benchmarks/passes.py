"""Passes over shards: memory and time as rows grow, and engines beside each other.

    python benchmarks/passes.py growth
    python benchmarks/passes.py engines --engines processes direct   (where Beam is installed)

Growth: 10^5, 10^6 and 10^7 made-up rows of about 200 bytes (a key among as many as a tenth of the
rows, a score, an array of 20 numbers) come out of `map`, 50,000 from a shard; `reduce` keeps the
best row of each key.  Two workers.  The peak of the resident memory is that of the driver, and of
the worker that took most.

Engines: shards whose `map` takes 10 s, in 2 workers of each engine; wall seconds of the pass,
engines in turn, so that both see the same machine.  The 10 s are slept: what is compared is what an
engine adds, and on a machine that others use, too, computing takes whatever they leave.
"""

import argparse
import multiprocessing
import os
import resource
import tempfile
import time
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from gnomon.run.passes import ENGINES, Pass, Shards, run
from record import RESULTS, save

A_SHARD = 50_000
MARKS = (100_000, 1_000_000, 10_000_000)


def many(seeds: pa.Table, rows: int, keys: int) -> pa.Table:
    """Made-up candidates of each seed."""
    tables = []
    for seed in seeds["seed"].to_pylist():
        rng = np.random.default_rng(seed)
        numbers = pa.array(rng.random(20 * rows))
        columns = {
            "key": pa.array([f"composition {i}" for i in rng.integers(0, keys, rows)]),
            "score": pa.array(rng.random(rows)),
            "numbers": pa.FixedSizeListArray.from_arrays(numbers, 20),
        }
        tables.append(pa.table(columns))
    return pa.concat_tables(tables) if tables else many(pa.table({"seed": [0]}), 0, 1)


def best(rows: pa.Table) -> pa.Table:
    """The first row of each key."""
    if not len(rows):
        return rows
    codes = rows["key"].combine_chunks().dictionary_encode().indices.to_numpy()
    return rows.take(np.flatnonzero(np.diff(codes, prepend=-1)))


def one_growth(total: int, home: Path, answer: Connection) -> None:
    """What the process of one size does."""
    shards = total // A_SHARD
    given = Shards.write(home / "in", (pa.table({"seed": [i]}) for i in range(shards)))
    function = partial(many, rows=A_SHARD, keys=total // 10)
    of = Pass("growth", function, "key", best, ("score",), buckets=max(total // 100_000, 1))
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = run(of, given, home / "out", ENGINES.get("processes")(2))
    seconds = time.monotonic() - began
    answer.send(
        {
            "rows": total,
            "kept": found.rows,
            "seconds": round(seconds, 1),
            "task_seconds": found.facts["seconds"],
            "driver_before_mib": round(before / 1024, 1),
            "driver_peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
            "worker_peak_mib": round(found.facts["peak_bytes"] / 2**20, 1),
        }
    )


def growth(most: int) -> list[dict[str, Any]]:
    points = []
    for total in [mark for mark in MARKS if mark <= most]:
        with tempfile.TemporaryDirectory() as home:
            ours, theirs = multiprocessing.Pipe()
            context = multiprocessing.get_context("spawn")
            process = context.Process(target=one_growth, args=(total, Path(home), theirs))
            process.start()
            points.append(ours.recv())
            process.join()
            print(points[-1], flush=True)
    return points


def long(rows: pa.Table, seconds: float) -> pa.Table:
    """As they are, after so many seconds."""
    if len(rows):
        time.sleep(seconds)
    return rows


def engines(names: list[str], shards: int, seconds: float, times: int) -> list[dict[str, Any]]:
    found = []
    for _ in range(times):
        for name in names:
            with tempfile.TemporaryDirectory() as place:
                home = Path(place)
                tables = [pa.table({"key": [str(i)], "n": [i]}) for i in range(shards)]
                given = Shards.write(home / "in", tables)
                of = Pass("long", partial(long, seconds=seconds), "key", best, buckets=2)
                began = time.monotonic()
                run(of, given, home / "out", ENGINES.get(name)(2))
                found.append({"engine": name, "seconds": round(time.monotonic() - began, 2)})
                print(found[-1], flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["growth", "engines"])
    parser.add_argument("--most", type=int, default=MARKS[-1])
    parser.add_argument("--engines", nargs="+", default=["processes", "direct"])
    parser.add_argument("--shards", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--times", type=int, default=3)
    given = parser.parse_args()
    if given.what == "growth":
        result: dict[str, Any] = {"workers": 2, "points": growth(given.most)}
    else:
        runs = engines(given.engines, given.shards, given.seconds, given.times)
        result = {"workers": 2, "shards": given.shards, "seconds_a_shard": given.seconds}
        result["runs"] = runs
        medians = {
            name: float(np.median([r["seconds"] for r in runs if r["engine"] == name]))
            for name in given.engines
        }
        result["ratio"] = {
            name: round(medians[name] / medians[given.engines[0]], 3) for name in given.engines
        }
    save(result, RESULTS / f"passes_{given.what}.json")


if __name__ == "__main__":
    import passes  # Beam's workers know functions of modules only

    folders = (str(Path(__file__).parent), os.environ.get("PYTHONPATH", ""))
    os.environ["PYTHONPATH"] = os.pathsep.join(folders)
    passes.main()
