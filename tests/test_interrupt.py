"""Ctrl-C at any moment: the process and its workers end at once and say how to go on."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from ase.build import bulk

from gnomon.crystals import Crystals
from gnomon.io import as_crystals, write
from tests.conftest import EMT

SECONDS = 3.0
"""From the signal to the end, at most."""

GOES_ON = "error: stopped\nhint: the same command goes on where it stopped\n"
ANEW = "error: stopped\nhint: the same command begins anew\n"
EARLY = "error: stopped\nhint: nothing has begun: the same command begins anew\n"


@contextmanager
def command(folder: Path, *words: str):
    """A gnomon of its own, which hears signals already; no program was compiled before."""
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(folder / "jax")}
    with subprocess.Popen(
        [sys.executable, "-m", "gnomon", *words],
        cwd=folder, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            wait_for(lambda: hears(process, signal.SIGTERM), process)
            yield process
        finally:
            process.kill()


def hears(process: subprocess.Popen[str], number: int) -> bool:
    """Whether a process has a handler for a signal."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    [caught] = [line.split()[1] for line in status.splitlines() if line.startswith("SigCgt")]
    return bool(int(caught, 16) >> (number - 1) & 1)


def wait_for(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def stop(process: subprocess.Popen[str], number: int = signal.SIGINT) -> str:
    """Send the signal; what the process says after it."""
    workers = children(process.pid)
    began = time.monotonic()
    process.send_signal(number)
    err = process.stderr.read()
    process.wait()
    assert time.monotonic() - began < SECONDS
    assert process.returncode == 128 + number, err
    deadline = began + SECONDS
    while any(map(runs, workers)):
        assert time.monotonic() < deadline, "a worker outlives the process"
        time.sleep(0.01)
    return err


def children(pid: int) -> list[int]:
    return [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A few labelled metals to train on."""
    batch = Crystals.concatenate(
        [
            as_crystals([bulk(symbol, structure, a=a)])
            for symbol in ("Cu", "Ag", "Au", "Pd", "Pt", "Ni", "Al")
            for structure in ("fcc", "bcc")
            for a in (2.8, 3.0)
        ]
    )
    energies = np.linspace(-0.1, 0.1, len(batch))
    path = tmp_path / "data.parquet"
    rows = pa.table({"id": batch.ids.tolist(), "formation_energy_per_atom": energies})
    write(path, batch, rows=rows)
    return path


def test_while_it_loads(tmp_path):
    with command(tmp_path, "discover", "Au-Cu") as process:
        assert stop(process) in (EARLY, GOES_ON)
    assert not (tmp_path / "campaign-Au-Cu").exists()


@pytest.mark.parametrize(
    "words",
    [
        pytest.param("discover Au-Cu", marks=pytest.mark.slow),
        "model train structural data.parquet",
    ],
)
def test_while_xla_compiles(tmp_path, data, words):
    """What Python's own handler raises there has ended in a segmentation fault."""
    with command(tmp_path, *words.split()) as process:
        line = ""
        while "compiling" not in line:
            line = process.stderr.readline()
            assert line, "it ended before it compiled"
        assert stop(process) == GOES_ON


def test_while_workers_relax(tmp_path, data):
    arguments = ["--evaluator", EMT, "--workers", "2", "--fmax", "1e-9", "--max-steps", "100000"]
    with command(tmp_path, "evaluate", str(data), *arguments, "--out", "o.parquet") as process:
        wait_for(lambda: len(children(process.pid)) >= 2, process)
        assert stop(process) == ANEW
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.parquet"]


def test_while_a_server_does_not_answer(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        words = ("databases", "Au-Cu", "--from", url, "--fetch-only")
        with command(tmp_path, *words) as process, server.accept()[0]:
            assert stop(process, signal.SIGTERM) == GOES_ON


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "words",
    [
        "discover Au-Cu",
        "model train structural data.parquet",
        "model train composition data.parquet",
        "md cu.cif --supercell 3 --steps 100000 --out md.extxyz",
        "evaluate data.parquet --out e.parquet",
        "label data.parquet --weights gnomon-1 --out frames",
        "predict structural-2 data.parquet --out p.parquet",
        "generate random SiO2 TiO2 Al2O3 --count 100000 --out r.parquet",
        "search TiO2 --count 1000 --out s.parquet",
    ],
)
def test_at_any_moment(tmp_path, data, words, seed):
    write(tmp_path / "cu.cif", as_crystals([bulk("Cu", cubic=True)]))
    with command(tmp_path, *words.split()) as process:
        time.sleep(random.Random(f"{words} {seed}").uniform(0, 15))
        if process.poll() is None:
            said = stop(process)
            assert said.endswith((GOES_ON, ANEW, EARLY))
            assert "\n\n" not in said
            assert "Traceback" not in said
