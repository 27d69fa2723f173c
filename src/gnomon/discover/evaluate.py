"""Stage three of a round: the evaluator relaxes what was selected, shard by shard."""

from __future__ import annotations

import time

import pyarrow as pa
import pyarrow.compute as pc

from gnomon.discover.campaign import Campaign
from gnomon.evaluate import Evaluator, Status
from gnomon.evaluate.table import rows_of
from gnomon.io import from_arrow
from gnomon.run.listener import Listener

SHARD = 16
"""Evaluations in a shard: what a kill may cost."""


def selected(number: int, campaign: Campaign) -> pa.Table:
    """Rows of the candidates selected in a round, in the order of the screening."""
    chosen = campaign.screening.filter(pc.equal(campaign.screening["round"], number))
    chosen = chosen.filter(pc.is_valid(chosen["selection"]))["id"]
    return campaign.crystals.take(pc.index_in(chosen, campaign.crystals["id"]))


def evaluate(
    number: int, campaign: Campaign, evaluator: Evaluator, listener: Listener, deadline: float
) -> str:
    """Evaluate what this round has not evaluated yet; why it did not come to its end, or nothing.

    Args:
        number: of the round.
        campaign: with what is selected.
        evaluator: relaxes it.
        listener: hears of progress.
        deadline: of time.monotonic().
    """
    chosen = selected(number, campaign)
    left = chosen.filter(pc.invert(pc.is_in(chosen["id"], campaign.evaluations["id"])))
    crystals, ids = from_arrow(left), left["id"].to_pylist()
    total, start = len(chosen), 0
    listener.tick(f"round {number}: evaluating", total - len(ids), total)
    for part in evaluator.evaluate(crystals, chunk=SHARD):
        stop = start + len(part.relaxed)
        rows = rows_of(ids[start:stop], part, evaluator.scheme)
        campaign.store.append("evaluations", number, rows)
        start = stop
        listener.tick(f"round {number}: evaluating", total - len(ids) + start, total)
        if time.monotonic() > deadline and start < len(ids):
            return f"ended in round {number}: the minutes are used up (the same command goes on)"
    campaign.store.finish(number, "evaluate", {"evaluated": total})
    return ""


def summarise(number: int, campaign: Campaign) -> str:
    """One line on what the round brought."""
    of_round = pc.equal(campaign.evaluations["round"], number)
    statuses = campaign.evaluations["status"].filter(of_round).to_pylist()
    placed = campaign.placed
    found = placed.found.relaxed[placed.stable & placed.compound].reduced_formulas
    names = ", ".join(sorted(set(found))) or "no compound"
    converged = statuses.count(Status.CONVERGED)
    return f"round {number}: {converged} of {len(statuses)} converged; on the hull: {names}"
