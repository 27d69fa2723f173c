"""Between evaluating and deciding: phases of a database that the levels ask for, on demand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow.compute as pc

from gnomon.crystals import Crystals
from gnomon.discover.campaign import Campaign
from gnomon.discover.decide import decide
from gnomon.discover.evaluate import complete
from gnomon.discover.inputs import Inputs
from gnomon.discover.lineage import KNOWN
from gnomon.discover.propose import add
from gnomon.discover.settings import CampaignConfig
from gnomon.discover.wide.competing import asked
from gnomon.evaluate import Evaluator
from gnomon.evaluate.table import Marks
from gnomon.generate import Candidates
from gnomon.io import from_arrow
from gnomon.run.listener import Listener
from gnomon.structure.symmetry import canonical_ids


def settle(
    number: int,
    config: CampaignConfig,
    campaign: Campaign,
    inputs: Inputs,
    evaluators: Sequence[Evaluator],
    listener: Listener,
    deadline: float,
) -> Campaign:
    """The campaign once no level asks for a phase, nor has one to decide, or the budget is used.

    Args:
        number: of the round.
        config: with the budget.
        campaign: whose phases are decided.
        inputs: with the database, if there is one.
        evaluators: of all levels, that which screens too.
        listener: hears of progress.
        deadline: of time.monotonic().

    Raises:
        OutOfTimeError: if that was before the end.
    """
    while True:
        campaign, came = compete(
            number, config, campaign, inputs, evaluators[0], listener, deadline
        )
        campaign = decide(number, config, campaign, evaluators, listener, deadline)
        if not came:
            return campaign


def compete(
    number: int,
    config: CampaignConfig,
    campaign: Campaign,
    inputs: Inputs,
    evaluator: Evaluator,
    listener: Listener,
    deadline: float,
) -> tuple[Campaign, int]:
    """The campaign with the phases of the database that its levels ask for, and how many came.

    They are references, of round 0, whichever round asks for them; the level that screens
    evaluates them first, and the others what it relaxed.

    Raises:
        OutOfTimeError: if the deadline was before the end.
    """
    came = 0
    if inputs.database is not None and campaign.store.pair("crystals", "lineage", 0):
        campaign = campaign.after("crystals")  # without what a kill left half done
    while inputs.database is not None:
        campaign = _complete(number, campaign, evaluator, listener, deadline)
        have = set(campaign.crystals["id"].to_pylist())
        wants = [
            asked(level, inputs.database, config.decide)
            for level in campaign.levels
            if len(level.evaluations)
        ]
        new = {
            str(key): (want.crystals[i], why)
            for want in wants
            for i, (key, why) in enumerate(zip(want.crystals.ids, want.why, strict=True))
            if str(key) not in have
        }
        if not new:
            if came:
                listener.say(f"round {number}: {came} phases of the database evaluated to compete")
            break
        came += len(new)
        crystals = Crystals.concatenate([crystal for crystal, _ in new.values()])
        # together: of a part, evaluated after a kill, another one could follow
        found = Candidates.of(crystals, KNOWN, [why for _, why in new.values()])
        add(0, campaign, found, canonical_ids(crystals))
        campaign = campaign.after("crystals", "lineage")
    return campaign, came


def _complete(
    number: int, campaign: Campaign, evaluator: Evaluator, listener: Listener, deadline: float
) -> Campaign:
    """The campaign with all its references evaluated at the level that screens."""
    rows = campaign.crystals.filter(pc.equal(campaign.crystals["round"], 0))
    done = pc.is_in(rows["id"], campaign.evaluations["id"])
    if not len(rows) or np.all(done.to_numpy(zero_copy_only=False)):
        return campaign
    crystals = from_arrow(rows)
    what = f"round {number}: phases that compete"
    complete(crystals, Marks(0, 0, crystals.ids), campaign, evaluator, listener, deadline, what)
    return campaign.after("evaluations")
