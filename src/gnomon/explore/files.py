"""Selections as files: CSV, CIF, extended XYZ and POSCAR that gnomon and others read again."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa

from gnomon.crystals import Crystals
from gnomon.explore.index import Index
from gnomon.io import write
from gnomon.report.cifs import cif_text

MOST_CIFS = 1000
"""Crystals of one CIF: each costs a symmetry search."""

MOST_CRYSTALS = 20_000
"""Crystals of one file of extended XYZ."""

FORMULAS = ("=", "+", "-", "@", "\t", "\r")
"""How texts begin that a spreadsheet would run."""


def as_csv(index: Index, rows: Sequence[int], names: Sequence[str]) -> Iterator[str]:
    """A line a crystal."""
    yield _line([f"{n} ({u})" if u not in ("", "1") else n for n, u in _units(index, names)])
    for row in rows:
        yield _line([_plain(index.columns[name].at(row)) for name in names])


def _units(index: Index, names: Sequence[str]) -> list[tuple[str, str]]:
    return [(name, index.columns[name].unit) for name in names]


def _plain(value: object) -> object:
    """What a spreadsheet takes for text stays text."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULAS) else value


def _line(values: Sequence[object]) -> str:
    out = io.StringIO()
    csv.writer(out).writerow(values)
    return out.getvalue()


def as_cif(index: Index, rows: Sequence[int]) -> Iterator[str]:
    """A block of data a crystal, named by formula and id."""
    for row in rows:
        text = cif_text(index.crystals[row])
        head, _, rest = text.partition("data_")
        _, _, rest = rest.partition("\n")
        formula, key = index.columns["reduced_formula"].at(row), index.columns["id"].at(row)
        yield f"{head}data_{formula}_{key}\n{rest}"


def as_extxyz(index: Index, rows: Sequence[int]) -> Iterator[str]:
    """A frame a crystal, with its energies."""
    facts = pa.table(
        {
            "id": index.crystals[list(rows)].ids.tolist(),
            **{
                name: pa.array([index.columns[name].at(row) for row in rows], kind)
                for name, kind in (
                    ("source_id", pa.string()),
                    ("formation_energy_per_atom", pa.float64()),
                    ("e_above_hull", pa.float64()),
                )
            },
        }
    )
    yield _written("crystals.extxyz", index.crystals[list(rows)], rows=facts)


def as_poscar(index: Index, rows: Sequence[int]) -> Iterator[str]:
    """One crystal as VASP reads it."""
    yield _written("POSCAR", index.crystals[list(rows)])


def _written(name: str, crystals: Crystals, **options: Any) -> str:
    with TemporaryDirectory() as folder:
        path = Path(folder) / name
        write(path, crystals, **options)
        return path.read_text("utf-8")


WRITERS: dict[str, tuple[Callable[..., Iterator[str]], str, int]] = {
    "cif": (as_cif, "chemical/x-cif", MOST_CIFS),
    "extxyz": (as_extxyz, "chemical/x-xyz", MOST_CRYSTALS),
    "poscar": (as_poscar, "text/plain; charset=utf-8", 1),
}
"""Writer, media type and most crystals of each format of crystals."""
