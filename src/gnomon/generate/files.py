"""Candidates into files as they come: one chunk is held at a time, whatever the format."""

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa

from gnomon.generate import LINEAGE, Candidates
from gnomon.io import CRYSTALS, to_arrow, write
from gnomon.io.tables import write_table
from gnomon.run.files import renamed

HISTORY = [field for field in LINEAGE if field.name != "id"]
"""Columns of the lineage beside the crystals."""


def write_candidates(out: Path, chunks: Iterable[Candidates]) -> int:
    """Write candidates, return how many: Parquet with lineage, extended XYZ, a folder of CIF.

    Raises:
        ValueError: for another ending of the name.
    """
    if out.suffix == ".parquet":
        schema = pa.schema([*CRYSTALS, *HISTORY])
        return write_table(out, map(_with_history, chunks), schema=schema)
    if out.suffix == ".cif":
        out.mkdir()
        return sum(_written(out, chunk) for chunk in chunks)
    if out.suffix != ".extxyz":
        raise ValueError(f"{out}: name a file *.parquet, *.extxyz or *.cif (a folder)")
    total, part = 0, out.with_name(f".{out.stem}.part.extxyz")
    try:
        with renamed(out) as temporary, temporary.open("wb") as file:
            for chunk in chunks:
                total += _written(part, chunk)
                file.write(part.read_bytes())
    finally:
        part.unlink(missing_ok=True)
    return total


def _written(out: Path, chunk: Candidates) -> int:
    write(out, chunk.crystals, overwrite=True)
    return len(chunk.crystals)


def _with_history(chunk: Candidates) -> pa.Table:
    table = to_arrow(chunk.crystals)
    for field in HISTORY:
        table = table.append_column(field, chunk.lineage[field.name])
    return table
