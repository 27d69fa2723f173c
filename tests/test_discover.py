"""The loop: what a campaign holds at its end, failures and folders of before included."""

import sys
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from gnomon.crystals import Crystals
from gnomon.discover import Campaign, discover
from gnomon.discover.loop import run_campaign
from gnomon.discover.settings import ConfigError
from gnomon.dynamics.settings import RelaxConfig
from gnomon.evaluate.ase import AseEvaluator
from gnomon.evaluate.batched import BatchedEvaluator
from gnomon.generate.registry import GENERATORS, GeneratorSettings
from gnomon.io import write
from gnomon.report.build import build_report
from gnomon.run.listener import SILENT
from gnomon.run.store import Store
from gnomon.run.writing import StoreError
from gnomon.verify.plan import plan
from tests.calculators import FastEvaluator
from tests.small_campaigns import AL, NI, assert_whole, few_prototypes, run, settings, tables
from tests.tiny_potentials import MORSE


def fast_evaluator(*_: Any) -> FastEvaluator:
    return FastEvaluator()


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
        system="Al-Cu",
        generate__max_atoms=3,
        learn__min_labels=10,
        budget__first_round=12,
        budget__per_round=5,
        screen__threshold=1.0,
    )
    evaluator = BatchedEvaluator(MORSE, RelaxConfig(max_steps=0))
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


# --- folders of before ----------------------------------------------------------------------------


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
    assert_alike(gone_on, whole)


def assert_alike(one: dict[str, pa.Table], other: dict[str, pa.Table]) -> None:
    """But for the last digits, which are another processor's, and the hashes of them."""
    assert set(one) == set(other)
    for name, table in one.items():
        assert len(table) == len(other[name])
        for column in set(table.column_names) - {"id", "relaxed_id"}:
            mine, theirs = table[column], other[name][column]
            while pa.types.is_nested(mine.type):
                mine, theirs = pc.list_flatten(mine), pc.list_flatten(theirs)
            if pa.types.is_floating(mine.type):
                np.testing.assert_allclose(mine.to_numpy(), theirs.to_numpy(), 1e-9, 1e-12)
            else:
                assert mine.equals(theirs), (name, column)


# --- candidates of others -------------------------------------------------------------------------


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
