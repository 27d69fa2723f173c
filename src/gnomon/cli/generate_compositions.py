"""`gnomon generate compositions`: formulas whose charges can balance, and how many there are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gnomon.cli.options import CommandError
from gnomon.cli.shared import Json, refuse_existing


def generate_compositions(
    system: Annotated[
        str | None, typer.Argument(help="Elements, such as Li-Si: formulas of any of them.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Table of formulas (.parquet).")] = None,
    max_atoms: Annotated[int, typer.Option(help="Atoms in the reduced formula.")] = 20,
    max_elements: Annotated[int, typer.Option(help="Different elements in a formula.")] = 4,
    between: Annotated[
        int, typer.Option(help="Elements whose mean state may lie between two of theirs.")
    ] = 2,
    pauling: Annotated[
        bool, typer.Option("--pauling", help="Cations less electronegative than anions.")
    ] = False,
    ionic: Annotated[bool, typer.Option("--ionic", help="No state 0 for metals.")] = False,
    known: Annotated[
        Path | None, typer.Option(help="Parquet with reduced_formula: these are left out.")
    ] = None,
    count: Annotated[
        str | None,
        typer.Option(
            help="Only count combinations of two, three and four species of a list: icsd "
            "(pymatgen), or smact14, icsd16, icsd24 (of the package smact)."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """List compositions whose oxidation states can balance, or count those of all elements.

    Example: gnomon generate compositions Li-Si --out formulas.parquet
    """
    if count is not None:
        _count(count, json)
        return
    if system is None or out is None:
        raise CommandError("name a system and a file, as in: Li-Si --out formulas.parquet")
    from gnomon.cli.terminal import put_json, say
    from gnomon.elements import parse_system
    from gnomon.generate.compositions.generator import CompositionGenerator

    refuse_existing(out)
    generator = CompositionGenerator(
        parse_system(system),
        max_atoms=max_atoms,
        max_elements=max_elements,
        between=between,
        pauling=pauling,
        zero_of_metals=not ionic,
        known=_formulas(known),
    )
    total = _write(out, generator.generate())
    say(f"{total} compositions: {out}")
    if json:
        put_json({"compositions": total, "file": str(out)})


def _write(out: Path, tables: Any) -> int:
    import pyarrow.parquet as pq

    from gnomon.generate.compositions.generator import COMPOSITIONS

    total, temporary = 0, out.with_name(f".{out.name}.tmp")
    try:
        with pq.ParquetWriter(temporary, COMPOSITIONS) as writer:
            for table in tables:
                writer.write_table(table)
                total += len(table)
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)
    return total


def _formulas(known: Path | None) -> frozenset[str]:
    if known is None:
        return frozenset()
    import pyarrow.parquet as pq

    if "reduced_formula" not in pq.read_schema(known).names:
        raise ValueError(f"{known} has no column reduced_formula")
    return frozenset(pq.read_table(known, columns=["reduced_formula"])[0].to_pylist())


def _count(states: str, json: bool) -> None:
    from dataclasses import asdict

    from gnomon.cli.terminal import put_json, put_table
    from gnomon.generate.compositions.counting import count
    from gnomon.generate.compositions.generator import smact_ions, tabulated_ions

    ions = tabulated_ions() if states == "icsd" else smact_ions(states)
    rows = [{"species": len(ions), "combined": n, **asdict(count(ions, n))} for n in (2, 3, 4)]
    (put_json if json else put_table)(rows)
