"""What the commands share: options, reading, evaluators, files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
Structures = Annotated[
    list[str],
    typer.Argument(
        help="Files, folders, globs, or - for stdin: CIF, POSCAR, extxyz, "
        "Parquet, Materials Project or OPTIMADE JSON."
    ),
]
Strict = Annotated[bool, typer.Option("--strict", help="Stop at the first unusable record.")]


class CommandError(ValueError):
    """Arguments that make no sense together."""


def read_crystals(sources: list[str], strict: bool) -> Any:
    """Crystals of the sources; rejects are counted and named on stderr."""
    from gnomon.io import read  # noqa: PLC0415
    from gnomon.terminal import say  # noqa: PLC0415

    result = read(sources, strict=strict)
    for reject in result.rejects.slice(0, 10).to_pylist():
        say(f"left out: {reject['source']}: {reject['reason']}: {reject['detail']}")
    if len(result.rejects) > 10:
        say(f"left out: {len(result.rejects)} records in all")
    if not len(result.crystals):
        raise ValueError(f"no usable crystal in {', '.join(sources)}")
    return result


def json_object(text: str) -> dict[str, Any]:
    """The value of --options."""
    import json  # noqa: PLC0415

    try:
        found = json.loads(text)
    except ValueError as error:
        raise CommandError(f"--options {text!r} is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise CommandError(f"--options {text!r} must be an object, as in '{{\"cutoff\": 6}}'")
    return found


def make_evaluator(name: str, options: dict[str, Any], relax: Any, workers: int) -> Any:
    """The evaluator of this name; no number of workers takes one a core."""
    import os  # noqa: PLC0415

    from gnomon.evaluate.ase import AseEvaluator  # noqa: PLC0415

    kind, _, calculator = name.partition(":")
    if kind != "ase" or not calculator:
        raise CommandError(
            f"no evaluator {name!r}: give ase:module.Class, as in ase:ase.calculators.emt.EMT"
        )
    return AseEvaluator(calculator, options, relax, workers or os.cpu_count() or 1)


def write_table(out: Path, table: Any) -> None:
    """Write rows as Parquet, whole or not at all."""
    from gnomon.store import write_parquet  # noqa: PLC0415

    write_parquet(out, table)


def refuse_existing(out: Path) -> None:
    """Overwrite nothing, and find out before the work that there is a place for its result."""
    if out.exists():
        raise FileExistsError(f"{out} exists: choose another --out, or delete it first")
    if not out.parent.is_dir():
        raise FileNotFoundError(
            f"{out.parent} is no folder: make it first, or choose another --out"
        )
