"""Drafts of generators that begin with a composition, or with nothing, and not with a parent.

``random`` and ``prototypes`` make crystals of the likely compositions (``likely``); ``learned``
writes crystals of its own choice, or of those compositions where chemistry with wildcards is asked
for, which few of its own would fit.  Each composition, and each number of a draw, is a start, and a
task of its own.  Random cells are far from any minimum, where no network of relaxed crystals is
right: where a potential screens, it moves them a few steps before they are looked at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa

from gnomon.crystals import Crystals
from gnomon.discover.wide.drafts import ALIKE, DRAFTS, PROPOSED, Recipe, Sieve, best_of_alike, whole
from gnomon.dynamics.settings import RelaxConfig
from gnomon.elements import SYMBOLS, parse_formula
from gnomon.evaluate import Evaluator, Status
from gnomon.evaluate.registry import EvaluatorConfig, make_evaluator
from gnomon.evaluate.table import evaluate_all
from gnomon.generate import Candidates
from gnomon.generate.learned.generator import LearnedGenerator
from gnomon.generate.prototypes.generator import PrototypeGenerator
from gnomon.generate.prototypes.occurrence import Occurrence
from gnomon.generate.random.generator import RandomSearchGenerator
from gnomon.run.listener import SILENT
from gnomon.run.passes import counted

STARTS = pa.schema(
    [
        pa.field("generator", pa.string(), nullable=False),
        pa.field("formula", pa.string()),  # that candidates are of; null: any
        pa.field("draw", pa.int64(), nullable=False),  # number of it
    ]
)
"""Columns of starts."""

DRAWN = 128
"""Crystals that one start of ``learned`` asks for where it chooses their compositions."""

UNHELD = "cell that no relaxation held together"
"""What is counted beside what the sieve counts."""


@dataclass(frozen=True)
class Start:
    """How a start becomes drafts.

    Attributes:
        recipe: what is asked for, what is sane and new.
        seed: of the round.
        cells: of each composition, by ``random`` and ``learned``.
        ask: properties that ``learned`` draws for.
        potential: weights that move random cells, by name or file; none: as drawn.
        relax: how.
    """

    recipe: Recipe
    seed: int
    cells: int
    potential: str
    relax: RelaxConfig
    ask: tuple[str, ...] = ()


def begun(shard: pa.Table, start: Start) -> pa.Table:
    """Drafts of a shard of starts (schema ``DRAFTS``), each once."""
    tally: Counter[str] = Counter()
    sieve = Sieve(start.recipe, tally)
    tables = [DRAFTS.empty_table()]
    for row in shard.to_pylist():
        for chunk in BEGINNING[row["generator"]](row["formula"], row["draw"], start, tally):
            tables.append(whole(chunk, {}, sieve))
    every = pa.concat_tables(tables).combine_chunks()
    once = every.take(best_of_alike(every))
    tally[ALIKE] += len(every) - len(once)
    return counted(once, tally)


Made = Iterator[Candidates]


def _random(formula: str | None, draw: int, start: Start, tally: Counter[str]) -> Made:
    """Random cells of a composition, moved a few steps."""
    made = RandomSearchGenerator(
        (str(formula),), count=start.cells, max_atoms=start.recipe.max_atoms
    )
    for chunk in made.generate(Crystals.empty(), seed=start.seed):
        yield _moved(chunk, start, tally) if start.potential else chunk


def _prototypes(formula: str | None, draw: int, start: Start, tally: Counter[str]) -> Made:
    """Prototypes of a composition."""
    known = Occurrence.load(start.recipe.prototypes)
    elements = tuple(parse_formula(str(formula)))
    made = PrototypeGenerator(elements, start.recipe.max_atoms, known=known)
    for chunk in made.generate(Crystals.empty(), seed=start.seed):
        yield chunk.take(chunk.crystals.reduced_formulas == formula)


def _learned(formula: str | None, draw: int, start: Start, tally: Counter[str]) -> Made:
    """Crystals of a composition, or of any, that a transformer writes."""
    recipe = start.recipe
    made = LearnedGenerator(
        formula=formula,
        stable=True,
        ask=start.ask,
        count=start.cells if formula else DRAWN,
        max_atoms=recipe.max_atoms,
        exclude=tuple(set(SYMBOLS[1:]) - set(recipe.filter.elements)),
    )
    yield from made.generate(Crystals.empty(), seed=start.seed + SEEDS * draw)


SEEDS = 10**6
"""Between the seeds of two draws; that of a round is below."""

BEGINNING: dict[str, Callable[[str | None, int, Start, Counter[str]], Made]] = {
    "prototypes": _prototypes,
    "random": _random,
    LearnedGenerator.name: _learned,
}
"""Generators that begin without a parent."""


def _moved(chunk: Candidates, start: Start, tally: Counter[str]) -> Candidates:
    """Cells after some steps of a relaxation; those that came to nothing are left out."""
    done = evaluate_all(chunk.crystals, _evaluator(start.potential, start.relax), SILENT)
    held = np.isin(done.status, [Status.CONVERGED.value, Status.NOT_CONVERGED.value])
    made = RandomSearchGenerator.name
    tally[UNHELD] += int((~held).sum())
    tally[PROPOSED.format(made)] += int((~held).sum())  # the sieve counts the others
    steps = done.steps[held].tolist()
    before = chunk.take(held).lineage["change"].to_pylist()
    changes = [f"{text}, {n} steps" for text, n in zip(before, steps, strict=True)]
    return Candidates.of(done.relaxed[held], made, changes)


@cache
def _evaluator(potential: str, relax: RelaxConfig) -> Evaluator:
    return make_evaluator(EvaluatorConfig(name=potential), relax)


def starts(
    names: tuple[str, ...], formulas: list[str], draws: int, every_formula: bool
) -> Iterator[pa.Table]:
    """Shards of starts: one of each composition and each draw, for each generator.

    Args:
        names: of generators.
        formulas: compositions.
        draws: crystals of ``learned``.
        every_formula: whether ``learned`` makes them of the compositions too.
    """
    rows: list[dict[str, Any]] = []
    for name in names:
        if name == LearnedGenerator.name and not every_formula:
            numbers = range(-(-draws // DRAWN))
            rows += [{"generator": name, "formula": None, "draw": number} for number in numbers]
        else:
            rows += [{"generator": name, "formula": one, "draw": 0} for one in formulas]
    if not rows:
        yield STARTS.empty_table()
    for row in rows:
        yield pa.Table.from_pylist([row], schema=STARTS)
