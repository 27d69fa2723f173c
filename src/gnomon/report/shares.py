"""Which generator the finds come from: k of n for the last step, and for the root of each line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow.compute as pc

from gnomon.report.build import build_report
from gnomon.report.inputs import CampaignTables
from gnomon.report.statistics import Rate, wilson
from gnomon.report.tables import PhaseRow


@dataclass(frozen=True)
class Share:
    """What one generator brought to a campaign.

    Attributes:
        generator: its name.
        candidates: it proposed.
        evaluated: of them, whatever the outcome.
        stable: new stable phases whose last step is its, of all new stable phases.
        rooted: new stable phases whose line begins with it, of all.
        hits: new stable phases of its evaluated candidates.
    """

    generator: str
    candidates: int
    evaluated: int
    stable: Rate
    rooted: Rate
    hits: Rate


def finds(tables: CampaignTables) -> list[PhaseRow]:
    """The new stable phases of a campaign, each once, as its report lists them."""
    return list(build_report(tables).stable)


def shares(tables: CampaignTables, found: Sequence[PhaseRow]) -> list[Share]:
    """Shares of candidates, evaluations and finds by generator, most finds first.

    References and given crystals (round 0) are not counted.  A candidate made by several
    generators counts for the first.
    """
    proposed = _first_generators(tables)
    evaluated = set(
        tables.evaluations.filter(pc.greater(tables.evaluations["round"], 0))["id"].to_pylist()
    )
    candidates = Counter(proposed.values())
    tried = Counter(proposed[i] for i in evaluated if i in proposed)
    last = Counter(proposed[find.id] for find in found if find.id in proposed)
    roots = Counter(_root(find) for find in found)
    names = sorted({*candidates, *roots}, key=lambda name: (-last[name], name))
    return [
        Share(
            generator=name,
            candidates=candidates[name],
            evaluated=tried[name],
            stable=wilson(last[name], len(found)),
            rooted=wilson(roots[name], len(found)),
            hits=wilson(last[name], tried[name]),
        )
        for name in names
    ]


def _first_generators(tables: CampaignTables) -> dict[str, str]:
    rows = tables.lineage.filter(pc.greater(tables.lineage["round"], 0))
    found: dict[str, str] = {}
    for name, generator in zip(rows["id"].to_pylist(), rows["generator"].to_pylist(), strict=True):
        found.setdefault(name, generator)
    return found


def _root(find: PhaseRow) -> str:
    """Generator of the first step; that of a given crystal is no generator's work."""
    made = [step.generator for step in find.lineage if step.generator]
    return made[-1] if made else "given"
