"""The loop: one round after the other, from whatever state the folder is in, to the last budget."""

from __future__ import annotations

import time
from pathlib import Path

from gnomon.discover.campaign import Campaign
from gnomon.discover.choose import choose
from gnomon.discover.evaluate import OUT_OF_TIME, evaluate, selected, summarise
from gnomon.discover.folder import begin
from gnomon.discover.inputs import Inputs, read_inputs
from gnomon.discover.propose import propose
from gnomon.discover.settings import CampaignConfig
from gnomon.evaluate import Evaluator
from gnomon.evaluate.registry import make_evaluator
from gnomon.run.deadline import OutOfTimeError, until
from gnomon.run.listener import SILENT, Listener
from gnomon.run.stamp import now
from gnomon.run.store import Store

GRACE = 5.0
"""Seconds past the minutes after which whatever is in work is cut: so that a command of no time at
all still brings something, and the minutes hold within 20 s."""


def run_campaign(
    config: CampaignConfig | str, folder: Path | str | None = None, *, listener: Listener = SILENT
) -> Campaign:
    """Run a campaign, or go on with it, to the end of its budget, as ``gnomon discover`` does.

    >>> from tempfile import TemporaryDirectory
    >>> config = CampaignConfig(
    ...     system="Au-Cu",
    ...     evaluator={"name": "ase:ase.calculators.emt.EMT", "workers": 1},
    ...     generate={"max_atoms": 2},
    ...     budget={"evaluations": 6, "rounds": 1},
    ...     learn={"prior": False},
    ... )
    >>> with TemporaryDirectory() as folder:
    ...     found = run_campaign(config, folder).finds
    >>> [(find.reduced_formula, find.space_group) for find in found]
    [('CuAu', 123)]

    Args:
        config: its settings, or only the chemical system, such as ``Au-Cu``.
        folder: where all of it is kept; ``campaign-SYSTEM`` unless given.
        listener: hears what happens.

    Returns:
        The campaign, whose finds and hull are in eV/atom of the scheme of its evaluator.

    Raises:
        StoreError: if the folder is in use, belongs to another campaign or cannot be written, or
            an element of the system has no reference.
        ValueError: if there is no such system or evaluator.
    """
    if isinstance(config, str):
        config = CampaignConfig.model_validate({"system": config})
    store = Store(folder or f"campaign-{config.name}")
    began = time.monotonic()
    evaluator = make_evaluator(config.evaluator, config.relax, listener)
    discover(config, store, evaluator, listener, began)
    return Campaign(store)


def discover(
    config: CampaignConfig,
    store: Store,
    evaluator: Evaluator,
    listener: Listener,
    began: float | None = None,
) -> str:
    """Run a campaign, or go on with it, to the end of its budget; returns why it ended.

    The minutes count from ``began`` (of time.monotonic(); now, if not given), whatever takes them.

    Raises:
        StoreError: if the folder is in use, belongs to another campaign or cannot be written, or
            an element of the system has no reference.
        InputError: if a file of parents or known crystals cannot be read.
    """
    start = time.monotonic() if began is None else began
    deadline = start + 60.0 * config.budget.minutes
    with store.locked(listener):
        number = 0
        try:
            with until(deadline + GRACE):
                inputs = read_inputs(config.generate, listener)  # what fails here begins nothing
                begin(store, config, evaluator.scheme)
                listener = _logging(store, listener)
                campaign, ending = Campaign(store), ""
                for number in range(config.budget.rounds + 1):
                    campaign, ending = _round(
                        number, config, campaign, inputs, evaluator, listener, deadline
                    )
                    if ending:
                        break
        except OutOfTimeError:
            ending = OUT_OF_TIME.format(number)
        ending = ending or f"ended: the budget of {config.budget.rounds} rounds is used"
        listener.say(ending)
        return ending


def _round(
    number: int,
    config: CampaignConfig,
    campaign: Campaign,
    inputs: Inputs,
    evaluator: Evaluator,
    listener: Listener,
    deadline: float,
) -> tuple[Campaign, str]:
    """One round, or what is left of it; and why the campaign ends, or nothing."""
    store = campaign.store
    if number > 0:
        campaign.placed.check_references(config.elements)
    if store.finished(number, "generate") is None:
        campaign = campaign.without(number, "crystals", "lineage")
        listener.say(propose(number, config, campaign, inputs))
        campaign = campaign.after("crystals", "lineage")
    # a round that selected nothing ended the campaign: larger budgets may reopen it
    if store.finished(number, "screen") is None or not len(selected(number, campaign)):
        campaign = campaign.without(number, "screening")
        listener.say(choose(number, config, campaign, inputs))
        campaign = campaign.after("screening")
    if not len(selected(number, campaign)):
        return campaign, str((store.finished(number, "screen") or {})["ending"])
    if store.finished(number, "evaluate") is not None:
        return campaign, ""
    ending = evaluate(number, campaign, evaluator, listener, deadline)
    campaign = campaign.after("evaluations")
    if not ending:
        campaign.placed.check_references(config.elements)
        listener.say(summarise(number, campaign))
    return campaign, ending


def _logging(store: Store, listener: Listener) -> Listener:
    """A listener whose lines also go to campaign.log, with the time."""

    def say(text: str) -> None:
        store.log(f"{now()} {text}")
        listener.say(text)

    return Listener(say=say, tick=listener.tick)
