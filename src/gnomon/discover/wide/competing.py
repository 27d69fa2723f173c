"""Competing phases on demand: what candidates that look stable are to be held against.

Verified energies need competitors in the same scheme, and nobody evaluates a whole database.  A
candidate above the hull of what has been evaluated is not stable, whatever else there is.  Of the
others the lowest mixture is sought among evaluated phases and those of the database, each with the
energy that the level is expected to find less the margin (``gnomon.discover.closure``); what is in
it and was not evaluated, is next.  Once no mixture holds such a phase, the verdicts are *closed*:
no phase of the database changes them as long as the margin holds.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from gnomon.chemistry.elemental import ground_state
from gnomon.crystals import Crystals
from gnomon.discover.closure import MarginConfig, margin_of
from gnomon.discover.level import Level
from gnomon.discover.placed import Evaluated
from gnomon.discover.wide.database import Database, composition_keys
from gnomon.discover.wide.offsets import offset_of, places
from gnomon.elements import SYMBOLS
from gnomon.hull.convex import Hull
from gnomon.hull.phases import ON_HULL, Phases


@dataclass(frozen=True, eq=False)
class Asked:
    """What a level asks of the database.

    Attributes:
        crystals: to be evaluated next.
        why: of each, for the lineage.
        margin: eV/atom.
        open: ids of candidates whose verdict may change yet.
        unanswered: ids of candidates that compete with a phase of which there is no crystal, and
            the formula of that phase.
    """

    crystals: Crystals
    why: tuple[str, ...]
    margin: float
    open: tuple[str, ...]
    unanswered: dict[str, str]


def asked(
    level: Level, database: Database, config: MarginConfig, *, known_only: bool = False
) -> Asked:
    """What has to be evaluated before the verdicts of a level are closed.

    Args:
        level: with the candidates evaluated so far.
        database: of competing phases.
        config: of the margin.
        known_only: whether candidates compete with known phases alone, not with each other.
    """
    if elements := _elements(level, database):
        crystals = Crystals.concatenate([crystal for crystal, _ in elements])
        return Asked(crystals, tuple(why for _, why in elements), config.first_margin, (), {})
    placed = level.placed
    new = (placed.found.rounds > 0) & placed.compound
    rivals = _rivals(level, np.flatnonzero(new), known_only)
    above = _above_others(level, np.flatnonzero(new), rivals)
    finalists = np.flatnonzero(new)[above <= ON_HULL]
    rivals = [one for one, is_low in zip(rivals, above <= ON_HULL, strict=True) if is_low]
    near = _near(placed.hull.phases.composition[finalists], database)
    tried = set(level.evaluations["id"].to_pylist())
    ids = database.crystals.ids[near].tolist()
    offset = offset_of(level, database, near)
    margin = margin_of(offset.places, offset.differences, offset.is_compound, config)
    rows = near[np.array([str(key) not in tried for key in ids], bool)]
    shift = offset.expected(_places(database, rows)) - margin
    found = _mixtures(level, database, finalists, rivals, rows, shift)
    return _told(found, level, database, finalists, rows, margin)


def _elements(level: Level, database: Database) -> list[tuple[Crystals, str]]:
    """A structure of each element that has no reference yet: the measured one, or else the next."""
    found = Evaluated.of(level.evaluations)
    tried = set(level.evaluations["id"].to_pylist())
    present = np.flatnonzero(found.relaxed.composition.any(axis=0))
    wanted = []
    for symbol in (SYMBOLS[z] for z in present.tolist()):
        if symbol in level.placed.references:
            continue
        state = ground_state(symbol)
        own = database.hull.members([symbol])
        own = own[own < len(database)]
        own = own[np.argsort(database.formation_energy_per_atom[own], kind="stable")]
        tries = [] if state is None else [state.crystal]
        tries += [database.crystals[int(row)] for row in own]
        fresh = next((one for one in tries if str(one.ids[0]) not in tried), None)
        if fresh is not None:
            wanted.append((fresh, f"element {symbol}"))
    return wanted


def _near(composition: Float64[np.ndarray, "f 119"], database: Database) -> Int64[np.ndarray, " r"]:
    """Rows of the database within the chemical systems of these compositions."""
    systems = {tuple(np.flatnonzero(row).tolist()) for row in composition}
    rows = [database.hull.members([SYMBOLS[z] for z in system]) for system in sorted(systems)]
    every = np.unique(np.concatenate([np.zeros(0, np.int64), *rows]))
    return every[every < len(database)]


def _places(database: Database, rows: Int64[np.ndarray, " r"]) -> Float64[np.ndarray, "r k"]:
    composition = database.crystals.composition[rows].astype(np.float64)
    return places(composition, database.e_above_hull[rows])


def _rivals(level: Level, candidates: Int64[np.ndarray, " c"], known_only: bool) -> list[list[str]]:
    """Ids of the candidates that each does not compete with: those of its composition, or all."""
    ids = level.placed.found.ids
    if known_only:
        return [ids[candidates].tolist()] * len(candidates)
    keys = composition_keys(level.placed.hull.phases.composition[candidates])
    return [ids[candidates[keys == key]].tolist() for key in keys]


def _above_others(
    level: Level, candidates: Int64[np.ndarray, " c"], rivals: list[list[str]]
) -> Float64[np.ndarray, " c"]:
    """Energies above the hull of what was evaluated without the rivals, eV/atom."""
    phases = level.placed.hull.phases
    return level.placed.hull.e_above_hull(
        phases.composition[candidates],
        phases.formation_energy_per_atom[candidates],
        without=rivals,
    )


def _mixtures(
    level: Level,
    database: Database,
    finalists: Int64[np.ndarray, " f"],
    without: list[list[str]],
    rows: Int64[np.ndarray, " r"],
    shift: Float64[np.ndarray, " r"],
) -> list[dict[str, float]]:
    """The lowest mixture at each finalist, of what was evaluated and the database's phases."""
    own = level.placed.hull.phases
    undecided = Phases(
        np.array([f"row {row}" for row in rows.tolist()], dtype=object),
        database.crystals.composition[rows],
        database.formation_energy_per_atom[rows] + shift,
        own.scheme,
    )
    hull = Hull(Phases.concatenate([own, undecided]))
    return hull.decomposition(own.composition[finalists], without=without)


def _told(
    mixtures: list[dict[str, float]],
    level: Level,
    database: Database,
    finalists: Int64[np.ndarray, " f"],
    rows: Int64[np.ndarray, " r"],
    margin: float,
) -> Asked:
    named = {f"row {row}": row for row in rows.tolist()}
    ids = level.placed.found.ids[finalists].tolist()
    lacking = [[named[name] for name in mixture if name in named] for mixture in mixtures]
    times = Counter(row for found in lacking for row in found)
    chosen = sorted(times, key=lambda row: (-times[row], row))
    return Asked(
        crystals=database.crystals[chosen],
        why=tuple(f"competes ({database.names[row]})" for row in chosen),
        margin=margin,
        open=tuple(key for key, found in zip(ids, lacking, strict=True) if found),
        unanswered=_unanswered(level, database, finalists),
    )


def _unanswered(
    level: Level, database: Database, finalists: Int64[np.ndarray, " f"]
) -> dict[str, str]:
    """Candidates in whose facet, on the database's own hull, is a phase without a crystal."""
    composition = level.placed.hull.phases.composition[finalists]
    rows, weights = database.hull.mixtures(composition)
    formulas = database.others.reduced_formulas
    found: dict[str, str] = {}
    for key, mixed, shares in zip(
        level.placed.found.ids[finalists].tolist(), rows, weights, strict=True
    ):
        others = mixed[(shares > 0) & (mixed >= len(database)) & (mixed < database.n_phases)]
        if len(others):
            found[key] = str(formulas[others[0] - len(database)])
    return found


def on_whole_hull(
    level: Level, database: Database, config: MarginConfig
) -> tuple[dict[str, float], dict[str, float]]:
    """Energies above the hull of known phases at a level, by candidate, eV/atom.

    First on the hull of those that were evaluated there; then on that which also has the phases
    without a crystal, and of other compositions, each where the level is expected to find it.

    Args:
        level: whose verdicts are closed.
        database: of competing phases.
        config: of the margin.
    """
    placed = level.placed
    candidates = np.flatnonzero((placed.found.rounds > 0) & placed.compound)
    own = placed.hull.phases
    known = own.take(np.flatnonzero(placed.found.rounds == 0))
    elements = own.composition[candidates].any(axis=0)
    others = database.others
    inside = ~others.composition[:, ~elements].any(axis=1)
    inside &= ~np.isin(composition_keys(others.composition), composition_keys(known.composition))
    others = others.take(inside)
    above = database.hull.e_above_hull(others.composition, others.formation_energy_per_atom)
    shift = offset_of(level, database).expected(places(others.composition, above))
    expected = others.formation_energy_per_atom + shift
    more = Phases(others.ids, others.composition, expected, own.scheme)
    energies = own.formation_energy_per_atom[candidates]
    found = []
    for hull in (Hull(known), Hull(Phases.concatenate([known, more]))):
        distance = hull.e_above_hull(own.composition[candidates], energies)
        found.append(dict(zip(own.ids[candidates].tolist(), distance.tolist(), strict=True)))
    return found[0], found[1]
