"""The chemical-potential diagram of two or three elements: where each phase is stable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64

from gnomon.explore.hulls import hull_of
from gnomon.explore.index import Index
from gnomon.explore.query import QueryError

MOST_ELEMENTS = 3
"""Elements of a diagram that can be drawn."""

FAR = -50.0
"""eV/atom: as good as without the element."""

DIGITS = 9
"""Decimals: what is smaller is rounding."""

BEYOND = 1.2
"""How far the diagram reaches, in the lowest potential at which two phases meet."""

ROOM = 0.25
"""eV/atom that it reaches further at least: pymatgen looks for domains from 0.1 above the end."""


def potentials_of(
    index: Index, system: str, source: str = "", level: int | None = None
) -> dict[str, Any]:
    """The domains of the stable phases of a system (pymatgen's ``ChemicalPotentialDiagram``).

    Potentials are in eV/atom, relative to the references of the formation energies.

    Args:
        index: of all crystals.
        system: two or three elements.
        source: campaign or file; the one with the most phases of the system by default.
        level: of the campaign; the highest by default.

    Raises:
        QueryError: if there is nothing to draw.
    """
    hull = hull_of(index, system, source, level)
    elements = hull["elements"]
    if len(elements) > MOST_ELEMENTS:
        raise QueryError(f"{system}: potentials of 2 or {MOST_ELEMENTS} elements can be drawn")
    stable: dict[str, dict[str, Any]] = {}
    for phase in hull["phases"]:
        if phase["e_above_hull"] <= hull["on_hull"]:
            stable.setdefault(phase["reduced_formula"], phase)
    found = domains(elements, stable)
    shown = []
    for formula, vertices in found.items():
        ends = [
            [float(v) for v in pair] for pair in zip(vertices.min(0), vertices.max(0), strict=True)
        ]
        phase = stable.get(formula)
        shown.append(
            {
                "reduced_formula": formula,
                "id": phase and phase["id"],
                "status": phase and phase["status"],
                "vertices": around(vertices).tolist(),
                "limits": ends,
            }
        )
    lowest = min(float(one.min()) for one in found.values())
    return {"elements": elements, "lowest": lowest, "domains": shown} | {
        name: hull[name] for name in ("system", "source", "level")
    }


def domains(
    elements: Sequence[str], stable: dict[str, dict[str, Any]]
) -> dict[str, Float64[np.ndarray, "k e"]]:
    """Vertices of each phase's domain, cut off where nothing changes any more.

    Args:
        elements: two or three.
        stable: phases on the hull by reduced formula; elements that have none stand at zero.
    """
    from pymatgen.analysis.chempot_diagram import ChemicalPotentialDiagram
    from pymatgen.core import Composition
    from pymatgen.entries.computed_entries import ComputedEntry

    energies = {name: phase["formation_energy_per_atom"] for name, phase in stable.items()}
    parts = {name: Composition(name) for name in energies}
    own = {str(parts[name].elements[0]): e for name, e in energies.items() if len(parts[name]) == 1}
    missing = [symbol for symbol in elements if symbol not in own]
    parts |= {symbol: Composition(symbol) for symbol in missing}
    energies |= dict.fromkeys(missing, 0.0)
    entries = [
        ComputedEntry(parts[name], e * parts[name].num_atoms) for name, e in energies.items()
    ]
    names = {parts[name].reduced_formula: name for name in energies}
    # pymatgen's are relative to the phases of the elements, which need not lie at zero
    zero = np.array([own.get(symbol, 0.0) for symbol in elements])

    def found(lowest: float) -> dict[str, Float64[np.ndarray, "k e"]]:
        diagram = ChemicalPotentialDiagram(entries, default_min_limit=lowest)
        order = [[e.symbol for e in diagram.elements].index(symbol) for symbol in elements]
        return {
            names[name]: np.round(at[:, order] + zero, DIGITS) + 0.0
            for name, at in diagram.domains.items()
        }

    whole = found(FAR)
    met = np.concatenate(list(whole.values()))
    met = met[(met > 0.9 * FAR).all(axis=1)]
    deepest = float(met.min(initial=0.0))
    return found(min(BEYOND * deepest, deepest - ROOM))


def around(vertices: Float64[np.ndarray, "k e"]) -> Float64[np.ndarray, "k e"]:
    """The corners of a flat convex polygon in their order around it.

    >>> around(np.array([[0.0, 0, 0], [1, 1, 0], [1, 0, 0], [0, 1, 0]])).tolist()[0]
    [0.0, 0.0, 0.0]
    """
    middle = vertices - vertices.mean(axis=0)
    _, _, axes = np.linalg.svd(middle, full_matrices=False)
    flat = middle @ axes[:2].T
    order = np.argsort(np.arctan2(flat[:, -1], flat[:, 0]), kind="stable")
    return vertices[np.roll(order, -int(np.argmin(order)))]
