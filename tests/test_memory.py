"""What processes take together."""

import multiprocessing
import os
import platform
import subprocess
import sys
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


FREED = """
import resource, sys
if sys.argv[1] == "keep":
    import gnomon.learn
size, letter = SIZE, b"x"
letter * size
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    letter * size
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the library that returns it")
def test_memory_that_was_freed_is_not_cleared_anew():
    """Working memory of compiled programs comes and goes at each step."""
    pages = SIZE // os.sysconf("SC_PAGE_SIZE")
    faults = {}
    for which in ("return", "keep"):
        command = [sys.executable, "-c", FREED.replace("SIZE", str(SIZE)), which]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        faults[which] = int(done.stdout)
    assert faults["return"] > 9 * pages > 100 * faults["keep"]
