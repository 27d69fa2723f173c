"""SIGKILL at random moments, again and again: the same answers in the end, and nothing left over.

The long form, ``-m slow``, kills 200 times in 20 campaigns, and in all other long work;
``GNOMON_KILL_CAMPAIGNS`` and ``GNOMON_KILL_EVALUATIONS`` make it shorter or longer.
"""

import multiprocessing
import os
import random
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.context import BaseContext, ForkServerContext
from pathlib import Path

import psutil
import pytest

from tests import killable

pytestmark = pytest.mark.skipif(os.name != "posix", reason="SIGKILL and fork servers")


@pytest.fixture(scope="module")
def processes() -> ForkServerContext:
    """Processes that begin with everything imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.killable_warm"])
    return context


def undisturbed(processes: BaseContext, name: str, home: Path) -> float:
    """Seconds that the work takes."""
    seconds = 0.0
    for _ in range(2):  # the first time begins the server, and fills caches
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir()
        began = time.monotonic()
        work = processes.Process(target=killable.run, args=(name, home))
        work.start()
        work.join()
        assert work.exitcode == 0
        seconds = time.monotonic() - began
    return seconds


def killed(processes: ForkServerContext, name: str, home: Path, moments: Iterator[float]) -> int:
    """Do the work, killed after each of these seconds unless it ends before; the kills."""
    home.mkdir(exist_ok=True)
    count = 0
    for moment in moments:
        work = processes.Process(target=killable.run, args=(name, home))
        work.start()
        work.join(moment)
        if work.exitcode is not None:
            assert work.exitcode == 0
            break
        work.kill()
        work.join()
        count += 1
    work = processes.Process(target=killable.run, args=(name, home))
    work.start()
    work.join()
    assert work.exitcode == 0
    return count


def hold(
    processes: ForkServerContext, name: str, home: Path, kills: int, each: int, seed: int
) -> tuple[int, int]:
    """Kill work so often in all, ``each`` times until it may end; kills and how often it ended."""
    rng = random.Random(seed)
    seconds = undisturbed(processes, name, home / "undisturbed")
    expected, done, ends = killable.answer(home / "undisturbed"), 0, 0
    while done < kills:
        place = home / f"{name}-{ends}"
        moments = (rng.uniform(0, seconds) for _ in range(min(each, kills - done)))
        done += killed(processes, name, place, moments)
        ends += 1
        assert killable.answer(place) == expected, f"{place}, seed {seed}"
        shutil.rmtree(place)
    return done, ends


def test_five_kills_change_nothing(processes: ForkServerContext, tmp_path: Path) -> None:
    done, _ = hold(processes, "campaign", tmp_path, 5, 5, 0)
    assert done == 5


def test_five_kills_leave_the_notebook_as_it_would_be(
    processes: ForkServerContext, tmp_path: Path
) -> None:
    done, _ = hold(processes, "laboratory", tmp_path, 5, 5, 1)
    assert done == 5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kills", "each"),
    [
        ("campaign", 10, 10),
        ("emt", 1, 5),
        ("generation", 1, 5),
        ("labelling", 1, 5),
        ("training", 1, 5),
        ("laboratory", 5, 5),
    ],
)
def test_many_kills_change_nothing(
    processes: ForkServerContext, tmp_path: Path, name: str, kills: int, each: int
) -> None:
    campaigns = int(os.environ.get("GNOMON_KILL_CAMPAIGNS", "20"))
    done, ends = hold(processes, name, tmp_path, kills * campaigns, each, campaigns)
    print(f"{name}: {done} kills, {ends} of {ends} ended with the same answers")


def harassed(
    processes: BaseContext, name: str, home: Path, kills: int, seconds: float
) -> tuple[int, int]:
    """Do work again and again, and kill it or one of its processes; kills of each."""
    rng, of_work, of_workers = random.Random(kills), 0, 0
    home.mkdir()
    while True:
        work = processes.Process(target=killable.run, args=(name, home))
        work.start()
        while of_work + of_workers < kills:
            work.join(rng.uniform(0, seconds / 2))
            if work.exitcode is not None:
                break
            family = psutil.Process(work.pid).children(recursive=True)
            victim = rng.choice(family) if family and rng.random() < 0.7 else None
            if victim is None:
                work.kill()
                of_work += 1
                break
            with suppress(psutil.NoSuchProcess):
                victim.kill()
                of_workers += 1
        work.join()
        if work.exitcode == 0:
            return of_work, of_workers
        assert work.exitcode == -9


@pytest.mark.slow
@pytest.mark.parametrize("name", ["wide", "learning"])
def test_kills_of_a_campaign_and_of_its_workers_change_nothing(tmp_path: Path, name: str) -> None:
    """GNOMON_KILL_WIDE kills in all, over as many campaigns as they take.

    Processes are spawned: JAX, which ranks and learns here, does not survive a fork.
    """
    processes = multiprocessing.get_context("spawn")
    kills = int(os.environ.get("GNOMON_KILL_WIDE", "30"))
    seconds = undisturbed(processes, name, tmp_path / "undisturbed")
    expected, left, ends, of_workers = killable.answer(tmp_path / "undisturbed"), kills, 0, 0
    while left > 0:
        place = tmp_path / f"{name}-{ends}"
        both = harassed(processes, name, place, left, seconds)
        left, of_workers, ends = left - sum(both), of_workers + both[1], ends + 1
        assert killable.answer(place) == expected, place
        shutil.rmtree(place)
    print(f"{name}: {kills} kills, {of_workers} of workers, {ends} of {ends} ended the same")
