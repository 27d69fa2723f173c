"""Properties: crystals in, a table out, with a value, an uncertainty, a level and a status a row.

A property is computed by an evaluator, by a network, or from the tables of other properties.  What
cannot be answered is a row with a sentence for a status, and stops no other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
from jaxtyping import Float64, Shaped

from gnomon.crystals import Crystals
from gnomon.evaluate import Evaluations, Status
from gnomon.io.tables import OK

__all__ = ["Property", "answered", "answers", "reason"]


VALUES = ("value", "uncertainty")
"""Columns that go with the status ``ok``."""


@runtime_checkable
class Property(Protocol):
    """Anything that says one thing about crystals."""

    @property
    def schema(self) -> pa.Schema:
        """Columns of its table: those of ``gnomon.io.tables.value_schema``, and its own."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of the properties whose tables it is given."""

    def compute(self, crystals: Crystals, known: Mapping[str, pa.Table]) -> pa.Table:
        """One row a crystal, in their order.

        Args:
            crystals: n different ones.
            known: the tables of the properties that it needs, of the same crystals in this order.
        """


def answers(
    schema: pa.Schema,
    ids: Shaped[np.ndarray, " n"],
    level: str,
    statuses: Sequence[str],
    **columns: Sequence[Any] | Float64[np.ndarray, " n"],
) -> pa.Table:
    """The table of a property; rows that are not ``ok`` have neither value nor uncertainty.

    >>> from gnomon.io.tables import value_schema
    >>> gap = value_schema("band gap", "eV")
    >>> ids, statuses = np.array(["a", "b"]), ["ok", "no SCF"]
    >>> answers(gap, ids, "PBE", statuses, value=[1.1, 0.2])["value"].to_pylist()
    [1.1, None]

    Args:
        schema: its columns.
        ids: (n,), of the crystals.
        level: what gave the values.
        statuses: ``ok``, or why there is no value.
        columns: (n,) values of columns; NaN, None and a column that is not given are nulls.
    """
    there = [status == OK for status in statuses]
    data: dict[str, Any] = {"id": list(ids), "level": [level] * len(there), "status": statuses}
    for name, values in columns.items():
        data[name] = [
            None if _is_nan(value) or (name in VALUES and not ok) else value
            for ok, value in zip(there, values, strict=True)
        ]
    empty = [None] * len(there)
    return pa.table({f.name: pa.array(data.get(f.name, empty), f.type) for f in schema}, schema)


def answered(
    schema: pa.Schema,
    ids: Shaped[np.ndarray, " n"],
    level: str,
    rows: Sequence[Mapping[str, Any]],
) -> pa.Table:
    """The same from rows, one a crystal, each with its status and what columns it has."""
    names = [name for name in schema.names if name not in ("id", "level", "status")]
    columns = {name: [row.get(name) for row in rows] for name in names}
    return answers(schema, ids, level, [row["status"] for row in rows], **columns)


def reason(found: Evaluations, i: int) -> str:
    """Why an evaluation came to no minimum, or ``ok``."""
    if found.status[i] == Status.CONVERGED.value:
        return OK
    return str(found.message[i] or found.status[i])


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and bool(np.isnan(value))
