"""Campaigns without a system: what rounds teach, and the whole."""

import itertools
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file as arrays

from gnomon.cli import main
from gnomon.crystals import Crystals
from gnomon.discover.campaign import Campaign
from gnomon.discover.inputs import read_inputs
from gnomon.discover.loop import run_campaign
from gnomon.discover.settings import BudgetConfig, CampaignConfig, ConfigError, load_config
from gnomon.discover.wide import networks
from gnomon.discover.wide.competing import asked
from gnomon.discover.wide.database import MATERIALS_PROJECT, Database
from gnomon.discover.wide.learning import learned
from gnomon.discover.wide.networks import LEARNING, with_known
from gnomon.discover.wide.offsets import offset_of
from gnomon.elements import COVALENT_RADII
from gnomon.hull.phases import Phases
from gnomon.io import to_arrow
from gnomon.models.bundled import STRUCTURAL
from gnomon.models.card import Labelled
from gnomon.models.ensemble import load_model
from gnomon.models.structural.train import going_on, train
from gnomon.report.build import build_report
from gnomon.report.rows import pace
from gnomon.run.listener import SILENT, Listener
from gnomon.run.writing import write_parquet
from tests.test_wide import CUBE, ENERGIES, SALT, parents

# --- learning -----------------------------------------------------------------------------------


def test_nothing_is_learned_from_nothing():
    weights = np.array([1.0, -2.0])
    same = learned(np.zeros((0, 2)), np.zeros(0, bool), weights, 0.5)
    np.testing.assert_allclose(same, weights, atol=1e-9)


def test_enough_evaluations_overrule_what_was_expected():
    rng = np.random.default_rng(0)
    evidence = rng.normal(size=(4000, 2))
    true = np.array([-1.0, 2.0])
    stable = rng.random(4000) < 1 / (1 + np.exp(-(evidence @ true)))
    far = learned(evidence, stable, np.array([1.0, -2.0]), 0.5)
    np.testing.assert_allclose(far, true, atol=0.25)


def test_the_network_learns_what_holds_for_like_compositions_too():
    """Halides whose energies differ by an amount an element: those not shown come out better."""
    halides = itertools.product((3, 11, 19, 37, 55, 47), (9, 17, 35, 53))
    cells = [
        Crystals.single(2.4 * float(COVALENT_RADII[[a, b]].sum()) / 2 * CUBE, [a, b], SALT)
        for a, b in halides
    ]
    crystals = Crystals.concatenate(cells)
    model = load_model(STRUCTURAL)
    moved = np.zeros(119)
    moved[[3, 11, 19, 37, 55, 47, 9, 17, 35, 53]] = 0.3, -0.2, 0.1, 0.2, 0.4, -0.3, 0.2, 0.3, 0, 0.4
    values = model.predict(crystals).median + crystals.fractions @ moved
    shown = np.arange(len(crystals)) % 3 > 0
    none = Phases(np.zeros(0, object), np.zeros((0, 119)), np.zeros(0), model.scheme)
    database = Database(parents(), parents().ids, ENERGIES, model.scheme, none)
    labels = Labelled(crystals[shown], values[shown], scheme=model.scheme)
    data = with_known(labels, database, [0, 2])
    assert len(data) == len(labels) + len(parents())
    settings = going_on(model, "0" * 64, optimizer=LEARNING, train_below=100, validate_below=100)
    taught = train(data, settings, start=model)
    others = crystals[~shown]
    before, after = (
        np.abs(one.predict(others).median - values[~shown]).mean() for one in (model, taught)
    )
    assert after < 0.6 * before


# --- the whole ----------------------------------------------------------------------------------


@pytest.fixture
def alloys(tmp_path: Path) -> Path:
    write_alloys(tmp_path / "alloys.parquet")
    return tmp_path / "alloys.parquet"


def write_alloys(path: Path) -> None:
    """Alloys and elements with energies of EMT: what competes with what is found among them."""
    pairs = [(29, 79), (28, 29), (46, 79), (47, 79), (28, 78)]
    cells = [Crystals.single(3.9 / 2 * CUBE, [z], [[0, 0, 0]]) for z in (28, 29, 46, 47, 78, 79)]
    for a, b in pairs:
        lattice = np.diag([2.75, 2.75, 3.8])
        cells.append(Crystals.single(lattice, [a, b], SALT))
    crystals = Crystals.concatenate(cells)
    energies = np.array([0.0] * 6 + [-0.05, -0.01, -0.05, -0.03, -0.06])
    table = to_arrow(crystals).append_column("formation_energy_per_atom", pa.array(energies))
    write_parquet(path, table)


def settings_of_alloys(alloys: Path, **run: object) -> CampaignConfig:
    return CampaignConfig(
        generate={"parents": [alloys], "max_atoms": 4, "generators": ["substitution"]},
        evaluator={"name": "ase:ase.calculators.emt.EMT", "workers": 1},
        screen={"threshold": 0.5, "max_uncertainty": 10.0},
        budget={"evaluations": 6, "rounds": 1, "per_round": 4},
        wide={"buckets": 1, "elements": ["Cu", "Au", "Ni", "Pd", "Ag", "Pt"]},
        run={"runner_workers": 1, **run},
    )


def settings_of_lessons(alloys: Path, rounds: int = 2) -> CampaignConfig:
    """Of a campaign whose second round ranks with what the first taught, and breeds it."""
    budget = BudgetConfig(evaluations=8, rounds=rounds, per_round=4)
    config = settings_of_alloys(alloys)
    generate = config.generate.model_copy(update={"generators": ("substitution", "evolution")})
    return config.model_copy(update={"budget": budget, "generate": generate})


def test_a_campaign_without_a_system(alloys, tmp_path, monkeypatch):
    config = settings_of_alloys(alloys)
    campaign = run_campaign(config, tmp_path / "campaign")
    assert campaign.name == "all"
    new = campaign.evaluations.filter(pc.greater(campaign.evaluations["round"], 0))
    assert 0 < len(new) <= 4
    # references came on demand, in the scheme of the candidates, and close all verdicts
    inputs = read_inputs(config, SILENT)
    want = asked(campaign.level(0), inputs.database, config.decide)
    assert not want.open
    assert not len(want.crystals)
    assert any(phase.known for phase in campaign.phases)
    facts = campaign.store.finished(1, "generate")
    assert facts["funnel"]["proposed by substitution"] > 0
    first, second, left = pace(campaign)
    proposed = sum(n for name, n in facts["funnel"].items() if name.startswith("proposed by"))
    assert first.startswith(f"round 1: {proposed:,} candidates in ")
    assert second.startswith(f"{len(new)} evaluations in ")
    assert left == f"{6 - len(new)} left in the budget"
    told = build_report(campaign)
    [brought] = told.yields
    assert (brought.generator, brought.proposed) == ("substitution", proposed)
    assert brought.rates.stable.n == brought.rates.near.n == len(new)
    assert brought.rates.stable.k == len(campaign.hits) <= brought.rates.near.k
    ended = sum(n for name, n in told.funnel if not name.startswith("proposed by"))
    assert ended == proposed
    assert campaign.drawn <= set(campaign.crystals["id"].to_pylist())
    known = set(inputs.database.crystals.reduced_formulas)
    of = campaign.crystals.filter(pc.greater(campaign.crystals["round"], 0))
    assert not known & set(of["reduced_formula"].to_pylist())
    # phases that compete come together: had some been evaluated before a kill and others after it,
    # others could have been asked for
    other = gone_on_with(
        config, tmp_path / "killed", monkeypatch, ("lineage/round=000/part-0000.parquet",)
    )
    assert len(campaign.store.names("lineage/round=000/*")) > 1
    for table in ("crystals", "lineage", "screening"):
        assert other.store.table(table) == campaign.store.table(table)
    assert other.hull_table() == campaign.hull_table()


def test_the_network_of_a_round_learned_from_the_rounds_before(alloys, tmp_path, monkeypatch):
    """In the scheme of the database, on whose hull it ranks; what it said before is kept apart."""
    monkeypatch.setattr(networks, "FEWEST", 2)
    monkeypatch.setattr(networks, "LEARNING", {**LEARNING, "epochs": 2})
    config = settings_of_lessons(alloys)
    said: list[str] = []
    notes: list[str] = []
    listener = Listener(say=said.append, tick=lambda *_: None, note=notes.append)
    campaign = run_campaign(config, tmp_path / "campaign", listener=listener)
    done = campaign.evaluations["round"].to_pylist()
    assert max(done) == 2
    name = campaign.store.model_name(2)
    assert networks.network_of(1, campaign) == STRUCTURAL
    assert networks.network_of(3, campaign) == str(campaign.store.root / name)
    assert any(line.startswith(f"round 2: {STRUCTURAL} learned from 4") for line in said)
    assert "0 new stable phases, 8 evaluations left" in notes
    assert any(line.endswith(" an hour), 4 evaluations left") for line in notes)
    assert "taught by rounds before" in campaign.screened[2]["model"]
    database = read_inputs(config, SILENT).database
    bred = campaign.lineage.filter(pc.equal(campaign.lineage["generator"], "evolution"))
    assert set(bred["round"].to_pylist()) == {2}
    own = campaign.level(0).placed.found.relaxed
    assert set(bred["parent_id"].to_pylist()) <= set(own.ids)
    children = campaign.crystals.take(pc.index_in(bred["id"], campaign.crystals["id"]))
    formulas = set(children["reduced_formula"].to_pylist())
    assert len(formulas - set(own.reduced_formulas)) > 1
    assert not formulas & set(database.crystals.reduced_formulas)
    labels = networks.labels_of(campaign, database)
    assert len(labels) == 2 * sum(number > 0 for number in done)
    offset = offset_of(campaign.answers, database)
    assert len(offset.rows) == len(offset.differences) > 0
    values = labels.values[: len(labels) // 2]
    own = campaign.answers.placed
    new = own.found.rounds > 0
    assert np.abs(values - own.formation_energy_per_atom[new]).max() <= (
        np.abs(offset.differences).max() + 1e-9
    )


@pytest.mark.slow
def test_a_campaign_killed_before_it_kept_what_it_learned_learns_the_same(
    alloys, tmp_path, monkeypatch
):
    monkeypatch.setattr(networks, "FEWEST", 2)
    config = settings_of_lessons(alloys)
    run_campaign(settings_of_lessons(alloys, 1), tmp_path / "campaign")
    shutil.copytree(tmp_path / "campaign", tmp_path / "killed")
    campaign = run_campaign(config, tmp_path / "campaign")
    files = "models/round=002.gnomon", "stages/round=002/generate.json"
    other = gone_on_with(config, tmp_path / "killed", monkeypatch, files)
    assert other.hull_table() == campaign.hull_table()
    name = campaign.store.model_name(2)
    for key, array in arrays(other.store.root / name).items():
        np.testing.assert_array_equal(array, arrays(campaign.store.root / name)[key])


class Killed(BaseException):
    """What no handler of errors takes: the process ends here."""


def gone_on_with(
    config: CampaignConfig, folder: Path, monkeypatch, files: tuple[str, ...]
) -> Campaign:
    """A campaign that ends before each of these files is there, and goes on."""
    replace_ = os.replace
    for name in files:

        def dies(source: Path, target: Path, name: str = name) -> None:
            if Path(target).as_posix().endswith(name):
                raise Killed
            replace_(source, target)

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", dies)
            with pytest.raises(Killed):
                run_campaign(config, folder)
    return run_campaign(config, folder)


@pytest.mark.slow
def test_a_campaign_is_the_same_whoever_evaluates(alloys, tmp_path):
    one = run_campaign(settings_of_alloys(alloys), tmp_path / "here")
    divided = settings_of_alloys(alloys, shard_evaluations=True)
    other = run_campaign(divided, tmp_path / "shards")
    assert other.hull_table() == one.hull_table()


def test_a_dry_run_keeps_nothing(alloys, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["--evaluator", "ase:ase.calculators.emt.EMT", "--parents", str(alloys)]
    assert (
        main(
            [
                "discover",
                "--all",
                *words,
                "--generators",
                "substitution",
                "--max-atoms",
                "4",
                "--dry-run",
            ]
        )
        == 0
    )
    assert re.search(r"propose: \d+ records give about \d+ rows", capsys.readouterr().out)
    assert not (tmp_path / "campaign-all").exists()
    assert main(["discover", "Au-Cu", "--dry-run"]) == 2
    assert main(["discover", "--all", *words, "--runner", "procesess"]) == 2
    assert "did you mean processes?" in capsys.readouterr().err


def test_without_a_system_the_parents_have_energies(tmp_path):
    with pytest.raises(ConfigError, match="one database of crystals with energies"):
        load_config(None, {})
    pq.write_table(to_arrow(parents()), tmp_path / "bare.parquet")
    with pytest.raises(ValueError, match="no column formation_energy_per_atom"):
        Database.read(tmp_path / "bare.parquet", MATERIALS_PROJECT)
