"""Which finds of a campaign to make: those that air lets live, of elements that one may handle.

A find is excluded for each of: its distance above the hull, an element that is scarce, radioactive
or toxic, oxidation states that nothing balances, and what O2, CO2 and H2O of the air do to it at a
temperature: by the grand potential of the open elements (``gnomon.hull.reservoirs``) and by the
reactions with each gas alone along the line of their mixtures (``gnomon.synthesis.reactions``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gnomon.chemistry.cautions import radioactive, scarce, unbalanced
from gnomon.discover.campaign import Campaign
from gnomon.discover.finds import Phase
from gnomon.elements import SYMBOLS, Counts, atomic_number, parse_formula
from gnomon.hull.convex import Hull
from gnomon.hull.phases import Phases
from gnomon.hull.reservoirs import open_to
from gnomon.synthesis.reactions import exact, pair_reactions
from gnomon.synthesis.solids import Solids, with_volumes
from gnomon.synthesis.thermo import element_gibbs, gas_gibbs

NEAR = 0.010
"""eV/atom above the hull up to which a find is a target (Szymanski et al., Nature 624, 86
(2023))."""

AIR = {"O2": 0.212, "CO2": 0.0405, "H2O": 0.023}
"""Partial pressures in bar as there: 21,200, 4,050 and 2,300 Pa."""

TEMPERATURES = (873.15, 1123.15, 1373.15)
"""K: 600, 850 and 1,100 °C."""

KELVIN = 273.15
"""0 °C."""

TOXIC = frozenset(("Be", "As", "Cd", "Hg", "Tl", "Pb"))
"""Elements whose compounds poison in small amounts, beryllium, arsenic, cadmium, mercury, thallium
and lead: those with an occupational limit of 0.05 mg/m³ or less of the metal (NIOSH Pocket Guide
to Chemical Hazards, 2007) or, as thallium and lead, listed there as cumulative poisons."""

LOSS = 0.010
"""eV/atom that a reaction with air must gain to exclude a find: that of ``NEAR``."""


@dataclass(frozen=True)
class Verdict:
    """Whether a find is a target.

    Attributes:
        id: of the find.
        reduced_formula: of it.
        reasons: why it is none; empty for a target.
    """

    id: str
    reduced_formula: str
    reasons: tuple[str, ...]


def of_elements(counts: Counts, allowed: Collection[str]) -> list[str]:
    """What its elements and charges say against making a compound."""
    poison = tuple(SYMBOLS[z] for z, _ in counts if SYMBOLS[z] in TOXIC)
    kinds = {"scarce": scarce(counts), "radioactive": radioactive(counts), "toxic": poison}
    reasons = [
        f"{kind}: {', '.join(left)}"
        for kind, symbols in kinds.items()
        if (left := [s for s in symbols if s not in allowed])
    ]
    return [*reasons, "no usual oxidation states balance it"] if unbalanced(counts) else reasons


def in_air(
    solids: Solids,
    formula: str,
    temperatures: Sequence[float] = TEMPERATURES,
    pressures: Mapping[str, float] = AIR,
) -> list[str]:
    """What air does to a phase of the solids at temperatures in K: a reason each, none if nothing.

    Args:
        solids: with the competing phases of its elements, of C and of H, as far as there are.
        formula: reduced, of a phase of the solids.
        temperatures: K.
        pressures: bar.

    Raises:
        ValueError: for a formula without a phase.
    """
    found: dict[str, list[tuple[float, float]]] = {}
    for temperature in temperatures:
        phases = solids.at(temperature, pressures)
        row = np.flatnonzero(phases.ids == formula)
        if not len(row):
            raise ValueError(f"no phase {formula}")
        reactions = _with_gases(phases, int(row[0]), pressures)
        potentials = {
            symbol: value
            for symbol, value in potentials_of(temperature, pressures).items()
            if phases.composition[:, atomic_number(symbol)].any()
        }
        closed = {*parse_formula(formula)} - {*potentials}
        if closed and potentials and (open_ := _open(phases, formula, potentials)) is not None:
            products, gained = open_
            if not any(products <= solid for _, solid, _ in reactions):  # the same, unbalanced
                what = f"falls into {' + '.join(sorted(products))} in air"
                reactions.append((what, products, gained))
        for what, _, gained in reactions:
            found.setdefault(what, []).append((temperature - KELVIN, gained))
    return [
        f"{what} at {_series([c for c, _ in seen])} °C, "
        f"gaining {_series([1000 * gained for _, gained in seen])} meV/atom"
        for what, seen in found.items()
    ]


def _series(values: Sequence[float]) -> str:
    """Whole numbers as one reads them: 600, 850 and 1100."""
    *first, last = (f"{value:.0f}" for value in values)
    return f"{', '.join(first)} and {last}" if first else last


def potentials_of(temperature: float, pressures: Mapping[str, float]) -> dict[str, float]:
    """Chemical potentials of the elements in gases, eV/atom, relative to the elements there."""
    table = element_gibbs(temperature)
    fixed = {}
    if "O2" in pressures:
        fixed["O"] = gas_gibbs("O2", temperature, pressures["O2"]) / 2
        if "CO2" in pressures:
            fixed["C"] = gas_gibbs("CO2", temperature, pressures["CO2"]) - 2 * fixed["O"]
        if "H2O" in pressures:
            water = gas_gibbs("H2O", temperature, pressures["H2O"])
            fixed["H"] = (water - fixed["O"]) / 2
    return {symbol: value for symbol, value in fixed.items() if symbol in table}


def _open(
    phases: Phases, formula: str, potentials: Mapping[str, float]
) -> tuple[frozenset[str], float] | None:
    """Decomposition by grand potential where O2, CO2 and H2O give and take freely, with its gain.

    The gain is in eV per atom that no gas gives.
    """
    system = open_to(phases, potentials)
    own = system.take(np.flatnonzero(system.ids == formula)[:1])
    hull = Hull(system)
    above = float(hull.e_above_hull(own.composition, own.formation_energy_per_atom)[0])
    if above <= LOSS:
        return None
    return frozenset(map(str, hull.decomposition(own.composition)[0])), above


def _with_gases(
    phases: Phases, row: int, pressures: Mapping[str, float]
) -> list[tuple[str, frozenset[str], float]]:
    """The best reaction with each gas alone: as text, its products, its gain in eV/atom."""
    reactions = []
    for gas in pressures:
        other = np.flatnonzero(phases.ids == gas)
        if not len(other):
            continue
        pairs = np.array([[row, int(other[0])]], np.int64)
        found = [one for one in pair_reactions(phases, pairs) if len(one.reactants) == 2]
        if found and (best := min(found, key=lambda one: one.energy)).energy < -LOSS:
            told = exact(phases, best)
            said = str(told) if told is not None else f"reaction with {gas}"
            products = frozenset(str(phases.ids[i]) for i in best.products)
            reactions.append((said, products, -best.energy))
    return reactions


def solids_of(campaign: Campaign, others: Sequence[Phases] = ()) -> Solids:
    """The phases of a campaign's answers with their volumes, and others of the same scheme.

    Raises:
        SchemeMismatch: if the others are of another scheme.
    """
    placed = campaign.placed
    crystals = placed.found.relaxed
    phases = placed.hull.phases
    volumes = crystals.volumes / crystals.n_atoms
    whole = Phases.concatenate([phases, *others])
    missing = np.full(len(whole) - len(phases), np.nan)
    return with_volumes(whole, np.concatenate([volumes, missing]))


def verdicts(
    campaign: Campaign, solids: Solids, allowed: Collection[str], temperatures: Sequence[float]
) -> list[Verdict]:
    """A verdict on the lowest phase of each new composition of a campaign, targets first.

    Args:
        campaign: whose phases are judged; those that were given are no candidates.
        solids: of ``solids_of``.
        allowed: elements that may be in a target although they are scarce, radioactive or toxic.
        temperatures: K.
    """
    lowest: dict[str, Phase] = {}
    given = {phase.reduced_formula for phase in campaign.phases if phase.known}
    for phase in campaign.phases:
        kept = lowest.setdefault(phase.reduced_formula, phase)
        if phase.e_above_hull < kept.e_above_hull:
            lowest[phase.reduced_formula] = phase
    found = []
    for formula, phase in lowest.items():
        contents = parse_formula(formula)
        if formula in given or len(contents) < 2:
            continue
        counts = tuple(sorted((atomic_number(s), round(n)) for s, n in contents.items()))
        reasons = of_elements(counts, allowed)
        if phase.e_above_hull > NEAR:
            reasons.insert(0, f"{1000 * phase.e_above_hull:.0f} meV/atom above the hull")
        if not reasons:
            around = sorted({*contents, "O", "C", "H"} & {*campaign.elements, "O", "C", "H"})
            reasons = in_air(solids.within(around), formula, temperatures)
        found.append(Verdict(phase.id, formula, tuple(reasons)))
    return sorted(found, key=lambda one: (len(one.reasons) > 0, one.reduced_formula))
