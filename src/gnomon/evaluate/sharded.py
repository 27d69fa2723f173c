"""Evaluations in shards of work, by any engine of passes: processes, job arrays, Beam's workers.

A shard is evaluated by one worker, with an evaluator that it makes once.  A worker that dies or
hangs on a crystal costs that crystal a status.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gnomon.crystals import Crystals
from gnomon.dynamics.result import Relaxation
from gnomon.dynamics.settings import RelaxConfig
from gnomon.evaluate import Evaluations, Evaluator, Status
from gnomon.evaluate.registry import EvaluatorConfig, make_evaluator
from gnomon.evaluate.table import SHARD, evaluate_all, rows_with_forces
from gnomon.io import from_arrow, to_arrow
from gnomon.run.files import remove
from gnomon.run.listener import SILENT, Listener
from gnomon.run.passes import Engine, Pass, Shards, run
from gnomon.run.passes.shards import LIST


@dataclass(frozen=True)
class Sharded:
    """An evaluator whose work is divided.

    Attributes:
        config: of the evaluator that each worker makes.
        relax: how it relaxes.
        scheme: energy scheme of its energies.
        engine: what gets the shards done.
        folder: where they lie meanwhile; what is there is not evaluated again.
        listener: hears of progress.
    """

    config: EvaluatorConfig
    relax: RelaxConfig
    scheme: str
    engine: Engine
    folder: Path
    listener: Listener = SILENT

    def evaluate(self, crystals: Crystals) -> Iterator[Evaluations]:
        """Yield results in the order of the crystals, when all of them are there."""
        if not len(crystals):
            return
        tables = [shards.table() for shards in self._finished()]
        known = {key for rows in tables for key in rows["id"].to_pylist()}
        left = crystals[np.array([key not in known for key in crystals.ids], dtype=bool)]
        if len(left):
            tables.append(self._run(left).table())
        every = pa.concat_tables(tables)
        rows = every.take(pc.index_in(pa.array(crystals.ids, pa.string()), every["id"]))
        for i in range(0, len(rows), SHARD):
            yield evaluations_of(rows.slice(i, SHARD), self.scheme)
        remove(self._home)  # whoever took them has kept them

    @property
    def _home(self) -> Path:
        """Where the shards of this scheme lie."""
        return self.folder / hashlib.sha256(self.scheme.encode()).hexdigest()[:16]

    def _finished(self) -> Iterator[Shards]:
        """What was evaluated, and not taken before a kill."""
        for path in sorted(self._home.glob(f"*/out/{LIST}")):
            yield Shards.open(path.parent)

    def _run(self, crystals: Crystals) -> Shards:
        place = self._home / hashlib.sha256(" ".join(crystals.ids).encode()).hexdigest()[:16]
        rows = to_arrow(crystals)
        starts = range(0, len(rows), SHARD)
        shards = Shards.write(place / "in", (rows.slice(start, SHARD) for start in starts))
        one = self.config.model_copy(update={"workers": 1})  # a worker is one process
        config = one.model_dump_json(include={*EvaluatorConfig.model_fields})
        of = Pass(
            "evaluate",
            partial(evaluated, config=config, relax=self.relax.model_dump_json()),
            lost=partial(given_up, scheme=self.scheme),
        )
        return run(of, shards, place / "out", self.engine, self.listener)


def evaluated(crystals: pa.Table, config: str, relax: str) -> pa.Table:
    """Evaluate the crystals of a shard: ``rows_with_forces``.

    Args:
        crystals: with the columns of a geometry.
        config: ``EvaluatorConfig`` as JSON.
        relax: ``RelaxConfig`` as JSON.
    """
    return rows_with_forces(evaluate_all(from_arrow(crystals), _made(config, relax), SILENT))


def given_up(crystals: pa.Table, reason: str, scheme: str) -> pa.Table:
    """The rows of crystals on which a worker died or hung."""
    given = from_arrow(crystals)
    status = Status.TIMEOUT if "without an answer" in reason else Status.EXPLODED
    ended = [Relaxation(crystal, status, reason) for crystal in given]
    return rows_with_forces(Evaluations.of(ended, given.ids, scheme))


def evaluations_of(rows: pa.Table, scheme: str) -> Evaluations:
    """What rows of ``evaluated`` say."""
    columns = {
        name: rows[name].to_numpy(zero_copy_only=False)
        for name in ("energy_per_atom", "steps", "fmax", "seconds")
    }
    flat = pc.list_flatten
    return Evaluations(
        scheme=scheme,
        ids=np.array(rows["id"].to_pylist(), dtype=object),
        relaxed=from_arrow(rows),
        status=np.array(rows["status"].to_pylist(), dtype=object),
        message=np.array(rows["message"].to_pylist(), dtype=object),
        forces=flat(rows["forces"]).to_numpy(zero_copy_only=False).reshape(-1, 3),
        stress=flat(rows["stress"]).to_numpy(zero_copy_only=False).reshape(-1, 3, 3),
        **columns,
    )


@cache
def _made(config: str, relax: str) -> Evaluator:
    """The evaluator of this process."""
    return make_evaluator(
        EvaluatorConfig.model_validate_json(config), RelaxConfig.model_validate_json(relax)
    )
