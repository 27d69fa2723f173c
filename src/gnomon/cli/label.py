"""`gnomon label`: a training set for potentials."""

from __future__ import annotations

import inspect
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from gnomon.cli.options import CommandError, Output, Section
from gnomon.cli.shared import EVALUATOR_NAMES, Strict, Structures, read_crystals
from gnomon.dataset.label import LabelConfig
from gnomon.dataset.label import label as build
from gnomon.dataset.labellers import AseLabeller, Labeller, PotentialLabeller
from gnomon.evaluate.ase import AseEvaluator, make_calculator
from gnomon.evaluate.registry import ASE, DEFAULT_EVALUATOR, GPAW, EvaluatorConfig
from gnomon.potential.predict import load_potential
from gnomon.run.listener import Listener

LABELLER = Section(
    only=("name", "options"),
    names={"name": EVALUATOR_NAMES},
    defaults={"name": inspect.Parameter.empty},
)


def label(
    crystals: Structures,
    out: Annotated[Path, typer.Option(help="Folder of the training set.")],
    evaluator: Annotated[EvaluatorConfig, LABELLER],
    config: Annotated[LabelConfig, Section(without=("perturb.volumes", "fmax"))],
    listener: Listener,
    mover: Annotated[
        str | None,
        typer.Option(
            help="Weights that relax: those that label, or gnomon-1, unless told otherwise."
        ),
    ] = None,
    strict: Strict = False,
) -> Output:
    """Build a training set: perturb, substitute and partially relax crystals, label every frame.

    Only formulas whose hash is below 75 are labelled unless told otherwise, so that the others can
    validate.  The same command goes on where it was stopped.

    Example: gnomon label structures.parquet --weights nequix-oam-1-pft --out frames
    """
    found = read_crystals(crystals, strict)
    labeller, origin = _labeller(evaluator, listener)
    if (
        mover is None
        and evaluator.name.startswith(ASE)
        and (config.unrelaxed or config.substitutes)
    ):
        mover = DEFAULT_EVALUATOR
    summary = build(
        found.crystals,
        labeller,
        config,
        out,
        origin=origin,
        mover=load_potential(mover, listener=listener) if mover else None,
        listener=listener,
    )
    return Output(
        {"scheme": labeller.scheme, **asdict(summary), "out": str(out)},
        (
            [
                {
                    "frames": summary.frames,
                    "unrelaxed starts": summary.first,
                    "atoms": summary.atoms,
                    "rejected": sum(summary.rejected.values()),
                    "crystals held out": summary.held_out,
                    "repeated": summary.repeated,
                }
            ],
        ),
        said=(
            *(f"kept out: {count}: {reason}" for reason, count in summary.rejected.items()),
            f"scheme: {labeller.scheme}; training set: {out}",
        ),
    )


def _labeller(config: EvaluatorConfig, listener: Listener) -> tuple[Labeller, dict[str, str]]:
    """Who labels, and what is written down of it."""
    if config.name.partition(":")[0] == GPAW:
        raise CommandError(f"{config.name} does not label: give weights, or ase:module.Class")
    if not config.name.startswith(ASE):
        potential = load_potential(config.name, listener=listener)
        origin = {"weights": potential.name, "sha256": potential.sha256}
        return PotentialLabeller(potential), origin
    name = config.name.removeprefix(ASE)
    scheme = AseEvaluator(name, config.options).scheme
    return AseLabeller(make_calculator(name, config.options), scheme), {"evaluator": scheme}
