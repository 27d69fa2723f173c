"""`gnomon hull`: answers from a table of phases."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gnomon.cli.shared import (
    Json,
)


def hull(
    phases: Annotated[
        Path,
        typer.Argument(
            help="Parquet with reduced_formula and formation_energy_per_atom (eV/atom)."
        ),
    ],
    queries: Annotated[list[str], typer.Argument(help="Formulas or chemical systems.")],
    window: Annotated[float, typer.Option(help="List phases up to this e_above_hull.")] = 0.0,
    scheme: Annotated[str, typer.Option(help="Name of the energy scheme.")] = "as given",
    json: Json = False,
) -> None:
    """Answer from the convex hull: e_above_hull, decomposition, the stable phases of a system.

    Example: gnomon hull ground_states.parquet LiFePO4 Li-Fe-P-O
    """
    from dataclasses import asdict  # noqa: PLC0415

    import pyarrow.parquet as pq  # noqa: PLC0415

    from gnomon.hull import Hull, phases_from_table, query  # noqa: PLC0415
    from gnomon.terminal import put_json  # noqa: PLC0415

    if not phases.is_file():
        raise ValueError(f"{phases} is no file: give a Parquet table of phases")
    try:
        table = pq.read_table(phases)
    except (OSError, ValueError) as error:
        raise ValueError(f"{phases} cannot be read as Parquet ({error})") from error
    surface = Hull(phases_from_table(table, scheme))
    answers = [query(surface, text, window=window) for text in queries]
    if json:
        put_json([_finite(asdict(answer)) for answer in answers])
        return
    for answer in answers:
        _put_answer(answer)


def _finite(value: Any) -> Any:
    """Infinities, which JSON lacks, as null."""
    if isinstance(value, dict):
        return {key: _finite(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return None
    return value


def _put_answer(answer: Any) -> None:
    from gnomon.terminal import put_table  # noqa: PLC0415

    print(f"{answer.query} (phases in the system: {answer.n_phases}; scheme: {answer.scheme})")
    put_table(
        [
            {
                "formula": row.reduced_formula,
                "id": row.id,
                "formation energy (eV/atom)": row.formation_energy_per_atom,
                "e_above_hull (eV/atom)": row.e_above_hull,
                "competes with": " + ".join(f"{x:.3f} {f}" for f, x in row.decomposition) or "-",
            }
            for row in answer.phases
        ],
        empty="no phase within the window",
    )
    print()
