"""The files of a verification: verification.json for programs, verification.parquet for tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from gnomon.evaluate.by_name import related
from gnomon.evaluate.measured import measured
from gnomon.evaluate.scheme import short_name
from gnomon.run.stamp import stamp
from gnomon.run.store import Store
from gnomon.run.writing import StoreError
from gnomon.verify.verdicts import UNSETTLED, Verdict, Verification, outcome_rows

SAID = "verification.json"

ENERGIES = ("formation_energy_per_atom", "distance_to_rest", "shift", "e_above_hull")

OUTCOMES = pa.schema(
    [(name, pa.string()) for name in ("reduced_formula", "id", "candidate_id", "verdict")]
    + [("agrees", pa.bool_()), ("reason", pa.string())]
    + [(f"campaign_{name}", pa.float64()) for name in ENERGIES[:2]]
    + [(name, pa.float64()) for name in ENERGIES]
    + [("campaign_space_group", pa.int64()), ("space_group", pa.int64())]
)
"""Columns of verification.parquet: one row a find; energies in eV/atom.

``id`` is that of the crystal that was evaluated, ``candidate_id`` that of the campaign's candidate.
"""


def facts(verification: Verification) -> dict[str, Any]:
    """All that a verification says, as JSON."""
    rate = verification.stable
    return {
        "campaign_scheme": verification.campaign_scheme,
        "scheme": verification.scheme,
        "stable": {"k": rate.k, "n": rate.n, "low": rate.low, "high": rate.high},
        "verdicts": {verdict.value: verification.count(verdict) for verdict in Verdict},
        "median_shift": verification.median_shift,
        "margin": verification.margin,
        "error": verification.error and verification.error.mean_absolute_error,
        "shares_labels_of": related(verification.campaign_scheme, verification.scheme),
        "references": dict(verification.references),
        "finds": outcome_rows(verification),
        **stamp(),
    }


def write_verification(verification: Verification, store: Store) -> None:
    """Both files, each whole or not at all.

    Raises:
        StoreError: if the folder cannot be written.
    """
    table = pa.Table.from_pylist(outcome_rows(verification), schema=OUTCOMES)
    with store.locked():
        store.write_facts(SAID, facts(verification))
        store.write_table("verification.parquet", table)


@dataclass(frozen=True)
class Level:
    """A verification of a campaign, as its files say.

    Attributes:
        scheme: of the level.
        verdicts: by the id of the candidate.
        distances: eV/atom to the hull of the other phases at the level, by the same; None where
            there is none.
        margin: eV/atom above the campaign's hull up to which everything was to compete; None in
            files of before it was written.
        shared: the level whose labels it and the campaign's potential learned; empty if none.
    """

    scheme: str
    verdicts: dict[str, str]
    distances: dict[str, float | None]
    margin: float | None
    shared: str = ""

    @property
    def name(self) -> str:
        """For people, with a word where the level is not independent of the campaign's."""
        return short_name(self.scheme) + (" (not independent)" if self.shared else "")

    def said(self, key: str) -> str:
        """The verdict on a find in words, with distance, error and margin; empty without one."""
        if key not in self.verdicts:
            return ""
        text = self.verdicts[key].replace("_", " ")
        if (distance := self.distances.get(key)) is not None:
            text += f", {1000 * distance:.1f}"
            if (error := measured(self.scheme)) is not None:
                text += f" ± {1000 * error.mean_absolute_error:.0f}"
            text += " meV/atom"
        return text + (f", margin {1000 * self.margin:.0f}" if self.margin is not None else "")

    def agrees(self, key: str) -> str:
        """``agrees`` or ``disagrees`` with the campaign that a find is stable, or why neither."""
        verdict = self.verdicts[key]
        if verdict in UNSETTLED:
            return verdict
        return "agrees" if verdict == Verdict.STABLE else "disagrees"


def levels(campaign: Store) -> tuple[Level, ...]:
    """The verifications in a campaign's folder.

    Raises:
        StoreError: if a file is damaged.
    """
    found = []
    for level in (level for level in campaign.inner if level.has(SAID)):
        said = level.facts(SAID)
        try:
            verdicts = {find["candidate_id"]: find["verdict"] for find in said["finds"]}
            distances = {find["candidate_id"]: _distance(find) for find in said["finds"]}
            shared = said.get("shares_labels_of", "")
            found.append(Level(said["scheme"], verdicts, distances, said.get("margin"), shared))
        except (LookupError, TypeError) as error:
            raise StoreError(
                f"{level.root / SAID} is damaged ({error}): run `gnomon verify` again"
            ) from error
    return tuple(found)


def _distance(find: Mapping[str, Any]) -> float | None:
    """Of a stable find to the rest, of others to the hull; None in files that say neither."""
    name = "distance_to_rest" if find["verdict"] == Verdict.STABLE else "e_above_hull"
    found = find.get(name)
    return None if found is None else float(found)


def sentence(verification: Verification) -> str:
    """The result in a line."""
    rate = verification.stable
    text = f"{rate.k} of {rate.n} finds stay stable"
    if rate.n:
        text += f" (95 % interval {100 * rate.low:.0f} to {100 * rate.high:.0f} %)"
    failed = verification.count(Verdict.FAILED) + verification.count(Verdict.UNDECIDED)
    if failed:
        text += f", {failed} of the {rate.n} without a verdict, counted as not stable"
    if waiting := verification.count(Verdict.PENDING):
        text += f"; {waiting} not evaluated yet"
    if (shift := verification.median_shift) is not None:
        text += f"; median shift of the formation energy {1000 * shift:+.1f} meV/atom"
    text += f"; competed: all within {1000 * verification.margin:.0f} meV/atom of the hull"
    if (error := verification.error) is not None:
        text += f"; the level errs by {1000 * error.mean_absolute_error:.0f} meV/atom"
    return text
