"""How far each find lies from the known crystals that can be had without asking anyone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gnomon.crystals import Crystals
from gnomon.discover.campaign import Campaign
from gnomon.discover.finds import Phase
from gnomon.generate.prototypes.occurrence import BUNDLED, Occurrence
from gnomon.represent.registry import representation
from gnomon.represent.similarity import nearest, varies

REPRESENTATION = "ace"
"""Knows elements and places of atoms, takes a millisecond a crystal and needs no extra."""


@dataclass(frozen=True)
class Novelty:
    """How far a find lies from what is known.

    Attributes:
        distance: euclidean, of rows of ``REPRESENTATION``, each number in units of its standard
            deviation over the known crystals, over sqrt(numbers): two of these drawn at random are
            1.4 apart.
        formula: of the nearest known crystal.
        source: where that is known from: ``this campaign`` (its reference phases as relaxed), or
            the package's known crystals by their name.
    """

    distance: float
    formula: str
    source: str


def novelty_of_finds(campaign: Campaign, finds: Sequence[Phase]) -> dict[str, Novelty]:
    """How novel the finds of a campaign are, as relaxed, by id."""
    placed = campaign.placed
    found = placed.found.relaxed[[placed.row_of[find.id] for find in finds]]
    told = zip(finds, novelties(campaign, found), strict=True)
    return {find.id: one for find, one in told if one is not None}


def novelties(campaign: Campaign, crystals: Crystals) -> list[Novelty | None]:
    """How novel each crystal is; None where fewer than two known crystals differ.

    Known are the reference phases of the campaign, and those crystals of the package that have no
    element beside those of one of the crystals.
    """
    placed = campaign.placed
    given = [placed.row_of[phase.id] for phase in campaign.phases if phase.known]
    if not len(crystals) or not given:
        return [None] * len(crystals)
    listed = _of_elements(Occurrence.load().known.cells, crystals)
    known = Crystals.concatenate([placed.found.relaxed[given], listed])
    made = representation(REPRESENTATION)
    rows = made.represent(known)
    if not varies(rows).any():
        return [None] * len(crystals)
    near = nearest(made.represent(crystals), rows)
    sources = ["this campaign"] * len(given) + [BUNDLED] * len(listed)
    formulas = known.reduced_formulas.tolist()
    pairs = zip(near.rows.tolist(), near.distances.tolist(), strict=True)
    return [Novelty(distance, formulas[row], sources[row]) for row, distance in pairs]


def _of_elements(crystals: Crystals, found: Crystals) -> Crystals:
    """The crystals that have no element beside those of one of the finds."""
    foreign = (crystals.composition > 0).astype(np.int64) @ (found.composition == 0).T
    return crystals[np.flatnonzero((foreign == 0).any(axis=1))]
