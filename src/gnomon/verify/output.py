"""The files of a verification: verification.json for programs, verification.parquet for tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from gnomon.run.stamp import stamp
from gnomon.run.store import Store
from gnomon.run.writing import StoreError
from gnomon.verify.verdicts import Verdict, Verification, outcome_rows

SAID = "verification.json"

ENERGIES = ("formation_energy_per_atom", "distance_to_rest", "shift", "e_above_hull")

OUTCOMES = pa.schema(
    [(name, pa.string()) for name in ("reduced_formula", "id", "candidate_id", "verdict", "reason")]
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
    """A verification of a campaign, as its files say: verdicts by the id of the candidate."""

    scheme: str
    verdicts: dict[str, str]


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
            found.append(Level(said["scheme"], verdicts))
        except (LookupError, TypeError) as error:
            raise StoreError(
                f"{level.root / SAID} is damaged ({error}): run `gnomon verify` again"
            ) from error
    return tuple(found)


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
    return text
