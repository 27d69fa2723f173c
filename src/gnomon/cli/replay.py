"""`gnomon replay`: a discovery campaign replayed on crystals whose answers are known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gnomon.cli.options import CommandError
from gnomon.cli.shared import Json, model_file, read_crystals

STRATEGIES = "random,greedy,ucb,ei,composition,substitution"


def replay(
    pool: Annotated[str, typer.Argument(help="Crystals with formation_energy_per_atom (eV/atom).")],
    out: Annotated[Path, typer.Option(help="Folder of rounds, summary.json and curves.html.")],
    known: Annotated[str | None, typer.Option(help="Labelled crystals to learn from.")] = None,
    phases: Annotated[Path | None, typer.Option(help="Parquet of the known hull.")] = None,
    learn_until: Annotated[
        int | None, typer.Option(help="Learn from the pool up to this year, find what came after.")
    ] = None,
    strategies: Annotated[str, typer.Option(help="Names, separated by commas.")] = STRATEGIES,
    model: Annotated[
        Path | None,
        typer.Option(
            parser=model_file,
            metavar="MODEL",
            help="Structural model, which learns where it errs: a file, or structural-1.",
        ),
    ] = None,
    composition_model: Annotated[
        Path | None,
        typer.Option(
            parser=model_file,
            metavar="MODEL",
            help="Model of formulas, for that strategy: a file, or composition-1.",
        ),
    ] = None,
    retrain: Annotated[
        bool, typer.Option("--retrain", help="Train a structural ensemble in every round.")
    ] = False,
    known_rows: Annotated[
        int, typer.Option(help="Known crystals that --retrain learns from, at most.")
    ] = 2000,
    batch: Annotated[int, typer.Option(help="Evaluations in a round.")] = 100,
    rounds: Annotated[int, typer.Option(help="Rounds.")] = 10,
    seeds: Annotated[int, typer.Option(help="Repetitions, each from its own seed.")] = 3,
    threshold: Annotated[float, typer.Option(help="e_above_hull that is stable, eV/atom.")] = 0.0,
    kappa: Annotated[float, typer.Option(help="Standard deviations that ucb takes off.")] = 1.0,
    pool_scheme: Annotated[str, typer.Option(help="Energy scheme of the pool.")] = "pool",
    known_scheme: Annotated[str, typer.Option(help="Energy scheme of the known.")] = "known",
    json: Json = False,
) -> None:
    """Replay a discovery campaign: hide the energies, choose, reveal, learn, repeat.

    The same command goes on where it was stopped.  Where the schemes differ in name, their
    difference is fitted in every round and reported.

    Example: gnomon replay wbm.parquet --known mp.parquet --phases ground_states.parquet --out sim
    """
    import json as json_library

    from gnomon.cli.terminal import listening, put_json, put_table, say
    from gnomon.replay.loop import Means, Plan, replay_all
    from gnomon.replay.plot import page, summary
    from gnomon.replay.pool import make_replay, split_by_year
    from gnomon.replay.strategies import Settings
    from gnomon.run.files import write_atomically

    names: Any = _names(strategies)
    if (learn_until is None) == (known is None):
        raise CommandError("give either --known or --learn-until: one of them says what is known")
    if learn_until is not None and phases is not None:
        raise CommandError("--phases carries no years and would know the future: leave it out")
    if model is not None and retrain:
        raise CommandError("--model is corrected and --retrain starts anew: give one of them")
    if composition_model is not None and "composition" not in names:
        raise CommandError("--composition-model needs composition among the --strategies")
    plan = Plan(batch, rounds, seeds, Settings(threshold, kappa))
    if learn_until is not None:
        hidden, year = _labelled(pool, known_scheme)
        hidden, learned = split_by_year(hidden, year, learn_until)
    else:
        hidden, _ = _labelled(pool, pool_scheme)
        learned, _ = _labelled(str(known), known_scheme)
    surface = None if phases is None else _phases(phases, learned.scheme)
    replayed = make_replay(hidden, learned, surface, threshold=threshold)
    retraining = (out / "models", known_rows) if retrain else None
    probability = _probability(replayed.pool) if "substitution" in names else None
    means = Means(_main(model, retraining), _of_formulas(composition_model), probability)
    with listening() as listener:
        runs = replay_all(replayed, names, means, plan, out, listener)
    found = summary(replayed, runs, (0.01, 0.02, 0.05, 0.1, 0.2, 0.5))
    write_atomically(out / "summary.json", json_library.dumps(found, indent=2).encode() + b"\n")
    write_atomically(out / "curves.html", page(found).encode())
    if json:
        put_json(found)
        return
    say(
        f"{found['stable_against_known']} of {found['pool']} crystals are stable against the known "
        f"phases; {found['stable_if_pool_shifted']} if the whole pool were shifted, eV/atom"
    )
    put_table(
        [
            {"strategy": name, **acceleration}
            for name, strategy in found["strategies"].items()
            for acceleration in strategy["acceleration"]
        ],
        empty="no share of the pool was reached: more --rounds or a larger --batch",
    )
    say(f"curves: {out / 'curves.html'}; all numbers: {out / 'summary.json'}")


def _names(text: str) -> list[str]:
    from gnomon.replay.strategies import NAMES

    names = [name.strip() for name in text.split(",")]
    unknown = [name for name in names if name not in NAMES]
    if unknown or len(set(names)) != len(names):
        raise CommandError(f"--strategies {text!r}: each once, of {', '.join(NAMES)}")
    return names


def _labelled(source: str, scheme: str) -> tuple[Any, Any]:
    """Crystals of a source with their energies, and their years (NaN without)."""
    import numpy as np

    from gnomon.cli.terminal import say
    from gnomon.replay.pool import Labelled

    found = read_crystals([source], strict=False)
    energies = np.asarray(
        found.rows["formation_energy_per_atom"].to_numpy(zero_copy_only=False), np.float64
    )
    year = np.asarray(found.rows["year"].to_numpy(zero_copy_only=False), np.float64)
    there = np.isfinite(energies)
    if not there.all():
        say(f"{source}: {int((~there).sum())} crystals without an energy are left out")
    return Labelled(found.crystals[there], energies[there], scheme), year[there]


def _phases(path: Path, scheme: str) -> Any:
    import pyarrow.parquet as pq

    from gnomon.hull import phases_from_table

    if not path.is_file():
        raise ValueError(f"{path} is no file: give a Parquet table of phases")
    return phases_from_table(pq.read_table(path), scheme)


def _main(model: Path | None, retrain: tuple[Path, int] | None) -> Any:
    """What greedy, ucb and ei ask."""
    from gnomon.replay.learners import CorrectedLearner, RidgeLearner, StructuralLearner

    if model is not None:
        from gnomon.models.structural.model import StructuralModel

        name = f"structural ensemble {_sha256(model)}, errors learned on its embeddings"
        return CorrectedLearner(StructuralModel.load(model), name)
    if retrain is not None:
        from gnomon.models.structural.train import TrainConfig

        return StructuralLearner(TrainConfig.small(rows=retrain[1]), *retrain)
    return RidgeLearner()


def _of_formulas(model: Path | None) -> Any:
    """What composition asks."""
    from gnomon.replay.learners import CorrectedLearner, RidgeLearner

    if model is None:
        return RidgeLearner()
    from gnomon.models.composition.model import CompositionModel

    name = f"composition ensemble {_sha256(model)}, corrected"
    return CorrectedLearner(CompositionModel.load(model), name)


def _probability(pool: Any) -> Any:
    """What substitution ranks by."""
    from gnomon.replay.parents import substitution_probability

    return substitution_probability(pool.crystals, pool.known.crystals)


def _sha256(path: Path) -> str:
    import hashlib

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]
