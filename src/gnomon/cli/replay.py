"""`gnomon replay`: a discovery campaign replayed on crystals whose answers are known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from gnomon.cli.options import CommandError, Given, Output, Section
from gnomon.cli.shared import ENERGIES, MODEL, Folder, labelled, numbers, valued
from gnomon.hull.phases import phases_from_table
from gnomon.io.tables import read_table
from gnomon.models.card import Labelled
from gnomon.models.composition.model import CompositionModel
from gnomon.models.structural.model import StructuralModel
from gnomon.models.structural.train import TrainConfig
from gnomon.replay.learners import CorrectedLearner, RidgeLearner, StructuralLearner
from gnomon.replay.loop import Means, Plan, replay_all
from gnomon.replay.parents import substitution_probability
from gnomon.replay.plot import page, summary
from gnomon.replay.pool import make_replay, split_by_year
from gnomon.replay.strategies import NAMES, Settings
from gnomon.run.files import sha256_of, write_atomically
from gnomon.run.listener import Listener

STRATEGIES = "random,greedy,ucb,ei,composition,substitution"


def replay(
    pool: str,
    plan: Annotated[Given[Plan], Section(without=("settings",))],
    settings: Settings,
    listener: Listener,
    *,
    out: Folder,
    known: str | None = None,
    phases: Path | None = None,
    energies: str = ENERGIES,
    learn_until: int | None = None,
    strategies: str = STRATEGIES,
    model: Annotated[Path | None, typer.Option(**MODEL)] = None,
    composition_model: Annotated[Path | None, typer.Option(**MODEL)] = None,
    retrain: bool = False,
    known_rows: int = 2000,
    pool_scheme: str = "pool",
    known_scheme: str = "known",
) -> Output:
    """Replay a discovery campaign: hide the energies, choose, reveal, learn, repeat.

    The same command goes on where it was stopped.  Where the schemes differ in name, their
    difference is fitted in every round and reported.

    Args:
        pool: crystals with formation energies (eV/atom).
        out: folder of rounds, summary.json and curves.html.
        known: labelled crystals to learn from.
        phases: Parquet of the known hull.
        energies: column of the pool, a Parquet file, that holds its energies.
        learn_until: learn from the pool up to this year, find what came after.
        strategies: names, separated by commas.
        model: structural model, which learns where it errs: a file, or structural-2.
        composition_model: model of formulas, for that strategy: a file, or composition-1.
        retrain: train a structural ensemble in every round.
        known_rows: known crystals that --retrain learns from, at most.
        pool_scheme: energy scheme of the pool.
        known_scheme: energy scheme of the known.

    Example: gnomon replay wbm.parquet --known mp.parquet --phases ground_states.parquet --out sim
    """
    names: Any = _names(strategies)
    if model is not None and retrain:
        raise CommandError("--model is corrected and --retrain starts anew: give one of them")
    if composition_model is not None and "composition" not in names:
        raise CommandError("--composition-model needs composition among the --strategies")
    if learn_until is not None and phases is not None:
        raise CommandError("--phases carries no years and would know the future: leave it out")
    hidden, learned = _split(pool, known, energies, learn_until, (pool_scheme, known_scheme))
    surface = None
    if phases is not None:
        surface = phases_from_table(read_table(phases), learned.scheme)
    replayed = make_replay(hidden, learned, surface, threshold=settings.threshold)
    probability = None
    if "substitution" in names:
        pool_ = replayed.pool
        probability = substitution_probability(pool_.crystals, pool_.known.crystals)
    main = _main(model, (out / "models", known_rows) if retrain else None)
    means = Means(main, _of_formulas(composition_model), probability)
    runs = replay_all(replayed, names, means, plan.over(settings=settings), out, listener)
    found = summary(replayed, runs, (0.01, 0.02, 0.05, 0.1, 0.2, 0.5))
    write_atomically(out / "summary.json", json.dumps(found, indent=2).encode() + b"\n")
    write_atomically(out / "curves.html", page(found).encode())
    shares = [
        {"strategy": name, **acceleration}
        for name, strategy in found["strategies"].items()
        for acceleration in strategy["acceleration"]
    ]
    return Output(
        found,
        (shares or "no share of the pool was reached: more --rounds or a larger --batch",),
        said=(
            f"{found['stable_against_known']} of {found['pool']} crystals are stable against the "
            f"known phases; {found['stable_if_pool_shifted']} if the whole pool were shifted, "
            "eV/atom",
            f"curves: {out / 'curves.html'}; all numbers: {out / 'summary.json'}",
        ),
    )


def _split(
    pool: str, known: str | None, energies: str, learn_until: int | None, schemes: tuple[str, str]
) -> tuple[Labelled, Labelled]:
    """What is hidden, and what is known: another file, or what the pool had up to a year.

    Raises:
        CommandError: if it is not said which of them, or both.
    """
    if (learn_until is None) == (known is None):
        raise CommandError("give either --known or --learn-until: one of them says what is known")
    if learn_until is not None:
        if energies != ENERGIES:
            raise CommandError(
                "--energies names a column of a pool beside --known, not of its years"
            )
        crystals, rows = labelled([pool], schemes[1])
        return split_by_year(crystals, numbers(rows, "year"), learn_until)
    if energies == ENERGIES:
        hidden, _ = labelled([pool], schemes[0])
    else:
        hidden = valued([Path(pool)], energies, schemes[0])
    learned, _ = labelled([str(known)], schemes[1])
    return hidden, learned


def _names(text: str) -> list[Any]:
    names = [name.strip() for name in text.split(",")]
    unknown = [name for name in names if name not in NAMES]
    if unknown or len(set(names)) != len(names):
        raise CommandError(f"--strategies {text!r}: each once, of {', '.join(NAMES)}")
    return names


def _main(model: Path | None, retrain: tuple[Path, int] | None) -> Any:
    """What greedy, ucb and ei ask."""
    if model is not None:
        name = f"structural ensemble {sha256_of(model)[:12]}, errors learned on its embeddings"
        return CorrectedLearner(StructuralModel.load(model), name)
    if retrain is not None:
        return StructuralLearner(TrainConfig.small(rows=retrain[1]), *retrain)
    return RidgeLearner()


def _of_formulas(model: Path | None) -> Any:
    """What composition asks."""
    if model is None:
        return RidgeLearner()
    name = f"composition ensemble {sha256_of(model)[:12]}, corrected"
    return CorrectedLearner(CompositionModel.load(model), name)
