"""Gibbs energies: pymatgen's, tables of gases, laws, and the command."""

import csv
import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gnomon.cli import main
from gnomon.hull.convex import Hull
from gnomon.hull.phases import compositions
from gnomon.synthesis.measured import measured_gibbs, measured_solids
from gnomon.synthesis.solids import solids_from_table
from gnomon.synthesis.thermo import (
    carbonates,
    element_gibbs,
    g_delta,
    gas_gibbs,
    gibbs_energies,
    reduced_masses,
)

CASES = {"MgO": 9.4, "BaTiO3": 13.1, "Li7La3Zr2O12": 11.2, "NaCl": 22.4}
# reduced_formula: formation energy (eV/atom) and volume (Å³/atom), about the Materials Project's
SOLIDS = {
    "Ca": (0.0, 42.0),
    "C": (0.0, 9.0),
    "O2": (0.0, 15.0),
    "CaO": (-3.306, 13.9),
    "CaCO3": (-2.688, 12.8),
    "CO2": (-1.77, 15.0),
}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    columns = {
        "reduced_formula": list(SOLIDS),
        "formation_energy_per_atom": [e for e, _ in SOLIDS.values()],
        "volume_per_atom": [v for _, v in SOLIDS.values()],
    }
    path = tmp_path / "phases.parquet"
    pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize("temperature", [300.0, 650.0, 1999.0])
def test_solids_have_the_gibbs_energies_of_pymatgen(temperature: float) -> None:
    from pymatgen.core import Composition, Lattice, Structure
    from pymatgen.entries.computed_entries import GibbsComputedStructureEntry

    for formula, volume in CASES.items():
        species = [e for e, k in Composition(formula).items() for _ in range(round(k))]
        n = len(species)
        cell = Lattice.cubic((volume * n) ** (1 / 3))
        entry = GibbsComputedStructureEntry(
            Structure(cell, species, np.zeros((n, 3))), -2.0, temp=temperature
        )
        own = gibbs_energies(
            compositions([formula]), np.array([-2.0]), np.array([volume]), temperature
        )
        assert own[0] == pytest.approx(entry.energy / n, abs=1e-6)


def test_the_descriptor_of_440_solids_is_that_of_pymatgen(shared_data: Path) -> None:
    from pymatgen.entries.computed_entries import GibbsComputedStructureEntry

    with gzip.open(shared_data / "thermochemistry" / "gibbs_440_solids.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 440
    masses = reduced_masses(compositions([row["formula"] for row in rows]))
    volumes = np.array([float(row["V"]) for row in rows])
    np.testing.assert_allclose(masses, [float(row["m"]) for row in rows], atol=1e-9)
    theirs = [
        GibbsComputedStructureEntry._g_delta_sisso(v, float(row["m"]), 1234.0)
        for v, row in zip(volumes, rows, strict=True)
    ]
    np.testing.assert_allclose(g_delta(volumes, masses, 1234.0), theirs, atol=1e-6)


def test_gases_follow_the_law_of_ideal_gases_and_the_tables() -> None:
    assert gas_gibbs("CO2", 1000.0) == pytest.approx(-395.886 / 96.485, abs=2e-3)  # NIST-JANAF
    by_pressure = gas_gibbs("CO2", 1000.0, 0.1) - gas_gibbs("CO2", 1000.0)
    assert by_pressure == pytest.approx(8.617333e-5 * 1000 * np.log(0.1), abs=1e-6)
    assert gas_gibbs("O2", 800.0) == 0.0
    with pytest.raises(ValueError, match="must be above 0"):
        gas_gibbs("CO2", 1000.0, 0.0)
    with pytest.raises(ValueError, match="no table of the gas UF6"):
        gas_gibbs("UF6", 1000.0)
    with pytest.raises(ValueError, match="from 300 to 2000 K"):
        element_gibbs(250.0)


def test_carbonates_are_told_from_other_carbon() -> None:
    formulas = ["CaCO3", "Ca5(PO4)3(OH)", "CO2", "CaC2O4", "NaHCO3", "CaC2", "Pb3C2H2O8", "C6H6O6"]
    atoms = compositions(formulas).sum(axis=1)
    expected = [1, 0, 0, 0, 1, 0, 2, 0]
    assert (carbonates(compositions(formulas)) * atoms).round(9).tolist() == expected


def test_energies_do_not_depend_on_the_number_of_formula_units() -> None:
    one, two = compositions(["BaTiO3"]), compositions(["Ba2Ti2O6"])
    energy, volume = np.array([-3.4]), np.array([13.0])
    assert gibbs_energies(one, energy, volume, 900.0) == pytest.approx(
        gibbs_energies(two, energy, volume, 900.0)
    )


def test_calcite_decomposes_when_it_is_hot_and_sooner_without_carbon_dioxide(table: Path) -> None:
    solids = solids_from_table(pq.read_table(table))

    def turning(pressure: float) -> float:
        for temperature in range(300, 1600, 10):
            phases = solids.at(float(temperature), {"CO2": pressure})
            hull = Hull(phases)
            row = hull.find(compositions(["CaCO3"]))
            above = hull.e_above_hull(
                compositions(["CaCO3"]), phases.formation_energy_per_atom[row]
            )
            if above[0] > 0:
                return float(temperature)
        return np.inf

    assert turning(1.0) == pytest.approx(1160.0, abs=150.0)  # JANAF
    assert turning(4e-4) < turning(1.0) - 200


def test_measured_solids_stand_alone_and_decompose_when_the_tables_say(table: Path) -> None:
    solids = solids_from_table(pq.read_table(table)).only_measured()
    assert {*solids.phases.reduced_formulas} == {"Ca", "C", "O2", "CaO", "CaCO3"}
    counts = compositions(["CaCO3"])

    def above(temperature: float) -> float:
        phases = solids.at(temperature, {"CO2": 1.0})
        own = phases.formation_energy_per_atom[Hull(phases).find(counts)]
        return float(Hull(phases).e_above_hull(counts, own)[0])

    assert above(1060.0) <= 1e-9 < above(1220.0)  # JANAF: 1160 K
    assert measured_gibbs("MgO", 1000.0) == pytest.approx(-2.555, abs=0.02)  # JANAF


def test_every_measured_solid_is_stable_against_its_elements_as_far_as_it_is_known() -> None:
    """Enthalpies in J or of a multiple of the formula would show as energies no solid has."""
    names = sorted(measured_solids())
    assert len(names) > 250
    assert [n for n in names if not -6.0 < measured_gibbs(n, 300.0) < 0.6] == []


def test_a_polymorph_lends_its_volume_and_others_do_not() -> None:
    phases = pa.table(
        {"reduced_formula": ["MgO", "CaO"], "formation_energy_per_atom": [-3.0, -3.3]}
    )
    cells = pa.table(
        {
            "reduced_formula": ["MgO", "CaO"],
            "formation_energy_per_atom": [-3.01, -3.0],
            "volume_per_atom": [9.6, 23.0],
        }
    )
    found = solids_from_table(phases, cells=cells)
    assert found.estimated.tolist() == [False, True]
    assert found.volume_per_atom[0] == 9.6


def test_the_command_answers_formulas_and_systems(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["gibbs", str(table), "CaCO3", "--temperature", "1500", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["e_above_hull"] > 0
    assert {*row["decomposition"]} == {"CaO", "CO2"}
    assert main(["gibbs", str(table), "Ca-C-O", "--temperature", "500", "--gas", "CO2=1"]) == 0
    assert "CaCO3" in capsys.readouterr().out
    assert main(["gibbs", str(table), "CaCO3", "--measured", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["gibbs_energy_per_atom"] == pytest.approx(measured_gibbs("CaCO3", 1000.0))
    bare = table.with_name("bare.parquet")  # no volume is asked for
    pq.write_table(pq.read_table(table).drop_columns("volume_per_atom"), bare)
    assert main(["gibbs", str(bare), "CaCO3", "--measured"]) == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["CaSiO3"], 1, "no phase CaSiO3"),
        (["CaO", "--temperature", "3000"], 1, "from 300 to 2000 K"),
        (["CaO", "--gas", "CO2"], 2, "--gas 'CO2': write it as in --gas CO2=1"),
        (["CaO", "--gas", "CO2=0"], 2, "must be above 0 bar"),
    ],
)
def test_the_command_says_what_it_cannot_answer(
    table: Path, arguments: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["gibbs", str(table), *arguments]) == code
    assert message in capsys.readouterr().err
