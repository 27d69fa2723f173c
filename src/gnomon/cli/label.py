"""`gnomon label`: a training set for potentials."""

from __future__ import annotations

import inspect
from dataclasses import asdict
from typing import Annotated

from gnomon.cli.options import CommandError, Output, Section
from gnomon.cli.shared import OF_EVALUATOR, Folder, Strict, Structures, read_crystals
from gnomon.dataset.committee import DisputedLabeller
from gnomon.dataset.label import LabelConfig
from gnomon.dataset.label import label as build
from gnomon.dataset.labellers import AseLabeller, Labeller, PotentialLabeller
from gnomon.dynamics.settings import RelaxConfig
from gnomon.evaluate.ase import make
from gnomon.evaluate.calculators import make_calculator
from gnomon.evaluate.registry import DEFAULT_EVALUATOR, NAMES, EvaluatorConfig
from gnomon.potential.predict import load_potential
from gnomon.run.listener import Listener

LABELLER = Section(
    only=("name", "options", "trust_factory"),
    names=OF_EVALUATOR,
    defaults={"name": inspect.Parameter.empty},
)


def label(
    crystals: Structures,
    evaluator: Annotated[EvaluatorConfig, LABELLER],
    config: Annotated[LabelConfig, Section(without=("perturb.volumes", "fmax"))],
    listener: Listener,
    *,
    out: Folder,
    mover: str | None = None,
    committee: list[str] | None = None,
    dispute: float = 0.1,
    strict: Strict = False,
) -> Output:
    """Build a training set: perturb, substitute and partially relax crystals, label every frame.

    Only formulas whose hash is below 75 are labelled unless told otherwise, so that the others can
    validate.  The same command goes on where it was stopped.

    Args:
        out: folder of the training set.
        mover: weights that relax: the first of a committee, those that label, or gnomon-2, unless
            told otherwise.
        committee: weights, given twice or more: only frames on which these disagree are labelled.
        dispute: by how much the forces of a committee must differ, eV/Å.

    Example: gnomon label structures.parquet --weights nequix-oam-1-pft --out frames
    """
    if committee and len(set(committee)) < 2:
        raise CommandError(f"--committee {committee[0]} alone agrees: name two potentials or more")
    found = read_crystals(crystals, strict)
    labeller, origin = _labeller(evaluator, listener)
    if committee:
        judges = [load_potential(name, listener=listener) for name in committee]
        labeller = DisputedLabeller(labeller, judges, dispute)
        origin |= {"committee": ", ".join(judge.scheme for judge in judges)}
        origin |= {"dispute": f"{dispute:g} eV/Å"}
        mover = mover or committee[0]
    if mover is None and evaluator.kind == "ase" and (config.unrelaxed or config.substitutes):
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
    if config.kind in ("", *NAMES):
        potential = load_potential(config.name, listener=listener)
        origin = {"weights": potential.name, "sha256": potential.sha256}
        return PotentialLabeller(potential), origin
    if config.kind != "ase":
        raise CommandError(f"{config.name} does not label: give weights, or ase:module.Class")
    named = make(config, RelaxConfig(), listener)
    calculator = make_calculator(named.calculator, named.options, named.trust)
    return AseLabeller(calculator, named.scheme), {"evaluator": named.scheme}
