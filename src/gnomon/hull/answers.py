"""What a hull says of a formula or of a chemical system."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from gnomon.elements import parse_formula, parse_system
from gnomon.hull.convex import ROUND_OFF, Hull
from gnomon.hull.phases import ON_HULL, Phases, compositions, reduced_formulas


@dataclass(frozen=True)
class Stability:
    """What the hull says about one composition.

    Attributes:
        reduced_formula: the composition.
        id: its lowest phase; None where the hull holds no phase of this composition.
        formation_energy_per_atom: of that phase, eV/atom; None where there is none.
        hull_energy: of the hull at this composition, eV/atom.
        e_above_hull: of that phase, eV/atom, at least 0; None where there is none.
        distance_to_rest: eV/atom to the hull of all OTHER compositions, negative for a stable
            compound, -inf for an element; None where there is no phase.
        decomposition: (reduced formula, fraction of the atoms) of the phases of other compositions
            that compete with it, largest share first; empty for an element.
    """

    reduced_formula: str
    id: str | None
    formation_energy_per_atom: float | None
    hull_energy: float
    e_above_hull: float | None
    distance_to_rest: float | None
    decomposition: tuple[tuple[str, float], ...]

    @property
    def stable(self) -> bool:
        """Whether the hull holds a phase of this composition that lies on it."""
        return self.e_above_hull is not None and self.e_above_hull <= ON_HULL


@dataclass(frozen=True)
class HullAnswer:
    """The answer to a query: one composition, or the compositions of a chemical system.

    Attributes:
        query: the formula, or the system with its symbols in alphabetical order.
        kind: which of the two.
        scheme: the energy scheme of the hull.
        phases: those within ``window`` eV/atom of the hull, by rising energy above it; of a
            formula the lowest at least.
        n_phases: phases that the hull holds in the whole chemical system, however high.
        window: eV/atom; 0 lists the stable ones.
        reason: why there is no answer, or empty.
    """

    query: str
    kind: Literal["formula", "system"]
    scheme: str
    phases: tuple[Stability, ...]
    n_phases: int
    window: float
    reason: str = ""


def answers(hull: Hull, texts: Sequence[str], *, window: float = 0.0) -> list[HullAnswer]:
    """What ``query`` says of each; what it cannot answer is an answer with a reason."""
    found = []
    for text in texts:
        try:
            found.append(query(hull, text, window=window))
        except ValueError as error:
            kind: Literal["formula", "system"] = "system" if "-" in text else "formula"
            unknown = HullAnswer(text, kind, hull.phases.scheme, (), 0, window, str(error))
            found.append(unknown)
    return found


def query(hull: Hull, text: str, *, window: float = 0.0) -> HullAnswer:
    """What the hull says about a formula (``LiFePO4``) or a chemical system (``Li-Fe-P-O``).

    Raises:
        MissingElementError: if an element has no phase of its own.
        ValueError: if the text is neither a formula nor a system.
    """
    kind: Literal["formula", "system"] = "system" if "-" in text else "formula"
    elements = parse_system(text) if kind == "system" else tuple(parse_formula(text))
    phases = hull.phases.take(hull.members(elements))
    groups: dict[str, list[int]] = {}
    for i, formula in enumerate(phases.reduced_formulas.tolist()):
        groups.setdefault(formula, []).append(i)
    if kind == "system":
        # an element without a phase of its own leaves the hull of the system open
        hull.energy(compositions(elements))
        name = "-".join(elements)
    else:
        name = reduced_formulas(compositions([text]))[0]
        groups = {name: groups.get(name, [])}
    limit, found = max(window, ON_HULL), _stabilities(hull, phases, groups)
    near = [r for r in found if r.e_above_hull is not None and r.e_above_hull <= limit]
    if kind == "formula":
        near = near or found[:1]
    near.sort(key=lambda r: (r.e_above_hull or 0.0, r.reduced_formula))
    return HullAnswer(name, kind, hull.phases.scheme, tuple(near), len(phases), window)


def _stabilities(
    hull: Hull, phases: Phases, groups: Mapping[str, Sequence[int]]
) -> list[Stability]:
    """Each phase, the lowest of a composition first, or one row for a composition without any.

    ``groups`` are the indices of the phases of each reduced formula.
    """
    targets = compositions(list(groups))
    itself = [phases.ids[list(group)].tolist() for group in groups.values()]
    hull_energies = hull.energy(targets)
    rest = hull.energy(targets, without=itself)
    mixtures = hull.decomposition(targets, without=itself)
    formula_of = dict(zip(phases.ids, phases.reduced_formulas, strict=True))
    rows = []
    for i, (formula, group) in enumerate(groups.items()):
        shares = sorted(mixtures[i].items(), key=lambda share: -share[1])
        decomposition = tuple((formula_of[name], share) for name, share in shares)
        bare = Stability(formula, None, None, float(hull_energies[i]), None, None, decomposition)
        energies = phases.formation_energy_per_atom[list(group)]
        rows += [bare] if not len(group) else []
        for k in np.argsort(energies, kind="stable").tolist():
            rows.append(
                replace(
                    bare,
                    id=phases.ids[group[k]],
                    formation_energy_per_atom=float(energies[k]),
                    e_above_hull=_rounded(energies[k] - hull_energies[i]),
                    distance_to_rest=_rounded(energies[k] - rest[i]),
                )
            )
    return rows


def _rounded(distance: float) -> float:
    """Zero where only round-off remains."""
    return 0.0 if abs(distance) < ROUND_OFF else float(distance)
