"""Stage three of a round: the evaluator relaxes what was selected, shard by shard."""

from __future__ import annotations

import time

import pyarrow as pa
import pyarrow.compute as pc

from gnomon.crystals import Crystals
from gnomon.discover.campaign import Campaign
from gnomon.discover.level import Level
from gnomon.evaluate import Evaluator, Status
from gnomon.evaluate.table import Marks, evaluate_missing
from gnomon.io import from_arrow
from gnomon.run.deadline import OutOfTimeError
from gnomon.run.listener import Listener


def selected(number: int, campaign: Campaign) -> pa.Table:
    """Rows of the candidates selected in a round, in the order of the screening."""
    chosen = campaign.screening.filter(pc.equal(campaign.screening["round"], number))
    chosen = chosen.filter(pc.is_valid(chosen["selection"]))["id"]
    return campaign.crystals.take(pc.index_in(chosen, campaign.crystals["id"]))


def evaluate(
    number: int, campaign: Campaign, evaluator: Evaluator, listener: Listener, deadline: float
) -> None:
    """Evaluate what this round has not evaluated yet.

    Args:
        number: of the round.
        campaign: with what is selected.
        evaluator: relaxes it.
        listener: hears of progress.
        deadline: of time.monotonic().

    Raises:
        OutOfTimeError: if that was before the end.
    """
    crystals = from_arrow(selected(number, campaign))
    complete(crystals, Marks(number, 0, crystals.ids), campaign, evaluator, listener, deadline)
    campaign.store.finish(number, "evaluate", {"evaluated": len(crystals)})


def complete(
    crystals: Crystals,
    marks: Marks,
    campaign: Campaign,
    evaluator: Evaluator,
    listener: Listener,
    deadline: float,
    named: str = "",
) -> None:
    """Evaluate the crystals without a result at the level of their marks.

    Args:
        crystals: all of them, with a result or not.
        marks: of their rows, with the ids of the candidates that they stand for.
        campaign: with the results so far.
        evaluator: of the level.
        listener: hears of progress.
        deadline: of time.monotonic(), after which no further shard is begun.
        named: what this is, beside the progress; by default its round and level.

    Raises:
        OutOfTimeError: if that was before the end.
    """
    done = campaign.level(marks.level).evaluations["id"].to_pylist()
    how = f"deciding at level {marks.level}" if marks.level else "evaluating"
    what, left = named or f"round {marks.round}: {how}", len(crystals)
    left -= len(set(done).intersection(crystals.ids if marks.ids is None else marks.ids))
    for part in evaluate_missing(crystals, done, evaluator, campaign.store, marks, listener, what):
        left -= len(part)
        if left and time.monotonic() > deadline:
            raise OutOfTimeError


def summarise(number: int, campaign: Campaign) -> str:
    """One line on what the round brought."""
    of_round = pc.equal(campaign.evaluations["round"], number)
    statuses = campaign.evaluations["status"].filter(of_round).to_pylist()
    converged, names = statuses.count(Status.CONVERGED), stable_names(campaign.level(0))
    return f"round {number}: {converged} of {len(statuses)} converged; on the hull: {names}"


def standing(campaign: Campaign, budget: int) -> str:
    """What came of the evaluations so far, an hour, and how many are left, beside the progress."""
    done, hours = spent(campaign)
    found = len(campaign.finds) if done else 0
    pace = found / hours if hours else 0.0
    rate = f" ({pace:,.{0 if pace >= 10 else 1}f} an hour)" if hours else ""
    return f"{found} new stable phases{rate}, {max(budget - done, 0)} evaluations left"


def spent(campaign: Campaign) -> tuple[int, float]:
    """Evaluations of candidates so far, and the hours that they took."""
    of_candidates = pc.greater(campaign.evaluations["round"], 0)
    seconds = campaign.evaluations["seconds"].filter(of_candidates)
    return len(seconds), (pc.sum(seconds).as_py() or 0.0) / 3600


def stable_names(level: Level) -> str:
    """The compounds on the hull of a level, for people."""
    placed = level.placed
    found = placed.found.relaxed[placed.stable & placed.compound].reduced_formulas
    return ", ".join(sorted(set(found))) or "no compound"
