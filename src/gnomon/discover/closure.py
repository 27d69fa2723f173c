"""Which phases a level has yet to decide, and when nothing that is left could change its hull.

The formation energy of a phase at the deciding level is expected to be that of the level below plus
the difference of the two levels, smoothed over the phases that both hold: those of like composition
and of like distance to the hull count most.  How far such expectations err is measured on these
phases, each foretold from the others; the *margin* is a quantile of these errors.  A phase that is
expected more than the margin above the hull of the deciding level is not on it, as long as the
margin holds: a hull changes only by phases that lie below it.  So the hull is *closed* when no
undecided phase is expected within the margin.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64
from pydantic import BaseModel, ConfigDict, Field
from scipy.spatial.distance import cdist

from gnomon.discover.finds import Phase
from gnomon.discover.level import Level
from gnomon.discover.placed import Placed, in_ground_state
from gnomon.hull.phases import atom_fractions

REACH = (0.2, 0.1)
"""Over which two phases cease to tell of each other: the sum of the differences of their atom
fractions, and the difference of their distances to the hull of the level below in eV/atom."""

DOUBT = 0.1
"""Weight of the assumption that the two levels agree, beside 1 of a phase of one composition."""


class MarginConfig(BaseModel):
    """How far above the hull a phase still has to be decided."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    quantile: float = Field(
        default=0.95,
        gt=0,
        le=1,
        description="of the errors of the expected energies, that the margin is",
    )
    min_margin: float = Field(default=0.01, ge=0, description="the margin at least, eV/atom")
    first_margin: float = Field(
        default=0.05, ge=0, description="the margin while few differences are known, eV/atom"
    )
    min_differences: int = Field(
        default=8, ge=1, description="compounds at both levels before the margin is measured"
    )


@dataclass(frozen=True)
class Undecided:
    """A phase of the level below that is to be decided.

    Attributes:
        phase: at the level below.
        reason: why.
        predicted_e_above_hull: at the deciding level, eV/atom; None while that has no hull.
    """

    phase: Phase
    reason: str
    predicted_e_above_hull: float | None = None


@dataclass(frozen=True)
class Closure:
    """How far a level has decided what could be stable by the level below.

    Attributes:
        level: that decides.
        scheme: of its energies.
        margin: eV/atom.
        n_differences: compounds at both levels, from which the margin follows; the first margin
            holds while there are too few.
        left: what is to be decided yet, in this order.
        failed: phases of the level below of which the level found no energy.
        missing: elements of which no structure converged, so that there is no hull.
    """

    level: int
    scheme: str
    margin: float
    n_differences: int
    left: tuple[Undecided, ...]
    failed: tuple[Phase, ...]
    missing: tuple[str, ...] = ()

    @property
    def closed(self) -> bool:
        """Whether nothing is left that could change the hull, as long as the margin holds."""
        return not self.left and not self.missing

    def __str__(self) -> str:
        """For people."""
        if self.missing:
            return f"not closed: no structure of {', '.join(self.missing)} could be relaxed"
        margin = f"{1000 * self.margin:.0f} meV/atom"
        if self.closed:
            text = f"closed: no undecided phase is expected within {margin} of the hull"
        else:
            text = f"not closed: {len(self.left)} phases expected within {margin} are undecided"
        if self.failed:
            text += f"; {len(self.failed)} could not be decided, as they did not converge"
        return text


def closure(
    below: Level,
    level: Level,
    elements: Collection[str],
    config: MarginConfig,
    *,
    all_needed: bool = True,
) -> Closure:
    """What a level has decided of the level below, and what it has yet to decide.

    First come the elements, each in its measured ground state; then the phases that are stable by
    the level below, known compounds, and whatever is expected within the margin of the hull, the
    lowest first.  Candidates that ended in the same phase are decided once.

    Args:
        below: with the phases.
        level: that decides.
        elements: of the system, each of which needs a reference.
        config: of the margin.
        all_needed: whether an element without a structure leaves the whole hull open; else only
            the phases that hold it count as failed.
    """
    tried = set(level.evaluations["id"].to_pylist())
    row_of = level.placed.row_of
    groups = [rows for rows in below.groups if tried.isdisjoint(row.id for row in rows)]
    done = [rows for rows in below.groups if not tried.isdisjoint(row.id for row in rows)]
    decided = [next((r for r in rows if r.id in row_of), None) for rows in done]
    pairs = [phase for phase in decided if phase is not None]
    failed = tuple(
        next(row for row in rows if row.id in tried)
        for rows, phase in zip(done, decided, strict=True)
        if phase is None
    )
    open_ = [symbol for symbol in elements if symbol not in level.placed.references]
    if open_:
        firsts = {symbol: _first_structure(symbol, groups, below) for symbol in open_}
        left = [Undecided(one, "element") for one in firsts.values() if one is not None]
        missing = tuple(symbol for symbol, one in firsts.items() if one is None)
        if missing and all_needed:
            left = []
        if left or all_needed:
            margin, named = config.first_margin, missing if all_needed else ()
            return Closure(level.number, level.scheme, margin, 0, tuple(left), failed, named)
        without = [rows for rows in groups if not {*missing}.isdisjoint(rows[0].elements)]
        failed += tuple(rows[0] for rows in without)
        groups = [rows for rows in groups if {*missing}.isdisjoint(rows[0].elements)]
    seen = _places(below.placed, _rows(pairs, below))
    differences = level.placed.formation_energy_per_atom[_rows(pairs, level)]
    differences = differences - below.placed.formation_energy_per_atom[_rows(pairs, below)]
    compound = np.array([len(phase.elements) > 1 for phase in pairs], dtype=bool)
    margin = margin_of(seen, differences, compound, config)
    rows_at = _rows([rows[0] for rows in groups], below)
    energies = below.placed.formation_energy_per_atom[rows_at]
    energies = energies + smoothed(_places(below.placed, rows_at), seen, differences)
    expected = level.hull.e_above_hull(below.hull.phases.composition[rows_at], energies)
    left = [
        Undecided(rows[0], reason, float(above))
        for rows, above in zip(groups, expected, strict=True)
        if (reason := _reason(rows, float(above), margin))
    ]
    left.sort(key=lambda one: (one.predicted_e_above_hull, one.phase.id))
    return Closure(level.number, level.scheme, margin, int(compound.sum()), tuple(left), failed)


def margin_of(
    seen: Float64[np.ndarray, "m k"],
    differences: Float64[np.ndarray, " m"],
    compound: Bool[np.ndarray, " m"],
    config: MarginConfig,
) -> float:
    """A quantile of the errors of what is expected of compounds, each foretold from the others."""
    if compound.sum() < config.min_differences:
        return config.first_margin
    errors = np.abs(differences - smoothed(seen, seen, differences, itself=False))[compound]
    measured = float(np.quantile(errors, config.quantile, method="higher"))
    return max(config.min_margin, measured)


def _reason(rows: Sequence[Phase], above: float, margin: float) -> str:
    """Why a phase has to be decided, or nothing."""
    if above <= margin:
        return "within the margin"
    if rows[0].stable:
        return "stable at the level below"
    known = any(phase.known for phase in rows) and len(rows[0].elements) > 1
    return "known compound" if known else ""


def expected_energies(levels: Sequence[Level]) -> Float64[np.ndarray, " n"]:
    """Formation energies at the last of these levels of the n phases that level 0 placed, eV/atom.

    As evaluated where the level holds them, else as expected.

    Args:
        levels: from level 0 on.
    """
    first = levels[0].placed
    at = _places(first, np.arange(len(first.found.ids)))
    energies = first.formation_energy_per_atom.copy()
    for level in levels[1:]:
        rows = np.array([first.row_of[key] for key in level.placed.found.ids], dtype=np.int64)
        measured = level.placed.formation_energy_per_atom
        energies += smoothed(at, at[rows], measured - energies[rows])
        energies[rows] = measured
    return energies


def smoothed(
    at: Float64[np.ndarray, "n k"],
    seen: Float64[np.ndarray, "m k"],
    differences: Float64[np.ndarray, " m"],
    *,
    itself: bool = True,
) -> Float64[np.ndarray, " n"]:
    r"""Differences of two levels to be expected, from those seen: kernel regression.

    :math:`\sum_j w_j d_j / (\sum_j w_j + w_0)` with :math:`w_j = \exp(-|x - x_j|_1)`
    (Nadaraya, Theory Probab. Appl. 9, 141 (1964); Watson, Sankhya A 26, 359 (1964)), drawn to zero
    by :math:`w_0`.

    Args:
        at: where what is asked lies (``_places``).
        seen: where that lies which both levels hold.
        differences: of these, eV/atom.
        itself: whether a phase tells of itself, where ``at`` is ``seen``.
    """
    weights = np.exp(-cdist(at, seen, "cityblock"))
    if not itself:
        np.fill_diagonal(weights, 0.0)
    return np.asarray(weights @ differences / (weights.sum(axis=1) + DOUBT))


def _first_structure(
    symbol: str, groups: Sequence[tuple[Phase, ...]], below: Level
) -> Phase | None:
    """The structure of an element to try next: its measured ground state, or else the lowest."""
    own = [rows[0] for rows in groups if rows[0].chemical_system == symbol and rows[0].known]
    if not own:
        return None
    measured = np.flatnonzero(in_ground_state(below.placed.found.relaxed[_rows(own, below)]))
    return own[int(measured[0])] if len(measured) else own[0]


def _rows(phases: Sequence[Phase], level: Level) -> Int64[np.ndarray, " n"]:
    return np.array([level.placed.row_of[phase.id] for phase in phases], dtype=np.int64)


def _places(placed: Placed, rows: Int64[np.ndarray, " n"]) -> Float64[np.ndarray, "n k"]:
    """Atom fractions and distances to the hull, in units of ``REACH``."""
    fractions = atom_fractions(placed.hull.phases.composition[rows])
    return np.column_stack([fractions / REACH[0], placed.e_above_hull[rows] / REACH[1]])
