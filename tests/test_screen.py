"""Screening: a verdict with a reason for every candidate, and a fair choice among those kept."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gnomon.crystals import Crystals
from gnomon.discover.screen import ScreenConfig, Verdicts, screen, select
from tests.strategies import random_crystal, rngs

NOTHING_KNOWN: frozenset[str] = frozenset()


def crystals_of(*formulas: tuple[int, ...]) -> Crystals:
    """Tetragonal lattices with atoms of these numbers in a row, 3 Å apart."""
    return Crystals.concatenate(
        [
            Crystals.single(np.diag([3, 3, 3 * n]), numbers, [[0, 0, i / n] for i in range(n)])
            for numbers in formulas
            for n in [len(numbers)]
        ]
    )


CU, AU, AL, UR = 29, 79, 13, 92


def every(n: int) -> Verdicts:
    yes = np.ones(n, dtype=bool)
    return Verdicts(kept=yes, eligible=yes, reason=np.full(n, "", dtype=object))


# --- the gates ------------------------------------------------------------------------------------


def test_every_reason_and_that_the_first_gate_gives_it() -> None:
    batch = crystals_of((UR, CU), (CU, AU), *[(CU, AL)] * 6)
    nan = np.nan
    verdicts = screen(
        batch,
        ScreenConfig(threshold=0.05, max_uncertainty=0.2, exclude=("U",)),
        known=frozenset({"CuAu", "UCu"}),
        predicted_e_above_hull=np.array([1.0, 1.0, nan, 0.0501, 0.05, -0.3, 0.06, nan]),
        uncertainty=np.array([1.0, 1.0, nan, 0.1, 0.21, 0.2, 0.3, 0.1]),
        unpredicted=np.array(["", "", "too many edges", "", "", "", "", ""], dtype=object),
    )
    assert verdicts.reason.tolist() == [
        "excluded element",
        "known composition",
        "no prediction: too many edges",
        "predicted more than 0.05 eV/atom above the hull",
        "uncertainty above 0.2 eV/atom",
        "",
        "predicted more than 0.05 eV/atom above the hull",
        "no prediction",
    ]
    assert verdicts.eligible.tolist() == [False, False] + [True] * 6
    assert np.flatnonzero(verdicts.kept).tolist() == [5]


def test_without_a_network_only_the_first_gates_count() -> None:
    verdicts = screen(
        crystals_of((UR, CU), (CU, AU), (CU, AL)),
        ScreenConfig(exclude=("U",)),
        known=frozenset({"AuCu", "CuAu"}),
    )
    assert verdicts.kept.tolist() == verdicts.eligible.tolist() == [False, False, True]


def test_what_is_insane_is_no_candidate_whatever_a_network_says() -> None:
    good = crystals_of((CU, AL))
    batch = Crystals.concatenate([good, good.scale_volume(0.1), good.scale_volume(30.0)])
    verdicts = screen(
        batch,
        ScreenConfig(),
        known=NOTHING_KNOWN,
        predicted_e_above_hull=np.full(3, -1.0),
        uncertainty=np.zeros(3),
    )
    assert verdicts.kept.tolist() == verdicts.eligible.tolist() == [True, False, False]
    assert "apart" in verdicts.reason[1]
    assert verdicts.reason[2] == "volume too large"


def test_exclusion_is_a_setting() -> None:
    batch = crystals_of((UR, CU), (CU, AL))
    config = ScreenConfig(exclude=("Al",))
    assert screen(batch, config, known=NOTHING_KNOWN).kept.tolist() == [True, False]


@given(rngs)
def test_kept_means_no_reason_and_eligible_follows(rng: np.random.Generator) -> None:
    batch = Crystals.concatenate([random_crystal(rng, 3) for _ in range(8)])
    predicted = np.where(rng.random(8) < 0.3, np.nan, rng.normal(0.05, 0.1, 8))
    uncertainty = rng.uniform(0, 0.4, 8)
    config = ScreenConfig(exclude=("Fe", "O"))
    known = frozenset(batch.reduced_formulas[:2].tolist())
    verdicts = screen(
        batch, config, known=known, predicted_e_above_hull=predicted, uncertainty=uncertainty
    )
    assert np.array_equal(verdicts.kept, verdicts.reason == "")
    assert not np.any(verdicts.kept & ~verdicts.eligible)
    assert not verdicts.eligible[:2].any()
    kept = verdicts.kept
    assert np.all(predicted[kept] <= config.threshold)
    assert np.all(uncertainty[kept] <= config.max_uncertainty)
    alone = [
        screen(
            batch[i],
            config,
            known=known,
            predicted_e_above_hull=predicted[[i]],
            uncertainty=uncertainty[[i]],
        ).reason[0]
        for i in range(8)
    ]
    assert verdicts.reason.tolist() == alone


@pytest.mark.parametrize(
    "wrong",
    [
        {"random_share": 1.0},
        {"random_share": -0.1},
        {"max_uncertainty": 0.0},
        {"exclude": ("Xx",)},
        {"threshold": float("nan")},
        {"treshold": 0.05},
    ],
)
def test_settings_without_meaning_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        ScreenConfig.model_validate(wrong)


# --- the choice -----------------------------------------------------------------------------------

FORMULAS = np.array(["A", "A", "B", "B", "B", "C"], dtype=object)
MERIT = np.array([0.3, 0.1, 0.2, 0.0, 0.4, 0.5])


def chosen(count: int, *, one_each: bool, verdicts: Verdicts | None = None) -> list[int]:
    selection = select(
        FORMULAS,
        MERIT,
        verdicts or every(6),
        count=count,
        random_share=0.0,
        one_each=one_each,
        rng=np.random.default_rng(0),
    )
    return [i for i, how in enumerate(selection) if how == "ranked"]


def test_the_best_of_each_composition_is_taken() -> None:
    assert chosen(6, one_each=True) == [1, 3, 5]
    assert chosen(2, one_each=True) == [1, 3]
    assert chosen(0, one_each=True) == []


def test_what_is_wanted_takes_places_of_what_is_ranked() -> None:
    def how(*wanted: int, places: int) -> list[str | None]:
        return select(
            FORMULAS,
            MERIT,
            replace(every(6), wanted=wanted, places=places),
            count=3,
            random_share=0.0,
            one_each=False,
            rng=np.random.default_rng(0),
        ).tolist()

    ranked, wanted = "ranked", "objective"
    assert how(4, 0, places=1) == [None, ranked, None, ranked, wanted, None]
    assert how(3, 0, places=2) == [wanted, ranked, None, ranked, None, None]  # 3 is ranked anyway
    assert how(3, places=1) == [None, ranked, None, ranked, None, ranked]


def test_compositions_take_turns_without_a_network() -> None:
    assert chosen(3, one_each=False) == [1, 3, 5]
    assert chosen(4, one_each=False) == [1, 2, 3, 5]  # B's second is better than A's
    assert chosen(5, one_each=False) == [0, 1, 2, 3, 5]
    assert chosen(99, one_each=False) == list(range(6))


def test_only_the_kept_are_ranked() -> None:
    kept = np.array([True, False, True, False, True, False])
    verdicts = Verdicts(kept, np.ones(6, dtype=bool), np.where(kept, "", "why not").astype(object))
    assert chosen(6, one_each=True, verdicts=verdicts) == [0, 2]


@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 30),
    st.floats(0, 0.99),
    st.booleans(),
)
def test_a_choice_is_fair_and_repeatable(
    seed: int, count: int, share: float, one_each: bool
) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(0, 20))
    formulas = rng.choice(np.array(["A", "B", "C", "D"], dtype=object), n)
    merit = np.where(rng.random(n) < 0.1, np.inf, rng.normal(size=n))
    eligible = rng.random(n) < 0.7
    kept = eligible & (rng.random(n) < 0.7)
    verdicts = Verdicts(kept, eligible, np.where(kept, "", "why not").astype(object))

    def once() -> list[str | None]:
        return select(
            formulas,
            merit,
            verdicts,
            count=count,
            random_share=share,
            one_each=one_each,
            rng=np.random.default_rng(seed),
        ).tolist()

    selection = once()
    assert once() == selection
    ranked = [i for i, how in enumerate(selection) if how == "ranked"]
    drawn = [i for i, how in enumerate(selection) if how == "random"]
    assert len(ranked) + len(drawn) <= count
    most = min(count, max(1, round(count * (1 - share))))
    assert len(drawn) <= round(share / (1 - share) * most)
    if count and kept.any():
        assert selection != [None] * n
    assert all(kept[i] for i in ranked)
    assert all(eligible[i] for i in drawn)
    left = [i for i in np.flatnonzero(kept) if selection[i] is None]
    if one_each:
        assert len({formulas[i] for i in ranked}) == len(ranked)
        left = [i for i in left if formulas[i] not in {formulas[j] for j in ranked}]
    if left:
        assert len(ranked) == most
    for formula in set(formulas[ranked]):
        worst = max(merit[i] for i in ranked if formulas[i] == formula)
        open_ones = [merit[i] for i in left if formulas[i] == formula]
        assert all(worst <= m for m in open_ones)


def test_every_eligible_candidate_can_be_drawn() -> None:
    eligible = np.array([True, False, True, True, False, True])
    kept = np.array([False, False, False, True, False, False])
    verdicts = Verdicts(kept, eligible, np.where(kept, "", "why not").astype(object))
    drawn: set[int] = set()
    for seed in range(40):
        selection = select(
            FORMULAS,
            MERIT,
            verdicts,
            count=2,
            random_share=0.5,
            one_each=True,
            rng=np.random.default_rng(seed),
        )
        assert selection.tolist().count("random") == 1
        drawn.add(selection.tolist().index("random"))
    assert drawn == {0, 2, 3, 5}


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_the_baseline_neither_takes_all_nor_breaks_the_budget(count: int, share: float) -> None:
    selection = select(
        np.array([str(i) for i in range(20)], dtype=object),
        np.arange(20.0),
        every(20),
        count=count,
        random_share=share,
        one_each=True,
        rng=np.random.default_rng(0),
    ).tolist()
    assert selection.count("ranked") >= 1
    assert selection.count("ranked") + selection.count("random") <= count
