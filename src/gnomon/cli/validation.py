"""`gnomon model validate` and `gnomon model curve`: what a training is worth on unseen data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gnomon.cli.options import CommandError
from gnomon.cli.shared import Json, Structures, labelled

Members = Annotated[int | None, typer.Option(help="Networks in each ensemble.")]
Epochs = Annotated[int | None, typer.Option(help="Passes through the data.")]
Seed = Annotated[int, typer.Option(help="Seed of every random choice.")]


def cross_validate(
    data: Structures,
    out: Annotated[Path, typer.Option(help="Folder of ensembles and predictions.parquet.")],
    folds: Annotated[int, typer.Option(help="Parts; each is predicted by the others.")] = 5,
    scheme: Annotated[str, typer.Option(help="Energy scheme of the data.")] = "as given",
    members: Members = None,
    epochs: Epochs = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Predict every crystal by an ensemble that was trained on other formulas.

    The same command goes on where it was stopped.

    Example: gnomon model validate structures.parquet --folds 5 --out folds
    """
    import pyarrow as pa

    from gnomon.cli.terminal import listening, put_json, put_table, say
    from gnomon.models.folds import cross_validate as validate
    from gnomon.run.store import write_parquet

    rows = labelled(data, scheme)
    with listening() as listener:
        found = validate(rows, _config(members, epochs, seed), folds, out, listener)
    table = pa.table(
        {
            "id": rows.crystals.ids.tolist(),
            "reduced_formula": rows.crystals.reduced_formulas.tolist(),
            "fold": found.fold,
            "formation_energy_per_atom": rows.values,
            "predicted_formation_energy_per_atom": pa.array(
                found.predictions.median, from_pandas=True
            ),
            "uncertainty": pa.array(found.predictions.iqr, from_pandas=True),
            "reason": found.predictions.reasons.tolist(),
        }
    )
    write_parquet(out / "predictions.parquet", table)
    if json:
        put_json({"mae": found.mae, "mae_of_folds": found.mae_of_folds.tolist()})
        return
    put_table(
        [{"fold": i, "MAE (eV/atom)": mae} for i, mae in enumerate(found.mae_of_folds.tolist())]
    )
    say(f"MAE of all: {1000 * found.mae:.1f} meV/atom; predictions: {out / 'predictions.parquet'}")


def learning_curve(
    data: Structures,
    out: Annotated[Path, typer.Option(help="Folder of ensembles, curve.json and curve.html.")],
    shares: Annotated[
        str, typer.Option(help="Shares of the training formulas, separated by commas.")
    ] = "0.125,0.25,0.5,1",
    scheme: Annotated[str, typer.Option(help="Energy scheme of the data.")] = "as given",
    members: Members = None,
    epochs: Epochs = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Train on ever more of the data and fit a power law to the error on unseen formulas.

    The same command goes on where it was stopped.

    Example: gnomon model curve structures.parquet --members 1 --out curve
    """
    import json as json_library

    import numpy as np

    from gnomon.cli.terminal import listening, put_json, put_table, say
    from gnomon.models.learning_curve import as_json, figure, fit_power_law
    from gnomon.models.learning_curve import learning_curve as measure
    from gnomon.run.files import write_atomically

    try:
        parts = [float(share) for share in shares.split(",")]
    except ValueError as error:
        raise CommandError(f"--shares {shares!r}: numbers, as in 0.25,0.5,1") from error
    rows = labelled(data, scheme)
    with listening() as listener:
        points = measure(rows, _config(members, epochs, seed), parts, out, listener)
    law = fit_power_law(
        np.array([p.rows for p in points], float), np.array([p.mae for p in points])
    )
    found = as_json(points, law)
    write_atomically(out / "curve.json", json_library.dumps(found, indent=2).encode() + b"\n")
    html = figure(points, law).to_html(include_plotlyjs=True, div_id="learning-curve")
    write_atomically(out / "curve.html", html.encode())
    if json:
        put_json(found)
        return
    put_table(found["points"])
    say(
        f"MAE = {1000 * law.scale:.1f} meV/atom x (rows / 1000)^-{law.exponent:.3f}; "
        f"figure: {out / 'curve.html'}"
    )


def _config(members: int | None, epochs: int | None, seed: int) -> Any:
    from gnomon.models.structural.train import TrainConfig

    config = TrainConfig(seed=seed)
    settings: dict[str, Any] = {} if members is None else {"members": members}
    if epochs is not None:
        settings["optimizer"] = config.optimizer.model_dump() | {"epochs": epochs}
    return TrainConfig.model_validate({**config.model_dump(), **settings})
