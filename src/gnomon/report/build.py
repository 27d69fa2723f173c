"""``build_report``: the tables of a campaign → everything that its report says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc

from gnomon.hull import SchemeMismatch
from gnomon.report.inputs import CampaignTables, rows_with
from gnomon.report.statistics import HitRate, comparison, hit_rates
from gnomon.report.tables import (
    ElementRow,
    Failure,
    PhaseRow,
    Prediction,
    element_rows,
    failures,
    lowest_phases,
    near_hull_phases,
    new_stable_phases,
    phase_rows,
    screening_counts,
    waiting,
)


@dataclass(frozen=True)
class RoundRow:
    """The model that ranked a round.

    Attributes:
        mean_error: mean |predicted - verified| formation energy of the candidates of the round
            that were evaluated, eV/atom; None where none was predicted.
        n_compared: how many those are.
    """

    round: int
    model: str
    n_labels: int | None
    message: str
    mean_error: float | None
    n_compared: int


@dataclass(frozen=True)
class Report:
    """What a report says, before it is drawn (energies in eV/atom).

    Attributes:
        system: elements of the campaign, in alphabetical order.
        scheme: of the energies; None where nothing was evaluated.
        headline: the result in a sentence.
        stable: the new stable phases.
        n_known: compounds that were given as known; a find is new to these.
        lowest: the lowest phase of every composition, known ones included.
        near: every distinct compound near the hull, polymorphs included.
        phases: every phase on or above the hull.
        hull_shown: whether the hull can be drawn (two or three elements).
    """

    title: str
    system: tuple[str, ...]
    scheme: str | None
    headline: str
    n_candidates: int
    n_kept: int
    n_evaluated: int
    n_known: int
    stable: tuple[PhaseRow, ...]
    lowest: tuple[PhaseRow, ...]
    near: tuple[PhaseRow, ...]
    phases: tuple[PhaseRow, ...]
    elements: tuple[ElementRow, ...]
    hits: tuple[HitRate, ...]
    comparison: str
    waiting: tuple[Prediction, ...]
    screening: tuple[tuple[str, int], ...]
    failures: tuple[Failure, ...]
    rounds: tuple[RoundRow, ...]
    provenance: tuple[tuple[str, str], ...]
    tables: CampaignTables


def build_report(tables: CampaignTables) -> Report:
    """Everything that the page and the files of a report say.

    Raises:
        SchemeMismatch: if the evaluations come from several energy schemes.
        MissingElementError: if an element of the hull has no phase of its own.
    """
    scheme = _scheme(tables)
    phases = phase_rows(tables)
    known = {phase.id for phase in phases if phase.known}
    evaluated = set(tables.evaluations["id"].to_pylist()) - known
    stable = new_stable_phases(phases, scheme or "")
    lowest = lowest_phases(phases)
    selected = tables.screening.filter(pc.is_valid(tables.screening["selection"]))
    selected = selected.select(["id", "round", "selection"]).to_pylist()
    placed = {row["id"]: row for row in tables.hull.to_pylist() if not row["is_reference"]}
    hits = hit_rates(selected, evaluated, placed)
    system = _system(tables, phases)
    return Report(
        title=tables.title,
        system=system,
        scheme=scheme,
        headline=_headline(system, scheme, stable, phases, len(evaluated)),
        n_candidates=len(tables.candidates),
        n_kept=pc.count_distinct(tables.screening["id"].filter(tables.screening["kept"])).as_py(),
        n_evaluated=len(evaluated),
        n_known=sum(phase.known and len(phase.elements) > 1 for phase in phases),
        stable=tuple(stable),
        lowest=tuple(lowest),
        near=tuple(near_hull_phases(phases)),
        phases=tuple(phases),
        elements=tuple(element_rows(tables, phases)),
        hits=tuple(hits),
        comparison=comparison(hits),
        waiting=tuple(waiting(tables)),
        screening=tuple(screening_counts(tables)),
        failures=tuple(failures(tables)),
        rounds=tuple(_rounds(tables, placed)),
        provenance=tuple(_flat(tables.provenance)),
        tables=tables,
    )


def _scheme(tables: CampaignTables) -> str | None:
    schemes = sorted(set(tables.evaluations["scheme"].to_pylist()) - {None})
    if len(schemes) > 1:
        raise SchemeMismatch(
            f"the evaluations come from {' and '.join(map(repr, schemes))}: energies of several "
            "schemes cannot share a report; keep one campaign a scheme"
        )
    return schemes[0] if schemes else None


def _system(tables: CampaignTables, phases: Sequence[PhaseRow]) -> tuple[str, ...]:
    names = [phase.chemical_system for phase in phases]
    names += tables.candidates["chemical_system"].unique().to_pylist()
    return tuple(sorted({symbol for name in names for symbol in name.split("-")}))


def _headline(
    system: Sequence[str],
    scheme: str | None,
    stable: Sequence[PhaseRow],
    phases: Sequence[PhaseRow],
    n_evaluated: int,
) -> str:
    name = "-".join(system) if system else "No crystals yet"
    candidates = f"{n_evaluated} evaluated candidate{'' if n_evaluated == 1 else 's'}"
    if n_evaluated == 0:
        return f"{name}: nothing has been evaluated yet, so every energy on this page is predicted."
    if stable:
        noun = "phase" if len(stable) == 1 else "phases"
        return f"{name}: {len(stable)} new stable {noun}, verified at {scheme}."
    above = [phase for phase in phases if not phase.known and not phase.stable]
    last = ""
    if above:
        closest = min(above, key=lambda phase: phase.e_above_hull)
        energy = 1000 * closest.e_above_hull
        last = (
            f" The closest, {closest.reduced_formula}, lies {energy:.1f} meV/atom above the hull."
        )
    elif all(phase.known for phase in phases):
        last = " No evaluation gave an energy."
    return f"{name}: No new stable phase was found among {candidates}, verified at {scheme}.{last}"


def _rounds(tables: CampaignTables, placed: Mapping[str, Mapping[str, Any]]) -> Iterator[RoundRow]:
    predicted = "predicted_formation_energy_per_atom"
    errors: dict[int, list[float]] = {}
    for row in rows_with(tables.screening.select(["id", "round", predicted]), "id", set(placed)):
        if row[predicted] is not None:
            verified = placed[row["id"]]["formation_energy_per_atom"]
            errors.setdefault(row["round"], []).append(abs(row[predicted] - verified))
    for row in sorted(tables.rounds.to_pylist(), key=lambda row: row["round"]):
        of_round = errors.get(row["round"], [])
        yield RoundRow(
            round=row["round"],
            model=row["model"],
            n_labels=row["n_labels"],
            message=row["message"] or "",
            mean_error=sum(of_round) / len(of_round) if of_round else None,
            n_compared=len(of_round),
        )


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
