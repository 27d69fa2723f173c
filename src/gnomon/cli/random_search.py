"""`gnomon generate random` and `gnomon search`: random structure search."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gnomon.cli.options import json_object
from gnomon.cli.shared import Json, evaluator_config, refuse_existing, write_table

Compositions = Annotated[list[str], typer.Argument(help="Formulas, such as SiO2.")]
Count = Annotated[int, typer.Option(help="Cells of each composition.")]
FormulaUnits = Annotated[int, typer.Option(help="Most formula units in a primitive cell.")]
MaxAtoms = Annotated[int, typer.Option(help="Most atoms, unless one formula unit has more.")]
Smallest = Annotated[float, typer.Option(help="Smallest volume, of that estimated from radii.")]
Largest = Annotated[float, typer.Option(help="Largest volume, of that estimated from radii.")]
Seed = Annotated[int, typer.Option(help="Seed of every random choice.")]


def generate_random(
    compositions: Compositions,
    out: Annotated[Path, typer.Option(help="File of candidates (.parquet, .extxyz, .cif).")],
    count: Count = 100,
    formula_units: FormulaUnits = 8,
    max_atoms: MaxAtoms = 24,
    min_volume: Smallest = 0.4,
    max_volume: Largest = 1.2,
    seed: Seed = 0,
) -> None:
    """Make random symmetric cells of compositions, whose atoms keep their distance (AIRSS).

    Example: gnomon generate random SiO2 TiO2 --count 100 --out candidates.parquet
    """
    from gnomon.cli.generate_files import write_candidates
    from gnomon.crystals import Crystals

    refuse_existing(out)
    made = _generator(compositions, count, formula_units, max_atoms, (min_volume, max_volume))
    write_candidates(out, made.generate(Crystals.empty(), seed=seed))


def search(
    compositions: Compositions,
    out: Annotated[Path, typer.Option(help="Parquet of what was found, the lowest first.")],
    count: Count = 100,
    formula_units: FormulaUnits = 8,
    max_atoms: MaxAtoms = 24,
    min_volume: Smallest = 0.4,
    max_volume: Largest = 1.2,
    evaluator: Annotated[
        str,
        typer.Option(
            "--evaluator", "--weights", help="Potential (name or path) or ase:module.Class."
        ),
    ] = "gnomon-1",
    corrections: Annotated[
        str | None, typer.Option(help="'mp2020' or 'none' [mp2020 for potentials].")
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes; 0 takes one a core.")] = 0,
    fmax: Annotated[float, typer.Option(help="Force that counts as converged, eV/Å.")] = 0.05,
    steps: Annotated[int, typer.Option(help="Relaxation steps.")] = 300,
    options: Annotated[
        str, typer.Option(help="JSON of the calculator's arguments, as in '{\"cutoff\": 6}'.")
    ] = "{}",
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Search the structures of compositions: random cells, relaxed and ranked by energy.

    Example: gnomon search TiO2 --count 100 --out tio2.parquet
    """
    import pyarrow as pa

    from gnomon.cli.terminal import listening, put_json, put_table, say
    from gnomon.discover.search import search as run
    from gnomon.dynamics.settings import RelaxConfig
    from gnomon.evaluate.registry import make_evaluator

    refuse_existing(out)
    made = _generator(compositions, count, formula_units, max_atoms, (min_volume, max_volume))
    named = evaluator_config(evaluator, json_object(options, "--options"), corrections, workers)
    with listening() as listener:
        verifier = make_evaluator(named, RelaxConfig(fmax=fmax, max_steps=steps), listener)
        results = list(run(made, verifier, seed=seed, listener=listener))
    write_table(out, pa.concat_tables([found.table() for found in results]))
    if json:
        put_json({"scheme": verifier.scheme, "out": str(out), "found": list(map(_facts, results))})
        return
    put_table([{**facts, **facts.pop("lowest")} for facts in map(_facts, results)])
    say(f"scheme: {verifier.scheme}; results: {out}")


def _generator(
    compositions: list[str],
    count: int,
    formula_units: int,
    max_atoms: int,
    volumes: tuple[float, float],
) -> Any:
    from gnomon.generate.random.generator import RandomSearchGenerator

    return RandomSearchGenerator(tuple(compositions), count, formula_units, max_atoms, volumes)


def _facts(found: Any) -> dict[str, Any]:
    """Yields of one search and its lowest crystal, for people and for JSON."""
    from gnomon.structure.labels import prototype_labels

    lowest: dict[str, Any] = {}
    if len(found.crystals):
        lowest = {
            "prototype": prototype_labels(found.crystals[0], 0.1).tolist()[0],
            "energy_per_atom": round(float(found.energy_per_atom[0]), 4),
            "times_found": int(found.times[0]),
        }
    converged = found.statuses.get("converged", 0)
    return {
        "composition": found.composition,
        "tries": found.tries,
        "cells": found.cells,
        "converged": converged,
        "failed": found.cells - converged,
        "distinct": len(found.crystals),
        "lowest": lowest,
    }
