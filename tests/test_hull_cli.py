"""`gnomon hull`: its answers about reservoirs and limits, on stdout and as JSON."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gnomon.cli import main

ENERGIES = {"Li": 0.0, "P": 0.0, "S": 0.0, "Li3P": -0.9, "Li2S": -1.5, "Li3PS4": -0.98, "O2": 0.0}


@pytest.fixture
def phases(tmp_path: Path) -> str:
    columns = {
        "reduced_formula": list(ENERGIES),
        "formation_energy_per_atom": list(ENERGIES.values()),
    }
    path = tmp_path / "phases.parquet"
    pq.write_table(pa.table(columns), path)
    return str(path)


def test_a_sulfide_on_lithium(phases: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["hull", phases, "Li3PS4", "--anode", "Li"]) == 0
    out = capsys.readouterr()
    assert "chemical potentials (eV/atom): Li +0.0000" in out.err
    assert "4 Li2S + 1 Li3P" in out.out
    assert "+8 Li" in out.out
    assert main(["hull", phases, "Li-P-S", "--anode", "Li", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["chemical_potentials"] == {"Li": 0.0}
    assert [row["reduced_formula"] for row in answer["phases"]] == ["Li2S", "Li3P"]


def test_limits_are_listed_by_element(phases: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["hull", phases, "Li2S", "--limits", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["element"], row["highest"]) for row in rows] == [("Li", 0.0), ("S", 0.0)]
    assert rows[0]["lowest"] == pytest.approx(-2.25)
    assert main(["hull", phases, "Li2S", "--limits"]) == 0
    assert "-2.2500" in capsys.readouterr().out


def test_gases_and_open_elements_fix_potentials(
    phases: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["hull", phases, "Li3PS4", "--gas", "O2=0.21", "--temperature", "1000"]
    assert main([*arguments, "--open", "S=-0.5", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["chemical_potentials"] == {"S": -0.5, "O": pytest.approx(-1.1668, abs=1e-3)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--limits", "--anode", "Li"], "--limits are those of a closed system"),
        (["--open", "O"], "--open 'O': write it as in --open O=-1.0"),
        (["--open", "Li=-1", "--anode", "Li"], "the chemical potential of Li is fixed twice"),
        (["--gas", "H2O=1"], "do not fix the chemical potentials of H, O"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    phases: str, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["hull", phases, "Li3PS4", *options]) != 0
    assert message in capsys.readouterr().err


def test_a_system_has_no_limits(phases: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["hull", phases, "Li-P", "--limits"]) == 2
    assert "give a formula, not Li-P" in capsys.readouterr().err
