"""Stage three of a round: the evaluator relaxes what was selected, shard by shard."""

from __future__ import annotations

import time

import pyarrow as pa
import pyarrow.compute as pc

from gnomon.discover.campaign import Campaign
from gnomon.evaluate import Evaluator, Status
from gnomon.evaluate.table import evaluate_missing
from gnomon.io import from_arrow
from gnomon.run.listener import Listener

OUT_OF_TIME = "ended in round {}: the minutes are used up (the same command goes on)"


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
    done, what = campaign.evaluations["id"].to_pylist(), f"round {number}: evaluating"
    left = len(set(chosen["id"].to_pylist()) - set(done))
    crystals, store = from_arrow(chosen), campaign.store
    for part in evaluate_missing(crystals, done, evaluator, store, number, listener, what):
        left -= len(part)
        if left and time.monotonic() > deadline:
            return OUT_OF_TIME.format(number)
    store.finish(number, "evaluate", {"evaluated": len(chosen)})
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
