"""What a verification says: which finds hold, how many of how many, and by how much each shifts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gnomon.discover.placed import RELAXED_SYMPREC, Evaluated, Placed, place
from gnomon.discover.rates import Rate, wilson
from gnomon.evaluate import Status
from gnomon.evaluate.measured import LevelError, measured
from gnomon.evaluate.references import FITTED, fitted, references
from gnomon.evaluate.scheme import difference
from gnomon.hull.phases import SchemeMismatch
from gnomon.structure.symmetry import space_group_symbol, space_groups
from gnomon.verify.plan import Plan, Target


class Verdict(StrEnum):
    """How a find ended at the higher level."""

    STABLE = "stable"
    ABOVE_HULL = "above_hull"
    OTHER_STRUCTURE = "other_structure"  # its composition is stable, in another of its structures
    FAILED = "failed"  # its own evaluation gave no energy
    UNDECIDED = "undecided"  # that of a phase which it competes with
    PENDING = "pending"  # not evaluated yet


UNSETTLED = (Verdict.FAILED, Verdict.UNDECIDED, Verdict.PENDING)
"""Verdicts that say nothing of the find."""


@dataclass(frozen=True)
class Outcome:
    """One find at both levels, eV/atom; None where the higher level has no such energy.

    Attributes:
        target: the find, in the numbers of the campaign.
        verdict: at the higher level.
        reason: why it is not decided, or what lies lower; empty for stable ones.
        formation_energy_per_atom: at the higher level.
        shift: of the formation energy, higher level less campaign.
        e_above_hull: at the higher level.
        distance_to_rest: at the higher level, to the hull without its composition's finds.
        space_group: after the relaxation at the higher level.
    """

    target: Target
    verdict: Verdict
    reason: str = ""
    formation_energy_per_atom: float | None = None
    shift: float | None = None
    e_above_hull: float | None = None
    distance_to_rest: float | None = None
    space_group: int | None = None

    @property
    def agrees(self) -> bool | None:
        """Whether the level calls the find stable, as the campaign does; None without a verdict."""
        return None if self.verdict in UNSETTLED else self.verdict is Verdict.STABLE


@dataclass(frozen=True)
class Verification:
    """The outcome for all finds.

    Attributes:
        campaign_scheme, scheme: of the campaign, and of the higher level.
        outcomes: in the order of the finds.
        stable: finds that hold, of all that are not pending; failed and undecided ones count as
            not holding.
        references: eV/atom of each element at the higher level.
        margin: eV/atom above the campaign's hull up to which everything was to compete.
    """

    campaign_scheme: str
    scheme: str
    outcomes: tuple[Outcome, ...]
    stable: Rate
    references: Mapping[str, float]
    margin: float

    @property
    def error(self) -> LevelError | None:
        """The measured error of the higher level, None where it was not measured."""
        return measured(self.scheme)

    def count(self, verdict: Verdict) -> int:
        """Finds with this verdict."""
        return sum(outcome.verdict == verdict for outcome in self.outcomes)

    @property
    def median_shift(self) -> float | None:
        """Of the formation energies that both levels have, eV/atom."""
        shifts = [outcome.shift for outcome in self.outcomes if outcome.shift is not None]
        return float(np.median(shifts)) if shifts else None


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
    # a level that nobody fitted goes by its own elements
    as_fitted = plan.references == FITTED and references(scheme) is not None
    zero = fitted(scheme, plan.elements) if as_fitted else None
    placed = place(Evaluated.of(rows), scheme, zero)
    failures = {
        row["id"]: f"{row['status']}: {row['message']}" if row["message"] else row["status"]
        for row in rows.select(["id", "status", "message"]).to_pylist()
        if row["status"] != Status.CONVERGED
    }
    outcomes = tuple(_outcome(target, plan, placed, failures) for target in plan.targets)
    decided = [o for o in outcomes if o.verdict != Verdict.PENDING]
    held = sum(o.verdict == Verdict.STABLE for o in decided)
    rate = wilson(held, len(decided))
    return Verification(plan.scheme, scheme, outcomes, rate, placed.references, plan.margin)


def _outcome(target: Target, plan: Plan, placed: Placed, failures: Mapping[str, str]) -> Outcome:
    if target.id in failures:
        return Outcome(target, Verdict.FAILED, failures[target.id])
    converged = {*placed.found.ids, *placed.left_out.ids}
    if target.id not in converged:
        return Outcome(target, Verdict.PENDING, "not evaluated yet")
    row = placed.row_of.get(target.id)
    energy = None if row is None else float(placed.formation_energy_per_atom[row])
    shift = None if energy is None else energy - target.find.formation_energy_per_atom
    verdict, reason = (Verdict.STABLE, "") if row is None else _verdict(row, placed)
    lacking = [key for key in target.competing if key not in converged]
    # what lies above the hull stays there whatever else is evaluated
    if lacking and verdict is Verdict.STABLE:
        formula = dict(zip(plan.crystals.ids, plan.crystals.reduced_formulas, strict=True))
        failed = [key for key in lacking if key in failures]
        key = (failed or lacking)[0]
        reason = f"{formula[key]}, which it competes with: "
        reason += failures.get(key, "not evaluated yet")
        verdict = Verdict.UNDECIDED if failed else Verdict.PENDING
        return Outcome(target, verdict, reason, energy, shift)
    assert row is not None  # its elements converged
    crystal, at = placed.found.relaxed[row], placed.formation_energy_per_atom[[row]]
    own = [
        key
        for t in plan.targets
        if t.find.reduced_formula == target.find.reduced_formula
        for key in (t.id, *t.polymorphs)
    ]
    rest = placed.hull.e_above_hull(crystal.composition, at, without=[own])
    return Outcome(
        target,
        verdict,
        reason=reason,
        formation_energy_per_atom=energy,
        shift=shift,
        e_above_hull=float(placed.e_above_hull[row]),
        distance_to_rest=float(rest[0]),
        space_group=int(space_groups(crystal, RELAXED_SYMPREC)[0]),
    )


def _verdict(row: int, placed: Placed) -> tuple[Verdict, str]:
    """Whether a phase that was compared with all others is stable, and what lies lower if not."""
    if placed.stable[row]:
        return Verdict.STABLE, ""
    crystals = placed.found.relaxed
    (mixture,) = placed.hull.decomposition(placed.hull.phases.composition[[row]])
    shares: dict[str, float] = {}
    for key, share in mixture.items():
        formula = str(crystals.reduced_formulas[placed.row_of[key]])
        shares[formula] = shares.get(formula, 0.0) + share
    own = str(crystals.reduced_formulas[row])
    if set(shares) == {own}:
        (group,) = space_groups(crystals[placed.row_of[next(iter(mixture))]], RELAXED_SYMPREC)
        named = space_group_symbol(int(group)) if group else "no space group"
        lower = 1000 * placed.e_above_hull[row]
        return Verdict.OTHER_STRUCTURE, f"{own} in {named} lies {lower:.1f} meV/atom lower"
    ordered = sorted(shares.items(), key=lambda item: -item[1])
    text = " + ".join(f"{share:.3g} {formula}" for formula, share in ordered)
    return Verdict.ABOVE_HULL, f"above {text}"


LEVELS = ("formation_energy_per_atom", "distance_to_rest", "space_group")
"""What both levels say of a find; the campaign's under names that begin with ``campaign_``."""


def outcome_rows(verification: Verification) -> list[dict[str, Any]]:
    """One row a find, for tables and JSON (eV/atom)."""
    return [
        {
            "reduced_formula": outcome.target.find.reduced_formula,
            "id": outcome.target.id,
            "candidate_id": outcome.target.find.id,
            "verdict": outcome.verdict.value,
            "agrees": outcome.agrees,
            "reason": outcome.reason,
            **{f"campaign_{name}": getattr(outcome.target.find, name) for name in LEVELS},
            **{name: getattr(outcome, name) for name in (*LEVELS, "shift", "e_above_hull")},
        }
        for outcome in verification.outcomes
    ]
