"""Molecular dynamics: conservation laws, equipartition, trajectories that go on after a kill."""

import json

import ase.io
import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from pydantic import ValidationError

from gnomon.cli import main
from gnomon.dynamics.md import (
    Ensemble,
    ExplodedError,
    MDConfig,
    drift,
    run,
)
from tests.tiny_potentials import tiny_file


def copper(repeats: int = 2):
    atoms = bulk("Cu", cubic=True) * repeats
    atoms.calc = EMT()
    return atoms


def frames(path):
    return ase.io.read(path, ":", format="extxyz")


# --- physics --------------------------------------------------------------------------------------


def test_nve_conserves_energy_and_momentum(tmp_path):
    config = MDConfig(temperature=600, steps=200, interval=5, timestep=2)
    found = run(copper(), config, tmp_path / "a.extxyz")
    trajectory = frames(tmp_path / "a.extxyz")
    assert found.frames == len(trajectory) == 41
    kinetic = np.ptp([frame.get_kinetic_energy() for frame in trajectory])
    assert np.ptp([frame.get_total_energy() for frame in trajectory]) < 0.02 * kinetic
    assert abs(found.energy_drift) < 1
    for frame in trajectory:
        np.testing.assert_allclose(frame.get_momenta().sum(axis=0), 0, atol=1e-5)


@pytest.mark.parametrize("ensemble", [Ensemble.NVT_LANGEVIN, Ensemble.NVT_NOSE_HOOVER])
def test_thermostats_hold_the_temperature(tmp_path, ensemble):
    config = MDConfig(
        ensemble=ensemble, temperature=500, steps=1000, timestep=4, thermostat_time=50, seed=1
    )
    found = run(copper(), config, tmp_path / "a.extxyz")
    # of 32 atoms a frame's temperature scatters by sqrt(2 / 96); some 20 frames are independent
    assert found.temperature == pytest.approx(500, rel=0.1)
    np.testing.assert_allclose(frames(tmp_path / "a.extxyz")[-1].cell.array, copper().cell.array)


def test_npt_finds_the_volume_of_the_pressure(tmp_path):
    volumes = {}
    for pressure in (0.0, 10.0):
        config = MDConfig(
            ensemble=Ensemble.NPT,
            temperature=100,
            pressure=pressure,
            steps=500,
            timestep=4,
            thermostat_time=50,
            barostat_time=200,
        )
        volumes[pressure] = run(copper(), config, tmp_path / f"{pressure}.extxyz").volume
    still = copper()
    bulk_modulus = 134 * units.GPa  # of EMT's copper, by its equation of state
    expected = still.get_volume() * (1 - 10 * units.GPa / bulk_modulus)
    assert volumes[0.0] == pytest.approx(still.get_volume(), rel=0.02)
    assert volumes[10.0] == pytest.approx(expected, rel=0.02)


def test_first_velocities_follow_maxwell_and_boltzmann(tmp_path):
    atoms = bulk("NaCl", "rocksalt", a=5.64, cubic=True) * 6
    atoms.calc = LennardJones(sigma=2.5, epsilon=0.1, rc=3.0)
    run(atoms, MDConfig(temperature=300, steps=1), tmp_path / "a.extxyz")
    atoms = frames(tmp_path / "a.extxyz")[0]
    velocities = atoms.get_velocities()
    for z in (11, 17):
        chosen = atoms.numbers == z
        energy = 0.5 * atoms.get_masses()[chosen, None] * velocities[chosen] ** 2
        assert energy.mean() == pytest.approx(units.kB * 150, rel=0.08)
    np.testing.assert_allclose(atoms.get_momenta().sum(axis=0), 0, atol=1e-4)  # 8 decimals


def test_only_nve_has_a_drift(tmp_path):
    config = MDConfig(ensemble=Ensemble.NVT_LANGEVIN, steps=5)
    assert run(copper(1), config, tmp_path / "a.extxyz").energy_drift is None
    assert run(copper(1), MDConfig(steps=5), tmp_path / "b.extxyz").energy_drift is not None


def test_drift_is_the_slope():
    times = np.arange(0, 1000, 10.0)
    assert drift(times, 3 + 2e-6 * times) == pytest.approx(2)
    assert drift(times[:1], np.array([3.0])) == 0


# --- runs -----------------------------------------------------------------------------------------


def test_a_seed_fixes_the_run(tmp_path):
    def end(name, seed):
        config = MDConfig(ensemble=Ensemble.NVT_LANGEVIN, steps=20, seed=seed)
        run(copper(1), config, tmp_path / name)
        return frames(tmp_path / name)[-1].positions

    np.testing.assert_array_equal(end("a", 3), end("b", 3))
    assert np.abs(end("c", 4) - end("a2", 3)).max() > 1e-4


@pytest.mark.parametrize("lost", [1, 300, 2500])
def test_a_killed_run_goes_on_where_it_stopped(tmp_path, lost):
    config = MDConfig(temperature=500, steps=60, interval=5)
    run(copper(1), config, tmp_path / "whole.extxyz")
    data = (tmp_path / "whole.extxyz").read_bytes()
    (tmp_path / "cut.extxyz").write_bytes(data[:-lost])
    found = run(copper(1), config, tmp_path / "cut.extxyz")
    whole, again = frames(tmp_path / "whole.extxyz"), frames(tmp_path / "cut.extxyz")
    assert found.frames == len(again) == len(whole)
    for mine, yours in zip(whole, again, strict=True):
        assert mine.info["step"] == yours.info["step"]
        np.testing.assert_allclose(mine.positions, yours.positions, atol=1e-5)


def test_more_steps_lengthen_a_run(tmp_path):
    out = tmp_path / "a.extxyz"
    run(copper(1), MDConfig(steps=10), out)
    found = run(copper(1), MDConfig(steps=30), out)
    assert found.frames == 4
    assert [frame.info["step"] for frame in frames(out)] == [0, 10, 20, 30]


def test_nothing_is_overwritten(tmp_path):
    out = tmp_path / "a.extxyz"
    run(copper(1), MDConfig(steps=10), out)
    before = out.read_bytes()
    with pytest.raises(FileExistsError, match="complete with 10 steps"):
        run(copper(1), MDConfig(steps=10), out)
    with pytest.raises(FileExistsError, match="no trajectory of this run"):
        run(copper(1), MDConfig(steps=20, seed=1), out)
    with pytest.raises(FileExistsError, match="no trajectory of this run"):
        run(copper(2), MDConfig(steps=20), out)
    assert out.read_bytes() == before
    other = tmp_path / "notes.txt"
    other.write_text("4 things to remember\n")
    with pytest.raises(FileExistsError, match="holds no frame"):
        run(copper(1), MDConfig(steps=10), other)
    assert other.read_text() == "4 things to remember\n"


def test_the_given_atoms_stay_as_they_are(tmp_path):
    atoms = copper(1)
    run(atoms, MDConfig(steps=5), tmp_path / "a.extxyz")
    np.testing.assert_array_equal(atoms.positions, copper(1).positions)


def test_velocities_that_are_there_are_kept(tmp_path):
    atoms = copper(1)
    atoms.set_momenta(np.random.default_rng(5).normal(size=(4, 3)))
    run(atoms, MDConfig(steps=5, temperature=900), tmp_path / "a.extxyz")
    first = frames(tmp_path / "a.extxyz")[0]
    np.testing.assert_allclose(first.get_momenta(), atoms.get_momenta(), atol=1e-7)


def test_explosions_are_said_with_a_remedy(tmp_path):
    atoms = bulk("Ar", cubic=True) * 2
    atoms.rattle(1.0, seed=0)
    atoms.calc = LennardJones(sigma=3.4, epsilon=0.01)
    with pytest.raises(ExplodedError, match="smaller timestep"):
        run(atoms, MDConfig(timestep=100), tmp_path / "a.extxyz")
    assert len(frames(tmp_path / "a.extxyz")) >= 1


def test_npt_needs_a_crystal(tmp_path):
    atoms = copper(1)
    atoms.pbc = [True, True, False]
    with pytest.raises(ValueError, match="periodic along a, b and c"):
        run(atoms, MDConfig(ensemble=Ensemble.NPT), tmp_path / "a.extxyz")
    assert not (tmp_path / "a.extxyz").exists()


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": -1},
        {"temperature": float("nan")},
        {"timestep": 0},
        {"steps": 0},
        {"ensemble": "nph"},
        {"ensemble": "nvt-langevin", "temperature": 0},
        {"ensemble": "nve", "pressure": 1},
        {"tempreature": 300},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(ValidationError):
        MDConfig.model_validate(settings)


# --- command --------------------------------------------------------------------------------------


@pytest.fixture
def rocksalt(tmp_path):
    path = tmp_path / "AlO.extxyz"
    ase.io.write(path, bulk("AlO", "rocksalt", a=4.3))
    return str(path)


def test_the_command_runs_the_potential_and_names_the_scheme(tmp_path, rocksalt, capsys):
    weights, out = tiny_file(tmp_path), tmp_path / "md.extxyz"
    given = ["md", rocksalt, "--weights", str(weights), "--out", str(out), "--json"]
    given += ["--supercell", "2,1,1", "--steps", "4", "--interval", "2"]
    assert main(given) == 0
    found = json.loads(capsys.readouterr().out)
    trajectory = frames(out)
    assert found["frames"] == len(trajectory) == 3
    assert len(trajectory[0]) == 4
    assert found["scheme"] == trajectory[0].info["energy_scheme"]
    assert "sha256" in found["scheme"]
    assert {"energy", "forces", "stress"} <= set(trajectory[-1].calc.results)
    assert main(given) == 1
    assert "is complete" in capsys.readouterr().err


def test_the_command_warns_of_atoms_that_see_no_other(tmp_path, capsys):
    weights, path = tiny_file(tmp_path), tmp_path / "far.extxyz"
    ase.io.write(path, bulk("AlO", "rocksalt", a=8.0))  # neighbours at 4 Å, out of its 3.6 Å
    given = ["md", str(path), "--weights", str(weights), "--out", str(tmp_path / "md.extxyz")]
    assert main([*given, "--steps", "1"]) == 0
    assert "isolated: 2 of 2 atoms see no other" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--ensemble", "nph"], "--ensemble"),
        (["--temperature", "-3"], "--temperature"),
        (["--pressure", "3"], "choose npt"),
        (["--supercell", "2x2"], "--supercell"),
        (["--dtype", "float16"], "--dtype"),
    ],
)
def test_the_command_explains_what_makes_no_sense(tmp_path, rocksalt, capsys, options, said):
    assert main(["md", rocksalt, "--out", str(tmp_path / "md.extxyz"), *options]) == 2
    assert said in capsys.readouterr().err
