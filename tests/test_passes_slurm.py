"""Passes as job arrays: a stand-in for SLURM starts real processes, and kills some."""

import json
import os
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gnomon.run.listener import Listener
from gnomon.run.passes import ENGINES, PassError, run
from gnomon.run.passes.join import PICKLE, join, passes_of, publish, published
from gnomon.run.passes.work import Work
from gnomon.run.writing import StoreError
from tests import fake_slurm
from tests.pass_functions import ALONE, GROUPED, slowly
from tests.test_passes import broken, files, here, shards_of

JOINED = ENGINES.get("joined")()

pytestmark = pytest.mark.skipif(os.name != "posix", reason="SLURM")


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """The programs on the PATH; what is returned sets what becomes of the first array's jobs."""
    home = tmp_path / "slurm"
    programs = fake_slurm.install(home / "bin")
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_SLURM", str(home))
    monkeypatch.setenv("GNOMON_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", f"{os.environ.get('PYTHONPATH', '')}:{Path.cwd()}")
    monkeypatch.setattr("gnomon.run.passes.slurm.POLL", 0.2)
    monkeypatch.setattr("gnomon.run.passes.slurm.ASK", 1.0)

    def faults(**which):
        (home / "faults.json").write_text(json.dumps(which))

    faults()
    return faults


@pytest.mark.parametrize(
    ("of", "faults", "options"),
    [
        (GROUPED, {}, ()),
        (replace(GROUPED, map=slowly), {"kill": [1, 1.5], "limit": [0, 2.0]}, ()),
        pytest.param(ALONE, {}, ("--ntasks-per-node=2",), marks=pytest.mark.slow),
    ],
)
def test_an_array_gives_the_same_bytes(tmp_path, cluster, of, faults, options):
    pytest.importorskip("submitit", reason="the extra `slurm` is not installed")
    shards = shards_of(tmp_path / "in")
    expected = here(of, shards, tmp_path / "here")
    cluster(**faults)
    said = []
    engine = ENGINES.get("slurm")(2, options=("--time=30", *options), patience=3.0)
    found = run(of, shards, tmp_path / "out", engine, Listener(said.append, lambda *_: None))
    assert files(found) == files(expected)
    assert found.counts == expected.counts
    assert found.lost == ()
    assert "jobs of SLURM (100)" in said[0]
    assert {p.name for p in found.folder.iterdir()} == {*files(found), "shards.json", "pass.json"}


def test_an_array_whose_jobs_all_die_is_submitted_again(tmp_path, cluster):
    pytest.importorskip("submitit", reason="the extra `slurm` is not installed")
    shards = shards_of(tmp_path / "in", count=2)
    cluster(kill=["None", 0.3])  # one job, before it has begun
    found = run(ALONE, shards, tmp_path / "out", ENGINES.get("slurm")(1))
    assert files(found) == files(here(ALONE, shards, tmp_path / "here"))


def test_a_function_that_fails_on_everything_ends_the_pass(tmp_path, cluster):
    pytest.importorskip("submitit", reason="the extra `slurm` is not installed")
    shards = shards_of(tmp_path / "in", count=1)
    with pytest.raises(PassError, match="KeyError: 'lattice'"):
        run(replace(ALONE, map=broken), shards, tmp_path / "out", ENGINES.get("slurm")(1))


def test_workers_take_what_others_left(tmp_path, monkeypatch):
    """A claim of a worker that died grows old; one that is young is left alone."""
    monkeypatch.setenv("GNOMON_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("gnomon.run.passes.join.EVERY", 0.05)
    shards = shards_of(tmp_path / "in")
    work = Work(GROUPED, shards, tmp_path / "out")
    work.begin()
    (work.out / "map-00002.claim").touch()
    (work.out / "map-00003.claim").touch()
    os.utime(work.out / "map-00003.claim", (0, 0))
    worker = threading.Thread(target=join, args=(work,), kwargs={"limit": 30.0})
    worker.start()
    deadline = time.monotonic() + 60
    while len(work.waiting("map")) > 1 and time.monotonic() < deadline:
        time.sleep(0.05)
    [left] = work.waiting("map")
    assert left.number == 2
    os.utime(work.out / "map-00002.claim", (0, 0))
    worker.join()
    assert files(work.end()) == files(here(GROUPED, shards, tmp_path / "here"))


def test_a_worker_that_fails_leaves_no_claim_that_others_wait_for(tmp_path, monkeypatch):
    monkeypatch.setenv("GNOMON_CACHE", str(tmp_path / "cache"))
    work = Work(replace(ALONE, map=broken), shards_of(tmp_path / "in", count=1), tmp_path / "out")
    work.begin()
    for _ in range(2):  # the second one asks at once
        with pytest.raises(PassError, match="KeyError: 'lattice'"):
            join(work)
    assert not list(work.out.glob("*.claim"))


def test_only_ones_own_passes_are_joined(tmp_path, monkeypatch):
    monkeypatch.setenv("GNOMON_CACHE", str(tmp_path / "cache"))
    work = Work(GROUPED, shards_of(tmp_path / "in"), tmp_path / "out")
    work.begin()
    publish(work)
    assert published(tmp_path) == work
    data = bytearray((work.out / PICKLE).read_bytes())
    data[-2] ^= 1
    (work.out / PICKLE).write_bytes(data)
    with pytest.raises(StoreError, match="not written by you"):
        published(tmp_path)
    monkeypatch.setenv("GNOMON_CACHE", str(tmp_path / "of another"))
    publish(work)
    monkeypatch.setenv("GNOMON_CACHE", str(tmp_path / "cache"))
    with pytest.raises(StoreError, match="not written by you"):
        published(tmp_path)
    (work.out / PICKLE).unlink()
    assert published(tmp_path) is None
    with pytest.raises(StoreError, match="no pass in work"):
        list(passes_of(tmp_path))


@pytest.mark.slow
def test_a_script_of_ones_own_has_several_tasks_a_job_and_is_queued_again(tmp_path, cluster):
    """What is printed, submitted as it stands: the time limit costs time, and nothing else."""
    cluster(limit=[0, 1.5])
    of = replace(GROUPED, map=slowly)
    shards = shards_of(tmp_path / "in")
    options = ("--ntasks-per-node=2", "--cpus-per-task=1")
    said: list[str] = []

    def submit(line: str) -> None:
        said.append(line)
        path = re.search(r"sbatch (\S+),", line)
        assert path is not None
        subprocess.run(["sbatch", path[1]], check=True)

    engine = ENGINES.get("joined")(2, options=options)
    found = run(of, shards, tmp_path / "out", engine, Listener(submit, lambda *_: None))
    assert files(found) == files(here(of, shards, tmp_path / "here"))
    assert len(said) == 1
    job = tmp_path / "slurm" / "job-100"
    assert [path.name for path in job.glob("*.queued")] == ["0.queued"]
    assert len(list(job.glob("*.state"))) == 1  # two tasks are one job


def test_a_worker_may_stay_for_passes_that_come_later(tmp_path, monkeypatch):
    monkeypatch.setenv("GNOMON_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("gnomon.run.passes.join.EVERY", 0.05)
    names = []
    worker = threading.Thread(target=lambda: names.extend(w.of.name for w in stayed(tmp_path)))
    worker.start()
    for name in ("first", "second"):
        run(replace(ALONE, name=name), shards_of(tmp_path / f"in-{name}"), tmp_path / name, JOINED)
        time.sleep(0.2)
    worker.join()
    assert names == ["first", "second"]


def stayed(folder: Path) -> Iterator[Work]:
    """Passes of a folder that a worker joined."""
    for work in passes_of(folder, 3.0):
        join(work)
        yield work
