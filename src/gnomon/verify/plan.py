"""What a verification evaluates: the best finds, what they compete with, and the elements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gnomon.chemistry.elemental import ground_state
from gnomon.crystals import Crystals
from gnomon.discover.campaign import Campaign
from gnomon.discover.finds import Find, Phase, distinct
from gnomon.discover.placed import in_ground_state
from gnomon.evaluate.references import MEASURED
from gnomon.structure.symmetry import idealised, niggli

MARGIN = 0.02
"""eV/atom above the hull up to which whatever could compete is evaluated too: about what potentials
err by in the order of polymorphs.  A margin of twice what two levels differ by is enough."""


@dataclass(frozen=True)
class Target:
    """A find of a campaign, as it is verified.

    Attributes:
        find: in the numbers of the campaign.
        id: of the crystal that the campaign relaxed (symmetry made exact).
        competing: ids of the crystals that it competes with, its elements and polymorphs included.
        polymorphs: those of ``competing`` that are new in the campaign as well.
    """

    find: Find
    id: str
    competing: tuple[str, ...]
    polymorphs: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Plan:
    """The crystals of a verification, each once: the elements, then finds and their competitors.

    Attributes:
        scheme: of the campaign.
        crystals: in the order of their evaluation.
        targets: the best first.
        elements: symbol to the ids of its structures; the first is the reference where it is the
            measured ground state.
        margin: eV/atom above the campaign's hull up to which it is complete.
        references: of the campaign's formation energies, ``measured`` or ``fitted``.
    """

    scheme: str
    crystals: Crystals
    targets: tuple[Target, ...]
    elements: dict[str, tuple[str, ...]]
    margin: float = MARGIN
    references: str = MEASURED


def plan(campaign: Campaign, top: int, margin: float = MARGIN) -> Plan:
    """The ``top`` finds that are furthest below the hull of everything else, and their rivals.

    Rivals are the phases of other compositions that a find would decompose into; every compound of
    its elements that lies within ``margin`` of the hull, polymorphs of all compositions among them;
    known structures of its own composition, however high; and its elements: in their measured
    ground state, and in the lowest structure of the campaign where that is another one.

    Args:
        campaign: whose finds are verified.
        top: how many of them.
        margin: eV/atom above the campaign's hull.

    Raises:
        ValueError: if ``top`` is below 1 or ``margin`` below 0, or the campaign has found nothing.
        StoreError: if the folder holds no campaign.
    """
    if top < 1 or not margin >= 0:
        raise ValueError(f"--top is {top} and --margin {margin}: at least 1 find, at least 0 eV")
    finds = campaign.finds[:top]
    if not finds:
        raise ValueError(
            f"{campaign.store.root} has no find on its hull, so there is nothing to verify: let "
            "the campaign go on (`gnomon discover`), or look at `gnomon report`"
        )
    elements = {
        symbol: _structures(symbol, campaign)
        for symbol in sorted({symbol for find in finds for symbol in find.elements})
    }
    ids = {symbol: tuple(str(one.ids[0]) for one in group) for symbol, group in elements.items()}
    chosen = [one for structures in elements.values() for one in structures]
    targets = []
    groups = distinct(phase for phase in campaign.phases if len(phase.elements) > 1)
    for find, products in zip(finds, _products(finds, campaign), strict=True):
        near = _near(find, groups, margin)
        polymorphs = [phase for phase in near if phase.reduced_formula == find.reduced_formula]
        rivals = list(dict.fromkeys([*products, *(phase.id for phase in near)]))
        own, *others = (_exact(key, campaign) for key in (find.id, *rivals))
        chosen += [own, *others]
        exact = dict(zip(rivals, (str(one.ids[0]) for one in others), strict=True))
        competing = [*exact.values(), *(key for symbol in find.elements for key in ids[symbol])]
        targets.append(
            Target(
                find=find,
                id=str(own.ids[0]),
                competing=tuple(dict.fromkeys(competing)),
                polymorphs=tuple(exact[phase.id] for phase in polymorphs if not phase.known),
            )
        )
    every = Crystals.concatenate(chosen)
    first = np.sort(np.unique(every.ids.astype(str), return_index=True)[1])
    return Plan(campaign.scheme, every[first], tuple(targets), ids, margin, campaign.references)


def _exact(key: str, campaign: Campaign) -> Crystals:
    """The relaxed crystal of a candidate in an exact, reduced cell (DFT asks for both)."""
    return niggli(idealised(campaign.placed.found.relaxed[campaign.placed.row_of[key]]))


def _structures(symbol: str, campaign: Campaign) -> list[Crystals]:
    """The measured ground state of an element, and the campaign's lowest if it is another."""
    own = [phase for phase in campaign.phases if phase.chemical_system == symbol]
    lowest = _exact(own[0].id, campaign)  # phases come by rising energy
    measured = ground_state(symbol)
    if measured is None:
        return [lowest]
    return [measured.crystal] if in_ground_state(lowest)[0] else [measured.crystal, lowest]


def _products(finds: tuple[Find, ...], campaign: Campaign) -> list[list[str]]:
    """Ids of the compounds that each find would decompose into without its composition.

    Of candidates that ended in the same phase the lowest stands for all, as among the finds.
    """
    first = {phase.id: rows[0].id for rows in distinct(campaign.phases) for phase in rows}
    of_formula: dict[str, list[str]] = {}
    for phase in campaign.phases:
        of_formula.setdefault(phase.reduced_formula, []).append(phase.id)
    placed = campaign.placed
    mixtures = placed.hull.decomposition(
        placed.hull.phases.composition[[placed.row_of[find.id] for find in finds]],
        without=[of_formula[find.reduced_formula] for find in finds],
    )
    return [
        sorted({first[key] for key in mixture if placed.compound[placed.row_of[key]]})
        for mixture in mixtures
    ]


def _near(find: Find, groups: Sequence[tuple[Phase, ...]], margin: float) -> list[Phase]:
    """Compounds of the find's elements within the margin, and known ones of its composition.

    Of candidates that ended in the same phase a known one stands for all, else the lowest.
    """
    own, elements = {find.id, *find.copies}, set(find.elements)
    found = []
    for rows in groups:
        known = next((phase for phase in rows if phase.known), None)
        wanted = rows[0].e_above_hull <= margin or (
            known is not None and known.reduced_formula == find.reduced_formula
        )
        if wanted and elements >= set(rows[0].elements) and not own & {p.id for p in rows}:
            found.append(known or rows[0])
    return found
