"""``build_report``: a campaign → everything that its report says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc

from gnomon.discover.auto import told
from gnomon.discover.campaign import Campaign
from gnomon.discover.finds import Find, Phase, lowest_phases, near_hull_phases
from gnomon.discover.flags import Described, described
from gnomon.discover.rates import HitRate, comparison, hit_rates
from gnomon.evaluate.measured import LevelError, measured
from gnomon.evaluate.scheme import short_name
from gnomon.io.tables import FOLDER
from gnomon.properties.funnel import FOLDER as FUNNEL
from gnomon.properties.funnel import Stage, read_stages
from gnomon.report.novelty import Novelty, novelty_of_finds
from gnomon.report.rows import (
    PROPOSED,
    ElementRow,
    Failure,
    Prediction,
    PropertyOf,
    RoundRow,
    Yield,
    element_rows,
    failures,
    families_of,
    funnel_rows,
    pace,
    properties_of,
    round_rows,
    screening_counts,
    waiting,
    yields,
)
from gnomon.verify.output import Level, levels


@dataclass(frozen=True)
class Report:
    """What a report says, before it is drawn (energies in eV/atom).

    Attributes:
        campaign: that it is of.
        headline: the result in a sentence.
        told: the levels in a line, or that nothing decided; and how far they are closed.
        n_candidates: proposed by generators; reference phases are counted apart.
        n_kept: of them, kept by a screen.
        n_evaluated: of them, whatever the outcome.
        n_known: compounds that were given as known; a find is new to these.
        finds: the new stable phases.
        levels: verifications of finds at higher levels.
        lowest: the lowest phase of every composition, known ones included.
        near: every distinct compound near the hull, polymorphs included.
        about: of finds and near compounds, by id: structure type, probability, flags.
        novelty: of finds, by id: how far from known crystals.
        properties: of finds, by id, as the tables of the campaign have them.
        families: how many finds belong to each, and what it means.
        narrowed: how far the crystals of the campaign's funnel came, step by step.
        funnel: what became of all that was proposed, where few are kept in the folder.
        yields: what each generator brought.
        pace: how fast candidates were proposed and evaluated.
        error: measured, of the level that the energies are of; None where it was not measured.
        comparison: what the hit rates say about the ranking.
    """

    campaign: Campaign
    headline: str
    told: tuple[str, ...]
    n_candidates: int
    n_references: int
    n_kept: int
    n_evaluated: int
    n_known: int
    finds: tuple[Find, ...]
    levels: tuple[Level, ...]
    lowest: tuple[Phase, ...]
    near: tuple[Phase, ...]
    about: Mapping[str, Described]
    error: LevelError | None
    elements: tuple[ElementRow, ...]
    hits: tuple[HitRate, ...]
    comparison: str
    yields: tuple[Yield, ...]
    waiting: tuple[Prediction, ...]
    novelty: Mapping[str, Novelty]
    properties: Mapping[str, Sequence[PropertyOf]]
    families: tuple[tuple[str, int, str], ...]
    narrowed: tuple[Stage, ...]
    funnel: tuple[tuple[str, int], ...]
    pace: tuple[str, ...]
    screening: tuple[tuple[str, int], ...]
    failures: tuple[Failure, ...]
    rounds: tuple[RoundRow, ...]
    provenance: tuple[tuple[str, str], ...]


def build_report(campaign: Campaign) -> Report:
    """Everything that the page and the files of a report say.

    Raises:
        StoreError: if the folder holds no campaign, or evaluations of several energy schemes.
    """
    proposed, done, screened = (
        table.filter(pc.greater(table["round"], 0))
        for table in (campaign.crystals, campaign.evaluations, campaign.screening)
    )
    evaluated = set(done["id"].to_pylist())
    # a level of the campaign once more is no other level
    verified = tuple(x for x in levels(campaign.store) if x.scheme not in campaign.schemes)
    chosen = screened.filter(pc.is_valid(screened["selection"]))
    columns = [chosen[name].to_pylist() for name in ("id", "round", "selection")]
    above = {  # by the last level that holds it
        key: phase.e_above_hull
        for level in campaign.levels[: campaign.answers.number + 1]
        for phase in level.phases
        for key in (phase.id, *phase.copies)
    }
    hits = hit_rates(zip(*columns, strict=True), evaluated, above, campaign.hits)
    near, funnel = tuple(near_hull_phases(campaign.phases)), tuple(funnel_rows(campaign))
    return Report(
        campaign=campaign,
        headline=_headline(campaign, len(evaluated), verified),
        told=_told(campaign),
        n_candidates=sum(n for name, n in funnel if name.startswith(PROPOSED)) or len(proposed),
        n_references=len(campaign.crystals) - len(proposed),
        n_kept=pc.count_distinct(screened["id"].filter(screened["kept"])).as_py(),
        n_evaluated=len(evaluated),
        n_known=sum(phase.known and len(phase.elements) > 1 for phase in campaign.phases),
        finds=campaign.finds,
        levels=verified,
        lowest=tuple(lowest_phases(campaign.phases)),
        near=near,
        about=_about(campaign, near),
        error=measured(campaign.scheme),
        elements=tuple(element_rows(campaign)),
        hits=tuple(hits),
        comparison=comparison(hits),
        yields=tuple(yields(campaign, columns[0], evaluated, above)),
        waiting=tuple(waiting(campaign)),
        novelty=novelty_of_finds(campaign, campaign.finds),
        properties=properties_of(campaign, campaign.finds),
        families=families_of(campaign, campaign.finds),
        narrowed=tuple(read_stages(campaign.store.root / FOLDER / FUNNEL)),
        funnel=funnel,
        pace=tuple(pace(campaign)),
        screening=tuple(screening_counts(campaign)),
        failures=tuple(failures(campaign)),
        rounds=tuple(round_rows(campaign)),
        provenance=tuple(_flat(campaign.provenance)),
    )


def _about(campaign: Campaign, near: Sequence[Phase]) -> dict[str, Described]:
    """What is said of finds and near compounds; a near one that is a find is as the find is."""
    found = described(campaign, [*near, *campaign.finds])
    find_of = {key: find.id for find in campaign.finds for key in (find.id, *find.copies)}
    return {key: found[find_of.get(key, key)] for key in found}


def _headline(campaign: Campaign, n_evaluated: int, verified: Sequence[Level]) -> str:
    """The result in a sentence: predicted by the one level there is, or found by the last of them.

    What the deciding level holds, the screening one may have above its hull.
    """
    name, finds = campaign.name, campaign.finds
    decided = campaign.answers.number > 0
    screened, answering = (short_name(one.scheme) for one in (campaign.level(0), campaign.answers))
    if n_evaluated == 0:
        return f"{name}: no candidate has been evaluated yet."
    if finds:
        noun = "phase" if len(finds) == 1 else "phases"
        by = f"screened by {screened} and confirmed at {answering}"
        by = by if decided else f"predicted by {screened}"
        text = f"{name}: {len(finds)} new stable {noun}, {by}."
        for level in verified:
            verdicts = [level.verdicts[find.id] for find in finds if find.id in level.verdicts]
            if verdicts:
                k = verdicts.count("stable")
                text += f" Confirmed at {level.name}: {k} of {len(verdicts)}."
        return text
    candidates = f"{n_evaluated} evaluated candidate{'' if n_evaluated == 1 else 's'}"
    above = [phase for phase in campaign.phases if not phase.known and not phase.stable]
    by = (
        f"screened by {screened}, decided at {answering}" if decided else f"predicted by {screened}"
    )
    text = f"{name}: no new stable phase among {candidates}, {by}."
    if above:
        closest = min(above, key=lambda phase: phase.e_above_hull)
        energy = 1000 * closest.e_above_hull
        text += (
            f" The closest, {closest.reduced_formula}, lies {energy:.1f} meV/atom above the hull."
        )
    elif all(phase.known for phase in campaign.phases):
        text += " No evaluation of a candidate gave an energy."
    return text


def _told(campaign: Campaign) -> tuple[str, ...]:
    """Which levels there are, and how far each has decided what the level below it holds."""
    closed = (f"{short_name(one.scheme)}: {one}" for one in campaign.closures)
    return (told(campaign.schemes), *closed)


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested provenance as (dotted name, text) pairs, in the order given."""
    pairs = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            pairs += _flat(value, f"{prefix}{name}.")
        elif isinstance(value, (list, tuple)):
            pairs.append((f"{prefix}{name}", ", ".join(map(str, value))))
        else:
            pairs.append((f"{prefix}{name}", str(value)))
    return pairs
