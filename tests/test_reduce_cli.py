"""`gnomon reduce`: polymorphs of files and campaigns, as a table on stdout and in a file."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer

from gnomon.cli import COMMANDS, function_of, main
from gnomon.crystals import Crystals
from gnomon.io import read, to_arrow
from tests.conftest import EMT
from tests.strategies import rewritten

FCC = Crystals.single(3.6 / 2 * (np.ones((3, 3)) - np.eye(3)), [29], [[0, 0, 0]])
BCC = Crystals.single(2.9 / 2 * (np.ones((3, 3)) - 2 * np.eye(3)), [29], [[0, 0, 0]])


def run(*arguments: str) -> None:
    app = typer.Typer()
    app.command()(function_of(COMMANDS["reduce"]))
    typer.main.get_command(app)(list(arguments), standalone_mode=False)


@pytest.fixture
def copper(tmp_path: Path) -> str:
    rng = np.random.default_rng(0)
    crystals = Crystals.concatenate([FCC, rewritten(FCC.supercell(2), rng), BCC])
    energies = pa.array([0.01, 0.0, 0.05])
    path = tmp_path / "copper.parquet"
    pq.write_table(to_arrow(crystals).append_column("formation_energy_per_atom", energies), path)
    return str(path)


def test_polymorphs_of_a_file(copper: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(copper, "--json")
    out = capsys.readouterr()
    lowest, other = json.loads(out.out)
    assert (lowest["n_members"], lowest["space_group"]) == (2, 225)
    assert (other["n_members"], other["space_group"]) == (1, 229)
    assert other["energy_above_lowest"] == pytest.approx(0.05)
    assert other["formation_energy_per_atom"] == 0.05
    assert "2 polymorphs among 3 crystals compared of 3 given" in out.err
    run(copper, "--window", "0.02")
    assert "Fm-3m (225)" in capsys.readouterr().out


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_the_table_is_written_whole(copper: str, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"polymorphs.{suffix}"
    run(copper, "--out", str(out))
    if suffix == "parquet":
        assert len(read(out).crystals) == 2  # it can be given to any other command
        assert pq.read_table(out)["n_members"].to_pylist() == [2, 1]
    else:
        header, *rows = out.read_text("utf-8").splitlines()
        assert "energy_above_lowest" in header
        assert len(rows) == 2
    with pytest.raises(FileExistsError, match="choose another --out"):
        run(copper, "--out", str(out))


def test_energies_are_not_needed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bare.parquet"
    pq.write_table(to_arrow(Crystals.concatenate([FCC, FCC.supercell(2)])), path)
    run(str(path), "--json")
    (row,) = json.loads(capsys.readouterr().out)
    assert row["energy_above_lowest"] is None
    assert row["n_members"] == 2


def test_a_campaign_is_reduced_by_its_hull(
    tmp_path: Path, copper: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "campaign"
    config = tmp_path / "config.toml"
    settings = 'system = "Cu"\n[generate]\ngenerators = ["prototypes"]\n[learn]\nprior = false\n'
    config.write_text(settings)
    budget = ["--evaluations", "12", "--workers", "1", "--evaluator", EMT]
    assert main(["discover", "--config", str(config), *budget, "--out", str(folder)]) == 0
    capsys.readouterr()
    run(str(folder), "--json")
    rows = json.loads(capsys.readouterr().out)
    assert rows[0]["energy_above_lowest"] == 0
    assert {225, 229} <= {row["space_group"] for row in rows}
    for row in rows:
        above = row["e_above_hull"] - rows[0]["e_above_hull"]
        assert row["energy_above_lowest"] == pytest.approx(above)
    with pytest.raises(ValueError, match="so give it alone"):
        run(str(folder), copper)


def test_files_that_cannot_be_tables_are_refused(copper: str) -> None:
    with pytest.raises(ValueError, match=r"must end in .parquet or .csv"):
        run(copper, "--out", "polymorphs.txt")
