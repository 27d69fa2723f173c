"""Campaigns without a system: generators that begin with a composition, or with nothing."""

import itertools
from collections import Counter
from dataclasses import replace
from functools import partial

import numpy as np
import pyarrow as pa
import pytest

from gnomon.discover.loop import run_campaign
from gnomon.discover.settings import BudgetConfig, CampaignConfig
from gnomon.discover.wide.cells import UNHELD, Start, begun, starts
from gnomon.discover.wide.database import composition_keys
from gnomon.discover.wide.drafts import ROW, built, drafts, joined, rows_of_parents
from gnomon.discover.wide.filters import Filter
from gnomon.discover.wide.likely import Asked, likeliest, likely, shards_of, systems
from gnomon.discover.wide.ranking import WEIGHTS, evidence, ranked
from gnomon.dynamics.settings import RelaxConfig
from gnomon.elements import atomic_number, parse_formula
from gnomon.io import to_arrow
from gnomon.run.passes.work import counts_of
from tests.test_wide import ELEMENTS, database, parents, ranker, recipe
from tests.test_wide_campaign import alloys, gone_on_with, settings_of_alloys

__all__ = ["alloys", "database", "ranker", "recipe"]  # fixtures


def plain(table: pa.Table) -> pa.Table:
    return table.replace_schema_metadata(None)


# --- compositions -------------------------------------------------------------------------------


@pytest.mark.parametrize("within", [(), ("Li-*-O", "Na-*", "Li-O")])
def test_systems_are_all_that_are_asked_for(within):
    wanted = Filter(ELEMENTS, 2, 3, within)
    found = systems(wanted, 10**6, np.random.default_rng(0))
    numbers = sorted(map(atomic_number, ELEMENTS))
    every = [s for n in (1, 2, 3, 4) for s in itertools.combinations(numbers, n)]
    passed = wanted.passed(np.array([s + (s[0],) * (4 - len(s)) for s in every]))
    assert found == sorted(s for s, one in zip(every, passed, strict=True) if one)
    drawn = systems(wanted, 5, np.random.default_rng(0))
    assert set(drawn) < set(found)
    assert drawn == systems(wanted, 5, np.random.default_rng(0))
    if not within:
        assert Counter(map(len, drawn)) == {2: 5, 3: 5}


def test_likely_compositions_are_new_and_asked_for_and_the_same_in_any_shards(recipe, ranker):
    wanted = replace(recipe.filter, within=("Li-*-F", "Na-*"), most=3)
    asked = Asked(wanted, 6, recipe.known, replace(ranker, threshold=0.1), most=12)
    every = systems(wanted, 100, np.random.default_rng(0))
    [shard] = shards_of(every)
    whole = likeliest(iter([likely(shard, asked)]), asked.most)
    parts = (likely(shard.slice(i, 4), asked) for i in range(0, len(shard), 4))
    again = likeliest(parts, asked.most)
    assert again["reduced_formula"] == whole["reduced_formula"]
    for name in ("predicted_e_above_hull", "log_chance"):
        np.testing.assert_allclose(again[name].to_numpy(), whole[name].to_numpy(), atol=1e-4)
    formulas = [parse_formula(text) for text in whole["reduced_formula"].to_pylist()]
    assert 0 < len(formulas) <= 12
    for amounts in formulas:
        assert sum(amounts.values()) <= 6
        assert ({"Li", "F"} < {*amounts} and len(amounts) == 3) or (
            "Na" in amounts and len(amounts) == 2
        )
    assert not set(whole["reduced_formula"].to_pylist()) & set(parents().reduced_formulas)
    chances = whole["log_chance"].to_pylist()
    assert chances == sorted(chances, reverse=True)
    assert max(whole["predicted_e_above_hull"].to_pylist()) <= 0.1
    # what a round has asked for, the next one does not
    known = np.concatenate([np.load(recipe.known), whole["composition"].to_numpy()])
    np.save(f"{recipe.known}-asked.npy", np.unique(known))
    others = likely(shard, replace(asked, known=f"{recipe.known}-asked.npy"))
    assert not set(others["composition"].to_pylist()) & set(whole["composition"].to_pylist())


# --- drafts -------------------------------------------------------------------------------------


def start_of(recipe, **given) -> Start:
    return replace(Start(recipe, 1, 4, "", RelaxConfig(max_steps=5, max_seconds=1e6)), **given)


def begun_one_by_one(recipe, names, formulas, draws=1, **given) -> list[pa.Table]:
    start = start_of(recipe, **given)
    return [begun(one, start) for one in starts(names, formulas, draws, every_formula=True)]


@pytest.mark.parametrize(
    "name",
    ["random", *(pytest.param(name, marks=pytest.mark.slow) for name in ("prototypes", "learned"))],
)
def test_crystals_of_a_composition(recipe, name):
    """All of it, within what is asked for, each counted where it ended."""
    formulas = ["NaF", "LiF", "NaCl", "K2O"]
    only = replace(recipe, filter=replace(recipe.filter, within=("Na-*",)))
    formulas = formulas[: 2 if name == "learned" else 4]  # the network takes its time
    tables = begun_one_by_one(only, (name,), formulas)
    fluorides, *others = tables
    assert set(built(fluorides, parents()).reduced_formulas) == {"NaF"}
    assert set(fluorides["generator"].to_pylist()) == {name}
    assert all(fluorides["change"].to_pylist())
    assert not any(map(len, others))
    for table in tables:
        counts = counts_of(table)
        proposed = counts.pop(f"proposed by {name}")
        assert proposed == len(table) + sum(counts.values()) > 0
    # one task or several, in whatever order
    shard = pa.concat_tables(starts((name,), formulas, 1, every_formula=True))
    whole = begun(shard.take([1, 0]), start_of(only))
    assert plain(whole).equals(plain(fluorides))


def test_random_cells_are_moved_by_a_potential(recipe):
    [drawn] = begun_one_by_one(recipe, ("random",), ["NaF"])
    [moved] = begun_one_by_one(recipe, ("random",), ["NaF"], potential="gnomon-2")
    counts = counts_of(moved)
    assert counts.pop("proposed by random") == len(moved) + sum(counts.values()) == 4
    assert UNHELD in counts
    assert all(text.endswith("steps") for text in moved["change"].to_pylist())
    assert set(moved["lattice"].to_pylist()[0]) != set(drawn["lattice"].to_pylist()[0])


def test_drafts_of_both_kinds_are_ranked_together(recipe, ranker):
    """What is made already goes through the pass of the parents as it is."""
    made = begun_one_by_one(recipe, ("random",), ["NaF", "KCl"])
    table = to_arrow(parents())
    shards = list(joined(rows_of_parents(table, 6), iter(made)))
    assert len({shard.schema for shard in shards}) == 1
    several = [plain(drafts(shard, recipe)) for shard in shards]
    apart = [plain(drafts(shard, recipe)) for shard in rows_of_parents(table, 6)]
    assert pa.concat_tables(several).equals(pa.concat_tables([*apart, *map(plain, made)]))
    whole = plain(drafts(pa.concat_tables(shards), recipe))
    composition, kind = (whole[name].to_pylist() for name in ("composition", "kind"))
    assert len(set(zip(composition, kind, strict=True))) == len(whole)
    best = ranked(whole, partial(replace, ranker)(random=0, look=10.0, threshold=10.0))
    assert len(set(best["composition"].to_pylist())) == len(best)
    assert {"random", "substitution"} >= set(best["generator"].to_pylist())
    assert ROW.name not in best.column_names
    keys = composition_keys(built(best, parents()).composition)
    assert keys.tolist() == best["composition"].to_pylist()


def test_a_score_that_is_no_probability_tells_nothing(recipe, ranker):
    rows = ranked(drafts(next(rows_of_parents(to_arrow(parents()), 99)), recipe), ranker)
    place = rows.column_names.index("score")

    def scored(value: float | None) -> np.ndarray:
        scores = pa.array([value] * len(rows), pa.float64())
        return evidence(rows.set_column(place, "score", scores)) @ WEIGHTS

    np.testing.assert_array_equal(scored(-7.5), scored(None))
    np.testing.assert_array_equal(scored(3.0), scored(None))
    assert (scored(0.5) > scored(None)).all()


# --- the whole ----------------------------------------------------------------------------------


def settings_of_cells(alloys, **run) -> CampaignConfig:
    config = settings_of_alloys(alloys, **run)
    generators = ("substitution", "random", "prototypes")
    return config.model_copy(
        update={
            "generate": config.generate.model_copy(update={"generators": generators}),
            "wide": config.wide.model_copy(
                update={"compositions": 3, "cells": 4, "within": ("Cu-*", "Au-Pt"), "systems": 9}
            ),
            "budget": BudgetConfig(evaluations=8, rounds=2, per_round=4),
        }
    )


@pytest.mark.slow
def test_a_campaign_with_cells_is_the_same_by_two_workers_and_after_kills(
    alloys, tmp_path, monkeypatch
):
    one = run_campaign(settings_of_cells(alloys), tmp_path / "one")
    folder = tmp_path / "one" / "work"
    first, second = (
        set(
            pa.parquet.read_table(folder / f"round={n:03d}" / "compositions.parquet")[
                "reduced_formula"
            ].to_pylist()
        )
        for n in (1, 2)
    )
    assert len(first) == 3
    assert second
    assert not first & second
    facts = one.store.finished(1, "generate")
    assert "compositions of 6 chemical systems looked at" in facts["notes"][0]
    assert facts["funnel"]["proposed by random"] > 0
    assert facts["work"]["seconds"].keys() == {"compositions", "crystals", "map", "reduce"}
    two = run_campaign(settings_of_cells(alloys, runner_workers=2), tmp_path / "two")
    files = (
        "work/round=001/compositions.parquet",
        "work/round=001/begun/shards.json",
        "work/round=001/parents/shards.json",
        "work/round=002/begun/shards.json",
    )
    killed = gone_on_with(settings_of_cells(alloys), tmp_path / "killed", monkeypatch, files)
    for other in (two, killed):
        for table in ("crystals", "lineage", "screening"):
            assert other.store.table(table) == one.store.table(table)
        assert other.hull_table() == one.hull_table()
