"""``Campaign``: what a campaign's folder holds, read once, and what follows from it.

Everything is derived from the shards, so that it is the same after a kill as without one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from gnomon.discover.finds import Find, Phase, finds_of, phases_of
from gnomon.discover.inputs import Doubt
from gnomon.discover.lineage import traces
from gnomon.discover.placed import Evaluated, Placed, place
from gnomon.discover.settings import CampaignConfig
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
        ("scheme", pa.string()),
    ]
)
"""Columns of hull.parquet: every converged phase and its place on the hull."""

PLACES = ("evaluations", "placed", "phases", "finds")
"""What follows from the evaluations."""


class Campaign:
    """A campaign's folder: tables, hull, phases and finds, each made once, when first asked for.

    A campaign that goes on meanwhile is another value: open the folder again.

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

    def __repr__(self) -> str:
        """The folder."""
        return f"Campaign({str(self.store.root)!r})"

    def after(self, *grown: str) -> Campaign:
        """The campaign now that these tables have grown; what does not follow from them is kept."""
        new = Campaign(self.store)
        stale = {*grown, *(PLACES if "evaluations" in grown else ())}
        new.__dict__.update({k: v for k, v in self.__dict__.items() if k not in stale})
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
        return CampaignConfig.model_validate(self.provenance["config"])

    @property
    def scheme(self) -> str:
        """The energy scheme of all energies."""
        return str(self.provenance["scheme"])

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

    @cached_property
    def doubts(self) -> tuple[Doubt, ...]:
        """What readers found odd about the crystals that were given."""
        said = (self.store.finished(0, "generate") or {}).get("doubts", ())
        return tuple(Doubt(**doubt) for doubt in said)

    @cached_property
    def evaluations(self) -> pa.Table:
        """All evaluations, failed ones too.

        Raises:
            StoreError: if one is of another energy scheme than the campaign.
        """
        rows = self.store.table("evaluations")
        schemes = sorted({self.scheme, *rows["scheme"].unique().to_pylist()})
        if len(schemes) > 1:
            raise StoreError(
                f"{self.store.root} mixes the energy schemes {' and '.join(schemes)}: "
                "their energies cannot share a hull"
            )
        return rows

    @cached_property
    def placed(self) -> Placed:
        """The converged evaluations on their hull."""
        return place(Evaluated.of(self.evaluations), self.scheme)

    @property
    def hull(self) -> Hull:
        """Of all converged evaluations, by the ids of what was proposed."""
        return self.placed.hull

    @cached_property
    def phases(self) -> tuple[Phase, ...]:
        """All converged evaluations that have a place on the hull, by formula and energy."""
        placed = self.placed
        candidate_of = dict(
            zip(placed.found.relaxed.ids.tolist(), placed.found.ids.tolist(), strict=True)
        )
        given = placed.found.rounds == 0
        known = dict(
            zip(placed.found.ids[given], placed.found.relaxed[given].reduced_formulas, strict=True)
        )
        steps = traces(self.lineage, placed.found.ids.tolist(), candidate_of, known)
        return phases_of(placed, steps)

    @cached_property
    def finds(self) -> tuple[Find, ...]:
        """The new stable phases, each once, the furthest below the rest of the hull first."""
        return finds_of(self.phases, self.placed)

    @cached_property
    def hits(self) -> frozenset[str]:
        """The candidates that ended in a new stable phase, those that repeat another one too."""
        return frozenset(key for find in self.finds for key in (find.id, *find.copies))

    def hull_table(self) -> pa.Table:
        """The phases as rows (schema ``HULL``); ``decomposition`` is JSON text."""
        rows = [
            {
                **{name: getattr(phase, name, None) for name in HULL.names},
                "decomposition": json.dumps({k: round(v, 6) for k, v in phase.shares.items()}),
                "is_reference": phase.known,
                "scheme": self.scheme,
            }
            for phase in self.phases
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
