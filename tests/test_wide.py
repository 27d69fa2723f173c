"""Campaigns without a system: drafts, filters, ranking."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gnomon.chemistry.sanity import SanityConfig, insane
from gnomon.crystals import Crystals
from gnomon.discover.wide.database import MATERIALS_PROJECT, Database, composition_keys
from gnomon.discover.wide.drafts import DRAFTS, Recipe, built, drafts, rows_of_parents
from gnomon.discover.wide.filters import Filter, parse_within
from gnomon.discover.wide.ranking import NOT_BEST, RANKED, Ranker, ranked
from gnomon.elements import SYMBOLS
from gnomon.generate.prototypes.occurrence import BUNDLED, Occurrence
from gnomon.generate.registry import generator
from gnomon.io import to_arrow
from gnomon.run.passes import ENGINES, Pass, Shards, run
from gnomon.run.passes.work import counts_of
from gnomon.structure.labels import prototype_label
from gnomon.structure.protostructures import protostructure

CUBE = 1 - np.eye(3)
SALT, FLUORITE = [[0, 0, 0], [0.5] * 3], [[0, 0, 0], [0.25] * 3, [0.75] * 3]
ELEMENTS = ("Li", "Na", "K", "Mg", "Ca", "O", "S", "F", "Cl")


def parents() -> Crystals:
    """Rock salts, a fluorite, a perovskite, and elements."""
    cubes = [
        Crystals.single(5.64 / 2 * CUBE, [11, 17], SALT),
        Crystals.single(5.14 / 2 * CUBE, [3, 17], SALT),
        Crystals.single(4.21 / 2 * CUBE, [12, 8], SALT),
        Crystals.single(5.46 / 2 * CUBE, [20, 9, 9], FLUORITE),
        Crystals.single(
            4.0 * np.eye(3),
            [19, 12, 9, 9, 9],
            [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]],
        ),
    ]
    singles = [Crystals.single(3 * np.eye(3), [z], [[0, 0, 0]]) for z in (3, 11, 12, 19, 20, 8, 9)]
    singles += [Crystals.single(3 * np.eye(3), [z], [[0, 0, 0]]) for z in (16, 17)]
    return Crystals.concatenate([*cubes, *singles])


ENERGIES = np.array([-2.1, -2.0, -3.0, -4.1, -3.4, *[0.0] * 9])
"""eV/atom, about those of the Materials Project."""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    table = to_arrow(parents()).append_column("formation_energy_per_atom", pa.array(ENERGIES))
    pq.write_table(table, tmp_path / "database.parquet")
    return tmp_path / "database.parquet"


@pytest.fixture
def recipe(database: Path) -> Recipe:
    known = database.with_name("known.npy")
    np.save(known, Database.read(database, MATERIALS_PROJECT).compositions)
    everything = Filter(ELEMENTS, 2, 4)
    return Recipe(("substitution",), everything, 16, SanityConfig(), str(known), BUNDLED)


def shard(crystals: Crystals) -> pa.Table:
    [one] = rows_of_parents(to_arrow(crystals), len(crystals))
    return one


def content(rows: pa.Table) -> list:
    return sorted(map(str, rows.select(["composition", "kind", "score"]).to_pylist()))


# --- drafts -------------------------------------------------------------------------------------


def test_drafts_are_the_candidates_of_the_generator(recipe):
    """As its own chunks give them, but for what is known, insane or filtered out."""
    known = set(parents().reduced_formulas)
    made = generator("substitution", "-".join(ELEMENTS), known=known)
    for parent in parents()[:5]:
        expected = Crystals.concatenate([chunk.crystals for chunk in made.generate(parent)])
        expected = expected[insane(expected, recipe.sanity) == ""]
        rows = drafts(shard(parent), recipe)
        found = built(rows, parent)
        assert set(found.ids) == set(expected.ids)
        assert rows["composition"].to_pylist() == composition_keys(found.composition).tolist()


def test_every_candidate_is_a_draft_or_counted_once(recipe):
    strict = replace(recipe, sanity=SanityConfig(min_distance=0.9), filter=Filter(ELEMENTS, 2, 2))
    for how in (recipe, strict, replace(strict, filter=Filter(ELEMENTS, within=("K-*", "*-O")))):
        rows = drafts(shard(parents()), how)
        counts = counts_of(rows)
        proposed = counts.pop("proposed by substitution")
        assert proposed == len(rows) + sum(counts.values()) > 0


def test_sanity_of_drafts_is_that_of_the_crystals(recipe):
    """The parent's contacts tell as much as the neighbours of each child."""
    every = drafts(shard(parents()), recipe)
    for share in (0.7, 0.8, 0.9):
        strict = SanityConfig(min_distance=share)
        kept = drafts(shard(parents()), replace(recipe, sanity=strict))
        crystals = built(every, parents())
        sane = every.filter(pa.array(insane(crystals, strict) == ""))
        # of alike drafts another may be left once the more probable is not sane
        assert set(sane["kind"].to_pylist()) <= set(kept["kind"].to_pylist())
        assert not (insane(built(kept, parents()), strict) != "").any()


def test_counts_of_drafts_are_those_of_their_prototypes(recipe):
    rows = drafts(shard(parents()), recipe)
    occurrence = Occurrence.load()
    for crystal, count in zip(built(rows, parents()), rows["count"].to_pylist(), strict=True):
        if len(set(crystal.atomic_numbers)) == len(set(parents()[0].atomic_numbers)):
            label = prototype_label(protostructure(crystal))
            assert count in (pytest.approx(occurrence.count(label)), 0.0)
    assert max(rows["count"].to_pylist()) > 1


def test_parents_may_come_in_any_shards(recipe):
    """Which of two alike candidates stays does not depend on what they are proposed with."""
    whole = drafts(shard(parents()), recipe)
    tables = [drafts(one, recipe) for one in rows_of_parents(to_arrow(parents()), 2)]
    assert all(table.schema.remove_metadata() == DRAFTS for table in tables)
    ranker = Ranker("", "")
    assert set(whole["kind"].to_pylist()) == {k for t in tables for k in t["kind"].to_pylist()}
    assert ranker.random == 0


def test_generators_with_cells_of_their_own(recipe):
    saps = replace(recipe, generators=("saps",), filter=Filter(ELEMENTS, 2, 3))
    rows = drafts(shard(parents()[:1]), saps)
    assert len(rows)
    assert rows["scale"].null_count == len(rows)
    found = built(rows, parents())
    assert not (insane(found, saps.sanity) != "").any()
    assert rows["composition"].to_pylist() == composition_keys(found.composition).tolist()


def test_nothing_is_made_of_nothing(recipe):
    rows = drafts(shard(parents()).slice(0, 0), recipe)
    assert rows.schema.remove_metadata() == DRAFTS
    assert len(rows) == 0


# --- filters ------------------------------------------------------------------------------------


def test_systems_with_wildcards():
    formulas = np.array([[3, 26, 8], [3, 8, 8], [11, 26, 8], [3, 26, 26]])
    assert Filter(SYMBOLS[1:], within=("Li-*-O",)).passed(formulas).tolist() == [1, 0, 0, 0]
    assert Filter(SYMBOLS[1:], within=("Li-*",)).passed(formulas).tolist() == [0, 1, 0, 1]
    either = Filter(SYMBOLS[1:], within=("Li-*", "*-*-O")).passed(formulas)
    assert either.tolist() == [1, 1, 1, 1]
    assert Filter(SYMBOLS[1:], 3, 3).passed(formulas).tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize("text", ["Li-X-O", "Li-Li", "", "Li--O"])
def test_what_is_no_system_with_wildcards(text):
    with pytest.raises(ValueError, match="element"):
        parse_within(text)


# --- ranking ------------------------------------------------------------------------------------


@pytest.fixture
def ranker(database):
    return Ranker(str(database), MATERIALS_PROJECT, look=0.3, threshold=0.3, random=3)


def test_the_best_of_each_composition_and_all_others_counted(recipe, ranker):
    rows = drafts(shard(parents()), recipe)
    found = ranked(rows, ranker)
    counts = counts_of(found)
    best = found.filter(found["lot"].is_null())
    drawn = found.filter(found["lot"].is_valid())
    assert len(set(best["composition"].to_pylist())) == len(best) > 0
    assert len(drawn) == 3
    far_draws = sum(e > 0.3 for e in drawn["predicted_e_above_hull"].to_pylist())
    assert len(best) + sum(counts.values()) in range(len(rows) - 3, len(rows) + far_draws + 1)
    assert max(best["predicted_e_above_hull"].to_pylist()) <= 0.3
    assert counts[NOT_BEST] >= 0
    empty = ranked(rows.slice(0, 0), ranker)
    assert empty.schema.remove_metadata() == RANKED
    assert len(empty) == 0


def test_shards_and_buckets_change_nothing(recipe, ranker, tmp_path):
    """The pass over shards is the functions over all rows, whoever runs it."""
    once = ranked(drafts(shard(parents()), recipe), ranker)
    step = Pass(
        "propose",
        partial(drafts, recipe=recipe),
        key="composition",
        reduce=partial(ranked, ranker=ranker),
        buckets=1,
    )
    shards = Shards.write(tmp_path / "parents", rows_of_parents(to_arrow(parents()), 4))
    found = run(step, shards, tmp_path / "ranked", ENGINES.get("processes")(workers=1))
    assert content(found.table()) == content(once)
