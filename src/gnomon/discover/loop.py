"""The loop: one round after the other, from whatever state the folder is in, to the last budget."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from gnomon.discover.auto import deciding, divided, settled, told
from gnomon.discover.campaign import Campaign
from gnomon.discover.choose import choose
from gnomon.discover.compete import compete, settle
from gnomon.discover.evaluate import evaluate, selected, standing, summarise
from gnomon.discover.folder import begin
from gnomon.discover.inputs import Inputs, read_inputs
from gnomon.discover.propose import propose
from gnomon.discover.settings import CampaignConfig
from gnomon.discover.wide.cross_scheme import keep_quick_answer
from gnomon.evaluate import Evaluator
from gnomon.evaluate.references import FITTED, fitted
from gnomon.evaluate.registry import make_evaluator
from gnomon.evaluate.table import SHARD
from gnomon.generate.prototypes.occurrence import Occurrence
from gnomon.learn.compilation import none_too_late
from gnomon.run.deadline import OutOfTimeError, slowness, until
from gnomon.run.listener import SILENT, Listener
from gnomon.run.stamp import now
from gnomon.run.store import Store

OUT_OF_TIME = "ended in round {}: the minutes are used up (the same command goes on)"

GRACE = 5.0
"""Seconds past the minutes after which a command ends, whatever is in work: so that one of no time
at all still brings something, and the minutes hold within 20 s."""

REPORT = (3.0, 0.01)
"""Processor seconds that the report of what was found takes afterwards: in all, and more for each
evaluation (2.4 s after 325 of them, measured)."""


class Ended(NamedTuple):
    """How a command left its campaign, and why it ended."""

    campaign: Campaign
    why: str


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
        The campaign, whose finds and hull are in eV/atom of the scheme of its last level.

    Raises:
        StoreError: if the folder is in use, belongs to another campaign or cannot be written, or
            an element of the system has no reference.
        ValueError: if there is no such system or evaluator.
    """
    if isinstance(config, str):
        config = CampaignConfig.model_validate({"system": config})
    store = Store(folder or f"campaign-{config.name}")
    began = time.monotonic()
    config = settled(config, store, listener)
    evaluator = make_evaluator(config.evaluator, config.relax, listener)
    deciders = deciding(config, listener)
    return discover(config, store, evaluator, listener, began, deciders).campaign


def discover(
    config: CampaignConfig,
    store: Store,
    evaluator: Evaluator,
    listener: Listener,
    began: float | None = None,
    deciding: Sequence[Evaluator] = (),
) -> Ended:
    """Run a campaign, or go on with it, to the end of its budget.

    Args:
        config: its settings.
        store: its folder.
        evaluator: that screens.
        listener: hears what happens.
        began: when the minutes begin to count, of time.monotonic(); now, if not given.
        deciding: the evaluators of the levels that decide (``settled`` names them).

    Raises:
        StoreError: if the folder is in use, belongs to another campaign or cannot be written, or
            an element of the system has no reference.
        InputError: if a file of parents or known crystals cannot be read.
        ValueError: if there are not as many evaluators as levels.
    """
    config = settled(config, store, listener)
    if len(deciding) != len(config.decide.levels):
        raise ValueError(f"{len(config.decide.levels)} levels decide, with {len(deciding)} given")
    evaluators = divided(config, (evaluator, *deciding), store, listener)
    start = time.monotonic() if began is None else began
    seconds = 60.0 * config.budget.minutes
    deadline = start + seconds
    number, campaign = 0, Campaign(store)
    inputs: Inputs | None = None
    with store.locked(listener):
        try:
            with until(deadline + GRACE, lambda: min(seconds, _reporting(store))), none_too_late():
                inputs = read_inputs(config, listener)  # what fails here begins nothing
                _check_fitted(config, evaluators)
                if config.learn.prior:
                    Occurrence.load(config.learn.prototypes)
                begin(store, config, [one.scheme for one in evaluators])
                listener = _logging(store, listener)
                ending = ""
                listener.say(told(campaign.schemes))
                # without a system the phases that compete come as they are asked for
                for number in range(config.system is None, config.budget.rounds + 1):
                    campaign, ending = _round(
                        number, config, campaign, inputs, evaluators, listener, deadline
                    )
                    if ending:
                        break
                # a larger budget decides what the one before left
                settle(number, config, campaign, inputs, evaluators, listener, deadline)
        except OutOfTimeError:
            ending = OUT_OF_TIME.format(number)
        campaign = campaign.anew()
        _answer_quickly(campaign, inputs, listener)
        ending = ending or f"ended: the budget of {config.budget.rounds} rounds is used"
        listener.say(ending)
        return Ended(campaign, ending)


def _answer_quickly(campaign: Campaign, inputs: Inputs | None, listener: Listener) -> None:
    """Without a system: what the database's own hull says, be the verdicts closed or not."""
    database = None if inputs is None else inputs.database
    said = keep_quick_answer(campaign, database) if database and campaign.store.exists else ""
    if said:
        listener.say(said)


def _reporting(store: Store) -> float:
    """Seconds that the report is going to take."""
    rows = SHARD * sum(1 for _ in store.root.glob("evaluations/*/part-*"))
    return (REPORT[0] + REPORT[1] * rows) * slowness()


def _check_fitted(config: CampaignConfig, evaluators: Sequence[Evaluator]) -> None:
    """Refuse fitted references of a level that has none.

    Raises:
        ValueError: if a level or an element was not fitted.
    """
    if config.references == FITTED:
        for evaluator in evaluators:
            fitted(evaluator.scheme, config.elements)


def _round(
    number: int,
    config: CampaignConfig,
    campaign: Campaign,
    inputs: Inputs,
    evaluators: Sequence[Evaluator],
    listener: Listener,
    deadline: float,
) -> tuple[Campaign, str]:
    """One round, or what is left of it; and why the campaign ends, or nothing."""
    store = campaign.store
    if number > 0:
        campaign.level(0).placed.check_references(config.elements)
    if store.finished(number, "generate") is None:
        campaign = campaign.without(number, "crystals", "lineage")
        listener.say(propose(number, config, campaign, inputs, listener))
        campaign = campaign.after("crystals", "lineage")
    # a round that selected nothing ended the campaign: larger budgets may reopen it
    if store.finished(number, "screen") is None or not len(selected(number, campaign)):
        campaign = campaign.without(number, "screening")
        listener.say(choose(number, config, campaign, inputs, evaluators[0]))
        campaign = campaign.after("screening")
    if not len(selected(number, campaign)):
        return campaign, str((store.finished(number, "screen") or {})["ending"])
    if store.finished(number, "evaluate") is None:
        listener.note(standing(campaign, config.budget.evaluations) if number else "")
        evaluate(number, campaign, evaluators[0], listener, deadline)
        campaign = campaign.after("evaluations")
        campaign = compete(number, config, campaign, inputs, evaluators[0], listener, deadline)[0]
        campaign.level(0).placed.check_references(config.elements)
        listener.say(summarise(number, campaign))
        listener.note(standing(campaign, config.budget.evaluations))
    asks = evaluators[1:] or inputs.database is not None
    if asks and store.finished(number, "decide") is None:
        campaign = settle(number, config, campaign, inputs, evaluators, listener, deadline)
        store.finish(number, "decide", {"levels": [str(one) for one in campaign.closures]})
    return campaign, ""


def _logging(store: Store, listener: Listener) -> Listener:
    """A listener whose lines also go to campaign.log, with the time."""

    def say(text: str) -> None:
        store.log(f"{now()} {text}")
        listener.say(text)

    return replace(listener, say=say)
