"""`gnomon train`, `predict` and `evaluate`: energies of crystals, predicted and verified."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gnomon.cli.shared import (
    Json,
    Strict,
    Structures,
    evaluator_config,
    json_object,
    read_crystals,
    refuse_existing,
    write_table,
)


def train_structural(
    data: Structures,
    out: Annotated[Path, typer.Option(help="Model file.")] = Path("structural.gnomon"),
    scheme: Annotated[str, typer.Option(help="Energy scheme of the data.")] = "as given",
    members: Annotated[int | None, typer.Option(help="Networks in the ensemble.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes through the data.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of every random choice.")] = 0,
    json: Json = False,
) -> None:
    """Train the structural ensemble on crystals with formation energies per atom.

    Rows whose formula hash is below 75 train, 75 to 84 validate.  The same command goes on where
    it was stopped.

    Example: gnomon train structural structures.parquet --out mp.gnomon
    """
    import numpy as np  # noqa: PLC0415

    from gnomon.models.optimize import OptimizerConfig  # noqa: PLC0415
    from gnomon.models.train import Progress, TrainConfig, train  # noqa: PLC0415
    from gnomon.terminal import listening, put_json, put_table, say  # noqa: PLC0415

    found = read_crystals(data, strict=False)
    energies = found.rows["formation_energy_per_atom"].to_numpy(zero_copy_only=False)
    labelled = np.isfinite(energies.astype(np.float64))
    if not labelled.any():
        raise ValueError(
            f"no crystal in {', '.join(data)} has a formation_energy_per_atom (eV/atom): "
            "training needs that column"
        )
    if not labelled.all():
        say(
            f"{int((~labelled).sum())} of {len(labelled)} crystals have no "
            "formation_energy_per_atom and are left out"
        )
    optimizer: dict[str, Any] = {} if epochs is None else {"epochs": epochs}
    settings: dict[str, Any] = {} if members is None else {"members": members}
    config = TrainConfig(optimizer=OptimizerConfig(**optimizer), seed=seed, **settings)
    with listening() as listener:

        def progress(state: Progress) -> None:
            loss = f"training, loss {1000 * state.loss:.1f} meV/atom"
            listener.tick("training", state.epoch, state.epochs)
            if state.epoch % 5 == 0:
                listener.say(
                    f"epoch {state.epoch} of {state.epochs}: {loss}, {state.seconds:.0f} s"
                )

        card = train(
            found.crystals[labelled],
            energies.astype(np.float64)[labelled],
            config,
            out=out,
            scheme=scheme,
            data_name=", ".join(Path(name).name for name in data),
            progress=progress,
        )
    if json:
        put_json(card.model_dump(mode="json"))
        return
    held = card.validation
    put_table(
        [
            {
                "rows": card.train_rows,
                "validation rows": held.rows if held else 0,
                "validation MAE (eV/atom)": held.mae if held else None,
                "seconds": card.wall_seconds,
            }
        ]
    )
    say(f"model: {out}")


def predict(
    model: Annotated[Path, typer.Argument(help="Model file of `gnomon train`.")],
    structures: Structures,
    out: Annotated[Path | None, typer.Option(help="Parquet of predictions.")] = None,
    strict: Strict = False,
    json: Json = False,
) -> None:
    """Predict formation energies per atom with their uncertainty (eV/atom).

    Example: gnomon predict mp.gnomon candidates.parquet --out predictions.parquet
    """
    import pyarrow as pa  # noqa: PLC0415

    from gnomon.models.ensemble import load_model  # noqa: PLC0415
    from gnomon.terminal import put_json, put_table, say  # noqa: PLC0415

    if out is not None:
        refuse_existing(out)
    network = load_model(model)
    found = read_crystals(structures, strict)
    predictions = network.predict(found.crystals)
    table = pa.table(
        {
            "id": found.crystals.ids.tolist(),
            "source": found.rows["source"],
            "source_id": found.rows["source_id"],
            "reduced_formula": found.crystals.reduced_formulas.tolist(),
            "predicted_formation_energy_per_atom": pa.array(predictions.median, from_pandas=True),
            "uncertainty": pa.array(predictions.iqr, from_pandas=True),
            "reason": predictions.reasons.tolist(),
        }
    )
    if out is not None:
        write_table(out, table)
        say(f"{len(table)} predictions ({network.scheme}): {out}")
    elif json:
        put_json(table.to_pylist())
    else:
        put_table(table.drop_columns(["source", "id"]).to_pylist())


def evaluate(
    structures: Structures,
    out: Annotated[Path, typer.Option(help="Parquet of relaxed crystals and results.")],
    evaluator: Annotated[
        str,
        typer.Option(
            "--evaluator", "--weights", help="Potential (name or path) or ase:module.Class."
        ),
    ] = "gnomon-1",
    corrections: Annotated[
        str | None, typer.Option(help="'mp2020' or 'none' [mp2020 for potentials].")
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes; 0 takes one a core.")] = 0,
    fmax: Annotated[float, typer.Option(help="Force that counts as converged, eV/Å.")] = 0.02,
    steps: Annotated[int, typer.Option(help="Relaxation steps; 0 takes single points.")] = 300,
    seconds: Annotated[float, typer.Option(help="Wall time for one crystal.")] = 120.0,
    symmetry: Annotated[bool, typer.Option("--symmetry", help="Keep the space group.")] = False,
    options: Annotated[
        str, typer.Option(help="JSON of the calculator's arguments, as in '{\"cutoff\": 6}'.")
    ] = "{}",
    strict: Strict = False,
    json: Json = False,
) -> None:
    """Relax crystals with a potential or an ASE calculator; every failure is a row with a status.

    Example: gnomon evaluate *.cif --out relaxed.parquet
    """
    from gnomon.evaluate.ase import RelaxConfig  # noqa: PLC0415
    from gnomon.evaluate.registry import make_evaluator  # noqa: PLC0415
    from gnomon.evaluate.table import evaluation_rows  # noqa: PLC0415
    from gnomon.terminal import listening, put_json, put_table, say  # noqa: PLC0415

    refuse_existing(out)
    relax = RelaxConfig(fmax=fmax, max_steps=steps, max_seconds=seconds, symmetry=symmetry)
    named = evaluator_config(evaluator, json_object(options), corrections, workers)
    with listening() as listener:
        verifier = make_evaluator(named, relax, listener)
        found = read_crystals(structures, strict)
        rows = evaluation_rows(found.crystals, found.rows, verifier, listener)
    write_table(out, rows)
    counts: dict[str, int] = {}
    for status in rows["status"].to_pylist():
        counts[status] = counts.get(status, 0) + 1
    if json:
        put_json({"scheme": verifier.scheme, "statuses": counts, "out": str(out)})
        return
    put_table([{"status": s, "crystals": n} for s, n in sorted(counts.items())])
    say(f"scheme: {verifier.scheme}; results: {out}")
