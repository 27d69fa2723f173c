"""Whether closed levels have the hull that evaluating everything would give, and what they save.

Every structure of screened campaigns is evaluated by what decides, and the levels are then closed
anew from these answers: the phases decided, and how far the hull is from that of all of them.

    python benchmarks/levels.py campaign-Au-Cu --decide nequix-oam-1-pft --out answers
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gnomon.discover import Campaign
from gnomon.discover.closure import MarginConfig, closure
from gnomon.discover.decide import BATCH
from gnomon.discover.level import Level
from gnomon.dynamics.settings import RelaxConfig
from gnomon.evaluate import Evaluator
from gnomon.evaluate.registry import EvaluatorConfig, make_evaluator
from gnomon.evaluate.table import Marks, evaluate_missing
from gnomon.run.listener import SILENT
from gnomon.run.store import Store


def everything(below: Level, evaluator: Evaluator, store: Store) -> Level:
    """All structures of a level, evaluated by the next one; goes on after a kill."""
    firsts = [rows[0].id for rows in below.groups]
    at = np.array([below.placed.row_of[key] for key in firsts], dtype=np.int64)
    crystals, ids = below.placed.found.relaxed[at], below.placed.found.ids[at]
    with store.locked():
        done = store.table("evaluations")["id"].to_pylist()
        for _ in evaluate_missing(crystals, done, evaluator, store, Marks(0, 1, ids), SILENT):
            pass
    return Level(1, evaluator.scheme, store.table("evaluations"), below.lineage, below)


def closed(below: Level, every: Level, elements: tuple[str, ...], margin: MarginConfig) -> Level:
    """The level when it is closed, batch after batch."""
    decided: list[str] = []
    while True:
        rows = every.evaluations
        rows = rows.filter(pc.is_in(rows["id"], pa.array(decided, pa.string())))
        level = Level(1, every.scheme, rows, below.lineage, below)
        left = closure(below, level, elements, margin).left
        if not left:
            return level
        decided += [one.phase.id for one in left[:BATCH]]


def main() -> None:
    """One line of JSON a campaign."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("campaigns", nargs="+", type=Path)
    parser.add_argument("--decide", default="nequix-oam-1-pft")
    parser.add_argument("--out", type=Path, default=Path("answers"))
    options = parser.parse_args()
    evaluator = make_evaluator(EvaluatorConfig(name=options.decide), RelaxConfig())
    for folder in options.campaigns:
        campaign, began = Campaign(folder), time.process_time()
        below, elements = campaign.level(0), campaign.config.elements
        every = everything(below, evaluator, Store(options.out / campaign.name))
        level = closed(below, every, elements, MarginConfig())
        composition = every.hull.phases.composition
        gap = level.hull.energy(composition) - every.hull.energy(composition)
        found = closure(below, level, elements, MarginConfig())
        facts = {
            "system": campaign.name,
            "screened": below.scheme,
            "decided": evaluator.scheme,
            "structures": len(below.groups),
            "evaluated_when_closed": len(level.evaluations),
            "margin_eV": round(found.margin, 4),
            "differences": found.n_differences,
            "largest_gap_of_the_hulls_eV": round(float(np.abs(gap).max()), 6),
            "stable_screened": int((below.placed.stable & below.placed.compound).sum()),
            "stable_of_all": int((every.placed.stable & every.placed.compound).sum()),
            "cpu_seconds": round(time.process_time() - began, 1),
        }
        print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    main()
