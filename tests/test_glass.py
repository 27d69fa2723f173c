"""The example on glass: its particles, its descriptors and its network keep their laws."""

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba", reason="examples/glass compiles its loops with Numba")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples" / "glass"))
import jax
import liquid
import network
import regression
import shear
import simulate
import systems

RNG = np.random.default_rng(0)


def drops(n: int = 125) -> liquid.Liquid:
    """Particles apart enough that forces stay moderate."""
    box = (n / liquid.DENSITY) ** (1 / 3)
    side = round(n ** (1 / 3))
    grid = np.stack(np.meshgrid(*3 * [np.arange(side)], indexing="ij")).reshape(3, -1)
    places = RNG.permutation(grid, axis=1) * box / side + RNG.normal(0, 0.05, (3, n))
    return liquid.Liquid(places, round(0.8 * n), box)


def system(of: liquid.Liquid) -> systems.System:
    return systems.System(of, np.zeros((len(systems.LEVELS), of.places.shape[1])))


def energy(of: liquid.Liquid, places: np.ndarray) -> float:
    """Sum over pairs, written out."""
    d = places[:, :, None] - places[:, None]
    high = np.rint(d[1] / of.box)
    d[1] -= of.box * high
    d[0] -= of.box * of.tilt * high
    d -= of.box * np.rint(d / of.box) * np.array([1, 0, 1])[:, None, None]
    square = (d**2).sum(axis=0) + np.eye(d.shape[1]) * 1e9
    sigma = liquid.SIGMA[of.kinds][:, of.kinds]
    q = np.where(square < (liquid.CUTOFF * sigma) ** 2, (sigma**2 / square) ** 3, 0)
    return float(2 * (liquid.EPSILON[of.kinds][:, of.kinds] * (q**2 - q)).sum())


# --- particles ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_more_neighbours_than_there_is_room_for_are_refused() -> None:
    """They were written over those of other particles."""
    dense = drops(9**3)._replace(box=1.0)
    with pytest.raises(ValueError, match="too dense"):
        liquid.forces(dense)


@pytest.mark.slow
@pytest.mark.parametrize("tilt", [0.0, 0.13])
def test_forces_are_minus_the_slope_of_the_energy(tilt: float) -> None:
    of = drops()._replace(tilt=tilt)
    found = liquid.forces(of)
    assert np.abs(found.sum(axis=1)).max() < 1e-2
    for axis, i in ((0, 3), (1, 60), (2, 120)):
        up, down = of.places.copy(), of.places.copy()
        up[axis, i] += 1e-5
        down[axis, i] -= 1e-5
        slope = (energy(of, up) - energy(of, down)) / 2e-5
        assert found[axis, i] == pytest.approx(-slope, rel=1e-3, abs=1e-2)


@pytest.mark.slow
def test_a_box_sheared_by_a_whole_box_is_the_same_box() -> None:
    of = drops()
    assert np.allclose(liquid.forces(of._replace(tilt=1.0)), liquid.forces(of), atol=1e-2)


@pytest.mark.slow
def test_energy_and_momentum_stay_and_time_runs_back() -> None:
    of = liquid.settle(liquid.at_rest(drops())[0], 0.6, 4.0, RNG, every=0.5)
    v = liquid.velocities(of, 0.6, RNG)
    before = energy(of, of.places) + 0.5 * (v**2).sum()
    later = liquid.run(of, v, 5.0)
    after = energy(later, np.array(later.places, float)) + 0.5 * (v**2).sum()
    assert abs(after - before) / of.places.shape[1] < 0.02  # the cut of the pairs is not smooth
    assert np.abs(v.sum(axis=1)).max() < 1e-2
    w = -liquid.velocities(of, 0.6, np.random.default_rng(1))
    there = liquid.run(of, w, 0.5)
    w *= -1
    assert np.abs(liquid.run(there, w, 0.5).places - of.places).max() < 1e-3


@pytest.mark.slow
def test_at_rest_no_force_is_left_and_a_system_has_the_shapes_it_says() -> None:
    rest, largest = liquid.at_rest(drops())
    assert np.linalg.norm(liquid.forces(rest), axis=0).max() == pytest.approx(largest, abs=5e-3)
    assert largest < 0.01
    found = simulate.system(0.65, 0, particles=64)
    assert found["propensity"].shape == (2, len(found["times"]), 64)
    assert (np.diff(found["scattering"])[:5] < 0).all()


def test_a_strain_rearranges_nothing_and_a_leap_does() -> None:
    of = drops()
    after = liquid.sheared(of, 0.1)
    assert shear.d2min(of, after).max() < 1e-6
    leapt = after._replace(places=after.places.copy())
    leapt.places[:, 7] += 0.4
    assert shear.d2min(of, leapt).argmax() == 7


# --- what is told of them -------------------------------------------------------------------------


def moved(of: liquid.Liquid) -> liquid.Liquid:
    """The same turned by a quarter, mirrored and shifted, wrapped or not."""
    x, y, z = of.places
    return of._replace(places=np.stack([-y, x, -z]) + np.array([[0.3], [-2.0], [9.0]]))


def test_densities_do_not_change_with_place_and_direction() -> None:
    of = drops()
    a, b = (regression.densities([system(one)]) for one in (of, moved(of)))
    assert np.allclose(a, b, atol=1e-8)
    assert a.shape[1] == 2 * len(regression.RADII) * (regression.ORDERS + 1)


def test_a_ridge_finds_a_line_and_its_penalty_by_groups() -> None:
    x = RNG.normal(size=(400, 5))
    y = np.stack([x @ [1, -2, 0, 0, 3], x @ [0, 0, 1, 0, 0]], axis=1)
    line = regression.fit(x, y, np.arange(400) // 100)
    assert regression.correlations(line(x), y).min() > 0.999


def test_the_network_is_invariant_and_sees_as_far_as_its_passes() -> None:
    of = drops(216)
    net = network.Mobility(network.shape(2), key=jax.random.key(0))
    trained = network.Trained(net, np.zeros(len(systems.LEVELS)), np.ones(len(systems.LEVELS)))
    other = of._replace(places=of.places.copy())
    other.places[:, 0] += 0.05
    first, turned, pushed = trained([system(one) for one in (of, moved(of), other)])
    assert np.allclose(first, turned, atol=1e-4)
    apart = of.places - of.places[:, :1]
    distance = np.linalg.norm(apart - of.box * np.rint(apart / of.box), axis=0)
    changed = np.abs(first - pushed).max(axis=0)
    assert changed[distance > 2 * network.REACH + 0.1].max() < 1e-5
    assert changed[distance < network.REACH].max() > 1e-4


def test_published_systems_are_read_in_the_order_of_kinds(tmp_path: Path) -> None:
    n, types = 10, np.array([1, 0, 0, 0, 1, 0, 0, 0, 0, 0])
    levels = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, np.exp(-1)])
    data = {f"targets.{i}": np.arange(n) + 100 * i for i in range(10)}
    positions = RNG.random((n, 3))
    np.savez(
        tmp_path / "p.npz",
        **{"positions": positions, "types": types, "box": np.ones(3), "is_values": levels},
        **data,
    )
    found = systems.read_published(tmp_path / "p.npz")
    assert found.liquid.n_a == 8
    assert found.mobility[6, 0] == 901  # 1/e comes seventh, and particle 1 is the first of A
    assert np.allclose(found.liquid.places[:, -1], positions[4])


def test_mobilities_are_taken_where_the_scattering_function_passes_a_level(tmp_path: Path) -> None:
    curve = np.linspace(1.0, 0.0, 21)  # levels lie on every second time, but for 1/e
    for number in range(2):
        np.savez(
            tmp_path / f"{number}.npz",
            places=RNG.random((3, 4)),
            n_a=3,
            box=1.0,
            scattering=curve,
            propensity=np.ones((2, 1, 4)) * np.arange(21.0)[:, None],
        )
    one, _ = systems.read(sorted(tmp_path.glob("*.npz")))
    assert one.mobility.shape == (10, 4)
    assert np.allclose(one.mobility[:, 0], 20 * (1 - np.array(systems.LEVELS)))
