"""Running a verification: evaluate what its folder lacks, one shard after the other.

    campaign/verification/gpaw-1a2b3c4d/  evaluations/...  verification.json  verification.parquet

The folder is named after the evaluator and its energy scheme, so verifications at several levels
lie side by side.  Like that of a campaign it is the state: the same command goes on after a kill,
and does again nothing that is there.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gnomon.evaluate import Evaluations, Evaluator, Status
from gnomon.evaluate.table import Marks, evaluate_missing, rows_of
from gnomon.run.listener import Listener
from gnomon.run.store import Store
from gnomon.verify.elements import ElementCache
from gnomon.verify.plan import Plan


def folder_of(campaign: Store, engine: str, scheme: str) -> Path:
    """Where the verification of a campaign by an engine, in its energy scheme, lies."""
    readable = re.sub(r"[^A-Za-z0-9.]+", "-", engine.removeprefix("ase:")).strip("-")[-40:]
    short = hashlib.sha256(scheme.encode()).hexdigest()[:8]
    return campaign.root / "verification" / f"{readable}-{short}"


def evaluate_plan(
    plan: Plan,
    evaluator: Evaluator,
    store: Store,
    cache: Path,
    listener: Listener,
    *,
    again: bool = False,
) -> pa.Table:
    """Evaluate the crystals of a plan that have no result yet; the results of all of them.

    Args:
        plan: what to evaluate.
        evaluator: of the higher level.
        store: the folder of the verification.
        cache: folder of the elements' energies in all schemes.
        listener: hears of progress.
        again: also evaluate once more what did not converge; the later result counts.

    Raises:
        StoreError: if the folder is in use, cannot be written or is damaged.
    """
    elements = ElementCache(cache, evaluator.scheme)
    with store.locked(listener):
        _take_over(plan, store, elements.rows())
        done = _done(results(plan, store), again)
        total, came = len(plan.crystals), len(done)
        for part in evaluate_missing(
            plan.crystals, done, evaluator, store, Marks(), listener, "verifying"
        ):
            rows = rows_of(part)
            elements.add(rows.filter(pc.is_in(rows["id"], pa.array(_element_ids(plan)))))
            for row in range(len(part)):
                listener.say(f"{came + row + 1} of {total}: {_told(part, row)}")
            came += len(part)
        return results(plan, store)


def _told(part: Evaluations, row: int) -> str:
    """One line on one evaluation."""
    formula, status = part.relaxed.reduced_formulas[row], part.status[row]
    energy = part.energy_per_atom[row]
    what = f"{energy:.4f} eV/atom" if np.isfinite(energy) else part.message[row]
    return f"{formula}: {status}, {what}, {part.seconds[row]:.0f} s"


def results(plan: Plan, store: Store) -> pa.Table:
    """The last evaluation of each crystal of the plan that has one."""
    rows = store.table("evaluations")
    wanted = pc.is_in(rows["id"], pa.array(plan.crystals.ids.tolist(), pa.string()))
    rows = rows.filter(wanted)
    last = {key: i for i, key in enumerate(rows["id"].to_pylist())}
    return rows.take(pa.array(sorted(last.values()), pa.int64()))


def _element_ids(plan: Plan) -> list[str]:
    return [key for structures in plan.elements.values() for key in structures]


def _take_over(plan: Plan, store: Store, kept: pa.Table) -> None:
    """Enter the elements that an earlier verification evaluated as if they had been done here."""
    wanted = pc.is_in(kept["id"], pa.array(_element_ids(plan), pa.string()))
    there = pc.is_in(kept["id"], store.table("evaluations")["id"])
    new = kept.filter(pc.and_(wanted, pc.invert(there)))
    if len(new):
        store.append("evaluations", 0, new)


def _done(rows: pa.Table, again: bool) -> list[str]:
    """Ids of those with a result, or with ``again`` with a converged one."""
    if again:
        rows = rows.filter(pc.equal(rows["status"], Status.CONVERGED.value))
    found: list[str] = rows["id"].to_pylist()
    return found
