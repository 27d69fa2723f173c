"""Hit rates: their intervals, what they count, and that page, tables and commands count alike."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.discover.rates import HitRate, comparison, wilson
from gnomon.discover.shares import shares
from gnomon.report.build import build_report
from gnomon.report.files import stable_table
from gnomon.report.page import render_html
from tests.made_campaigns import Tables, text_of, with_twin, written


@given(st.integers(0, 200), st.integers(0, 200))
def test_wilson_solves_its_defining_equation(k: int, more: int) -> None:
    """The limits p solve (p - k/n)^2 = z^2 p (1 - p) / n (Wilson 1927)."""
    n = k + more
    rate = wilson(k, n)
    assert 0 <= rate.low <= rate.high <= 1
    if n:
        z = 1.959963984540054  # of the two-sided 95 % interval
        assert rate.low <= rate.value <= rate.high
        for p in (rate.low, rate.high):
            np.testing.assert_allclose((p - k / n) ** 2, z**2 * p * (1 - p) / n, atol=1e-12)


def test_wilson_refuses_more_hits_than_trials() -> None:
    with pytest.raises(ValueError, match="4 hits in 3 trials"):
        wilson(4, 3)
    assert (wilson(0, 0).low, wilson(0, 0).high, wilson(0, 0).value) == (0, 1, None)


def test_failures_count_in_the_hit_rates(binary: Tables, tmp_path: Path) -> None:
    ranked, random = build_report(written(tmp_path, binary)).hits
    assert (ranked.selection, ranked.stable.k, ranked.stable.n) == ("ranked", 1, 3)
    assert (ranked.near.k, ranked.near.n, ranked.failed) == (3, 3, 0)
    assert (random.selection, random.stable.k, random.stable.n, random.failed) == (
        "random",
        0,
        1,
        1,
    )


def test_rounds_are_summed_and_pending_candidates_are_no_misses(
    binary: Tables, tmp_path: Path
) -> None:
    row = {**binary["screening"][0], "round": 2}
    more = [{**row, "id": "waiting"}, {**row, "id": "also waiting"}]
    screening = {"screening": [*binary["screening"], *more]}
    hits = build_report(written(tmp_path, binary | screening)).hits
    assert [(h.round, h.selection) for h in hits] == [
        (1, "ranked"),
        (1, "random"),
        (2, "ranked"),
        (None, "ranked"),
        (None, "random"),
    ]
    assert (hits[2].stable.n, hits[2].pending) == (0, 2)
    assert (hits[3].stable.k, hits[3].stable.n, hits[3].pending) == (1, 3, 2)


def test_page_tables_and_commands_count_alike(binary: Tables, tmp_path: Path) -> None:
    """References are no candidates, and a candidate that repeats a find is a hit wherever."""
    found = written(tmp_path, with_twin(binary, "Cu3Au", 1))
    report, by_generator = build_report(found), shares(found)
    assert report.n_candidates == sum(share.candidates for share in by_generator) == 5
    assert report.n_evaluated == sum(share.evaluated for share in by_generator) == 5
    assert sum(hit.stable.k for hit in report.hits) == sum(s.hits.k for s in by_generator) == 2
    assert sum(hit.stable.n for hit in report.hits) == sum(s.hits.n for s in by_generator) == 5
    assert len(report.finds) == len(stable_table(report)) == by_generator[0].stable.n == 1
    assert "5 reference phases 2 " in text_of(render_html(report))


def test_the_ranking_is_praised_only_when_the_intervals_part() -> None:
    def pair(ranked: tuple[int, int], random: tuple[int, int]) -> str:
        return comparison(
            [
                HitRate(0, name, 0, 0, wilson(*hits), wilson(*hits))
                for name, hits in (("ranked", ranked), ("random", random))
            ]
        )

    assert "more stable phases than chance" in pair((30, 40), (2, 40))
    assert "fewer stable phases than chance" in pair((2, 40), (30, 40))
    assert "a benefit of ranking is not shown" in pair((3, 4), (1, 4))
    assert "cannot be judged yet" in pair((3, 4), (0, 0))
    assert "cannot be judged yet" in comparison([])
