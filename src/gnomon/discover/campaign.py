"""``Campaign``: what a campaign's folder holds, read once, and what follows from it.

Everything is derived from the shards, so that it is the same after a kill as without one.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float64

from gnomon.discover.closure import Closure, MarginConfig, Undecided, closure, expected_energies
from gnomon.discover.finds import Find, Phase
from gnomon.discover.inputs import Doubt
from gnomon.discover.level import Level
from gnomon.discover.placed import Placed
from gnomon.discover.settings import ALL, CampaignConfig, settings_of
from gnomon.evaluate.references import MEASURED, fitted
from gnomon.hull.convex import Hull
from gnomon.run.store import Store
from gnomon.run.writing import StoreError

if TYPE_CHECKING:
    import plotly.graph_objects as go

HULL = pa.schema(
    [
        ("id", pa.string()),
        ("relaxed_id", pa.string()),
        ("reduced_formula", pa.string()),
        ("chemical_system", pa.string()),
        ("formation_energy_per_atom", pa.float64()),
        ("e_above_hull", pa.float64()),
        ("stable", pa.bool_()),
        ("space_group", pa.int64()),
        ("decomposition", pa.string()),
        ("round", pa.int64()),
        ("is_reference", pa.bool_()),
        ("level", pa.int64()),
        ("scheme", pa.string()),
    ]
)
"""Columns of hull.parquet: every converged phase of each level and its place on that one's hull."""

FOLLOWING = {
    "evaluations": ("all_evaluations", "levels", "closures", "expected_energies"),
    "lineage": ("levels", "closures"),
}
"""What follows from a table."""


class Campaign:
    """A campaign's folder: tables, hull, phases and finds, each made once, when first asked for.

    Hull, phases and finds are those of the last level that has decided (``answers``); ``level``
    gives those of any.  A campaign that goes on meanwhile is another value: open the folder again.

    >>> campaign = Campaign("nowhere")
    >>> campaign.scheme
    Traceback (most recent call last):
    gnomon.run.writing.StoreError: nowhere holds no campaign: `gnomon discover` begins one

    Attributes:
        store: the folder.
    """

    def __init__(self, folder: Path | str | Store) -> None:
        """Name the folder; nothing is read yet.

        Args:
            folder: of a campaign, such as ``campaign-Au-Cu``.  Energies are in eV/atom.

        Raises:
            StoreError: when asked, if the folder holds no campaign.
        """
        self.store = folder if isinstance(folder, Store) else Store(folder)
        self._made: dict[tuple[int, ...], Level] = {}

    def __repr__(self) -> str:
        """The folder."""
        return f"Campaign({str(self.store.root)!r})"

    def after(self, *grown: str) -> Campaign:
        """The campaign now that these tables have grown; what does not follow from them is kept."""
        new = Campaign(self.store)
        stale = {*grown, *(name for table in grown for name in FOLLOWING.get(table, ()))}
        new.__dict__.update({k: v for k, v in self.__dict__.items() if k not in stale})
        return new

    def anew(self) -> Campaign:
        """The campaign as the folder is now; what follows from levels that did not grow stays."""
        new = Campaign(self.store)
        new._made = self._made
        return new

    def without(self, number: int, *tables: str) -> Campaign:
        """The campaign without a round's shards of these tables, whose stage did not finish."""
        for table in tables:
            self.store.discard(table, number)
        return self.after(*tables)

    @cached_property
    def provenance(self) -> Mapping[str, Any]:
        """Versions, commit, seed, settings and checksums of inputs.

        Raises:
            StoreError: if the folder holds no campaign.
        """
        return self.store.provenance

    @property
    def name(self) -> str:
        """The chemical system as the user wrote it, such as ``Ti-O``."""
        return str(self.provenance["system"])

    @cached_property
    def config(self) -> CampaignConfig:
        """The settings."""
        return CampaignConfig.model_validate(settings_of(self.provenance))

    @property
    def scheme(self) -> str:
        """The energy scheme of the answers."""
        return str(self.provenance["scheme"] if not self.schemes[1:] else self.answers.scheme)

    @property
    def schemes(self) -> tuple[str, ...]:
        """The energy scheme of each level, screening first."""
        return (self.provenance["scheme"], *self.provenance.get("deciding_schemes", ()))

    @cached_property
    def crystals(self) -> pa.Table:
        """Candidates and reference phases as proposed (``gnomon.run.store.SCHEMAS``)."""
        return self.store.table("crystals")

    @cached_property
    def lineage(self) -> pa.Table:
        """Where they come from."""
        return self.store.table("lineage")

    @cached_property
    def screening(self) -> pa.Table:
        """The verdict of each round on each open candidate."""
        return self.store.table("screening")

    @cached_property
    def screened(self) -> dict[int, dict[str, Any]]:
        """Of each round that was screened: model, n_labels, message, ending."""
        return self.store.rounds("screen")

    @property
    def drawn(self) -> frozenset[str]:
        """Ids of candidates drawn at random of all that were proposed, where few are kept here."""
        stages = self.store.rounds("generate").values()
        return frozenset(key for facts in stages for key in facts.get("drawn", ()))

    @property
    def funnel(self) -> dict[str, int]:
        """What became of all that was proposed where few are kept here: counts by reason."""
        counts: Counter[str] = Counter()
        for facts in self.store.rounds("generate").values():
            counts.update(facts.get("funnel", {}))
        return dict(counts)

    @cached_property
    def doubts(self) -> tuple[Doubt, ...]:
        """What readers found odd about the crystals that were given."""
        said = (self.store.finished(0, "generate") or {}).get("doubts", ())
        return tuple(Doubt(**doubt) for doubt in said)

    @cached_property
    def decisions(self) -> pa.Table:
        """What was chosen for each deciding level, and why."""
        return self.store.table("decisions")

    @cached_property
    def all_evaluations(self) -> pa.Table:
        """The evaluations of all levels, failed ones too.

        Raises:
            StoreError: if one is of another energy scheme than its level.
        """
        rows = self.store.table("evaluations")
        numbers = pc.fill_null(rows["level"], 0)
        rows = rows.set_column(rows.column_names.index("level"), "level", numbers)
        for number in numbers.unique().to_pylist():
            named = self.schemes[number : number + 1]
            found = rows["scheme"].filter(pc.equal(numbers, number)).unique().to_pylist()
            if len(schemes := sorted({*named, *found})) > 1 or not named:
                raise StoreError(
                    f"{self.store.root} mixes the energy schemes {' and '.join(schemes)}: "
                    "their energies cannot share a hull"
                )
        return rows

    @property
    def evaluations(self) -> pa.Table:
        """The evaluations of candidates and references as proposed, failed ones too."""
        return self.levels[0].evaluations

    @cached_property
    def levels(self) -> tuple[Level, ...]:
        """Screening, and the levels that decide, those too that have not begun."""
        found: list[Level] = []
        key = [len(self.lineage)]
        for number, scheme in enumerate(self.schemes):
            rows = self.all_evaluations
            rows = rows.filter(pc.equal(rows["level"], number))
            key.append(len(rows))
            if tuple(key) not in self._made:
                below = found[-1] if found else None
                zero = self._fitted(scheme)
                self._made[tuple(key)] = Level(number, scheme, rows, self.lineage, below, zero)
            found.append(self._made[tuple(key)])
        return tuple(found)

    @property
    def references(self) -> str:
        """Of formation energies: ``measured`` ground states, or ``fitted``."""
        return str(self.provenance["config"].get("references", MEASURED))

    def _fitted(self, scheme: str) -> dict[str, float] | None:
        return None if self.references == MEASURED else fitted(scheme, self.elements)

    def level(self, number: int) -> Level:
        """The evaluations of one level, and what follows from them: 0 screens, 1 decides, ..."""
        return self.levels[number]

    @property
    def answers(self) -> Level:
        """The last level with all elements and a compound, if there is one at level 0.

        Its answers are the campaign's.
        """
        first = self.levels[0].placed
        for level in self.levels[:0:-1]:
            begun = level.placed.compound.any() or not first.compound.any()
            open_ = first.references.keys() - level.placed.references
            if begun and first.references and (not open_ or self.name == ALL):
                return level
        return self.levels[0]

    @cached_property
    def expected_energies(self) -> Float64[np.ndarray, " n"]:
        """Formation energies, at the level that answers, of all phases that level 0 placed.

        As evaluated there, or else as expected (``gnomon.discover.closure``): what networks learn.
        """
        return expected_energies(self.levels[: self.answers.number + 1])

    @cached_property
    def closures(self) -> tuple[Closure, ...]:
        """How far each deciding level has decided what the level below it holds."""
        given = {**settings_of(self.provenance)["decide"]}
        config = MarginConfig(**{k: v for k, v in given.items() if k in MarginConfig.model_fields})
        one_system = self.name != ALL
        return tuple(
            closure(a, b, self.elements, config, all_needed=one_system)
            for a, b in pairwise(self.levels)
        )

    @property
    def elements(self) -> tuple[str, ...]:
        """Of the system, in alphabetical order; without one those that have references so far."""
        if self.name != ALL:
            return tuple(sorted(self.name.split("-")))
        return tuple(sorted(self.levels[0].placed.references))

    @property
    def undecided(self) -> tuple[Undecided, ...]:
        """What could change the hull of the last level, and is not decided there."""
        return self.closures[-1].left if self.closures else ()

    @property
    def placed(self) -> Placed:
        """The converged evaluations on their hull."""
        return self.answers.placed

    @property
    def hull(self) -> Hull:
        """Of all converged evaluations, by the ids of what was proposed."""
        return self.answers.hull

    @property
    def phases(self) -> tuple[Phase, ...]:
        """All converged evaluations that have a place on the hull, by formula and energy."""
        return self.answers.phases

    @property
    def finds(self) -> tuple[Find, ...]:
        """The new stable phases, each once, the furthest below the rest of the hull first."""
        return self.answers.finds

    @property
    def hits(self) -> frozenset[str]:
        """The candidates that ended in a new stable phase, those that repeat another one too."""
        return self.answers.hits

    def hull_table(self) -> pa.Table:
        """The phases of all levels as rows (schema ``HULL``); ``decomposition`` is JSON text."""
        rows = [
            {
                **{name: getattr(phase, name, None) for name in HULL.names},
                "decomposition": json.dumps({k: round(v, 6) for k, v in phase.shares.items()}),
                "is_reference": phase.known,
                "level": level.number,
                "scheme": level.scheme,
            }
            for level in self.levels
            for phase in level.phases
        ]
        return pa.Table.from_pylist(rows, schema=HULL)

    def plot(self) -> go.Figure | None:
        """The hull diagram of two or three elements; None for any other number."""
        hidden = {phase.id for phase in self.phases if phase.stable and not phase.known}
        # a find that repeats another or a known phase would only cover its mark
        hidden -= {find.id for find in self.finds}
        drawn = [phase for phase in self.phases if phase.id not in hidden]
        if not drawn or self.name.count("-") not in (1, 2):
            return None
        return self.hull.plot(
            self.name,
            rows=[self.placed.row_of[phase.id] for phase in drawn],
            new=[not phase.known for phase in drawn],
            details=[(f"space group {phase.symmetry}", phase.origin) for phase in drawn],
        )
