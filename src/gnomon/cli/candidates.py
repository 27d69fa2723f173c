"""`gnomon generate`: candidates into a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gnomon.cli.shared import (
    Strict,
    Structures,
    read_crystals,
    refuse_existing,
)


def generate_prototypes(
    system: Annotated[str, typer.Argument(help="Chemical system, such as Cu-Pd-Pt.")],
    out: Annotated[Path, typer.Option(help="File of candidates (.parquet, .extxyz, .cif).")],
    max_atoms: Annotated[int, typer.Option(help="Largest primitive cell.")] = 24,
) -> None:
    """Decorate the AFLOW prototypes with the elements of a system.

    Example: gnomon generate prototypes Cu-Pd-Pt --out candidates.parquet
    """
    from gnomon.crystals import Crystals  # noqa: PLC0415
    from gnomon.elements import parse_system  # noqa: PLC0415
    from gnomon.generate.prototypes import PrototypeGenerator  # noqa: PLC0415

    refuse_existing(out)
    generator = PrototypeGenerator(parse_system(system), max_atoms)
    _write_candidates(out, generator.generate(Crystals.empty(), seed=0))


def generate_substitution(
    parents: Structures,
    out: Annotated[Path, typer.Option(help="File of candidates (.parquet, .extxyz, .cif).")],
    elements: Annotated[
        str | None, typer.Option(help="Keep candidates of these elements only, as in Li-Fe-P-O.")
    ] = None,
    threshold: Annotated[float, typer.Option(help="Smallest probability.")] = 1e-3,
    known: Annotated[
        list[str] | None, typer.Option(help="Crystals whose compositions are not new (repeatable).")
    ] = None,
    strict: Strict = False,
) -> None:
    """Substitute likely ions into parents (Hautier et al. 2011); compositions must be new.

    Example: gnomon generate substitution mp/*.cif --known mp --out candidates.parquet
    """
    from gnomon.elements import parse_system  # noqa: PLC0415
    from gnomon.generate.substitution import SubstitutionGenerator  # noqa: PLC0415
    from gnomon.terminal import say  # noqa: PLC0415

    refuse_existing(out)
    found = read_crystals(parents, strict)
    formulas = read_crystals(known, strict).crystals.reduced_formulas.tolist() if known else []
    generator = SubstitutionGenerator(
        threshold=threshold,
        elements=parse_system(elements) if elements else None,
        known=frozenset(formulas),
    )
    skipped = generator.skipped(found.crystals)
    if len(skipped):
        first = skipped.slice(0, 1).to_pylist()[0]
        say(
            f"{len(skipped)} of {len(found.crystals)} parents left out, "
            f"the first: {first['reduced_formula']}: {first['reason']}"
        )
    _write_candidates(out, generator.generate(found.crystals, seed=0))


def _write_candidates(out: Path, chunks: Any) -> None:
    """Stream Parquet chunk by chunk; other formats are written in one go."""
    import pyarrow.parquet as pq  # noqa: PLC0415

    from gnomon.crystals import Crystals  # noqa: PLC0415
    from gnomon.io import CRYSTALS, to_arrow, write  # noqa: PLC0415
    from gnomon.terminal import say  # noqa: PLC0415

    total = 0
    if out.suffix != ".parquet":
        crystals = Crystals.concatenate([chunk.crystals for chunk in chunks])
        write(out, crystals)
        say(f"{len(crystals)} candidates: {out}")
        return
    temporary = out.with_name(f".{out.name}.tmp")
    writer = None
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
    say(f"{total} candidates: {out}")
