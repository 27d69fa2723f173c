"""What processes take together."""

import multiprocessing
import os
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np
import pytest

from gnomon.run.memory import give_back, taken

SIZE = 1 << 26


def wait(held: np.ndarray, ready: Event, over: Event) -> None:
    assert held.sum() > 0
    ready.set()
    over.wait()


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="Linux tells it")
def test_what_processes_share_counts_once():
    give_back()
    before, held = taken([os.getpid()]), np.ones(SIZE, np.uint8)
    alone = taken([os.getpid()])
    assert alone - before == pytest.approx(SIZE, rel=0.1)
    context = multiprocessing.get_context("fork")
    ready, over = context.Event(), context.Event()
    other = context.Process(target=wait, args=(held, ready, over), daemon=True)
    other.start()
    ready.wait()
    together, first = taken([os.getpid(), other.pid, -1]), taken([os.getpid()])
    over.set()
    other.join()
    assert first < alone - SIZE / 3
    assert together < alone + SIZE / 2
