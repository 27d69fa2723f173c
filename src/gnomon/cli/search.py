"""`gnomon search`: structure search, random or by evolution."""

from __future__ import annotations

from typing import Annotated, Any

import pyarrow as pa

from gnomon.cli.generate import RANDOM, Seed
from gnomon.cli.options import Given, Output, Section
from gnomon.cli.shared import Evaluator, NewTable
from gnomon.discover.search import search as run
from gnomon.dynamics.settings import RelaxConfig
from gnomon.evaluate.registry import make_evaluator
from gnomon.generate.random.generator import RandomSearchGenerator
from gnomon.io.tables import write_table
from gnomon.run.listener import Listener
from gnomon.structure.labels import prototype_labels


def search(
    compositions: list[str],
    generator: Annotated[Given[RandomSearchGenerator], RANDOM],
    evaluator: Evaluator,
    relax: Annotated[RelaxConfig, Section(defaults={"fmax": 0.05})],
    listener: Listener,
    *,
    out: NewTable,
    generations: int = 1,
    seed: Seed = 0,
) -> Output:
    """Search the structures of compositions: random cells or generations, relaxed and ranked.

    Args:
        compositions: formulas, such as SiO2.
        generations: those after the first, which holds half of all cells, are children of the
            lowest so far.
        out: Parquet of what was found, the lowest first.

    Example: gnomon search TiO2 --count 100 --out tio2.parquet
    """
    made = generator.over(compositions=tuple(compositions))
    verifier = make_evaluator(evaluator, relax, listener)
    results = list(run(made, verifier, generations=generations, seed=seed, listener=listener))
    write_table(out, pa.concat_tables([found.table() for found in results]))
    found = [_facts(result) for result in results]
    return Output(
        {"scheme": verifier.scheme, "out": str(out), "found": found},
        ([facts | facts.pop("lowest") for facts in map(_facts, results)],),
        said=(f"scheme: {verifier.scheme}; results: {out}",),
    )


def _facts(found: Any) -> dict[str, Any]:
    """Yields of one search and its lowest crystal."""
    one = len(found.crystals) > 0
    converged = found.statuses.get("converged", 0)
    return {
        "composition": found.composition,
        "tries": found.tries,
        "cells": found.cells,
        "converged": converged,
        "failed": found.cells - converged,
        "distinct": len(found.crystals),
        "lowest": {
            "prototype": prototype_labels(found.crystals[0], 0.1).tolist()[0] if one else None,
            "energy_per_atom": round(float(found.energy_per_atom[0]), 4) if one else None,
            "times_found": int(found.times[0]) if one else None,
        },
    }
