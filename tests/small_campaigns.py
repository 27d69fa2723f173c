"""Campaigns in Al-Ni that take a fraction of a second: few prototypes, and no calculator."""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from gnomon.crystals import Crystals
from gnomon.discover import Campaign, discover
from gnomon.discover.settings import CampaignConfig, load_config
from gnomon.generate import Candidates
from gnomon.generate.prototypes.generator import PrototypeGenerator
from gnomon.generate.registry import GeneratorSettings
from gnomon.hull.phases import ON_HULL
from gnomon.run.listener import SILENT
from gnomon.run.store import SCHEMAS, Store
from tests.calculators import FastEvaluator
from tests.conftest import EMT

AL, NI = 13, 28

SETTINGS: dict[str, Any] = {
    "system": "Al-Ni",
    "evaluator.name": EMT,
    "generate.generators": ["prototypes"],
    "generate.max_atoms": 2,
    "learn.min_labels": 1000,  # no network: only one test below trains one
    "learn.prior": False,  # nor asks those of the package
    "budget.rounds": 2,
    "budget.first_round": 2,
    "screen.random_share": 0.4,  # one ranked, one random
}


def settings(**changes: Any) -> CampaignConfig:
    overrides = {key.replace("__", "."): value for key, value in changes.items()}
    return load_config(None, SETTINGS | overrides)


@cache
def few_prototypes(system: tuple[str, ...], max_atoms: int) -> Candidates:
    """The first prototypes of as many species as there are elements: fcc, bcc, ..., B2, B1, ..."""
    [chunk] = PrototypeGenerator(system, max_atoms).generate(Crystals.empty(), seed=0)
    species = (chunk.crystals.composition > 0).sum(axis=1)
    first = np.flatnonzero(species == len(system))[: 2 + len(system)]
    return Candidates(chunk.crystals[first], chunk.lineage.take(first))


class FewPrototypes:
    """Few enough to run a campaign in a fraction of a second; two chunks, so two shards."""

    name = "prototypes"

    def __init__(self, settings: GeneratorSettings) -> None:
        self.chunk = few_prototypes(settings.system, settings.max_atoms)

    def generate(self, parents: Crystals, *, seed: int) -> Iterator[Candidates]:
        crystals, lineage = self.chunk.crystals, self.chunk.lineage
        yield Candidates(crystals[:2], lineage.slice(0, 2))
        yield Candidates(crystals[2:], lineage.slice(2))


ANSWERS: dict[Any, np.ndarray] = {}
"""Of spglib, for the crystals that every campaign below asks it about."""


def remembered(function: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    def ask(crystals: Crystals, *arguments: float) -> np.ndarray:
        key = (function.__name__, *crystals.ids, *arguments)
        if key not in ANSWERS:
            ANSWERS[key] = function(crystals, *arguments)
        return ANSWERS[key]

    return ask


def run(folder: Path, evaluator: FastEvaluator | None = None, **changes: Any) -> str:
    return discover(settings(**changes), Store(folder), evaluator or FastEvaluator(), SILENT).why


def tables(folder: Path) -> dict[str, pa.Table]:
    return {name: Store(folder).table(name) for name in SCHEMAS}


def assert_whole(folder: Path) -> None:
    """What holds in every campaign that has ended."""
    found, hull = tables(folder), Campaign(folder).hull_table()
    ids = found["crystals"]["id"].to_pylist()
    assert len(set(ids)) == len(ids)
    assert sorted(found["lineage"]["id"].to_pylist()) == sorted(ids)
    keys = found["crystals"]["canonical_id"].to_pylist()
    assert len(set(keys)) == len(keys)
    evaluated = found["evaluations"]["id"].to_pylist()
    assert len(set(evaluated)) == len(evaluated)
    screened = found["screening"]
    assert set(screened["id"].to_pylist()) == set(ids)
    chosen = screened.filter(screened["selection"].is_valid())
    assert Counter(chosen["id"].to_pylist()) == Counter(evaluated)
    for row in screened.to_pylist():
        assert (row["reason"] == "") == (row["kept"] and row["selection"] is not None)
    assert min(hull["e_above_hull"].to_pylist()) >= 0
    converged = Counter(found["evaluations"]["status"].to_pylist())["converged"]
    assert len(hull) == converged
    assert set(hull["chemical_system"].to_pylist()) <= {"Al", "Ni", "Al-Ni"}
    for element in ("Al", "Ni"):
        rows = [r for r in hull.to_pylist() if r["reduced_formula"] == element]
        assert any(abs(r["formation_energy_per_atom"]) < 1e-12 for r in rows)
        assert any(r["stable"] for r in rows)
        assert all(r["is_reference"] for r in rows)
    assert all(r["stable"] == (r["e_above_hull"] <= ON_HULL) for r in hull.to_pylist())


@contextmanager
def copied_before_writes(folder: Path, into: Path) -> Iterator[list[Path]]:
    """Copies of a folder just before each write, which is a rename: what SIGKILL leaves then."""
    copies: list[Path] = []
    rename = Path.replace

    def watched(self: Path, target: Path) -> Path:
        copies.append(shutil.copytree(folder, into / f"copy-{len(copies):03d}"))
        return rename(self, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "replace", watched)
        yield copies
