"""Many crystals in motion: the trajectories of ASE, conservation, equipartition, kills."""

import ase
import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.md.nose_hoover_chain import NoseHooverChainNVT
from ase.md.verlet import VelocityVerlet

from gnomon.dynamics import simulate as module
from gnomon.dynamics.md import Ensemble, MDConfig
from gnomon.dynamics.simulate import drawn, simulate
from gnomon.dynamics.trajectory import Trajectory
from gnomon.io import as_crystals, to_ase
from gnomon.potential.batch import Shape
from gnomon.potential.calculator import Calculator
from gnomon.run.claim import ClaimError
from tests.tiny_potentials import CURSED, MORSE, tiny_potential

COPPER = bulk("Cu", "fcc", a=3.7, cubic=True) * 2
SALT = bulk("CuAl", "rocksalt", a=5.2, cubic=True)


def several():
    """Three crystals of different sizes, none of them at rest."""
    found = [COPPER.copy(), SALT.copy(), bulk("Fe", "bcc", a=2.9, cubic=True) * (3, 2, 2)]
    for i, atoms in enumerate(found):
        atoms.rattle(0.05, seed=i)
    return as_crystals(found)


ROOM = Shape(512, 4096, 16)


def moved(crystals, folder, potential=MORSE, capacity=ROOM, **settings):
    config = MDConfig(
        **({"temperature": 400, "timestep": 2, "steps": 40, "interval": 10} | settings)
    )
    return list(simulate(crystals, potential, config, folder, capacity=capacity))


def by_ase(crystal, config, potential, steps):
    """Positions after so many steps of ASE's integrators, from the same velocities."""
    (atoms,) = to_ase(crystal)
    atoms.calc = Calculator(potential, dtype="float64")
    atoms.set_velocities(drawn(crystal, config).astype(np.float64))
    if config.ensemble is Ensemble.NVE:
        dynamics = VelocityVerlet(atoms, config.timestep * units.fs)
    else:
        dynamics = NoseHooverChainNVT(
            atoms,
            config.timestep * units.fs,
            temperature_K=config.temperature,
            tdamp=config.thermostat_time * units.fs,
        )
    dynamics.run(steps)
    return atoms


@pytest.mark.parametrize("ensemble", [Ensemble.NVE, Ensemble.NVT_NOSE_HOOVER])
def test_trajectories_are_those_of_ase(tmp_path, ensemble):
    crystals = several()
    config = MDConfig(
        ensemble=ensemble, temperature=600, timestep=2, steps=40, interval=20, thermostat_time=40
    )
    found = list(simulate(crystals, MORSE, config, tmp_path, capacity=ROOM))
    for crystal, one in zip(crystals, found, strict=True):
        atoms = by_ase(crystal, config, MORSE, 40)
        assert one.steps == [0, 20, 40]
        far = np.abs(one.positions[-1] - one.positions[0]).max()
        assert far > 0.1
        np.testing.assert_allclose(one.positions[-1], atoms.positions, atol=1e-4 * far)
        assert one.energies[-1] == pytest.approx(atoms.get_potential_energy(), abs=1e-4)
        assert one.temperatures[-1] == pytest.approx(atoms.get_temperature(), rel=1e-4)


@pytest.mark.slow
def test_a_network_moves_atoms_as_in_ase(tmp_path):
    potential = tiny_potential()
    config = MDConfig(temperature=600, timestep=1, steps=24, interval=24)
    crystals = several()[1:2]
    found = list(simulate(crystals, potential, config, tmp_path, capacity=ROOM))
    for crystal, one in zip(crystals, found, strict=True):
        atoms = by_ase(crystal, config, potential, 24)
        np.testing.assert_allclose(one.positions[-1], atoms.positions, atol=1e-4)


def test_nve_conserves_energy_and_momentum(tmp_path):
    for one in moved(several(), tmp_path, temperature=900, timestep=1, steps=400):
        n = len(one.velocities)
        kinetic = 1.5 * n * units.kB * np.array(one.temperatures)
        total = kinetic + one.energies
        assert np.ptp(total) < 0.01 * np.ptp(kinetic)
        masses = to_ase(one.crystal)[0].get_masses()
        assert np.abs(masses @ one.velocities).max() < 1e-4
        centre = np.einsum("a,fai->fi", masses, one.positions) / masses.sum()
        np.testing.assert_allclose(centre - centre[0], 0, atol=1e-5)


@pytest.mark.parametrize(
    "ensemble",
    [Ensemble.NVT_LANGEVIN, pytest.param(Ensemble.NVT_NOSE_HOOVER, marks=pytest.mark.slow)],
)
def test_thermostats_give_the_distribution_of_the_temperature(tmp_path, ensemble):
    """Temperatures of 3 N degrees of freedom scatter by T sqrt(2 / 3 N)."""
    runs = moved(
        several()[:2], tmp_path, ensemble=ensemble, temperature=300, timestep=4, steps=3000,
        interval=20, thermostat_time=40, seed=1,
    )  # fmt: skip
    for one in runs:
        late = np.array(one.temperatures[50:])
        spread = 300 * np.sqrt(2 / (3 * len(one.velocities)))
        assert late.mean() == pytest.approx(300, abs=5 * spread / np.sqrt(len(late) / 3))
        assert late.std() == pytest.approx(spread, rel=0.35)


def test_noise_differs_between_seeds_crystals_and_steps(tmp_path):
    still = as_crystals([COPPER, SALT])
    settings = {"ensemble": Ensemble.NVT_LANGEVIN, "steps": 4, "interval": 2}
    one = moved(still, tmp_path / "0", **settings)
    other = moved(still, tmp_path / "1", seed=1, **settings)
    first = np.diff(one[0].positions, axis=0)
    assert np.abs(one[0].positions[-1] - other[0].positions[-1]).max() > 1e-3
    assert np.abs(first[0] - first[1]).max() > 1e-3
    assert np.abs(one[0].velocities[:8] - one[1].velocities).max() > 1e-3


@pytest.mark.parametrize(
    "ensemble",
    [Ensemble.NVT_LANGEVIN, pytest.param(Ensemble.NVT_NOSE_HOOVER, marks=pytest.mark.slow)],
)
def test_a_crystal_does_not_see_those_beside_it(tmp_path, ensemble):
    crystals = several()[:2]
    together = moved(crystals, tmp_path / "together", ensemble=ensemble)
    apart = moved(crystals, tmp_path / "apart", ensemble=ensemble, capacity=Shape(1, 1, 1))
    (alone,) = moved(crystals[1:], tmp_path / "alone", ensemble=ensemble)
    for one, other in zip(together, apart, strict=True):
        np.testing.assert_allclose(one.positions, other.positions, atol=1e-5)
    np.testing.assert_array_equal(apart[1].positions, alone.positions)


def test_a_skin_changes_nothing(tmp_path):
    crystals = several()[:2]
    config = MDConfig(temperature=900, timestep=2, steps=20, interval=20)
    thick, thin = (
        list(simulate(crystals, MORSE, config, tmp_path / str(skin), skin=skin))
        for skin in (1.0, 0.05)
    )
    for one, other in zip(thick, thin, strict=True):
        np.testing.assert_allclose(one.positions, other.positions, atol=1e-4)


def test_a_kill_changes_nothing(tmp_path, monkeypatch):
    crystals = several()
    settings = {"ensemble": Ensemble.NVT_LANGEVIN, "steps": 40}
    whole = moved(crystals, tmp_path / "whole", **settings)
    saved, saves = Trajectory.save, []

    def dies(one, path):
        if len(saves) == 7:  # within the third frame
            raise KeyboardInterrupt
        saves.append(path)
        saved(one, path)

    monkeypatch.setattr(Trajectory, "save", dies)
    with pytest.raises(KeyboardInterrupt):
        moved(crystals, tmp_path / "killed", **settings)
    monkeypatch.setattr(Trajectory, "save", saved)
    again = moved(crystals, tmp_path / "killed", **settings)
    for one, other in zip(whole, again, strict=True):
        assert one.steps == other.steps == [0, 10, 20, 30, 40]
        np.testing.assert_allclose(one.positions, other.positions, atol=1e-6)
        np.testing.assert_allclose(one.velocities, other.velocities, atol=1e-6)
    monkeypatch.setattr(module, "advance", None)  # nothing is left to do
    assert moved(crystals, tmp_path / "killed", **settings)[0].steps == [0, 10, 20, 30, 40]


def test_a_run_may_become_longer_and_gain_crystals(tmp_path):
    crystals = several()
    moved(crystals[:1], tmp_path, steps=25)
    longer = moved(crystals, tmp_path, steps=40)
    assert longer[0].steps == [0, 10, 20, 25, 30, 40]
    assert longer[1].steps == [0, 10, 20, 30, 40]
    with pytest.raises(ClaimError, match="temperature"):
        moved(crystals, tmp_path, temperature=500)


def test_what_comes_apart_stops_alone(tmp_path):
    strange = as_crystals(
        [COPPER, ase.Atoms([CURSED] * 2, COPPER.positions[:2], cell=[4, 4, 4], pbc=True)]
    )
    sound, broken = moved(strange, tmp_path)
    assert not sound.message
    assert sound.steps[-1] == 40
    assert broken.message.startswith("exploded in step 1 (")
    again = moved(strange, tmp_path)
    assert again[1].message == broken.message


def test_too_hot_a_crystal_is_told(tmp_path):
    (one,) = moved(as_crystals(COPPER), tmp_path, temperature=1e6)
    assert one.message.startswith("exploded in step 1 (an atom moves 1 Å at once): take a smaller")


def test_unknown_elements_are_told(tmp_path):
    (one,) = moved(as_crystals(bulk("Po", "sc", a=3.3)), tmp_path)
    assert one.message == "morse does not know Po"
    assert one.steps == []


def test_npt_is_refused(tmp_path):
    with pytest.raises(ValueError, match="npt is not for many crystals"):
        moved(several(), tmp_path, ensemble=Ensemble.NPT)
