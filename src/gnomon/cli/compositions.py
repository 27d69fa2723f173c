"""`gnomon train composition` and `predict-formulas`: energies from formulas alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gnomon.cli.options import CommandError
from gnomon.cli.shared import (
    CompositionModel,
    Json,
    following,
    refuse_existing,
    show_training,
    write_table,
)


def train_composition(
    data: Annotated[
        list[Path],
        typer.Argument(
            help="Parquet or CSV with reduced_formula (or formula) and formation_energy_per_atom "
            "(eV/atom); the lowest energy of a formula counts."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Model file.")] = Path("composition.gnomon"),
    scheme: Annotated[str, typer.Option(help="Energy scheme of the data.")] = "as given",
    members: Annotated[int | None, typer.Option(help="Networks in the ensemble.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes through the data.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of every random choice.")] = 0,
    json: Json = False,
) -> None:
    """Train the composition ensemble on the lowest formation energy of each formula.

    Formulas whose hash is below 75 train, 75 to 84 validate.  The same command goes on where it
    was stopped.

    Example: gnomon train composition composition_energies.parquet --out composition.gnomon
    """
    from gnomon.cli.terminal import listening, say
    from gnomon.models.composition.train import (
        CompositionTrainConfig,
        lowest_energies,
        train_composition,
    )

    formulas, energies = _labelled_rows(data, say)
    settings: dict[str, Any] = {} if members is None else {"members": members}
    config = CompositionTrainConfig(seed=seed, **settings)
    if epochs is not None:
        optimizer = config.optimizer.model_copy(update={"epochs": epochs})
        config = CompositionTrainConfig(optimizer=optimizer, seed=seed, **settings)
    with listening() as listener:
        card = train_composition(
            lowest_energies(formulas, energies),
            config,
            out=out,
            scheme=scheme,
            data_name=", ".join(path.name for path in data),
            progress=following(listener),
        )
    show_training(card, out, json)


def predict_formulas(
    model: CompositionModel,
    formulas: Annotated[
        list[str], typer.Argument(help="Formulas, or Parquet or CSV tables of them.")
    ],
    out: Annotated[Path | None, typer.Option(help="Parquet of predictions.")] = None,
    json: Json = False,
) -> None:
    """Predict the lowest formation energy per atom of formulas, with its uncertainties (eV/atom).

    Example: gnomon predict-formulas composition.gnomon LiFePO4 Fe2O3
    """
    import pyarrow as pa

    from gnomon.cli.terminal import put_json, put_table, say
    from gnomon.models.composition import load_composition_model
    from gnomon.models.composition.tables import formulas_of_table

    if out is not None:
        refuse_existing(out)
    network = load_composition_model(model)
    texts: list[str] = []
    for given in formulas:
        is_table = given.endswith((".parquet", ".csv"))
        texts += formulas_of_table(Path(given)) if is_table else [given]
    predictions = network.predict(texts)
    table = pa.table(
        {
            "formula": texts,
            "predicted_formation_energy_per_atom": pa.array(predictions.median, from_pandas=True),
            "uncertainty": pa.array(predictions.iqr, from_pandas=True),
            "aleatoric": pa.array(predictions.aleatoric, from_pandas=True),
            "combined": pa.array(predictions.combined, from_pandas=True),
            "reason": predictions.reasons.tolist(),
        }
    )
    if out is not None:
        write_table(out, table)
        say(f"{len(table)} predictions ({network.scheme}): {out}")
    elif json:
        put_json(table.to_pylist())
    else:
        put_table(table.to_pylist())


def _labelled_rows(data: list[Path], say: Any) -> tuple[list[str], Any]:
    """Formulas and energies of the tables; rows that cannot train are counted and named."""
    import numpy as np

    from gnomon.models.composition.formulas import read_formulas
    from gnomon.models.composition.tables import energies_of_table

    parts = [energies_of_table(path) for path in data]
    formulas = [text for texts, _ in parts for text in texts]
    energies = np.concatenate([values for _, values in parts])
    _, reasons = read_formulas(formulas)
    usable = np.isfinite(energies) & (reasons == "")
    for i in np.flatnonzero(reasons != "")[:10]:
        say(f"left out: {reasons[i]}")
    if not usable.any():
        raise CommandError(
            f"no row of {', '.join(map(str, data))} has a formula and a formation energy"
        )
    if not usable.all():
        say(f"left out: {int((~usable).sum())} of {len(usable)} rows without formula or energy")
    return [formulas[i] for i in np.flatnonzero(usable)], energies[usable]
