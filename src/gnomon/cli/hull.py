"""`gnomon hull`: answers from a table of phases."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from gnomon.chemistry.gases import element_potentials
from gnomon.cli.options import CommandError, Output
from gnomon.hull.answers import HullAnswer, query
from gnomon.hull.convex import Hull
from gnomon.hull.limits import chemical_potential_limits
from gnomon.hull.phases import phases_from_table
from gnomon.hull.reservoirs import metal_potential, open_answers
from gnomon.io.tables import read_table


def hull(
    phases: Path,
    queries: list[str],
    *,
    window: float = 0.0,
    scheme: str | None = None,
    limits: bool = False,
    open_: list[str] | None = None,
    gas: list[str] | None = None,
    temperature: float = 298.15,
    anode: str | None = None,
) -> Output:
    """Answer from the convex hull: e_above_hull, decomposition, the stable phases of a system.

    With --open, --gas or --anode: what becomes of them in contact with reservoirs.

    Args:
        phases: Parquet with reduced_formula and formation_energy_per_atom (eV/atom).
        queries: formulas or chemical systems.
        window: list phases up to this e_above_hull.
        scheme: name of the energy scheme, where the file has none.
        limits: chemical potentials between which each is stable.
        open_: an open element and its potential in eV/atom: O=-1.0.
        gas: a gas in contact and its partial pressure in bar: O2=0.21; H2, N2, O2, H2O, CO2.
        temperature: of the gases, K.
        anode: a metal in contact and in excess, such as Li.

    Example: gnomon hull ground_states.parquet LiFePO4 Li-Fe-P-O
    """
    reservoirs = bool(open_ or gas or anode)
    if limits and reservoirs:
        raise CommandError(
            "--limits are those of a closed system: leave out --open, --gas, --anode"
        )
    surface = Hull(phases_from_table(read_table(phases), scheme))
    if limits:
        return _limits(surface, queries)
    if reservoirs:
        potentials = _potentials(surface, open_ or [], gas or [], temperature, anode)
        return _reactions(surface, queries, potentials, window)
    answers = [query(surface, text, window=window) for text in queries]
    shown = tuple(part for answer in answers for part in _shown(answer))
    return Output([asdict(answer) for answer in answers], shown)


def _potentials(
    surface: Hull, open_: list[str], gas: list[str], temperature: float, anode: str | None
) -> dict[str, float]:
    """The chemical potentials (eV/atom) that the options fix; an element may be fixed once."""
    sources = [dict([_pair(text, "--open", "O=-1.0")]) for text in open_]
    if gas:
        pressures = [_pair(text, "--gas", "O2=0.21") for text in gas]
        sources.append(element_potentials(dict(pressures), temperature))
    if anode:
        sources.append(metal_potential(surface, anode))
    potentials: dict[str, float] = {}
    for source in sources:
        for symbol, potential in source.items():
            if symbol in potentials:
                raise CommandError(f"the chemical potential of {symbol} is fixed twice")
            potentials[symbol] = potential
    return potentials


def _pair(text: str, option: str, example: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError as error:
        raise CommandError(f"{option} {text!r}: write it as in {option} {example}") from error


def _shown(answer: HullAnswer) -> tuple[Any, ...]:
    about = f"{answer.query} (phases in the system: {answer.n_phases}; scheme: {answer.scheme})"
    rows = [
        {
            "formula": row.reduced_formula,
            "id": row.id,
            "formation energy (eV/atom)": row.formation_energy_per_atom,
            "e_above_hull (eV/atom)": row.e_above_hull,
            "competes with": " + ".join(f"{x:.3f} {f}" for f, x in row.decomposition) or "-",
        }
        for row in answer.phases
    ]
    return about, rows or "no phase within the window", ""


def _limits(surface: Hull, queries: list[str]) -> Output:
    for text in queries:
        if "-" in text:
            raise CommandError(f"--limits are those of a phase: give a formula, not {text}")
    found = [
        {"formula": text, "element": symbol, "lowest": low, "highest": high}
        for text in queries
        for symbol, (low, high) in chemical_potential_limits(surface, text).items()
    ]
    units = {"lowest": "lowest (eV/atom)", "highest": "highest (eV/atom)"}
    return Output(found, ([{units.get(k, k): v for k, v in row.items()} for row in found],))


def _reactions(
    surface: Hull, queries: list[str], potentials: dict[str, float], window: float
) -> Output:
    found = open_answers(surface, queries, potentials, window=window)
    rows = [
        {
            "formula": row.reduced_formula,
            "id": row.id,
            "reaction energy (eV/atom)": row.reaction_energy,
            "becomes": " + ".join(f"{n:.3g} {f}" for f, n in row.products),
            "takes up": ", ".join(f"{n:+.3g} {s}" for s, n in row.taken_up if n) or "-",
        }
        for row in found
    ]
    said = ", ".join(f"{symbol} {potential:+.4f}" for symbol, potential in potentials.items())
    return Output(
        {"chemical_potentials": potentials, "phases": [asdict(row) for row in found]},
        (rows or "no phase within the window",),
        said=(f"chemical potentials (eV/atom): {said}",),
    )
