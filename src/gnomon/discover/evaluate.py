"""Stage three of a round: the evaluator relaxes what was selected, shard by shard."""

from __future__ import annotations

import time

import pyarrow as pa
import pyarrow.compute as pc

from gnomon.discover.folder import place
from gnomon.discover.settings import CampaignConfig
from gnomon.evaluate import Evaluator, Status
from gnomon.evaluate.table import rows_of
from gnomon.io import from_arrow
from gnomon.run.listener import Listener
from gnomon.run.store import Store

SHARD = 16
"""Evaluations in a shard: what a kill may cost."""


def selected(store: Store, number: int) -> pa.Table:
    """Rows of the candidates selected in a round, in the order of the screening."""
    chosen = store.table("screening", number)
    chosen = chosen.filter(pc.is_valid(chosen["selection"]))["id"].to_pylist()
    crystals = store.table("crystals")
    position = {key: i for i, key in enumerate(crystals["id"].to_pylist())}
    return crystals.take(pa.array([position[key] for key in chosen], pa.int64()))


def verify(
    number: int,
    store: Store,
    evaluator: Evaluator,
    selected: pa.Table,
    listener: Listener,
    deadline: float,
) -> bool:
    """Evaluate what this round has not evaluated yet; False if time ran out before the end."""
    done = store.table("evaluations", number)["id"]
    left = selected.filter(pc.invert(pc.is_in(selected["id"], done)))
    crystals, ids = from_arrow(left), left["id"].to_pylist()
    total, start = len(selected), 0
    listener.tick(f"round {number}: evaluating", total - len(ids), total)
    results = evaluator.evaluate(crystals, chunk=SHARD)
    for part in results:
        stop = start + len(part.relaxed)
        store.append("evaluations", number, rows_of(ids[start:stop], part, evaluator.scheme))
        start = stop
        listener.tick(f"round {number}: evaluating", total - len(ids) + start, total)
        if time.monotonic() > deadline and start < len(ids):
            return False
    store.finish(number, "evaluate", {"evaluated": total})
    return True


def summarise(number: int, config: CampaignConfig, store: Store) -> str:
    """One line on what the round brought."""
    placed = place(store, config.system)
    statuses = store.table("evaluations", number)["status"].to_pylist()
    finds = placed.found.relaxed[placed.stable & placed.compound]
    names = ", ".join(sorted(set(finds.reduced_formulas))) or "no compound"
    converged = statuses.count(Status.CONVERGED)
    return f"round {number}: {converged} of {len(statuses)} converged; on the hull: {names}"
