"""Campaigns without a system: drafts, ranking, competing phases on demand, and the whole."""

import itertools
import os
import re
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file as arrays

from gnomon.chemistry.sanity import SanityConfig, insane
from gnomon.cli import main
from gnomon.crystals import Crystals
from gnomon.discover.campaign import Campaign
from gnomon.discover.closure import MarginConfig, closure
from gnomon.discover.inputs import read_inputs
from gnomon.discover.level import Level
from gnomon.discover.loop import run_campaign
from gnomon.discover.settings import BudgetConfig, CampaignConfig, ConfigError, load_config
from gnomon.discover.wide import networks
from gnomon.discover.wide.competing import asked, on_whole_hull
from gnomon.discover.wide.cross_scheme import quick_answer, told
from gnomon.discover.wide.database import MATERIALS_PROJECT, Database, composition_keys
from gnomon.discover.wide.drafts import DRAFTS, Recipe, built, drafts, rows_of_parents
from gnomon.discover.wide.filters import Filter, parse_within
from gnomon.discover.wide.learning import learned
from gnomon.discover.wide.networks import LEARNING, with_known
from gnomon.discover.wide.offsets import offset_of
from gnomon.discover.wide.ranking import NOT_BEST, RANKED, Ranker, ranked
from gnomon.elements import COVALENT_RADII, SYMBOLS
from gnomon.generate.prototypes.occurrence import BUNDLED, Occurrence
from gnomon.generate.registry import generator
from gnomon.hull.phases import ON_HULL, Phases, compositions
from gnomon.io import to_arrow
from gnomon.models.bundled import STRUCTURAL
from gnomon.models.card import Labelled
from gnomon.models.ensemble import load_model
from gnomon.models.structural.train import going_on, train
from gnomon.report.rows import pace
from gnomon.run.listener import SILENT, Listener
from gnomon.run.passes import ENGINES, Pass, Shards, run
from gnomon.run.passes.work import counts_of
from gnomon.run.writing import write_parquet
from gnomon.structure.labels import prototype_label
from gnomon.structure.protostructures import protostructure

CUBE = 1 - np.eye(3)
SALT, FLUORITE = [[0, 0, 0], [0.5] * 3], [[0, 0, 0], [0.25] * 3, [0.75] * 3]
ELEMENTS = ("Li", "Na", "K", "Mg", "Ca", "O", "S", "F", "Cl")


def parents() -> Crystals:
    """Rock salts, a fluorite, a perovskite, and elements."""
    cubes = [
        Crystals.single(5.64 / 2 * CUBE, [11, 17], SALT),
        Crystals.single(5.14 / 2 * CUBE, [3, 17], SALT),
        Crystals.single(4.21 / 2 * CUBE, [12, 8], SALT),
        Crystals.single(5.46 / 2 * CUBE, [20, 9, 9], FLUORITE),
        Crystals.single(
            4.0 * np.eye(3),
            [19, 12, 9, 9, 9],
            [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]],
        ),
    ]
    singles = [Crystals.single(3 * np.eye(3), [z], [[0, 0, 0]]) for z in (3, 11, 12, 19, 20, 8, 9)]
    singles += [Crystals.single(3 * np.eye(3), [z], [[0, 0, 0]]) for z in (16, 17)]
    return Crystals.concatenate([*cubes, *singles])


ENERGIES = np.array([-2.1, -2.0, -3.0, -4.1, -3.4, *[0.0] * 9])
"""eV/atom, about those of the Materials Project."""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    table = to_arrow(parents()).append_column("formation_energy_per_atom", pa.array(ENERGIES))
    pq.write_table(table, tmp_path / "database.parquet")
    return tmp_path / "database.parquet"


@pytest.fixture
def recipe(database: Path) -> Recipe:
    known = database.with_name("known.npy")
    np.save(known, Database.read(database, MATERIALS_PROJECT).compositions)
    everything = Filter(ELEMENTS, 2, 4)
    return Recipe(("substitution",), everything, 16, SanityConfig(), str(known), BUNDLED)


def shard(crystals: Crystals) -> pa.Table:
    [one] = rows_of_parents(to_arrow(crystals), len(crystals))
    return one


def content(rows: pa.Table) -> list:
    return sorted(map(str, rows.select(["composition", "kind", "score"]).to_pylist()))


# --- drafts -------------------------------------------------------------------------------------


def test_drafts_are_the_candidates_of_the_generator(recipe):
    """As its own chunks give them, but for what is known, insane or filtered out."""
    known = set(parents().reduced_formulas)
    made = generator("substitution", "-".join(ELEMENTS), known=known)
    for parent in parents()[:5]:
        expected = Crystals.concatenate([chunk.crystals for chunk in made.generate(parent)])
        expected = expected[insane(expected, recipe.sanity) == ""]
        rows = drafts(shard(parent), recipe)
        found = built(rows, parent)
        assert set(found.ids) == set(expected.ids)
        assert rows["composition"].to_pylist() == composition_keys(found.composition).tolist()


def test_every_candidate_is_a_draft_or_counted_once(recipe):
    strict = replace(recipe, sanity=SanityConfig(min_distance=0.9), filter=Filter(ELEMENTS, 2, 2))
    for how in (recipe, strict, replace(strict, filter=Filter(ELEMENTS, within=("K-*", "*-O")))):
        rows = drafts(shard(parents()), how)
        counts = counts_of(rows)
        proposed = counts.pop("proposed by substitution")
        assert proposed == len(rows) + sum(counts.values()) > 0


def test_sanity_of_drafts_is_that_of_the_crystals(recipe):
    """The parent's contacts tell as much as the neighbours of each child."""
    every = drafts(shard(parents()), recipe)
    for share in (0.7, 0.8, 0.9):
        strict = SanityConfig(min_distance=share)
        kept = drafts(shard(parents()), replace(recipe, sanity=strict))
        crystals = built(every, parents())
        sane = every.filter(pa.array(insane(crystals, strict) == ""))
        # of alike drafts another may be left once the more probable is not sane
        assert set(sane["kind"].to_pylist()) <= set(kept["kind"].to_pylist())
        assert not (insane(built(kept, parents()), strict) != "").any()


def test_counts_of_drafts_are_those_of_their_prototypes(recipe):
    rows = drafts(shard(parents()), recipe)
    occurrence = Occurrence.load()
    for crystal, count in zip(built(rows, parents()), rows["count"].to_pylist(), strict=True):
        if len(set(crystal.atomic_numbers)) == len(set(parents()[0].atomic_numbers)):
            label = prototype_label(protostructure(crystal))
            assert count in (pytest.approx(occurrence.count(label)), 0.0)
    assert max(rows["count"].to_pylist()) > 1


def test_parents_may_come_in_any_shards(recipe):
    """Which of two alike candidates stays does not depend on what they are proposed with."""
    whole = drafts(shard(parents()), recipe)
    tables = [drafts(one, recipe) for one in rows_of_parents(to_arrow(parents()), 2)]
    assert all(table.schema.remove_metadata() == DRAFTS for table in tables)
    ranker = Ranker("", "")
    assert set(whole["kind"].to_pylist()) == {k for t in tables for k in t["kind"].to_pylist()}
    assert ranker.random == 0


def test_generators_with_cells_of_their_own(recipe):
    saps = replace(recipe, generators=("saps",), filter=Filter(ELEMENTS, 2, 3))
    rows = drafts(shard(parents()[:1]), saps)
    assert len(rows)
    assert rows["scale"].null_count == len(rows)
    found = built(rows, parents())
    assert not (insane(found, saps.sanity) != "").any()
    assert rows["composition"].to_pylist() == composition_keys(found.composition).tolist()


def test_nothing_is_made_of_nothing(recipe):
    rows = drafts(shard(parents()).slice(0, 0), recipe)
    assert rows.schema.remove_metadata() == DRAFTS
    assert len(rows) == 0


# --- filters ------------------------------------------------------------------------------------


def test_systems_with_wildcards():
    formulas = np.array([[3, 26, 8], [3, 8, 8], [11, 26, 8], [3, 26, 26]])
    assert Filter(SYMBOLS[1:], within=("Li-*-O",)).passed(formulas).tolist() == [1, 0, 0, 0]
    assert Filter(SYMBOLS[1:], within=("Li-*",)).passed(formulas).tolist() == [0, 1, 0, 1]
    either = Filter(SYMBOLS[1:], within=("Li-*", "*-*-O")).passed(formulas)
    assert either.tolist() == [1, 1, 1, 1]
    assert Filter(SYMBOLS[1:], 3, 3).passed(formulas).tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize("text", ["Li-X-O", "Li-Li", "", "Li--O"])
def test_what_is_no_system_with_wildcards(text):
    with pytest.raises(ValueError, match="element"):
        parse_within(text)


# --- ranking ------------------------------------------------------------------------------------


@pytest.fixture
def ranker(database):
    return Ranker(str(database), MATERIALS_PROJECT, look=0.3, threshold=0.3, random=3)


def test_the_best_of_each_composition_and_all_others_counted(recipe, ranker):
    rows = drafts(shard(parents()), recipe)
    found = ranked(rows, ranker)
    counts = counts_of(found)
    best = found.filter(found["lot"].is_null())
    drawn = found.filter(found["lot"].is_valid())
    assert len(set(best["composition"].to_pylist())) == len(best) > 0
    assert len(drawn) == 3
    far_draws = sum(e > 0.3 for e in drawn["predicted_e_above_hull"].to_pylist())
    assert len(best) + sum(counts.values()) in range(len(rows) - 3, len(rows) + far_draws + 1)
    assert max(best["predicted_e_above_hull"].to_pylist()) <= 0.3
    assert counts[NOT_BEST] >= 0
    empty = ranked(rows.slice(0, 0), ranker)
    assert empty.schema.remove_metadata() == RANKED
    assert len(empty) == 0


def test_shards_and_buckets_change_nothing(recipe, ranker, tmp_path):
    """The pass over shards is the functions over all rows, whoever runs it."""
    once = ranked(drafts(shard(parents()), recipe), ranker)
    step = Pass(
        "propose",
        partial(drafts, recipe=recipe),
        key="composition",
        reduce=partial(ranked, ranker=ranker),
        buckets=1,
    )
    shards = Shards.write(tmp_path / "parents", rows_of_parents(to_arrow(parents()), 4))
    found = run(step, shards, tmp_path / "ranked", ENGINES.get("processes")(workers=1))
    assert content(found.table()) == content(once)


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


# --- competing phases ---------------------------------------------------------------------------


def level_of(crystals: Crystals, energies: np.ndarray, rounds: np.ndarray) -> Level:
    rows = to_arrow(crystals)
    columns = {
        "status": pa.array(["converged"] * len(crystals)),
        "energy_per_atom": pa.array(energies),
        "round": pa.array(rounds),
    }
    for name, column in columns.items():
        rows = rows.append_column(name, column)
    lineage = pa.table({n: pa.nulls(0, pa.string()) for n in ("id", "parent_id")})
    return Level(0, "made up", rows, lineage)


def binaries(rng: np.random.Generator) -> tuple[Database, np.ndarray]:
    """Made-up phases of three elements, and their energies at another level."""
    cells = [Crystals.single(3 * np.eye(3), [z], [[0, 0, 0]]) for z in (11, 12, 17)]
    for k in range(40):
        numbers = np.append(rng.choice([11, 12, 17], size=int(rng.integers(1, 6))), [17, 11][k % 2])
        numbers = np.append(numbers, 12) if len(set(numbers)) == 1 else numbers
        sites = (np.arange(len(numbers))[:, None] + rng.random((len(numbers), 3))) / len(numbers)
        cells.append(Crystals.single((3 + 0.01 * k) * np.eye(3), numbers, sites))
    crystals = Crystals.concatenate(cells)
    energies = np.concatenate([np.zeros(3), -rng.random(40)])
    none = Phases(np.zeros(0, object), np.zeros((0, 119)), np.zeros(0), "database")
    found = Database(crystals, crystals.ids, energies, "database", none)
    return found, energies + np.concatenate([np.zeros(3), rng.uniform(-0.02, 0.02, 40)])


@pytest.mark.parametrize("seed", range(6))
def test_verdicts_are_those_of_the_whole_database(seed):
    """As long as no energy differs by more than the margin; with fewer evaluations than phases."""
    rng = np.random.default_rng(seed)
    database, there = binaries(rng)
    new, of_new = binaries(np.random.default_rng(seed + 100))
    new = new.crystals[3:11].scale_volume(1.1)
    energies = of_new[3:11] - 0.1
    margin = MarginConfig(first_margin=0.05, min_differences=1000)
    have: list[int] = []
    others = Crystals.empty()
    for _ in range(60):
        crystals = Crystals.concatenate([new, others, database.crystals[have]])
        rounds = np.array([1] * len(new) + [0] * (len(others) + len(have)))
        level = level_of(
            crystals, np.concatenate([energies, np.zeros(len(others)), there[have]]), rounds
        )
        want = asked(level, database, margin)
        if not len(want.crystals):
            break
        for crystal, why in zip(want.crystals, want.why, strict=True):
            if why.startswith("element"):
                others = Crystals.concatenate([others, crystal])
            else:
                have.append(database.crystals.ids.tolist().index(crystal.ids[0]))
    assert not want.open
    elements = np.zeros(len(others))
    whole = level_of(
        Crystals.concatenate([new, others, database.crystals[3:]]),
        np.concatenate([energies, elements, there[3:]]),
        np.array([1] * len(new) + [0] * (len(others) + 40)),
    )
    own = [level.placed.e_above_hull[level.placed.row_of[key]] <= ON_HULL for key in new.ids]
    all_ = [whole.placed.e_above_hull[whole.placed.row_of[key]] <= ON_HULL for key in new.ids]
    assert own == all_
    assert len(have) < 40


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
        generate={"parents": [alloys], "max_atoms": 4},
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


def test_a_campaign_without_a_system(alloys, tmp_path):
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
    assert campaign.drawn <= set(campaign.crystals["id"].to_pylist())
    known = set(inputs.database.crystals.reduced_formulas)
    of = campaign.crystals.filter(pc.greater(campaign.crystals["round"], 0))
    assert not known & set(of["reduced_formula"].to_pylist())
    again = run_campaign(config, tmp_path / "campaign")
    assert again.hull_table() == campaign.hull_table()


def test_the_network_of_a_round_learned_from_the_rounds_before(alloys, tmp_path, monkeypatch):
    """In the scheme of the database, on whose hull it ranks; what it said before is kept apart."""
    monkeypatch.setattr(networks, "FEWEST", 2)
    config = settings_of_lessons(alloys)
    said: list[str] = []
    notes: list[str] = []
    listener = Listener(say=said.append, tick=lambda *_: None, note=notes.append)
    run_campaign(settings_of_lessons(alloys, 1), tmp_path / "campaign", listener=listener)
    shutil.copytree(tmp_path / "campaign", tmp_path / "killed")
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
    other = gone_on_with(config, tmp_path / "killed", monkeypatch)
    assert other.hull_table() == campaign.hull_table()
    for key, array in arrays(other.store.root / name).items():
        np.testing.assert_array_equal(array, arrays(campaign.store.root / name)[key])


class Killed(BaseException):
    """What no handler of errors takes: the process ends here."""


def gone_on_with(config: CampaignConfig, folder: Path, monkeypatch) -> Campaign:
    """A campaign that ends before each of these files of its second round is there."""
    replace_ = os.replace
    for name in ("models/round=002.gnomon", "stages/round=002/generate.json"):

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
    assert main(["discover", "--all", *words, "--max-atoms", "4", "--dry-run"]) == 0
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


def test_an_element_that_no_level_relaxes_costs_its_own_phases_alone():
    database, _ = binaries(np.random.default_rng(3))
    rounds = np.zeros(len(database), np.int64)
    below = level_of(database.crystals, database.formation_energy_per_atom, rounds)
    rows = below.evaluations.take([0, 1, 2])
    statuses = pa.array(["converged", "exploded", "converged"])
    rows = rows.set_column(rows.column_names.index("status"), "status", statuses)
    level = Level(1, "better", rows, below.lineage, below)
    elements = ("Cl", "Mg", "Na")
    whole = closure(below, level, elements, MarginConfig())
    assert whole.missing == ("Mg",)
    assert not whole.left
    rest = closure(below, level, elements, MarginConfig(), all_needed=False)
    assert rest.left
    assert all("Mg" not in one.phase.elements for one in rest.left)
    assert any("Mg" in phase.elements for phase in rest.failed)
    assert not rest.missing


def test_the_quick_answer_is_called_cross_scheme_and_carries_its_offset(tmp_path):
    """On the database's hull as it is; without an agreement by construction there is none."""
    database, there = binaries(np.random.default_rng(5))
    others = replace(database.others, scheme=MATERIALS_PROJECT)
    database = replace(database, scheme=MATERIALS_PROJECT, others=others)
    new = Crystals.single(4 * np.eye(3), [11, 17, 17], [[0, 0, 0], [0.5] * 3, [0.25] * 3])
    have = np.arange(12)
    level = level_of(
        Crystals.concatenate([new, database.crystals[have]]),
        np.concatenate([[-0.7], there[have] + (have > 2) * 0.03]),
        np.array([1, *[0] * len(have)]),
    )
    assert quick_answer(level, database) is None
    level = Level(0, "a potential, MP2020 corrections", level.evaluations, level.lineage)
    [row] = quick_answer(level, database).to_pylist()
    own = database.hull.e_above_hull(new.composition.astype(float), np.array([-0.7]))
    assert row["value"] == pytest.approx(own[0])
    assert row["id"] == new.ids[0]
    assert row["phases"] == 9
    differences = (there - database.formation_energy_per_atom)[3:12] + 0.03
    assert row["offset"] == pytest.approx(np.median(differences))
    assert row["level"].startswith("cross-scheme: a potential")
    said = told(quick_answer(level, database))
    assert said.startswith("quick answer, cross-scheme: ")
    assert f"{1000 * np.median(differences):+.0f} meV/atom in the median of 9 phases" in said
    alone = Level(0, level.scheme, level.evaluations.slice(0, 4), level.lineage)
    assert "the offset is not known" in told(quick_answer(alone, database))


def test_phases_without_a_crystal_count_where_they_are_expected():
    """Shifted as the others are at the level, they lower the hull."""
    database, _ = binaries(np.random.default_rng(4))
    alloy = compositions(["Na7Mg"])
    others = Phases(np.array(["Na7Mg"], object), alloy, np.array([-3.0]), "database")
    sites = [[i, j, k] for i in (0, 0.5) for j in (0, 0.5) for k in (0, 0.5)]
    candidate = Crystals.single(6 * np.eye(3), [11] * 7 + [12], sites)
    level = level_of(
        Crystals.concatenate([candidate, database.crystals]),
        np.concatenate([[-2.9], database.formation_energy_per_atom]),
        np.array([1, *[0] * len(database)]),
    )
    key = str(candidate.ids[0])
    own, with_others = on_whole_hull(level, replace(database, others=others), MarginConfig())
    assert own[key] < 0 < with_others[key]
    assert with_others[key] == pytest.approx(0.1, abs=1e-6)
