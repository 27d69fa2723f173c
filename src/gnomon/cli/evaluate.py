"""`gnomon evaluate`: crystals relaxed, and their energies."""

from __future__ import annotations

from collections import Counter

from gnomon.cli.options import Output
from gnomon.cli.shared import Evaluator, NewTable, Strict, Structures, read_crystals
from gnomon.dynamics.settings import RelaxConfig
from gnomon.evaluate.registry import make_evaluator
from gnomon.evaluate.table import evaluation_rows
from gnomon.io.tables import write_table
from gnomon.run.listener import Listener


def evaluate(
    structures: Structures,
    evaluator: Evaluator,
    relax: RelaxConfig,
    listener: Listener,
    *,
    out: NewTable,
    strict: Strict = False,
    forces: bool = False,
) -> Output:
    """Relax crystals with a potential or an ASE calculator; every failure is a row with a status.

    Args:
        out: Parquet of relaxed crystals and results.
        forces: also write columns of forces and stress.

    Example: gnomon evaluate *.cif --out relaxed.parquet
    """
    verifier = make_evaluator(evaluator, relax, listener)
    found = read_crystals(structures, strict)
    rows = evaluation_rows(found.crystals, found.rows, verifier, listener, forces=forces)
    write_table(out, rows)
    counts = Counter(rows["status"].to_pylist())
    return Output(
        {"scheme": verifier.scheme, "statuses": dict(counts), "out": str(out)},
        ([{"status": status, "crystals": n} for status, n in sorted(counts.items())],),
        said=(f"scheme: {verifier.scheme}; results: {out}",),
    )
