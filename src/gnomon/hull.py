"""The convex hull of formation energies over many chemical systems at once.

The hull energy of a composition x is the lowest energy that any mixture of phases reaches there,

    E_hull(x) = min_w  sum_p w_p E_p    with    sum_p w_p x_p = x,  w_p >= 0,

x_p being the atom fractions of phase p, E_p its formation energy in eV/atom and w_p its share of
the atoms (Ong et al., Chem. Mater. 20, 1798 (2008)).  Each query is a linear program over the
phases of its own chemical system; hundreds of them go to HiGHS as one block-diagonal program, which
costs about 0.1 ms a query and, unlike facet enumeration, does not slow down sharply with the number
of elements.

    >>> formulas = ["Au", "Cu", "AuCu", "AuCu3"]
    >>> energies = np.array([0.0, 0.0, -0.05, -0.02])
    >>> phases = Phases(np.array(formulas, object), compositions(formulas), energies, "demo")
    >>> hull = Hull(phases)
    >>> hull.e_above_hull(phases.composition, phases.formation_energy_per_atom).round(6).tolist()
    [0.0, 0.0, 0.0, 0.005]
    >>> hull.decomposition(compositions(["AuCu3"]))
    [{'Cu': 0.5, 'AuCu': 0.5}]
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Literal

import numpy as np
from jaxtyping import Float, Float64, Int64, Real

from gnomon.elements import SYMBOLS, atomic_number, parse_formula, parse_system
from gnomon.phases import (
    MissingElementError,
    Phases,
    SchemeMismatch,
    atom_fractions,
    compositions,
    elemental_references,
    formation_energies,
    phases_from_table,
    reduced_formulas,
)

__all__ = [
    "ON_HULL",
    "Hull",
    "HullAnswer",
    "MissingElementError",
    "Phases",
    "SchemeMismatch",
    "Stability",
    "compositions",
    "elemental_references",
    "formation_energies",
    "phases_from_table",
    "query",
]

ON_HULL = 5e-5
"""A phase is on the hull at or below this many eV/atom (Merchant et al., Nature 624, 80 (2023))."""

ROUND_OFF = 1e-9
"""Distances (eV/atom) and fractions smaller than this are zero: ten times HiGHS' tolerance."""

HIGHS_TOLERANCE = 1e-10
"""Primal and dual feasibility asked of HiGHS, the tightest that it takes (its default is 1e-7)."""

CHUNK = 256
"""Queries in one linear program: beyond about 30 the cost of a query no longer falls."""

Without = Sequence[Collection[str]] | None
"""For each query the ids of the phases that are not to count; None leaves out nothing."""


class Hull:
    """The lower convex hull of a set of phases, in every chemical system that they cover."""

    def __init__(self, phases: Phases) -> None:
        """Index the phases by element set; nothing is solved before it is asked for."""
        self.phases = phases
        self._fractions = atom_fractions(phases.composition)
        self._by_elements: dict[tuple[int, ...], list[int]] = {}
        for i, elements in enumerate(_elements_of(phases.composition)):
            self._by_elements.setdefault(elements, []).append(i)
        self._by_id: dict[str, list[int]] = {}
        for i, name in enumerate(phases.ids.tolist()):
            self._by_id.setdefault(name, []).append(i)
        numbers: dict[bytes, int] = {}
        rows = [row.tobytes() for row in np.round(self._fractions, 12)]
        self._composition_index = np.array([numbers.setdefault(r, len(numbers)) for r in rows], int)
        # candidates of one round share systems; the bounds keep a screen of millions in memory
        self._cached_members = lru_cache(maxsize=10_000)(self._find_members)
        self._cached_lowest = lru_cache(maxsize=10_000)(
            lambda elements: self._lowest(self._cached_members(elements))
        )

    def members(self, elements: Collection[str]) -> Int64[np.ndarray, " k"]:
        """Indices of the phases that hold no other elements than these, in order."""
        return self._cached_members(tuple(sorted(atomic_number(symbol) for symbol in elements)))

    def energy(
        self, composition: Real[np.ndarray, "q 119"], *, without: Without = None
    ) -> Float64[np.ndarray, " q"]:
        """Hull energy in eV/atom at each composition.

        Args:
            composition: (q, 119), atoms by atomic number, on any scale.
            without: for each query the ids of phases that do not count, such as the queried phase.

        Returns:
            (q,), eV/atom; inf for an element all of whose own phases were left out.

        Raises:
            MissingElementError: if an element of a query has no phase of its own.
        """
        mixtures = self._mixtures(composition, without)
        energies = self.phases.formation_energy_per_atom
        return np.array([w @ energies[p] if len(p) else np.inf for p, w in mixtures], np.float64)

    def e_above_hull(
        self,
        composition: Real[np.ndarray, "q 119"],
        formation_energy_per_atom: Float[np.ndarray, " q"],
        *,
        without: Without = None,
    ) -> Float64[np.ndarray, " q"]:
        """Distance of each energy from the hull, in eV/atom.

        At least 0 for a phase of the hull itself; below 0 for a candidate that would break the
        hull, and for a stable phase measured ``without`` its own id.

        Args:
            composition: (q, 119), atoms by atomic number, on any scale.
            formation_energy_per_atom: (q,), eV/atom, in the scheme of the hull.
            without: for each query the ids of phases that do not count.

        Raises:
            MissingElementError: if an element of a query has no phase of its own.
        """
        distance = formation_energy_per_atom - self.energy(composition, without=without)
        distance[np.abs(distance) < ROUND_OFF] = 0.0
        return distance

    def decomposition(
        self, composition: Real[np.ndarray, "q 119"], *, without: Without = None
    ) -> list[dict[str, float]]:
        """The mixture of phases that each composition falls into: {id: fraction of the atoms}.

        Fractions sum to 1.  Where several mixtures are equally low, one of them is given.  Empty
        for an element all of whose own phases were left out.

        Raises:
            MissingElementError: if an element of a query has no phase of its own.
        """
        parts = []
        for members, weights in self._mixtures(composition, without):
            shares: dict[str, float] = {}
            for p, w in zip(members.tolist(), weights.tolist(), strict=True):
                shares[self.phases.ids[p]] = shares.get(self.phases.ids[p], 0.0) + w
            parts.append(shares)
        return parts

    def _find_members(self, elements: tuple[int, ...]) -> Int64[np.ndarray, " k"]:
        if 2 ** len(elements) > len(self._by_elements):
            subsets = [key for key in self._by_elements if set(key) <= set(elements)]
        else:
            sizes = range(1, len(elements) + 1)
            subsets = [key for k in sizes for key in combinations(elements, k)]
        found = [i for key in subsets for i in self._by_elements.get(key, ())]
        return np.array(sorted(found), dtype=np.int64)

    def _mixtures(self, composition: np.ndarray, without: Without) -> list[_Mixture]:
        """For each query the phases of the lowest mixture and their shares of the atoms."""
        fractions = atom_fractions(np.asarray(composition, dtype=np.float64))
        left_out = [()] * len(fractions) if without is None else list(without)
        if len(left_out) != len(fractions):
            raise ValueError(f"`without` has {len(left_out)} entries for {len(fractions)} queries")
        names = [(ids,) if isinstance(ids, str) else tuple(ids) for ids in left_out]
        # polymorphs ask the same question, which is then solved once
        questions = [(row.tobytes(), ids) for row, ids in zip(fractions, names, strict=True)]
        first = {question: i for i, question in reversed(list(enumerate(questions)))}
        problems = [self._problem(fractions[i], names[i]) for i in first.values()]
        solved: list[_Mixture] = []
        for start in range(0, len(problems), CHUNK):
            solved += _lowest_mixtures(problems[start : start + CHUNK])
        mixtures = dict(zip(first, solved, strict=True))
        return [mixtures[question] for question in questions]

    def _lowest(self, members: np.ndarray) -> np.ndarray:
        """The lowest phase of each composition: no other can be part of the lowest mixture."""
        rising = members[np.argsort(self.phases.formation_energy_per_atom[members], kind="stable")]
        _, first = np.unique(self._composition_index[rising], return_index=True)
        return np.sort(rising[first])

    def _problem(self, fractions: np.ndarray, left_out: Sequence[str]) -> _Problem:
        elements = np.flatnonzero(fractions)
        members = self._cached_lowest(tuple(elements.tolist()))
        if left_out:
            rows = [p for name in left_out for p in self._by_id.get(name, ())]
            all_members = self._cached_members(tuple(elements.tolist()))
            members = self._lowest(all_members[~np.isin(all_members, rows)])
        shares = self._fractions[np.ix_(members, elements)]
        missing = elements[~np.any(shares == 1.0, axis=0)]
        if len(missing) and not (left_out and len(elements) == 1):
            symbols = ", ".join(SYMBOLS[z] for z in missing)
            raise MissingElementError(
                f"the hull has no elemental phase of {symbols}: add the element's own lowest phase "
                f"in the scheme {self.phases.scheme!r} (0 eV/atom where it is the reference)"
            )
        return _Problem(
            members, shares, self.phases.formation_energy_per_atom[members], fractions[elements]
        )


_Mixture = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class _Problem:
    """One query: phases (k,), their fractions (k, elements), energies (k,), target (elements,)."""

    members: np.ndarray
    shares: np.ndarray
    energies: np.ndarray
    target: np.ndarray


def _lowest_mixtures(problems: Sequence[_Problem]) -> list[_Mixture]:
    """Solve all queries as one linear program; an element left without phases gets no mixture."""
    # a tenth of a second that the command line need not pay
    from scipy.optimize import linprog  # noqa: PLC0415
    from scipy.sparse import block_diag  # noqa: PLC0415

    solvable = [p for p in problems if len(p.members)]
    if not solvable:
        return [(p.members, np.zeros(0)) for p in problems]
    tolerances = ("primal_feasibility_tolerance", "dual_feasibility_tolerance")
    solution = linprog(
        np.concatenate([p.energies for p in solvable]),
        A_eq=block_diag([p.shares.T for p in solvable], format="csc"),
        b_eq=np.concatenate([p.target for p in solvable]),
        method="highs-ds",
        options=dict.fromkeys(tolerances, HIGHS_TOLERANCE),
    )
    if solution.status != 0:
        raise RuntimeError(f"HiGHS could not solve a hull of {len(solvable)} queries: {solution}")
    weights = np.split(solution.x, np.cumsum([len(p.members) for p in problems])[:-1])
    mixtures = []
    for problem, w in zip(problems, weights, strict=True):
        used = w > ROUND_OFF
        mixtures.append((problem.members[used], w[used]))
    return mixtures


def _elements_of(composition: np.ndarray) -> list[tuple[int, ...]]:
    rows, columns = np.nonzero(composition)
    ends = np.cumsum(np.bincount(rows, minlength=len(composition)))[:-1]
    return [tuple(part.tolist()) for part in np.split(columns, ends)[: len(composition)]]


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
        phases: one row a composition; for a system those within ``window`` eV/atom of the hull,
            by rising energy above it.
        n_phases: phases that the hull holds in the whole chemical system, however high.
        window: eV/atom; 0 lists the stable ones.
    """

    query: str
    kind: Literal["formula", "system"]
    scheme: str
    phases: tuple[Stability, ...]
    n_phases: int
    window: float


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
    rows = _stabilities(hull, phases, groups)
    if kind == "system":
        limit = max(window, ON_HULL)
        rows = [r for r in rows if r.e_above_hull is not None and r.e_above_hull <= limit]
    rows.sort(key=lambda r: (r.e_above_hull or 0.0, r.reduced_formula))
    return HullAnswer(name, kind, hull.phases.scheme, tuple(rows), len(phases), window)


def _stabilities(
    hull: Hull, phases: Phases, groups: Mapping[str, Sequence[int]]
) -> list[Stability]:
    """One row a composition; groups are the indices of the phases of each reduced formula."""
    targets = compositions(list(groups))
    itself = [phases.ids[list(group)].tolist() for group in groups.values()]
    hull_energies = hull.energy(targets)
    rest = hull.energy(targets, without=itself)
    mixtures = hull.decomposition(targets, without=itself)
    formula_of = dict(zip(phases.ids, phases.reduced_formulas, strict=True))
    rows = []
    for i, (formula, group) in enumerate(groups.items()):
        energies = phases.formation_energy_per_atom[list(group)]
        best = int(np.argmin(energies)) if len(group) else None
        energy = None if best is None else float(energies[best])
        shares = sorted(mixtures[i].items(), key=lambda share: -share[1])
        rows.append(
            Stability(
                reduced_formula=formula,
                id=None if best is None else phases.ids[group[best]],
                formation_energy_per_atom=energy,
                hull_energy=float(hull_energies[i]),
                e_above_hull=None if energy is None else _rounded(energy - hull_energies[i]),
                distance_to_rest=None if energy is None else _rounded(energy - rest[i]),
                decomposition=tuple((formula_of[name], share) for name, share in shares),
            )
        )
    return rows


def _rounded(distance: float) -> float:
    """Zero where only round-off remains."""
    return 0.0 if abs(distance) < ROUND_OFF else float(distance)
