"""`gnomon databases` as a whole: what is fetched is evaluated, and lies on one hull."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from gnomon.cli import main
from gnomon.crystals import Crystals
from gnomon.databases import HttpError, Patience, References, Request, fetch, references
from gnomon.dynamics.settings import RelaxConfig
from gnomon.hull.convex import Hull
from gnomon.hull.phases import phases_from_table
from gnomon.io import InputError, read, write
from gnomon.run.listener import SILENT, Listener
from gnomon.run.store import Store
from gnomon.run.writing import StoreError
from tests.calculators import FastEvaluator
from tests.conftest import EMT, REPOSITORY
from tests.database_servers import Reply, entry, page, scripted, serving
from tests.test_databases_optimade import AGAU, AU, CU, CUAU, DISORDERED, INSIDE, pages_of

QUICK = Patience(silence=30.0, attempts=2, pause=0.01)
RELAX = RelaxConfig()

RELAXED_TWICE = 1e-3
"""eV/atom that forces below 0.02 eV/Å leave open."""

SAME_ENERGY = 1e-9
"""eV/atom: the same numbers, added in another order."""


def run(
    source: str | list[str], root: Path, evaluator: FastEvaluator | None = None, systems=("Au-Cu",)
) -> References:
    sources = [source] if isinstance(source, str) else source
    request = Request.of(systems, sources)
    return references(request, Store(root), evaluator or FastEvaluator(), RELAX, SILENT, QUICK)


@pytest.fixture
def known(tmp_path: Path) -> Path:
    """A file of four crystals, one of them of another system."""
    path = tmp_path / "known.parquet"
    write(path, Crystals.concatenate([CU, AU, CUAU, AGAU]))
    return path


# --- records and phases ---------------------------------------------------------------------------


def test_every_record_is_a_row_with_a_status(tmp_path):
    """Converged, failed, no crystal, another system than asked for: nothing is dropped."""
    data = [
        entry(CU, "good"),
        entry(CUAU, "fails"),
        entry(CU, "no crystal", **DISORDERED),
        entry(AGAU, "not asked for"),
        "not even a record",
    ]
    with serving(scripted(Reply.json(page(data)))) as server:
        found = run(server.url, tmp_path / "r", FastEvaluator(failing=(79,)))
    rows = {
        row["source_id"]: row for row in found.records.to_pylist() if row["source"] == server.url
    }
    assert {name: row["status"] for name, row in rows.items()} == {
        "good": "converged",
        "fails": "not_converged",
        "no crystal": "rejected",
        "not asked for": "outside",
        None: "rejected",
    }
    assert rows["no crystal"]["message"].startswith("partial_occupancy: ")
    assert len(found.records) == len(data) + 2, "and the measured ground states"
    assert found.provenance.evaluation.statuses == {
        "converged": 2,
        "not_converged": 2,
        "outside": 1,
        "rejected": 2,
    }
    assert found.phases["source_id"].to_pylist() == ["A_cF4_225_a", "good"]
    written = tmp_path / "r" / "records.parquet"
    assert pq.read_table(written).to_pylist() == found.records.to_pylist()
    known = read(written)  # as a campaign reads it
    assert (len(known.crystals), len(known.rejects)) == (5, 2)


def test_phases_are_on_one_hull_of_one_scheme(known, tmp_path):
    found = run(str(known), tmp_path / "r")
    phases = found.phases
    assert set(phases["scheme"].to_pylist()) == {"fast"}
    hull = Hull(phases_from_table(phases, "fast"))
    energies = phases["formation_energy_per_atom"].to_numpy()
    above = hull.e_above_hull(hull.phases.composition, energies)
    assert np.abs(above - phases["e_above_hull"].to_numpy()).max() < SAME_ENERGY
    by_formula = dict(zip(phases["reduced_formula"].to_pylist(), energies, strict=True))
    assert by_formula["CuAu"] < -0.1
    references_ = found.provenance.evaluation.references
    assert set(references_) == {"Au", "Cu"}
    assert set(found.stable["reduced_formula"].to_pylist()) >= {"Au", "Cu", "CuAu"}


def test_references_are_those_of_a_campaign(known, tmp_path):
    """A campaign of the same evaluator that is given the phases has the same formation energies."""
    out, campaign = tmp_path / "r", tmp_path / "campaign"
    common = ["--evaluator", EMT, "--workers", "1"]
    assert main(["databases", "Au-Cu", "--from", str(known), *common, "--out", str(out)]) == 0
    config = tmp_path / "config.toml"
    # nothing but its references: no parents, so no candidates
    config.write_text(
        'system = "Au-Cu"\n[generate]\ngenerators = ["substitution"]\nmax_atoms = 1\n'
        "[learn]\nprior = false\n"
    )
    discover = ["discover", "--config", str(config), *common, "--evaluations", "1"]
    discover += ["--rounds", "1", "--known", str(out / "phases.parquet")]
    assert main([*discover, "--out", str(campaign)]) == 0
    ours = pq.read_table(out / "phases.parquet")
    theirs = pq.read_table(campaign / "hull.parquet")
    assert set(ours["scheme"].to_pylist()) == {
        json.loads((campaign / "provenance.json").read_text())["scheme"]
    }
    (given,) = (row for row in ours.to_pylist() if row["reduced_formula"] == "CuAu")
    by_id = {row["id"]: row for row in theirs.to_pylist()}
    again = by_id[given["relaxed_id"]]
    assert again["is_reference"]
    assert given["formation_energy_per_atom"] == pytest.approx(
        again["formation_energy_per_atom"], abs=RELAXED_TWICE
    )


def test_the_written_file_answers_the_hull_command(known, tmp_path, capsys):
    out = tmp_path / "r"
    arguments = ["--from", str(known), "--evaluator", EMT, "--workers", "1", "--out", str(out)]
    assert main(["databases", "Au-Cu", *arguments, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["statuses"] == {"converged": 5}
    assert main(["hull", said["phases"], "Au-Cu", "CuAu3", "--json"]) == 0
    system, formula = json.loads(capsys.readouterr().out)
    assert {row["reduced_formula"] for row in system["phases"]} == {"Au", "Cu", "CuAu"}
    assert formula["n_phases"] >= 3


def test_both_tables_can_be_given_as_known_crystals(known, tmp_path):
    found = run(str(known), tmp_path / "r")
    for name, wanted in (("phases.parquet", found.phases), ("records.parquet", found.records)):
        again = read(tmp_path / "r" / name)
        assert len(again.crystals) == len(wanted)
        assert again.rows["source_id"].to_pylist() == wanted["source_id"].to_pylist()


def test_an_element_without_energy_leaves_its_compounds_without_a_place(known, tmp_path):
    """Only the pure element fails: its compound has an energy, but nothing to count it from."""

    class FailsForGold(FastEvaluator):
        def _results(self, part):
            results = super()._results(part)
            pure = (part.composition > 0).sum(axis=1) == 1
            results.status[pure & (part.composition[:, 79] > 0)] = "exploded"
            return results

    found = run(str(known), tmp_path / "r", FailsForGold())
    assert found.left_out == ("CuAu",)
    (row,) = (row for row in found.records.to_pylist() if row["reduced_formula"] == "CuAu")
    assert row["status"] == "converged"
    assert row["message"] == "no place on the hull: an element of it has no converged phase"
    assert set(found.phases["reduced_formula"].to_pylist()) == {"Cu"}


def test_no_phase_at_all_is_an_empty_table(known, tmp_path):
    found = run(str(known), tmp_path / "r", FastEvaluator(failing=(29, 79)))
    assert len(found.phases) == 0
    assert found.provenance.evaluation.references == {}
    assert set(found.records["status"].to_pylist()) == {"not_converged"}


def test_a_crystal_of_two_sources_is_evaluated_once(known, tmp_path):
    evaluator = FastEvaluator()
    copy = tmp_path / "copy.parquet"
    copy.write_bytes(known.read_bytes())
    found = run([str(known), str(copy)], tmp_path / "r", evaluator)
    assert len(evaluator.asked) == len(set(evaluator.asked)) == 5
    assert len(found.records) == 3 + 3 + 2
    assert len(found.phases) == 5


def test_several_systems_share_a_folder(known, tmp_path):
    found = run(str(known), tmp_path / "r", systems=("Au-Cu", "Ag-Au", "Cu"))
    assert found.provenance.systems == ("Au-Cu", "Ag-Au")
    assert set(found.phases["chemical_system"].to_pylist()) == {
        "Ag", "Au", "Cu", "Au-Cu", "Ag-Au",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["x.cif", "x.vasp", "x.extxyz", "x.json"])
def test_a_file_may_have_any_format(name, tmp_path):
    path = tmp_path / name
    write(path, CUAU)
    found = run(str(path), tmp_path / "r")
    assert set(found.phases["reduced_formula"].to_pylist()) == {"Au", "Cu", "CuAu"}


# --- provenance -----------------------------------------------------------------------------------


def test_the_provenance_pins_what_was_asked_and_answered(tmp_path):
    with serving(pages_of(*sorted(INSIDE))) as server:
        found = run(server.url, tmp_path / "r")
    written = json.loads((tmp_path / "r" / "reference.json").read_text())
    assert written == json.loads(found.provenance.model_dump_json())
    (source,) = written["fetched"]
    assert source["release"] == "1"
    assert source["api_version"] == "1.2.0"
    assert source["queries"] == ['elements HAS ONLY "Au","Cu"']
    assert source["fetched"].startswith("20")
    assert source["received"] == source["announced"] == 3
    assert all(len(answer["sha256"]) == 64 for answer in source["answers"])
    assert written["evaluation"]["scheme"] == "fast"
    for name in ("phases.parquet", "records.parquet"):
        metadata = pq.read_schema(tmp_path / "r" / name).metadata
        assert json.loads(metadata[b"gnomon"]) == written


def test_the_same_command_again_asks_and_computes_nothing(tmp_path):
    with serving(pages_of(*sorted(INSIDE))) as server:
        run(server.url, tmp_path / "r")
        asked = len(server.asked)
        before = (tmp_path / "r" / "phases.parquet").read_bytes()
        evaluator = FastEvaluator()
        run(server.url, tmp_path / "r", evaluator)
        assert len(server.asked) == asked
    assert evaluator.asked == []
    assert (tmp_path / "r" / "phases.parquet").read_bytes() == before


def test_nothing_is_overwritten(known, tmp_path):
    root = tmp_path / "r"
    run(str(known), root)
    with pytest.raises(StoreError, match="choose another folder with --out"):
        run(str(known), root, systems=("Ag-Au",))
    with pytest.raises(StoreError, match=r"in the scheme 'fast', not 'slow'.*records.parquet"):
        run(str(known), root, FastEvaluator("slow"))
    other = RelaxConfig(fmax=0.5)
    request = Request.of(["Au-Cu"], [str(known)])
    with pytest.raises(StoreError, match=r"fmax=0.02.*not.*fmax=0.5"):
        references(request, Store(root), FastEvaluator(), other, SILENT, QUICK)
    write(known, CU, overwrite=True)
    with pytest.raises(StoreError, match="is not the file that was fetched"):
        run(str(known), root)


def test_a_folder_of_something_else_is_left_alone(known, tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("precious")
    with pytest.raises(StoreError, match=r"holds thesis.tex"):
        run(str(known), tmp_path / "home")
    assert [p.name for p in (tmp_path / "home").iterdir()] == ["thesis.tex"]
    with pytest.raises(StoreError, match="is a file"):
        run(str(known), known)


def test_a_damaged_provenance_is_told(known, tmp_path):
    run(str(known), tmp_path / "r")
    (tmp_path / "r" / "reference.json").write_text("{")
    with pytest.raises(StoreError, match=r"reference.json is not as it was written"):
        run(str(known), tmp_path / "r")


def test_another_energy_needs_no_other_fetch(known, tmp_path):
    """The records of one folder are the file of another one, in another scheme."""
    first = run(str(known), tmp_path / "a")
    second = run(str(tmp_path / "a" / "records.parquet"), tmp_path / "b", FastEvaluator("slow"))
    assert set(first.phases["id"].to_pylist()) == set(second.phases["id"].to_pylist())
    assert set(second.phases["scheme"].to_pylist()) == {"slow"}


# --- faults ---------------------------------------------------------------------------------------


def test_without_a_network_the_error_names_the_remedy_and_nothing_is_lost(known, tmp_path):
    with serving(pages_of(*sorted(INSIDE))) as server:
        url = server.url
    with pytest.raises(HttpError, match=r"cannot be reached.*give a file") as error:
        run([str(known), url], tmp_path / "r")
    assert url in str(error.value)
    assert (tmp_path / "r" / "answers" / "source-0" / "fetched.json").is_file()


def test_a_folder_into_which_nothing_came_takes_another_source(known, tmp_path):
    """The remedy of the error, a file, works with the same --out."""
    with serving(scripted(Reply(status=404))) as server:
        with pytest.raises(HttpError):
            run(server.url, tmp_path / "r")
        assert len(run(str(known), tmp_path / "r").phases) == 5


def test_fetch_now_and_evaluate_without_a_network(tmp_path):
    with serving(pages_of(*sorted(INSIDE))) as server:
        request = Request.of(["Au-Cu"], [server.url])
        provenance = fetch(request, Store(tmp_path / "r"), SILENT, QUICK)
        assert provenance.evaluation is None
    assert len(run(server.url, tmp_path / "r").phases) == 5


def test_missing_records_are_said_aloud(tmp_path):
    said = []
    with serving(scripted(Reply.json(page([entry(CU, "a")], total=5)))) as server:
        request = Request.of(["Cu"], [server.url])
        listener = Listener(said.append, lambda *_: None)
        fetch(request, Store(tmp_path / "r"), listener, QUICK)
    assert any("announced 5 records and sent 1" in line for line in said)


def test_an_evaluation_that_stops_goes_on(tmp_path):
    class StoppedError(Exception):
        pass

    def stop() -> None:
        if len(evaluator.asked) >= 16:
            raise StoppedError

    many = Crystals.concatenate([CU.scale_volume(1 + i / 50) for i in range(20)])
    path = tmp_path / "many.parquet"
    write(path, many)
    evaluator = FastEvaluator(before_chunk=stop)
    with pytest.raises(StoppedError):
        run(str(path), tmp_path / "r", evaluator, systems=("Cu",))
    second = FastEvaluator()
    found = run(str(path), tmp_path / "r", second, systems=("Cu",))
    assert len(second.asked) == 21 - 16
    assert not set(second.asked) & set(evaluator.asked)
    assert len(found.phases) == 21


def test_a_killed_fetch_goes_on_by_the_same_command(tmp_path):
    """SIGKILL while the server hangs at the third page; the first two are kept."""
    good = pages_of(*sorted(INSIDE))
    hanging = {"page=2": 60.0}

    def answer(path: str) -> Reply:
        reply = good(path)
        hang = next((s for part, s in hanging.items() if part in path), 0.0)
        return Reply(reply.body, headers=reply.headers, hang=hang)

    out = tmp_path / "r"
    with serving(answer) as server:
        arguments = ["databases", "Au-Cu", "--from", server.url, "--fetch-only", "--out", str(out)]
        command = [sys.executable, "-m", "gnomon", *arguments]
        first = subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.PIPE)
        deadline = time.monotonic() + 180
        while not any("page=2" in path for path in server.asked):
            assert first.poll() is None, first.stderr.read().decode()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.kill(first.pid, signal.SIGKILL)
        first.communicate()
        hanging.clear()
        asked = len(server.asked)
        assert main(arguments) == 0
        assert len(server.asked) == asked + 1, "only the page that was missing"
    assert len(run(server.url, out).phases) == 5


# --- the command ----------------------------------------------------------------------------------


def test_mistakes_are_told_before_anything_is_asked(known, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for arguments, code, message in [
        ([], 2, "Missing argument"),
        (["Au-Xx", "--from", str(known)], 1, "'Xx' is no element"),
        (
            ["Au-Cu", "--from", "nofile.cif", "--evaluator", EMT],
            1,
            "--from nofile.cif is no source",
        ),
        (["Au-Cu", "--from", "-", "--evaluator", EMT], 1, "standard input"),
        (["Au-Cu", "--from", "ftp://x.org", "--evaluator", EMT], 1, "is no source"),
        (["Au-Cu", "--from", str(known), "--evaluator", "emt"], 2, "no evaluator 'emt'"),
        (["Au-Cu", "--from", str(known), "--options", "["], 2, "an object of JSON"),
    ]:
        assert main(["databases", *arguments]) == code, arguments
        out, err = capsys.readouterr()
        assert out == ""
        assert message in err, err
        assert not list(tmp_path.glob("reference-*"))


def test_the_command_without_a_network(tmp_path, capsys):
    with serving(scripted(Reply(status=404))) as server:
        url = server.url
    arguments = ["--from", url, "--evaluator", EMT, "--out", str(tmp_path / "r")]
    assert main(["databases", "Au-Cu", *arguments]) == 1
    err = " ".join(capsys.readouterr().err.split())
    assert f"error: {url} cannot be asked" in err
    assert "without a network give a file of crystals: --from FILE" in err


def test_the_settings_of_a_campaign_evaluate(known, tmp_path, capsys):
    config = tmp_path / "config.toml"
    config.write_text(
        'system = "Au-Cu"\n[evaluator]\nname = "ase:tests.calculators.Quick"\nworkers = 1\n'
        "[evaluator.options]\nenergy = -2.0\n[relax]\nfmax = 0.5\n"
    )
    out = tmp_path / "r"
    arguments = ["--from", str(known), "--config", str(config), "--out", str(out)]
    assert main(["databases", "Au-Cu", *arguments]) == 0
    evaluation = json.loads((out / "reference.json").read_text())["evaluation"]
    assert "Quick" in evaluation["scheme"]
    assert evaluation["relax"]["fmax"] == 0.5
    assert evaluation["references"] == {"Au": -2.0, "Cu": -2.0}
    assert "5 converged" in capsys.readouterr().err


def test_a_source_that_is_none_is_refused(tmp_path):
    with pytest.raises(ValueError, match="at least one chemical system"):
        Request.of([], ["mp"])
    with pytest.raises(ValueError, match="at least one chemical system"):
        Request.of(["Au-Cu"], [])
    with pytest.raises(InputError, match="is no source"):
        fetch(Request.of(["Au-Cu"], ["no/such/file"]), Store(tmp_path / "r"), SILENT)
    assert not (tmp_path / "r").exists()
