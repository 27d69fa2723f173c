"""`gnomon label`: a training set for potentials."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gnomon.cli.options import CommandError, json_object
from gnomon.cli.shared import Json, Strict, Structures, read_crystals


def label(
    crystals: Structures,
    out: Annotated[Path, typer.Option(help="Folder of the training set.")],
    weights: Annotated[
        str | None, typer.Option(help="Label by these weights: a name, or a file.")
    ] = None,
    evaluator: Annotated[
        str | None, typer.Option(help="Label by a calculator: ase:module.Class.")
    ] = None,
    options: Annotated[
        str, typer.Option(help="JSON of the calculator's arguments, as in '{\"cutoff\": 6}'.")
    ] = "{}",
    copies: Annotated[int, typer.Option(help="Perturbed copies of each crystal.")] = 4,
    min_rattle: Annotated[float, typer.Option(help="Least rattle of a copy, Å.")] = 0.01,
    max_rattle: Annotated[float, typer.Option(help="Greatest rattle of a copy, Å.")] = 0.25,
    strain: Annotated[float, typer.Option(help="Bound of a strain's components.")] = 0.05,
    scan_atoms: Annotated[
        int, typer.Option(help="Largest cell that is scanned in volume (80 to 120 %).")
    ] = 4,
    substitutes: Annotated[
        int, typer.Option(help="Ionic substitutions of each crystal, partially relaxed.")
    ] = 0,
    mover: Annotated[
        str | None,
        typer.Option(
            help="Weights that relax: those of --weights, or gnomon-1, unless told otherwise."
        ),
    ] = None,
    unrelaxed: Annotated[
        bool, typer.Option("--unrelaxed", help="Relax the given crystals partially instead.")
    ] = False,
    relax_steps: Annotated[int, typer.Option(help="Steps of a partial relaxation.")] = 40,
    relax_frames: Annotated[int, typer.Option(help="Frames kept of a relaxation.")] = 5,
    below: Annotated[
        int, typer.Option(help="Keep formula hashes below this; 75 to 84 validate.")
    ] = 75,
    at_least: Annotated[int, typer.Option(help="Keep formula hashes from this on.")] = 0,
    chunk: Annotated[int, typer.Option(help="Crystals in a part.")] = 64,
    seed: Annotated[int, typer.Option(help="Seed of every random choice.")] = 0,
    strict: Strict = False,
    json: Json = False,
) -> None:
    """Build a training set: perturb, substitute and partially relax crystals, label every frame.

    Only formulas whose hash is below 75 are labelled unless told otherwise, so that the others can
    validate.  The same command goes on where it was stopped.

    Example: gnomon label structures.parquet --weights nequix-oam-1-pft --out frames
    """
    from dataclasses import asdict

    from pydantic import ValidationError

    from gnomon.cli.terminal import listening, put_json, put_table, say
    from gnomon.dataset.label import LabelConfig
    from gnomon.dataset.label import label as build
    from gnomon.dataset.perturb import PerturbConfig
    from gnomon.potential.predict import load_potential

    try:
        config = LabelConfig(
            perturb=PerturbConfig(
                copies=copies,
                min_rattle=min_rattle,
                max_rattle=max_rattle,
                strain=strain,
                scan_atoms=scan_atoms,
            ),
            unrelaxed=unrelaxed,
            substitutes=substitutes,
            relax_steps=relax_steps,
            relax_frames=relax_frames,
            at_least=at_least,
            below=below,
            chunk=chunk,
            seed=seed,
        )
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][-1]).replace("_", "-") if first["loc"] else "options"
        raise CommandError(f"--{name}: {first['msg']}") from error
    found = read_crystals(crystals, strict)
    if mover is None and weights is None and (unrelaxed or substitutes):
        mover = "gnomon-1"
    with listening() as listener:
        labeller, origin = _labeller(weights, evaluator, options, listener)
        summary = build(
            found.crystals,
            labeller,
            config,
            out,
            origin=origin,
            mover=load_potential(mover, listener=listener) if mover else None,
            listener=listener,
        )
    if json:
        put_json({"scheme": labeller.scheme, **asdict(summary), "out": str(out)})
        return
    rejected = sum(summary.rejected.values())
    put_table(
        [
            {
                "frames": summary.frames,
                "unrelaxed starts": summary.first,
                "atoms": summary.atoms,
                "rejected": rejected,
                "crystals held out": summary.held_out,
                "repeated": summary.repeated,
            }
        ]
    )
    for reason, count in summary.rejected.items():
        say(f"kept out: {count}: {reason}")
    say(f"scheme: {labeller.scheme}; training set: {out}")


def _labeller(
    weights: str | None, evaluator: str | None, options: str, listener: Any
) -> tuple[Any, Any]:
    """Who labels, and what is written down of it."""
    from gnomon.dataset.labellers import AseLabeller, PotentialLabeller

    if (weights is None) == (evaluator is None):
        raise CommandError("give one of --weights NAME|PATH and --evaluator ase:module.Class")
    if weights is not None:
        if json_object(options, "--options"):
            raise CommandError("--options are those of an --evaluator; --weights take none")
        from gnomon.potential.predict import load_potential

        potential = load_potential(weights, listener=listener)
        origin = {"weights": potential.name, "sha256": potential.sha256}
        return PotentialLabeller(potential), origin

    from gnomon.evaluate.ase import AseEvaluator, make_calculator

    kind, _, name = str(evaluator).partition(":")
    if kind != "ase" or not name:
        raise CommandError(
            f"no evaluator {evaluator!r}: give ase:module.Class, as in ase:ase.calculators.emt.EMT"
        )
    arguments = json_object(options, "--options")
    scheme = AseEvaluator(name, arguments).scheme
    return AseLabeller(make_calculator(name, arguments), scheme), {"evaluator": scheme}
