"""Damaged files: whatever comes in, crystals that are crystals and named rejects come out."""

import copy
import gzip
import io as bytes_io
import json
import os
import random
import re
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
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gnomon import io
from gnomon.crystals import Crystals
from tests.strategies import random_crystal

TIME_LIMIT = 20.0
"""Seconds of processor time an input may take, so that a busy machine does not count: the slowest
that the size checks let through takes about 5."""

MEMORY_LIMIT = 1_500_000
"""kB by which the peak memory may grow over all inputs, the imports of the parsers included."""

NAMES = {
    "cif": "damaged.cif",
    "poscar": "POSCAR",
    "extxyz": "damaged.extxyz",
    "parquet": "damaged.parquet",
    "json": "damaged.json",
}

SYMMETRIC_CIF = """data_NaCl
_symmetry_space_group_name_H-M   P-1
_cell_length_a   5.69
_cell_length_b   5.69
_cell_length_c   5.69
_cell_angle_alpha   90
_cell_angle_beta   90
_cell_angle_gamma   90
_symmetry_Int_Tables_number   2
loop_
 _symmetry_equiv_pos_site_id
 _symmetry_equiv_pos_as_xyz
  1  'x, y, z'
  2  '-x, -y, -z'
loop_
 _atom_site_type_symbol
 _atom_site_label
 _atom_site_fract_x
 _atom_site_fract_y
 _atom_site_fract_z
 _atom_site_occupancy
  Na+  Na0  0.2  0.3333  0.1  1
  Cl-  Cl1  0.5  0.5  0.5  1.0
"""


class HangError(BaseException):
    """Beyond the time limit; no Exception, so that the readers cannot turn it into a reject."""


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[bytes]]:
    """Valid files of every format."""
    return seeds_in(tmp_path_factory.mktemp("seeds"))


def seeds_in(folder: Path) -> dict[str, list[bytes]]:
    """The same, made in a folder."""
    rng = np.random.default_rng(0)
    crystals = Crystals.concatenate([random_crystal(rng) for _ in range(4)])
    facts = {"energy_per_atom": [-1.0, -2.5, None, 0.1], "year": [1999, None, 2020, 1913]}
    rows = pa.table({"id": pa.array(crystals.ids, pa.string()), **facts})
    for name in ("many.parquet", "many.extxyz", "many.json"):
        io.write(folder / name, crystals, rows=rows)
    io.write(folder / "one.cif", crystals[0])
    io.write(folder / "one.vasp", crystals[0])
    cif = (folder / "one.cif").read_bytes()
    return {
        "cif": [cif, SYMMETRIC_CIF.encode(), SYMMETRIC_CIF.encode() + cif],
        "poscar": [(folder / "one.vasp").read_bytes()],
        "extxyz": [(folder / "many.extxyz").read_bytes()],
        "parquet": [(folder / "many.parquet").read_bytes(), uncompressed(folder / "many.parquet")],
        "json": [(folder / "many.json").read_bytes(), *documents(crystals)],
    }


def uncompressed(path: Path) -> bytes:
    """The same table without compression, so that damage reaches the values."""
    sink = bytes_io.BytesIO()
    pq.write_table(pq.read_table(path), sink, compression="none", use_dictionary=False)
    return sink.getvalue()


def documents(crystals: Crystals) -> Iterator[bytes]:
    """Responses of the Materials Project and of an OPTIMADE provider."""
    structures = [s.as_dict() for s in io.to_pymatgen(crystals)]
    yield json.dumps(
        {
            "data": [
                {"material_id": f"mp-{i}", "structure": s, "energy_above_hull": 0.1 * i}
                for i, s in enumerate(structures)
            ]
        }
    ).encode()
    yield json.dumps({"data": [optimade(c) for c in crystals]}).encode()


def optimade(crystal: Crystals) -> dict[str, object]:
    (structure,) = io.to_pymatgen(crystal)
    symbols = [site.specie.symbol for site in structure]
    return {
        "id": "odbx/1",
        "type": "structures",
        "attributes": {
            "dimension_types": [1, 1, 1],
            "lattice_vectors": structure.lattice.matrix.tolist(),
            "cartesian_site_positions": structure.cart_coords.tolist(),
            "species_at_sites": symbols,
            "species": [
                {"name": s, "chemical_symbols": [s], "concentration": [1.0]} for s in set(symbols)
            ],
        },
    }


# --- damage: (bytes, random) -> bytes ------------------------------------------------------------

NUMBER = re.compile(rb"-?\d+\.?\d*(?:[eE][-+]?\d+)?")
BAD_NUMBERS = (
    b"nan", b"NaN", b"inf", b"-inf", b"Infinity", b"1e308", b"-1e308", b"1e400", b"-0", b"-0.0",
    b"0", b"1000000000000", b"99999999999999999999", b"-1", b"1e-320", b"0.5(3)", b"?", b".", b"X",
    b"null", b"1_0", b"", b"1.5", b"D", b"2",
)  # fmt: skip


def flip_bits(data: bytes, rng: random.Random) -> bytes:
    damaged = bytearray(data)
    for _ in range(rng.choice((1, 1, 3, 20))):
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def truncate(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


def delete_line(data: bytes, rng: random.Random) -> bytes:
    lines = data.splitlines(keepends=True)
    del lines[rng.randrange(len(lines))]
    return b"".join(lines)


def duplicate_line(data: bytes, rng: random.Random) -> bytes:
    lines = data.splitlines(keepends=True)
    i = rng.randrange(len(lines))
    return b"".join(lines[: i + 1] * rng.choice((1, 1, 50)) + lines[i:])


def swap_number(data: bytes, rng: random.Random) -> bytes:
    numbers = list(NUMBER.finditer(data))
    for match in sorted(rng.sample(numbers, min(len(numbers), rng.choice((1, 1, 4)))), key=id):
        if data[match.start() : match.end()] == match.group():
            data = data[: match.start()] + rng.choice(BAD_NUMBERS) + data[match.end() :]
    return data


def delete_token(data: bytes, rng: random.Random) -> bytes:
    tokens = list(re.finditer(rb"[^\s,:{}\[\]]+", data))
    if not tokens:
        return data
    chosen = rng.choice(tokens)
    return data[: chosen.start()] + data[chosen.end() :]


def insert_bytes(data: bytes, rng: random.Random) -> bytes:
    i = rng.randrange(len(data))
    garbage = rng.choice(
        (
            rng.randbytes(rng.choice((1, 8, 500))),
            b"\xff\xfe",
            b"\xc3\x28",
            b"\x00" * 10,
            "Ωé\u2028".encode(),
            b"[" * 20_000,
            b'{"a":' * 20_000,
            b"'" * 5_000,
            b"\n" * 5_000,
            b" " * 50_000,
            b'"\\ud800"',
        )
    )
    return data[:i] + garbage + data[i:]


def inflate_count(data: bytes, rng: random.Random) -> bytes:
    integers = list(re.finditer(rb"(?<![\d.])\d{1,3}(?![\d.])", data))
    if not integers:
        return data
    chosen = rng.choice(integers)
    huge = rng.choice((b"1000000000000", b"2147483648", b"100000000", b"1999"))
    return data[: chosen.start()] + huge + data[chosen.end() :]


def only_noise(data: bytes, rng: random.Random) -> bytes:
    return rng.randbytes(rng.choice((0, 1, 100, 5_000)))


def splice(data: bytes, rng: random.Random) -> bytes:
    i, j = sorted((rng.randrange(len(data)), rng.randrange(len(data))))
    return data[:j] + data[i:]


DAMAGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    flip_bits, truncate, delete_line, duplicate_line, swap_number, swap_number, delete_token,
    insert_bytes, inflate_count, only_noise, splice,
)  # fmt: skip


# --- damage that knows the format, so that it gets past the parser -------------------------------

WORDS = (
    None, True, -1, 0, 1, 3, 1e308, float("nan"), float("inf"), 10**30, "", "Na", "X", "a\ud800",
    "F d -3 m :2", "-x,y+1/2,-z", "Na0.5Cl0.5", [], {}, [[]], [None] * 3, [1, 1, 0],
    {"element": "H"},
)  # fmt: skip
CIF_VALUES = (
    "?", ".", "1e9", "-5", "0", "90.0(1)", "nan", "'F d -3 m :2'", "'R -3 c :R'", "'P 1'", "227",
    "'-F 4 2 3'", "'x+1/2,y,z'", "'-y,x-y,z'", "'x,y,q'", "'Na4 Cl4'", "'Na0.33 Cl'", "H2O", "D1",
    "Wat1", "0.333", "1/3", "0.99999", "\n;\ntext\n;\n", "loop_", "data_y", "_cell_length_a", "Na+",
    "999999999999",
)  # fmt: skip


def nodes(value: object) -> list[tuple[object, object]]:
    """Every place of a JSON document: its container and its key."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)  # type: ignore[call-overload]
    found: list[tuple[object, object]] = []
    for key, one in inner:
        found.append((value, key))
        found += nodes(one) if isinstance(one, dict | list) else []
    return found


def wrong_json(data: bytes, rng: random.Random) -> bytes:
    """Values, lists and objects of a document replaced, removed, repeated and exchanged."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return data
    for _ in range(rng.choice((1, 1, 2, 5))):
        places: list[tuple[Any, Any]] = nodes(document) if isinstance(document, dict | list) else []
        if not places:
            break
        (place, key), (other, name) = rng.choice(places), rng.choice(places)
        kind = rng.randrange(5)
        if kind == 0:
            place[key] = copy.deepcopy(rng.choice(WORDS))  # damaged themselves later on
        elif kind == 1:
            del place[key]
        elif kind == 2 and isinstance(place[key], list):
            place[key] = place[key] * rng.choice((2, 100))
        elif kind == 3:
            place[key] = json.loads(json.dumps(other[name]))
        else:
            place[key] = [place[key]]
    return json.dumps(document).encode()


def wrong_cif(data: bytes, rng: random.Random) -> bytes:
    """Values of a CIF by others that are legal in their own places."""
    tokens = list(re.finditer(rb"'[^'\n]*'|[^\s']+", data))
    for token in sorted(
        rng.sample(tokens, min(len(tokens), rng.choice((1, 2, 4)))), key=re.Match.end
    )[::-1]:
        data = data[: token.start()] + rng.choice(CIF_VALUES).encode() + data[token.end() :]
    return data


MOST_BYTES = 1_000_000
"""Of a file that is damaged further: looking for numbers in larger ones took gigabytes, and the
reader's memory is what is measured."""


def wrong_table(data: bytes, rng: random.Random) -> bytes:
    """A table whose columns hold too much, too little or something else, in any encoding."""
    try:
        table = pq.read_table(bytes_io.BytesIO(data))
    except Exception:  # damaged before
        return data
    n = len(table)
    for _ in range(rng.choice((1, 1, 2))):
        i = rng.randrange(table.num_columns)
        name, values = table.column_names[i], table.column(i).to_pylist()
        if not n:
            return _parquet(table, rng)
        row = rng.randrange(n)
        kind = rng.randrange(8)
        if kind == 0:
            values[row : row + 1] = [None]
        elif kind == 1 and isinstance(values[row], list):
            times = rng.choice((0, 2, 1_000, 100_000))
            values[row] = values[row] * min(times, 10_000_000 // (len(values[row]) + 1))
        elif kind == 2:
            values = [rng.choice(WORDS[:13])] * n
        elif kind == 3:
            values = [[values[row]]] * n
        elif kind == 4 and isinstance(values[row], list):
            values[row] = [rng.choice((None, 0, -1, 1e308, float("nan"), 300))] * len(values[row])
        elif kind == 5:
            times = rng.choice((0, 1, 3, 30, 300, 30, 3_000))
            times = min(times, 100_000_000 // (table.nbytes + 1))  # else gigabytes
            table = table.take(pa.array([row] * times, pa.int64()))
            n = len(table)
            continue
        elif kind == 6:
            table = table.drop_columns([name])
            return data if not table.num_columns else _parquet(table, rng)
        else:
            values = [str(value) for value in values]
        try:
            table = table.set_column(i, name, pa.array(values))
        except (pa.ArrowException, OverflowError, UnicodeError):
            continue
    return _parquet(table, rng)


def _parquet(table: pa.Table, rng: random.Random) -> bytes:
    sink = bytes_io.BytesIO()
    pq.write_table(
        table,
        sink,
        compression=rng.choice(("none", "snappy", "zstd", "gzip")),
        use_dictionary=rng.random() < 0.5,
        row_group_size=rng.choice((1, 2, 1_000)),
        write_statistics=rng.random() < 0.5,
        data_page_version=rng.choice(("1.0", "2.0")),
    )
    return sink.getvalue()


AWARE = {"json": wrong_json, "cif": wrong_cif, "parquet": wrong_table, "poscar": wrong_cif,
         "extxyz": swap_number}  # fmt: skip


def damaged(format: str, files: list[bytes], rng: random.Random) -> bytes:
    """A valid file after one to three kinds of damage; some are gzipped before the last."""
    data = rng.choice(files)
    if rng.random() < 0.5:
        data = AWARE[format](data, rng)
        if rng.random() < 0.7:
            return data
    for damage in rng.choices(DAMAGES, k=rng.choice((1, 1, 2, 3))):
        data = damage(data, rng) if 0 < len(data) < MOST_BYTES else data
    if rng.random() < 0.1:
        data = gzip.compress(data)
        data = rng.choice(DAMAGES[:2])(data, rng) if rng.random() < 0.5 else data
    return data


# --- the law -------------------------------------------------------------------------------------


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
