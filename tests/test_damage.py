"""The short form of benchmarks/damage.py: damage never changes an answer without a word."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from benchmarks import damage


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A campaign without verification and model; tests only read it."""
    return damage.finished(tmp_path_factory.mktemp("small"))


def test_no_damage_changes_an_answer_without_a_word(small: Path, tmp_path: Path) -> None:
    shutil.copytree(small.parent, tmp_path / "copy")
    held(tmp_path / "copy" / small.name, 4, 1)


@pytest.mark.slow
def test_no_damage_to_any_kind_of_file_changes_an_answer_without_a_word(tmp_path: Path) -> None:
    held(damage.finished(tmp_path, verified=True, model=True), 250, 50)


def held(folder: Path, flips: int, others: int) -> None:
    found = damage.measure(folder, flips, others, 1)
    assert found["silent or traceback"] == []
    outcomes = found["outcomes"]
    assert isinstance(outcomes, dict)
    assert sum(sum(counts.values()) for counts in outcomes.values()) == flips + 3 * others


IN_PYTHON = re.compile(r"\{'|<[\w.]+ object at 0x|np\.float64\(|Timestamp\(|/tmp/|/var/folders/")
"""What no result table may hold: Python's own writing of values, and places that will be gone."""


def texts(table: pa.Table) -> Iterator[tuple[str, str]]:
    """Column and text of every text in a table, in lists and structs too."""
    for name in table.column_names:
        for value in table[name].to_pylist():
            yield from ((name, text) for text in strings(value))


def strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from strings(inner)


@pytest.mark.parametrize("verified", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_no_table_of_a_campaign_holds_a_dictionary_or_a_temporary_path(
    small: Path, tmp_path: Path, verified: bool
) -> None:
    """The settings and provenance may: they say where the inputs were."""
    folder = damage.finished(tmp_path, verified=True) if verified else small
    tables = sorted(folder.rglob("*.parquet"))
    assert {path.relative_to(folder).parts[0] for path in tables} >= {
        "crystals",
        "evaluations",
        "hull.parquet",
        "lineage",
        "screening",
        *(["verification"] if verified else []),
    }
    read = [(path, name, text) for path in tables for name, text in texts(pq.read_table(path))]
    read += [(path, "", path.read_text("utf-8")) for path in folder.rglob("*.csv")]
    assert [one for one in read if IN_PYTHON.search(one[2])] == []
