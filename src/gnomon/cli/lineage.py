"""`gnomon lineage`: where the finds of a campaign come from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gnomon.cli.options import CommandError
from gnomon.cli.shared import Json

if TYPE_CHECKING:
    from gnomon.discover import Campaign


def lineage(
    campaign: Annotated[Path, typer.Argument(help="Campaign folder.")],
    id: Annotated[
        str | None, typer.Argument(help="Id of an evaluated phase, or how it begins.")
    ] = None,
    json: Json = False,
) -> None:
    """Show the history of one find, or the share of the finds that each generator has.

    Example: gnomon lineage campaign-Au-Cu
    """
    from gnomon.cli.terminal import put_json, put_table, say
    from gnomon.discover import Campaign
    from gnomon.discover.shares import shares

    opened = Campaign(campaign)
    if id is not None:
        _history(opened, id, json)
        return
    found = opened.finds
    rows = [_row(share) for share in shares(opened)]
    listed = [
        {"id": f.id, "reduced_formula": f.reduced_formula, "steps": len(f.lineage)} for f in found
    ]
    if json:
        put_json({"finds": listed, "generators": rows})
        return
    put_table(rows, empty="no candidates yet")
    put_table(listed, empty="no new stable phase yet")
    say(f"{len(found)} new stable phases; `gnomon lineage {campaign} ID` shows one's history")


def _history(campaign: Campaign, start: str, json: bool) -> None:
    """Steps of one phase, the root first."""
    from gnomon.cli.terminal import put_json, put_table, say

    phases = [
        phase
        for phase in campaign.phases
        if phase.id.startswith(start) or phase.relaxed_id.startswith(start)
    ]
    if not phases or len({phase.id for phase in phases}) > 1:
        what = "no evaluated phase has" if not phases else f"{len(phases)} evaluated phases have"
        raise CommandError(f"{what} an id that begins with {start!r}: give (more of) one")
    phase = phases[0]
    steps = [
        {"round": step.round, "generator": step.generator or "given", "change": step.change}
        for step in reversed(phase.lineage)
    ]
    if json:
        facts = {"id": phase.id, "reduced_formula": phase.reduced_formula}
        put_json({**facts, "e_above_hull": phase.e_above_hull, "steps": steps})
        return
    put_table(steps, empty="no steps: a crystal that was given")
    say(
        f"{phase.reduced_formula}: {phase.space_group_symbol}, "
        f"{phase.e_above_hull * 1000:.1f} meV/atom above the hull"
    )


def _row(share: Any) -> dict[str, Any]:
    return {
        "generator": share.generator,
        "candidates": share.candidates,
        "evaluated": share.evaluated,
        "stable": f"{share.stable.k} of {share.stable.n}",
        "rooted": f"{share.rooted.k} of {share.rooted.n}",
        "hits": f"{share.hits.k} of {share.hits.n} ({share.hits.low:.0%} to {share.hits.high:.0%})",
    }
