"""Candidates into files as they come: one chunk is held at a time, whatever the format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gnomon.cli.options import CommandError


def write_candidates(out: Path, chunks: Any) -> None:
    """Write chunks of candidates as they come: one is held at a time, whatever the format.

    Parquet holds the lineage beside the crystals; CIF becomes a folder.
    """
    from gnomon.cli.terminal import say

    writers = {".parquet": _stream_parquet, ".extxyz": _stream_extxyz, ".cif": _stream_cif}
    if out.suffix not in writers:
        raise CommandError(f"--out {out}: name a file *.parquet, *.extxyz or *.cif (a folder)")
    total = writers[out.suffix](out, chunks)
    say(f"{total} candidate{'' if total == 1 else 's'}: {out}")


def _stream_parquet(out: Path, chunks: Any) -> int:
    import pyarrow.parquet as pq

    from gnomon.io import CRYSTALS, to_arrow

    total, temporary, writer = 0, out.with_name(f".{out.name}.tmp"), None
    try:
        for chunk in chunks:
            table = to_arrow(chunk.crystals)
            for name in ("parent_id", "generator", "change", "score"):
                table = table.append_column(name, chunk.lineage[name])
            writer = writer or pq.ParquetWriter(temporary, table.schema)
            writer.write_table(table)
            total += len(table)
        writer = writer or pq.ParquetWriter(temporary, CRYSTALS)
        writer.close()
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)
    return total


def _stream_extxyz(out: Path, chunks: Any) -> int:
    from gnomon.io import write

    total, temporary = 0, out.with_name(f".{out.name}.tmp")
    part = out.with_name(f".{out.stem}.part.extxyz")
    try:
        with temporary.open("wb") as file:
            for chunk in chunks:
                write(part, chunk.crystals, overwrite=True)
                file.write(part.read_bytes())
                total += len(chunk.crystals)
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)
        part.unlink(missing_ok=True)
    return total


def _stream_cif(out: Path, chunks: Any) -> int:
    from gnomon.io import write

    total = 0
    out.mkdir()
    for chunk in chunks:
        write(out, chunk.crystals, overwrite=True)
        total += len(chunk.crystals)
    return total
