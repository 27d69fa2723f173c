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
    from gnomon.models.join import join
    from gnomon.models.structural.ensemble import load_model

    card = join([load_model(path) for path in models], labelled([data]), out=out)
    show_training(card, out, json)
