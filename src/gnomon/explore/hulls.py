"""The hull of a system, as numbers to draw: phases, tie lines, limits of chemical potentials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64

from gnomon.elements import MAX_Z, SYMBOLS, atomic_number, parse_system
from gnomon.explore.index import Index
from gnomon.explore.query import Query, QueryError, column_of, matching
from gnomon.hull.convex import Hull
from gnomon.hull.phases import ON_HULL, Phases, atom_fractions
from gnomon.hull.plot import MAX_POINTS, tie_lines

MOST_ELEMENTS = 4
"""Elements of a hull that can be drawn: a tetrahedron has as many corners."""


def hull_of(
    index: Index, system: str, source: str = "", level: int | None = None
) -> dict[str, Any]:
    """The phases of a system on their hull.

    Args:
        index: of all crystals.
        system: two to four elements.
        source: campaign or file; the one with the most phases of the system by default.
        level: of the campaign; the highest by default.

    Raises:
        QueryError: if there is nothing to draw.
    """
    elements = _elements(system)
    rows = matching(index, Query(within=list(elements)))
    energies = column_of(index, "formation_energy_per_atom")
    rows = rows[energies.known[rows]]
    sources = [str(index.columns["source"].at(row)) for row in rows.tolist()]
    source = source or max(sorted(set(sources)), key=sources.count, default="")
    mine = [row for row, of in zip(rows.tolist(), sources, strict=True) if of == source]
    if not mine:
        raise QueryError(f"no phase of {system} has a formation energy here")
    places = {row: _places(index, row) for row in mine}
    levels = sorted({number for found in places.values() for number in found})
    chosen = levels[-1] if level is None else level
    if chosen not in levels:
        raise QueryError(f"there is no level {chosen} of {source}: there are {levels}")
    there = [row for row in mine if chosen in places[row]]
    energy = np.array([places[row][chosen] for row in there], np.float64)
    return {
        "system": "-".join(elements),
        "source": source,
        "sources": sorted(set(sources)),
        "level": chosen,
        "levels": levels,
        **_drawn(index, elements, there, energy),
    }


def _elements(system: str) -> tuple[str, ...]:
    try:
        elements = parse_system(system)
    except ValueError as error:
        raise QueryError(str(error)) from error
    if not 2 <= len(elements) <= MOST_ELEMENTS:
        raise QueryError(f"{system}: a hull of 2 to {MOST_ELEMENTS} elements can be drawn")
    return elements


def _places(index: Index, row: int) -> Mapping[int, float]:
    """Formation energies at each level, eV/atom."""
    places = index.detail(row).get("places")
    if not places:
        return {0: float(index.columns["formation_energy_per_atom"].values[row])}
    return {place["level"]: place["formation_energy_per_atom"] for place in places}


def _drawn(
    index: Index,
    elements: Sequence[str],
    rows: Sequence[int],
    energy: Float64[np.ndarray, " k"],
) -> dict[str, Any]:
    """Phases by rising energy above the hull, elements without one last; which of them coexist."""
    composition = index.crystals[list(rows)].composition
    own = Phases(np.array(rows, dtype=object), composition, energy, "one")
    whole = _with_elements(own, elements)
    hull = Hull(whole)
    above = hull.e_above_hull(whole.composition, whole.formation_energy_per_atom)
    order = np.argsort(above[: len(rows)], kind="stable")[:MAX_POINTS]
    order = np.concatenate([order, np.arange(len(rows), len(above))])
    shown, above = whole.take(order), above[order]
    columns = [atomic_number(symbol) for symbol in elements]
    fractions = atom_fractions(shown.composition)[:, columns]
    names = ("id", "reduced_formula", "space_group", "status", "prototype")
    return {
        "elements": list(elements),
        "total": len(rows),
        "phases": [
            (_reference(formula, names) if isinstance(row, str) else index.row(int(row), names))
            | {"fractions": x, "formation_energy_per_atom": e, "e_above_hull": a}
            for row, formula, x, e, a in zip(
                shown.ids.tolist(),
                shown.reduced_formulas,
                fractions.tolist(),
                shown.formation_energy_per_atom.tolist(),
                above.tolist(),
                strict=True,
            )
        ],
        "edges": tie_lines(hull, shown, above <= ON_HULL),
        "on_hull": ON_HULL,
    }


def _reference(formula: str, names: Sequence[str]) -> dict[str, Any]:
    """An element that no crystal here is of."""
    own = {"reduced_formula": formula, "status": "the element at zero, of which there is none here"}
    return {name: own.get(name) for name in names}


def _with_elements(phases: Phases, elements: Sequence[str]) -> Phases:
    """The phases, and at zero, as formation energies have it, elements that have none of them."""
    pure = (phases.composition > 0).sum(axis=1) == 1
    there = set(np.flatnonzero(phases.composition[pure].any(axis=0)).tolist())
    missing = [z for z in map(atomic_number, elements) if z not in there]
    if not missing:
        return phases
    rows = np.zeros((len(missing), MAX_Z + 1))
    rows[np.arange(len(missing)), missing] = 1
    return Phases(
        np.concatenate([phases.ids, [SYMBOLS[z] for z in missing]]),
        np.concatenate([phases.composition, rows]),
        np.concatenate([phases.formation_energy_per_atom, np.zeros(len(missing))]),
        phases.scheme,
    )
