"""The rows that a report shows, computed from the tables of a campaign."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow.compute as pc

from gnomon.chemistry.reactions import Reaction, balanced
from gnomon.hull import ON_HULL, Hull, Phases, compositions
from gnomon.hull.phases import atom_fractions
from gnomon.report.inputs import CampaignTables, crystal_of, rows_with
from gnomon.report.lineage import Step, traces
from gnomon.structure.symmetry import space_group_symbol

SAME_ENERGY = 1e-3
"""eV/atom: phases of one composition and space group this close are one phase, relaxed twice."""

NEAR_HULL = 0.05
"""eV/atom: metastable phases up to here are listed (the screening threshold of GNoME)."""

GIVEN = "known"
"""Generator named in the lineage of crystals that the user gave."""

MAX_WAITING = 20
"""Predicted candidates that are listed."""


@dataclass(frozen=True)
class PhaseRow:
    """An evaluated or known phase and its place on the hull (energies in eV/atom).

    Attributes:
        space_group: number, 0 where none was found; ``space_group_symbol`` is then empty.
        known: an elemental reference or a phase that the user gave, not a find.
        lineage: the steps that led to it, the last one first.
        shares: fraction of the atoms of each phase (reduced formula) that competes with it.
        reaction: the same as a balanced reaction, None where there is none.
        distance_to_rest: to the hull without the finds of this composition; negative when stable.
        copies: other evaluated candidates that ended in the same phase.
    """

    id: str
    relaxed_id: str | None
    reduced_formula: str
    chemical_system: str
    formation_energy_per_atom: float
    e_above_hull: float
    stable: bool
    space_group: int
    space_group_symbol: str
    round: int | None
    known: bool
    lineage: tuple[Step, ...]
    shares: tuple[tuple[str, float], ...]
    reaction: Reaction | None
    distance_to_rest: float | None = None
    copies: int = 0

    @property
    def origin(self) -> str:
        """What was done last to make it, in a line."""
        if self.lineage and self.lineage[0].generator != GIVEN:
            return self.lineage[0].change
        return "known phase" if self.known else ""

    @property
    def kept_symmetry(self) -> bool:
        """Whether it comes from a prototype of the space group that it has."""
        return f"_{self.space_group}_" in self.origin

    @property
    def elements(self) -> tuple[str, ...]:
        """Its elements, in alphabetical order."""
        return tuple(self.chemical_system.split("-"))


@dataclass(frozen=True)
class ElementRow:
    """An elemental reference and its cell: lengths in Å, angles in degrees, volume in Å^3/atom."""

    phase: PhaseRow
    energy_per_atom: float | None
    n_atoms: int | None
    lengths: tuple[float, ...]
    angles: tuple[float, ...]
    volume_per_atom: float | None


@dataclass(frozen=True)
class Prediction:
    """A kept candidate without an evaluation, and what the model says of it (eV/atom)."""

    id: str
    reduced_formula: str
    formation_energy_per_atom: float | None
    uncertainty: float | None
    e_above_hull: float
    round: int


@dataclass(frozen=True)
class Failure:
    """An evaluation that gave no energy."""

    id: str
    reduced_formula: str
    round: int | None
    status: str
    message: str


def phase_rows(tables: CampaignTables) -> list[PhaseRow]:
    """All phases of the hull table, by formula and energy."""
    rows = tables.hull.to_pylist()
    known = {row["id"]: row["reduced_formula"] for row in rows if row["is_reference"]}
    pairs = zip(
        tables.evaluations["id"].to_pylist(),
        tables.evaluations["relaxed_id"].to_pylist(),
        strict=True,
    )
    candidate_of = {relaxed: name for name, relaxed in pairs if relaxed is not None}
    steps = traces(tables.lineage, [row["id"] for row in rows], candidate_of, known)
    phases = [_phase_row(row, steps.get(row["id"], ())) for row in rows]
    return sorted(phases, key=lambda p: (p.reduced_formula, p.formation_energy_per_atom, p.id))


def _phase_row(row: Mapping[str, Any], lineage: tuple[Step, ...]) -> PhaseRow:
    shares = json.loads(row["decomposition"]) if row["decomposition"] else {}
    number = row["space_group"] or 0
    return PhaseRow(
        id=row["id"],
        relaxed_id=row["relaxed_id"],
        reduced_formula=row["reduced_formula"],
        chemical_system=row["chemical_system"],
        formation_energy_per_atom=row["formation_energy_per_atom"],
        e_above_hull=row["e_above_hull"],
        stable=row["stable"],
        space_group=number,
        space_group_symbol=space_group_symbol(number) if number else "",
        round=row["round"],
        known=row["is_reference"],
        lineage=lineage,
        shares=_sorted_shares(shares),
        reaction=balanced(row["reduced_formula"], shares),
    )


def _sorted_shares(shares: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
    return tuple(sorted(shares.items(), key=lambda item: (-item[1], item[0])))


def lowest_phases(phases: Iterable[PhaseRow]) -> list[PhaseRow]:
    """The lowest phase of every composition, by energy above the hull.

    A known phase stands for the finds within ``ON_HULL`` of it.
    """
    best = []
    for group in _by_formula(phases).values():
        floor = group[0].formation_energy_per_atom + ON_HULL
        level = [phase for phase in group if phase.formation_energy_per_atom <= floor]
        best.append(next((phase for phase in level if phase.known), group[0]))
    return sorted(best, key=lambda p: (p.e_above_hull, p.reduced_formula))


def near_hull_phases(phases: Iterable[PhaseRow]) -> list[PhaseRow]:
    """Every distinct compound within ``NEAR_HULL``, by composition and energy.

    Of candidates that ended in the same phase the one shown comes from a prototype that kept its
    space group, if there is one: its name says most.
    """
    found: list[PhaseRow] = []
    for group in _by_formula(p for p in phases if len(p.elements) > 1).values():
        distinct: list[list[PhaseRow]] = []
        for phase in group:
            if phase.e_above_hull > NEAR_HULL:
                break
            twins = next((rows for rows in distinct if _same(phase, rows[0])), None)
            if twins is None:
                distinct.append([phase])
            else:
                twins.append(phase)
        for rows in distinct:
            best = next((row for row in rows if row.kept_symmetry), rows[0])
            found.append(replace(best, copies=len(rows) - 1))
    return found


def _by_formula(phases: Iterable[PhaseRow]) -> dict[str, list[PhaseRow]]:
    """The phases of each composition, by rising energy."""
    groups: dict[str, list[PhaseRow]] = {}
    for phase in sorted(phases, key=lambda p: (p.formation_energy_per_atom, p.id)):
        groups.setdefault(phase.reduced_formula, []).append(phase)
    return groups


def new_stable_phases(phases: Sequence[PhaseRow], scheme: str) -> list[PhaseRow]:
    """The finds on the hull, each once, with their distance to the hull without them.

    Candidates that relax to the same phase (composition, space group, energy within
    ``SAME_ENERGY``; or energy within ``ON_HULL``) are one find, and none if the phase is known.
    The hull "without it" holds all other phases, but no find of the same composition.
    """
    of_formula = _by_formula(phases)
    finds = [find for group in of_formula.values() for find in _distinct_finds(group)]
    if not finds:
        return []
    hull = Hull(_as_phases(phases, scheme))
    composition = compositions([find.reduced_formula for find in finds])
    energies = np.array([find.formation_energy_per_atom for find in finds])
    without = [[p.id for p in of_formula[f.reduced_formula] if not p.known] for f in finds]
    distances = hull.e_above_hull(composition, energies, without=without)
    mixtures = hull.decomposition(composition, without=without)
    formula_of = {phase.id: phase.reduced_formula for phase in phases}
    complete = []
    for find, distance, mixture in zip(finds, distances.tolist(), mixtures, strict=True):
        shares: dict[str, float] = {}
        for name, share in mixture.items():
            shares[formula_of[name]] = shares.get(formula_of[name], 0.0) + share
        complete.append(
            replace(
                find,
                distance_to_rest=distance,
                shares=_sorted_shares(shares),
                reaction=balanced(find.reduced_formula, shares),
            )
        )
    return sorted(complete, key=lambda p: (p.distance_to_rest or 0.0, p.reduced_formula))


def _distinct_finds(group: Sequence[PhaseRow]) -> list[PhaseRow]:
    """The stable finds among the phases of one composition, which come by rising energy."""
    known = [phase for phase in group if phase.known]
    finds: list[PhaseRow] = []
    for phase in group:
        if phase.known or any(_same(phase, other) for other in known):
            continue
        twins = [i for i, find in enumerate(finds) if _same(phase, find)]
        if twins:
            finds[twins[0]] = replace(finds[twins[0]], copies=finds[twins[0]].copies + 1)
        elif phase.stable:
            finds.append(phase)
    return finds


def _same(a: PhaseRow, b: PhaseRow) -> bool:
    """Whether two phases of one composition are taken for one.

    A space group is a matter of tolerance, so equal energies settle it too.
    """
    gap = abs(a.formation_energy_per_atom - b.formation_energy_per_atom)
    return gap <= ON_HULL or (a.space_group == b.space_group and gap <= SAME_ENERGY)


def _alike(a: PhaseRow, b: PhaseRow) -> bool:
    return a.reduced_formula == b.reduced_formula


def _as_phases(phases: Sequence[PhaseRow], scheme: str) -> Phases:
    return Phases(
        np.array([phase.id for phase in phases], dtype=object),
        compositions([phase.reduced_formula for phase in phases]),
        np.array([phase.formation_energy_per_atom for phase in phases]),
        scheme,
    )


def tie_lines(phases: Sequence[PhaseRow]) -> list[tuple[PhaseRow, PhaseRow]]:
    """Pairs of stable phases between which the hull is straight: edges of the hull diagram.

    A pair is joined where the hull energy at its midpoint is the mean of the two.
    """
    vertices = [phase for phase in lowest_phases(phases) if phase.stable]
    pairs = list(combinations(range(len(vertices)), 2))
    if not pairs:
        return []
    stable = _as_phases(vertices, "")
    fractions = atom_fractions(stable.composition)
    first, second = np.array(pairs).T
    mean = stable.formation_energy_per_atom[np.array(pairs)].mean(axis=1)
    gap = Hull(stable).e_above_hull(fractions[first] + fractions[second], mean)
    straight = np.flatnonzero(gap <= ON_HULL)
    return [(vertices[pairs[i][0]], vertices[pairs[i][1]]) for i in straight]


def element_rows(tables: CampaignTables, phases: Sequence[PhaseRow]) -> list[ElementRow]:
    """The elemental references with their cells."""
    every = [phase for phase in phases if phase.known and len(phase.elements) == 1]
    references: list[PhaseRow] = []
    for phase in sorted(every, key=lambda p: (p.reduced_formula, not p.kept_symmetry)):
        if not any(_same(phase, other) for other in references if _alike(phase, other)):
            references.append(phase)
    references.sort(key=lambda p: (p.reduced_formula, p.formation_energy_per_atom))
    wanted = {phase.relaxed_id for phase in references if phase.relaxed_id}
    cells = {row["id"]: row for row in rows_with(tables.relaxed, "id", wanted)}
    done = rows_with(tables.evaluations, "id", {phase.id for phase in references})
    energies = {row["id"]: row["energy_per_atom"] for row in done}
    return [_element_row(p, energies.get(p.id), cells.get(p.relaxed_id or "")) for p in references]


def _element_row(
    phase: PhaseRow, energy_per_atom: float | None, row: Mapping[str, Any] | None
) -> ElementRow:
    if row is None:
        return ElementRow(phase, energy_per_atom, None, (), (), None)
    crystal = crystal_of(row)
    n_atoms = int(crystal.n_atoms[0])
    lengths = np.linalg.norm(crystal.lattice[0], axis=1)
    directions = crystal.lattice[0] / lengths[:, None]
    cosines = np.clip([directions[i] @ directions[j] for i, j in ((1, 2), (0, 2), (0, 1))], -1, 1)
    return ElementRow(
        phase,
        energy_per_atom,
        n_atoms,
        tuple(lengths.tolist()),
        tuple(np.degrees(np.arccos(cosines)).tolist()),
        float(crystal.volumes[0]) / n_atoms,
    )


def failures(tables: CampaignTables) -> list[Failure]:
    """Evaluations whose status is not ``converged``, by status."""
    rows = [row for row in tables.evaluations.to_pylist() if row["status"] != "converged"]
    names = {row["id"] for row in rows}
    columns = tables.candidates.select(["id", "reduced_formula"])
    formulas = {row["id"]: row["reduced_formula"] for row in rows_with(columns, "id", names)}
    found = [
        Failure(r["id"], formulas.get(r["id"], ""), r["round"], r["status"], r["message"] or "")
        for r in rows
    ]
    return sorted(found, key=lambda f: (f.status, f.reduced_formula, f.id))


def waiting(tables: CampaignTables) -> list[Prediction]:
    """The ``MAX_WAITING`` kept candidates lowest above the predicted hull, not evaluated yet."""
    last = tables.screening.group_by("id").aggregate([("round", "max")])
    last = last.rename_columns({"round_max": "round"})
    table = tables.screening.join(last, ["id", "round"], join_type="inner")
    done = pc.is_in(table["id"], value_set=tables.evaluations["id"].combine_chunks())
    ranked = pc.is_valid(table["predicted_e_above_hull"])
    table = table.filter(pc.and_(pc.and_(table["kept"], ranked), pc.invert(done)))
    table = table.sort_by([("predicted_e_above_hull", "ascending"), ("id", "ascending")])
    rows = table.slice(0, MAX_WAITING).to_pylist()
    columns = tables.candidates.select(["id", "reduced_formula"])
    named = rows_with(columns, "id", {row["id"] for row in rows})
    formulas = {row["id"]: row["reduced_formula"] for row in named}
    return [
        Prediction(
            id=row["id"],
            reduced_formula=formulas.get(row["id"], ""),
            formation_energy_per_atom=row["predicted_formation_energy_per_atom"],
            uncertainty=row["uncertainty"],
            e_above_hull=row["predicted_e_above_hull"],
            round=row["round"],
        )
        for row in rows
    ]


def screening_counts(tables: CampaignTables) -> list[tuple[str, int]]:
    """How many candidates were kept, and how many rejected for each reason, most first."""
    counted = tables.screening.group_by(["kept", "reason"]).aggregate([([], "count_all")])
    kept, rejected = 0, []
    for row in counted.to_pylist():
        if row["kept"]:
            kept += row["count_all"]
        else:
            rejected.append((row["reason"] or "no reason given", row["count_all"]))
    rejected.sort(key=lambda item: (-item[1], item[0]))
    return [("kept", kept), *rejected] if counted.num_rows else []
