"""Are the first compositions of the prospective test stable at the level that decides?

    python benchmarks/prospective_levels.py --work FOLDER [--first 1000] [--sample 0] [--minutes 60]

``FOLDER`` is that of ``benchmarks/prospective.py``, which ranked them.  In the order of the rank,
or with ``--sample`` in a random one by this seed, so that any part of them speaks for all of the
first n, 8 at a time, candidates are relaxed by gnomon-2 and from there by nequix-oam-1-pft; then
the crystals of formula hashes below 75 with which they compete are relaxed by nequix-oam-1-pft, as
``gnomon.discover.wide.competing`` asks for them, until the verdicts are closed: none of the others
lies below the mixture that a candidate is held against even with the margin in its favour.
Candidates do not compete with each other.

Counted of all, failures too: on or below the hull.  Most phases of the larger release have
no crystal in the file: those verdicts are counted again on the hull that has these too, each with
its energy in the release and the difference between the levels that is expected there.  What was
evaluated is kept, and the same command goes on with more.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gnomon.crystals import Crystals
from gnomon.discover.closure import MarginConfig
from gnomon.discover.level import Level
from gnomon.discover.rates import wilson
from gnomon.discover.wide.competing import asked, on_whole_hull
from gnomon.discover.wide.database import MATERIALS_PROJECT, Database
from gnomon.discover.wide.drafts import DRAFTS, built
from gnomon.dynamics.settings import RelaxConfig
from gnomon.evaluate import Evaluator
from gnomon.evaluate.registry import EvaluatorConfig, make_evaluator
from gnomon.evaluate.table import evaluate_all, rows_of
from gnomon.hull.phases import ON_HULL
from gnomon.io import from_arrow
from gnomon.run.listener import SILENT
from record import RESULTS, save

RESULT, SAMPLE = RESULTS / "prospective_levels.json", RESULTS / "prospective_sample.json"
SCREENS, DECIDES = "gnomon-2", "nequix-oam-1-pft"
BATCH = 8


class Evaluated:
    """Evaluations of one level, kept in a file: by the id of what was evaluated."""

    def __init__(self, file: Path, name: str) -> None:
        """The file, which need not be there yet, and the evaluator."""
        self.file = file
        self.evaluator: Evaluator = make_evaluator(
            EvaluatorConfig(name=name), RelaxConfig(), SILENT
        )
        self.rows = pq.read_table(file) if file.exists() else None

    def of(self, crystals: Crystals, known: bool) -> pa.Table:
        """The rows of crystals, those that are missing evaluated first."""
        have = set() if self.rows is None else set(self.rows["id"].to_pylist())
        new = crystals[np.array([key not in have for key in crystals.ids], bool)]
        if len(new):
            found = rows_of(evaluate_all(new, self.evaluator, SILENT))
            found = found.append_column("round", pa.array([0 if known else 1] * len(found)))
            self.rows = found if self.rows is None else pa.concat_tables([self.rows, found])
            pq.write_table(self.rows, self.file.with_suffix(".new"))
            self.file.with_suffix(".new").rename(self.file)
        place = {key: i for i, key in enumerate(self.rows["id"].to_pylist())}
        return self.rows.take([place[key] for key in crystals.ids])


def closed(
    candidates: pa.Table, decides: Evaluated, database: Database, until: float
) -> tuple[Level, int] | None:
    """The level with all that candidates compete with, and how many; None: there was no time."""
    known: list[pa.Table] = []
    while True:
        rows = pa.concat_tables([candidates, *known])
        lineage = pa.table({n: pa.nulls(0, pa.string()) for n in ("id", "parent_id")})
        level = Level(0, decides.evaluator.scheme, rows, lineage)
        want = asked(level, database, MarginConfig(), known_only=True)
        if not len(want.crystals):
            return level, sum(map(len, known))
        if time.monotonic() > until:
            return None
        known.append(decides.of(want.crystals, known=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--first", type=int, default=1000)
    parser.add_argument("--sample", type=int, help="seed of a random order")
    parser.add_argument("--minutes", type=float, default=60.0)
    given = parser.parse_args()
    work, until = given.work / "test", time.monotonic() + 60 * given.minutes
    database = Database.read(
        work / "parents.parquet", MATERIALS_PROJECT, (work / "phases.parquet",)
    )
    rows = pq.read_table(work / "first.parquet").slice(0, given.first)
    for name in ("lattice", "frac_coords"):  # all are substitutions: cells of their parents
        rows = rows.append_column(name, pa.nulls(len(rows), DRAFTS.field(name).type))
    crystals = built(rows.select(DRAFTS.names), database.crystals)
    if given.sample is not None:
        crystals = crystals[np.random.default_rng(given.sample).permutation(len(crystals))]
    screens = Evaluated(work / "screened.parquet", SCREENS)
    decides = Evaluated(work / "decided.parquet", DECIDES)
    result: dict[str, Any] = {}
    for end in range(BATCH, len(crystals) + BATCH, BATCH):
        first = crystals[:end]
        relaxed = from_arrow(screens.of(first, known=False))
        found = closed(decides.of(relaxed, known=False), decides, database, until)
        if found is None:
            break
        result = told(*found, first, relaxed, database)
        result |= {"of_the_first": len(crystals), "seed": given.sample}
        file = RESULT if given.sample is None else SAMPLE
        save({"screens": SCREENS, "decides": DECIDES, **result}, file)


def told(
    level: Level, known: int, first: Crystals, relaxed: Crystals, database: Database
) -> dict[str, Any]:
    """Counts of the first compositions."""
    whole = on_whole_hull(level, database, MarginConfig())
    above, with_others = (
        np.array([where.get(key, np.inf) for key in relaxed.ids.tolist()]) for where in whole
    )
    n = len(first)
    on = wilson(int((above <= ON_HULL).sum()), n)
    strict = wilson(int((with_others <= ON_HULL).sum()), n)
    return {
        "evaluated": n,
        "without_energy": int((~np.isfinite(above)).sum()),
        "crystals_evaluated_to_compete": known,
        "on_or_below_the_hull": on.k,
        "share": on.value,
        "interval": [on.low, on.high],
        "on_or_below_with_phases_without_crystals": strict.k,
        "share_with_these": strict.value,
        "interval_with_these": [strict.low, strict.high],
        "median_above_hull": float(np.median(above[np.isfinite(above)])),
    }


if __name__ == "__main__":
    main()
