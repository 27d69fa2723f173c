"""`gnomon model train composition` and `predict-formulas`: energies from formulas alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gnomon.cli.options import CommandError
from gnomon.cli.shared import (
    Json,
    show_training,
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

    Example: gnomon model train composition composition_energies.parquet --out composition.gnomon
    """
    from gnomon.cli.terminal import listening, say
    from gnomon.models.composition.train import (
        CompositionTrainConfig,
        lowest_energies,
        train_composition,
    )
    from gnomon.models.ensemble import train_into

    formulas, energies = _labelled_rows(data, say)
    settings: dict[str, Any] = {} if members is None else {"members": members}
    config = CompositionTrainConfig(seed=seed, **settings)
    if epochs is not None:
        optimizer = config.optimizer.model_copy(update={"epochs": epochs})
        config = CompositionTrainConfig(optimizer=optimizer, seed=seed, **settings)
    rows = lowest_energies(formulas, energies, ", ".join(path.name for path in data), scheme)
    with listening() as listener:
        trained = train_into(out, train_composition, rows, config, listener)
    show_training(trained.card, out, json)


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
