"""Trouble with commands that people of this field have reported: unanswerable, or as named."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ase.build import bulk
from pymatgen.core import Lattice, Structure

from gnomon.cli import main
from gnomon.discover.screen import screen
from gnomon.discover.settings import CampaignConfig
from gnomon.evaluate.by_name import relax
from gnomon.io import as_crystals, write


def run_command(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def table_of_phases(path: Path, **energies: float) -> Path:
    """Parquet of phases: formula to formation energy in eV/atom."""
    columns = {
        "reduced_formula": list(energies),
        "formation_energy_per_atom": list(energies.values()),
    }
    pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize("system", ["U-O", "Pu-O", "Tc-O", "Pm-F", "Ac-O", "Pa-O", "Np-O", "Th-O"])
def test_elements_that_were_named_are_not_left_out(tmp_path: Path, system: str) -> None:
    out = tmp_path / "formulas.parquet"
    assert run_command("generate", "compositions", system, "--max-atoms", 9, "--out", out) == 0
    assert pq.read_metadata(out).num_rows > 0


def test_named_elements_are_substituted_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    structure = Structure.from_spacegroup(
        "P4_2/mnm", Lattice.tetragonal(4.59, 2.96), ["Ti", "O"], [[0, 0, 0], [0.305, 0.305, 0]]
    )
    write(tmp_path / "TiO2.cif", structure)

    def formulas(parent: str, *options: str) -> list[str]:
        out = tmp_path / f"{parent}{len(list(tmp_path.iterdir()))}.parquet"
        command = ("generate", "substitutions", tmp_path / f"{parent}.cif", "--out", out)
        assert run_command(*command, *options) == 0
        return [str(formula) for formula in pq.read_table(out)["reduced_formula"].to_pylist()]

    assert "UO2" in formulas("TiO2", "--elements", "U-O")
    assert formulas("TiO2", "--formula", "UO2") == ["UO2"]
    assert not any("U" in formula for formula in formulas("TiO2"))
    write(tmp_path / "UO2.cif", structure.copy().replace_species({"Ti": "U"}))
    formulas("UO2")
    assert "no candidate holds U: name such elements with --elements" in capsys.readouterr().err


def test_a_campaign_screens_the_elements_of_its_system(tmp_path: Path) -> None:
    config = CampaignConfig(system="U-O", generate={"max_atoms": 3})
    cell_of_uo2 = as_crystals(
        Structure.from_spacegroup(
            "Fm-3m", Lattice.cubic(5.47), ["U", "O"], [[0, 0, 0], [0.25, 0.25, 0.25]]
        ).get_primitive_structure()
    )
    assert screen(cell_of_uo2, config.screen, known=frozenset()).kept.all()


SALTS = {"Na": 0.0, "Cl2": 0.0, "NaCl": -2.1, "Li": 0.0, "Fe": 0.0, "P": 0.0, "O2": 0.0}


def test_an_element_without_a_reference_costs_its_own_query_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = table_of_phases(tmp_path / "phases.parquet", **SALTS, LiFePO4=-2.5)
    assert run_command("hull", table, "NaCl", "HgO", "LiFePO4", "--scheme", "MP") == 0
    shown = capsys.readouterr()
    assert "NaCl" in shown.out
    assert "LiFePO4" in shown.out
    assert "HgO: " in shown.err
    assert "Hg" in shown.err
    assert run_command("hull", table, "NaCl", "HgO", "Xx2", "LiFePO4", "--json") == 0
    salt, mercury, typo, phosphate = json.loads(capsys.readouterr().out)
    assert (salt["reason"], salt["phases"][0]["e_above_hull"]) == ("", 0.0)
    assert (phosphate["reason"], phosphate["phases"][0]["e_above_hull"]) == ("", 0.0)
    assert mercury["phases"] == []
    assert "Hg" in mercury["reason"]
    assert "Xx" in typo["reason"]
    assert run_command("hull", table, "HgO", "HgS") == 1
    assert "HgS" in capsys.readouterr().err


@pytest.mark.parametrize("options", [("--limits",), ("--open", "Cl=-1")])
def test_the_same_with_limits_and_reservoirs(
    tmp_path: Path, options: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    table = table_of_phases(tmp_path / "phases.parquet", **SALTS)
    assert run_command("hull", table, "NaCl", "HgO", *options, "--json") == 0
    found = capsys.readouterr()
    assert "HgO: " in found.err
    assert "NaCl" in found.out
    assert run_command("hull", table, "HgO", *options) == 1


def test_a_window_lists_every_polymorph_in_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = {
        "id": ["ca", "as", "low", "same", "same", "high"],
        "reduced_formula": ["Ca", "As", *["CaAs4"] * 4],
        "formation_energy_per_atom": [0.0, 0.0, -0.4, -0.36, -0.35, -0.2],
    }
    pq.write_table(pa.table(columns), tmp_path / "phases.parquet")
    for query in ("Ca-As", "CaAs4"):
        command = ("hull", tmp_path / "phases.parquet", query, "--json")
        assert run_command(*command, "--window", 0.1) == 0
        [answer] = json.loads(capsys.readouterr().out)
        compounds = [p for p in answer["phases"] if p["reduced_formula"] == "CaAs4"]
        assert [p["id"] for p in compounds] == ["low", "same", "same"]
        assert [p["e_above_hull"] for p in compounds] == pytest.approx([0.0, 0.04, 0.05])
        assert run_command(*command) == 0
        [answer] = json.loads(capsys.readouterr().out)
        ids = [p["id"] for p in answer["phases"] if p["reduced_formula"] == "CaAs4"]
        assert ids == ["low"]


def test_energies_go_straight_from_evaluate_to_hull(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "CuAu.cif", Structure(Lattice.tetragonal(2.8, 3.7), ["Cu", "Au"], L1_0))
    emt = ("--evaluator", "ase:ase.calculators.emt.EMT", "--workers", 1)
    relaxed = tmp_path / "relaxed.parquet"
    assert run_command("evaluate", tmp_path / "CuAu.cif", *emt, "--out", relaxed) == 0
    capsys.readouterr()
    assert run_command("hull", relaxed, "Au-Cu", "--json") == 0
    found = capsys.readouterr()
    assert "evaluating Cu, Au, which the table lacks" in found.err
    [answer] = json.loads(found.out)
    energies = {p["reduced_formula"]: p["formation_energy_per_atom"] for p in answer["phases"]}
    table = pq.read_table(relaxed)
    alone = relax([bulk("Cu"), bulk("Au")], emt[1]).evaluations.energy_per_atom.mean()
    formed = pytest.approx(table["energy_per_atom"][0].as_py() - alone, abs=1e-3)
    assert energies == {"Au": 0.0, "Cu": 0.0, "CuAu": formed}
    others = pa.array(["elsewhere.Calculator (elsewhere 1)"] * len(table))
    at = table.schema.get_field_index("scheme")
    pq.write_table(table.set_column(at, "scheme", others), tmp_path / "other.parquet")
    assert run_command("hull", tmp_path / "other.parquet", "Au-Cu") == 1
    assert "evaluate crystals of Cu, Au with the same evaluator" in capsys.readouterr().err


L1_0 = [[0, 0, 0], [0.5, 0.5, 0.5]]
