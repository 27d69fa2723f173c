"""The notebook: entries are added and none is changed, and no kill shows in it."""

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gnomon.cli import main
from gnomon.crystals import Crystals
from gnomon.diffraction import Candidates, DiffractionSettings, simulate
from gnomon.io import write
from gnomon.run.folder import Folder
from gnomon.run.writing import StoreError
from gnomon.synthesis.lab.crucible import AIR
from gnomon.synthesis.lab.notebook import LaboratoryConfig, Notebook, grams
from gnomon.synthesis.lab.powder import read
from gnomon.synthesis.lab.sets import precursor_sets
from gnomon.synthesis.lab.simulated import run
from tests.test_synthesis_reactions import SYSTEM, solids

POOL = ("BaCO3", "BaO", "TiO2", "Ba2TiO4")
CONFIG = LaboratoryConfig(target="BaTiO3", precursors=POOL, temperatures=(700.0, 900.0, 1100.0))

PEROVSKITE = Crystals.single(
    np.eye(3) * 4.0,
    [56, 22, 8, 8, 8],
    [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]],
)
RUTILE = Crystals.single(
    np.diag([4.59, 4.59, 2.96]),
    [22, 22, 8, 8, 8, 8],
    [
        *([0, 0, 0], [0.5] * 3, [0.305, 0.305, 0], [0.695, 0.695, 0]),
        *([0.195, 0.805, 0.5], [0.805, 0.195, 0.5]),
    ],
)


def book(place: Path, **changes: object) -> Notebook:
    return Notebook.begin(place, CONFIG.model_copy(update=changes), solids(), "test")


def contents(place: Path) -> dict[str, bytes]:
    return {
        path.relative_to(place).as_posix(): path.read_bytes()
        for path in sorted(place.rglob("*"))
        if path.is_file() and not path.name.startswith(".lock")
    }


@pytest.fixture
def phases(tmp_path: Path) -> Path:
    energies, volumes = zip(*SYSTEM.values(), strict=True)
    columns = {
        "reduced_formula": list(SYSTEM),
        "formation_energy_per_atom": energies,
        "volume_per_atom": volumes,
    }
    pq.write_table(pa.table(columns), tmp_path / "phases.parquet")
    return tmp_path / "phases.parquet"


def command(*words: object) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main([str(word) for word in words])
    return code, out.getvalue(), err.getvalue()


def test_a_plan_waits_until_its_outcome_is_there(tmp_path: Path) -> None:
    found = book(tmp_path / "lab")
    with found.writing():
        first = found.next()
        assert first is not None
        assert found.next() == first
        entry = found.record(1, {"BaCO3": 3.0, "TiO2": 1.0}, "a person")
        assert entry["phases"] == {"BaCO3": 0.75, "TiO2": 0.25}
        second = found.next()
        assert second is not None
        assert (second["number"], second["experiment"] != first["experiment"]) == (2, True)
        with pytest.raises(ValueError, match="experiment 1 has an outcome, which is never changed"):
            found.record(1, {"BaTiO3": 1.0}, "a person")
        with pytest.raises(ValueError, match="there is no plan 7"):
            found.record(7, {"BaTiO3": 1.0}, "a person")
        before = contents(tmp_path / "lab")
        found.record(1, {"BaTiO3": 1.0}, "a person", correct=True)
    after = contents(tmp_path / "lab")
    assert {n: after[n] for n in before if n != "manifest.jsonl"} == {
        n: data for n, data in before.items() if n != "manifest.jsonl"
    }
    assert Notebook(tmp_path / "lab").succeeded
    assert Folder(tmp_path / "lab").damages() == []


def test_a_target_is_made_in_spite_of_what_is_not_sure(tmp_path: Path) -> None:
    """0.95 is no 0.9 give or take 0.06, and peaks that nothing explains are in no fraction."""
    found = book(tmp_path / "lab")
    experiment = found.heating({"experiment": _first(found)})
    with found.writing():
        for number, (doubt, made) in enumerate([(0.06, False), (1.0, False), (0.04, True)], 1):
            entry = found.record(
                number, {"BaTiO3": 0.95, "TiO2": 0.05}, "a", experiment=experiment, doubt=doubt
            )
            assert entry["success"] == made
    only = Candidates.of(PEROVSKITE)
    mixed = simulate(Crystals.concatenate([PEROVSKITE, RUTILE]), [0.6, 0.4], seed=5)
    for scan, sure in ((simulate(PEROVSKITE, [1.0], seed=5), True), (mixed, False)):
        reading = read(scan, only)
        assert reading.phases == {"BaTiO3": pytest.approx(1.0)}
        assert (reading.doubt("BaTiO3") < 0.1) == sure


def _first(found: Notebook) -> dict:
    with found.writing():
        plan = found.next()
    assert plan is not None
    return plan["experiment"]


def test_another_laboratory_is_refused_and_the_same_goes_on(tmp_path: Path) -> None:
    book(tmp_path / "lab")
    before = contents(tmp_path / "lab")
    assert book(tmp_path / "lab").config == CONFIG
    assert contents(tmp_path / "lab") == before
    with pytest.raises(StoreError, match="holds another laboratory, for BaTiO3"):
        book(tmp_path / "lab", hours=2.0)
    with pytest.raises(StoreError, match="holds no laboratory"):
        _ = Notebook(tmp_path / "other").config


def test_a_run_stops_with_the_target_or_with_nothing_that_is_worth_trying(tmp_path: Path) -> None:
    for law, world in (("diffusion", 0), ("nucleation", 3)):
        found = book(tmp_path / law)
        entries = run(found, law, world, 12)
        assert [entry["number"] for entry in entries] == list(range(1, len(entries) + 1))
        assert found.succeeded == entries[-1]["success"]
        assert all("simulated" in entry["source"] for entry in entries)
        assert found.succeeded or len(entries) == 12 or found.next() is None
        before = contents(tmp_path / law)
        assert run(Notebook(tmp_path / law), law, world, 12) == entries  # nothing is left to do
        assert contents(tmp_path / law) == before


def test_grams_hold_what_the_target_holds() -> None:
    for mixture in precursor_sets("BaTiO3", POOL, AIR):
        weighed = grams(mixture, "BaTiO3", AIR)
        assert sum(weighed.values()) >= 0.999  # gases only leave
    carbonate = grams(precursor_sets("BaTiO3", POOL, AIR)[1], "BaTiO3", AIR)
    assert carbonate == pytest.approx({"BaCO3": 0.8463, "TiO2": 0.3425}, abs=1e-3)


def test_a_person_and_an_instrument_write_into_the_notebook(tmp_path: Path, phases: Path) -> None:
    lab = tmp_path / "lab"
    begin = ["lab", "begin", "BaTiO3", lab, "--phases", phases]
    begin += [word for name in POOL for word in ("--precursor", name)]
    assert command(*begin)[0] == 0
    code, out, _ = command("lab", "next", lab)
    assert code == 0
    assert "Experiment 1" in out
    assert " g TiO2" in out
    code, out, _ = command("lab", "record", lab, "--phase", "BaO=0.5", "--phase", "TiO2=0.5")
    assert (code, out) == (0, out)
    assert "TiO2 50%" in out
    command("lab", "next", lab)
    powder = Crystals.concatenate([PEROVSKITE, RUTILE])
    scan = simulate(powder, [0.8, 0.2], seed=3)
    np.savetxt(tmp_path / "scan.xy", np.column_stack([scan.two_theta, scan.counts]))
    write(tmp_path / "crystals.cif", powder)
    words = ["lab", "record", lab, "--scan", tmp_path / "scan.xy"]
    code, _, err = command(*words)
    assert (code, "a scan needs crystals" in err) == (2, True)
    code, out, _ = command(*words, "--crystals", tmp_path / "crystals.cif", "--json")
    entry = json.loads(out)
    assert code == 0
    assert entry["source"] == "scan scan.xy"
    assert entry["phases"]["BaTiO3"] == pytest.approx(0.8, abs=0.1)
    assert (lab / "scans" / "0002.xy").read_bytes() == (tmp_path / "scan.xy").read_bytes()
    code, out, _ = command("lab", "show", lab)
    assert code == 0
    assert "inert up to" in out
    unplanned = ["--precursor", "BaO", "--precursor", "TiO2", "--celsius", "950"]
    assert command("lab", "record", lab, "--phase", "BaTiO3=1", *unplanned)[0] == 0
    code, out, _ = command("lab", "next", lab)
    assert (code, out.strip()) == (0, "BaTiO3 was made")
    assert command("check", lab)[0] == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["TiO2", "--precursor", "TiO2"], "TiO2 holds Ti besides what the gas gives"),
        (["BaTiO3", "--precursor", "BaO"], "no precursor holds Ti"),
        (["BaTiO3", "--precursor", "BaTiO3"], "no precursor holds Ti, Ba"),
        (["BaTiO3", "--precursor", "BaO", "--precursor", "CuO"], "no precursor holds Ti"),
        (["BaTiO3"], "no precursors"),
        (["SrTiO3", "--precursor", "SrO", "--precursor", "TiO2"], "has no phase SrO, SrTiO3"),
        (
            ["BaTiO3", *["--precursor", "BaO", "--precursor", "TiO2", "--celsius", "3000"]],
            "3000 °C",
        ),
    ],
)
def test_what_cannot_be_begun_is_a_sentence(tmp_path: Path, phases: Path, words, said) -> None:
    target, *rest = words
    code, _, err = command("lab", "begin", target, tmp_path / "lab", "--phases", phases, *rest)
    assert code in (1, 2)
    [error] = [line for line in err.splitlines() if line.startswith("error: ")]
    assert said in error
    assert not (tmp_path / "lab" / "laboratory.json").exists()


def test_a_laboratory_in_nitrogen_keeps_its_oxygen(tmp_path: Path) -> None:
    found = book(tmp_path / "lab", pressures={"N2": 1.0}, precursors=("BaO", "TiO2"))
    with found.writing():
        plan = found.next()
    assert plan is not None
    assert plan["experiment"]["precursors"] == ["BaO", "TiO2"]


def test_the_loop_reads_its_outcomes_from_diffractograms(tmp_path: Path) -> None:
    found = book(tmp_path / "lab")
    powder = Crystals.concatenate([PEROVSKITE, RUTILE])
    entries = run(found, "diffusion", 0, 2, powder)
    assert all("diffractogram" in entry["source"] for entry in entries)
    assert {name for entry in entries for name in entry["phases"]} <= {"BaTiO3", "TiO2"}


def test_of_crystals_that_scatter_alike_those_are_told_that_were_weighed_in() -> None:
    """BaTiO3 and a made-up SrTiO3 of the same cell: what was weighed in tells them apart."""
    twin = Crystals.single(PEROVSKITE.lattice[0], [38, 22, 8, 8, 8], PEROVSKITE.frac_coords)
    both = Candidates.of(Crystals.concatenate([twin, PEROVSKITE]))
    scan = simulate(PEROVSKITE, [1.0], seed=2)
    quick = DiffractionSettings(refine=False)
    for name in ("BaCO3", "SrCO3"):
        found = read(scan, both, quick, {name: 0.7, "TiO2": 0.3})
        assert {*found.phases} <= {"BaTiO3", "SrTiO3"}
    told = read(scan, both, quick, {"BaCO3": 0.7, "TiO2": 0.3})
    assert {*told.phases} == {"BaTiO3"}
