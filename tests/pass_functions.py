"""Functions of passes for tests: each engine runs them, in processes of its own."""

import os
import time
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from gnomon.run.passes import Pass, counted

ROWS = pa.schema([("key", pa.string()), ("n", pa.int64()), ("words", pa.list_(pa.string()))])


def table(rows: list[dict[str, object]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=ROWS)


def propose(given: pa.Table) -> pa.Table:
    """Two rows of each, one of them under a neighbour's key; odd numbers are left out."""
    rows = []
    for row in given.to_pylist():
        if row["n"] % 2 == 0:
            rows += [row, row | {"key": (row["key"] or "")[:1], "n": row["n"] + 1}]
    return counted(table(rows), {"odd": len(given) - len(rows) // 2})


def best(given: pa.Table) -> pa.Table:
    """One row of each key: the first in the order that reduce is promised."""
    seen: dict[str | None, list[object]] = {}
    for row in given.to_pylist():
        seen.setdefault(row["key"], []).append([row["n"], row["words"]])
    rows = [
        {"key": key, "n": len(found), "words": [repr(one) for one in found[:3]]}
        for key, found in seen.items()
    ]
    return counted(table(rows), {"not the first": len(given) - len(rows)})


def poisoned(given: pa.Table, how: str = "raise", place: Path | None = None) -> pa.Table:
    """As it is, where no number is 13."""
    if pc.any(pc.equal(given["n"], 13)).as_py():
        if place is not None:  # only the first time
            try:
                place.touch(exist_ok=False)
            except FileExistsError:
                return given
        if how == "raise":
            raise ValueError("thirteen")
        if how == "die":
            os._exit(3)
        time.sleep(600)
    return given


def busily(given: pa.Table, seconds: float = 0.05) -> pa.Table:
    """With so much work for a processor, whatever else the machine does."""
    began = time.process_time()
    while time.process_time() - began < seconds:
        pass
    return propose(given)


def slowly(given: pa.Table, seconds: float = 0.05) -> pa.Table:
    time.sleep(seconds)
    return propose(given)


def given_up(records: pa.Table, reason: str) -> pa.Table:
    """The row of a record that was given up."""
    words = pa.array([[reason]] * len(records), ROWS.field("words").type)
    return records.set_column(2, "words", words)


GROUPED = Pass("grouped", propose, key="key", reduce=best, order=("n",), buckets=5)
ALONE = Pass("alone", propose)


def poison(how: str, place: Path | None = None, step: str = "map") -> Pass:
    function = partial(poisoned, how=how, place=place)
    if step == "map":
        return Pass("poisoned", function, lost=given_up)
    return Pass("poisoned", propose_nothing, "key", function, ("n",), 2, given_up)


def propose_nothing(given: pa.Table) -> pa.Table:
    return given
