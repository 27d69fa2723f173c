"""What a verification evaluates: the best finds, what they compete with, and the elements."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from gnomon.chemistry.elemental import ground_state
from gnomon.crystals import Crystals
from gnomon.discover.folder import campaign_tables, in_ground_state, scheme_of
from gnomon.elements import parse_system
from gnomon.hull import Hull, Phases
from gnomon.hull.phases import compositions
from gnomon.io import from_arrow
from gnomon.report.tables import PhaseRow, new_stable_phases, phase_rows
from gnomon.run.store import Store
from gnomon.structure.symmetry import idealised, niggli


@dataclass(frozen=True)
class Find:
    """A stable find of a campaign, in the numbers of the campaign (eV/atom).

    Attributes:
        id: of the crystal to be verified, which the campaign relaxed (symmetry made exact).
        candidate_id: of what was proposed.
        space_group: number, 0 where none was found.
        distance_to_rest: to the hull of everything else; negative, as it is stable.
        competing: ids of the crystals that it would decompose into, and of its elements.
    """

    id: str
    candidate_id: str
    reduced_formula: str
    space_group: int
    formation_energy_per_atom: float
    distance_to_rest: float
    competing: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Plan:
    """The crystals of a verification, each once: the elements, then finds and their competitors.

    Attributes:
        scheme: of the campaign.
        crystals: in the order of their evaluation.
        finds: the best first.
        elements: symbol to the ids of its structures; the first is the reference where it is the
            measured ground state.
    """

    scheme: str
    crystals: Crystals
    finds: tuple[Find, ...]
    elements: dict[str, tuple[str, ...]]


def plan(store: Store, top: int) -> Plan:
    """The ``top`` finds that are furthest below the hull of everything else, and their rivals.

    Finds are those of the campaign's report.  Rivals are the phases of other compositions that a
    find would decompose into, and its elements: in their measured ground state, and in the lowest
    structure of the campaign where that is another one.

    Raises:
        ValueError: if ``top`` is below 1, or the campaign has found nothing.
        StoreError: if the folder holds no campaign.
    """
    if top < 1:
        raise ValueError(f"--top is {top}: verify at least one find")
    tables = campaign_tables(store)
    phases, scheme = phase_rows(tables), scheme_of(store)
    finds = new_stable_phases(phases, scheme)[:top]
    if not finds:
        raise ValueError(
            f"{store.root} has no find on its hull, so there is nothing to verify: let the "
            "campaign go on (`gnomon discover`), or look at `gnomon report`"
        )
    relaxed = _relaxed(tables.evaluations)
    symbols = sorted({symbol for find in finds for symbol in find.elements})
    elements = {symbol: _structures(symbol, phases, relaxed) for symbol in symbols}
    rivals = _rivals(finds, phases, scheme)
    chosen = [one for structures in elements.values() for one in structures]
    for find, competing in zip(finds, rivals, strict=True):
        chosen += [relaxed[key] for key in (find.id, *competing)]
    every = Crystals.concatenate(chosen)
    first = np.sort(np.unique(every.ids.astype(str), return_index=True)[1])
    ids = {symbol: tuple(str(one.ids[0]) for one in group) for symbol, group in elements.items()}
    return Plan(
        scheme=scheme,
        crystals=every[first],
        finds=tuple(
            Find(
                id=str(relaxed[find.id].ids[0]),
                candidate_id=find.id,
                reduced_formula=find.reduced_formula,
                space_group=find.space_group,
                formation_energy_per_atom=find.formation_energy_per_atom,
                distance_to_rest=float(find.distance_to_rest or 0.0),
                competing=tuple(
                    dict.fromkeys(
                        [str(relaxed[key].ids[0]) for key in competing]
                        + [key for symbol in find.elements for key in ids[symbol]]
                    )
                ),
            )
            for find, competing in zip(finds, rivals, strict=True)
        ),
        elements=ids,
    )


def _relaxed(evaluations: pa.Table) -> dict[str, Crystals]:
    """Relaxed crystals in exact, reduced cells (DFT asks for both), by the id of the candidate."""
    having = evaluations.filter(evaluations["relaxed_id"].is_valid())
    return dict(zip(having["id"].to_pylist(), niggli(idealised(from_arrow(having))), strict=True))


def _structures(
    symbol: str, phases: list[PhaseRow], relaxed: dict[str, Crystals]
) -> list[Crystals]:
    """The measured ground state of an element, and the campaign's lowest if it is another."""
    own = [phase for phase in phases if parse_system(phase.chemical_system) == (symbol,)]
    lowest = relaxed[min(own, key=lambda phase: (phase.formation_energy_per_atom, phase.id)).id]
    measured = ground_state(symbol)
    if measured is None:
        return [lowest]
    return [measured.crystal] if in_ground_state(lowest)[0] else [measured.crystal, lowest]


def _rivals(finds: list[PhaseRow], phases: list[PhaseRow], scheme: str) -> list[list[str]]:
    """Candidate ids of the compounds that each find would decompose into without its composition.

    A known phase of the same composition competes too.
    """
    hull = Hull(
        Phases(
            np.array([phase.id for phase in phases], dtype=object),
            compositions([phase.reduced_formula for phase in phases]),
            np.array([phase.formation_energy_per_atom for phase in phases]),
            scheme,
        )
    )
    same = {find.reduced_formula: [p for p in phases if _alike(p, find)] for find in finds}
    mixtures = hull.decomposition(
        compositions([find.reduced_formula for find in finds]),
        without=[[p.id for p in same[find.reduced_formula]] for find in finds],
    )
    compounds = {phase.id for phase in phases if len(phase.elements) > 1}
    return [
        sorted(compounds & set(mixture))
        + [p.id for p in same[find.reduced_formula] if p.known and p.id != find.id][:1]
        for find, mixture in zip(finds, mixtures, strict=True)
    ]


def _alike(a: PhaseRow, b: PhaseRow) -> bool:
    return a.reduced_formula == b.reduced_formula
