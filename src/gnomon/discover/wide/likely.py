"""Compositions that a campaign without a system makes crystals of: those that the network of
formulas holds likeliest to be stable, of chemical systems that are gone through or drawn.

A system's compositions are those whose oxidation states can balance
(``gnomon.generate.compositions``).  The network says how far off it expects to be, and
compositions are ranked by the chance that a normal error of that size leaves them at or below the
database's hull: by the energy alone it asks for what it knows least.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from math import comb
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Integer
from scipy.special import log_ndtr

from gnomon.discover.wide.drafts import contained, known_keys
from gnomon.discover.wide.filters import Filter, parse_within
from gnomon.discover.wide.ranking import Ranker
from gnomon.elements import atomic_number
from gnomon.generate.compositions.generator import CompositionGenerator, coprime_compositions
from gnomon.models.bundled import COMPOSITION
from gnomon.represent.formulas import Formulas
from gnomon.run.passes import counted
from gnomon.structure.hashes import composition_hashes

SYSTEMS = pa.schema([pa.field("elements", pa.list_(pa.uint8()), nullable=False)])
"""Columns of chemical systems: rising atomic numbers."""

LIKELY = pa.schema(
    [
        pa.field("composition", pa.uint64(), nullable=False),  # key of the reduced composition
        pa.field("reduced_formula", pa.string(), nullable=False),
        pa.field("predicted_e_above_hull", pa.float64(), nullable=False),  # of the database, eV
        pa.field("uncertainty", pa.float64(), nullable=False),  # standard deviation, eV/atom
        pa.field("log_chance", pa.float64(), nullable=False),  # of lying at or below the hull
    ]
)
"""Columns of likely compositions."""

LOOKED, NEAR = "compositions looked at", "compositions predicted near the hull"
"""What is counted."""

SHARD = 256
"""Systems in a shard of work: some 10,000 compositions."""


@dataclass(frozen=True)
class Asked:
    """What compositions are looked for.

    Attributes:
        filter: elements, how many of them, chemistry.
        max_atoms: in the reduced formula.
        known: file of the keys of compositions that are not new, rising (``numpy.save``).
        ranker: with the database's hull, and how far above it is near.
        most: compositions that are kept.
    """

    filter: Filter
    max_atoms: int
    known: str
    ranker: Ranker
    most: int


def systems(wanted: Filter, most: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
    """Chemical systems that are asked for, as rising atomic numbers.

    >>> rng = np.random.default_rng(0)
    >>> systems(Filter(("Li", "O", "F", "Na"), within=("Li-*-O",)), 10, rng)
    [(3, 8, 9), (3, 8, 11)]
    >>> len(systems(Filter(("Li", "O", "F", "Na"), 2, 3), 3, rng))
    6

    Args:
        wanted: elements, how many of them, chemistry.
        most: systems of each number of elements, or of each chemistry with wildcards; of more
            so many are drawn.
        rng: draws them.
    """
    elements = tuple(sorted(map(atomic_number, wanted.elements)))
    sizes = range(max(wanted.fewest, 2), min(wanted.most, len(elements)) + 1)
    kinds = [(n, ()) for n in sizes] if not wanted.within else map(parse_within, wanted.within)
    found: set[tuple[int, ...]] = set()
    for size, named in kinds:
        if size in sizes and set(named) <= set(elements):
            others = tuple(z for z in elements if z not in named)
            free = size - len(named)
            found.update(tuple(sorted(named + one)) for one in _sets(others, free, most, rng))
    return sorted(found)


def _sets(
    elements: tuple[int, ...], size: int, most: int, rng: np.random.Generator
) -> Iterator[tuple[int, ...]]:
    """Sets of so many elements: all of them, or ``most`` different ones that are drawn."""
    if comb(len(elements), size) <= most:
        yield from combinations(elements, size)
        return
    drawn: dict[tuple[int, ...], None] = {}
    while len(drawn) < most:
        several = np.sort(rng.random((most, len(elements))).argsort(axis=1)[:, :size], axis=1)
        drawn |= dict.fromkeys(map(tuple, np.array(elements)[several].tolist()))
    yield from list(drawn)[:most]


def shards_of(every: list[tuple[int, ...]]) -> Iterator[pa.Table]:
    """Shards of systems."""
    for start in range(0, max(len(every), 1), SHARD):
        yield pa.table({"elements": every[start : start + SHARD]}, schema=SYSTEMS)


def likely(shard: pa.Table, asked: Asked) -> pa.Table:
    """The likeliest new compositions of a shard of systems (schema ``LIKELY``)."""
    found = compositions(shard["elements"].to_pylist(), asked.max_atoms)
    keys = composition_hashes(found.atomic_numbers, found.counts)
    new = np.flatnonzero(~contained(known_keys(asked.known), keys))
    found, keys = found.take(new), keys[new]
    told = _network().predict_formulas(found, np.full(len(found), "", object))
    there = np.flatnonzero(told.predicted)
    atoms = found.counts.sum(axis=1, keepdims=True)
    above, hull = np.full(len(found), np.inf), asked.ranker.known.hull
    if len(there):
        amounts = (found.by_element * atoms)[there]
        above[there] = hull.e_above_hull(amounts, told.median[there])
    chance = np.full(len(found), -np.inf)
    chance[there] = log_ndtr(-above[there] / told.combined[there])
    near = np.flatnonzero(above <= asked.ranker.threshold)
    best = near[np.lexsort((keys[near], -chance[near]))[: asked.most]]
    columns = {
        "composition": keys[best],
        "reduced_formula": pa.array(found.take(best).reduced_formulas, pa.string()),
        "predicted_e_above_hull": above[best],
        "uncertainty": told.combined[best],
        "log_chance": chance[best],
    }
    return counted(pa.table(columns, schema=LIKELY), {LOOKED: len(found), NEAR: len(near)})


def likeliest(tables: Iterator[pa.Table], most: int) -> pa.Table:
    """The first of all by their chance."""
    rows = pa.concat_tables([LIKELY.empty_table(), *tables]).combine_chunks()
    order = np.lexsort((rows["composition"].to_numpy(), -rows["log_chance"].to_numpy()))
    return rows.take(order[:most]).combine_chunks()


def compositions(every: Sequence[Sequence[int]], max_atoms: int) -> Formulas:
    """All compositions of some chemical systems whose oxidation states can balance.

    Args:
        every: rising atomic numbers of each system.
        max_atoms: in the reduced formula.
    """
    allowed = CompositionGenerator((), max_atoms=max_atoms).allowed
    width = max(map(len, every), default=1)
    numbers, counts = [np.zeros((0, width), np.uint8)], [np.zeros((0, width), np.int64)]
    for system in every:
        amounts = coprime_compositions(len(system), max_atoms)
        own = amounts[allowed(system, amounts)]
        counts.append(_padded(own, width))
        numbers.append(_padded(np.tile(np.array(system, np.uint8), (len(own), 1)), width))
    return Formulas(np.concatenate(numbers), np.concatenate(counts))


def _padded(rows: Integer[np.ndarray, "k n"], width: int) -> Integer[np.ndarray, "k w"]:
    return np.pad(rows, ((0, 0), (0, width - rows.shape[1])))


@cache
def _network() -> Any:
    from gnomon.models.ensemble import load_model  # JAX: seconds to import

    return load_model(COMPOSITION)
