"""The active-learning loop: generate, predict, keep, evaluate, hull, learn, round by round.

Round 0 evaluates the reference phases: the elements in measured and common structures, and the
known crystals of the system.  Every stage reads the campaign's folder and adds to it; a stage that
had not finished when a process died is done again, evaluations go on after the last shard.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from gnomon.discover.choose import choose
from gnomon.discover.evaluate import selected, summarise, verify
from gnomon.discover.folder import begin
from gnomon.discover.inputs import Inputs, read_inputs
from gnomon.discover.propose import propose
from gnomon.discover.settings import CampaignConfig
from gnomon.evaluate import Evaluator
from gnomon.run.listener import Listener
from gnomon.run.stamp import now
from gnomon.run.store import Store

__all__ = ["Campaign", "discover", "step"]


@dataclass(frozen=True)
class Campaign:
    """What every stage of every round works with."""

    config: CampaignConfig
    store: Store
    evaluator: Evaluator
    inputs: Inputs
    listener: Listener
    deadline: float  # of time.monotonic()


def discover(config: CampaignConfig, store: Store, evaluator: Evaluator, listener: Listener) -> str:
    """Run a campaign, or go on with it, to the end of its budget; returns why it ended.

    Raises:
        StoreError: if the folder is in use, belongs to another campaign or cannot be written.
        InputError: if a file of parents or known crystals cannot be read.
    """
    deadline = time.monotonic() + 60.0 * config.budget.minutes
    with store.locked():
        inputs = read_inputs(config.generate, listener)  # first: what fails here begins nothing
        begin(store, config, evaluator.scheme)
        listener = _logging(store, listener)
        campaign = Campaign(config, store, evaluator, inputs, listener, deadline)
        ending = ""
        for number in range(config.budget.rounds + 1):
            ending = step(number, campaign)
            if ending:
                break
        ending = ending or f"ended: the budget of {config.budget.rounds} rounds is used"
        listener.say(ending)
        return ending


def _logging(store: Store, listener: Listener) -> Listener:
    """A listener whose lines also go to campaign.log, with the time."""

    def say(text: str) -> None:
        store.log(f"{now()} {text}")
        listener.say(text)

    return Listener(say=say, tick=listener.tick)


def step(number: int, campaign: Campaign) -> str:
    """One round, from whatever state it is in; returns why the campaign ends here, or nothing."""
    config, store, say = campaign.config, campaign.store, campaign.listener.say
    if store.finished(number, "generate") is None:
        for table in ("crystals", "lineage"):
            store.discard(table, number)
        say(propose(number, config, store, campaign.inputs))
    # a round that selected nothing ended the campaign: larger budgets may reopen it
    if store.finished(number, "screen") is None or not len(selected(store, number)):
        store.discard("screening", number)
        say(choose(number, config, store, campaign.inputs))
    chosen = selected(store, number)
    if not len(chosen):
        return str((store.finished(number, "screen") or {})["ending"])
    if store.finished(number, "evaluate") is None:
        evaluator, listener = campaign.evaluator, campaign.listener
        if not verify(number, store, evaluator, chosen, listener, campaign.deadline):
            return f"ended in round {number}: the minutes are used up (the same command goes on)"
        say(summarise(number, config, store))
    return ""
