"""`gnomon model transfer` and `gnomon predict`: other properties than energies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gnomon.cli.shared import (
    Json,
    StructuralModel,
    show_training,
)


def train_transfer(
    start: StructuralModel,
    data: Annotated[
        list[Path], typer.Argument(help="Parquet of crystals with a column of the property.")
    ],
    target: Annotated[str, typer.Option(help="Column that is learned.")],
    unit: Annotated[str, typer.Option(help="Unit of that column.")] = "as given",
    out: Annotated[Path, typer.Option(help="Model file.")] = Path("property.gnomon"),
    freeze: Annotated[
        bool, typer.Option("--freeze", help="Train new readouts only: seconds, for small data.")
    ] = False,
    epochs: Annotated[int | None, typer.Option(help="Passes through the data.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="At its peak.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of every random choice.")] = 0,
    json: Json = False,
) -> None:
    """Teach a trained ensemble another property of crystals: a band gap, a modulus.

    Formulas whose hash is below 75 train, 75 to 84 validate.

    Example: gnomon model transfer mp.gnomon wbm.parquet --target band_gap --unit eV --freeze
    """
    from functools import partial

    from gnomon.cli.terminal import listening
    from gnomon.models.card import Labelled
    from gnomon.models.ensemble import train_into
    from gnomon.models.structural.model import StructuralModel as Model
    from gnomon.models.transfer import TransferConfig, transfer
    from gnomon.run.files import sha256_of

    crystals, values = _valued(data, target)
    given = {"epochs": epochs, "learning_rate": learning_rate}
    settings = TransferConfig(started_from=sha256_of(start), frozen=freeze, seed=seed)
    optimizer = settings.optimizer.model_dump() | {k: v for k, v in given.items() if v is not None}
    config = TransferConfig.model_validate({**settings.model_dump(), "optimizer": optimizer})
    name = f"{target} ({unit})"
    rows, taught = (
        Labelled(crystals, values, name, name),
        partial(transfer, start=Model.load(start)),
    )
    with listening() as listener:
        trained = train_into(out, taught, rows, config, listener)
    show_training(trained.card, out, json, unit)


def _valued(data: list[Path], column: str) -> tuple[Any, Any]:
    """Crystals that have the property, and it; the others are counted on stderr."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from gnomon.cli.terminal import say
    from gnomon.crystals import Crystals
    from gnomon.io import from_arrow

    parts = []
    for path in data:
        if not path.is_file():
            raise FileNotFoundError(f"{path} is no file: give a Parquet table of crystals")
        try:
            table = pq.read_table(path)
        except pa.ArrowException as error:
            raise ValueError(f"{path} cannot be read as Parquet ({error})") from error
        if column not in table.column_names:
            raise ValueError(f"{path} has no column {column} but {', '.join(table.column_names)}")
        try:
            values = table[column].cast(pa.float64()).to_numpy(zero_copy_only=False)
        except pa.ArrowInvalid as error:
            raise ValueError(f"{path}: {column} must hold numbers: {error}") from error
        there = np.isfinite(values)
        if not there.all():
            say(f"{int((~there).sum())} of {len(there)} rows of {path.name} have no {column}")
        parts.append((from_arrow(table.filter(pa.array(there))), values[there]))
    return Crystals.concatenate([c for c, _ in parts]), np.concatenate([v for _, v in parts])
