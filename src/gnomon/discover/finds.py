"""What a campaign found: phases, the finds among them, and what each competes with.

Everything is asked of ONE hull, that of the converged evaluations of a level (``Placed``).  The
report, verification and lineage read these values; none of them builds a hull of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

from gnomon.chemistry.reactions import Reaction, balanced
from gnomon.discover.lineage import KNOWN, Step
from gnomon.discover.placed import RELAXED_SYMPREC, Placed
from gnomon.hull.phases import ON_HULL
from gnomon.structure.symmetry import space_group_symbol, space_groups

SAME_ENERGY = 1e-3
"""eV/atom: phases of one composition and space group this close are one phase, relaxed twice."""

NEAR_HULL = 0.05
"""eV/atom: the screening threshold of Merchant et al. (2023); "near the hull" in every table."""


@dataclass(frozen=True)
class Competitor:
    """A phase of the mixture that another one competes with, and its fraction of the atoms."""

    id: str
    reduced_formula: str
    fraction: float


@dataclass(frozen=True)
class Place:
    """Where a phase lies on the hull of one level (energies in eV/atom of its scheme)."""

    level: int
    scheme: str
    formation_energy_per_atom: float
    e_above_hull: float


@dataclass(frozen=True, kw_only=True)
class Phase:
    """An evaluated phase and its place on the hull of a level (energies in eV/atom).

    Attributes:
        id: of the candidate, or of the reference phase, as proposed.
        relaxed_id: of the crystal that it relaxed to.
        space_group: number of the relaxed crystal, 0 where none was found.
        known: an elemental reference or a phase that the user gave, not a find.
        lineage: the steps that led to it, the last one first.
        competing: the lowest mixture of phases of its composition; of a find, without the finds of
            its composition.
        copies: other candidates that ended in the same phase.
        places: at each level that holds it, level 0 first; the last one is this level.
    """

    id: str
    relaxed_id: str
    reduced_formula: str
    chemical_system: str
    formation_energy_per_atom: float
    e_above_hull: float
    space_group: int
    round: int
    known: bool
    lineage: tuple[Step, ...]
    competing: tuple[Competitor, ...]
    copies: tuple[str, ...] = ()
    places: tuple[Place, ...] = ()

    @property
    def stable(self) -> bool:
        """Whether it lies on the hull."""
        return self.e_above_hull <= ON_HULL

    @property
    def space_group_symbol(self) -> str:
        """Empty where no space group was found."""
        return space_group_symbol(self.space_group) if self.space_group else ""

    @property
    def symmetry(self) -> str:
        """The space group for people, such as ``Pm-3m (221)``."""
        return f"{self.space_group_symbol} ({self.space_group})" if self.space_group else "unknown"

    @property
    def elements(self) -> tuple[str, ...]:
        """Its elements, in alphabetical order."""
        return tuple(self.chemical_system.split("-"))

    @property
    def origin(self) -> str:
        """What was done last to make it, in a line."""
        if self.lineage and self.lineage[0].generator != KNOWN:
            return self.lineage[0].change
        return "known phase" if self.known else ""

    @property
    def kept_symmetry(self) -> bool:
        """Whether it comes from a prototype of the space group that it has."""
        return f"_{self.space_group}_" in self.origin

    @cached_property
    def shares(self) -> dict[str, float]:
        """Fraction of the atoms of each formula that it competes with, the largest first."""
        shares: dict[str, float] = {}
        for other in self.competing:
            name = other.reduced_formula
            shares[name] = shares.get(name, 0.0) + other.fraction
        return dict(sorted(shares.items(), key=lambda item: (-item[1], item[0])))

    @cached_property
    def reaction(self) -> Reaction | None:
        """What it competes with as a balanced reaction, None where there is none."""
        return balanced(self.reduced_formula, self.shares)


@dataclass(frozen=True, kw_only=True)
class Find(Phase):
    """A new stable phase.

    Attributes:
        distance_to_rest: eV/atom to the hull without the finds of its composition; negative.
    """

    distance_to_rest: float


def phases_of(
    placed: Placed,
    steps: Mapping[str, tuple[Step, ...]],
    level: int = 0,
    below: Mapping[str, tuple[tuple[Place, ...], tuple[str, ...]]] | None = None,
) -> tuple[Phase, ...]:
    """All evaluated phases, by formula and energy.

    Args:
        placed: on their hull.
        steps: the lineage of each, by id.
        level: that they were evaluated at.
        below: places at the levels below, and copies there, by id.
    """
    before, scheme = below or {}, placed.hull.phases.scheme
    crystals = placed.found.relaxed
    mixtures = placed.hull.decomposition(placed.hull.phases.composition)
    columns = zip(
        placed.found.ids.tolist(),
        crystals.ids.tolist(),
        crystals.reduced_formulas.tolist(),
        crystals.chemical_systems.tolist(),
        placed.formation_energy_per_atom.tolist(),
        placed.e_above_hull.tolist(),
        space_groups(crystals, RELAXED_SYMPREC).tolist(),
        placed.found.rounds.tolist(),
        mixtures,
        strict=True,
    )
    phases = [
        Phase(
            id=key,
            relaxed_id=relaxed_id,
            reduced_formula=formula,
            chemical_system=system,
            formation_energy_per_atom=energy,
            e_above_hull=above,
            space_group=group,
            round=number,
            known=number == 0,
            lineage=steps.get(key, ()),
            competing=_competing(mixture, placed),
            copies=before.get(key, ((), ()))[1],
            places=(*before.get(key, ((), ()))[0], Place(level, scheme, energy, above)),
        )
        for key, relaxed_id, formula, system, energy, above, group, number, mixture in columns
    ]
    return tuple(sorted(phases, key=_by_formula_and_energy))


def _by_formula_and_energy(phase: Phase) -> tuple[Any, ...]:
    return phase.reduced_formula, phase.formation_energy_per_atom, phase.id


def _competing(mixture: Mapping[str, float], placed: Placed) -> tuple[Competitor, ...]:
    formulas = placed.found.relaxed.reduced_formulas
    return tuple(
        Competitor(key, formulas[placed.row_of[key]], share) for key, share in mixture.items()
    )


def distinct(phases: Iterable[Phase]) -> list[tuple[Phase, ...]]:
    """Phases that are taken for one, the lowest first; by composition and rising energy.

    Those of one composition are one phase if their energies differ by at most ``ON_HULL``, or by
    at most ``SAME_ENERGY`` in the same space group (which is a matter of tolerance).
    """
    of_formula: dict[str, list[list[Phase]]] = {}
    for phase in sorted(phases, key=_by_formula_and_energy):
        groups = of_formula.setdefault(phase.reduced_formula, [])
        same = next((rows for rows in groups if _same(phase, rows[0])), None)
        if same is None:
            groups.append([phase])
        else:
            same.append(phase)
    return [tuple(rows) for groups in of_formula.values() for rows in groups]


def _same(a: Phase, b: Phase) -> bool:
    gap = abs(a.formation_energy_per_atom - b.formation_energy_per_atom)
    return gap <= ON_HULL or (a.space_group == b.space_group and gap <= SAME_ENERGY)


def shown(rows: Sequence[Phase]) -> Phase:
    """The one of several that ended in the same phase whose name says most.

    It comes from a prototype that kept its space group, if there is one.
    """
    best = next((row for row in rows if row.kept_symmetry), rows[0])
    return replace(best, copies=_copies(best, rows))


def _copies(best: Phase, rows: Sequence[Phase]) -> tuple[str, ...]:
    """The other candidates of phases that are taken for one."""
    ids = [key for row in rows for key in (row.id, *row.copies)]
    return tuple(dict.fromkeys(key for key in ids if key != best.id))


def finds_of(phases: Sequence[Phase], placed: Placed) -> tuple[Find, ...]:
    """The new stable phases, each once, the furthest below the hull without it first.

    The hull "without it" holds all other phases, but no find of the same composition.
    """
    finds = [
        rows
        for rows in distinct(phases)
        if rows[0].stable and not any(phase.known for phase in rows)
    ]
    new: dict[str, list[str]] = {}
    for phase in phases:
        if not phase.known:
            new.setdefault(phase.reduced_formula, []).append(phase.id)
    rows = [placed.row_of[find[0].id] for find in finds]
    without = [new[find[0].reduced_formula] for find in finds]
    composition = placed.hull.phases.composition[rows]
    energies = placed.formation_energy_per_atom[rows]
    distances = placed.hull.e_above_hull(composition, energies, without=without)
    mixtures = placed.hull.decomposition(composition, without=without)
    found = []
    for rows_of_one, distance, mixture in zip(finds, distances, mixtures, strict=True):
        first = rows_of_one[0]
        known = {field.name: getattr(first, field.name) for field in fields(Phase)}
        known["copies"] = _copies(first, rows_of_one)
        known["competing"] = _competing(mixture, placed)
        found.append(Find(**known, distance_to_rest=float(distance)))
    return tuple(sorted(found, key=lambda find: (find.distance_to_rest, find.reduced_formula)))


def lowest_phases(phases: Iterable[Phase]) -> list[Phase]:
    """The lowest phase of every composition, by energy above the hull.

    A known phase stands for the finds within ``ON_HULL`` of it.
    """
    best: dict[str, Phase] = {}
    for phase in sorted(phases, key=_by_formula_and_energy):
        lowest = best.setdefault(phase.reduced_formula, phase)
        gap = phase.formation_energy_per_atom - lowest.formation_energy_per_atom
        if phase.known and not lowest.known and gap <= ON_HULL:
            best[phase.reduced_formula] = phase
    return sorted(best.values(), key=lambda p: (p.e_above_hull, p.reduced_formula))


def near_hull_phases(phases: Iterable[Phase]) -> list[Phase]:
    """Every distinct compound within ``NEAR_HULL``, by composition and energy."""
    compounds = [phase for phase in phases if len(phase.elements) > 1]
    return [shown(rows) for rows in distinct(compounds) if rows[0].e_above_hull <= NEAR_HULL]
