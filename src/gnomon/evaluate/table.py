"""Evaluations as rows of a table, and as shards of a folder to which the missing ones are added."""

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from jaxtyping import Shaped

from gnomon.crystals import Crystals
from gnomon.evaluate import Evaluations, Evaluator
from gnomon.io import to_arrow
from gnomon.run.deadline import OutOfTimeError
from gnomon.run.listener import Listener
from gnomon.run.store import Store

SHARD = 16
"""Evaluations in a shard: what a kill may cost, unless they take long."""

KEEP_SECONDS = 10.0
"""What has come is kept after this time at the latest."""


@dataclass(frozen=True, eq=False)
class Marks:
    """What rows of evaluations say beside the results.

    Attributes:
        round: of a campaign.
        level: of evaluation: 0 screens, the others decide.
        ids: (n,), of the rows, where they are not those of the crystals.
    """

    round: int = 0
    level: int = 0
    ids: Shaped[np.ndarray, " n"] | None = None


def rows_of(part: Evaluations) -> pa.Table:
    """One row for each evaluation: results, and the structure as relaxed."""
    columns = {
        "id": pa.array(part.ids, pa.string()),
        "relaxed_id": pa.array(part.relaxed.ids, pa.string()),
        "status": pa.array([str(s) for s in part.status], pa.string()),
        "message": pa.array(part.message, pa.string()),
        "energy_per_atom": pa.array(part.energy_per_atom, pa.float64(), from_pandas=True),
        "scheme": pa.array([part.scheme] * len(part), pa.string()),
        "steps": pa.array(part.steps, pa.int64()),
        "fmax": pa.array(part.fmax, pa.float64(), from_pandas=True),
        "seconds": pa.array(part.seconds, pa.float64()),
    }
    structure = to_arrow(part.relaxed).drop_columns(["id"])
    for name in structure.column_names:
        columns[name] = structure[name]
    return pa.table(columns)


def rows_with_forces(part: Evaluations) -> pa.Table:
    """``rows_of``, with forces (eV/Å, 3 numbers an atom) and stress (eV/Å3, 9 numbers)."""
    each = np.split(part.forces.ravel(), 3 * part.relaxed.offsets[1:-1]) if len(part) else []
    stress = list(part.stress.reshape(-1, 9))
    rows = rows_of(part).append_column("forces", pa.array(each, pa.list_(pa.float64())))
    return rows.append_column("stress", pa.array(stress, pa.list_(pa.float64(), 9)))


def evaluate_all(
    crystals: Crystals, evaluator: Evaluator, listener: Listener, what: str = "evaluating"
) -> Evaluations:
    """Evaluate all crystals; ``listener`` hears of progress under the name ``what``."""
    parts, came = [Evaluations.of([], crystals.ids[:0], evaluator.scheme)], 0
    listener.tick(what, came, len(crystals))  # or a log goes on with what was done before
    for part in evaluator.evaluate(crystals):
        parts.append(part)
        came += len(part)
        listener.tick(what, came, len(crystals))
    return Evaluations.concatenate(parts)


def evaluation_rows(
    crystals: Crystals,
    sources: pa.Table,
    evaluator: Evaluator,
    listener: Listener,
    *,
    forces: bool = False,
) -> pa.Table:
    """Evaluate crystals; say where each came from, and what its reader doubts (``warnings``).

    With ``forces`` also their columns.
    """
    found = evaluate_all(crystals, evaluator, listener)
    rows = rows_with_forces(found) if forces else rows_of(found)
    for name in ("warnings", "source_id", "source"):
        rows = rows.add_column(0, name, sources[name])
    return rows


def evaluate_missing(
    crystals: Crystals,
    done: Collection[str],
    evaluator: Evaluator,
    store: Store,
    marks: Marks,
    listener: Listener,
    what: str = "evaluating",
) -> Iterator[Evaluations]:
    """Evaluate the crystals without a result, shard by shard; yield each shard once it is kept.

    A shard holds ``SHARD`` rows, or what has come in ``KEEP_SECONDS``, or before the end was
    called for.  Who stops taking shards ends the evaluation.

    Args:
        crystals: all of them, with a result or not.
        done: ids of those that have one.
        evaluator: of the others.
        store: its table ``evaluations`` takes the rows.
        marks: of the rows.
        listener: hears of progress.
        what: this is, for the listener.

    Raises:
        StoreError: if the folder cannot be written.
    """
    known, names = set(done), crystals.ids if marks.ids is None else marks.ids
    missing = np.array([key not in known for key in names], dtype=bool)
    left, names = crystals[missing], names[missing]
    total, came, begun = len(crystals), len(crystals) - len(left), 0

    def keep(parts: list[Evaluations]) -> Evaluations:
        shard = Evaluations.concatenate(parts)
        rows = rows_of(shard)
        levels = pa.array([marks.level] * len(rows), pa.int64())
        store.append("evaluations", marks.round, rows.append_column("level", levels))
        return shard

    listener.tick(what, came, total)
    waiting: list[Evaluations] = []
    kept = time.monotonic()
    try:
        for part in evaluator.evaluate(left) if len(left) else ():
            waiting.append(replace(part, ids=names[begun : begun + len(part)]))
            came, begun = came + len(part), begun + len(part)
            listener.tick(what, came, total)
            full = sum(map(len, waiting)) >= SHARD or came == total
            if full or time.monotonic() - kept > KEEP_SECONDS:
                shard, waiting = keep(waiting), []
                yield shard
                kept = time.monotonic()
    except (OutOfTimeError, KeyboardInterrupt):
        if waiting:
            keep(waiting)
        raise
