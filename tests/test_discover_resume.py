"""Campaigns that are cut: killed at any write, out of minutes or evaluations, and gone on with."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from gnomon.cli import main
from gnomon.discover import Campaign, discover, loop
from gnomon.discover.settings import load_config
from gnomon.evaluate import table
from gnomon.run.deadline import OutOfTimeError
from gnomon.run.listener import SILENT
from gnomon.run.store import Store
from tests.calculators import FastEvaluator
from tests.conftest import EMT
from tests.small_campaigns import assert_whole, copied_before_writes, run, settings, tables

# --- killed at every write ------------------------------------------------------------------------


@pytest.mark.usefixtures("few")
def test_killed_before_and_after_every_write_it_ends_as_if_undisturbed(tmp_path: Path) -> None:
    """Every write is a rename: a copy of the folder just before each is exactly what SIGKILL leaves
    at that moment, temporary file included, and what it leaves just after the one before."""
    folder = tmp_path / "campaign"
    with copied_before_writes(folder, tmp_path) as copies:
        ending = run(folder)
    assert len(copies) > 20
    expected, hull = tables(folder), Campaign(folder).hull_table()
    for copy in copies:
        stored = set(Store(copy).table("evaluations")["id"].to_pylist())
        evaluator = FastEvaluator()
        assert run(copy, evaluator) == ending, copy
        assert not stored & set(evaluator.asked), copy
        assert len(evaluator.asked) == len(set(evaluator.asked)), copy
        assert tables(copy) == expected, copy
        assert Campaign(copy).hull_table().equals(hull), copy
        assert load_config(copy / "config.toml", {}) == settings(decide__levels="none"), copy
        assert not list(copy.rglob("part*.tmp")), copy


class Killed(BaseException):
    """Stands for Ctrl-C and everything else that no handler of errors should swallow."""


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("chunks", [0, 2, 4])
def test_interrupted_in_an_evaluation_it_loses_at_most_the_shard_in_work(
    tmp_path: Path, chunks: int
) -> None:
    left = iter(range(chunks))

    def interrupt() -> None:
        if next(left, None) is None:
            raise Killed

    evaluator = FastEvaluator(before_chunk=interrupt)
    with pytest.raises(Killed):
        run(tmp_path / "a", evaluator)
    stored = Store(tmp_path / "a").table("evaluations")["id"].to_pylist()
    assert stored == evaluator.asked
    evaluator.before_chunk = lambda: None
    run(tmp_path / "a", evaluator)
    assert len(evaluator.asked) == len(set(evaluator.asked)) == 10
    run(tmp_path / "b")
    assert tables(tmp_path / "a") == tables(tmp_path / "b")


def command(folder: Path) -> list[str]:
    config = folder.parent / "settings.toml"
    config.write_text(
        "[generate]\ngenerators = ['prototypes']\nmax_atoms = 2\n"
        "[learn]\nmin_labels = 1000\nprior = false\n[relax]\nfmax = 0.1\n"
        "[budget]\nrounds = 1\nfirst_round = 4\n"
        f"[evaluator]\nname = {EMT!r}\nworkers = 1\n"
    )
    arguments = ["discover", "Al-Ni", "--config", str(config), "--out", str(folder)]
    return [sys.executable, "-m", "gnomon", *arguments]


def test_kill_minus_nine_and_the_same_command_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "campaign"
    evaluations = folder / "evaluations" / "round=000"
    with subprocess.Popen(command(folder), stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 120
        while not list(evaluations.glob("part-*.parquet")):
            assert process.poll() is None, process.stderr
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    stored = Store(folder).table("evaluations")["id"].to_pylist()
    assert 0 < len(stored) < 36
    again = subprocess.run(command(folder), capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert "ended: the budget of 1 rounds is used" in again.stderr
    assert_whole(folder)
    assert Store(folder).table("evaluations")["id"].to_pylist()[: len(stored)] == stored
    page = folder / "report" / "index.html"
    words = page.read_text("utf-8")
    page.unlink()
    assert main(["report", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["report"] == str(page)
    assert page.read_text("utf-8") == words


# --- budgets --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("few")
def test_a_larger_budget_goes_on_where_the_smaller_ended(tmp_path: Path) -> None:
    run(tmp_path / "a", budget__rounds=1)
    assert "rounds" in run(tmp_path / "a")
    run(tmp_path / "b")
    assert tables(tmp_path / "a") == tables(tmp_path / "b")


@pytest.mark.usefixtures("few")
def test_more_evaluations_reopen_a_campaign_that_had_used_its_own(tmp_path: Path) -> None:
    ending = run(tmp_path, budget__evaluations=3, budget__rounds=9)
    assert ending == "ended: the budget of 3 evaluations is used"
    assert Counter(Store(tmp_path).table("evaluations")["round"].to_pylist()) == {0: 6, 1: 2, 2: 1}
    evaluator = FastEvaluator()
    ending = run(tmp_path, evaluator, budget__evaluations=100, budget__rounds=9)
    assert ending == "ended: every candidate has been evaluated or ruled out"
    assert len(evaluator.asked) == 1
    assert_whole(tmp_path)


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("evaluations", [1, 2, 5])
def test_no_more_evaluations_than_the_budget_allows(tmp_path: Path, evaluations: int) -> None:
    run(tmp_path, budget__evaluations=evaluations, screen__random_share=0.5)
    rounds = Store(tmp_path).table("evaluations")["round"].to_pylist()
    assert 0 < sum(number > 0 for number in rounds) <= evaluations


@pytest.mark.usefixtures("few")
def test_minutes_end_a_command_and_the_next_one_goes_on(tmp_path: Path) -> None:
    asked, endings = [], []
    for _ in range(20):
        evaluator = FastEvaluator()
        endings.append(run(tmp_path / "a", evaluator, budget__minutes=1e-9))
        asked += evaluator.asked
        if "minutes" not in endings[-1]:
            break
    assert endings[0] == "ended in round 0: the minutes are used up (the same command goes on)"
    assert endings[-1] == "ended: the budget of 2 rounds is used"
    assert len(asked) == len(set(asked)) == 10
    run(tmp_path / "b")
    assert tables(tmp_path / "a") == tables(tmp_path / "b")


# --- time -----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("few")
def test_minutes_cut_a_generator_that_takes_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "GRACE", 0.5)
    monkeypatch.setattr(loop, "REPORT", (0.0, 0.0))
    slept: list[float] = []

    def slow(*_: object) -> str:
        slept.append(time.monotonic())
        while time.monotonic() < slept[0] + 60:
            time.sleep(0.01)
        return ""

    monkeypatch.setattr(loop, "propose", slow)
    began = time.monotonic()
    ending = run(tmp_path, FastEvaluator(), budget__minutes=0.01)
    assert time.monotonic() - began < 20
    assert ending == "ended in round 0: the minutes are used up (the same command goes on)"


@pytest.mark.usefixtures("few")
def test_minutes_leave_time_for_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine the report alone took longer than the grace."""
    monkeypatch.setattr(loop, "GRACE", 0.5)
    monkeypatch.setattr(loop, "REPORT", (11.9, 0.0))
    monkeypatch.setattr(loop, "slowness", lambda: 5.0)
    monkeypatch.setattr(loop, "propose", lambda *_: time.sleep(600))
    began = time.monotonic()
    ending = run(tmp_path, FastEvaluator(), budget__minutes=1.0)
    assert time.monotonic() < began + 60
    assert "minutes are used up" in ending


@pytest.mark.usefixtures("few")
def test_what_a_command_leaves_is_the_folder(tmp_path: Path) -> None:
    """Levels that were made before a cut are kept, and nothing that came after them is missed."""
    free = iter(range(4))

    def cut() -> None:
        if next(free, None) is None:
            raise OutOfTimeError

    left = discover(settings(), Store(tmp_path), FastEvaluator(before_chunk=cut), SILENT)
    anew = Campaign(tmp_path)
    assert "minutes are used up" in left.why
    assert len(anew.all_evaluations) == 8
    assert left.campaign.all_evaluations == anew.all_evaluations
    assert left.campaign.hull_table() == anew.hull_table()


@pytest.mark.usefixtures("few")
def test_what_was_evaluated_when_the_time_ran_out_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "GRACE", 0.5)
    monkeypatch.setattr(loop, "REPORT", (0.0, 0.0))
    monkeypatch.setattr(table, "SHARD", 100)
    left = iter((0.0, 0.0, 60.0))
    stuck = FastEvaluator(before_chunk=lambda: time.sleep(next(left)))
    began = time.monotonic()
    ending = run(tmp_path, stuck, budget__minutes=0.1)
    assert time.monotonic() - began < 20
    assert "minutes are used up" in ending
    assert len(Store(tmp_path).table("evaluations")) == 4
