"""`gnomon model train potential`: interatomic potentials from labelled frames."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gnomon.cli.options import CommandError
from gnomon.cli.shared import Json


def train_potential(
    frames: Annotated[
        list[str], typer.Argument(help="Labelled frames: Parquet, extended XYZ, JSON, or folders.")
    ],
    out: Annotated[Path, typer.Option(help="File of weights.")] = Path("potential.gnomon"),
    validation: Annotated[
        list[str] | None, typer.Option(help="Frames to validate on instead (repeatable).")
    ] = None,
    scheme: Annotated[
        str | None, typer.Option(help="Energy scheme of files that do not name theirs.")
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", help="Go on from these weights: a name, or a file.")
    ] = None,
    refit: Annotated[
        bool, typer.Option("--refit", help="Fit atom energies anew before going on.")
    ] = False,
    irreps: Annotated[str | None, typer.Option(help="Hidden irreps.")] = None,
    layers: Annotated[int | None, typer.Option(help="Convolutions.")] = None,
    cutoff: Annotated[float | None, typer.Option(help="Å.")] = None,
    lmax: Annotated[int | None, typer.Option(help="Largest degree of harmonics.")] = None,
    radial_basis: Annotated[int | None, typer.Option(help="Bessel functions.")] = None,
    radial_size: Annotated[int | None, typer.Option(help="Width of the radial net.")] = None,
    radial_layers: Annotated[int | None, typer.Option(help="Its hidden layers.")] = None,
    embedding: Annotated[int | None, typer.Option(help="Size of the elements' embedding.")] = None,
    repulsion: Annotated[
        bool | None, typer.Option(help="Add the screened nuclear repulsion.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes through the frames.")] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Time to train instead, all runs together.")
    ] = None,
    batch: Annotated[int | None, typer.Option(help="Frames in a step, about.")] = None,
    method: Annotated[str | None, typer.Option(help="'adamw' or 'muon'.")] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="At its peak [0.004; 0.0005 with --from].")
    ] = None,
    decay: Annotated[str | None, typer.Option(help="'cosine' or 'linear'.")] = None,
    warm_up: Annotated[float | None, typer.Option(help="Share of the training.")] = None,
    averaging: Annotated[float | None, typer.Option(help="Decay of the average kept.")] = None,
    energy_weight: Annotated[float | None, typer.Option(help="Of the loss of eV/atom.")] = None,
    force_weight: Annotated[float | None, typer.Option(help="Of the loss of eV/Å.")] = None,
    stress_weight: Annotated[float | None, typer.Option(help="Of the loss of eV/Å3.")] = None,
    first_share: Annotated[
        float | None, typer.Option(help="Of a batch drawn from first frames of relaxations.")
    ] = None,
    save_minutes: Annotated[float, typer.Option(help="Between checkpoints.")] = 4.0,
    seed: Annotated[int, typer.Option(help="Seed of every random choice.")] = 0,
    json: Json = False,
) -> None:
    """Train an interatomic potential on crystals with energies, forces and stresses.

    Formulas whose hash is below 75 train, 75 to 84 validate.  The same command goes on where it
    was stopped; --minutes spreads the schedule over that time, whatever epochs it comes to.

    Example: gnomon model train potential frames/ --minutes 120 --out mine.gnomon
    """
    import shlex
    import sys

    from gnomon.cli.terminal import listening, put_json, put_table, say
    from gnomon.io.frames import read_frames
    from gnomon.learn.compilation import cache_compilations
    from gnomon.potential.predict import load_potential
    from gnomon.potential.train import Origin
    from gnomon.potential.train import train_potential as train

    network = {
        "hidden_irreps": irreps,
        "n_layers": layers,
        "cutoff": cutoff,
        "lmax": lmax,
        "radial_basis_size": radial_basis,
        "radial_mlp_size": radial_size,
        "radial_mlp_layers": radial_layers,
        "embedding": embedding,
        "repulsion": repulsion,
    }
    config = _config(
        fine_tune=start is not None,
        network=network,
        optimizer={
            "epochs": epochs,
            "batch": batch,
            "method": method,
            "learning_rate": learning_rate,
            "decay": decay,
            "warm_up": warm_up,
            "averaging": averaging,
        },
        loss={"energy": energy_weight, "forces": force_weight, "stress": stress_weight},
        others={"minutes": minutes, "first_share": first_share, "refit": refit, "seed": seed},
    )
    cache_compilations()
    found = read_frames(frames, scheme=scheme)
    if len(found.rejects):
        first = found.rejects.slice(0, 1).to_pylist()[0]
        say(
            f"left out: {len(found.rejects)} frames, the first as {first['reason']}: "
            f"{first['detail']}"
        )
    held = read_frames(validation, scheme=scheme).frames if validation else None
    with listening() as listener:
        card = train(
            found.frames,
            config,
            out=out,
            validation=held,
            start=None if start is None else load_potential(start, listener=listener),
            origin=Origin(
                ", ".join(Path(name).name for name in frames),
                shlex.join(["gnomon", *sys.argv[1:]]),
            ),
            listener=listener,
            save_every=60 * save_minutes,
        )
    if json:
        put_json(card.model_dump(mode="json"))
        return
    rows: list[dict[str, Any]] = [
        {
            "validation": name,
            "frames": errors.frames,
            "energy (eV/atom)": errors.energy,
            "forces (eV/Å)": errors.forces,
            "stress (eV/Å3)": errors.stress,
        }
        for name, errors in (
            [("all", card.validation.all), ("gentle", card.validation.gentle)]
            if card.validation
            else []
        )
    ]
    put_table(rows, empty="no frames to validate on")
    say(f"weights of {card.parameters} parameters, {card.train_frames} frames: {out}")


def _config(
    *,
    fine_tune: bool,
    network: dict[str, Any],
    optimizer: dict[str, Any],
    loss: dict[str, Any],
    others: dict[str, Any],
) -> Any:
    """The options that were given, over the defaults."""
    from pydantic import ValidationError

    from gnomon.potential.train import FINE_TUNING, PotentialTrainConfig

    def given(options: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in options.items() if value is not None}

    chosen = given(network)
    if fine_tune and chosen:
        raise CommandError(
            f"--from takes the network of its weights: leave {', '.join(chosen)} out"
        )
    base = PotentialTrainConfig()
    rates = {"learning_rate": FINE_TUNING} if fine_tune else {}
    try:
        return PotentialTrainConfig.model_validate(
            {
                "network": None if fine_tune else chosen,
                "optimizer": base.optimizer.model_dump() | rates | given(optimizer),
                "loss": given(loss),
                **given(others),
            }
        )
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][-1]) if first["loc"] else "options"
        raise CommandError(f"{name}: {first['msg']}") from error
