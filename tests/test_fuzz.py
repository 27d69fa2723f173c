"""Damaged files: whatever comes in, crystals that are crystals and named rejects come out."""

import gzip
import io as bytes_io
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
import types
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gnomon import io
from tests.damaged_files import NAMES, SYMMETRIC_CIF, damaged, seeds_in

TIME_LIMIT = 20.0
"""Seconds of processor time an input may take, so that a busy machine does not count: the slowest
that the size checks let through takes about 5."""

MEMORY_LIMIT = 1_500_000
"""kB by which the peak memory may grow over all inputs, the imports of the parsers included."""


class HangError(BaseException):
    """Beyond the time limit; no Exception, so that the readers cannot turn it into a reject."""


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[bytes]]:
    """Valid files of every format."""
    return seeds_in(tmp_path_factory.mktemp("seeds"))


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    def stop(signum: int, frame: types.FrameType | None) -> None:
        raise HangError

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def check_law(result: io.ReadResult) -> None:
    """Every record is a valid, finite crystal or a named reject."""
    crystals, rejects = result.crystals, result.rejects
    assert len(crystals) == len(result.rows)
    assert result.rows.schema == io.ROWS
    assert rejects.schema == io.REJECTS
    assert result.rows["id"].to_pylist() == crystals.ids.tolist()
    assert len(crystals) + len(rejects) > 0
    assert np.isfinite(crystals.lattice).all()
    assert np.isfinite(crystals.frac_coords).all()
    assert np.isfinite(crystals.volumes).all()
    assert (crystals.volumes > 0).all()
    assert set(rejects["reason"].to_pylist()) <= set(io.Reason)
    details = rejects["detail"].to_pylist()
    assert all(details)
    # the parsers' failures are data, but a failed check of shapes is a bug of ours
    assert not [d for d in details if "Type-check" in d or "jaxtyping" in d or "beartype" in d]
    for energy in ("formation_energy_per_atom", "energy_per_atom", "e_above_hull"):
        assert np.isfinite(result.rows[energy].drop_null().to_numpy()).all()


def run(
    seeds: dict[str, list[bytes]],
    folder: Path,
    n_inputs: int,
    seed: int,
    formats: Sequence[str] = tuple(sorted(NAMES)),
    first: int = 0,
) -> dict[str, float]:
    """The law over damaged files; which one broke it is in the assertion's message."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    accepted = rejected = 0
    slowest = 0.0
    for i in range(first, first + n_inputs):
        rng = random.Random(f"{seed}/{i}")
        format = rng.choice(formats)
        file = folder / NAMES[format]
        file.write_bytes(damaged(format, seeds[format], rng))
        start = time.process_time()
        try:
            with time_limit(TIME_LIMIT):
                result = io.read(folder)
            check_law(result)
        except BaseException as error:
            raise AssertionError(f"input {seed}/{i} ({format}): {error!r}") from error
        slowest = max(slowest, time.process_time() - start)
        accepted += len(result.crystals)
        rejected += len(result.rejects)
        file.unlink()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak
    assert grown < MEMORY_LIMIT, f"peak memory grew by {grown} kB"
    return {"accepted": accepted, "rejected": rejected, "slowest": slowest, "grown": grown}


def test_undamaged_seeds_are_read_whole(seeds: dict[str, list[bytes]], tmp_path: Path) -> None:
    for format, files in seeds.items():
        for data in files:
            file = tmp_path / NAMES[format]
            file.write_bytes(data)
            result = io.read(file, strict=True)
            assert len(result.crystals) >= 1
            assert len(result.rejects) == 0


def test_damaged_files_give_crystals_or_named_rejects(
    seeds: dict[str, list[bytes]], tmp_path: Path
) -> None:
    counts = run(seeds, tmp_path, n_inputs=400, seed=0)
    # damage must bite, and must leave something to read: else this tests nothing
    assert counts["accepted"] > 50
    assert counts["rejected"] > 50


AT_ONCE = 5_000
"""Damaged files that one process of the long form reads."""


@pytest.mark.slow
@pytest.mark.parametrize("format", sorted(NAMES))
def test_a_hundred_thousand_damaged_files(tmp_path: Path, format: str) -> None:
    """``GNOMON_FUZZ`` asks for another number of them.

    In processes of their own, without checks of shapes: faster, and what ends a process is seen.
    """
    n_inputs = int(os.environ.get("GNOMON_FUZZ", "100000"))
    totals: Counter[str] = Counter()
    worst: dict[str, float] = {}
    for first in range(0, n_inputs, AT_ONCE):
        folder = tmp_path / str(first)
        folder.mkdir()
        count = min(AT_ONCE, n_inputs - first)
        command = [sys.executable, "-m", "tests.test_fuzz", format, str(first), str(count)]
        ended = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=False)
        assert ended.returncode == 0, f"{format} {first}: {ended.stderr[-3000:]}"
        found = json.loads(ended.stdout)
        totals += Counter({name: found[name] for name in ("accepted", "rejected")})
        worst = {name: max(found[name], worst.get(name, 0)) for name in ("slowest", "grown")}
    print(format, n_inputs, dict(totals), worst)
    assert min(totals.values()) > n_inputs // 50


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("x.extxyz", b"1000000000000\n\nNa 0 0 0\n"),
        ("x.extxyz", b'1\nLattice="5 0 0 0 5 0 0 0 5" Properties=species:S:1000000000:pos:R:3\nH'),
        ("POSCAR", b"x\n1\n5 0 0\n0 5 0\n0 0 5\nNa\n1000000000\nDirect\n0 0 0\n"),
        ("x.json", b"[" * 1_000_000),
        ("x.cif", SYMMETRIC_CIF.encode() + b"Na Na 0.1 0.2 0.3 1\n" * 100_000),
        ("x.cif", b"data_x\n_cell_length_a 5\n" + b"'x" * 500_000),
        ("x.cif", b"data_x\n" + b" \n" * 2_000_000 + b"_cell_length_a 5\n"),
        ("x.extxyz", b"1999\nLattice=x\n" * 100_000),
        ("x.cif.gz", gzip.compress(b"data_x\n" + b"#" * 50_000_000)),
        ("x.extxyz.gz", gzip.compress(b"0\n\n" * 10_000_000)),
    ],
    ids=lambda value: value if isinstance(value, str) else "bomb",
)
def test_bombs_are_rejects_and_take_no_time(name: str, data: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    with time_limit(TIME_LIMIT):
        result = io.read(tmp_path / name, max_bytes=10_000_000)
    check_law(result)
    assert len(result.crystals) == 0


def table(n: int, atoms: int = 1, name: str = "a", column: str = "id", **options: object) -> bytes:
    """Parquet of n equal crystals, which share a name."""
    columns = {
        column: pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, np.int32)), pa.array([name])),
        "lattice": pa.array([np.eye(3).ravel() * 50] * n, pa.list_(pa.float64())),
        "atomic_numbers": pa.array([[11] * atoms] * n, pa.list_(pa.int64())),
        "frac_coords": pa.array([np.zeros(3 * atoms)] * n, pa.list_(pa.float64())),
    }
    sink = bytes_io.BytesIO()
    pq.write_table(pa.table(columns), sink, compression="zstd", **options)
    return sink.getvalue()


BOMBS: dict[str, Callable[[], bytes]] = {
    "many rows.parquet": lambda: table(1_000_000),
    "many atoms.parquet": lambda: table(20_000, 200),
    "one wide row.parquet": lambda: table(1, 5_000_000),
    "long name.parquet": lambda: table(10_000, name="x" * 20_000_000),
    "long year.parquet": lambda: table(
        3_000, name="x" * 2_000_000, column="year", store_schema=False
    ),
    "empty documents.json": lambda: b"[" + b"{}," * 3_000_000 + b"{}]",
    "lists.json": lambda: b"[" + b"[]," * 3_000_000 + b"[]]",
    "blocks.cif": lambda: b"data_x _cell_length_a 1\n" * 300_000,
    "lines.cif": lambda: b"data_x\n_cell_length_a 1\n" + b"\n" * 90_000_000,
    "POSCAR": lambda: b"\n" * 50_000_000,
    "POSCAR.gz": lambda: gzip.compress(b"1 1 1\n" * 50_000_000, 1),
    "zeros.json.gz": lambda: gzip.compress(b" " * 300_000_000, 1),
    "frames.extxyz": lambda: b"1\n\nX 0 0 0\n" * 1_000_000,
    "species.json": lambda: json.dumps(
        {"attributes": {"species_at_sites": ["X"] * 2_000_000, "lattice_vectors": [[1, 0, 0]] * 3}}
    ).encode(),
}
"""Small files that would take gigabytes or minutes, by name."""

LIMITED = """
import re, sys, time
from gnomon import io
start = time.process_time()
result = io.read(sys.argv[1])
# not ru_maxrss, which a process takes over from the one that starts it
peak = int(re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1])
print(len(result.crystals), len(result.rejects), time.process_time() - start, peak / 1e6)
print(result.rejects.slice(0, 1).to_pylist())
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", BOMBS)
def test_small_files_take_neither_gigabytes_nor_minutes(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(BOMBS[name]())
    command = [sys.executable, "-c", LIMITED, str(tmp_path / name)]
    found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    crystals, rejects, seconds, peak = map(float, found.stdout.splitlines()[0].split())
    print(name, (tmp_path / name).stat().st_size, found.stdout)
    assert crystals + rejects > 0
    assert peak < 1.5
    assert seconds < TIME_LIMIT


if __name__ == "__main__":  # format, first input, inputs, an empty folder
    place = Path(sys.argv[4])
    (place / "seeds").mkdir()
    (place / "damaged").mkdir()
    valid = seeds_in(place / "seeds")
    first, count = map(int, sys.argv[2:4])
    print(json.dumps(run(valid, place / "damaged", count, 1, [sys.argv[1]], first)))
