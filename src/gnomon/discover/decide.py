"""Stage four of a round: each further level evaluates what could be stable by the one below."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gnomon.discover.campaign import Campaign
from gnomon.discover.closure import Closure
from gnomon.discover.evaluate import complete, stable_names
from gnomon.discover.settings import CampaignConfig
from gnomon.evaluate import Evaluator
from gnomon.evaluate.table import Marks
from gnomon.run.listener import Listener
from gnomon.structure.symmetry import idealised, niggli

BATCH = 16
"""Phases that are chosen together: the margin is measured anew after them."""


def decide(
    number: int,
    config: CampaignConfig,
    campaign: Campaign,
    evaluators: Sequence[Evaluator],
    listener: Listener,
    deadline: float,
) -> Campaign:
    """The campaign once each level is closed, or its budget used.

    What is chosen is written down before it is evaluated, so that a kill changes no choice.

    Args:
        number: of the round.
        config: with the budget.
        campaign: whose phases are decided.
        evaluators: of all levels, that which screens too.
        listener: hears of progress.
        deadline: of time.monotonic().

    Raises:
        OutOfTimeError: if that was before the end.
    """
    for k in range(1, len(evaluators)):
        before = len(campaign.level(k).evaluations)
        while True:
            chosen = campaign.decisions.filter(pc.equal(campaign.decisions["level"], k))["id"]
            placed = campaign.level(k - 1).placed
            index = np.array([placed.row_of[key] for key in chosen.to_pylist()], dtype=np.int64)
            # the noise of a relaxation hides the symmetry from DFT, which takes ten times as long
            crystals = niggli(idealised(placed.found.relaxed[index]))
            marks = Marks(number, k, placed.found.ids[index])
            complete(crystals, marks, campaign, evaluators[k], listener, deadline)
            campaign = campaign.after("evaluations")
            closure = campaign.closures[k - 1]
            spend = min(BATCH, config.budget.decisions - len(chosen))
            if not closure.left or spend <= 0:
                break
            campaign.store.append("decisions", number, _rows(closure, spend))
            campaign = campaign.after("decisions")
        if (now := len(campaign.level(k).evaluations)) > before:
            what = f"{now - before} decided, {now} in all; {closure}"
            names = stable_names(campaign.level(k))
            listener.say(f"round {number}: level {k}: {what}; on the hull: {names}")
    return campaign


def _rows(closure: Closure, count: int) -> pa.Table:
    """The first of what is left, as rows of the table of decisions."""
    chosen = closure.left[:count]
    return pa.table(
        {
            "id": pa.array([one.phase.id for one in chosen], pa.string()),
            "level": pa.array([closure.level] * len(chosen), pa.int64()),
            "reason": pa.array([one.reason for one in chosen], pa.string()),
            "predicted_e_above_hull": pa.array(
                [one.predicted_e_above_hull for one in chosen], pa.float64()
            ),
            "margin": pa.array([closure.margin] * len(chosen), pa.float64()),
        }
    )
