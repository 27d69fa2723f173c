"""`gnomon represent`: crystals and formulas as numbers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typer

from gnomon.cli.options import CommandError, Output, named_values
from gnomon.cli.shared import MaybeNewTable, Strict, read_crystals
from gnomon.io.tables import write_table
from gnomon.models.composition.tables import formulas_of_table
from gnomon.represent import Given, Representation
from gnomon.represent.formulas import read_formulas
from gnomon.represent.registry import REPRESENTATIONS, representation
from gnomon.represent.table import as_table, novelty_of


def represent(
    inputs: list[str] | None = None,
    *,
    as_: str = "magpie",
    pool: list[str] | None = None,
    option: list[str] | None = None,
    novelty_to: list[str] | None = None,
    metric: str = "euclidean",
    out: MaybeNewTable = None,
    list_: Annotated[
        bool, typer.Option("--list", help="Say which representations there are.")
    ] = False,
    strict: Strict = False,
) -> Output:
    """Write crystals or formulas as rows of numbers.

    Without --out it says what the numbers are, and how novel each crystal is if that is asked for.

    Args:
        inputs: crystals (files, folders, globs, or - for stdin), or formulas, or Parquet or CSV
            tables of formulas.
        as_: name of a representation; several joined by + stand side by side.
        pool: of vectors of elements: mean, weighted, deviation, min, max or range; repeatable.
        option: of the representation, as in cutoff=5; repeatable.
        novelty_to: file of known crystals; adds the distance to the nearest of them; repeatable.
        metric: of that distance, such as cosine, pearson, chebyshev.
        out: Parquet of the rows.

    Example: gnomon represent crystals.parquet --as soap --out soap.parquet
    """
    if list_:
        return _listed()
    if not inputs:
        raise CommandError("give crystals or formulas, or --list")
    options = named_values(option or [], "--option") | ({"pool": pool} if pool else {})
    made = representation(as_, **options)
    given = _given(inputs, strict)
    rows, novelty = made.represent(given), None
    if novelty_to:
        novelty = novelty_of(rows, made, _given(novelty_to, strict), metric)
    table = as_table(given, made, rows, novelty)
    if out is not None:
        facts = {"representation": as_, "options": options, "source": made.card.source}
        line = f"{out}: {write_table(out, table, facts=facts)} rows of {len(made.columns)} numbers"
        return Output({"out": str(out), "columns": list(made.columns)}, (line,))
    if novelty is not None:
        seen = table.select(["reduced_formula", *novelty.column_names]).to_pylist()
        return Output(seen)
    empty = int((~np.isfinite(rows).all(axis=1)).sum())
    return Output([{**_about(as_, made), "rows": len(given), "without numbers": empty}])


def _given(inputs: list[str], strict: bool) -> Given:
    """Formulas if all inputs are some, or tables of some, and else crystals."""
    texts: list[str] = []
    for one in inputs:
        if _is_table_of_formulas(Path(one)):
            texts += formulas_of_table(Path(one))
        elif Path(one).exists():
            return read_crystals(inputs, strict).crystals
        else:
            texts.append(one)
    formulas, reasons = read_formulas(texts)
    if any(reasons):
        return read_crystals(inputs, strict).crystals
    return formulas


def _is_table_of_formulas(path: Path) -> bool:
    if not path.is_file() or path.suffix not in (".csv", ".parquet"):
        return False
    if path.suffix == ".csv":
        return True
    try:
        return "lattice" not in pq.read_schema(path).names
    except (OSError, pa.ArrowInvalid):
        return False  # reading crystals says what is wrong


NOT_HERE = dict.fromkeys(("about", "columns", "of", "differs", "source"))
"""What is listed of a representation that lacks an extra or a model."""


def _listed() -> Output:
    rows = []
    for name in REPRESENTATIONS.names():
        try:
            rows.append(_about(name, representation(name)))
        except ValueError as error:
            rows.append({"name": name, **NOT_HERE, "about": str(error)})
    return Output(rows)


def _about(name: str, made: Representation) -> Mapping[str, Any]:
    card = made.card
    return {
        "name": name,
        "about": card.about,
        "columns": len(made.columns),
        "of": "crystals" if card.structure else "formulas",
        "differs": "; ".join(f"{way}: {why}" for way, why in card.differs.items()) or "never",
        "source": card.source,
    }
