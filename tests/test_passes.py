"""Passes over shards: laws that every engine keeps, and what becomes of workers that do not."""

import itertools
import json
import math
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import psutil
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnomon.run.listener import SILENT, Listener
from gnomon.run.passes import ENGINES, Pass, PassError, Shards, careful, counted, run
from gnomon.run.passes.careful import MOST_LOST, carefully
from gnomon.run.passes.forecast import DryRunError, Foretold, forecast
from gnomon.run.passes.work import Task, Work
from gnomon.run.writing import StoreError
from tests.pass_functions import (
    ALONE,
    GROUPED,
    ROWS,
    best,
    busily,
    poison,
    propose,
    slowly,
    table,
)

WORDS = st.text("aábß-", max_size=2)
TABLES = st.lists(
    st.fixed_dictionaries(
        {"key": st.none() | WORDS, "n": st.integers(0, 9), "words": st.lists(WORDS, max_size=2)}
    ),
    max_size=30,
).map(table)


class Here:
    """An engine without processes, for many small examples."""

    def run(self, work: Work, listener: Listener = SILENT) -> None:
        self.work = work
        for step in work.steps:
            assert len(list(carefully(work, self, work.waiting(step)))) == len(work.tasks(step))

    def arriving(self, tasks: list[Task]) -> Iterator[tuple[int, object]]:
        for i, task in reversed(list(enumerate(tasks))):  # any order will do
            yield i, self.work.do(task)


def here(of: Pass, shards: Shards, out: Path) -> Shards:
    """Without waiting for the disk."""
    with mock.patch("os.fsync"):
        return run(of, shards, out, Here())


def parts(rows: pa.Table, count: int) -> list[pa.Table]:
    ends = [len(rows) * i // count for i in range(count + 1)]
    return [rows.slice(a, b - a) for a, b in itertools.pairwise(ends)]


def shards_of(folder: Path, count: int = 6, rows: int = 60) -> Shards:
    made = [{"key": f"{i * 7 % 11}x", "n": i % 20, "words": [str(i)]} for i in range(rows)]
    return Shards.write(folder, parts(table(made), count))


def everything(shards: Shards) -> list[str]:
    """The rows, sorted, as bytes would be."""
    return sorted(json.dumps(row) for row in shards.table().to_pylist())


def files(shards: Shards) -> dict[str, bytes]:
    return {part.name: (shards.folder / part.name).read_bytes() for part in shards.parts}


@settings(max_examples=25, deadline=None)
@given(TABLES, st.integers(1, 7), st.integers(1, 9))
def test_the_answer_does_not_depend_on_shards_and_buckets(rows, count, buckets):
    """What a plain call of both functions on all rows at once says."""
    with TemporaryDirectory() as place:
        shards = Shards.write(Path(place) / "in", parts(rows, count))
        found = here(replace(GROUPED, buckets=buckets), shards, Path(place) / "out")
        mapped = propose(rows)
        plain = best(mapped.sort_by([("key", "ascending"), ("n", "ascending")]))
        assert everything(found) == sorted(json.dumps(row) for row in plain.to_pylist())
        odd = sum(row["n"] % 2 for row in rows.to_pylist())
        counts = {"odd": odd, "not the first": len(mapped) - len(plain)}
        assert found.counts == counts
        alone = here(ALONE, shards, Path(place) / "alone")
        assert alone.table().equals(mapped.replace_schema_metadata(None))
        assert len(found) == buckets
        assert len(alone) == count


@settings(max_examples=15, deadline=None)
@given(TABLES, st.integers(1, 4), st.sampled_from(["map", "reduce"]))
def test_records_on_which_a_function_fails_are_rows(rows, count, step):
    """None but these are lost: all, if there are few; else the function is told to be broken."""
    with TemporaryDirectory() as place:
        shards = Shards.write(Path(place) / "in", parts(rows, count))
        bad = rows.set_column(
            1, "n", pa.array([13 if n == 5 else n for n in rows["n"].to_pylist()])
        )
        shards = Shards.write(Path(place) / "bad", parts(bad, count))
        found = here(poison("raise", step=step), shards, Path(place) / "out")
        keys = {row["key"] for row in bad.to_pylist() if row["n"] == 13}
        lost = [
            r for r in bad.to_pylist() if (r["key"] in keys if step == "reduce" else r["n"] == 13)
        ]
        assert len(found.lost) == len(lost if step == "map" else keys)
        told = [row for row in found.table().to_pylist() if "thirteen" in "".join(row["words"])]
        assert len(told) == len(lost)
        assert found.rows == len(bad)
        kept = [json.dumps(row) for row in bad.to_pylist() if row not in lost]
        assert sorted(kept) == sorted(
            json.dumps(row) for row in found.table().to_pylist() if row not in told
        )


@pytest.mark.parametrize("of", [GROUPED, ALONE])
def test_workers_change_nothing(tmp_path, of):
    shards = shards_of(tmp_path / "in")
    expected = here(of, shards, tmp_path / "here")
    for workers in (1, 2):
        engine = ENGINES.get("processes")(workers=workers)
        found = run(of, shards, tmp_path / f"{workers}", engine)
        assert files(found) == files(expected)
        assert found.counts == expected.counts
        assert found.facts["peak_bytes"] > 1e7
        assert {path.name for path in found.folder.iterdir()} == {
            *files(found),
            "shards.json",
            "pass.json",
        }


def test_a_finished_pass_is_not_done_again_and_another_is_refused(tmp_path):
    shards = shards_of(tmp_path / "in")
    out = here(GROUPED, shards, tmp_path / "out").folder
    done = run(GROUPED, shards, out, Here())  # no engine is asked
    assert files(done)
    with pytest.raises(StoreError, match="holds another pass"):
        run(ALONE, shards, out, Here())
    with pytest.raises(StoreError, match="holds another pass"):
        run(GROUPED, shards_of(tmp_path / "others", rows=59), out, Here())
    with (out / "part-00000.parquet").open("ab") as file:
        file.write(b"more")
    with pytest.raises(StoreError, match="not as it was written"):
        run(GROUPED, shards, out, Here()).table()


@pytest.mark.parametrize(
    ("how", "step"),
    [
        ("die", "map"),
        pytest.param("hang", "map", marks=pytest.mark.slow),
        pytest.param("die", "reduce", marks=pytest.mark.slow),
        pytest.param("hang", "reduce", marks=pytest.mark.slow),
    ],
)
def test_a_record_that_kills_or_hangs_its_worker_is_a_row(tmp_path, monkeypatch, how, step):
    monkeypatch.setattr(careful, "TRIES", 2 if how == "die" else 1)
    rows = [{"key": str(n), "n": n, "words": []} for n in range(10, 16)]
    shards = Shards.write(tmp_path / "in", parts(table(rows), 2))
    limit = 3.0 if how == "hang" else math.inf
    found = run(
        poison(how, step=step), shards, tmp_path / "out", ENGINES.get("processes")(2, limit)
    )
    [lost] = found.lost
    assert ("exit code 3" if how == "die" else "stopped after 3 s") in lost["reason"]
    assert lost.get("row", lost.get("key")) in (0, "13")
    told = {row["n"]: "".join(row["words"]) for row in found.table().to_pylist()}
    assert {n for n, text in told.items() if text} == {13}
    assert set(told) == set(range(10, 16))


@pytest.mark.parametrize("how", ["die", pytest.param("hang", marks=pytest.mark.slow)])
def test_a_worker_that_dies_once_costs_only_its_shard(tmp_path, how):
    rows = [{"key": str(n), "n": n, "words": []} for n in range(10, 16)]
    shards = Shards.write(tmp_path / "in", parts(table(rows), 2))
    of = poison(how, tmp_path / "once")
    found = run(of, shards, tmp_path / "out", ENGINES.get("processes")(2, 5.0))
    assert found.lost == ()
    assert found.table().equals(table(rows))


def broken(rows: pa.Table) -> pa.Table:
    if len(rows):
        raise KeyError("lattice")
    return rows


def test_a_function_that_fails_on_everything_ends_the_pass(tmp_path):
    shards = shards_of(tmp_path / "in", count=1)
    with pytest.raises(PassError, match=rf"fails on {MOST_LOST + 1} .*KeyError: 'lattice' \(test_"):
        here(Pass("broken", broken), shards, tmp_path / "out")
    with pytest.raises(PassError, match="gave list, not a table"):
        here(Pass("list", pa.Table.to_pylist), shards, tmp_path / "list")
    with pytest.raises(ValueError, match="go together"):
        Pass("half", propose, key="key")


def test_counts_do_not_travel_with_the_rows(tmp_path):
    rows = counted(table([]), {"a": 1})
    assert rows.equals(table([]))
    assert Shards.write(tmp_path, [rows]).read(0).schema.equals(ROWS)


DRIVER = """
import sys
from pathlib import Path
from contextlib import suppress
from dataclasses import replace
from gnomon.run.passes import careful, ENGINES, Shards, run
from tests.pass_functions import GROUPED, slowly
if __name__ == "__main__":
    home = Path(sys.argv[1])
    of = replace(GROUPED, map=slowly)
    run(of, Shards.open(home / "in"), home / "out", ENGINES.get("processes")(2))
"""


def killed(home: Path, moments: list[int], of_workers: bool) -> int:
    """Run the driver, kill it or one of its workers after so many tasks, and again; the kills."""
    kills = 0
    for tasks in [*moments, None]:
        driver = subprocess.Popen([sys.executable, "-c", DRIVER, str(home)], cwd=Path.cwd())
        while tasks is not None and driver.poll() is None:
            if len(list(home.glob("out/*-*.json"))) < tasks:
                time.sleep(0.01)
                continue
            found = [psutil.Process(driver.pid)]
            if of_workers:
                found = found[0].children(recursive=True)[-1:]
            for process in found:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
                    kills += 1
            break
        code = driver.wait()
        assert code == 0 or (tasks is not None and not of_workers)
    return kills


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
@pytest.mark.parametrize(
    ("of_workers", "moments"),
    [
        (False, [3]),
        (True, [5]),
        pytest.param(False, list(range(1, 16)), marks=pytest.mark.slow),
        pytest.param(True, [1, 2, 3, 5, 7, 9, 11, 12, 13, 14], marks=pytest.mark.slow),
    ],
)
def test_kills_change_nothing(tmp_path, of_workers, moments):
    shards = shards_of(tmp_path / "in", count=12)
    expected = here(replace(GROUPED, map=slowly), shards, tmp_path / "expected")
    assert killed(tmp_path, moments, of_workers)
    found = Shards.open(tmp_path / "out")
    assert files(found) == files(expected)
    assert found.counts == expected.counts
    assert found.lost == ()


def test_a_forecast_of_even_records_is_what_comes(tmp_path):
    """As many rows as there are going to be, and nothing is written."""
    step = replace(GROUPED, map=busily, sample=10)
    work = Work(step, shards_of(tmp_path / "in"), tmp_path / "out")
    found = forecast(work, workers=2)
    assert not work.out.exists()
    assert found.given == 60
    assert 10 <= found.sample.given <= 12
    assert found.scale * found.sample.mapped == pytest.approx(
        sum(2 * (row["n"] % 2 == 0) for row in work.shards.table().to_pylist()), rel=0.5
    )
    assert found.sample.map >= 0.05
    assert found.seconds >= found.sample.begin + found.scale * found.sample.map / 2
    assert re.match(r"grouped: 60 records give about [\d,]+ rows, in ", str(found))


def test_a_dry_run_says_what_would_be_done(tmp_path):
    said = []
    shards = shards_of(tmp_path / "in")
    with pytest.raises(DryRunError, match="about"):
        run(ALONE, shards, tmp_path / "out", Foretold(None, 2), Listener(said.append, print))
    assert len(said) == 1
    found = run(ALONE, shards, tmp_path / "out", Foretold(Here(), 2))
    assert files(found) == files(here(ALONE, shards, tmp_path / "here"))
