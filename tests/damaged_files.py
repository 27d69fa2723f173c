"""Valid files of every format, and what damages them, knowing the format or not."""

import copy
import gzip
import io as bytes_io
import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gnomon import io
from gnomon.crystals import Crystals
from tests.strategies import random_crystal

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
