"""`gnomon model train structural` and `composition`, `join` and `transfer`: ensembles."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from gnomon.cli.options import CommandError, Given, Output, Section
from gnomon.cli.shared import MODEL, NAMED, Model, ModelFile, Structures, finite, labelled, valued
from gnomon.cli.terminal import say
from gnomon.models.card import LabelledFormulas
from gnomon.models.composition.tables import energies_of_table
from gnomon.models.composition.train import (
    CompositionTrainConfig,
    lowest_energies,
    train_composition,
)
from gnomon.models.ensemble import train_into
from gnomon.models.join import join as join_models
from gnomon.models.join import join_config
from gnomon.models.structural.model import StructuralModel
from gnomon.models.structural.train import TrainConfig, going_on, train
from gnomon.models.transfer import TransferConfig
from gnomon.models.transfer import transfer as teach
from gnomon.represent.formulas import read_formulas
from gnomon.run.files import sha256_of
from gnomon.run.listener import Listener

Scheme = Annotated[str, typer.Option(help="Energy scheme of the data.")]


def structural(
    data: Structures,
    given: Annotated[Given[TrainConfig], Section(without=("started_from",))],
    listener: Listener,
    *,
    out: ModelFile = Path("structural.gnomon"),
    scheme: Scheme = "as given",
    start: Annotated[Path | None, typer.Option("--from", **MODEL)] = None,
) -> Output:
    """Train the structural ensemble on crystals with formation energies per atom.

    Formulas whose hash is below 75 train, 75 to 84 validate.  The same command goes on where it
    was stopped.

    Args:
        start: go on from this model, or structural-2, with its shape.

    Example: gnomon model train structural structures.parquet --out mp.gnomon
    """
    fresh = given.values.get("fresh", 0)
    if start is None:
        if fresh:
            raise CommandError("--fresh adds networks to those of --from; without, use --members")
        model, config = None, given.over()
    else:
        shape = [n for n in given.values if n == "members" or n.startswith("network.")]
        if shape:
            names = ", ".join(given.options[name] for name in shape)
            raise CommandError(f"--from takes the shape of its model: leave {names} out")
        model = StructuralModel.load(start)
        config = given.over(going_on(model, sha256_of(start), fresh))
    rows, _ = labelled(data, scheme)
    return _trained(train_into(out, partial(train, start=model), rows, config, listener), out)


def composition(
    data: list[Path],
    config: Annotated[CompositionTrainConfig, Section(without=("optimizer.loss",))],
    listener: Listener,
    *,
    out: ModelFile = Path("composition.gnomon"),
    scheme: Scheme = "as given",
) -> Output:
    """Train the composition ensemble on the lowest formation energy of each formula.

    Formulas whose hash is below 75 train, 75 to 84 validate.  The same command goes on where it
    was stopped.

    Args:
        data: Parquet or CSV with reduced_formula (or formula) and formation_energy_per_atom
            (eV/atom); the lowest energy of a formula counts.

    Example: gnomon model train composition composition_energies.parquet --out composition.gnomon
    """
    rows = _formulas(data, scheme)
    return _trained(train_into(out, train_composition, rows, config, listener), out)


def join(
    models: Annotated[list[Path], typer.Argument(**MODEL)],
    *,
    data: str,
    out: ModelFile = Path("joined.gnomon"),
) -> Output:
    """Join structural ensembles that were trained apart: what errs differently tells of doubt.

    Args:
        models: structural models.
        data: crystals with energies, some of formulas held out by all.

    Example: gnomon model join a.gnomon b.gnomon --data structures.parquet --out mp.gnomon
    """
    parts = [StructuralModel.load(path) for path in models]
    config, (rows, _) = join_config(parts), labelled([data], parts[0].scheme)
    return _trained(train_into(out, lambda found, *_: join_models(parts, found), rows, config), out)


def transfer(
    start: Model,
    data: list[Path],
    given: Annotated[
        Given[TransferConfig],
        Section(names={"frozen": ("--freeze",)}, without=("started_from", "optimizer.loss")),
    ],
    listener: Listener,
    *,
    target: str,
    unit: str = "as given",
    out: ModelFile = Path("property.gnomon"),
) -> Output:
    """Teach a trained ensemble another property of crystals: a band gap, a modulus.

    Formulas whose hash is below 75 train, 75 to 84 validate.

    Args:
        data: Parquet of crystals with a column of the property.
        target: column that is learned.
        unit: unit of that column.

    Example: gnomon model transfer mp.gnomon wbm.parquet --target band_gap --unit eV --freeze
    """
    rows = valued(data, target, f"{target} ({unit})")
    config = given.over(TransferConfig(started_from=sha256_of(start)))
    taught = partial(teach, start=StructuralModel.load(start))
    return _trained(train_into(out, taught, rows, config, listener), out, unit)


def _trained(model: Any, out: Path, unit: str = "eV/atom") -> Output:
    """The card of a trained model as JSON, or its errors as a row and where it lies."""
    card, held = model.card, model.card.validation
    row = {
        "rows": card.train_rows,
        "validation rows": held.rows if held else 0,
        f"validation MAE ({unit})": held.mae if held else None,
        "of elements alone": held.mae_of_elements if held else None,
        "seconds": card.wall_seconds,
    }
    return Output(card.model_dump(mode="json"), ([row],), (f"model: {out}",))


def _formulas(data: list[Path], scheme: str) -> LabelledFormulas:
    """Formulas and energies of the tables; rows that cannot train are counted and named."""
    parts = [energies_of_table(path) for path in data]
    formulas = [text for texts, _ in parts for text in texts]
    energies = np.concatenate([values for _, values in parts])
    _, reasons = read_formulas(formulas)
    for reason in reasons[reasons != ""][:NAMED]:
        say(f"left out: {reason}")
    usable = finite(np.where(reasons == "", energies, np.nan), "formula and energy")
    names = ", ".join(path.name for path in data)
    if not usable.any():
        raise CommandError(f"no row of {names} has a formula and a formation energy")
    chosen = [formulas[i] for i in np.flatnonzero(usable)]
    return lowest_energies(chosen, energies[usable], names, scheme)
