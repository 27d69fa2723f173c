"""Screens of conductors and insertion electrodes: known chemistry, laws, and what is out."""

import ase
import numpy as np
import pyarrow as pa
import pytest
from ase.build import bulk

from gnomon.cli import main
from gnomon.hull.convex import Hull
from gnomon.hull.phases import MissingElementError, Phases
from gnomon.io import as_crystals, to_arrow
from gnomon.io.tables import OK, check_table, read_table, write_table
from gnomon.properties.conduction.screen import ScreenConfig, screen
from gnomon.properties.insertion import electrodes
from gnomon.properties.registry import PropertySettings

SALT = {
    "LiF": bulk("LiF", "rocksalt", a=4.03),
    "LiI": bulk("LiI", "rocksalt", a=6.0),
    "NaF": bulk("NaF", "rocksalt", a=4.6),
    "Li": bulk("Li"),
    "Na": bulk("Na", "bcc", a=4.2),
    "F": bulk("F", "fcc", a=4.0),
    "I": bulk("I", "fcc", a=5.0),
    "CoO": bulk("CoO", "rocksalt", a=4.2),
    "Co": bulk("Co"),
    "O": bulk("O", "fcc", a=4.0),
    "OLi2": bulk("OLi2", "fluorite", a=4.6),
    "LiCoO2": ase.Atoms(
        "LiCoO2",
        scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5], [0.24, 0.24, 0.24], [0.76, 0.76, 0.76]],
        cell=bulk("Cu", "fcc", a=5.0).cell.array * [[1.0], [1.0], [1.0]],
        pbc=True,
    ),
}
ENERGY = {"LiF": -3.2, "LiI": -1.4, "NaF": -2.9, "CoO": -1.2, "LiCoO2": -1.8, "OLi2": -2.0}


def placed(names=tuple(SALT)):
    crystals = as_crystals([SALT[name] for name in names])
    energies = np.array([ENERGY.get(name, 0.0) for name in names])
    return crystals, energies, Hull(Phases(crystals.ids, crystals.composition, energies, "toy"))


def screened(gaps=None, **cuts):
    crystals, energies, hull = placed()
    config = ScreenConfig(**({"gap": "none"} | cuts))
    found = screen(crystals, energies, hull, config, PropertySettings(), gaps=gaps)
    check_table(found.table)
    return found, {row["reduced_formula"]: row for row in found.table.to_pylist()}


def test_each_crystal_is_out_for_its_reason():
    found, rows = screened()
    assert rows["LiF"]["status"] == OK
    assert rows["LiI"]["status"] == "oxidised below 4 V"
    assert rows["NaF"]["status"] == "no Li in it"
    assert rows["Li"]["status"] == "metals only: electrons conduct, not ions"
    assert rows["LiCoO2"]["status"] == "a transition metal"
    came = [stage[1] for stage in found.stages]
    went = [stage[2] for stage in found.stages]
    assert came[0] == len(SALT)
    assert came[1:] == went[:-1]
    assert went[-1] == 1
    assert found.unknown


def test_windows_of_binary_salts_are_their_energies():
    """LiX decomposes at twice its formation energy an atom, and rests beside the metal."""
    _, rows = screened(min_oxidation=0)
    for name in ("LiF", "LiI"):
        assert rows[name]["value"] == pytest.approx(-2 * ENERGY[name])
        assert rows[name]["reduction_limit"] == pytest.approx(0, abs=1e-9)


def test_what_the_metal_reduces_is_told():
    _, rows = screened(transition_metals=True)
    assert rows["LiCoO2"]["status"] == "reduced by Li"
    assert rows["LiCoO2"]["reduction_limit"] > 0.1
    _, rows = screened(transition_metals=True, reduced=True, min_oxidation=0)
    assert rows["LiCoO2"]["status"] == OK


def test_given_gaps_count():
    gaps = np.full(len(SALT), 0.3)
    _, rows = screened(gaps=gaps)
    assert rows["LiF"]["status"] == "gap too small"
    assert rows["LiF"]["gap_from"] == "column band_gap"


def test_a_barrier_may_cut():
    pytest.importorskip("bvlain", reason="bvlain is not installed (extra properties)")
    _, rows = screened(max_barrier=0.1)
    assert rows["LiF"]["status"] == "barrier too high"
    assert 0.3 < rows["LiF"]["barrier"] < 1


def test_another_ion_is_asked_for():
    _, rows = screened(ion="Na")
    assert rows["NaF"]["status"] == OK
    assert rows["LiF"]["status"] == "no Na in it"


def test_a_hull_without_the_metal_is_told():
    crystals, energies, hull = placed(("LiF", "F"))
    with pytest.raises(MissingElementError):
        screen(crystals, energies, hull, ScreenConfig(gap="none"), PropertySettings())


def given_table(path):
    crystals, energies, _ = placed()
    table = to_arrow(crystals)
    table = table.append_column("formation_energy_per_atom", pa.array(energies))
    if "reduced_formula" not in table.column_names:
        names = pa.array(crystals.reduced_formulas.tolist())
        table = table.append_column("reduced_formula", names)
    write_table(path, table)
    return path


def test_one_command_screens_a_file(tmp_path, capsys):
    path, out = given_table(tmp_path / "known.parquet"), tmp_path / "out.parquet"
    assert main(["conductors", str(path), "--gap", "none", "--out", str(out)]) == 0
    said = capsys.readouterr()
    assert "LiF" in said.out
    assert "2 × oxidised below 4 V" in said.err
    check_table(read_table(out))


# --- insertion ------------------------------------------------------------------------------------


def layered(lithium):
    """Layers of TiS2 with so many of two places between them filled."""
    symbols, places = "TiS2TiS2", [[0, 0, 0], [1 / 3, 2 / 3, 0.12], [2 / 3, 1 / 3, 0.88]]
    places = [[x, y, (z + k) / 2] for k in (0, 1) for x, y, z in places]
    more = [[0, 0, 0.25], [0, 0, 0.75]][:lithium]
    cell = [[3.4, 0, 0], [-1.7, 3.4 * np.sqrt(0.75), 0], [0, 0, 11.4 + 0.3 * lithium]]
    return ase.Atoms(symbols + "Li" * lithium, scaled_positions=places + more, cell=cell, pbc=True)


def pairs(*energies, ion="Li"):
    """Electrodes of hosts with 0, 1 and 2 ions for two formula units."""
    atoms = [layered(0), layered(1), layered(2), bulk("Li"), bulk("Ti"), bulk("S", "sc", a=3.0)]
    crystals = as_crystals(atoms)
    values = np.array([*energies, 0.0, 0.0, 0.0])
    hull = Hull(Phases(crystals.ids, crystals.composition, values, "toy"))
    table = electrodes(crystals, values, hull, ion)
    check_table(table)
    return table.to_pylist()


def test_voltages_are_differences_of_energies():
    (one,) = pairs(-1.4, -1.5, -1.6)
    assert (one["host"], one["filled"], one["inserted"]) == ("TiS2", "LiTiS2", 1.0)
    assert one["value"] == pytest.approx(4 * 1.6 - 3 * 1.4)
    assert one["capacity"] == pytest.approx(225.3, abs=0.5)  # of LiTiS2, by Faraday's law
    assert one["volume_change"] == pytest.approx(0.6 / 11.4)
    assert one["specific_energy"] == pytest.approx(one["capacity"] * one["value"])
    volume = as_crystals(layered(2)).volumes[0] / 2
    moles = 1e24 / volume / 6.02214076e23
    assert one["volumetric_capacity"] == pytest.approx(26801.48 * moles)


def test_a_host_that_takes_up_nothing_says_so():
    (one,) = pairs(-1.4, -1.2, -1.0)
    assert one["status"] == "the host does not take up the ion" or one["e_above_hull"] < 0.1


def test_other_frameworks_are_no_electrode():
    atoms = [layered(0), ase.Atoms("LiTiS2", scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5],
             [0.25, 0.25, 0.25], [0.75, 0.7, 0.8]], cell=[4.5, 4.6, 4.7], pbc=True),
             bulk("Li"), bulk("Ti"), bulk("S", "sc", a=3.0)]  # fmt: skip
    crystals = as_crystals(atoms)
    values = np.array([-1.4, -1.6, 0.0, 0.0, 0.0])
    hull = Hull(Phases(crystals.ids, crystals.composition, values, "toy"))
    assert len(electrodes(crystals, values, hull, "Li")) == 0
    with pytest.raises(ValueError, match="'Cu' is none of the ions"):
        electrodes(crystals, values, hull, "Cu")


def test_one_command_lists_electrodes(tmp_path, capsys):
    path = given_table(tmp_path / "known.parquet")
    assert main(["electrodes", str(path)]) == 0
    assert "does not take up Li" in capsys.readouterr().err
