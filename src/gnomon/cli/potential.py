"""`gnomon model train potential`: interatomic potentials from labelled frames."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from gnomon.cli.options import CommandError, Given, Output, Section
from gnomon.cli.shared import ModelFile
from gnomon.cli.terminal import say
from gnomon.io.frames import read_frames
from gnomon.learn.compilation import cache_compilations
from gnomon.learn.fit import Session
from gnomon.potential.predict import load_potential
from gnomon.potential.train import FINE_TUNING, Lessons, PotentialTrainConfig, train_into
from gnomon.run.listener import Listener

SETTINGS = Section(
    names={
        "loss.energy": ("--energy-weight",),
        "loss.forces": ("--force-weight",),
        "loss.stress": ("--stress-weight",),
    },
    without=("optimizer.loss", "loss.delta", "loss.stress_delta", "started_from"),
)


def train(
    frames: list[str],
    given: Annotated[Given[PotentialTrainConfig], SETTINGS],
    listener: Listener,
    *,
    out: ModelFile = Path("potential.gnomon"),
    validation: list[str] | None = None,
    scheme: str | None = None,
    start: Annotated[str | None, typer.Option("--from")] = None,
    save_minutes: float = 4.0,
) -> Output:
    """Train an interatomic potential on crystals with energies, forces and stresses.

    Formulas whose hash is below 75 train, 75 to 84 validate.  The same command goes on where it
    was stopped; --minutes spreads the schedule over that time, whatever epochs it comes to.

    Args:
        frames: labelled frames: Parquet, extended XYZ, JSON, or folders.
        out: file of weights.
        validation: frames to validate on instead (repeatable).
        scheme: energy scheme of files that do not name theirs.
        start: go on from these weights, a name or a file, at a smaller rate (0.0005).
        save_minutes: between checkpoints.

    Example: gnomon model train potential frames/ --minutes 120 --out mine.gnomon
    """
    config = given.over(PotentialTrainConfig())
    if start is not None:
        shape = [given.options[name] for name in given.values if name.startswith("network.")]
        if shape:
            raise CommandError(
                f"--from takes the network of its weights: leave {', '.join(shape)} out"
            )
        gentle = {"optimizer.learning_rate": FINE_TUNING} | given.values
        config = given.over(PotentialTrainConfig(), **gentle, network=None)
    cache_compilations()
    found = read_frames(frames, scheme=scheme)
    if len(found.rejects):
        first = found.rejects.slice(0, 1).to_pylist()[0]
        say(
            f"left out: {len(found.rejects)} frames, the first as {first['reason']}: "
            f"{first['detail']}"
        )
    for text, count in found.warnings.items():
        say(f"warning: {count} of {len(found.frames)} frames: {text}")
    lessons = Lessons(
        found.frames,
        read_frames(validation, scheme=scheme).frames if validation else None,
        None if start is None else load_potential(start, listener=listener),
        ", ".join(Path(name).name for name in frames),
        shlex.join(["gnomon", *sys.argv[1:]]),
    )
    session = Session(listener=listener, save_every=60 * save_minutes)
    card = train_into(out, lessons, config, session)
    held = card.validation
    rows = [
        {
            "validation": name,
            "frames": errors.frames,
            "energy (eV/atom)": errors.energy,
            "forces (eV/Å)": errors.forces,
            "stress (eV/Å3)": errors.stress,
        }
        for name, errors in ([("all", held.all), ("gentle", held.gentle)] if held else [])
    ]
    return Output(
        card.model_dump(mode="json"),
        (rows or "no frames to validate on",),
        (f"weights of {card.parameters} parameters, {card.train_rows} frames: {out}",),
    )
