"""Levels of evaluation: one hull each, closed when nothing left could change it."""

import json
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.cli import main
from gnomon.crystals import Crystals
from gnomon.discover import Campaign, auto, discover
from gnomon.discover.auto import settled
from gnomon.discover.closure import Closure, MarginConfig, closure, expected_energies
from gnomon.discover.folder import begin
from gnomon.discover.level import Level
from gnomon.discover.settings import ConfigError, load_config
from gnomon.dynamics.settings import RelaxConfig
from gnomon.evaluate import Evaluations, ase
from gnomon.evaluate.registry import EvaluatorConfig, make_evaluator
from gnomon.evaluate.table import rows_of
from gnomon.hull.phases import compositions
from gnomon.report.build import build_report
from gnomon.run.http import HttpError
from gnomon.run.listener import SILENT
from gnomon.run.store import SCHEMAS, Store
from gnomon.run.writing import StoreError
from gnomon.structure.symmetry import space_groups
from tests.calculators import Better, FastEvaluator, evaluated
from tests.conftest import EMT
from tests.small_campaigns import copied_before_writes, settings, tables

AL, NI, PD = 13, 28, 46

NO_LINEAGE = SCHEMAS["lineage"].empty_table()


def run(folder: Path, *deciding: FastEvaluator, **changes: Any) -> str:
    levels = [{"name": "ase:tests.calculators.Quick"}] * len(deciding)
    config = settings(decide__levels=levels, **changes)
    return discover(config, Store(folder), FastEvaluator(), SILENT, deciding=deciding).why


# --- landscapes -----------------------------------------------------------------------------------


def crystal(counts: tuple[int, ...], seed: int) -> Crystals:
    """Atoms anywhere in a cell: no two are alike."""
    rng = np.random.default_rng([seed, *counts])
    numbers = np.repeat([AL, NI, PD], counts)
    lattice = np.diag(rng.uniform(3, 4, 3)) + rng.uniform(-0.3, 0.3, (3, 3))
    return Crystals.single(lattice, numbers, rng.random((len(numbers), 3)))


counts_of_atoms = st.tuples(*[st.integers(0, 3)] * 3).filter(any)

landscapes = st.lists(  # energies in steps of 5 meV, so that no two are taken for one phase
    st.tuples(counts_of_atoms, st.integers(-60, 40), st.floats(-1, 1)),
    min_size=1,
    max_size=25,
    unique_by=lambda row: (tuple(np.array(row[0]) / np.gcd.reduce(row[0])), row[1]),
)


def rows_at(crystals: Crystals, energies: Any, scheme: str, ids: Any) -> pa.Table:
    found = evaluated(crystals, scheme, energies, ["converged"] * len(crystals))
    rows = rows_of(found)
    rows = rows.set_column(0, "id", pa.array(list(ids), pa.string()))
    known = (crystals.composition > 0).sum(axis=1) == 1  # elements are references
    return rows.append_column("round", pa.array(np.where(known, 0, 1)))


def landscape(rows: list[Any], delta: float) -> tuple[Crystals, Any, Any]:
    """Crystals, their screening energies, and their deciding ones that differ by delta at most."""
    elements = [(tuple(np.eye(3, dtype=int)[i]), 0, 0.3 * i) for i in range(3)]
    unique = {(counts, step): error for counts, step, error in [*rows, *elements]}
    crystals = [crystal(counts, i) for i, (counts, _) in enumerate(unique)]
    energies = np.array([0.005 * step for _, step in unique])
    return Crystals.concatenate(crystals), energies, energies + delta * np.array([*unique.values()])


def decide_all(
    below: Level, rows: pa.Table, config: MarginConfig, batch: int
) -> tuple[Level, Closure, int]:
    """Decide batch after batch, until the level is closed."""
    done: list[str] = []
    while True:
        mask = pa.array([key in done for key in rows["id"].to_pylist()], pa.bool_())
        level = Level(1, "better", rows.filter(mask), NO_LINEAGE, below)
        found = closure(below, level, ("Al", "Ni", "Pd"), config)
        assert found.closed == (not found.left)
        if found.closed:
            return level, found, len(done)
        done += [one.phase.id for one in found.left[:batch]]


@given(rows=landscapes, delta=st.floats(0, 0.1), batch=st.integers(1, 16))
def test_a_closed_level_has_the_hull_of_all_its_phases(
    rows: list[Any], delta: float, batch: int
) -> None:
    """Energies differ by delta at most, formation energies by twice that, and what is expected of
    them from others by four times."""
    crystals, screening, deciding = landscape(rows, delta)
    below = Level(0, "fast", rows_at(crystals, screening, "fast", crystals.ids), NO_LINEAGE)
    config = MarginConfig(min_margin=4 * delta, first_margin=4 * delta, min_differences=1)
    all_rows = rows_at(crystals.scale_volume(1.1), deciding, "better", crystals.ids)
    level, found, _ = decide_all(below, all_rows, config, batch)
    every = Level(1, "better", all_rows, NO_LINEAGE, below)
    assert level.placed.references == every.placed.references
    composition = crystals.composition
    np.testing.assert_allclose(
        level.hull.energy(composition), every.hull.energy(composition), atol=1e-9
    )
    assert {phase.id for phase in level.phases if phase.stable} <= {
        phase.id for phase in every.phases if phase.stable
    }
    assert not found.failed
    assert found.margin >= 4 * delta


def test_a_closed_level_has_not_decided_what_lies_far_above() -> None:
    """So the law above is not kept by evaluating all there is."""
    rows = [((1, 1, 0), -60, 0.0), *[((1, k, 0), 30 + k, 0.5) for k in range(1, 4)] * 3]
    crystals, screening, deciding = landscape(rows, 0.01)
    below = Level(0, "fast", rows_at(crystals, screening, "fast", crystals.ids), NO_LINEAGE)
    config = MarginConfig(min_margin=0.04, first_margin=0.04, min_differences=1)
    all_rows = rows_at(crystals, deciding, "better", crystals.ids)
    assert decide_all(below, all_rows, config, 16)[2] == 4


@given(rows=landscapes, delta=st.floats(0, 0.1), data=st.data())
def test_a_hull_never_holds_energies_of_another_level(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any], delta: float, data: st.DataObject
) -> None:
    """Whatever subset of the phases each level holds."""
    crystals, *energies = landscape(rows, delta)
    store = Store(tmp_path_factory.mktemp("campaign"))
    schemes = ["fast", "better", "best"]
    facts = {"system": "Al-Ni-Pd", "scheme": "fast", "deciding_schemes": schemes[1:]}
    store.write_facts("provenance.json", {**facts, "config": {}})
    held = np.arange(len(crystals))
    expected = []
    for number, (scheme, energy) in enumerate(zip(schemes, [*energies, -energies[1]], strict=True)):
        mask = data.draw(st.lists(st.booleans(), min_size=len(held), max_size=len(held)))
        held = held if number == 0 else held[np.array(mask, dtype=bool)]
        table = rows_at(crystals[held], energy[held], scheme, crystals.ids[held])
        levels = pa.array([number] * len(table), pa.int64())
        store.append("evaluations", 0, table.drop_columns("round").append_column("level", levels))
        expected.append(dict(zip(crystals.ids[held], energy[held].tolist(), strict=True)))
    campaign = Campaign(store)
    for level, energy in zip(campaign.levels, expected, strict=True):
        placed = level.placed
        assert level.hull.phases.scheme == level.scheme == schemes[level.number]
        ids = [*placed.found.ids.tolist(), *placed.left_out.ids.tolist()]
        assert sorted(ids) == sorted(energy)
        assert [energy[key] for key in placed.found.ids] == placed.found.energy_per_atom.tolist()
    assert campaign.answers.scheme == campaign.scheme
    table = campaign.hull_table()
    assert [schemes[k] for k in table["level"].to_pylist()] == table["scheme"].to_pylist()


def test_a_row_of_another_scheme_than_its_level_is_refused(tmp_path: Path) -> None:
    crystals, energies, _ = landscape([], 0.0)
    store = Store(tmp_path)
    store.write_facts("provenance.json", {"system": "Al-Ni", "scheme": "fast", "config": {}})
    rows = rows_at(crystals, energies, "better", crystals.ids)
    store.append("evaluations", 0, rows.drop_columns("round"))
    with pytest.raises(StoreError, match="mixes the energy schemes better and fast"):
        assert Campaign(store).hull


@given(rows=landscapes, delta=st.floats(0, 0.1), data=st.data())
def test_networks_learn_what_a_level_found_or_what_it_is_expected_to(
    rows: list[Any], delta: float, data: st.DataObject
) -> None:
    crystals, screening, deciding = landscape(rows, delta)
    below = Level(0, "fast", rows_at(crystals, screening, "fast", crystals.ids), NO_LINEAGE)
    drawn = data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))
    held = [*np.flatnonzero(drawn).tolist(), *range(len(rows), len(crystals))]  # the elements, too
    some = rows_at(crystals[held], deciding[held], "better", crystals.ids[held])
    level = Level(1, "better", some, NO_LINEAGE, below)
    expected = expected_energies([below, level])
    at = [below.placed.row_of[key] for key in level.placed.found.ids]
    assert np.array_equal(expected[at], level.placed.formation_energy_per_atom)
    change = expected - below.placed.formation_energy_per_atom
    assert np.abs(change).max() <= np.abs(change[at]).max() + 1e-12
    assert np.array_equal(expected_energies([below]), below.placed.formation_energy_per_atom)


# --- campaigns ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("few")
def test_the_last_level_answers(tmp_path: Path) -> None:
    ending = run(tmp_path, Better("better"), Better("best"))
    assert ending == "ended: the budget of 2 rounds is used"
    campaign = Campaign(tmp_path)
    assert campaign.schemes == ("fast", "better", "best")
    assert campaign.answers.number == 2
    assert campaign.scheme == "best"
    assert all(one.closed for one in campaign.closures)
    assert not campaign.undecided
    for find in campaign.finds:
        assert [place.level for place in find.places] == [0, 1, 2]
        assert [place.scheme for place in find.places] == list(campaign.schemes)
        assert find.places[-1].e_above_hull == find.e_above_hull
        assert find.round > 0
    for lower, upper in ((0, 1), (1, 2)):
        known = {phase.id: phase.relaxed_id for phase in campaign.level(lower).phases}
        assert {phase.id for phase in campaign.level(upper).phases} <= known.keys()
    assert build_report(campaign)


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_before_and_after_writes_the_levels_end_as_if_undisturbed(
    tmp_path: Path, every: int
) -> None:
    """Of the writes every fourth one, which are those of all stages; the long form takes all."""
    folder = tmp_path / "campaign"
    with copied_before_writes(folder, tmp_path) as copies:
        ending = run(folder, Better("better"))
    assert sum(any((copy / "decisions").glob("*/*.parquet")) for copy in copies) > 10
    expected, hull = tables(folder), Campaign(folder).hull_table()
    for copy in copies[::every]:
        evaluator = Better("better")
        stored = Store(copy).table("evaluations")
        assert run(copy, evaluator) == ending, copy
        assert len(evaluator.asked) == len(set(evaluator.asked)), copy
        done = stored.filter(pa.compute.equal(stored["level"], 1))["id"].to_pylist()
        assert len(evaluator.asked) == len(Campaign(copy).level(1).evaluations) - len(done)
        assert tables(copy) == expected, copy
        assert Campaign(copy).hull_table().equals(hull), copy


@pytest.mark.usefixtures("few")
def test_minutes_end_a_command_within_a_level_and_the_next_one_goes_on(tmp_path: Path) -> None:
    endings = []
    for _ in range(40):
        endings.append(run(tmp_path / "a", Better("better"), budget__minutes=1e-9))
        if "minutes" not in endings[-1]:
            break
    assert endings[-1] == "ended: the budget of 2 rounds is used"
    run(tmp_path / "b", Better("better"))
    assert tables(tmp_path / "a") == tables(tmp_path / "b")


class Noisy(FastEvaluator):
    """Relaxes as single precision does: symmetric to 1e-5 Å."""

    def _results(self, part: Crystals) -> Evaluations:
        found = super()._results(part)
        noise = np.random.default_rng(0).normal(0, 1e-5, (len(part), 3, 3))
        return replace(found, relaxed=found.relaxed.with_lattice(found.relaxed.lattice + noise))


class Looking(Better):
    """Remembers what it was given."""

    seen: tuple[Crystals, ...] = ()

    def _results(self, part: Crystals) -> Evaluations:
        self.seen += (part,)
        return super()._results(part)


@pytest.mark.usefixtures("few")
def test_levels_are_given_cells_whose_symmetry_shows(tmp_path: Path) -> None:
    """DFT took each of 1,099 k-points of fcc aluminium for its own, ten times what there are."""
    levels, above = [{"name": "ase:tests.calculators.Quick"}], Looking("better")
    config = settings(decide__levels=levels)
    discover(config, Store(tmp_path), Noisy("noisy"), SILENT, deciding=(above,))
    seen = Crystals.concatenate(above.seen)
    assert len(seen) > 5
    assert space_groups(seen, 1e-7).tolist() == space_groups(seen).tolist()
    assert space_groups(Campaign(tmp_path).level(0).placed.found.relaxed, 1e-7).max() < 195


@pytest.mark.usefixtures("few")
def test_a_larger_budget_of_decisions_closes_what_a_smaller_one_left(tmp_path: Path) -> None:
    run(tmp_path, Better("better"), budget__decisions=3)
    campaign = Campaign(tmp_path)
    assert len(campaign.level(1).evaluations) == 3
    assert campaign.undecided
    assert str(campaign.closures[0]).startswith("not closed: ")
    run(tmp_path, Better("better"))
    assert not Campaign(tmp_path).undecided
    assert Campaign(tmp_path).closures[0].closed


@pytest.mark.usefixtures("few")
def test_a_level_that_knows_an_element_not_decides_nothing(tmp_path: Path) -> None:
    run(tmp_path, Better("better", failing=(AL,)))
    campaign = Campaign(tmp_path)
    assert campaign.answers.number == 0
    assert campaign.closures[0].missing == ("Al",)
    assert not campaign.closures[0].closed
    assert build_report(campaign)


def test_an_element_alone_is_decided_too() -> None:
    crystals, energies, deciding = landscape([], 0.1)
    campaign = Campaign("nowhere")
    campaign.__dict__["provenance"] = {"system": "Au-Cu"}
    below = Level(0, "fast", rows_at(crystals, energies, "fast", crystals.ids), NO_LINEAGE)
    for held, number in (([], 0), ([0, 1], 0), ([0, 1, 2], 1)):
        rows = rows_at(crystals[held], deciding[held], "better", crystals.ids[held])
        campaign.__dict__["levels"] = (below, Level(1, "better", rows, NO_LINEAGE, below))
        assert campaign.answers.number == number


def test_a_level_whose_package_is_missing_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ase, "find_spec", lambda _: None)
    with pytest.raises(ValueError, match=r"pip install 'gnomon\[sevennet\]'"):
        make_evaluator(EvaluatorConfig(name="sevennet"), RelaxConfig())


def test_sevennet_is_called_by_its_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its scheme was a dotted name and a dictionary, in the headline of the page too."""
    package = ModuleType("sevenn")
    package.__version__ = "0.13.0"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sevenn", package)
    monkeypatch.setattr(ase, "find_spec", lambda name: name)
    monkeypatch.setattr(ase, "make_calculator", lambda *_: None)
    for options, scheme in (
        ({}, "7net-l3i5 (sevenn 0.13.0), MP2020 corrections"),
        ({"device": "cuda"}, "7net-l3i5 (sevenn 0.13.0), MP2020 corrections"),
        ({"modal": "mpa"}, '7net-l3i5{"modal": "mpa"} (sevenn 0.13.0), MP2020 corrections'),
    ):
        config = EvaluatorConfig(name="sevennet", options=options)
        assert make_evaluator(config, RelaxConfig()).scheme == scheme


@pytest.mark.usefixtures("few")
def test_what_fails_at_a_level_is_named_and_not_tried_again(tmp_path: Path) -> None:
    class FailsCompounds(Better):
        def _results(self, part: Crystals) -> Evaluations:
            found = super()._results(part)
            mixed = (part.composition > 0).sum(axis=1) > 1
            found.status[mixed] = "not_converged"
            return found

    evaluator = FailsCompounds("better")
    run(tmp_path, evaluator)
    assert len(evaluator.asked) == len(set(evaluator.asked))
    [found] = Campaign(tmp_path).closures
    assert found.failed
    assert "could not be decided, as they did not converge" in str(found)


# --- one answer -----------------------------------------------------------------------------------


def decided_by(folder: Path) -> list[str]:
    """The deciding levels of a campaign that begins, or goes on, without a word about them."""
    config = settled(load_config(None, {"system": "Al-Ni"}), Store(folder))
    with Store(folder).locked():
        begin(Store(folder), config, ["fast", *(f"of {x.name}" for x in config.decide.levels)])
    written = load_config(folder / "config.toml", {})
    assert written == config
    return [level.name for level in config.decide.levels]


def no_network(*_: Any, **__: Any) -> None:
    raise HttpError("nequix-oam-1-pft: there is no network\nhint: none")


def test_a_network_that_comes_or_goes_changes_no_campaign(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auto, "fetch", lambda *_, **__: None)
    monkeypatch.setattr(auto, "find_spec", lambda _: None)
    assert decided_by(tmp_path / "with") == ["nequix-oam-1-pft"]
    monkeypatch.setattr(auto, "fetch", no_network)
    assert decided_by(tmp_path / "without") == []
    assert decided_by(tmp_path / "with") == ["nequix-oam-1-pft"]
    monkeypatch.setattr(auto, "find_spec", lambda name: name == "sevenn")
    assert decided_by(tmp_path / "installed") == ["sevennet"]
    monkeypatch.setattr(auto, "fetch", lambda *_, **__: None)
    assert decided_by(tmp_path / "without") == []
    assert decided_by(tmp_path / "installed") == ["sevennet"]


def test_an_evaluator_that_the_user_names_is_decided_by_what_the_user_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auto, "fetch", lambda *_, **__: None)
    config = load_config(None, {"system": "Al-Ni", "evaluator.name": EMT})
    assert settled(config, Store(tmp_path)).decide.levels == ()


@pytest.mark.usefixtures("few")
def test_other_levels_than_those_of_the_folder_are_refused(tmp_path: Path) -> None:
    run(tmp_path, Better("better"), budget__rounds=1)
    with pytest.raises(StoreError, match=r"other settings \(decide.levels: .* before, \[\] now"):
        run(tmp_path, budget__rounds=1)
    with pytest.raises(StoreError, match="energy scheme: better before, best now"):
        run(tmp_path, Better("best"), budget__rounds=1)


def test_a_level_that_is_gone_is_named(tmp_path: Path) -> None:
    weights = tmp_path / "mine.gnomon"
    weights.touch()
    folder = Store(tmp_path / "campaign")
    with folder.locked():
        begin(folder, settings(decide__levels=str(weights)), ["fast", "mine"])
    weights.unlink()
    with pytest.raises(StoreError, match=r"campaign is decided by .*mine\.gnomon"):
        settled(settings(), folder)


@pytest.mark.parametrize("written", ["{} label=wide energy=-2", {"name": "{}"}, ["{}", "{}"]])
def test_levels_are_written_by_name_with_options_or_as_tables(written: Any) -> None:
    quick = "ase:tests.calculators.Quick"
    text = json.loads(json.dumps(written).replace("{}", quick))
    levels = settings(decide__levels=text).decide.levels
    assert {level.name for level in levels} == {quick}
    assert len(levels) == (2 if isinstance(written, list) else 1)
    options = {"label": "wide", "energy": -2} if isinstance(written, str) else {}
    assert levels[0].options == options
    assert settings(decide__levels=["none"]).decide.levels == ()


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("gnomon-3", "gnomon-3"),
        (f"{EMT} wide", "write options as NAME=VALUE"),
        (["none", EMT], "no"),
    ],
)
def test_levels_that_are_none_are_refused(written: Any, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        settings(decide__levels=written)


def test_the_command_line_names_levels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """EMT decides by itself with another cutoff; nothing is fetched."""
    words = ["--evaluator", EMT, "--workers", "1", "--evaluations", "2", "--rounds", "1"]
    command = ["discover", "Al-Ni", "--config", str(tmp_path / "a.toml"), *words]
    quick = "[generate]\nmax_atoms = 1\n[learn]\nprior = false\n[relax]\nmax_steps = 0\n"
    (tmp_path / "a.toml").write_text(quick)
    decided = [*command, "--out", str(tmp_path / "a"), "--decide", f"{EMT} asap_cutoff=true"]
    assert main(decided) == 0
    said = capsys.readouterr().err
    assert 'EMT{"asap_cutoff": true}' in said
    assert " decides" in said
    assert Campaign(tmp_path / "a").answers.number == 1  # no compound of one atom at either level
    assert len(Campaign(tmp_path / "a").level(1).phases) >= 2
    assert main([*command, "--out", str(tmp_path / "a")]) == 0  # the levels are those of the folder


def test_a_folder_of_before_there_were_levels_is_screened_only(tmp_path: Path) -> None:
    with zipfile.ZipFile(Path(__file__).parent / "data" / "campaign-of-0edff58.zip") as file:
        file.extractall(tmp_path)
    old = Campaign(tmp_path)
    assert len(old.levels) == 1
    assert old.answers.number == 0
    assert old.closures == old.undecided == ()
    assert old.finds
    assert set(old.all_evaluations["level"].to_pylist()) == {0}


def test_compositions_are_those_of_the_landscape() -> None:
    """The helper above makes what it says."""
    crystals, *_ = landscape([((1, 2, 0), 3, 0.0)], 0.0)
    assert np.array_equal(crystals.composition[0], compositions(["AlNi2"])[0])
