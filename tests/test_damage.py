"""The short form of benchmarks/damage.py: damage never changes an answer without a word."""

import pytest
from benchmarks import damage


def test_no_damage_changes_an_answer_without_a_word() -> None:
    held(4, 1)


@pytest.mark.slow
def test_no_damage_to_any_kind_of_file_changes_an_answer_without_a_word() -> None:
    held(250, 50, verified=True, model=True)


def held(flips: int, others: int, **what: bool) -> None:
    found = damage.measure(flips, others, 1, **what)
    assert found["silent or traceback"] == []
    outcomes = found["outcomes"]
    assert isinstance(outcomes, dict)
    assert sum(sum(counts.values()) for counts in outcomes.values()) == flips + 3 * others
