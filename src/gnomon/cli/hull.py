"""`gnomon hull`: answers from a table of phases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from gnomon.chemistry.gases import element_potentials
from gnomon.cli.options import CommandError, Output
from gnomon.hull.answers import HullAnswer, answers
from gnomon.hull.convex import Hull
from gnomon.hull.limits import chemical_potential_limits
from gnomon.hull.phases import evaluated, phases_from_table
from gnomon.hull.reservoirs import metal_potential, open_answers
from gnomon.io.tables import read_table
from gnomon.run.listener import Listener


def hull(
    phases: Path,
    queries: list[str],
    listener: Listener,
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

    With --open, --gas or --anode: what becomes of them in contact with reservoirs.  Elements that
    a table of `gnomon evaluate` lacks are evaluated.

    Args:
        phases: Parquet with reduced_formula and formation_energy_per_atom (eV/atom), or what
            `gnomon evaluate` wrote.
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
    table = read_table(phases)
    surface = Hull(phases_from_table(table, scheme, partial(_elements, listener)))
    if "formation_energy_per_atom" not in table.column_names:
        left = len(table) - evaluated(table).num_rows
        if left:
            listener.say(f"{left} of {len(table)} rows are not converged: left out")
    if limits:
        return _limits(surface, queries)
    if reservoirs:
        potentials = _potentials(surface, open_ or [], gas or [], temperature, anode)
        return _reactions(surface, queries, potentials, window)
    found = answers(surface, queries, window=window)
    unknown = {answer.query: answer.reason for answer in found if answer.reason}
    shown = tuple(part for answer in found for part in _shown(answer) if not answer.reason)
    return Output([asdict(answer) for answer in found], shown, _unanswered(unknown, queries))


def _elements(listener: Listener, symbols: Sequence[str], scheme: str) -> dict[str, float]:
    from gnomon.evaluate.by_name import elements_in

    return elements_in(symbols, scheme, listener)


def _unanswered(reasons: Mapping[str, str], queries: list[str]) -> tuple[str, ...]:
    """Notes on queries without an answer.

    Raises:
        ValueError: if there is none to any.
    """
    notes = tuple(f"{text}: {reason}" for text, reason in reasons.items())
    if len(reasons) == len(set(queries)):
        raise ValueError("; ".join(notes) if len(notes) > 1 else next(iter(reasons.values())))
    return notes


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
    found: list[dict[str, Any]] = []
    unknown: dict[str, str] = {}
    for text in queries:
        try:
            limits = chemical_potential_limits(surface, text)
        except ValueError as error:
            unknown[text] = str(error)
            limits = {}
        found += [
            {"formula": text, "element": symbol, "lowest": low, "highest": high, "reason": ""}
            for symbol, (low, high) in limits.items()
        ]
    units = {"lowest": "lowest (eV/atom)", "highest": "highest (eV/atom)"}
    shown = [{units.get(k, k): v for k, v in row.items() if k != "reason"} for row in found]
    bare = dict.fromkeys(("element", "lowest", "highest"))
    found += [{"formula": text, **bare, "reason": why} for text, why in unknown.items()]
    return Output(found, (shown,), _unanswered(unknown, queries))


def _reactions(
    surface: Hull, queries: list[str], potentials: dict[str, float], window: float
) -> Output:
    found: list[Any] = []
    unknown: dict[str, str] = {}
    for text in queries:
        try:
            found += open_answers(surface, [text], potentials, window=window)
        except ValueError as error:
            unknown[text] = str(error)
    notes = _unanswered(unknown, queries)
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
        {
            "chemical_potentials": potentials,
            "phases": [asdict(row) for row in found],
            "unanswered": unknown,
        },
        (rows or "no phase within the window",),
        said=(f"chemical potentials (eV/atom): {said}", *notes),
    )
