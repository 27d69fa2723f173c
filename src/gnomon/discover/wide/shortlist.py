"""The candidates of a campaign without a system that its folder keeps: the best, and a draw.

All that is proposed goes through the passes of ``proposing``, whose result stays under ``work/`` in
the folder; a round takes from it the best compositions that the folder does not hold
yet, by odds that learned from the rounds before, and the next ones of a random order, the baseline.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float64

from gnomon.crystals import Crystals
from gnomon.discover.campaign import Campaign
from gnomon.discover.prior import unbalanced
from gnomon.discover.settings import CampaignConfig
from gnomon.discover.wide.database import Database, composition_keys
from gnomon.discover.wide.drafts import (
    DRAFTS,
    built,
    changes,
)
from gnomon.discover.wide.learning import learned
from gnomon.discover.wide.proposing import Places, ranker_of
from gnomon.discover.wide.ranking import RANKED, WEIGHTS, described, evidence
from gnomon.generate import Candidates
from gnomon.generate.prototypes.occurrence import Occurrence
from gnomon.hull.convex import Hull
from gnomon.io import from_arrow, to_arrow
from gnomon.io.tables import read_table
from gnomon.models import Predictions
from gnomon.run.passes import Shards
from gnomon.structure.labels import prototype_label
from gnomon.structure.protostructures import protostructure

OF_ROUND = pa.schema([*RANKED, pa.field("of", pa.int64())])
"""Columns of what was ranked, and in which round."""

SPREAD = 0.5
"""Of a weight around that of before the campaign: what some hundred evaluations may teach."""


def shortlist(
    number: int, config: CampaignConfig, campaign: Campaign, database: Database
) -> Iterator[tuple[Candidates, bool]]:
    """The best compositions that the folder does not hold yet, and the draws (true) beside them."""
    have = pc.unique(campaign.crystals["reduced_formula"])
    weights = learned_weights(config, campaign)
    most = config.wide.shortlist * config.budget.per_round
    random = round(most * config.screen.random_share)
    drawn, best = OF_ROUND.empty_table(), OF_ROUND.empty_table()
    for rows in _parts(number, campaign):
        new = rows.filter(pc.invert(pc.is_in(rows["reduced_formula"], have)))
        lots = pa.concat_tables([drawn, new.filter(pc.is_valid(new["lot"]))])
        drawn = lots.sort_by("lot").slice(0, random).combine_chunks()
        every = pa.concat_tables([best, new.filter(pc.is_null(new["lot"]))]).combine_chunks()
        odds, kinds = evidence(every) @ weights, every["kind"].to_numpy()
        best = every.take(np.lexsort((kinds, -odds))[:most]).combine_chunks()
    for rows, is_draw in ((drawn, True), (best, False)):
        for round_ in rows["of"].unique().to_pylist():
            own = rows.filter(pc.equal(rows["of"], round_)).combine_chunks()
            path = Places(campaign.store.root, round_).parents
            parents = database.crystals if round_ == 1 else from_arrow(read_table(path))
            yield from ((one, is_draw) for one in _candidates(own, parents))


def _parts(number: int, campaign: Campaign) -> Iterator[pa.Table]:
    """What the passes of all rounds so far ranked, a part at a time."""
    for round_ in range(1, number + 1):
        for rows in Shards.open(Places(campaign.store.root, round_).ranked).tables():
            own = pa.array([round_] * len(rows), pa.int64())
            given = set(rows.column_names)  # an earlier release had no column ``change``
            columns = {
                f.name: rows[f.name] if f.name in given else pa.nulls(len(rows), f.type)
                for f in RANKED
            }
            yield pa.table({**columns, "of": own}, schema=OF_ROUND)


def _candidates(rows: pa.Table, parents: Crystals) -> Iterator[Candidates]:
    """Candidates of rows of one table of parents, those of each generator together."""
    for name in rows["generator"].unique().to_pylist():
        own = rows.filter(pc.equal(rows["generator"], name)).combine_chunks()
        crystals = built(own, parents)
        at = own["parent"].to_pylist()
        ids = [None if p < 0 else str(parents.ids[p]) for p in at]
        told = changes(own, crystals, parents)
        score = own["score"].to_numpy(zero_copy_only=False)
        yield Candidates.of(crystals, name, told, parent_id=ids, score=score)


def looked_up(
    crystals: Crystals,
    scores: Float64[np.ndarray, " n"],
    config: CampaignConfig,
    network: str,
    hull: Hull,
) -> tuple[pa.Table, Predictions]:
    """What is known of candidates before they are evaluated (schema ``RANKED``), and predicted."""
    predictions = ranker_of(config, network=network).predict(crystals)
    rows = _drafted(crystals, scores, config)
    return described(rows, crystals, predictions, hull), predictions


def _drafted(
    crystals: Crystals, scores: Float64[np.ndarray, " n"], config: CampaignConfig
) -> pa.Table:
    """Rows of candidates that are built, none of them drawn."""
    occurrence = Occurrence.load(config.learn.prototypes)
    counts = [occurrence.count(prototype_label(protostructure(one))) for one in crystals]
    geometry, n = to_arrow(crystals), len(crystals)
    columns: dict[str, Any] = {
        "composition": composition_keys(crystals.composition),
        "kind": np.arange(n, dtype=np.uint64),
        "parent": np.full(n, -1, np.int32),
        "generator": pa.array([""] * n, pa.string()),
        "atomic_numbers": geometry["atomic_numbers"],
        "score": pa.array(scores, from_pandas=True),
        "count": np.array(counts, np.float64),
    }
    rows = pa.table({f.name: columns.get(f.name, pa.nulls(n, f.type)) for f in DRAFTS}, DRAFTS)
    return rows.append_column(RANKED.field("lot"), pa.nulls(n, pa.uint64()))


def learned_weights(config: CampaignConfig, campaign: Campaign) -> Float64[np.ndarray, " c"]:
    """Weights of the evidence, as the rounds so far have taught.

    Predictions are those by which a candidate was chosen: by now a network may have learned it.
    """
    done = campaign.evaluations.filter(pc.greater(campaign.evaluations["round"], 0))["id"]
    if not len(done):
        return WEIGHTS
    crystals = from_arrow(campaign.crystals.take(pc.index_in(done, campaign.crystals["id"])))
    rows = _drafted(crystals, scores_of(campaign, done.to_pylist()), config)
    chosen = campaign.screening.filter(pc.is_valid(campaign.screening["selection"]))
    chosen = chosen.take(pc.index_in(done, chosen["id"]))
    for name in ("predicted_e_above_hull", "uncertainty"):
        rows = rows.append_column(name, chosen[name])
    rows = rows.append_column("unbalanced", pa.array(unbalanced(crystals)))
    stable = np.array([key in campaign.hits for key in done.to_pylist()], bool)
    return learned(evidence(rows), stable, WEIGHTS, SPREAD)


def scores_of(campaign: Campaign, ids: Sequence[str]) -> Float64[np.ndarray, " n"]:
    """The generators' preferences for some candidates; NaN where there is none."""
    table = campaign.lineage.select(["id", "score"])
    scores = table["score"].take(pc.index_in(pa.array(ids, pa.string()), table["id"]))
    return np.asarray(scores.to_numpy(zero_copy_only=False), np.float64)
