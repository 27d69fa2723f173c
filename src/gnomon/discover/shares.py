"""Which generator the finds come from: k of n for the last step, and for the root of each line."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pyarrow.compute as pc

from gnomon.discover.campaign import Campaign
from gnomon.discover.finds import Find
from gnomon.discover.rates import Rate, wilson


@dataclass(frozen=True)
class Share:
    """What one generator brought to a campaign.

    Attributes:
        generator: its name.
        candidates: it proposed.
        evaluated: of them, whatever the outcome.
        stable: new stable phases whose last step is its, of all new stable phases.
        rooted: new stable phases whose line begins with it, of all.
        hits: its candidates that ended in a new stable phase, of those evaluated: as the report
            counts them, those that repeat another one too.
    """

    generator: str
    candidates: int
    evaluated: int
    stable: Rate
    rooted: Rate
    hits: Rate


def shares(campaign: Campaign) -> list[Share]:
    """Shares of candidates, evaluations and finds by generator, most finds first.

    References and given crystals (round 0) are not counted.  A candidate made by several
    generators counts for the first.
    """
    rows = campaign.lineage.filter(pc.greater(campaign.lineage["round"], 0))
    pairs = zip(rows["id"].to_pylist(), rows["generator"].to_pylist(), strict=True)
    proposed = dict(reversed(list(pairs)))
    of_round = pc.greater(campaign.evaluations["round"], 0)
    evaluated = set(campaign.evaluations["id"].filter(of_round).to_pylist())
    candidates = Counter(proposed.values())
    tried, hits = (
        Counter(proposed[key] for key in keys if key in proposed)
        for keys in (evaluated, campaign.hits)
    )
    last = Counter(proposed[find.id] for find in campaign.finds if find.id in proposed)
    roots = Counter(map(_root, campaign.finds))
    n = len(campaign.finds)
    return [
        Share(
            generator=name,
            candidates=candidates[name],
            evaluated=tried[name],
            stable=wilson(last[name], n),
            rooted=wilson(roots[name], n),
            hits=wilson(hits[name], tried[name]),
        )
        for name in sorted({*candidates, *roots}, key=lambda name: (-last[name], name))
    ]


def _root(find: Find) -> str:
    """Generator of the first step; that of a given crystal is no generator's work."""
    made = [step.generator for step in find.lineage if step.generator]
    return made[-1] if made else "given"
