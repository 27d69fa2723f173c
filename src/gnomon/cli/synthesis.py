"""`gnomon gibbs` and `routes`: what is stable and what reacts at a temperature."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from gnomon.cli.options import CommandError, Output
from gnomon.cli.shared import place
from gnomon.elements import parse_formula, parse_system
from gnomon.hull.convex import Hull
from gnomon.hull.phases import compositions, phases_from_table, reduced_formulas
from gnomon.io.tables import read_table
from gnomon.run.writing import write_bytes
from gnomon.synthesis.picture import draw
from gnomon.synthesis.routes import Network, Route
from gnomon.synthesis.solids import Solids, solids_from_table
from gnomon.synthesis.thermo import CARBONATE, PRESSURES


def gibbs(
    phases: Path,
    queries: list[str],
    *,
    temperature: float = 1000.0,
    gas: list[str] | None = None,
    cells: Path | None = None,
    carbonate: float = CARBONATE,
    measured: bool = False,
) -> Output:
    """Gibbs energies of formation at a temperature, and what is stable there.

    Solids by the descriptor of Bartel et al. (2018), gases from tables.

    Args:
        phases: Parquet with reduced_formula, formation_energy_per_atom (eV/atom) and volumes:
            volume_per_atom (Å³/atom), or lattice and atomic_numbers.
        queries: formulas or chemical systems.
        temperature: K, 300 to 2000.
        gas: a gas and its partial pressure in bar: CO2=1; those of air if none is given.
        cells: Parquet that lends volumes to phases without.
        carbonate: eV added for each CO3; 0 for energies that need no correction.
        measured: take only solids whose Gibbs energies were measured (some 300), with these.

    Example: gnomon gibbs phases.parquet BaTiO3 Ba-C-O --temperature 1200 --gas CO2=1
    """
    solids = _solids(phases, cells, carbonate, measured)
    rows: list[dict[str, Any]] = []
    for query in queries:
        rows += _gibbs_rows(solids, query, temperature, pressures_of(gas))
    shown = [
        {
            "formula": row["reduced_formula"],
            "G of formation (eV/atom)": row["gibbs_energy_per_atom"],
            "above the hull (eV/atom)": row["e_above_hull"],
            "falls into": " + ".join(f"{x:.3f} {f}" for f, x in row["decomposition"].items())
            or "-",
        }
        for row in rows
    ]
    return Output(rows, (shown,), _estimates(solids, [row["reduced_formula"] for row in rows]))


def _gibbs_rows(
    solids: Solids, query: str, temperature: float, pressures: dict[str, float]
) -> list[dict[str, Any]]:
    """The phases of a query: of a system those on its hull, of a formula the lowest."""
    elements = parse_system(query) if "-" in query else tuple(parse_formula(query))
    found = solids.within(elements).at(temperature, pressures)
    hull = Hull(found)
    if "-" in query:
        wanted = list(range(len(found)))
    else:
        formula = str(reduced_formulas(compositions([query]))[0])
        index = int(hull.find(compositions([formula]))[0])
        if index < 0:
            raise ValueError(f"the table has no phase {formula}")
        wanted = [index]
    part = found.take(wanted)
    above = hull.e_above_hull(part.composition, part.formation_energy_per_atom)
    below = hull.decomposition(part.composition)
    rows: list[dict[str, Any]] = [
        {
            "reduced_formula": str(part.reduced_formulas[i]),
            "temperature": temperature,
            "gibbs_energy_per_atom": float(part.formation_energy_per_atom[i]),
            "e_above_hull": float(above[i]),
            "decomposition": below[i] if above[i] > 0 else {},
        }
        for i in range(len(part))
    ]
    stable = [row for row in rows if row["e_above_hull"] <= 0]
    return stable if "-" in query else rows


def _solids(phases: Path, cells: Path | None, carbonate: float, measured: bool) -> Solids:
    table = read_table(phases)
    if measured:  # which ask for no volume
        given = phases_from_table(table)
        volumes, estimated = np.full(len(given), np.nan), np.zeros(len(given), bool)
        return Solids(given, volumes, estimated).only_measured()
    lent = None if cells is None else read_table(cells)
    return solids_from_table(table, carbonate=carbonate, cells=lent)


def _estimates(solids: Solids, formulas: Sequence[str]) -> tuple[str, ...]:
    """A note on phases whose volumes are estimated."""
    known = dict(
        zip(solids.phases.reduced_formulas.tolist(), solids.estimated.tolist(), strict=True)
    )
    names = sorted({formula for formula in formulas if known.get(formula)})
    count = f"{len(names)} phases" if len(names) > 5 else ", ".join(names)
    return (f"no cell, volume estimated from the elements: {count}",) if names else ()


def pressures_of(texts: Sequence[str] | None) -> dict[str, float]:
    """Gases and pressures (bar) of options such as ``CO2=1``; those of air where there are none.

    Raises:
        CommandError: for a text that is not so, or a pressure that is not positive.
    """
    if not texts:
        return dict(PRESSURES)
    found = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            found[name] = float(value)
        except ValueError as error:
            raise CommandError(f"--gas {text!r}: write it as in --gas CO2=1") from error
        if not found[name] > 0:
            raise CommandError(f"--gas {text!r}: the pressure must be above 0 bar")
    return found


def routes(
    target: str,
    phases: Path,
    *,
    precursor: list[str],
    temperature: float = 1100.0,
    gas: list[str] | None = None,
    most: Annotated[int, typer.Option("--routes")] = 5,
    cells: Path | None = None,
    carbonate: float = CARBONATE,
    measured: bool = False,
    picture: Annotated[Path | None, place(".svg", option="--picture")] = None,
) -> Output:
    """Find reactions that lead from precursors to a target, the cheapest routes first.

    Pairs of phases react along the hull at a temperature, and their products go on; a route that
    gains much and has few competing reactions costs little.

    Args:
        target: reduced formula.
        phases: Parquet with reduced_formula, formation_energy_per_atom and volumes, as for
            `gnomon gibbs`; it must hold target and precursors.
        precursor: formula; repeatable.
        temperature: K, 300 to 2000.
        gas: a gas and its partial pressure in bar: N2=1; those of air if none is given.
        most: routes.
        cells: Parquet that lends volumes to phases without.
        carbonate: eV added for each CO3; 0 for energies that need no correction.
        measured: take only solids whose Gibbs energies were measured (some 300), with these.
        picture: SVG file of the routes.

    Example: gnomon routes BaTiO3 phases.parquet --precursor BaCO3 --precursor TiO2
    """
    wanted, *start = (
        str(name) for name in reduced_formulas(compositions([target, *precursor])).tolist()
    )
    elements = sorted({symbol for formula in (wanted, *start) for symbol in parse_formula(formula)})
    if len(parse_formula(wanted)) < 2:
        raise CommandError(f"{target} is one element: there is nothing to react")
    brought = {symbol for formula in start for symbol in parse_formula(formula)}
    pressures = pressures_of(gas)
    brought |= {symbol for name in pressures for symbol in parse_formula(name)}
    if lacking := sorted({*parse_formula(wanted)} - brought):
        raise CommandError(f"no precursor holds {', '.join(lacking)}: {target} cannot be made")
    solids = _solids(phases, cells, carbonate, measured).within(elements)
    network = Network(solids, start, wanted, temperature, pressures)
    found = network.routes(most)
    if not found:
        raise ValueError(f"no route leads from {', '.join(start)} to {target} at {temperature:g} K")
    if picture is not None:
        write_bytes(picture, draw(found, start).encode())
    shown = [
        text
        for number, route in enumerate(found, 1)
        for text in (f"Route {number}, cost {route.cost:.3f}", str(route), "")
    ]
    about = f"{len(network.phases)} phases, {len(network.reactions)} reactions"
    return Output([_as_data(route) for route in found], tuple(shown), (about,))


def _as_data(route: Route) -> dict[str, Any]:
    return {
        "target": route.target,
        "cost": route.cost,
        "overall": None if route.overall is None else str(route.overall),
        "intermediates": route.intermediates,
        "side_products": route.side_products,
        "steps": [
            {
                "reaction": None if step.reaction is None else str(step.reaction),
                "energy": step.energy,
                "competing": step.competing,
                "cost": step.cost,
            }
            for step in route.steps
        ],
    }
