"""What processes take together."""

import multiprocessing
import os
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np
import pytest

from gnomon.run.memory import give_back, taken

SIZE = 1 << 26


def read(path: Path) -> np.ndarray:
    """A file's pages, each in memory."""
    held = np.memmap(path, np.uint8, "r")
    assert held.sum() == SIZE
    return held


def wait(path: Path, ready: Event, over: Event) -> None:
    held = read(path)
    ready.set()
    over.wait()
    del held


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="Linux tells it")
def test_what_processes_share_counts_once(tmp_path):
    path = tmp_path / "pages"
    path.write_bytes(bytes([1]) * SIZE)
    give_back()
    before, held = taken([os.getpid()]), read(path)
    alone = taken([os.getpid()])
    assert alone - before == pytest.approx(SIZE, rel=0.1)
    context = multiprocessing.get_context("spawn")
    ready, over = context.Event(), context.Event()
    other = context.Process(target=wait, args=(path, ready, over), daemon=True)
    other.start()
    assert ready.wait(60)
    both, first, second = (
        taken(p) for p in ([os.getpid(), other.pid, -1], [os.getpid()], [other.pid])
    )
    over.set()
    other.join()
    assert first < alone - SIZE / 3
    assert both == pytest.approx(first + second, rel=0.02)
    assert held.sum() == SIZE
