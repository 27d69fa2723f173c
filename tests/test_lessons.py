"""The lessons: they run, print what they say, and end with exercises that are solved."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"
sys.path.insert(0, str(DOCS))
import run_lessons  # noqa: E402

LONG = ("graph-network", "molecular-dynamics", "a-find", "generators")
"""Lessons of more than five seconds."""


@pytest.fixture(autouse=True, scope="module")
def _compiled_as_for_users() -> Iterator[None]:
    """Printed digits are those of optimised programs, which other tests do without (conftest)."""
    option = "jax_disable_most_optimizations"
    before = jax.config.read(option)
    jax.clear_caches()
    jax.config.update(option, False)
    yield
    jax.clear_caches()
    jax.config.update(option, before)


def marked(page: Path) -> object:
    return pytest.param(page, marks=[pytest.mark.slow] * (page.stem in LONG), id=page.stem)


@pytest.mark.parametrize("page", [marked(page) for page in run_lessons.pages()])
def test_a_lesson_prints_what_it_says(page: Path) -> None:
    assert run_lessons.rewritten(page) == page.read_text("utf-8")


@pytest.mark.parametrize("page", run_lessons.pages(), ids=lambda page: page.stem)
def test_a_lesson_has_two_exercises_with_solutions_and_stands_in_the_list(page: Path) -> None:
    text = page.read_text("utf-8")
    exercises, _, solutions = text.partition("## Exercises")[2].partition("### Solutions")
    assert len(re.findall(r"^\d\. ", exercises, re.MULTILINE)) == 2
    assert "```python" in solutions
    assert f"({page.name})" in (page.parent / "index.md").read_text("utf-8")


def test_a_lesson_whose_output_differs_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sum.md").write_text("```python\nprint(1 + 1)\n```\n\n```text\n3\n```\n")
    monkeypatch.setattr(run_lessons, "LESSONS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["run_lessons.py"])
    with pytest.raises(SystemExit, match="1"):
        run_lessons.main()
    assert "changed" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["run_lessons.py", "--write"])
    with pytest.raises(SystemExit, match="0"):
        run_lessons.main()
    assert "```text\n2\n```" in (tmp_path / "sum.md").read_text()
