"""What the commands share: arguments, reading, refusing."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import typer
from jaxtyping import Bool, Float64

from gnomon.cli.options import CommandError, Section
from gnomon.cli.terminal import say
from gnomon.crystals import Crystals
from gnomon.evaluate.registry import EvaluatorConfig
from gnomon.io import ReadResult, from_arrow, iter_read
from gnomon.io.tables import read_table
from gnomon.models.bundled import NAMES, model_path
from gnomon.run.registry import no_such

if TYPE_CHECKING:
    from gnomon.models.card import Labelled

ENERGIES = "formation_energy_per_atom"
"""Column of what networks learn and replays hide, eV/atom."""

NAMED = 10
"""Rejects, and warnings, that are named on stderr; the others are counted."""


def refuse_existing(out: Path) -> None:
    """Overwrite nothing."""
    if out.exists():
        raise FileExistsError(f"{out} exists: choose another --out, or delete it first")


def place(
    *suffixes: str, goes_on: bool = False, folder: bool = False, option: str = "--out"
) -> Any:
    """An option that says where the result goes, held before the work against what is there.

    Args:
        suffixes: which a name may end in; any where none is given.
        goes_on: the work goes on where there is something already.
        folder: the place is a folder that is made, with those above it.
        option: what it is called.
    """

    def check(out: Path | None) -> Path | None:
        if out is None:
            return None
        if suffixes and out.suffix not in suffixes:
            raise CommandError(f"{option} {out}: the name must end in {' or '.join(suffixes)}")
        if not goes_on:
            refuse_existing(out)
        above = out.parent if not folder else next(p for p in (out, *out.parents) if p.exists())
        if not above.is_dir():
            raise NotADirectoryError(
                f"{above} is no folder: {'' if above.exists() else 'make it first, or '}"
                f"choose another {option}"
            )
        if not os.access(above, os.W_OK):
            raise PermissionError(f"nothing can be written in {above}: choose another {option}")
        return out

    return typer.Option(callback=check)


ExportFolder = Annotated[Path | None, place(goes_on=True, folder=True, option="--export")]
NewTable = Annotated[Path, place(".parquet")]
MaybeNewTable = Annotated[Path | None, place(".parquet")]
Folder = Annotated[Path, place(goes_on=True, folder=True)]
MaybeFolder = Annotated[Path | None, place(goes_on=True, folder=True)]
ModelFile = Annotated[Path, place(goes_on=True)]
GIVEN: Any = typer.Argument(
    help="Files, folders, globs, or - for stdin: CIF, POSCAR, extxyz, "
    "Parquet, Materials Project or OPTIMADE JSON."
)
Structures = Annotated[list[str], GIVEN]
MaybeStructures = Annotated[list[str] | None, GIVEN]
Strict = Annotated[bool, typer.Option("--strict", help="Stop at the first unusable record.")]


def model_file(name_or_path: str) -> Path:
    """The file that is meant, held against what is there."""
    path = model_path(name_or_path)
    if not path.is_file():
        names = no_such("model", name_or_path, NAMES)
        raise FileNotFoundError(f"{names}, or give the path of a file")
    return path


MODEL: Any = {"parser": model_file, "metavar": "MODEL"}
"""How an argument becomes a file: a name stands for that of a model in the package."""
Model = Annotated[
    Path,
    typer.Argument(help="Model file, or structural-2 or composition-1 in the package.", **MODEL),
]
OF_EVALUATOR = {
    "name": ("--evaluator", "--weights"),
    "options": ("--calculator-option", "--options"),
}
Evaluator = Annotated[EvaluatorConfig, Section(names=OF_EVALUATOR)]


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


def numbers(rows: pa.Table, column: str) -> Float64[np.ndarray, " n"]:
    """A column of facts, NaN where there is none."""
    return np.asarray(rows[column].to_numpy(zero_copy_only=False), np.float64)


def finite(values: Float64[np.ndarray, " n"], what: str) -> Bool[np.ndarray, " n"]:
    """Which values there are; rows without are counted on stderr as lacking ``what``."""
    there = np.isfinite(values)
    if not there.all():
        say(f"{int((~there).sum())} of {len(there)} rows have no {what} and are left out")
    return there


def labelled(sources: list[str], scheme: str = "as given") -> tuple[Labelled, pa.Table]:
    """Crystals with formation energies, and what else is said of them.

    Raises:
        ValueError: if none has an energy.
    """
    found = read_crystals(sources)
    energies = numbers(found.rows, ENERGIES)
    there = finite(energies, ENERGIES)
    if not there.any():
        raise ValueError(
            f"no crystal in {', '.join(sources)} has a {ENERGIES} (eV/atom): "
            "training, calibration and replays need that column"
        )
    from gnomon.models.card import Labelled  # loads JAX

    name = ", ".join(Path(source).name for source in sources)
    rows = Labelled(found.crystals[there], energies[there], name, scheme)
    return rows, found.rows.filter(pa.array(there))


def valued(data: Sequence[Path], column: str, scheme: str) -> Labelled:
    """Crystals of Parquet files with a number each from any column; those without are counted.

    Raises:
        ValueError: if a file lacks the column, or it holds anything but numbers.
    """
    from gnomon.models.card import Labelled  # loads JAX

    parts = []
    for path in data:
        table = read_table(path)
        if column not in table.column_names:
            raise ValueError(f"{path} has no column {column} but {', '.join(table.column_names)}")
        try:
            values = table[column].cast(pa.float64()).to_numpy(zero_copy_only=False)
        except pa.ArrowInvalid as error:
            raise ValueError(f"{path}: {column} must hold numbers: {error}") from error
        there = finite(values, column)
        parts.append((from_arrow(table.filter(pa.array(there))), values[there]))
    crystals = Crystals.concatenate([c for c, _ in parts])
    return Labelled(crystals, np.concatenate([v for _, v in parts]), scheme, scheme)
