"""The view of a campaign: what its report says, as values to draw."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from gnomon.discover.campaign import Campaign
from gnomon.discover.rates import CONFIDENCE
from gnomon.evaluate.measured import measured
from gnomon.report.build import Report, build_report

MOST_ROWS = 200
"""Failures, and other rows of which there may be very many, that a page gets."""


def campaign_page(campaign: Campaign) -> dict[str, Any]:
    """What the page of a campaign shows: the report's own values.

    Raises:
        StoreError: if the folder cannot be read.
    """
    report = build_report(campaign)
    counts = ("n_candidates", "n_references", "n_kept", "n_evaluated", "n_known")
    return {
        "name": campaign.name,
        "headline": report.headline,
        "told": report.told,
        "counts": {name: getattr(report, name) for name in counts}
        | {"n_failed": len(report.failures), "n_finds": len(report.finds)},
        "confidence": CONFIDENCE,
        "hits": [asdict(hit) for hit in report.hits],
        "comparison": report.comparison,
        "rounds": [asdict(row) for row in report.rounds],
        "screening": [list(pair) for pair in report.screening[:MOST_ROWS]],
        "funnel": [list(pair) for pair in report.funnel[:MOST_ROWS]],
        "families": [list(row) for row in report.families],
        "pace": report.pace,
        "failures": [asdict(one) for one in report.failures[:MOST_ROWS]],
        "waiting": [asdict(one) for one in report.waiting],
        "levels": _levels(campaign),
        "undecided": [
            {"id": one.phase.id, "reduced_formula": one.phase.reduced_formula}
            | {"predicted_e_above_hull": one.predicted_e_above_hull, "reason": one.reason}
            for one in campaign.undecided[:MOST_ROWS]
        ],
        "finds": _finds(report),
        "stages": _stages(campaign),
        "provenance": [list(pair) for pair in report.provenance],
    }


def _levels(campaign: Campaign) -> list[dict[str, Any]]:
    found = []
    for level in campaign.levels:
        closure = campaign.closures[level.number - 1] if level.number else None
        error = measured(level.scheme)
        found.append(
            {
                "level": level.number,
                "scheme": level.scheme,
                "evaluated": len(level.evaluations),
                "with_energy": len(level.placed.found.ids),
                "error": None if error is None else error.mean_absolute_error,
                "margin": None if closure is None else closure.margin,
                "closure": "" if closure is None else str(closure),
            }
        )
    return found


def _finds(report: Report) -> list[dict[str, Any]]:
    return [
        {
            "id": find.id,
            "reduced_formula": find.reduced_formula,
            "space_group": find.space_group,
            "symmetry": find.symmetry,
            "formation_energy_per_atom": find.formation_energy_per_atom,
            "distance_to_rest": find.distance_to_rest,
            "probability": report.about[find.id].probability,
            "flags": [str(flag) for flag in report.about[find.id].flags],
            "reaction": str(find.reaction or ""),
            "origin": find.origin,
            "round": find.round,
        }
        for find in report.finds
    ]


def _stages(campaign: Campaign) -> list[dict[str, Any]]:
    """Which stages of each round have ended: how far a running campaign is."""
    names = ("generate", "screen", "evaluate", "decide")
    ended = {name: campaign.store.rounds(name) for name in names}
    rounds = sorted({number for found in ended.values() for number in found})
    return [{"round": n, "ended": [name for name in names if n in ended[name]]} for n in rounds]
