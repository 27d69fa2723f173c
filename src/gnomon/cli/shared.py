"""What the commands share: arguments, reading, refusing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow.compute as pc
import typer

from gnomon.cli.options import CommandError, Section
from gnomon.cli.terminal import say
from gnomon.evaluate.registry import EvaluatorConfig
from gnomon.io import ReadResult, iter_read

NAMED = 10
"""Rejects, and warnings, that are named on stderr; the others are counted."""


def new_file(help: str) -> Any:
    """An option for a file that must not exist yet, in a folder that does."""
    return typer.Option(help=help, callback=refuse_existing)


def refuse_existing(out: Path | None) -> Path | None:
    """Overwrite nothing, and find out before the work that there is a place for its result."""
    if out is not None and out.exists():
        raise FileExistsError(f"{out} exists: choose another --out, or delete it first")
    if out is not None and not out.parent.is_dir():
        raise FileNotFoundError(
            f"{out.parent} is no folder: make it first, or choose another --out"
        )
    return out


Structures = Annotated[
    list[str],
    typer.Argument(
        help="Files, folders, globs, or - for stdin: CIF, POSCAR, extxyz, "
        "Parquet, Materials Project or OPTIMADE JSON."
    ),
]
Strict = Annotated[bool, typer.Option("--strict", help="Stop at the first unusable record.")]
EVALUATOR_NAMES = ("--evaluator", "--weights")
Evaluator = Annotated[EvaluatorConfig, Section(names={"name": EVALUATOR_NAMES})]


def read_crystals(sources: list[str], strict: bool = False) -> ReadResult:
    """Crystals of the sources; rejects and doubts are counted and named on stderr."""
    parts = list(_said(iter_read(sources, strict=strict)))
    if not any(len(part.crystals) for part in parts):
        raise ValueError(f"no usable crystal in {', '.join(sources)}")
    return ReadResult.joined(parts)


def read_in_chunks(sources: list[str], strict: bool) -> Iterator[ReadResult]:
    """The same a chunk at a time.

    Raises:
        ValueError: after the last chunk, if there was no usable crystal.
    """
    accepted = 0
    for found in _said(iter_read(sources, strict=strict)):
        accepted += len(found.crystals)
        if len(found.crystals):
            yield found
    if not accepted:
        raise ValueError(f"no usable crystal in {', '.join(sources)}")


def _said(parts: Iterator[ReadResult]) -> Iterator[ReadResult]:
    """The parts; the first of their rejects and of their warnings are named, then all counted."""
    counts = {"left out": 0, "warning": 0}
    for found in parts:
        rejects = [f"{row['reason']}: {row['detail']}" for row in found.rejects.to_pylist()]
        doubts = found.rows.filter(pc.is_valid(found.rows["warnings"]))
        for kind, table, texts in (
            ("left out", found.rejects, rejects),
            ("warning", doubts, doubts["warnings"].to_pylist()),
        ):
            for source, text in list(zip(table["source"].to_pylist(), texts, strict=True))[
                : max(NAMED - counts[kind], 0)
            ]:
                say(f"{kind}: {source}: {text}")
            counts[kind] += len(table)
        yield found
    for kind, count in counts.items():
        if count > NAMED:
            say(f"{kind}: {count} records in all")


def numbers(found: ReadResult, column: str) -> np.ndarray:
    """A column of facts, NaN where there is none."""
    return np.asarray(found.rows[column].to_numpy(zero_copy_only=False), np.float64)


# --- for commands not rewritten yet ---

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]


def model_file(text: str) -> Path:
    """The file that an argument names: that of a model in the package, or the path itself."""
    from gnomon.models.bundled import model_path

    return model_path(text)


Model = Annotated[
    Path,
    typer.Argument(
        parser=model_file,
        metavar="MODEL",
        help="Model file of `gnomon model train`, or structural-1 or composition-1.",
    ),
]
StructuralModel = Annotated[
    Path,
    typer.Argument(
        parser=model_file,
        metavar="MODEL",
        help="Model file of `gnomon model train structural`, or structural-1.",
    ),
]
CompositionModel = Annotated[
    Path,
    typer.Argument(
        parser=model_file,
        metavar="MODEL",
        help="Model file of `gnomon model train composition`, or composition-1.",
    ),
]


def labelled(sources: list[str], scheme: str = "as given") -> Any:
    """Crystals with formation energies; those without are left out, and counted on stderr."""
    import numpy as np

    from gnomon.cli.terminal import say
    from gnomon.models.card import Labelled

    found = read_crystals(sources, strict=False)
    column = found.rows["formation_energy_per_atom"]
    energies = column.to_numpy(zero_copy_only=False).astype(np.float64)
    known = np.isfinite(energies)
    if not known.any():
        raise ValueError(
            f"no crystal in {', '.join(sources)} has a formation_energy_per_atom (eV/atom): "
            "training and calibration need that column"
        )
    if not known.all():
        say(
            f"{int((~known).sum())} of {len(known)} crystals have no "
            "formation_energy_per_atom and are left out"
        )
    name = ", ".join(Path(source).name for source in sources)
    return Labelled(found.crystals[known], energies[known], name, scheme)


def evaluator_config(
    name: str, options: dict[str, Any], corrections: str | None, workers: int
) -> EvaluatorConfig:
    """What the options of a command say of the evaluator."""
    from pydantic import ValidationError

    from gnomon.evaluate.registry import EvaluatorConfig

    given = {"name": name, "options": options, "corrections": corrections, "workers": workers}
    try:
        return EvaluatorConfig.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        raise CommandError(first["msg"].removeprefix("Value error, ")) from error


def write_table(out: Path, table: Any) -> None:
    """Write rows as Parquet, whole or not at all."""
    from gnomon.run.store import write_parquet

    write_parquet(out, table)


def show_training(card: Any, out: Path, json: bool, unit: str = "eV/atom") -> None:
    """The card of a trained model as JSON, or its errors as a row and where it lies."""
    from gnomon.cli.terminal import put_json, put_table, say

    if json:
        put_json(card.model_dump(mode="json"))
        return
    held = card.validation
    put_table(
        [
            {
                "rows": card.train_rows,
                "validation rows": held.rows if held else 0,
                f"validation MAE ({unit})": held.mae if held else None,
                "of elements alone": held.mae_of_elements if held else None,
                "seconds": card.wall_seconds,
            }
        ]
    )
    say(f"model: {out}")
