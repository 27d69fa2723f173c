"""Passes as job arrays: a stand-in for SLURM starts real processes, and kills some."""

import json
import os
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from gnomon.run.listener import Listener
from gnomon.run.passes import ENGINES, PassError, run
from gnomon.run.passes.join import PICKLE, join, publish, published
from gnomon.run.passes.work import Work
from gnomon.run.writing import StoreError
from tests import fake_slurm
from tests.pass_functions import ALONE, GROUPED, slowly
from tests.test_passes import broken, files, here, shards_of

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
    with pytest.raises(StoreError, match="no pass in work"):
        published(tmp_path)
