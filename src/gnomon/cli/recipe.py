"""`gnomon recipe`: how others would make a target."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from gnomon.cli.options import Output
from gnomon.elements import parse_formula
from gnomon.hull.phases import compositions, reduced_formulas
from gnomon.io.tables import read_table
from gnomon.run.listener import Listener
from gnomon.synthesis.balance import Reaction, energy
from gnomon.synthesis.literature import read_literature
from gnomon.synthesis.recipe import Recipe, Recipes, amounts_of
from gnomon.synthesis.solids import Solids, solids_from_table
from gnomon.synthesis.thermo import COLDEST, HOTTEST, PRESSURES, gas_gibbs

KELVIN = 273.15
"""0 °C."""


def recipe(
    target: str,
    listener: Listener,
    *,
    data: Path,
    phases: Path | None = None,
    cells: Path | None = None,
    most: Annotated[int, typer.Option("--recipes")] = 10,
) -> Output:
    """Propose recipes for a target as published syntheses of like targets have them.

    Precursors that papers use, a balanced reaction with gases, temperature and time, atmosphere,
    and the papers.  What it learns it learns anew each time, in half a minute.

    Args:
        target: formula.
        data: the text-mined set of Kononova et al. (2019), JSON or .xz; it is not part of gnomon.
        phases: Parquet as for `gnomon gibbs`: reactions get their Gibbs energies at the recipe's
            temperature in air, where it holds all solids.
        cells: Parquet that lends volumes to phases without.
        most: recipes.

    Example: gnomon recipe LiFePO4 --data solid-state_dataset_2019-12-03.json.xz
    """
    amounts = amounts_of(parse_formula(target))
    solids = None
    if phases is not None:
        lent = None if cells is None else read_table(cells)
        solids = solids_from_table(read_table(phases), cells=lent)
    literature = read_literature(data)
    listener.say(f"{len(literature.syntheses)} syntheses; learning from them")
    found = Recipes(literature).recipes(target, amounts, most)
    rows = [_row(one, solids) for one in found]
    shown = [
        {
            "precursors": " + ".join(row["precursors"]),
            "°C": f"{row['temperature']:.0f} ({row['low']:.0f}-{row['high']:.0f})",
            "h": "-" if row["hours"] is None else f"{row['hours']:g}",
            "in": row["atmosphere"] or "-",
            "eV/atom": "-" if row["energy"] is None else f"{row['energy']:+.3f}",
            "p": f"{row['probability']:.3f}",
        }
        for row in rows
    ]
    reactions = [f"{i}. {row['reaction'] or 'no single reaction'}" for i, row in enumerate(rows, 1)]
    papers = [f"{i}. {', '.join(row['sources'])}" for i, row in enumerate(rows, 1)]
    return Output(rows, (shown, "", *reactions, "", *papers))


def _row(one: Recipe, solids: Solids | None) -> dict[str, Any]:
    kelvin = min(max(one.temperature + KELVIN, COLDEST), HOTTEST)
    gained = None
    if solids is not None and one.reaction is not None:
        gained = reaction_energy(one.reaction, solids, kelvin)
    return {
        "precursors": one.precursors,
        "counts": one.counts,
        "probability": math.exp(one.score),
        "reaction": None if one.reaction is None else str(one.reaction),
        "energy": gained,
        "temperature": one.temperature,
        "low": one.interval[0],
        "high": one.interval[1],
        "hours": one.hours,
        "atmosphere": one.atmosphere,
        "sources": [doi for doi, _ in one.sources],
    }


def reaction_energy(reaction: Reaction, solids: Solids, kelvin: float) -> float | None:
    """Gibbs energy at a temperature (K) in air, eV per atom of the products; None if a solid lacks.

    Gases without a pressure in air are at 1e-3 bar.
    """
    formulas = [formula for _, formula in (*reaction.left, *reaction.right)]
    elements = sorted({symbol for formula in formulas for symbol in parse_formula(formula)})
    try:
        whole = solids.within(elements).at(kelvin, PRESSURES, 1e-3)
    except ValueError:
        return None
    places = dict(zip(whole.ids.tolist(), whole.formation_energy_per_atom.tolist(), strict=True))
    per_formula = {}
    for formula in formulas:
        counts = compositions([formula])
        if formula in {"O2", "N2"}:
            per_formula[formula] = gas_gibbs(formula, kelvin, PRESSURES[formula])
            continue
        try:
            name = str(reduced_formulas(counts)[0])
        except ValueError:
            return None
        if name not in places:
            return None
        per_formula[formula] = places[name] * float(counts.sum())
    atoms = sum(n * float(compositions([f]).sum()) for n, f in reaction.right)
    return energy(reaction, per_formula) / atoms
