"""The rows that a report shows beside phases and finds: elements, failures, what waits, rounds."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc
from ase.cell import Cell

from gnomon.crystals import Crystals
from gnomon.discover.campaign import Campaign
from gnomon.discover.evaluate import spent
from gnomon.discover.finds import Phase, distinct, shown
from gnomon.discover.lineage import rows_with
from gnomon.discover.rates import HitRate, hit_rates, wilson
from gnomon.discover.wide.cross_scheme import NAME as CROSS_SCHEME
from gnomon.discover.wide.cross_scheme import told
from gnomon.evaluate import Status
from gnomon.evaluate.references import references
from gnomon.io.tables import FOLDER, UNSAID, read_table, tables_of, value_schema
from gnomon.properties.families import FAMILIES, counted
from gnomon.run.passes.forecast import lasting

MAX_WAITING = 20
"""Predicted candidates that are listed."""

PROPOSED, LEFT = "proposed by ", "left: the best of its composition, or drawn at random"

STAGES = {"map": "propose", "reduce": "rank", "crystals": "crystals without a parent"}
"""What the steps of passes are called."""

PREDICTED = "predicted_formation_energy_per_atom"


@dataclass(frozen=True)
class ElementRow:
    """An elemental reference and its cell: lengths in Å, angles in degrees, volume in Å^3/atom.

    Attributes:
        shift: eV/atom by which the energy of the element that fits compounds lies above that of its
            measured ground state; None where nobody fitted it.
    """

    phase: Phase
    energy_per_atom: float
    n_atoms: int
    lengths: tuple[float, ...]
    angles: tuple[float, ...]
    volume_per_atom: float
    shift: float | None


@dataclass(frozen=True)
class Prediction:
    """A kept candidate without an evaluation, and what the model says of it (eV/atom)."""

    id: str
    reduced_formula: str
    formation_energy_per_atom: float | None
    uncertainty: float | None
    e_above_hull: float
    round: int


@dataclass(frozen=True)
class Failure:
    """An evaluation that gave no energy."""

    id: str
    reduced_formula: str
    round: int
    level: int
    status: str
    message: str


@dataclass(frozen=True)
class RoundRow:
    """The model that ranked a round.

    Attributes:
        mean_error: mean |predicted - evaluated| formation energy of the candidates of the round
            that were evaluated, eV/atom, at the level that answers (or as expected there); None
            where none was predicted.
        n_compared: how many those are.
    """

    round: int
    model: str
    n_labels: int
    message: str
    mean_error: float | None
    n_compared: int


@dataclass(frozen=True)
class PropertyOf:
    """What a table of the campaign says of a phase.

    Attributes:
        name: of the property.
        about: what its value is.
        value, uncertainty: in its unit; None where there is none.
        unit: ``1`` for a number without one.
        level: what gave it.
        status: ``ok``, or why there is no value.
        further: its other columns, as ``shear_modulus 67.1 GPa``.
        origin: where the uncertainty comes from; empty where there is none, or nobody says.
    """

    name: str
    about: str
    value: float | None
    uncertainty: float | None
    unit: str
    level: str
    status: str
    further: tuple[str, ...] = ()
    origin: str = ""

    def __str__(self) -> str:
        """The value with its unit, or why there is none."""
        if self.value is None:
            return self.status
        error = "" if self.uncertainty is None else f" ± {self.uncertainty:.2g}"
        return amount(f"{self.value:.4g}{error}", self.unit)


def amount(value: float | str, unit: str) -> str:
    """A number with its unit, or a text.

    >>> amount(67.123, "GPa"), amount(0.25, "1"), amount("superionic", "")
    ('67.12 GPa', '0.25', 'superionic')
    """
    text = value if isinstance(value, str) else f"{value:.4g}"
    return text if unit in ("", "1") else f"{text} {unit}"


def properties_of(campaign: Campaign, phases: Sequence[Phase]) -> dict[str, list[PropertyOf]]:
    """What the tables of the campaign say of phases as relaxed, by id of the phase."""
    found: dict[str, list[PropertyOf]] = {phase.id: [] for phase in phases}
    of = {phase.relaxed_id: phase.id for phase in phases}
    for info in tables_of(campaign.store.root):
        own = {"value", "uncertainty", "level", "status"} <= set(info.columns)
        if not own or info.name == CROSS_SCHEME:  # which is no property of a crystal
            continue
        table = read_table(campaign.store.root / FOLDER / f"{info.name}.parquet")
        about, unit = info.columns["value"]
        for row in rows_with(table, "id", of):
            said = (row["value"], row["uncertainty"], unit, row["level"], row["status"])
            more = tuple(
                f"{column} {amount(row[column], unit)}"
                for column, (_, unit) in info.columns.items()
                if column not in value_schema("", "").names and isinstance(row[column], float | str)
            )
            known = row["uncertainty"] is not None and info.columns["uncertainty"][0] != UNSAID
            origin = info.columns["uncertainty"][0] if known else ""
            found[of[row["id"]]].append(PropertyOf(info.name, about, *said, more, origin))
    return found


def families_of(campaign: Campaign, phases: Sequence[Phase]) -> tuple[tuple[str, int, str], ...]:
    """Families with how many of the phases belong to each, and what they mean; none if not asked.

    Conductors are counted by the answer of the property ``conduction``.
    """
    folder, of = campaign.store.root / FOLDER, [phase.relaxed_id for phase in phases]
    found: list[tuple[str, int, str]] = []
    if (path := folder / "families.parquet").exists():
        rows = rows_with(read_table(path), "id", of)
        number = counted(row["families"] for row in rows)
        found = [(name, number[name], about) for name, about in FAMILIES.items()]
    if (path := folder / "conduction.parquet").exists():
        rows = rows_with(read_table(path), "id", of)
        conducting = sum(row.get("answer") == "superionic" for row in rows)
        found.append(("superionic conductor", conducting, "by the property conduction"))
    return tuple(found)


def element_rows(campaign: Campaign) -> list[ElementRow]:
    """The elemental references with their cells."""
    elements = [phase for phase in campaign.phases if phase.known and len(phase.elements) == 1]
    return [_element_row(shown(rows), campaign) for rows in distinct(elements)]


def _element_row(phase: Phase, campaign: Campaign) -> ElementRow:
    row = campaign.placed.row_of[phase.id]
    crystal: Crystals = campaign.placed.found.relaxed[row]
    n_atoms = int(crystal.n_atoms[0])
    fit = references(campaign.scheme)
    known = None if fit is None else fit.elements.get(phase.elements[0])
    cell = Cell(crystal.lattice[0]).cellpar().tolist()
    return ElementRow(
        phase,
        float(campaign.placed.found.energy_per_atom[row]),
        n_atoms,
        tuple(cell[:3]),
        tuple(cell[3:]),
        float(crystal.volumes[0]) / n_atoms,
        None if known is None else known.shift,
    )


def failures(campaign: Campaign) -> list[Failure]:
    """Evaluations of any level whose status is not ``converged``, by status."""
    rows = campaign.all_evaluations
    rows = rows.filter(pc.not_equal(rows["status"], Status.CONVERGED.value))
    rows = rows.select(["id", "round", "level", "status", "message"])
    formulas = formulas_of(campaign, rows["id"].to_pylist())
    found = [Failure(reduced_formula=formulas[row["id"]], **row) for row in rows.to_pylist()]
    return sorted(found, key=lambda f: (f.status, f.reduced_formula, f.id))


def formulas_of(campaign: Campaign, ids: list[str]) -> dict[str, str]:
    """Reduced formulas of some candidates, by id."""
    rows = rows_with(campaign.crystals.select(["id", "reduced_formula"]), "id", ids)
    return {row["id"]: row["reduced_formula"] for row in rows}


def waiting(campaign: Campaign) -> list[Prediction]:
    """The ``MAX_WAITING`` kept candidates lowest above the predicted hull, not evaluated yet."""
    last = campaign.screening.group_by("id").aggregate([("round", "max")])
    last = last.rename_columns({"round_max": "round"})
    table = campaign.screening.join(last, ["id", "round"], join_type="inner")
    done = pc.is_in(table["id"], value_set=campaign.evaluations["id"])
    ranked = pc.is_valid(table["predicted_e_above_hull"])
    table = table.filter(pc.and_(pc.and_(table["kept"], ranked), pc.invert(done)))
    table = table.sort_by([("predicted_e_above_hull", "ascending"), ("id", "ascending")])
    rows = table.slice(0, MAX_WAITING).to_pylist()
    formulas = formulas_of(campaign, [row["id"] for row in rows])
    return [
        Prediction(
            id=row["id"],
            reduced_formula=formulas[row["id"]],
            formation_energy_per_atom=row[PREDICTED],
            uncertainty=row["uncertainty"],
            e_above_hull=row["predicted_e_above_hull"],
            round=row["round"],
        )
        for row in rows
    ]


def screening_counts(campaign: Campaign) -> list[tuple[str, int]]:
    """How many verdicts on candidates were to keep, and how many to reject for each reason."""
    verdicts = campaign.screening.filter(pc.greater(campaign.screening["round"], 0))
    counted = verdicts.group_by(["kept", "reason"]).aggregate([([], "count_all")])
    kept, rejected = 0, []
    for row in counted.to_pylist():
        if row["kept"]:
            kept += row["count_all"]
        else:
            rejected.append((row["reason"] or "no reason given", row["count_all"]))
    rejected.sort(key=lambda item: (-item[1], item[0]))
    return [("kept", kept), *rejected] if counted.num_rows else []


def funnel_rows(campaign: Campaign) -> list[tuple[str, int]]:
    """How many candidates were proposed where few are kept in the folder, and why few are."""
    counts = {name: n for name, n in campaign.funnel.items() if n}
    proposed = {name: n for name, n in counts.items() if name.startswith(PROPOSED)}
    ended = sorted(counts.items() - proposed.items(), key=lambda item: (-item[1], item[0]))
    left = sum(proposed.values()) - sum(n for _, n in ended)
    return [*sorted(proposed.items()), *ended, *([(LEFT, left)] if proposed else [])]


@dataclass(frozen=True)
class Yield:
    """What one generator brought.

    Attributes:
        generator: its name.
        proposed: candidates, those that were not kept among them.
        rates: of its evaluated candidates, in all rounds.
    """

    generator: str
    proposed: int
    rates: HitRate


def yields(
    campaign: Campaign,
    selected: Iterable[str],
    evaluated: Collection[str],
    e_above_hull: Mapping[str, float],
) -> list[Yield]:
    """What each generator brought, most stable candidates first; of several the first counts.

    Args:
        campaign: with its lineage.
        selected: ids of the candidates sent to evaluation.
        evaluated: ids that have an evaluation, failed or not.
        e_above_hull: of those that have an energy, eV/atom.
    """
    lineage = campaign.lineage.filter(pc.greater(campaign.lineage["round"], 0))
    rows = zip(lineage["id"].to_pylist(), lineage["generator"].to_pylist(), strict=True)
    of = dict(reversed(list(rows)))
    kept, funnel = Counter(of.values()), campaign.funnel
    tried = [(key, 1, of[key]) for key in dict.fromkeys(selected) if key in of]
    rates = hit_rates(tried, evaluated, e_above_hull, campaign.hits)
    found = {rate.selection: rate for rate in rates}
    names = {name.removeprefix(PROPOSED) for name in funnel if name.startswith(PROPOSED)}
    nothing = wilson(0, 0)
    every = [
        Yield(
            name,
            funnel.get(f"{PROPOSED}{name}", kept[name]),
            found.get(name, HitRate(1, name, 0, 0, nothing, nothing)),
        )
        for name in {*names, *kept}
    ]
    return sorted(every, key=lambda one: (-one.rates.stable.k, -one.rates.stable.n, one.generator))


def pace(campaign: Campaign) -> list[str]:
    """How fast candidates were proposed and evaluated, and what came of an hour of it."""
    said = []
    for number, facts in sorted(campaign.store.rounds("generate").items()):
        if work := facts.get("work"):
            seconds = sum(work["seconds"].values())
            counts = facts["funnel"].items()
            proposed = sum(n for name, n in counts if name.startswith(PROPOSED))
            stages = ", ".join(
                f"{STAGES.get(name, name)} {lasting(n)}" for name, n in work["seconds"].items()
            )
            said.append(
                f"round {number}: {proposed:,} candidates in {lasting(seconds)} of a worker "
                f"({stages}; {proposed / max(seconds, 1e-3):,.0f}/s), at most "
                f"{work['peak_bytes'] / 1e9:.1f} GB in one"
            )
    done, hours = spent(campaign)
    if hours:
        said.append(
            f"{done} evaluations in {lasting(3600 * hours)} ({done / hours:,.0f} an hour, "
            f"{len(campaign.finds) / hours:,.1f} new stable phases an hour)"
        )
        if campaign.store.intact("config.toml"):
            budget = tomllib.loads(campaign.store.read("config.toml").decode())["budget"]
            said.append(f"{max(budget['evaluations'] - done, 0)} left in the budget")
    if (quick := campaign.store.root / FOLDER / f"{CROSS_SCHEME}.parquet").exists():
        said.append(told(read_table(quick)))
    return said


def round_rows(campaign: Campaign) -> list[RoundRow]:
    """What ranked each round, and how far off its predictions were."""
    ids = campaign.level(0).placed.found.ids
    energies = dict(zip(ids, campaign.expected_energies.tolist(), strict=True))
    predicted = campaign.screening.filter(pc.is_valid(campaign.screening[PREDICTED]))
    errors: dict[int, list[float]] = {}
    for row in rows_with(predicted.select(["id", "round", PREDICTED]), "id", energies):
        errors.setdefault(row["round"], []).append(abs(row[PREDICTED] - energies[row["id"]]))
    return [
        RoundRow(
            round=number,
            model=facts["model"],
            n_labels=facts["n_labels"],
            message=facts["message"],
            mean_error=float(np.mean(errors[number])) if number in errors else None,
            n_compared=len(errors.get(number, [])),
        )
        for number, facts in campaign.screened.items()
    ]
