"""Random structure search: cells of a composition relaxed by an evaluator, the lowest first.

What became of every try is counted: for many compositions only few of a hundred relax (Merchant et
al., Nature 624, 80 (2023), Methods).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from jaxtyping import Float64, Int64

from gnomon.crystals import Crystals
from gnomon.evaluate import Evaluator, Status
from gnomon.evaluate.table import evaluate_all
from gnomon.generate.random.generator import RandomSearchGenerator
from gnomon.io import to_arrow
from gnomon.run.listener import SILENT, Listener
from gnomon.structure.duplicates import group_duplicates


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
    seed: int,
    listener: Listener = SILENT,
) -> Iterator[Found]:
    """Make, relax and rank the cells of one composition after the other.

    Args:
        generator: what to search, and how often.
        evaluator: relaxes the cells.
        seed: of the cells.
        listener: hears of progress.
    """
    for composition in generator.compositions:
        cells = generator.distinct_cells(composition, seed).crystals
        yield _ranked(composition, generator.count, cells, evaluator, listener)


def _ranked(
    composition: str, tries: int, cells: Crystals, evaluator: Evaluator, listener: Listener
) -> Found:
    evaluations = evaluate_all(cells, evaluator, listener, composition)
    converged = np.flatnonzero(evaluations.status == Status.CONVERGED.value)
    energy = evaluations.energy_per_atom
    order = converged[np.argsort(energy[converged], kind="stable")]
    groups = group_duplicates(evaluations.relaxed.take(order)).of
    _, firsts, times = np.unique(groups, return_index=True, return_counts=True)
    chosen = order[firsts]
    return Found(
        composition=composition,
        scheme=evaluator.scheme,
        tries=tries,
        cells=len(cells),
        statuses=dict(sorted(Counter(evaluations.status.tolist()).items())),
        crystals=evaluations.relaxed.take(chosen),
        energy_per_atom=energy[chosen],
        times=times.astype(np.int64),
        starts=tuple(evaluations.ids[chosen].tolist()),
    )
