"""`gnomon model train structural`: the ensemble of graph networks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gnomon.cli.options import CommandError
from gnomon.cli.shared import Json, Structures, labelled, model_file, show_training


def train_structural(
    data: Structures,
    out: Annotated[Path, typer.Option(help="Model file.")] = Path("structural.gnomon"),
    scheme: Annotated[str, typer.Option(help="Energy scheme of the data.")] = "as given",
    start: Annotated[
        Path | None,
        typer.Option(
            "--from",
            parser=model_file,
            metavar="MODEL",
            help="Go on from this model, or structural-1, with its shape.",
        ),
    ] = None,
    fresh: Annotated[
        int, typer.Option(help="With --from: so many more networks, from random weights.")
    ] = 0,
    members: Annotated[int | None, typer.Option(help="Networks in the ensemble.")] = None,
    width: Annotated[int | None, typer.Option(help="Numbers that describe a node.")] = None,
    passes: Annotated[int | None, typer.Option(help="Rounds of message passing.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes through the data.")] = None,
    batch: Annotated[int | None, typer.Option(help="Crystals in a step, about.")] = None,
    method: Annotated[str | None, typer.Option(help="'adamw' or 'muon'.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="At its peak.")] = None,
    weight_decay: Annotated[
        list[float] | None, typer.Option(help="Of matrices; given twice, members take turns.")
    ] = None,
    train_below: Annotated[
        int | None, typer.Option(help="Formula hashes under this train [75].")
    ] = None,
    validate_below: Annotated[
        int | None, typer.Option(help="From there under this, validate [85].")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of every random choice.")] = 0,
    json: Json = False,
) -> None:
    """Train the structural ensemble on crystals with formation energies per atom.

    Formulas whose hash is below 75 train, 75 to 84 validate.  The same command goes on where it
    was stopped.

    Example: gnomon model train structural structures.parquet --out mp.gnomon
    """
    from functools import partial

    from gnomon.cli.terminal import listening
    from gnomon.models.ensemble import train_into
    from gnomon.models.structural.train import train

    model, config = _start_and_config(
        start,
        fresh,
        network={"width": width, "passes": passes},
        optimizer={
            "epochs": epochs,
            "batch": batch,
            "method": method,
            "learning_rate": learning_rate,
            "weight_decay": tuple(weight_decay) if weight_decay else None,
        },
        others={
            "members": members,
            "train_below": train_below,
            "validate_below": validate_below,
            "seed": seed,
        },
    )
    rows = labelled(data, scheme)
    with listening() as listener:
        trained = train_into(out, partial(train, start=model), rows, config, listener)
    show_training(trained.card, out, json)


def _start_and_config(
    start: Path | None,
    fresh: int,
    network: dict[str, Any],
    optimizer: dict[str, Any],
    others: dict[str, Any],
) -> Any:
    """The ensemble that goes on, if any, and the options that were given over the defaults."""
    from pydantic import ValidationError

    from gnomon.models.structural.model import StructuralModel
    from gnomon.models.structural.train import TrainConfig, going_on
    from gnomon.run.files import sha256_of

    def given(options: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in options.items() if value is not None}

    model = None if start is None else StructuralModel.load(start)
    shape = {**given(network), **{k: others[k] for k in ("members",) if others[k] is not None}}
    if start is not None and shape:
        raise CommandError(f"--from takes the shape of its model: leave {', '.join(shape)} out")
    if start is None and fresh:
        raise CommandError("--fresh adds networks to those of --from; without it, use --members")
    try:
        base = (
            TrainConfig()
            if start is None or model is None
            else going_on(model, sha256_of(start), fresh)
        )
        return model, TrainConfig.model_validate(
            {
                **base.model_dump(),
                "network": base.network.model_dump() | given(network),
                "optimizer": base.optimizer.model_dump() | given(optimizer),
                **given(others),
            }
        )
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][-1]) if first["loc"] else "options"
        raise CommandError(f"{name}: {first['msg']}") from error
