"""The loop: what a campaign holds at its end, whatever killed it on the way; what it refuses."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gnomon.cli import main
from gnomon.crystals import Crystals
from gnomon.discover import Campaign, discover, finds, loop, placed
from gnomon.discover.loop import run_campaign
from gnomon.discover.settings import CampaignConfig, ConfigError, load_config
from gnomon.dynamics.settings import RelaxConfig
from gnomon.evaluate import table
from gnomon.evaluate.ase import AseEvaluator
from gnomon.evaluate.batched import BatchedEvaluator
from gnomon.evaluate.corrections import Corrected
from gnomon.generate import Candidates
from gnomon.generate.prototypes.generator import PrototypeGenerator
from gnomon.generate.registry import GENERATORS, GeneratorSettings
from gnomon.hull.phases import ON_HULL
from gnomon.io import write
from gnomon.potential.predict import load_potential
from gnomon.report.build import build_report
from gnomon.run.deadline import OutOfTimeError
from gnomon.run.listener import SILENT
from gnomon.run.store import SCHEMAS, Store
from gnomon.run.writing import StoreError
from gnomon.verify.plan import plan
from tests.calculators import FastEvaluator
from tests.conftest import EMT

AL, NI = 13, 28

SETTINGS: dict[str, Any] = {
    "system": "Al-Ni",
    "evaluator.name": EMT,
    "generate.generators": ["prototypes"],
    "generate.max_atoms": 2,
    "learn.min_labels": 1000,  # no network: only one test below trains one
    "learn.prior": False,  # nor asks those of the package
    "budget.rounds": 2,
    "budget.first_round": 2,
    "screen.random_share": 0.4,  # one ranked, one random
}


def settings(**changes: Any) -> CampaignConfig:
    overrides = {key.replace("__", "."): value for key, value in changes.items()}
    return load_config(None, SETTINGS | overrides)


@cache
def few_prototypes(system: tuple[str, ...], max_atoms: int) -> Candidates:
    """The first prototypes of as many species as there are elements: fcc, bcc, ..., B2, B1, ..."""
    [chunk] = PrototypeGenerator(system, max_atoms).generate(Crystals.empty(), seed=0)
    species = (chunk.crystals.composition > 0).sum(axis=1)
    first = np.flatnonzero(species == len(system))[: 2 + len(system)]
    return Candidates(chunk.crystals[first], chunk.lineage.take(first))


class FewPrototypes:
    """Few enough to run a campaign in a fraction of a second; two chunks, so two shards."""

    name = "prototypes"

    def __init__(self, settings: GeneratorSettings) -> None:
        self.chunk = few_prototypes(settings.system, settings.max_atoms)

    def generate(self, parents: Crystals, *, seed: int) -> Iterator[Candidates]:
        crystals, lineage = self.chunk.crystals, self.chunk.lineage
        yield Candidates(crystals[:2], lineage.slice(0, 2))
        yield Candidates(crystals[2:], lineage.slice(2))


ANSWERS: dict[Any, np.ndarray] = {}
"""Of spglib, for the crystals that every campaign below asks it about."""


def remembered(function: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    def ask(crystals: Crystals, *arguments: float) -> np.ndarray:
        key = (function.__name__, *crystals.ids, *arguments)
        if key not in ANSWERS:
            ANSWERS[key] = function(crystals, *arguments)
        return ANSWERS[key]

    return ask


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few candidates, and evaluations in shards of two."""
    monkeypatch.setitem(GENERATORS.built_in, "prototypes", f"{__name__}:FewPrototypes")
    monkeypatch.setattr(table, "SHARD", 2)
    for module, name in ((placed, "in_ground_state"), (finds, "space_groups")):
        # half of the time, for the same crystals
        monkeypatch.setattr(module, name, remembered(getattr(module, name)))


def fast_evaluator(*_: Any) -> FastEvaluator:
    return FastEvaluator()


def run(folder: Path, evaluator: FastEvaluator | None = None, **changes: Any) -> str:
    return discover(settings(**changes), Store(folder), evaluator or FastEvaluator(), SILENT).why


def tables(folder: Path) -> dict[str, pa.Table]:
    return {name: Store(folder).table(name) for name in SCHEMAS}


def assert_whole(folder: Path) -> None:
    """What holds in every campaign that has ended."""
    found, hull = tables(folder), Campaign(folder).hull_table()
    ids = found["crystals"]["id"].to_pylist()
    assert len(set(ids)) == len(ids)
    assert sorted(found["lineage"]["id"].to_pylist()) == sorted(ids)
    keys = found["crystals"]["canonical_id"].to_pylist()
    assert len(set(keys)) == len(keys)
    evaluated = found["evaluations"]["id"].to_pylist()
    assert len(set(evaluated)) == len(evaluated)
    screened = found["screening"]
    assert set(screened["id"].to_pylist()) == set(ids)
    chosen = screened.filter(screened["selection"].is_valid())
    assert Counter(chosen["id"].to_pylist()) == Counter(evaluated)
    for row in screened.to_pylist():
        assert (row["reason"] == "") == (row["kept"] and row["selection"] is not None)
    assert min(hull["e_above_hull"].to_pylist()) >= 0
    converged = Counter(found["evaluations"]["status"].to_pylist())["converged"]
    assert len(hull) == converged
    assert set(hull["chemical_system"].to_pylist()) <= {"Al", "Ni", "Al-Ni"}
    for element in ("Al", "Ni"):
        rows = [r for r in hull.to_pylist() if r["reduced_formula"] == element]
        assert any(abs(r["formation_energy_per_atom"]) < 1e-12 for r in rows)
        assert any(r["stable"] for r in rows)
        assert all(r["is_reference"] for r in rows)
    assert all(r["stable"] == (r["e_above_hull"] <= ON_HULL) for r in hull.to_pylist())


# --- to the end -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("few")
def test_a_campaign_holds_every_fact_about_every_candidate(tmp_path: Path) -> None:
    evaluator = FastEvaluator()
    assert run(tmp_path, evaluator) == "ended: the budget of 2 rounds is used"
    assert_whole(tmp_path)
    found = tables(tmp_path)
    assert Counter(found["crystals"]["round"].to_pylist()) == {0: 6, 1: 4}
    assert Counter(found["evaluations"]["round"].to_pylist()) == {0: 6, 1: 2, 2: 2}
    assert len(evaluator.asked) == len(set(evaluator.asked)) == 10
    hull = Campaign(tmp_path).hull_table()
    stable = {r["reduced_formula"] for r in hull.to_pylist() if r["stable"]}
    assert stable > {"Al", "Ni"}
    assert build_report(Campaign(tmp_path))


@pytest.mark.usefixtures("few")
def test_the_same_seed_gives_the_same_campaign(tmp_path: Path) -> None:
    for name in "ab":
        run(tmp_path / name)
    assert tables(tmp_path / "a") == tables(tmp_path / "b")
    assert Campaign(tmp_path / "a").hull_table().equals(Campaign(tmp_path / "b").hull_table())


@pytest.mark.usefixtures("few")
def test_running_a_finished_campaign_again_changes_nothing(tmp_path: Path) -> None:
    ending = run(tmp_path)
    before = tables(tmp_path)
    evaluator = FastEvaluator()
    assert run(tmp_path, evaluator) == ending
    assert evaluator.asked == []
    assert tables(tmp_path) == before


@pytest.mark.usefixtures("few")
def test_a_campaign_is_run_in_one_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["gnomon.discover.loop"], "make_evaluator", fast_evaluator)
    monkeypatch.chdir(tmp_path)
    campaign = run_campaign(settings())
    assert campaign.store.root == Path("campaign-Al-Ni")
    assert campaign.config == settings(decide__levels="none")  # settled when it began
    run(tmp_path / "by the loop")
    assert tables(campaign.store.root) == tables(tmp_path / "by the loop")
    with pytest.raises(StoreError, match="other settings"):
        run_campaign("Al-Ni")


def test_the_potential_that_screens_ranks_what_is_left(tmp_path: Path) -> None:
    """Its estimates are energies of its own scheme: none lies above what evaluation finds."""
    config = settings(
        generate__max_atoms=3,
        learn__min_labels=10,
        budget__first_round=12,
        budget__per_round=5,
        screen__threshold=1.0,
    )
    evaluator = Corrected(BatchedEvaluator(load_potential("gnomon-1"), RelaxConfig(max_steps=0)))
    store = Store(tmp_path)
    discover(config, store, evaluator, SILENT)
    facts = store.finished(2, "screen")
    assert facts is not None
    assert facts["model"].startswith(evaluator.scheme)
    assert not store.has(store.model_name(2))
    screening = Campaign(store).level(0).placed
    rows = [row for row in store.table("screening", 2).to_pylist() if row["kept"]]
    best = sorted(rows, key=lambda row: row["predicted_e_above_hull"])[0]
    assert best["selection"] is not None
    assert all(row["predicted_e_above_hull"] <= 1.0 for row in rows)
    chosen = [row for row in rows if row["selection"] is not None and row["id"] in screening.row_of]
    assert chosen
    for row in chosen:
        found = screening.formation_energy_per_atom[screening.row_of[row["id"]]]
        assert row["predicted_formation_energy_per_atom"] <= found + 1e-4


def test_a_network_ranks_once_there_are_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Single points of EMT, a network of ten passes: what the loop does, not how well it ranks."""
    from gnomon.learn.optimize import OptimizerConfig
    from gnomon.models.structural.network import StructuralConfig
    from gnomon.models.structural.train import TrainConfig

    tiny = TrainConfig(
        network=StructuralConfig(width=8, passes=1),
        optimizer=OptimizerConfig(epochs=10, batch=16, learning_rate=1e-2),
        members=2,
        train_below=100,
        validate_below=100,
    )
    monkeypatch.setattr(TrainConfig, "small", lambda *_, **__: tiny)
    config = settings(
        generate__max_atoms=3,
        learn__min_labels=10,
        learn__prior=True,
        budget__first_round=12,
        budget__per_round=5,
        screen__threshold=1.0,
        screen__max_uncertainty=5.0,
        screen__random_share=0.25,
    )
    evaluator = AseEvaluator("ase.calculators.emt.EMT", {}, RelaxConfig(max_steps=0))
    store = Store(tmp_path)
    assert discover(config, store, evaluator, SILENT).why == "ended: the budget of 2 rounds is used"
    assert_whole(tmp_path)
    assert store.has(store.model_name(2))
    assert not (tmp_path / "work").exists()
    facts = [store.finished(number, "screen") for number in (1, 2)]
    assert facts[0] is not None
    assert facts[1] is not None
    names = "prototypes-2, structural-2, composition-1, which learned from other data: 0"
    assert facts[0]["model"].startswith(names)
    first = store.table("screening", 1).to_pylist()
    assert all(row["predicted_e_above_hull"] is None for row in first)  # of another scheme
    assert Counter(row["selection"] for row in first)["ranked"] == 9
    assert facts[1]["model"].startswith("ensemble of 2 networks (sha256 ")
    assert facts[1]["n_labels"] == 12
    rows = store.table("screening", 2).to_pylist()
    assert all(row["predicted_e_above_hull"] is not None for row in rows if row["kept"])
    how = Counter(row["selection"] for row in rows)
    assert 1 <= how["ranked"] <= 4
    assert how["random"] == 1
    merit = {row["id"]: row["predicted_e_above_hull"] for row in rows}
    formula = dict(
        zip(
            *[store.table("crystals")[c].to_pylist() for c in ("id", "reduced_formula")],
            strict=True,
        )
    )
    ranked = [row["id"] for row in rows if row["selection"] == "ranked"]
    assert len({formula[key] for key in ranked}) == len(ranked)
    passed_over = [r["id"] for r in rows if r["kept"] and r["selection"] is None]
    for key in ranked:
        rivals = [merit[other] for other in passed_over if formula[other] == formula[key]]
        assert all(merit[key] <= rival for rival in rivals)
    assert build_report(Campaign(store))


@pytest.mark.usefixtures("few")
def test_parents_and_known_crystals(tmp_path: Path) -> None:
    """A known compound competes from round 0 on, and its composition is not proposed again."""
    nickel_aluminide = few_prototypes(("Al", "Ni"), 2).crystals[0]
    gold = Crystals.single(np.eye(3) * 4, [79], [[0, 0, 0]])  # outside of the system
    write(tmp_path / "known.extxyz", Crystals.concatenate([nickel_aluminide, gold]))
    run(tmp_path / "campaign", generate__known=[str(tmp_path / "known.extxyz")])
    store = Store(tmp_path / "campaign")
    lineage = store.table("lineage", 0).to_pylist()
    assert [r["change"] for r in lineage if r["generator"] == "known"] == ["as given"]
    hull = Campaign(store).hull_table().to_pylist()
    assert [r["is_reference"] for r in hull if r["reduced_formula"] == "AlNi"] == [True]
    reasons = set(store.table("screening", 1)["reason"].to_pylist())
    assert reasons == {"known composition"}


# --- killed at every write ------------------------------------------------------------------------


@pytest.mark.usefixtures("few")
def test_killed_before_and_after_every_write_it_ends_as_if_undisturbed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every write is a rename: a copy of the folder just before each is exactly what SIGKILL leaves
    at that moment, temporary file included, and what it leaves just after the one before."""
    folder, copies = tmp_path / "campaign", []
    rename = Path.replace

    def watched(self: Path, target: Path) -> Path:
        copies.append(shutil.copytree(folder, tmp_path / f"copy-{len(copies):03d}"))
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", watched)
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
        "[learn]\nmin_labels = 1000\n[budget]\nrounds = 1\nfirst_round = 4\n[relax]\nfmax = 0.1\n"
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


# --- failures are rows ----------------------------------------------------------------------------


@pytest.mark.usefixtures("few")
def test_an_element_without_a_reference_ends_the_campaign_and_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no structure of Al could be relaxed"):
        run(tmp_path, FastEvaluator(failing=(AL,)))
    store = Store(tmp_path)
    statuses = Counter(store.table("evaluations")["status"].to_pylist())
    assert statuses == {"converged": 3, "not_converged": 3}
    hull = Campaign(store).hull_table()  # what `gnomon report` shows of it, as the message promises
    assert set(hull["reduced_formula"].to_pylist()) == {"Ni"}
    assert build_report(Campaign(store))


@pytest.mark.usefixtures("few")
def test_a_campaign_in_which_nothing_converged_can_be_reported(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no structure of Al, Ni could be relaxed"):
        run(tmp_path, FastEvaluator(failing=(AL, NI)))
    assert len(Campaign(tmp_path).hull_table()) == 0
    assert build_report(Campaign(tmp_path))


# --- folders of before ---------------------------------------------------------------------------


@pytest.mark.usefixtures("few")
def test_a_folder_of_before_finds_were_typed_is_read_and_goes_on(tmp_path: Path) -> None:
    """``data/campaign-of-0edff58.zip`` is what one round of ``run`` below left at that commit."""
    with zipfile.ZipFile(Path(__file__).parent / "data" / "campaign-of-0edff58.zip") as file:
        file.extractall(tmp_path / "old")
    old = Campaign(tmp_path / "old")
    (find,) = old.finds
    assert (find.id, find.reduced_formula) == ("1a83bca6f7b111fbb0547f5a", "AlNi")
    assert find.distance_to_rest == pytest.approx(-0.30173584150490207, abs=1e-12)
    assert build_report(old).n_evaluated == 2
    assert plan(old, 1).targets[0].find == find
    recorded = pq.read_table(tmp_path / "old" / "hull.parquet")
    by_id = [("id", "ascending")]
    without_levels = old.hull_table().drop_columns("level")
    assert without_levels.sort_by(by_id).equals(recorded.sort_by(by_id))
    run(tmp_path / "old")
    run(tmp_path / "new")
    gone_on, whole = (
        tables(tmp_path / name) | {"evaluations": Campaign(tmp_path / name).all_evaluations}
        for name in ("old", "new")
    )
    assert gone_on == whole


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"seed": 1}, "seed: 0 before, 1 now"),
        ({"system": "Al-Pt"}, r"system: \['Al', 'Ni'\] before, \['Al', 'Pt'\] now"),
        ({"screen.threshold": 0.1}, "screen.threshold: 0.05 before, 0.1 now"),
        ({"relax.fmax": 0.1}, "relax.fmax: 0.02 before, 0.1 now"),
        ({"evaluator.options": {"a": 1}}, r"evaluator.options: \{\} before, \{'a': 1\} now"),
    ],
)
def test_other_settings_are_refused_and_the_difference_named(
    tmp_path: Path, changes: dict[str, Any], difference: str
) -> None:
    discover(settings(budget__rounds=1), Store(tmp_path), FastEvaluator(), SILENT)
    before = tables(tmp_path)
    with pytest.raises(StoreError, match=rf"other settings \({difference}\).*only \[budget\] may"):
        discover(load_config(None, SETTINGS | changes), Store(tmp_path), FastEvaluator(), SILENT)
    assert tables(tmp_path) == before


@pytest.mark.usefixtures("few")
def test_the_order_of_the_elements_makes_no_other_campaign(tmp_path: Path) -> None:
    run(tmp_path / "a", budget__rounds=1)
    run(tmp_path / "b", budget__rounds=1, system="Ni-Al")
    assert tables(tmp_path / "a") == tables(tmp_path / "b")
    assert Campaign(tmp_path / "b").name == "Ni-Al"
    run(tmp_path / "b")
    assert Campaign(tmp_path / "b").name == "Ni-Al"


@pytest.mark.usefixtures("few")
def test_another_energy_scheme_is_refused(tmp_path: Path) -> None:
    run(tmp_path, FastEvaluator("one"), budget__rounds=1)
    with pytest.raises(StoreError, match="energy scheme: one before, two now"):
        run(tmp_path, FastEvaluator("two"))


@pytest.mark.usefixtures("few")
def test_evaluations_of_two_schemes_never_share_a_hull(tmp_path: Path) -> None:
    """An evaluator whose package was updated in the middle of a run."""
    evaluator = FastEvaluator("one")
    evaluator.before_chunk = lambda: setattr(evaluator, "scheme", "two")
    with pytest.raises(
        StoreError, match=r"mixes the energy schemes one and two: .*cannot share a hull"
    ):
        run(tmp_path, evaluator)


@pytest.mark.usefixtures("few")
def test_input_files_that_changed_are_refused(tmp_path: Path) -> None:
    known = tmp_path / "known.extxyz"
    crystals = few_prototypes(("Al", "Ni"), 2).crystals
    write(known, crystals[0])
    folder = tmp_path / "campaign"
    run(folder, generate__known=[str(known)], budget__rounds=1)
    known.unlink()
    write(known, crystals[1])
    with pytest.raises(StoreError, match="the contents of the input files"):
        run(folder, generate__known=[str(known)])


@pytest.mark.usefixtures("few")
def test_a_folder_of_other_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("mine")
    with pytest.raises(StoreError, match=r"not empty and no campaign \(it holds config.toml\)"):
        run(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} <= {"config.toml", ".lock", ".lock.pid"}
    assert (tmp_path / "config.toml").read_text() == "mine"


@pytest.mark.parametrize("text", [None, "not a crystal"])
def test_inputs_that_cannot_be_read_begin_no_campaign(tmp_path: Path, text: str | None) -> None:
    """Else the corrected command would be refused for its other settings."""
    if text is not None:
        (tmp_path / "known.cif").write_text(text)
    folder = tmp_path / "campaign"
    with pytest.raises(ValueError, match=r"known\.cif"):
        run(folder, generate__known=[str(tmp_path / "known.cif")])
    assert not Store(folder).exists


def test_candidates_of_another_program_take_part_under_its_name(tmp_path, few):
    """Once, in the first round, and only those of the system."""
    foreign = Crystals.single(3 * np.eye(3), [29], [[0, 0, 0]])
    ours = Crystals.single(
        np.diag([2.9, 2.9, 5.8]), [AL, NI, NI], [[0, 0, 0], [0.5, 0.5, 0.25], [0.5, 0.5, 0.75]]
    )
    file = tmp_path / "made.extxyz"
    write(file, Crystals.concatenate([foreign, ours]))
    outside = {"generate__candidates": [str(file)], "generate__label": "diffusion"}
    run(tmp_path / "c", generate__max_atoms=3, **outside)
    rows = Store(tmp_path / "c").table("lineage").to_pylist()
    made = [row for row in rows if row["generator"] == "diffusion"]
    assert [row["id"] for row in made] == ours.ids.tolist()
    assert "made.extxyz" in made[0]["change"]


# --- generators by name ---------------------------------------------------------------------------


def test_generators_by_name() -> None:
    given = GeneratorSettings(("Al", "Ni"), 2, (), frozenset())
    for name in GENERATORS.built_in:
        assert GENERATORS.get(name)(given).name == name
    with pytest.raises(ConfigError, match=r"there are .*prototypes, .*substitution"):
        settings(generate__generators=["mine"])


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
