"""`gnomon generate prototypes`: candidates into a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gnomon.cli.generate_files import write_candidates
from gnomon.cli.shared import refuse_existing


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
    write_candidates(out, generator.generate(Crystals.empty(), seed=0))
