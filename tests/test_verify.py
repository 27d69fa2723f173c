"""Verification: what is evaluated, what its numbers mean, what a kill or a failure costs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from gnomon.cli import COMMANDS, function_of
from gnomon.cli.options import CommandError
from gnomon.discover import Campaign, discover
from gnomon.discover.settings import load_config
from gnomon.elements import SYMBOLS
from gnomon.evaluate import table
from gnomon.hull.phases import SchemeMismatch
from gnomon.run.listener import SILENT, Listener
from gnomon.run.store import Store
from gnomon.run.writing import StoreError
from gnomon.structure.symmetry import space_groups
from gnomon.verify.elements import ElementCache
from gnomon.verify.output import facts, sentence, write_verification
from gnomon.verify.plan import Plan, plan
from gnomon.verify.run import evaluate_plan, folder_of, results
from gnomon.verify.vasp_inputs import Protocol, folder_name
from gnomon.verify.verdicts import Verdict, assess
from tests.conftest import EMT
from tests.vasp_files import finished
from tests.verified import ROUND_OFF, Mixing, run

AL, NI = 13, 28


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A campaign in Al-Ni with several stable compositions; tests only read it."""
    store = Store(tmp_path_factory.mktemp("campaign"))
    overrides: dict[str, Any] = {
        "system": "Al-Ni",
        "evaluator.name": EMT,
        "generate.generators": ["prototypes"],
        "generate.max_atoms": 3,
        "learn.min_labels": 1000,
        "learn.prior": False,
        "budget.rounds": 1,
        "budget.first_round": 12,
    }
    discover(load_config(None, overrides), store, Mixing(), SILENT)
    return store


@pytest.fixture(scope="module")
def chosen(campaign: Store) -> Plan:
    return plan(Campaign(campaign), 20)


# --- the plan -------------------------------------------------------------------------------------


def test_finds_are_the_stable_ones_that_the_report_lists(campaign: Store, chosen: Plan) -> None:
    rows = {row["id"]: row for row in Campaign(campaign).hull_table().to_pylist()}
    assert len(chosen.targets) >= 3
    for target in chosen.targets:
        find = target.find
        row = rows[find.id]
        assert row["stable"]
        assert not row["is_reference"]
        crystal = chosen.crystals[np.flatnonzero(chosen.crystals.ids == target.id)]
        assert crystal.reduced_formulas.tolist() == [find.reduced_formula]
        assert space_groups(crystal, 1e-6).tolist() == [row["space_group"]]  # to every digit
        assert row["formation_energy_per_atom"] == find.formation_energy_per_atom
    distances = [target.find.distance_to_rest for target in chosen.targets]
    assert distances == sorted(distances)
    assert max(distances) < 0
    assert len({target.find.reduced_formula for target in chosen.targets}) == len(chosen.targets)


def test_each_find_comes_with_its_elements_and_what_it_would_decompose_into(chosen: Plan) -> None:
    formula = dict(zip(chosen.crystals.ids, chosen.crystals.reduced_formulas, strict=True))
    assert len(formula) == len(chosen.crystals)  # each crystal once
    assert set(chosen.elements) == {"Al", "Ni"}
    for target in chosen.targets:
        names = [formula[key] for key in target.competing]
        assert {"Al", "Ni"} <= set(names)
        assert target.find.reduced_formula not in names  # all its structures have one energy
        assert target.id in formula
    # a line through more than two compounds: those between others compete with compounds
    assert any(len({formula[k] for k in f.competing} - {"Al", "Ni"}) for f in chosen.targets)


def test_top_takes_the_best(campaign: Store, chosen: Plan) -> None:
    best = plan(Campaign(campaign), 1)
    assert [target.id for target in best.targets] == [chosen.targets[0].id]
    with pytest.raises(ValueError, match="--top is 0"):
        plan(Campaign(campaign), 0)


def test_a_campaign_without_finds_has_nothing_to_verify(tmp_path: Path) -> None:
    store = Store(tmp_path / "dull")
    overrides = {
        "system": "Al-Ni",
        "evaluator.name": EMT,
        "generate.generators": ["prototypes"],
        "generate.max_atoms": 1,
        "learn.prior": False,
        "budget.rounds": 1,
        "budget.first_round": 1,
    }
    discover(load_config(None, overrides), store, Mixing(), SILENT)
    with pytest.raises(ValueError, match="no find on its hull"):
        plan(Campaign(store), 20)
    with pytest.raises(StoreError, match="holds no campaign"):
        plan(Campaign(tmp_path / "nothing"), 20)


# --- laws -----------------------------------------------------------------------------------------


@settings(max_examples=5)
@given(st.floats(-9, 9), st.floats(-9, 9))
def test_energies_of_the_elements_shift_no_find(
    tmp_path_factory: pytest.TempPathFactory, chosen: Plan, al: float, ni: float
) -> None:
    """Formation energies do not feel a term that is linear in the composition."""
    folder = tmp_path_factory.mktemp("linear")
    found = run(chosen, folder, Mixing("other", {AL: al, NI: ni}))
    assert [o.verdict for o in found.outcomes] == [Verdict.STABLE] * len(chosen.targets)
    assert (found.stable.k, found.stable.n) == (len(chosen.targets), len(chosen.targets))
    for outcome in found.outcomes:
        assert outcome.shift == pytest.approx(0, abs=ROUND_OFF)
        assert outcome.e_above_hull == pytest.approx(0, abs=ROUND_OFF)
    assert found.references == pytest.approx({"Al": al, "Ni": ni})


@settings(max_examples=5)
@given(st.floats(0.001, 0.5))
def test_a_find_that_costs_more_at_the_higher_level_leaves_the_hull(
    tmp_path_factory: pytest.TempPathFactory, chosen: Plan, cost: float
) -> None:
    """Its shift is the cost, and its distance from the others' hull rises by as much."""
    formula = chosen.targets[0].find.reduced_formula
    folder = tmp_path_factory.mktemp("cost")
    before = run(chosen, folder / "before", Mixing("higher")).outcomes[0]
    after = run(chosen, folder, Mixing("higher", bonus={formula: cost})).outcomes[0]
    assert after.shift == pytest.approx(cost, abs=ROUND_OFF)
    assert after.distance_to_rest == pytest.approx(before.distance_to_rest + cost, abs=ROUND_OFF)
    stable = before.distance_to_rest + cost <= 5e-5
    assert after.verdict == (Verdict.STABLE if stable else Verdict.ABOVE_HULL)
    assert bool(after.reason) == (not stable)


# --- failures are data ----------------------------------------------------------------------------


def test_what_lies_above_the_hull_is_decided_although_a_rival_failed(
    tmp_path: Path, chosen: Plan
) -> None:
    """Another phase could only push it further up."""
    formula = dict(zip(chosen.crystals.ids, chosen.crystals.reduced_formulas, strict=True))
    first = next(t for t in chosen.targets if {formula[k] for k in t.competing} - {"Al", "Ni"})
    name = first.find.reduced_formula
    rival = next(formula[k] for k in first.competing if formula[k] not in ("Al", "Ni", name))
    found = run(chosen, tmp_path, Mixing("higher", failing=(rival,), bonus={name: 1.0}))
    outcome = next(o for o in found.outcomes if o.target is first)
    assert outcome.verdict == Verdict.ABOVE_HULL
    assert outcome.agrees is False
    others = [o for o in found.outcomes if o.verdict == Verdict.UNDECIDED]
    assert all(o.agrees is None for o in others)


def test_failures_stay_in_the_denominator(tmp_path: Path, chosen: Plan) -> None:
    failed = chosen.targets[0].find.reduced_formula
    found = run(chosen, tmp_path, Mixing("higher", failing=(failed,)))
    outcome = found.outcomes[0]
    assert outcome.verdict == Verdict.FAILED
    assert "the SCF did not converge" in outcome.reason
    assert outcome.shift is None
    assert found.stable.n == len(chosen.targets)
    assert found.stable.k < found.stable.n
    assert "without a verdict" in sentence(found)


def test_a_find_whose_rival_failed_is_undecided(tmp_path: Path, chosen: Plan) -> None:
    """It would look more stable than it is shown to be."""
    found = run(chosen, tmp_path, Mixing("higher", failing=("Al",)))
    assert {o.verdict for o in found.outcomes} == {Verdict.UNDECIDED}
    assert all(o.reason.startswith("Al, which it competes with") for o in found.outcomes)
    assert (found.stable.k, found.stable.n) == (0, len(chosen.targets))
    assert found.median_shift is None  # no reference of Al, so no formation energy


def test_failures_are_tried_again_only_when_asked(tmp_path: Path, chosen: Plan) -> None:
    failed = chosen.targets[0].find.reduced_formula
    run(chosen, tmp_path, Mixing("higher", failing=(failed,)))
    idle = Mixing("higher")
    assert run(chosen, tmp_path, idle).outcomes[0].verdict == Verdict.FAILED
    assert idle.asked == []
    busy = Mixing("higher")
    assert run(chosen, tmp_path, busy, again=True).outcomes[0].verdict == Verdict.STABLE
    assert busy.asked == [chosen.targets[0].id]


# --- kills, caches, schemes -----------------------------------------------------------------------


def test_a_kill_costs_no_more_than_the_shard_in_work(
    tmp_path: Path, chosen: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "KEEP_SECONDS", 0.0)  # as if each crystal took hours
    chunks = iter(range(2))

    def die_at_the_third() -> None:
        if next(chunks, None) is None:
            raise KeyboardInterrupt

    first = Mixing("higher", before_chunk=die_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        run(chosen, tmp_path, first)
    kept = len(results(chosen, Store(tmp_path)))
    assert kept == 4
    assert kept < len(chosen.crystals)
    waiting = assess(chosen, results(chosen, Store(tmp_path)), "higher")
    assert waiting.count(Verdict.PENDING) == len(chosen.targets) - waiting.stable.n > 0
    second = Mixing("higher")
    resumed = run(chosen, tmp_path, second)
    assert set(first.asked).isdisjoint(second.asked)
    assert sorted([*first.asked, *second.asked]) == sorted(chosen.crystals.ids)
    whole = run(chosen, tmp_path / "whole", Mixing("higher"))
    assert resumed == whole


def test_elements_are_evaluated_once_a_scheme(tmp_path: Path, chosen: Plan) -> None:
    elements = {key for structures in chosen.elements.values() for key in structures}
    cache = tmp_path / "cache"
    for name, expected in (("one", set()), ("two", elements), ("three", set())):
        scheme = "other" if name == "three" else "higher"
        evaluator = Mixing(scheme)
        evaluate_plan(chosen, evaluator, Store(tmp_path / name), cache, SILENT)
        assert set(chosen.crystals.ids) - set(evaluator.asked) == expected
    assert len(list(cache.iterdir())) == 2
    kept = ElementCache(cache, "higher")
    assert set(kept.rows()["id"].to_pylist()) == elements
    ElementCache(cache, "liar").path.write_bytes(kept.path.read_bytes())
    with pytest.raises(SchemeMismatch, match="'higher', not of 'liar'"):
        ElementCache(cache, "liar").rows()
    kept.path.write_bytes(b"PAR1 and no more")
    with pytest.raises(StoreError, match="delete it"):
        kept.rows()


def test_energies_of_two_schemes_share_no_hull(tmp_path: Path, chosen: Plan) -> None:
    rows = evaluate_plan(chosen, Mixing("PBE"), Store(tmp_path), tmp_path / "cache", SILENT)
    with pytest.raises(SchemeMismatch, match=r"'PBE' and 'r2SCAN'.*checkpoint: PBE and r2SCAN"):
        assess(chosen, rows, "r2SCAN")


def test_each_engine_and_scheme_has_a_folder_of_its_own(campaign: Store) -> None:
    one, other, third = (
        folder_of(campaign, engine, scheme)
        for engine, scheme in (("gpaw", "A"), ("gpaw", "B"), ("ase:a.b/../C", "A"))
    )
    assert len({one, other, third}) == 3
    assert {p.parent for p in (one, other, third)} == {campaign.root / "verification"}


def test_each_crystal_is_told_when_it_is_done(tmp_path: Path, chosen: Plan) -> None:
    """Calculations take hours, often without a terminal."""
    said: list[str] = []
    listener = Listener(say=said.append, tick=lambda *_: None)
    evaluate_plan(chosen, Mixing("PBE"), Store(tmp_path), tmp_path / "cache", listener)
    total = len(chosen.crystals)
    assert len(said) == total
    assert said[-1].startswith(f"{total} of {total}: ")
    assert "eV/atom" in said[0]
    assert "converged" in said[0]


def test_files_say_what_the_verification_says(tmp_path: Path, chosen: Plan) -> None:
    store = Store(tmp_path)
    found = run(
        chosen, tmp_path, Mixing("higher", failing=(chosen.targets[0].find.reduced_formula,))
    )
    write_verification(found, store)
    written = json.loads((tmp_path / "verification.json").read_text())
    assert written["finds"] == facts(found)["finds"]
    assert written["stable"]["k"] == found.stable.k
    assert written["verdicts"]["failed"] == 1
    table = pq.read_table(tmp_path / "verification.parquet")
    assert table["verdict"].to_pylist() == [o.verdict.value for o in found.outcomes]


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Any]:
    monkeypatch.setenv("GNOMON_CACHE", str(tmp_path / "cache"))
    app = typer.Typer()
    app.command()(function_of(COMMANDS["verify"]))

    def call(*arguments: str) -> Any:
        return CliRunner().invoke(app, list(arguments))

    return call


def test_emt_verifies_a_campaign_of_another_evaluator(
    campaign: Store, command: Callable[..., Any]
) -> None:
    arguments = [str(campaign.root), "--engine", EMT, "--top", "2", "--workers", "1"]
    done = command(*arguments, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["campaign_scheme"] == "mixing"
    assert found["scheme"].startswith("ase.calculators.emt.EMT (ase")
    assert len(found["finds"]) == found["stable"]["n"] == 2
    assert all(row["shift"] is not None for row in found["finds"])
    assert set(found["references"]) == {SYMBOLS[AL], SYMBOLS[NI]}
    table = command(*arguments)
    assert table.exit_code == 0
    assert found["finds"][0]["reduced_formula"] in table.stdout
    assert f"{found['stable']['k']} of 2 finds stay stable" in table.stderr


@pytest.mark.filterwarnings("ignore:.*ISMEAR")  # pymatgen's advice on its own sets
def test_vasp_goes_out_and_comes_back(
    campaign: Store, command: Callable[..., Any], tmp_path: Path
) -> None:
    """All phases at -4 eV/atom: no find is below its elements, and none above."""
    folder = tmp_path / "runs"
    arguments = [str(campaign.root), "--engine", "vasp", "--top", "2"]
    done = command(*arguments, "--export", str(folder))
    assert done.exit_code == 0, done.output
    manifest = json.loads((folder / "verify.json").read_text())
    assert f"{len(manifest['crystals'])} crystals, 3 jobs each" in done.stdout
    assert "POTCAR.spec" in done.stderr
    early = command(*arguments, "--import", str(folder))
    assert "no output of VASP" in str(early.exception)
    for crystal in plan(Campaign(campaign), 2).crystals:
        finished(folder / folder_name(crystal), crystal)
    done = command(*arguments, "--import", str(folder), "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["scheme"] == str(Protocol.PBE.scheme)
    assert (found["stable"]["k"], found["stable"]["n"]) == (2, 2)
    assert [row["formation_energy_per_atom"] for row in found["finds"]] == pytest.approx([0, 0])
    other = command(*arguments, "--import", str(folder), "--protocol", "r2scan")
    assert isinstance(other.exception, SchemeMismatch)


def test_arguments_that_make_no_sense_are_refused(
    campaign: Store, command: Callable[..., Any], tmp_path: Path
) -> None:
    for arguments, reason in (
        (["--engine", "vasp"], "takes one of --export"),
        (["--engine", EMT, "--export", str(tmp_path / "x")], "belong to --engine vasp"),
        (["--engine", "no such thing"], "no evaluator 'no such thing'"),
    ):
        done = command(str(campaign.root), *arguments)
        assert isinstance(done.exception, CommandError)
        assert reason in str(done.exception)
