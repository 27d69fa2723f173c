"""``Level``: the evaluations of one energy scheme in a campaign, and what follows from them.

Level 0 screens: it evaluates candidates as proposed.  Each further level decides: from the
geometries that the level below it relaxed, it evaluates what could be stable by that one.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np
import pyarrow as pa

from gnomon.discover.finds import SAME_ENERGY, Find, Phase, Place, finds_of, phases_of
from gnomon.discover.lineage import traces
from gnomon.discover.placed import Evaluated, Placed, place
from gnomon.hull.convex import Hull
from gnomon.structure.duplicates import group_duplicates


class Level:
    """One level of a campaign; energies in eV/atom of its own scheme, on its own hull.

    Attributes:
        number: 0 screens, 1 decides, and so on.
        scheme: of all its energies.
        evaluations: rows of the table of that name; failed ones too.
        lineage: of the campaign's candidates.
        below: the level whose geometries it began with; None for level 0.
        fitted: energies (eV/atom) of the elements for its compounds; None: those of their crystals.
    """

    def __init__(
        self,
        number: int,
        scheme: str,
        evaluations: pa.Table,
        lineage: pa.Table,
        below: Level | None = None,
        fitted: Mapping[str, float] | None = None,
    ) -> None:
        """See the attributes of the class."""
        self.number, self.scheme, self.evaluations = number, scheme, evaluations
        self.lineage, self.below, self.fitted = lineage, below, fitted

    @cached_property
    def round_of(self) -> dict[str, int]:
        """The round in which each candidate was screened: 0 for references."""
        if self.below is not None:
            return self.below.round_of
        return dict(zip(*(self.evaluations[c].to_pylist() for c in ("id", "round")), strict=True))

    @cached_property
    def placed(self) -> Placed:
        """The converged evaluations on their hull."""
        found = Evaluated.of(self.evaluations)
        rounds = np.array([self.round_of[key] for key in found.ids.tolist()], dtype=np.int64)
        return place(found.in_rounds(rounds), self.scheme, self.fitted)

    @property
    def hull(self) -> Hull:
        """Of all converged evaluations, by the ids of what was proposed."""
        return self.placed.hull

    @cached_property
    def candidate_of(self) -> dict[str, str]:
        """The candidate behind each relaxed crystal of this level and those below, by their ids."""
        found = self.placed.found
        own = dict(zip(found.relaxed.ids.tolist(), found.ids.tolist(), strict=True))
        return own if self.below is None else self.below.candidate_of | own

    @cached_property
    def phases(self) -> tuple[Phase, ...]:
        """All converged evaluations that have a place on the hull, by formula and energy."""
        placed = self.placed
        given = placed.found.rounds == 0
        known = dict(
            zip(placed.found.ids[given], placed.found.relaxed[given].reduced_formulas, strict=True)
        )
        steps = traces(self.lineage, placed.found.ids.tolist(), self.candidate_of, known)
        return phases_of(placed, steps, self.number, self._of_below)

    @cached_property
    def _of_below(self) -> dict[str, tuple[tuple[Place, ...], tuple[str, ...]]]:
        """Of each phase of the level below: its places, and what else ended in the same phase."""
        return {
            phase.id: (phase.places, tuple(other.id for other in rows if other.id != phase.id))
            for rows in (() if self.below is None else self.below.groups)
            for phase in rows
        }

    @cached_property
    def groups(self) -> list[tuple[Phase, ...]]:
        """The phases, those of one structure together, the lowest first.

        Another level need not find degenerate what this one does: only crystals that match, and of
        which none relaxed less far than the others, stand for each other.
        """
        of = group_duplicates(self.placed.found.relaxed).of
        groups: dict[tuple[int, int], list[Phase]] = {}
        parts = dict.fromkeys(of.tolist(), 0)
        for phase in self.phases:  # by rising energy
            number = int(of[self.placed.row_of[phase.id]])
            rows = groups.get((number, parts[number]), [phase])
            gap = phase.formation_energy_per_atom - rows[0].formation_energy_per_atom
            parts[number] += gap > SAME_ENERGY
            groups.setdefault((number, parts[number]), []).append(phase)
        return [tuple(rows) for rows in groups.values()]

    @cached_property
    def finds(self) -> tuple[Find, ...]:
        """The new stable phases, each once, the furthest below the rest of the hull first."""
        return finds_of(self.phases, self.placed)

    @cached_property
    def hits(self) -> frozenset[str]:
        """The candidates that ended in a new stable phase, those that repeat another one too."""
        return frozenset(key for find in self.finds for key in (find.id, *find.copies))
