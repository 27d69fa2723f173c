"""Flags of phases: what to know before one believes a find, or makes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from ase.units import kB

from gnomon.chemistry.cautions import magnetic, radioactive, scarce, unbalanced
from gnomon.chemistry.prototypes import Prototype
from gnomon.chemistry.structure_types import structure_types
from gnomon.discover.campaign import Campaign
from gnomon.discover.finds import Phase
from gnomon.discover.inputs import Doubt
from gnomon.elements import Counts
from gnomon.evaluate.corrections import hubbard_u
from gnomon.evaluate.measured import LevelError, measured
from gnomon.evaluate.references import MEASURED, OFF, References, references
from gnomon.structure.orders import orders_of_one_lattice

DISORDERING = 1000.0
"""K at which other orders of the same atoms are counted: about where solids are made."""

THERMAL = kB * DISORDERING
"""kT there, eV an atom: 0.0862."""


class FlagKind(StrEnum):
    """What a flag says; the value is its name in tables and on the page."""

    KNOWN = "known phase"
    WITHIN_ERROR = "within the error of the level"
    DISORDERED = "likely disordered"
    UNBALANCED = "not charge-balanced"
    HUBBARD = "+U"
    MAGNETIC = "magnetic"
    SCARCE = "scarce"
    RADIOACTIVE = "radioactive"
    REFERENCE = "element off"
    DOUBTFUL = "doubtful input"


@dataclass(frozen=True)
class Flag:
    """One flag, and what it is raised for."""

    kind: FlagKind
    detail: str = ""

    def __str__(self) -> str:
        """Both, as tables have it."""
        return f"{self.kind.value}: {self.detail}" if self.detail else self.kind.value


@dataclass(frozen=True)
class Described:
    """What is said of a phase beside its energies.

    Attributes:
        structure_type: of the AFLOW library; empty where it has none like it.
        distance: eV/atom to the hull of the other phases: of a find without the finds of its
            composition, of what lies above the hull its e_above_hull; None where neither is known.
        probability: of being stable, from the measured error of the level; None without one.
        flags: in the order of ``FlagKind``.
    """

    structure_type: str
    distance: float | None
    probability: float | None
    flags: tuple[Flag, ...]


def described(campaign: Campaign, phases: Sequence[Phase]) -> dict[str, Described]:
    """What is said of phases of a campaign, by id."""
    placed, error = campaign.placed, measured(campaign.scheme)
    crystals = placed.found.relaxed[[placed.row_of[phase.id] for phase in phases]]
    orders = _other_orders(campaign, phases)
    screening = " by the level that screens" if campaign.schemes[1:] else ""
    doubts = {doubt.id: doubt for doubt in campaign.doubts if doubt.id}
    # fitted references do not hang on the crystals of the elements
    fit = references(campaign.scheme) if campaign.references == MEASURED else None
    found = {}
    for i, (phase, kind) in enumerate(zip(phases, structure_types(crystals), strict=True)):
        distance = distance_of(phase)
        chance = None
        if error is not None and distance is not None:
            chance = error.probability_stable(distance)
        found[phase.id] = Described(
            structure_type="" if kind is None else kind.type_name,
            distance=distance,
            probability=chance,
            flags=(
                *_known(phase, kind),
                *_within(distance, error, campaign.scheme),
                *of_orders(orders.get(phase.id, ()), screening),
                *of_composition(crystals.reduced_counts[i]),
                *elements_off(phase.elements, fit),
                *_doubtful(phase, doubts),
            ),
        )
    return found


def chance(probability: float | None) -> str:
    """A probability for people, in whole percent and never 0 or 100.

    >>> chance(0.531), chance(0.9999), chance(0.001), chance(None)
    ('53 %', '> 99 %', '< 1 %', '–')
    """
    if probability is None:
        return "–"
    if probability < 0.01:
        return "< 1 %"
    return "> 99 %" if probability > 0.99 else f"{100 * probability:.0f} %"


def distance_of(phase: Phase) -> float | None:
    """Signed distance (eV/atom) to the hull of the other phases, None of stable known ones."""
    if (rest := getattr(phase, "distance_to_rest", None)) is not None:
        return float(rest)
    return None if phase.stable else phase.e_above_hull


def of_composition(counts: Counts) -> tuple[Flag, ...]:
    """The flags that a composition alone raises.

    >>> [str(flag) for flag in of_composition(((26, 2), (8, 3)))]
    ['+U: Fe', 'magnetic: Fe']

    Args:
        counts: (atomic number, atoms) of each element.
    """
    raised = {
        FlagKind.HUBBARD: tuple(hubbard_u(counts)),
        FlagKind.MAGNETIC: magnetic(counts),
        FlagKind.SCARCE: scarce(counts),
        FlagKind.RADIOACTIVE: radioactive(counts),
    }
    charges = (Flag(FlagKind.UNBALANCED),) if unbalanced(counts) else ()
    return charges + tuple(Flag(kind, ", ".join(who)) for kind, who in raised.items() if who)


def _known(phase: Phase, kind: Prototype | None) -> Iterable[Flag]:
    if phase.known and len(phase.elements) > 1:
        yield Flag(FlagKind.KNOWN, "given")
    elif kind is not None and kind.compound == phase.reduced_formula:
        yield Flag(FlagKind.KNOWN, f"{kind.compound} {kind.names}".strip())


def _within(distance: float | None, error: LevelError | None, scheme: str) -> Iterable[Flag]:
    if error is not None and distance is not None and abs(distance) < error.mean_absolute_error:
        yield Flag(FlagKind.WITHIN_ERROR, f"{1000 * error.mean_absolute_error:.0f} meV/atom")


def of_orders(above: Sequence[float], by: str = "") -> Iterable[Flag]:
    """The flag of a phase that has other orders of its atoms near.

    Args:
        above: their energies above its own, eV/atom.
        by: whose energies, where another level decided.
    """
    if above:
        orders = f"{len(above)} other order{'' if len(above) == 1 else 's'}"
        text = f"{orders} of the same atoms within {1000 * THERMAL:.0f} meV/atom, the nearest "
        nearest = 1000 * min(above, key=abs)
        where = "below" if nearest < 0 else "above"
        yield Flag(FlagKind.DISORDERED, f"{text}{abs(nearest):.1f} meV/atom {where}{by}")


def elements_off(elements: Sequence[str], fit: References | None) -> Iterable[Flag]:
    """Whether a formation energy hangs on crystals of elements that compounds speak against."""
    shifts = {} if fit is None else dict(fit.worst(OFF))
    if named := [f"{s} {1000 * shifts[s]:+.0f}" for s in elements if s in shifts]:
        yield Flag(FlagKind.REFERENCE, f"{', '.join(named)} meV/atom")


def _doubtful(phase: Phase, doubts: Mapping[str, Doubt]) -> Iterable[Flag]:
    """Whether it is, comes from, or competes with a crystal that its reader doubted."""
    involved = {phase.id: "given", **{step.id: "made from it" for step in phase.lineage}}
    involved |= {other.id: "competes" for other in phase.competing}
    for key, how in involved.items():
        if key in doubts:
            role = "" if key == phase.id else f" ({how})"
            yield Flag(FlagKind.DOUBTFUL, f"{doubts[key]}{role}")


def _other_orders(campaign: Campaign, phases: Sequence[Phase]) -> dict[str, list[float]]:
    """Of each phase the energies (eV/atom above its own) of other orders within ``THERMAL``.

    By the level that screens, which holds all orders; one that decides holds the lowest.
    """
    screened = campaign.level(0)
    at_screening = {phase.id: phase for phase in screened.phases}
    formulas = {phase.reduced_formula for phase in phases if len(phase.elements) > 1}
    groups: dict[str, list[Phase]] = {}
    for rows in screened.groups:
        if rows[0].reduced_formula in formulas:
            groups.setdefault(rows[0].reduced_formula, []).append(rows[0])
    found: dict[str, list[float]] = {}
    for phase in phases:
        own, like = at_screening.get(phase.id), {phase.id, *phase.copies}
        near = [
            other
            for other in groups.get(phase.reduced_formula, [])
            if own and other.id not in like and abs(_gap(other, own)) <= THERMAL
        ]
        if own and near:
            at = [screened.placed.row_of[each.id] for each in (own, *near)]
            ordered = orders_of_one_lattice(screened.placed.found.relaxed[np.array(at)])
            gaps = [_gap(other, own) for i, other in enumerate(near, 1) if ordered(0, i)]
            found[phase.id] = gaps
    return found


def _gap(other: Phase, phase: Phase) -> float:
    return other.formation_energy_per_atom - phase.formation_energy_per_atom
