"""Commands as a user types them: what comes out where, with which exit code."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ase.build import bulk

from gnomon.cli import COMMANDS, FORMER, GROUPS, main
from gnomon.crystals import Crystals
from gnomon.io import as_crystals, read, write
from tests.conftest import EMT


@pytest.fixture
def phases(tmp_path: Path) -> Path:
    """A small table of phases: two elements and two compounds."""
    path = tmp_path / "phases.parquet"
    formulas, energies = ["Au", "Cu", "AuCu", "AuCu3"], [0.0, 0.0, -0.05, -0.02]
    pq.write_table(
        pa.table({"reduced_formula": formulas, "formation_energy_per_atom": energies}), path
    )
    return path


@pytest.fixture
def crystals(tmp_path: Path) -> Path:
    """fcc Cu, L1_2 Cu3Au, and rock-salt NaCl, which EMT does not know."""
    cu3au = bulk("Cu", "sc", a=3.7)
    cu3au = Crystals.single(
        cu3au.cell[:], [79, 29, 29, 29], [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
    )
    others = as_crystals([bulk("Cu", "fcc", a=3.6), bulk("NaCl", "rocksalt", a=5.64)])
    path = tmp_path / "crystals.parquet"
    write(path, Crystals.concatenate([others, cu3au]))
    return path


def test_a_wrong_command_is_an_error_with_a_hint_and_exit_code_2(capsys):
    for arguments, message in [
        (["frobnicate"], "No such command"),
        (["hull"], "Missing argument"),
        (["discover"], "name a chemical system"),
        (["discover", "Au-Xx"], "'Xx' is no element"),
        (["discover", "Au-Cu", "--evaluator", "emt"], "no evaluator 'emt'"),
        (["discover", "Au-Cu", "--evaluations", "0"], "budget.evaluations = 0"),
        (["evaluate", "x.cif", "--evaluator", EMT, "--out", "y.parquet", "--options", "["], "JSON"),
    ]:
        assert main(arguments) == 2, arguments
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("error: ")
        assert message in err
        assert "\nhint: `gnomon" in err


def test_a_command_that_fails_is_an_error_with_exit_code_1(capsys, tmp_path, phases, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("empty.cif").write_text("")
    Path("text.parquet").write_text("no Parquet")
    for arguments, message in [
        (["hull", "nofile.parquet", "LiF"], "nofile.parquet"),
        (["hull", "text.parquet", "LiF"], "text.parquet cannot be read as Parquet"),
        (["hull", str(phases), "LiF"], "no elemental phase of Li, F"),
        (["hull", str(phases), "Qq"], "'Qq' is not a chemical formula"),
        (["predict", "nomodel.gnomon", "x.cif"], "no model 'nomodel.gnomon'"),
        (["report", "nocampaign"], "holds no campaign"),
        (["generate", "prototypes", "Cu", "--out", str(phases)], "exists"),
        (["generate", "prototypes", "Cu", "--out", "no/x.parquet"], "no is no folder"),
        (["model", "train", "structural", "empty.cif"], "no usable crystal in empty.cif"),
        (["evaluate", "x.cif", "--evaluator", "ase:no.Such", "--out", "y.parquet"], "no.Such"),
    ]:
        assert main(arguments) == 1, arguments
        err = capsys.readouterr().err
        assert "error: " in err
        assert message in err, err


def test_no_command_overwrites(capsys, tmp_path, crystals):
    there = tmp_path / "there.parquet"
    there.write_text("precious")
    evaluate = ["evaluate", str(crystals), "--evaluator", EMT]
    predict = ["predict", "structural-2", str(crystals)]
    substitution = ["generate", "substitutions", str(crystals)]
    for command in (evaluate, predict, substitution, ["generate", "prototypes", "Cu"]):
        assert main([*command, "--out", str(there)]) == 1, command
        assert "there.parquet exists" in capsys.readouterr().err
        assert there.read_text() == "precious"


def test_help_of_every_command_ends_with_an_example(capsys):
    for command in (
        "discover", "report", "hull", "evaluate", "predict", "model calibrate",
        "label", "md", "generate prototypes", "generate substitutions", "model train structural",
        "model train composition", "model train potential", "replay", "databases",
    ):  # fmt: skip
        assert main([*command.split(), "--help"]) == 0
        assert f"Example: gnomon {command} " in capsys.readouterr().out
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("gnomon 0.")


def test_a_former_name_is_answered_with_the_new_one(capsys):
    for words, name in [
        (["simulate", "x"], "`gnomon simulate` is `gnomon replay` now"),
        (["train", "join", "a", "b"], "`gnomon train join` is `gnomon model join` now"),
        (["train", "--help"], "`gnomon train` is `gnomon model train` now"),
        (["predict-formulas"], "`gnomon predict-formulas` is `gnomon predict` now"),
        (["generate", "substitution"], "is `gnomon generate substitutions` now"),
    ]:
        assert main(words) == 2
        [line] = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ")
        assert name in line
    for former, name in FORMER.items():
        assert former not in (*COMMANDS, *GROUPS)
        assert name in (*COMMANDS, *GROUPS)


def test_hull_answers_formulas_and_systems(capsys, phases):
    assert main(["hull", str(phases), "AuCu3", "Au-Cu", "--json"]) == 0
    formula, system = json.loads(capsys.readouterr().out)
    assert formula["phases"][0]["e_above_hull"] == pytest.approx(0.005)
    assert {row["reduced_formula"] for row in system["phases"]} == {"Au", "Cu", "CuAu"}
    assert main(["hull", str(phases), "Au-Cu"]) == 0
    assert "CuAu" in capsys.readouterr().out


def test_hull_of_real_ground_states(capsys, shared_data):
    table = shared_data / "materials_project" / "ground_states.parquet"
    assert main(["hull", str(table), "LiFePO4", "BaTiO3", "Li-Fe-P-O", "--json"]) == 0
    lfp, bto, system = json.loads(capsys.readouterr().out)
    for answer, formula in ((lfp, "LiFePO4"), (bto, "BaTiO3")):
        assert answer["phases"][0]["reduced_formula"] == formula
        assert 0 <= answer["phases"][0]["e_above_hull"] < 0.05
    assert {"Li2O", "Fe2O3"} <= {row["reduced_formula"] for row in system["phases"]}


def test_generate_and_evaluate(capsys, tmp_path):
    candidates, relaxed = tmp_path / "candidates.parquet", tmp_path / "relaxed.parquet"
    assert main(["generate", "prototypes", "Cu", "--max-atoms", "1", "--out", str(candidates)]) == 0
    assert set(read(candidates).crystals.reduced_formulas) == {"Cu"}
    arguments = ["--evaluator", EMT, "--workers", "1", "--out", str(relaxed), "--json"]
    assert main(["evaluate", str(candidates), *arguments]) == 0
    assert json.loads(capsys.readouterr().out)["statuses"] == {
        "converged": len(read(candidates).rows)
    }
    assert pq.read_table(relaxed)["energy_per_atom"].null_count == 0


def test_a_crystal_that_fails_is_a_row(capsys, tmp_path, crystals):
    out = tmp_path / "relaxed.parquet"
    arguments = ["--evaluator", EMT, "--workers", "1", "--max-steps", "0", "--out", str(out)]
    assert main(["evaluate", str(crystals), *arguments]) == 0
    rows = pq.read_table(out).to_pylist()
    assert [row["status"] for row in rows] == ["converged", "invalid_input", "converged"]
    assert "invalid_input  1" in capsys.readouterr().out


def test_substitution_by_command(tmp_path, crystals, capsys):
    out = tmp_path / "children.parquet"
    arguments = ["--known", str(crystals), "--elements", "K-Cl-Na-Br", "--out", str(out)]
    assert main(["generate", "substitutions", str(crystals), *arguments]) == 0
    formulas = set(read(out).crystals.reduced_formulas)
    assert "KCl" in formulas
    assert "NaCl" not in formulas, "a known composition is not new"
    assert "left out" in capsys.readouterr().err, "the alloys have no ions"


def test_train_and_predict(tmp_path, capsys):
    model, data = tmp_path / "small.gnomon", tmp_path / "data.parquet"
    batch = Crystals.concatenate(
        [
            as_crystals([bulk(symbol, structure, a=a, **more)])
            for symbol in ("Cu", "Ag", "Au", "Pd", "Pt", "Ni", "Al")
            for structure, more in (("fcc", {}), ("bcc", {}), ("hcp", {"covera": 1.6}))
            for a in (2.8, 3.0)
        ]
    )
    energies = np.linspace(-0.1, 0.1, len(batch))
    rows = pa.table({"id": batch.ids.tolist(), "formation_energy_per_atom": energies})
    write(data, batch, rows=rows)
    command = [
        "model",
        "train",
        "structural",
        str(data),
        "--out",
        str(model),
        "--epochs",
        "1",
        "--json",
    ]
    assert main([*command, "--members", "2", "--scheme", "test"]) == 0
    card = json.loads(capsys.readouterr().out)
    assert card["members"] == 2
    assert card["scheme"] == "test"
    assert main(["predict", str(model), str(data), "--json"]) == 0
    predicted = json.loads(capsys.readouterr().out)
    assert len(predicted) == len(batch)
    given = [p["predicted_formation_energy_per_atom"] is not None for p in predicted]
    assert any(given)
    assert given == [p["reason"] == "" for p in predicted]
    assert main([*command, "--members", "3", "--scheme", "test"]) == 1
    assert "choose another file" in capsys.readouterr().err


def test_the_installed_command_runs():
    done = subprocess.run(
        [sys.executable, "-m", "gnomon", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("gnomon ")
