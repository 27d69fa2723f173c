"""Evaluations as rows of a table."""

import numpy as np
import pyarrow as pa
from jaxtyping import Shaped

from gnomon.crystals import Crystals
from gnomon.evaluate import Evaluations, Evaluator
from gnomon.io import to_arrow
from gnomon.run.listener import Listener


def rows_of(ids: list[str], part: Evaluations, scheme: str) -> pa.Table:
    """One row for each evaluation: results, and the structure as relaxed.

    Args:
        ids: of the crystals that were evaluated.
        part: their results, in the same order.
        scheme: energy scheme of the evaluator.
    """
    columns = {
        "id": pa.array(ids, pa.string()),
        "relaxed_id": pa.array(part.relaxed.ids, pa.string()),
        "status": pa.array([str(s) for s in part.status], pa.string()),
        "message": pa.array(part.message, pa.string()),
        "energy_per_atom": pa.array(part.energy_per_atom, pa.float64(), from_pandas=True),
        "scheme": pa.array([scheme] * len(ids), pa.string()),
        "steps": pa.array(part.steps, pa.int64()),
        "fmax": pa.array(part.fmax, pa.float64(), from_pandas=True),
        "seconds": pa.array(part.seconds, pa.float64()),
    }
    structure = to_arrow(part.relaxed).drop_columns(["id"])
    for name in structure.column_names:
        columns[name] = structure[name]
    return pa.table(columns)


def evaluation_rows(
    crystals: Crystals, sources: pa.Table, evaluator: Evaluator, listener: Listener
) -> pa.Table:
    """Evaluate crystals and say where each came from (columns source and source_id)."""
    tables, start = [], 0
    for part in evaluator.evaluate(crystals, chunk=16):
        stop = start + len(part.relaxed)
        ids: Shaped[np.ndarray, " k"] = crystals.ids[start:stop]
        tables.append(rows_of(ids.tolist(), part, evaluator.scheme))
        start = stop
        listener.tick("evaluating", start, len(crystals))
    rows = pa.concat_tables(tables)
    for name in ("source_id", "source"):
        rows = rows.add_column(0, name, sources[name])
    return rows
