"""The replay: choose, reveal, learn, repeat; one append-only file for each strategy and seed."""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from gnomon.replay.learners import Forecast, Learner, Revealed
from gnomon.replay.pool import Pool, Replay
from gnomon.replay.strategies import MODEL_STRATEGIES, Settings, StrategyName, merit
from gnomon.run.files import write_atomically
from gnomon.run.listener import SILENT, Listener


@dataclass(frozen=True)
class Plan:
    """How much is evaluated.

    Attributes:
        batch: evaluations in a round.
        rounds: rounds.
        seeds: repetitions, each from its own seed.
        settings: what merits depend on.

    Raises:
        ValueError: if a number is below 1.
    """

    batch: int = 100
    rounds: int = 10
    seeds: int = 3
    settings: Settings = field(default_factory=Settings)

    def __post_init__(self) -> None:
        for name in ("batch", "rounds", "seeds"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be at least 1")


@dataclass(frozen=True, eq=False)
class Means:
    """What strategies rank by: two learners and the probabilities of substitution."""

    model: Learner | None = None
    composition: Learner | None = None
    probability: Float64[np.ndarray, " n"] | None = None

    def learner(self, strategy: StrategyName) -> Learner | None:
        """The one that this strategy asks; None if it asks none."""
        if strategy in MODEL_STRATEGIES:
            return self.model
        return self.composition if strategy == "composition" else None


@dataclass(frozen=True, eq=False)
class Round:
    """One round: the rows chosen, the error on them before they were revealed, the offset.

    Attributes:
        mae: of the forecast on the rows chosen, eV/atom; None without a forecast.
    """

    chosen: tuple[int, ...]
    mae: float | None
    offset: dict[str, float]


def replay_all(
    replayed: Replay,
    strategies: Sequence[StrategyName],
    means: Means,
    plan: Plan,
    folder: Path,
    listener: Listener = SILENT,
) -> dict[StrategyName, list[list[Round]]]:
    """Rounds of every strategy and seed; what is in the folder already is not done again.

    Raises:
        ValueError: if there is no strategy, one is named twice, or the folder is of another run.
    """
    if not strategies or len(set(strategies)) != len(strategies):
        raise ValueError(f"strategies {list(strategies)}: name at least one, each once")
    return {
        strategy: [
            _replay(replayed, strategy, means, plan, seed, folder / "rounds", listener)
            for seed in range(plan.seeds)
        ]
        for strategy in strategies
    }


def _replay(
    replayed: Replay,
    strategy: StrategyName,
    means: Means,
    plan: Plan,
    seed: int,
    folder: Path,
    listener: Listener,
) -> list[Round]:
    """All rounds of one strategy and seed; goes on after the last whole line of its file."""
    pool, answers, learner = replayed.pool, replayed.answers, means.learner(strategy)
    # what the rounds depend on; how many there are, and how many seeds, is not part of it
    facts: list[Any] = [replayed.sha256, strategy, "" if learner is None else learner.name]
    facts += [plan.batch, asdict(plan.settings)]
    key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    file = folder / f"{strategy}-{seed:03d}.jsonl"
    rounds = _read(file, key)[: plan.rounds]
    while len(rounds) < plan.rounds:
        index = np.array([i for r in rounds for i in r.chosen], dtype=np.int64)
        if len(index) == len(pool):
            break
        revealed = Revealed(index, answers.reveal(index))
        forecast = None if learner is None else learner.forecast(pool, revealed, seed=seed)
        chosen = _choose(pool, revealed, strategy, forecast, means, plan, seed)
        mae, offset = None, {}
        if forecast is not None:
            errors = np.abs(forecast.energy[chosen] - answers.reveal(chosen))
            mae = float(np.nanmean(errors)) if np.isfinite(errors).any() else None
            offset = forecast.offset
        rounds.append(Round(tuple(chosen.tolist()), mae, offset))
        _append(file, asdict(rounds[-1]))
        listener.tick(f"{strategy}, seed {seed}", len(rounds), plan.rounds)
    return rounds


def _choose(
    pool: Pool,
    revealed: Revealed,
    strategy: StrategyName,
    forecast: Forecast | None,
    means: Means,
    plan: Plan,
    seed: int,
) -> Int64[np.ndarray, " k"]:
    """The open rows of highest merit, from what was revealed; equal ones in the order of chance."""
    values = merit(strategy, plan.settings, forecast, means.probability, len(pool))
    open_rows = np.ones(len(pool), dtype=bool)
    open_rows[revealed.index] = False
    rng = np.random.default_rng([seed, len(revealed.index), zlib.crc32(strategy.encode())])
    rows = rng.permutation(np.flatnonzero(open_rows))
    return rows[np.argsort(-values[rows], kind="stable")][: plan.batch]


def _read(file: Path, key: str) -> list[Round]:
    """The whole rounds of a file, which is begun if there is none; a torn last line is cut off."""
    if not file.exists():
        write_atomically(file, json.dumps({"key": key}).encode() + b"\n")
    data = file.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if whole != data:
        write_atomically(file, whole)
    lines = [json.loads(line) for line in whole.decode().splitlines()]
    if not lines or lines[0].get("key") != key:
        raise ValueError(
            f"{file} holds rounds of other data, another model or other settings: choose another "
            "folder, or delete this one"
        )
    return [Round(tuple(row["chosen"]), row["mae"], row["offset"]) for row in lines[1:]]


def _append(file: Path, row: dict[str, Any]) -> None:
    with file.open("ab") as handle:
        handle.write(json.dumps(row).encode() + b"\n")
        handle.flush()
        os.fsync(handle.fileno())
