"""The laws of the potential, in double precision with random weights; then published references."""

import json
from pathlib import Path

import equinox as eqx
import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.crystals import Crystals
from gnomon.elements import COVALENT_RADII
from gnomon.io.labels import Labels
from gnomon.potential.batch import Shape, pack
from gnomon.potential.checkpoint import load
from gnomon.potential.irreps import hidden_irreps, product_paths, with_gates
from gnomon.potential.network import Potential, energy_forces_stress
from gnomon.potential.predict import LoadedPotential
from gnomon.structure.neighbors import neighbors
from tests.strategies import crystals, random_crystal, random_rotation, random_unimodular, rngs
from tests.tiny_potentials import tiny_config, tiny_potential

SHAPE = Shape(atoms=34, rows=110, crystals=4)
"""Holds two 8-atom crystals of the strategies twice over: one compilation serves all laws."""

EXACT = {"rtol": 1e-9, "atol": 1e-9}
"""Rounding of sums in another order, eV and Å; energies are of the order of 10."""

STEP = 1e-4
"""Å, or strain, of central differences."""

DIFFERENCE = {"rtol": 1e-5, "atol": 1e-5}
"""Of slopes: STEP to the fourth times a fifth derivative, and 1e-12 of rounding over STEP."""

KINDS = {
    # pseudo-vectors and 2o begin with the second layer, and reach scalars in the fourth
    "all parities": {"hidden_irreps": "3x0e + 2x1o + 2x1e + 1x2o", "lmax": 2, "n_layers": 4},
    "weights by element": {
        "index_weights": True,
        "layer_norm": False,
        "repulsion": True,
        "embedding": 3,
    },
    "degree 3 with scalars only": {
        "hidden_irreps": "4x0e + 3x1o + 2x3o",
        "lmax": 3,
        "coupled_lmax": 1,
        "n_layers": 3,
    },
}

compiled = eqx.filter_jit(energy_forces_stress)


class Double:
    """A potential in double precision; prints short where a test fails."""

    def __init__(self, single: Potential) -> None:
        self.config = single.config
        with jax.enable_x64(True):
            self.potential = jax.tree.map(
                lambda leaf: leaf.astype(np.float64) if eqx.is_inexact_array(leaf) else leaf,
                single,
            )

    def labels(self, given: Crystals, shape: Shape = SHAPE) -> Labels:
        """Energies, forces and stresses."""
        with jax.enable_x64(True):
            batch = pack(given, neighbors(given, self.config.cutoff), shape=shape, dtype=np.float64)
            e, f, s = (np.asarray(x) for x in compiled(self.potential, batch))
        return Labels(e[: len(given)], f[: given.offsets[-1]], s[: len(given)])


def together(*parts: Crystals) -> Crystals:
    return Crystals.concatenate(list(parts))


def halves(found: Labels, first: Crystals) -> tuple[Labels, ...]:
    """Labels of the first crystal and of the second."""
    n = int(first.offsets[-1])
    return (
        Labels(found.energy[:1], found.forces[:n], found.stress[:1]),
        Labels(found.energy[1:2], found.forces[n:], found.stress[1:2]),
    )


@pytest.fixture(scope="module", params=KINDS.values(), ids=KINDS.keys())
def potential(request) -> Double:
    return Double(tiny_potential(**request.param).potential)


# --- symmetry -------------------------------------------------------------------------------------


@given(crystal=crystals, rng=rngs, mirror=st.booleans())
def test_rotations_and_mirrors_turn_forces_and_stress(potential, crystal, rng, mirror):
    turn = random_rotation(rng) * (-1 if mirror else 1)
    turned = crystal.with_lattice(crystal.lattice @ turn)
    a, b = halves(potential.labels(together(crystal, turned)), crystal)
    np.testing.assert_allclose(b.energy, a.energy, **EXACT)
    np.testing.assert_allclose(b.forces, a.forces @ turn, **EXACT)
    np.testing.assert_allclose(b.stress, turn.T @ a.stress @ turn, **EXACT)
    np.testing.assert_allclose(a.stress, np.swapaxes(a.stress, 1, 2), **EXACT)


@given(crystal=crystals, rng=rngs)
def test_translation_images_and_order_do_not_matter(potential, crystal, rng):
    lattice, numbers, frac = crystal.arrays(0)
    order = rng.permutation(len(numbers))
    moved = frac + rng.uniform(size=3) + rng.integers(-2, 3, frac.shape)
    other = Crystals.single(lattice, numbers[order], moved[order])
    a, b = halves(potential.labels(together(crystal, other)), crystal)
    np.testing.assert_allclose(b.energy, a.energy, **EXACT)
    np.testing.assert_allclose(b.forces, a.forces[order], **EXACT)
    np.testing.assert_allclose(b.stress, a.stress, **EXACT)
    np.testing.assert_allclose(a.forces.sum(axis=0), 0, atol=1e-9)


@given(crystal=crystals, rng=rngs)
def test_the_choice_of_lattice_does_not_matter(potential, crystal, rng):
    matrix = random_unimodular(rng)
    lattice, numbers, frac = crystal.arrays(0)
    other = Crystals.single(matrix @ lattice, numbers, frac @ np.linalg.inv(matrix))
    a, b = halves(potential.labels(together(crystal, other)), crystal)
    for mine, yours in zip(a, b, strict=True):
        np.testing.assert_allclose(yours, mine, **EXACT)


@given(crystal=crystals, axis=st.integers(0, 2))
def test_a_supercell_has_twice_the_energy_and_the_same_forces_and_stress(potential, crystal, axis):
    double = crystal.supercell(np.diag(np.where(np.arange(3) == axis, 2, 1)))
    a, b = halves(potential.labels(together(crystal, double)), crystal)
    np.testing.assert_allclose(b.energy, 2 * a.energy, **EXACT)
    np.testing.assert_allclose(b.forces, np.repeat(a.forces, 2, axis=0), **EXACT)
    np.testing.assert_allclose(b.stress, a.stress, **EXACT)


# --- derivatives ----------------------------------------------------------------------------------


def slope(potential, moved):
    """Of the energy of ``moved(s)`` at s = 0: two central differences, whose errors of second order
    cancel (Richardson): one alone errs by more than is allowed on one random crystal of 200."""
    differences = []
    for step in (STEP, 2 * STEP):
        up, down = potential.labels(together(moved(step), moved(-step))).energy
        differences.append((up - down) / (2 * step))
    return (4 * differences[0] - differences[1]) / 3


@given(crystal=crystals, rng=rngs)
def test_forces_are_the_slope_of_the_energy(potential, crystal, rng):
    step = rng.normal(size=crystal.frac_coords.shape)
    frac_step = step @ np.linalg.inv(crystal.lattice[0])
    found = slope(
        potential, lambda s: crystal.with_frac_coords(crystal.frac_coords + s * frac_step)
    )
    forces = potential.labels(crystal).forces
    np.testing.assert_allclose(found, -(forces * step).sum(), **DIFFERENCE)


@given(crystal=crystals, rng=rngs)
def test_stress_is_the_slope_of_the_energy_under_strain(potential, crystal, rng):
    strain = rng.normal(size=(3, 3))
    strain = (strain + strain.T) / 2
    found = slope(
        potential, lambda s: crystal.with_lattice(crystal.lattice @ (np.eye(3) + s * strain))
    )
    work = crystal.volumes[0] * (potential.labels(crystal).stress[0] * strain).sum()
    np.testing.assert_allclose(found, work, **DIFFERENCE)


# --- smoothness -----------------------------------------------------------------------------------


def test_energy_and_forces_are_continuous_as_atoms_cross_the_cutoff(potential):
    """Along a line through a crystal, the energy is the integral of the force: no crossing of the
    cutoff leaves a step."""
    crystal = random_crystal(np.random.default_rng(7))
    lattice, numbers, frac = crystal.arrays(0)
    direction, n_steps = np.array([0.6, 0.0, 0.8]), 121
    path = np.linspace(0, 0.6, n_steps)
    energies, forces, pairs = [], [], []
    for distance in path:
        moved = frac.copy()
        moved[0] += distance * direction @ np.linalg.inv(lattice)
        now = Crystals.single(lattice, numbers, moved)
        found = potential.labels(now)
        energies.append(found.energy[0])
        forces.append(found.forces[0] @ direction)
        pairs.append(len(neighbors(now, potential.config.cutoff).receivers))
    assert len(set(pairs)) > 4, "the path crosses no cutoff"
    h = path[1]
    f = np.array(forces)
    rise = np.diff(energies)[1:-1]
    # cubic interpolation of the force, integrated: errs by h⁵, and by any step in full
    work = -h * (13 * (f[1:-2] + f[2:-1]) - f[:-3] - f[3:]) / 24
    np.testing.assert_allclose(rise, work, atol=1e-6)
    assert np.abs(np.diff(f)).max() < 100 * h, "a step of the force"


@pytest.mark.parametrize("pair", [(14, 8), (79, 79)], ids=["Si-O", "Au-Au"])
def test_atoms_at_the_cutoff_feel_nothing(potential, pair):
    reach = potential.config.cutoff
    apart = [reach - 1e-3, reach + 1e-3]
    dimers = [
        Crystals.single(np.eye(3) * 20.0, np.array(pair), np.array([[0, 0, 0], [0, 0, d / 20]]))
        for d in apart
    ]
    found = potential.labels(together(*dimers))
    np.testing.assert_allclose(found.energy[0], found.energy[1], atol=1e-6)
    np.testing.assert_allclose(found.forces, 0, atol=1e-4)
    np.testing.assert_allclose(found.forces[2:], 0, atol=1e-12)


def test_repulsion_ends_at_the_radii_or_the_cutoff_and_rises_towards_contact():
    """Gold's radii reach 2.72 Å, beyond a cutoff of 2.5 Å, where nothing may jump."""
    short = tiny_potential(
        cutoff=2.5, hidden_irreps="4x0e", lmax=0, n_layers=1, repulsion=True
    ).potential
    assert 2 * COVALENT_RADII[79] > short.config.cutoff
    bare = eqx.tree_at(lambda p: p.readout, short, 0 * short.readout)
    apart = [0.5, 1.5, 2.499, 2.501]
    dimers = [
        Crystals.single(np.eye(3) * 20.0, np.array([79, 79]), np.array([[0, 0, 0], [0, 0, d / 20]]))
        for d in apart
    ]
    energies = Double(bare).labels(together(*dimers)).energy - 2 * short.config.shift
    assert energies[0] > 100 > energies[1] > 1
    np.testing.assert_allclose(energies[2:], 0, atol=1e-6)


# --- batches --------------------------------------------------------------------------------------


def test_padding_and_companions_do_not_matter():
    potential = Double(tiny_potential(**KINDS["weights by element"]).potential)
    rng = np.random.default_rng(11)
    a, b, c = (random_crystal(rng) for _ in range(3))
    alone = potential.labels(b)
    among = potential.labels(together(a, b, c), Shape(atoms=50, rows=120, crystals=5))
    n = int(a.offsets[-1])
    np.testing.assert_allclose(among.energy[1:2], alone.energy, **EXACT)
    np.testing.assert_allclose(among.forces[n : n + len(alone.forces)], alone.forces, **EXACT)
    np.testing.assert_allclose(among.stress[1:2], alone.stress, **EXACT)


@given(st.builds(Shape, st.integers(1, 3000), st.integers(0, 20000), st.integers(1, 70)))
def test_few_shapes_hold_everything(least):
    capacity = Shape(256, 1024, 64)
    found = capacity.fitting(least)
    power = int(np.log2(found.rows / capacity.rows))
    assert found == tuple(max(1, np.ceil(size * 2.0**power)) for size in capacity)
    assert found.covers(least)
    assert not Shape(*(int(size * 2.0 ** (power - 1)) for size in capacity)).covers(least)


@pytest.mark.filterwarnings("error")
def test_absurd_crystals_give_finite_numbers():
    """Single precision, as in production: overflow would show here."""
    loaded = tiny_potential(**KINDS["weights by element"])
    rng = np.random.default_rng(3)
    cube = np.eye(3)
    close = Crystals.single(cube * 5.0, np.array([79, 79]), np.array([[0, 0, 0], [0.06, 0, 0]]))
    same = Crystals.single(cube * 5.0, np.array([8, 8]), np.zeros((2, 3)))
    nearly = Crystals.single(cube * 5.0, np.array([8, 8]), np.array([[0, 0, 0], [1e-7, 0, 0]]))
    lonely = Crystals.single(cube * 200.0, np.array([13]), np.zeros((1, 3)))
    dense = Crystals.single(cube * 1.0, np.array([29]), np.zeros((1, 3)))
    flat = Crystals.single(np.diag([30.0, 30.0, 1.5]), np.array([22]), np.zeros((1, 3)))
    large = Crystals.single(cube * 16.0, rng.choice([3, 8], 300), rng.uniform(size=(300, 3)))
    absurd = together(close, same, nearly, lonely, dense, flat, large)
    found = loaded.predict(absurd)
    for values in found:
        assert np.isfinite(values).all()
    np.testing.assert_allclose(found.forces[absurd.offsets[3]], 0, atol=1e-6)
    assert found.forces[0, 0] < -100 < 100 < found.forces[1, 0], "atoms at 0.3 Å repel"


def test_unknown_elements_are_named():
    radium = random_crystal(np.random.default_rng(0), max_atoms=1).with_atomic_numbers(
        np.array([88])
    )
    with pytest.raises(ValueError, match="does not know Ra"):
        tiny_potential().predict(radium)


# --- configuration --------------------------------------------------------------------------------


@pytest.mark.parametrize("irreps", ["8x1o", "4x0e + 2x0o", "4xscalars"])
def test_irreps_that_cannot_be_gated_are_refused(irreps):
    with pytest.raises(ValueError, match=r"irreps|irrep|Irreps"):
        tiny_potential(hidden_irreps=irreps)


@pytest.mark.parametrize("elements", [(), (8, 8), (0,), (119,)])
def test_elements_are_named_once(elements):
    with pytest.raises(ValueError, match="each of them once"):
        tiny_potential(elements=elements)


def test_irreps_begin_where_a_product_first_gives_them():
    _, outputs = hidden_irreps(tiny_config(**KINDS["all parities"]))
    assert [str(irreps) for irreps in outputs] == [
        "3x0e+2x1o",
        "3x0e+2x1o+2x1e+1x2o",
        "3x0e+2x1o+2x1e+1x2o",
        "3x0e",
    ]


def test_all_irreps_count():
    """No feature is idle: the energy depends on the weights of every irrep."""
    single = tiny_potential(**KINDS["all parities"]).potential
    crystal = random_crystal(np.random.default_rng(7))
    energy = Double(single).labels(crystal).energy
    for place in range(len(single.layers[2].before)):
        without = eqx.tree_at(
            lambda tree, place=place: tree.layers[2].before[place],
            single,
            replace_fn=lambda weights: 0 * weights,
        )
        assert abs(Double(without).labels(crystal).energy - energy) > 1e-8


def test_beyond_coupled_lmax_degrees_meet_scalars_only():
    config = tiny_config(**KINDS["degree 3 with scalars only"])
    inputs, outputs = hidden_irreps(config)
    for layer, wanted in enumerate([{(0, 3, 3)}, {(3, 0, 3), (3, 3, 0)}, {(3, 3, 0)}]):
        paths = product_paths(inputs[layer], outputs[layer], config)
        gated = with_gates(outputs[layer])
        degrees = [(inputs[layer][p.source].ir.l, p.degree, gated[p.target].ir.l) for p in paths]
        assert {found for found in degrees if max(found) > 1} == wanted
        assert len(degrees) == len(set(degrees))
        assert (0, 0, 0) in degrees
        if layer < 2:
            assert (0, 1, 1) in degrees


def test_degree_3_tells_fcc_from_hcp():
    """Where they differ in no distance within the cutoff, and all features of degree 1 and 2
    vanish in both: at ideal c/a the first other distance is 1.63 bond lengths."""
    bond = 2.5
    fcc = Crystals.single(bond / np.sqrt(2) * (np.ones((3, 3)) - np.eye(3)), [14], [[0, 0, 0]])
    hexagonal = np.array([[1, 0, 0], [-0.5, np.sqrt(0.75), 0], [0, 0, np.sqrt(8 / 3)]])
    sites = [[1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]]
    hcp = Crystals.single(bond * hexagonal, [14, 14], sites)
    blind = {"hidden_irreps": "4x0e + 3x1o + 2x2e", "lmax": 2, "n_layers": 3}
    differences = []
    for kind in (blind, KINDS["degree 3 with scalars only"]):
        found = Double(tiny_potential(**kind).potential).labels(together(fcc, hcp))
        differences.append(found.energy[0] - found.energy[1] / 2)
    np.testing.assert_allclose(differences[0], 0, atol=1e-9)
    assert abs(differences[1]) > 1e-6


# --- published weights ----------------------------------------------------------------------------

REFERENCE = {"energy": 2e-5, "forces": 1e-3, "stress": 1e-4}
"""eV/atom, eV/Å, eV/Å3: agreement with the authors' implementation in single precision."""

VOIGT = ([0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1])


@pytest.fixture(scope="module")
def weights_folder(shared_data) -> Path:
    folder = shared_data.parent / "weights"
    if not (folder / "reference_outputs.json").is_file():
        pytest.skip(f"published weights and their reference outputs not found in {folder}")
    return folder


@pytest.mark.parametrize(
    "name", [pytest.param("nequix-mp-1", marks=pytest.mark.slow), "nequix-oam-1-pft"]
)
def test_published_weights_give_the_outputs_of_their_authors(weights_folder, name):
    outputs = json.loads((weights_folder / "reference_outputs.json").read_text("utf-8"))["outputs"]
    rows = [row for row in outputs if row["model"] == name]
    assert len(rows) == 16
    given = together(
        *(
            Crystals.single(
                np.array(row["cell"]),
                np.array(row["numbers"]),
                np.array(row["positions"]) @ np.linalg.inv(np.array(row["cell"])),
            )
            for row in rows
        )
    )
    potential, _ = load(weights_folder / f"{name}.nqx")
    found = LoadedPotential(name, "", potential).predict(given)
    energy = np.array([row["energy"] for row in rows])
    forces = np.concatenate([row["forces"] for row in rows])
    stress = np.array([row["stress_voigt"] for row in rows])
    assert np.abs((found.energy - energy) / given.n_atoms).max() < REFERENCE["energy"]
    assert np.abs(found.forces - forces).max() < REFERENCE["forces"]
    assert np.abs(found.stress[:, *VOIGT] - stress).max() < REFERENCE["stress"]
