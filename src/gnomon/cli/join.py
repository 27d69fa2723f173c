"""`gnomon model join`: ensembles that were trained apart as one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gnomon.cli.shared import Json, labelled, model_file, show_training


def train_join(
    models: Annotated[
        list[Path],
        typer.Argument(
            parser=model_file,
            metavar="MODELS",
            help="Model files of `gnomon model train structural`.",
        ),
    ],
    data: Annotated[
        str, typer.Option(help="Crystals with energies, some of formulas held out by all.")
    ],
    out: Annotated[Path, typer.Option(help="Model file.")] = Path("joined.gnomon"),
    json: Json = False,
) -> None:
    """Join structural ensembles that were trained apart: what errs differently tells of doubt.

    Example: gnomon model join a.gnomon b.gnomon --data structures.parquet --out mp.gnomon
    """
    from gnomon.models.ensemble import train_into
    from gnomon.models.join import join, join_config
    from gnomon.models.structural.model import StructuralModel

    parts = [StructuralModel.load(path) for path in models]
    config, rows = join_config(parts), labelled([data], parts[0].scheme)
    joined = train_into(out, lambda found, *_: join(parts, found), rows, config)
    show_training(joined.card, out, json)
