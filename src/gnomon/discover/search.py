"""Structure search: cells of a composition relaxed by an evaluator, the lowest first.

Cells are random; with several generations the first is of random cells, half of all, and the later
ones, as many in each, are children of the lowest so far (``gnomon.generate.evolution``).  What
became of every try is counted: for many
compositions only few of a hundred relax (Merchant et al., Nature 624, 80 (2023), Methods).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from jaxtyping import Float64, Int64

from gnomon.crystals import Crystals
from gnomon.evaluate import Evaluations, Evaluator, Status
from gnomon.evaluate.table import evaluate_all
from gnomon.generate.evolution.generator import EvolutionGenerator
from gnomon.generate.evolution.population import Population
from gnomon.generate.random.generator import RandomSearchGenerator
from gnomon.io import to_arrow
from gnomon.run.listener import SILENT, Listener
from gnomon.structure.duplicates import group_duplicates

FRESH = 0.25
"""Of a later generation: random cells, so that what the population has lost may come again."""

FIRST = 0.5
"""Of all cells of several generations: the first, so that there is something to choose from."""


@dataclass(frozen=True, eq=False)
class Found:
    """What a search of one composition found: k distinct relaxed crystals, the lowest first.

    Attributes:
        composition: as it was given.
        scheme: of the energies.
        tries: cells asked for.
        cells: distinct cells that were made.
        statuses: how many evaluations ended in each status.
        crystals: the lowest of each group of duplicates.
        energy_per_atom: (k,), eV/atom.
        times: (k,), how many tries led to each.
        starts: ids of the cells that led to these.
        history: (cells,), eV/atom of every cell, in the order in which they were evaluated; NaN
            where it did not converge.
    """

    composition: str
    scheme: str
    tries: int
    cells: int
    statuses: dict[str, int]
    crystals: Crystals
    energy_per_atom: Float64[np.ndarray, " k"]
    times: Int64[np.ndarray, " k"]
    starts: tuple[str, ...]
    history: Float64[np.ndarray, " cells"]

    def table(self) -> pa.Table:
        """The crystals as rows, with energies, how often each was found, and the lineage."""
        rows = to_arrow(self.crystals)
        columns = {
            "energy_per_atom": pa.array(self.energy_per_atom, pa.float64()),
            "times_found": pa.array(self.times, pa.int64()),
            "parent_id": pa.array(self.starts, pa.string()),
            "generator": pa.array([RandomSearchGenerator.name] * len(self.crystals), pa.string()),
            "scheme": pa.array([self.scheme] * len(self.crystals), pa.string()),
        }
        for name, column in columns.items():
            rows = rows.append_column(name, column)
        return rows


def search(
    generator: RandomSearchGenerator,
    evaluator: Evaluator,
    *,
    generations: int = 1,
    first: float = FIRST,
    fresh: float = FRESH,
    seed: int,
    listener: Listener = SILENT,
) -> Iterator[Found]:
    """Make, relax and rank the cells of one composition after the other.

    Args:
        generator: what to search, and how many cells a generation has on average.
        evaluator: relaxes the cells.
        generations: of which the first is random.
        first: share of all cells that are in it, if there are several.
        fresh: share of random cells in the later ones.
        seed: of the cells.
        listener: hears of progress.
    """
    counts = _counts(generations * generator.count, generations, first)
    for composition in generator.compositions:
        made = replace(generator, count=counts[0])
        cells = made.distinct_cells(composition, seed).crystals
        parts = [evaluate_all(cells, evaluator, listener, composition)]
        for number, count in enumerate(counts[1:], 1):
            made = replace(generator, count=count)
            children = _children(parts, made, composition, fresh, seed + number)
            parts.append(
                evaluate_all(children, evaluator, listener, f"{composition}, {number + 1}")
            )
        yield _ranked(composition, sum(counts), Evaluations.concatenate(parts))


def _counts(tries: int, generations: int, first: float) -> list[int]:
    """Tries of each generation.

    >>> _counts(120, 6, 0.5), _counts(8, 2, 0.5), _counts(30, 1, 0.5)
    ([60, 12, 12, 12, 12, 12], [4, 4], [30])
    """
    if generations == 1:
        return [tries]
    begin = max(round(first * tries), 1)
    later = generations - 1
    return [begin, *(len(part) for part in np.array_split(np.arange(tries - begin), later))]


def _children(
    parts: Sequence[Evaluations],
    generator: RandomSearchGenerator,
    composition: str,
    fresh: float,
    seed: int,
) -> Crystals:
    """The next generation: of what was evaluated the lowest breed, and some cells are new.

    Children are no larger than random cells.
    """
    done = Evaluations.concatenate(list(parts))
    converged = done.status == Status.CONVERGED.value
    population = Population(done.relaxed[converged], done.energy_per_atom[converged][:, None])
    cells = round(fresh * generator.count)
    made = EvolutionGenerator(
        max_atoms=generator.most_atoms(composition),
        population=population,
        conserved=True,
        children=generator.count - cells,
    )
    found = [chunk.crystals for chunk in made.generate(Crystals.empty(), seed=seed)]
    if cells:
        found.append(replace(generator, count=cells).distinct_cells(composition, seed).crystals)
    return Crystals.concatenate(found)


def _ranked(composition: str, tries: int, evaluations: Evaluations) -> Found:
    converged = np.flatnonzero(evaluations.status == Status.CONVERGED.value)
    energy = evaluations.energy_per_atom
    order = converged[np.argsort(energy[converged], kind="stable")]
    groups = group_duplicates(evaluations.relaxed.take(order)).of
    _, firsts, times = np.unique(groups, return_index=True, return_counts=True)
    chosen = order[firsts]
    return Found(
        composition=composition,
        scheme=evaluations.scheme,
        tries=tries,
        cells=len(evaluations),
        statuses=dict(sorted(Counter(evaluations.status.tolist()).items())),
        crystals=evaluations.relaxed.take(chosen),
        energy_per_atom=energy[chosen],
        times=times.astype(np.int64),
        starts=tuple(evaluations.ids[chosen].tolist()),
        history=np.where(evaluations.status == Status.CONVERGED.value, energy, np.nan),
    )
