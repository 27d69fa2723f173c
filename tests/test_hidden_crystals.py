"""Hidden crystals: which parents can give a formula, what is hidden, what counts as found."""

import importlib
import itertools
import sys
from math import gcd
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.crystals import Crystals
from gnomon.elements import SYMBOLS, atomic_number
from gnomon.generate.saps.generator import SapsGenerator
from gnomon.generate.substitution.generator import SubstitutionGenerator
from tests.calculators import evaluated

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def hidden():
    """The benchmark as a module; its folder is on the path only while it is imported."""
    return module("hidden_crystals")


@pytest.fixture(scope="module")
def targeted():
    """The part of it that makes candidates of one formula."""
    return module("hidden_candidates")


def module(name):
    sys.path.insert(0, str(BENCHMARKS))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(BENCHMARKS))


def numbers(*symbols):
    return [atomic_number(s) for s in symbols]


def perovskite(a, *elements):
    frac = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    return Crystals.single(np.eye(3) * a, numbers(*elements, "O", "O", "O"), frac)


def rock_salt(a, *elements):
    fcc = np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    return Crystals.single(fcc * a, numbers(*elements), [[0, 0, 0], [0.5, 0.5, 0.5]])


EVERYTHING = Crystals.concatenate(
    [
        perovskite(3.905, "Sr", "Ti"),
        perovskite(4.01, "Ba", "Ti"),
        perovskite(4.10, "Sr", "Zr"),
        perovskite(3.99, "Sr", "Zr").scale_volume(1.5),  # another crystal of the same formula
        rock_salt(5.14, "Sr", "O"),
        rock_salt(4.21, "Mg", "O"),
        rock_salt(5.64, "Na", "Cl"),
    ]
)


def counts_of(formula):
    from pymatgen.core import Composition

    amounts = Composition(formula).get_el_amt_dict()
    return tuple(sorted((atomic_number(s), int(n)) for s, n in amounts.items()))


@given(st.lists(st.integers(1, 6), min_size=1, max_size=5), st.data())
def test_a_merged_formula_is_among_the_assignments_that_all_give_the_target(targeted, parent, data):
    kinds = data.draw(st.integers(1, min(3, len(parent))))
    rest = [data.draw(st.integers(0, kinds - 1)) for _ in parent[kinds:]]
    way = (*range(kinds), *rest)
    sums = [sum(n for n, t in zip(parent, way, strict=True) if t == k) for k in range(kinds)]
    target = tuple(n // gcd(*sums) for n in sums)
    found = targeted.assignments(tuple(parent), target)
    assert way in found
    every = itertools.product(range(kinds), repeat=len(parent))
    proportional = [
        w
        for w in every
        if len(
            {
                sum(n for n, t in zip(parent, w, strict=True) if t == k) / target[k]
                for k in range(kinds)
            }
        )
        == 1
    ]
    assert sorted(found) == sorted(proportional)


def test_amounts_decide_what_may_become_what(targeted):
    assert targeted.assignments((1, 1, 3), (1, 1, 3)) == ((0, 1, 2), (1, 0, 2))
    assert targeted.assignments((1, 1, 2), (1, 1)) == ((0, 0, 1), (1, 1, 0))  # ABX2 gives AX
    assert targeted.assignments((1, 2), (1, 1)) == ()
    assert targeted.assignments((1, 1), (1, 1, 2)) == ()  # nothing makes two elements of one


def test_splits_read_double_perovskites_and_complete_replacement(targeted):
    oxygen, titanium, strontium, zirconium = range(4)
    assert set(targeted.splits((3, 1, 1), (6, 1, 2, 1))) == {  # SrTiO3 gives Sr2ZrTiO6
        (1, (oxygen, titanium, strontium), zirconium),
        (1, (oxygen, zirconium, strontium), titanium),
        (2, (oxygen, strontium, titanium), zirconium),
        (2, (oxygen, strontium, zirconium), titanium),
    }
    assert set(targeted.splits((1, 1), (1, 1))) == {
        (at, way, -1) for at in (0, 1) for way in ((0, 1), (1, 0))
    }
    assert targeted.splits((1, 1), (1, 1, 1, 1)) == ()


def test_hiding_takes_every_crystal_of_the_formula_and_no_other(targeted):
    rest = targeted.Rest.without(EVERYTHING, "SrZrO3")
    assert len(rest.crystals) == len(EVERYTHING) - 2
    assert "SrZrO3" not in rest.crystals.reduced_formulas
    assert rest.crystals.ids.tolist() == [
        i for i, f in zip(EVERYTHING.ids, EVERYTHING.reduced_formulas, strict=True) if f != "SrZrO3"
    ]


@pytest.mark.parametrize("formula", ["BaZrO3", "Sr2ZrTiO6", "CaO"])
def test_parents_that_are_not_chosen_add_nothing(targeted, formula):
    target, model = counts_of(formula), targeted.learned_model()
    rest = targeted.Rest.without(EVERYTHING, formula)
    elements = tuple(SYMBOLS[z] for z, _ in target)
    for name, choose, generator in (
        ("substitution", targeted.by_substitution, SubstitutionGenerator(model, elements=elements)),
        ("saps", targeted.by_partial_substitution, SapsGenerator(model, elements=elements)),
    ):
        rows = choose(rest, target, model).rows
        chosen = rest.crystals.take(rows)
        narrow = targeted.generator_of(name, target).generate(chosen, seed=0)
        some = targeted.of_formula(narrow, formula)
        others = np.setdiff1d(np.arange(len(rest.crystals)), rows)
        parents = rest.crystals.take(np.concatenate([rows, others]))
        every = targeted.of_formula(generator.generate(parents, seed=0), formula)
        assert some.crystals.ids.tolist() == every.crystals.ids.tolist()
        assert some.lineage.equals(every.lineage)
        only_by_part = (name, formula) == ("substitution", "Sr2ZrTiO6")
        assert bool(len(some.crystals)) is not only_by_part
        assert all(np.diff(some.lineage["score"].to_numpy()) <= 0)


def test_a_hidden_perovskite_comes_back_from_another_one(targeted):
    target = perovskite(4.10, "Sr", "Zr")
    table = targeted.generated(target, targeted.Rest.without(EVERYTHING, "SrZrO3"))
    rows = table.to_pylist()
    for name in targeted.GENERATORS:
        assert any(row["matches"] for row in rows if row["generator"] == name)
        ranks = [row["rank"] for row in rows if row["generator"] == name]
        assert ranks == list(range(1, len(ranks) + 1))
    assert set(table["reduced_formula"].to_pylist()) == {"SrZrO3"}


def test_random_order_finds_as_often_as_simulated(hidden):
    assert hidden.by_chance(0, 0, 5) == 0
    assert hidden.by_chance(3, 1, 5) == 1
    rng = np.random.default_rng(0)
    draws = [np.any(rng.permutation(10)[:3] < 2) for _ in range(4000)]
    assert abs(hidden.by_chance(10, 2, 3) - np.mean(draws)) < 0.03  # four standard errors


class Untouched:
    """An evaluator that leaves crystals as they are; those of one id explode."""

    scheme = "untouched"

    def __init__(self, exploding=()):
        self.exploding, self.seen = exploding, []

    def evaluate(self, crystals):
        self.seen += crystals.ids.tolist()
        status = ["exploded" if i in self.exploding else "converged" for i in crystals.ids]
        yield evaluated(crystals, self.scheme, np.zeros(len(crystals)), status)


def race_of(hidden, target):
    [formula] = target.reduced_formulas.tolist()
    return hidden.Race(target, hidden.generated(target, hidden.Rest.without(EVERYTHING, formula)))


def test_relaxation_counts_what_matches_after_it_and_not_what_failed(hidden):
    target = perovskite(4.10, "Sr", "Zr")
    good, failed = race_of(hidden, target), race_of(hidden, target)
    hidden.relax([good], Untouched())
    assert good.ranks() == {
        n: r for n, r in hidden.first_ranks(good).items() if n in hidden.RELAXED
    }
    assert [hidden.reason(good, name) for name in hidden.RELAXED] == ["", ""]
    hidden.relax([failed], Untouched(exploding=failed.candidates["id"].to_pylist()))
    assert failed.ranks() == {}
    assert hidden.reason(failed, "saps") == "other structures only"


def test_a_hidden_crystal_that_explodes_is_not_found(hidden):
    target = perovskite(4.10, "Sr", "Zr")
    race = race_of(hidden, target)
    hidden.relax([race], Untouched(exploding=target.ids.tolist()))
    assert race.ranks() == {}
    assert hidden.reason(race, "saps") == "the hidden crystal did not relax"


def test_what_was_done_is_not_done_again(hidden, tmp_path):
    from gnomon.io import to_arrow

    table = to_arrow(EVERYTHING)
    first, again = Untouched(), Untouched()
    before = hidden.run(table, [0, 2], tmp_path, first)
    after = hidden.run(table, [0, 2], tmp_path, again)
    assert first.seen
    assert not again.seen
    assert [r.ranks() for r in before] == [r.ranks() for r in after]
    report = hidden.report(after, [0.0, 0.2], [True, False])
    assert report["after relaxation"]["either"]["within 20"].startswith("2 of 2")
    assert report["after relaxation, on the hull"]["either"]["within 20"].startswith("1 of 1")
    assert isinstance(after[0].relaxed, pa.Table)
