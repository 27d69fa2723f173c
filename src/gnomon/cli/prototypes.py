"""`gnomon generate prototypes`: decorated prototypes of the AFLOW library or of given crystals."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gnomon.cli.shared import read_crystals, refuse_existing


def generate_prototypes(
    system: Annotated[str, typer.Argument(help="Chemical system, such as Cu-Pd-Pt.")],
    out: Annotated[Path, typer.Option(help="File of candidates (.parquet, .extxyz, .cif).")],
    source: Annotated[
        list[str] | None,
        typer.Option(
            "--from", help="Crystals whose prototypes are taken, not AFLOW's (repeatable)."
        ),
    ] = None,
    max_atoms: Annotated[int, typer.Option(help="Largest primitive cell.")] = 24,
) -> None:
    """Decorate prototypes, the AFLOW library's or those of a file, with the elements of a system.

    Example: gnomon generate prototypes Cu-Pd-Pt --out candidates.parquet
    """
    from gnomon.cli.generate_files import write_candidates
    from gnomon.cli.terminal import say
    from gnomon.crystals import Crystals
    from gnomon.elements import parse_system
    from gnomon.generate.prototypes.extracted import extract_prototypes
    from gnomon.generate.prototypes.generator import PrototypeGenerator

    refuse_existing(out)
    elements = parse_system(system)
    given = None
    if source:
        crystals = read_crystals(source, False).crystals
        given = tuple(extract_prototypes(crystals, max_atoms=max_atoms))
        say(f"{len(given)} prototypes in {len(crystals)} crystals")
    generator = PrototypeGenerator(elements, max_atoms, given)
    write_candidates(out, generator.generate(Crystals.empty(), seed=0))
