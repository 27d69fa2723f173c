"""From shards of parents to drafts of candidates: what is proposed, and what is sane and new.

A draft of a substitution is a candidate in a few bytes, the parent's cell with other elements and
all lengths times a factor; those of other generators bring their cells.  Only what comes through is
built (``built``); the rest is counted by reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import chain

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float64, Int64, Shaped, UInt64

from gnomon.chemistry.sanity import SanityConfig, insane
from gnomon.crystals import Crystals
from gnomon.discover.wide.database import composition_keys
from gnomon.discover.wide.filters import Filter
from gnomon.elements import COVALENT_RADII, SYMBOLS, present
from gnomon.generate import Candidates, Generator
from gnomon.generate.prototypes.learning import RELAXED
from gnomon.generate.prototypes.occurrence import MAX_SPECIES, Occurrence
from gnomon.generate.registry import GENERATORS, GeneratorSettings
from gnomon.generate.substitution.generator import Family, SubstitutionGenerator
from gnomon.io import from_arrow
from gnomon.ragged import ragged_take
from gnomon.run.passes import counted
from gnomon.structure.hashes import composition_hashes
from gnomon.structure.labels import prototype_label
from gnomon.structure.neighbors import neighbors
from gnomon.structure.protostructures import protostructure

ROW = pa.field("row", pa.int32(), nullable=False)
"""Of a parent in the table of all parents."""

DRAFTS = pa.schema(
    [
        pa.field("composition", pa.uint64(), nullable=False),  # key of the reduced composition
        pa.field("kind", pa.uint64(), nullable=False),  # key of the protostructure
        pa.field("parent", pa.int32(), nullable=False),  # row of the parent
        pa.field("generator", pa.string(), nullable=False),
        pa.field("atomic_numbers", pa.list_(pa.uint8()), nullable=False),
        pa.field("scale", pa.float64()),  # of the parent's lengths; null: a cell of its own
        pa.field("lattice", pa.list_(pa.float64())),  # Å, 9 numbers, unless it is the parent's
        pa.field("frac_coords", pa.list_(pa.float64())),  # 3 an atom, unless the parent's
        pa.field("score", pa.float64()),  # the generator's, higher is better
        pa.field("change", pa.string()),  # for people, where it is not read off the parent
        pa.field("count", pa.float64(), nullable=False),  # prototype in known, like crystals
    ]
)
"""Columns of drafts."""

PROPOSED, OLD, OTHER, ALIKE = "proposed by {}", "known composition", "filtered out", "alike"
"""What is counted: all candidates, those not new, those not asked for, those that repeat."""


@dataclass(frozen=True)
class Recipe:
    """What is proposed.

    Attributes:
        generators: by name, those that change a parent.
        filter: which compositions are asked for.
        max_atoms: in the cell.
        sanity: what counts as sane.
        known: file of the keys of compositions that are not new, rising (``numpy.save``).
        prototypes: counts of prototypes, by name or file.
        seed: of what is drawn.
    """

    generators: tuple[str, ...]
    filter: Filter
    max_atoms: int
    sanity: SanityConfig
    known: str
    prototypes: str
    seed: int = 0

    @cached_property
    def made(self) -> list[Generator]:
        """The generators."""
        settings = GeneratorSettings(self.filter.elements, self.max_atoms, (), frozenset())
        return [GENERATORS.get(name)(settings) for name in self.generators]


@cache
def known_keys(path: str) -> UInt64[np.ndarray, " k"]:
    """Keys of a file, read once in a process."""
    return np.asarray(np.load(path))


def drafts(shard: pa.Table, recipe: Recipe) -> pa.Table:
    """Drafts of candidates of a shard of parents (schema ``DRAFTS``), each once.

    Args:
        shard: crystals with their ``ROW``; rows without one are drafts already (``joined``).
        recipe: what is proposed.
    """
    ready = [DRAFTS.empty_table()]
    if "composition" in shard.column_names:
        made = shard.filter(shard[ROW.name].is_null())
        ready.append(made.select(DRAFTS.names).cast(DRAFTS))
        shard = shard.filter(shard[ROW.name].is_valid())
    parents, rows = from_arrow(shard), shard[ROW.name].to_numpy()
    small = np.flatnonzero(parents.n_atoms <= recipe.max_atoms)
    tally: Counter[str] = Counter()
    sieve = Sieve(recipe, tally)
    tables = ready
    for generator in recipe.made:
        if isinstance(generator, SubstitutionGenerator):
            tables.append(_substituted(generator, parents[small], rows[small], sieve))
        else:
            row_of = dict(zip(parents.ids.tolist(), rows.tolist(), strict=True))
            for chunk in generator.generate(parents[small], seed=recipe.seed):
                tables.append(whole(chunk, row_of, sieve))
    every = pa.concat_tables(tables).combine_chunks()
    once = every.take(best_of_alike(every))
    tally[ALIKE] += len(every) - len(once)
    return counted(once, tally)


@dataclass(frozen=True, eq=False)
class Sieve:
    """What lets candidates through, and counts the others by reason."""

    recipe: Recipe
    tally: Counter[str]

    def passed(
        self, generator: str, keys: UInt64[np.ndarray, " k"], elements: Int64[np.ndarray, "k m"]
    ) -> Bool[np.ndarray, " k"]:
        """Which compositions are asked for, and new."""
        wanted = self.recipe.filter.passed(elements)
        new = ~contained(known_keys(self.recipe.known), keys)
        self.tally[PROPOSED.format(generator)] += len(keys)
        self.tally[OTHER] += int((~wanted).sum())
        self.tally[OLD] += int((wanted & ~new).sum())
        return wanted & new

    def sane(self, reasons: Shaped[np.ndarray, " k"]) -> Bool[np.ndarray, " k"]:
        """Which have no reason against them; numbers in reasons do not matter."""
        for reason in reasons:
            if reason:
                self.tally["atoms too close" if "apart" in reason else reason] += 1
        return np.asarray(reasons == "", bool)


# --- substitutions ------------------------------------------------------------------------------


def _substituted(
    generator: SubstitutionGenerator, parents: Crystals, rows: np.ndarray, sieve: Sieve
) -> pa.Table:
    """Drafts of all substitutions into some parents."""
    parts: dict[str, list[np.ndarray]] = {name: [] for name in (*DRAFTS.names, "sites")}
    for every in generator.families(parents):
        parent = parents[every.parent]
        family, keys = _kept(every, parent, sieve)
        if not len(family):
            continue
        sites = np.searchsorted(family.own, parent.atomic_numbers)
        numbers = family.elements[:, sites].astype(np.uint8)
        parts["composition"].append(keys)
        parts["kind"].append(family.keys)
        parts["parent"].append(np.full(len(family), rows[family.parent], np.int32))
        parts["atomic_numbers"].append(numbers.reshape(-1))
        parts["sites"].append(np.full(len(family), len(sites)))
        parts["scale"].append(family.scale)
        parts["score"].append(family.found.probabilities)
        parts["count"].append(_counts(family, parent, sieve.recipe.prototypes))
    if not parts["kind"]:
        return DRAFTS.empty_table()
    found = {name: np.concatenate(part) for name, part in parts.items() if part}
    offsets = np.concatenate([[0], np.cumsum(found.pop("sites"))]).astype(np.int32)
    numbers = pa.ListArray.from_arrays(pa.array(offsets), pa.array(found["atomic_numbers"]))
    return _drafts(generator.name, {**found, "atomic_numbers": numbers})


def _kept(
    family: Family, parent: Crystals, sieve: Sieve
) -> tuple[Family, UInt64[np.ndarray, " k"]]:
    """The children of one parent that pass the sieve, and the keys of their compositions."""
    amounts = parent.composition[0, family.own]
    keys = composition_hashes(family.elements, amounts)
    passed = sieve.passed(SubstitutionGenerator.name, keys, family.elements)
    family, keys = family.take(passed), keys[passed]
    sane = sieve.sane(_insane(family, parent, amounts, sieve.recipe.sanity))
    return family.take(sane), keys[sane]


def _insane(
    family: Family, parent: Crystals, amounts: Int64[np.ndarray, " m"], config: SanityConfig
) -> Shaped[np.ndarray, " k"]:
    """``insane`` of the k children of one parent, from the parent's closest contacts."""
    reasons = np.full(len(family), "", dtype=object)
    if not len(family):
        return reasons
    radii = COVALENT_RADII[family.elements]
    reach = float((2 * config.min_distance * radii.max(axis=1) / family.scale).max())
    found = neighbors(parent, reach)
    kind = np.searchsorted(family.own, parent.atomic_numbers)
    contacts = np.full((len(family.own), len(family.own)), np.inf)
    np.minimum.at(contacts, (kind[found.receivers], kind[found.senders]), found.distances)
    closest = np.full(len(family), np.inf)
    for i, j in np.argwhere(np.isfinite(np.triu(contacts))).tolist():
        closest = np.minimum(closest, contacts[i, j] * family.scale / (radii[:, i] + radii[:, j]))
    volume = float(parent.volumes[0]) * family.scale**3 / (radii**3 @ amounts)
    reasons[volume > config.max_volume] = "volume too large"
    reasons[volume < config.min_volume] = "volume too small"
    reasons[closest < config.min_distance] = "atoms too close"
    return reasons


def _counts(family: Family, parent: Crystals, prototypes: str) -> Float64[np.ndarray, " k"]:
    """How often the parent's prototype occurs with the elements of each child."""
    counts = np.zeros(len(family))
    ordered = np.sort(family.elements, axis=1)
    own = np.flatnonzero((ordered[:, 1:] != ordered[:, :-1]).all(axis=1))
    label = prototype_label(protostructure(parent, RELAXED))
    if label.text and len(family.own) <= MAX_SPECIES and len(own):
        orders = family.elements[own][:, np.searchsorted(family.own, label.orders)]
        counts[own] = Occurrence.load(prototypes).counts(label.text, orders)
    return counts


# --- what other generators make -----------------------------------------------------------------


def whole(chunk: Candidates, row_of: dict[str, int], sieve: Sieve) -> pa.Table:
    """Drafts of candidates that come with cells of their own.

    Args:
        chunk: of one generator.
        row_of: rows of the parents by their ids.
        sieve: what lets them through.
    """
    name = str(chunk.lineage["generator"][0].as_py()) if len(chunk.lineage) else ""
    crystals = chunk.crystals
    elements = elements_of(crystals)
    keys = composition_keys(crystals.composition)
    passed = sieve.passed(name, keys, elements)
    passed[passed] = sieve.sane(insane(crystals[passed], sieve.recipe.sanity))
    chunk, keys = chunk.take(passed), keys[passed]
    crystals = chunk.crystals
    occurrence = Occurrence.load(sieve.recipe.prototypes)
    kinds, counts = np.zeros(len(crystals), np.uint64), np.zeros(len(crystals))
    for i, crystal in enumerate(crystals):
        structure = protostructure(crystal)
        kinds[i] = structure.keys(structure.elements[None])[0]
        counts[i] = occurrence.count(prototype_label(structure))
    numbers = pa.ListArray.from_arrays(
        pa.array(crystals.offsets.astype(np.int32)), pa.array(crystals.atomic_numbers)
    )
    parents = [row_of.get(parent, -1) for parent in chunk.lineage["parent_id"].to_pylist()]
    columns = {
        "composition": keys,
        "kind": kinds,
        "parent": np.array(parents, np.int32),
        "atomic_numbers": numbers,
        "lattice": pa.array(list(crystals.lattice.reshape(-1, 9)), pa.list_(pa.float64())),
        "frac_coords": pa.ListArray.from_arrays(
            pa.array((3 * crystals.offsets).astype(np.int32)),
            pa.array(crystals.frac_coords.reshape(-1)),
        ),
        "score": chunk.lineage["score"],
        "change": chunk.lineage["change"],
        "count": counts,
    }
    return _drafts(name, columns)


def elements_of(crystals: Crystals) -> Int64[np.ndarray, "n m"]:
    """Atomic numbers of each crystal's elements; of fewer than the most the first ones again."""
    elements, amounts = present(crystals.composition)
    return np.where(amounts > 0, elements, elements[:, :1])


def _drafts(generator: str, columns: dict[str, object]) -> pa.Table:
    n = len(columns["kind"])  # type: ignore[arg-type]
    whole = {"generator": pa.array([generator] * n), **columns}
    return pa.table({f.name: whole.get(f.name, pa.nulls(n, f.type)) for f in DRAFTS}, schema=DRAFTS)


# --- what both are ------------------------------------------------------------------------------


def contained(
    rising: UInt64[np.ndarray, " n"], keys: UInt64[np.ndarray, " k"]
) -> Bool[np.ndarray, " k"]:
    """Which keys are among some that rise."""
    if not len(rising):
        return np.zeros(len(keys), bool)
    return np.asarray(rising[np.minimum(np.searchsorted(rising, keys), len(rising) - 1)] == keys)


def best_of_alike(rows: pa.Table) -> Int64[np.ndarray, " u"]:
    """Of drafts of one composition and protostructure the most probable; of these the first."""
    composition, kind, score, parent = (
        rows[name].to_numpy(zero_copy_only=False)
        for name in ("composition", "kind", "score", "parent")
    )
    return firsts_of((composition, kind), (-np.nan_to_num(score, nan=-np.inf), parent))


def firsts_of(
    same: Sequence[np.ndarray], order: Sequence[np.ndarray] = ()
) -> Int64[np.ndarray, " u"]:
    """Of rows that agree in some keys the first by others, in the order of the former."""
    rows = np.lexsort((*reversed(order), *reversed(same)))
    new = np.ones(len(rows), bool)
    new[1:] = np.any([key[rows][1:] != key[rows][:-1] for key in same], axis=0)
    return rows[new]


def built(rows: pa.Table, parents: Crystals) -> Crystals:
    """The crystals of drafts."""
    rows = rows.combine_chunks()
    own = np.flatnonzero(rows["scale"].is_null().to_numpy())
    numbers = rows["atomic_numbers"].combine_chunks()
    offsets = np.asarray(numbers.offsets).astype(np.int64) - numbers.offsets[0].as_py()
    at = np.where(rows["scale"].is_null().to_numpy(), 0, rows["parent"].to_numpy())
    derived = np.setdiff1d(np.arange(len(rows)), own)
    lattice, coordinates = np.zeros((len(rows), 3, 3)), np.zeros((int(offsets[-1]), 3))
    at = at[derived].astype(np.int64)
    scale = rows["scale"].to_numpy()[derived]
    lattice[derived] = parents.lattice[at] * scale[:, None, None]
    here, _ = ragged_take(offsets, derived)
    there, _ = ragged_take(parents.offsets, at)
    coordinates[here] = parents.frac_coords[there]
    if len(own):
        brought = rows.take(own)
        lattice[own] = np.array(brought["lattice"].to_pylist()).reshape(-1, 3, 3)
        here, _ = ragged_take(offsets, own)
        flat = brought["frac_coords"].combine_chunks().flatten().to_numpy()
        coordinates[here] = flat.reshape(-1, 3)
    return Crystals(lattice, numbers.flatten().to_numpy(), coordinates, offsets)


def changes(rows: pa.Table, crystals: Crystals, parents: Crystals) -> list[str]:
    """What was changed in the parent of each draft, or how else it was made, for people."""
    from_parent = rows["scale"].is_valid().to_pylist()
    said = zip(rows["parent"].to_pylist(), from_parent, rows["change"].to_pylist(), strict=True)
    return [
        _change(parents.arrays(p)[1], crystals.arrays(i)[1]) if derived else change or ""
        for i, (p, derived, change) in enumerate(said)
    ]


def _change(before: Shaped[np.ndarray, " n"], after: Shaped[np.ndarray, " n"]) -> str:
    pairs = dict.fromkeys(zip(before.tolist(), after.tolist(), strict=True))
    return "; ".join(f"{SYMBOLS[a]}→{SYMBOLS[b]}" for a, b in sorted(pairs) if a != b)


def rows_of_parents(table: pa.Table, size: int) -> Iterator[pa.Table]:
    """Shards of so many parents, each with its ``ROW``."""
    rows = pa.array(np.arange(len(table), dtype=np.int32))
    table = table.select(["lattice", "atomic_numbers", "frac_coords"]).append_column(ROW, rows)
    return (table.slice(i, size) for i in range(0, max(len(table), 1), size))


def joined(parents: Iterator[pa.Table], made: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Shards of parents, then those of drafts that are made already, all with the same columns."""
    lists = {name: DRAFTS.field(name).type for name in ("lattice", "atomic_numbers", "frac_coords")}
    own = [field for field in DRAFTS if field.name not in lists]
    schema = pa.schema([*(pa.field(n, t) for n, t in lists.items()), ROW, *own])
    schema = pa.schema([field.with_nullable(True) for field in schema])
    for table in chain(parents, made):
        given = set(table.column_names)
        yield pa.table(
            {
                f.name: table[f.name].cast(f.type)
                if f.name in given
                else pa.nulls(len(table), f.type)
                for f in schema
            },
            schema=schema,
        )
