"""What a verification says: which finds hold, how many of how many, and by how much each shifts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gnomon.crystals import Crystals
from gnomon.discover.folder import RELAXED_SYMPREC, in_ground_state
from gnomon.evaluate import Status
from gnomon.evaluate.scheme import difference
from gnomon.hull import ON_HULL, Hull, Phases, formation_energies
from gnomon.hull.phases import SchemeMismatch
from gnomon.io import from_arrow
from gnomon.report.statistics import Rate, wilson
from gnomon.structure.symmetry import space_groups
from gnomon.verify.plan import Find, Plan


class Verdict(StrEnum):
    """How a find ended at the higher level."""

    STABLE = "stable"
    ABOVE_HULL = "above_hull"
    FAILED = "failed"  # its own evaluation gave no energy
    UNDECIDED = "undecided"  # that of a phase which it competes with
    PENDING = "pending"  # not evaluated yet


@dataclass(frozen=True)
class Outcome:
    """One find at both levels, eV/atom; None where the higher level has no such energy.

    Attributes:
        find: in the numbers of the campaign.
        verdict: at the higher level.
        reason: why it is not decided, or what it decomposes into; empty for stable ones.
        formation_energy_per_atom: at the higher level.
        shift: of the formation energy, higher level less campaign.
        e_above_hull: at the higher level.
        distance_to_rest: at the higher level, to the hull without its composition's finds.
        space_group: after the relaxation at the higher level.
    """

    find: Find
    verdict: Verdict
    reason: str = ""
    formation_energy_per_atom: float | None = None
    shift: float | None = None
    e_above_hull: float | None = None
    distance_to_rest: float | None = None
    space_group: int | None = None


@dataclass(frozen=True)
class Verification:
    """The outcome for all finds.

    Attributes:
        campaign_scheme, scheme: of the campaign, and of the higher level.
        outcomes: in the order of the finds.
        stable: finds that hold, of all that are not pending; failed and undecided ones count as
            not holding.
        references: eV/atom of each element at the higher level.
    """

    campaign_scheme: str
    scheme: str
    outcomes: tuple[Outcome, ...]
    stable: Rate
    references: Mapping[str, float]

    def count(self, verdict: Verdict) -> int:
        """Finds with this verdict."""
        return sum(outcome.verdict == verdict for outcome in self.outcomes)

    @property
    def median_shift(self) -> float | None:
        """Of the formation energies that both levels have, eV/atom."""
        shifts = [outcome.shift for outcome in self.outcomes if outcome.shift is not None]
        return float(np.median(shifts)) if shifts else None


@dataclass(frozen=True, eq=False)
class _Level:
    """The converged phases of the higher level, by the id of the crystal that was evaluated."""

    phases: Phases
    references: dict[str, float]
    relaxed: dict[str, Crystals]
    energies: dict[str, float]  # formation energies
    failures: dict[str, str]  # status and message of what did not converge


def assess(plan: Plan, rows: pa.Table, scheme: str) -> Verification:
    """Put the evaluations of a plan on their own hull.

    Args:
        plan: what was to be evaluated.
        rows: evaluations (``gnomon.run.store.SCHEMAS``) of its crystals, those that there are.
        scheme: of the higher level.

    Raises:
        SchemeMismatch: if a row is of another energy scheme.
    """
    for other in pc.unique(rows["scheme"]).to_pylist():
        if other != scheme:
            raise SchemeMismatch(
                f"energies of {other!r} and {scheme!r} cannot share a hull "
                f"({difference(other, scheme)}): verify all phases in one scheme"
            )
    level = _level(plan, rows, scheme)
    outcomes = tuple(_outcome(find, plan, level) for find in plan.finds)
    decided = [o for o in outcomes if o.verdict != Verdict.PENDING]
    held = sum(o.verdict == Verdict.STABLE for o in decided)
    return Verification(plan.scheme, scheme, outcomes, wilson(held, len(decided)), level.references)


def _level(plan: Plan, rows: pa.Table, scheme: str) -> _Level:
    converged = rows.filter(pc.equal(rows["status"], Status.CONVERGED.value))
    failures = {
        row["id"]: f"{row['status']}: {row['message']}" if row["message"] else row["status"]
        for row in rows.select(["id", "status", "message"]).to_pylist()
        if row["status"] != Status.CONVERGED
    }
    relaxed = dict(zip(converged["id"].to_pylist(), from_arrow(converged), strict=True))
    per_atom = dict(
        zip(converged["id"].to_pylist(), converged["energy_per_atom"].to_pylist(), strict=True)
    )
    references = _references(plan, relaxed, per_atom)
    known = [
        key
        for key, crystal in relaxed.items()
        if set(crystal.chemical_systems[0].split("-")) <= set(references)
    ]
    batch = Crystals.concatenate([relaxed[key] for key in known])
    composition = batch.composition.astype(np.float64)
    measured = np.array([per_atom[key] for key in known], dtype=np.float64)
    energies = formation_energies(composition, measured, references)
    phases = Phases(np.array(known, dtype=object), composition, energies, scheme)
    by_id = dict(zip(known, energies.tolist(), strict=True))
    return _Level(phases, references, relaxed, by_id, failures)


def _references(
    plan: Plan, relaxed: Mapping[str, Crystals], per_atom: Mapping[str, float]
) -> dict[str, float]:
    """As in a campaign: the measured ground state where it relaxed to itself, else the lowest."""
    found = {}
    for symbol, structures in plan.elements.items():
        there = [key for key in structures if key in per_atom]
        usual = [key for key in there if in_ground_state(relaxed[key])[0]] or there
        if usual:
            found[symbol] = min(per_atom[key] for key in usual)
    return found


def _outcome(find: Find, plan: Plan, level: _Level) -> Outcome:
    if find.id in level.failures:
        return Outcome(find, Verdict.FAILED, level.failures[find.id])
    if find.id not in level.relaxed:
        return Outcome(find, Verdict.PENDING, "not evaluated yet")
    if undecided := _undecided(find, plan, level):
        return undecided
    hull, energy = Hull(level.phases), level.energies[find.id]
    composition = level.relaxed[find.id].composition.astype(np.float64)
    at = np.array([energy])
    twins = [[other.id for other in plan.finds if other.reduced_formula == find.reduced_formula]]
    above = float(hull.e_above_hull(composition, at)[0])
    stable = above <= ON_HULL
    return Outcome(
        find,
        Verdict.STABLE if stable else Verdict.ABOVE_HULL,
        reason="" if stable else _mixture(hull, composition, level.relaxed),
        formation_energy_per_atom=energy,
        shift=energy - find.formation_energy_per_atom,
        e_above_hull=above,
        distance_to_rest=float(hull.e_above_hull(composition, at, without=twins)[0]),
        space_group=int(space_groups(level.relaxed[find.id], RELAXED_SYMPREC)[0]),
    )


def _undecided(find: Find, plan: Plan, level: _Level) -> Outcome | None:
    """The outcome where a phase that it competes with is missing, else None."""
    lacking = [key for key in find.competing if key not in level.relaxed]
    if not lacking:
        return None
    formula = dict(zip(plan.crystals.ids, plan.crystals.reduced_formulas, strict=True))
    failed = [key for key in lacking if key in level.failures]
    verdict = Verdict.UNDECIDED if failed else Verdict.PENDING
    key = (failed or lacking)[0]
    reason = f"{formula[key]}, which it competes with: "
    reason += level.failures.get(key, "not evaluated yet")
    energy = level.energies.get(find.id)
    shift = None if energy is None else energy - find.formation_energy_per_atom
    return Outcome(find, verdict, reason, energy, shift)


def _mixture(hull: Hull, composition: np.ndarray, relaxed: Mapping[str, Crystals]) -> str:
    (mixture,) = hull.decomposition(composition)
    shares: dict[str, float] = {}
    for key, share in mixture.items():
        formula = str(relaxed[key].reduced_formulas[0])
        shares[formula] = shares.get(formula, 0.0) + share
    ordered = sorted(shares.items(), key=lambda item: -item[1])
    return "above " + " + ".join(f"{share:.3g} {formula}" for formula, share in ordered)


def outcome_rows(verification: Verification) -> list[dict[str, Any]]:
    """One row a find, for tables and JSON (eV/atom)."""
    return [
        {
            "reduced_formula": outcome.find.reduced_formula,
            "id": outcome.find.id,
            "candidate_id": outcome.find.candidate_id,
            "verdict": outcome.verdict.value,
            "reason": outcome.reason,
            "campaign_formation_energy_per_atom": outcome.find.formation_energy_per_atom,
            "formation_energy_per_atom": outcome.formation_energy_per_atom,
            "shift": outcome.shift,
            "e_above_hull": outcome.e_above_hull,
            "campaign_distance_to_rest": outcome.find.distance_to_rest,
            "distance_to_rest": outcome.distance_to_rest,
            "campaign_space_group": outcome.find.space_group,
            "space_group": outcome.space_group,
        }
        for outcome in verification.outcomes
    ]
