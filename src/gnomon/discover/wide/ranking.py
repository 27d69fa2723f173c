"""From drafts of some compositions to the best candidate of each: networks, hull, odds."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float64

from gnomon.crystals import Crystals
from gnomon.discover.prior import VOLUMES, unbalanced
from gnomon.discover.wide.database import Database
from gnomon.discover.wide.drafts import ALIKE, DRAFTS, best_of_alike, built, firsts_of
from gnomon.hull.convex import Hull
from gnomon.io import from_arrow
from gnomon.io.tables import read_table
from gnomon.models import Predictions
from gnomon.models.bundled import STRUCTURAL
from gnomon.models.structural.augment import predict_augmented
from gnomon.run.passes import counted
from gnomon.structure.hashes import scramble

RANKED = pa.schema(
    [
        *DRAFTS,
        pa.field("reduced_formula", pa.string(), nullable=False),
        pa.field("predicted_formation_energy_per_atom", pa.float64()),  # eV/atom
        pa.field("uncertainty", pa.float64()),  # inter-quartile range, eV/atom
        pa.field("predicted_e_above_hull", pa.float64()),  # of the database, eV/atom
        pa.field("unbalanced", pa.bool_(), nullable=False),
        pa.field("lot", pa.uint64()),  # drawn for the baseline, the lowest first; null: not drawn
    ]
)
"""Columns of ranked candidates."""

NOT_BEST, FAR = "not the best of its composition", "predicted far above the hull"
UNPREDICTED = "no prediction"
"""What is counted."""

WEIGHTS = np.array([0.29, 0.52, -2.72, -0.91, -0.95, -0.18])
"""Of the columns of ``evidence``: the most likely ones on known crystals of formula hashes 60 to
74, from 5,000 parents below 60, rounded (``python benchmarks/prospective.py --fit``)."""

SCALE = 0.1
"""eV/atom: what lies further above the hull, or below it, is equally far."""

CHUNK = 2048
"""Drafts that are built at a time."""


@dataclass(frozen=True)
class Ranker:
    """What drafts are ranked with.

    Attributes:
        database: file of parents and hull.
        scheme: of its energies.
        phases: files of further phases of the hull.
        parents: file of the parents, where they are not the database's.
        structural: network, by name or file.
        look: predicted e_above_hull beyond which the first look, at one volume, ends it, eV/atom.
        threshold: the same of the closer look at several volumes.
        random: compositions of the baseline that are kept of each bucket.
        seed: of the baseline.
    """

    database: str
    scheme: str
    phases: tuple[str, ...] = ()
    parents: str = ""
    structural: str = STRUCTURAL
    look: float = 0.15
    threshold: float = 0.1
    random: int = 0
    seed: int = 0

    @property
    def known(self) -> Known:
        """Parents and hull, read once in a process."""
        return _known(self.database, self.scheme, self.phases, self.parents)

    def predict(self, crystals: Crystals) -> Predictions:
        """Formation energies at the best of several volumes, eV/atom of the database's scheme."""
        return predict_augmented(_network(self.structural), crystals, VOLUMES).predictions


class Known(NamedTuple):
    """What drafts are built from and held against: of a database what a worker needs."""

    parents: Crystals
    hull: Hull


@cache
def _known(path: str, scheme: str, phases: tuple[str, ...], parents: str) -> Known:
    database = Database.read(path, scheme, phases)
    return Known(
        from_arrow(read_table(Path(parents))) if parents else database.crystals, database.hull
    )


@cache
def _network(name: str) -> Any:
    from gnomon.models.ensemble import load_model  # JAX: seconds to import

    return load_model(name)


def ranked(bucket: pa.Table, ranker: Ranker) -> pa.Table:
    """The best candidate of each composition (schema ``RANKED``); of the others, how many and why.

    The baseline of a random draw comes with it: rows with a ``lot``.

    Args:
        bucket: all drafts of some compositions (schema ``DRAFTS``).
        ranker: what they are ranked with.
    """
    tally: Counter[str] = Counter()
    drafts = bucket.replace_schema_metadata(None).combine_chunks()
    once = drafts.take(best_of_alike(drafts)).combine_chunks()
    tally[ALIKE] += len(drafts) - len(once)
    once = _with_lots(once, ranker)
    looked = [_first_look(once.slice(i, CHUNK), ranker, tally) for i in range(0, len(once), CHUNK)]
    near = pa.concat_tables([once.slice(0, 0), *looked]).combine_chunks()
    return counted(_second_look(near, ranker, tally), tally)


def _with_lots(drafts: pa.Table, ranker: Ranker) -> pa.Table:
    """Drafts with the lots of the baseline: of so many compositions, drawn by hash, one each."""
    composition, kind = drafts["composition"].to_numpy(), drafts["kind"].to_numpy()
    seed = scramble(np.array([ranker.seed], np.uint64))
    lot = scramble(composition + seed)
    one = firsts_of((composition,), (scramble(kind + seed),))
    one = one[np.argsort(lot[one], kind="stable")[: ranker.random]]
    left_out = np.ones(len(drafts), bool)
    left_out[one] = False
    return drafts.append_column(RANKED.field("lot"), pa.array(lot, pa.uint64(), mask=left_out))


def _drawn(rows: pa.Table) -> Bool[np.ndarray, " n"]:
    return np.asarray(rows["lot"].is_valid().to_numpy(), bool)


def _first_look(drafts: pa.Table, ranker: Ranker, tally: Counter[str]) -> pa.Table:
    """Energies at the volumes as proposed; what is far above the hull goes, but for the draws."""
    crystals = built(drafts, ranker.known.parents)
    predictions = _network(ranker.structural).predict(crystals)
    there = predictions.predicted
    tally[UNPREDICTED] += int((~there).sum())
    above = np.full(len(drafts), np.inf)
    above[there] = ranker.known.hull.e_above_hull(
        crystals.composition[there], predictions.median[there]
    )
    far = there & (above > ranker.look)
    tally[FAR] += int(far.sum())
    return drafts.filter(pa.array(there & (~far | _drawn(drafts))))


def _second_look(drafts: pa.Table, ranker: Ranker, tally: Counter[str]) -> pa.Table:
    """Energies at the best of several volumes, what formulas alone tell, the best of each."""
    if not len(drafts):
        return RANKED.empty_table()
    parts = []
    for i in range(0, len(drafts), CHUNK):
        part = drafts.slice(i, CHUNK).combine_chunks()
        crystals = built(part, ranker.known.parents)
        parts.append(described(part, crystals, ranker.predict(crystals), ranker.known.hull))
    rows = pa.concat_tables(parts).combine_chunks()
    above = rows["predicted_e_above_hull"].to_numpy()
    near, drawn = np.flatnonzero(above <= ranker.threshold), _drawn(rows)
    tally[FAR] += int(((above > ranker.threshold) & ~drawn).sum())
    candidates = rows.take(near).combine_chunks()
    composition, kind = (candidates[name].to_numpy() for name in ("composition", "kind"))
    best = candidates.take(firsts_of((composition,), (-(evidence(candidates) @ WEIGHTS), kind)))
    tally[NOT_BEST] += len(candidates) - len(best)
    place = RANKED.names.index("lot")
    best = best.set_column(place, RANKED.field("lot"), pa.nulls(len(best), pa.uint64()))
    return pa.concat_tables([best, rows.filter(pa.array(drawn))])


def described(drafts: pa.Table, crystals: Crystals, found: Predictions, hull: Hull) -> pa.Table:
    """Drafts with what is known of them before they are evaluated (schema ``RANKED``).

    Args:
        drafts: n rows.
        crystals: theirs.
        found: predictions of them.
        hull: of the database.
    """
    there = np.flatnonzero(found.predicted)
    above = np.full(len(crystals), np.nan)
    above[there] = hull.e_above_hull(crystals.composition[there], found.median[there])
    columns = {
        "reduced_formula": pa.array(crystals.reduced_formulas, pa.string()),
        "predicted_formation_energy_per_atom": pa.array(found.median, from_pandas=True),
        "uncertainty": pa.array(found.iqr, from_pandas=True),
        "predicted_e_above_hull": pa.array(above, from_pandas=True),
        "unbalanced": pa.array(unbalanced(crystals)),
    }
    given = set(drafts.column_names)
    return pa.table(
        {name: drafts[name] if name in given else columns[name] for name in RANKED.names},
        schema=RANKED,
    )


def evidence(rows: pa.Table) -> Float64[np.ndarray, "n c"]:
    """What speaks for and against each candidate being stable, in the columns of ``WEIGHTS``.

    A generator's score counts where it is a probability, as that of a substitution is.

    Args:
        rows: candidates (schema ``RANKED``).
    """

    def of(name: str, without: float) -> Float64[np.ndarray, " n"]:
        values = rows[name].to_numpy(zero_copy_only=False).astype(np.float64)
        return np.nan_to_num(values, nan=without)

    numbers = rows["atomic_numbers"].to_pylist()
    score = of("score", 1e-3)
    columns = [
        np.log(np.where((score > 0) & (score <= 1), np.maximum(score, 1e-6), 1e-3)),
        np.log1p(of("count", 0.0)),
        [len(set(one)) for one in numbers],
        of("unbalanced", 0.0),
        np.tanh(of("predicted_e_above_hull", 1.0) / SCALE),
        np.log(np.maximum(of("uncertainty", 1.0), 1e-3)),
    ]
    return np.column_stack(columns).astype(np.float64).reshape(len(rows), len(columns))
