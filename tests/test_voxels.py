"""Cells as grids: what a grid keeps, what the network keeps, a training that goes on."""

import ase.build
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gnomon.crystals import Crystals
from gnomon.elements import MAX_Z
from gnomon.io import as_crystals
from gnomon.learn.fit import Session
from gnomon.learn.optimize import OptimizerConfig
from gnomon.models.voxels.grids import POINTS, atoms_of, grids
from gnomon.models.voxels.model import VoxelModel
from gnomon.models.voxels.network import MERGED, PATCH, Autoencoder, VoxelConfig, joined, split
from gnomon.models.voxels.recovery import recovered
from gnomon.models.voxels.train import VoxelTrainConfig, train_voxels
from gnomon.represent.laws import residuals, written_otherwise
from gnomon.represent.registry import representation
from gnomon.run.listener import SILENT, Listener

SHAPE = VoxelConfig(width=6, latent=3)
CONFIG = VoxelTrainConfig(
    network=SHAPE, optimizer=OptimizerConfig(epochs=2, batch=4, learning_rate=1e-2, averaging=0.9)
)


class Killed(Exception):  # noqa: N818
    """In place of a kill."""


@pytest.fixture(scope="module")
def salts() -> Crystals:
    """Rock salts of several formulas and lengths, one atom off its place."""
    pairs = [(a, b) for a in ("Li", "Na", "K", "Rb") for b in ("F", "Cl", "Br", "I")]
    made = as_crystals([ase.build.bulk(a + b, "rocksalt", a=5.5, cubic=True) for a, b in pairs])
    return made.with_frac_coords(made.frac_coords + 0.03 * np.eye(len(made.frac_coords), 3))


def test_a_grid_turns_with_nothing_and_moves_with_the_origin(salts: Crystals) -> None:
    made = grids(salts[:3])
    np.testing.assert_allclose(grids(written_otherwise(salts[:3])["turned"]), made, atol=1e-6)
    moved = salts[:3].with_frac_coords(salts[:3].frac_coords + np.array([1, 0, -2]) / POINTS)
    np.testing.assert_allclose(grids(moved), np.roll(made, (1, -2), axis=(1, 3)), atol=1e-6)


def test_every_atom_of_every_element_is_found_in_its_grid() -> None:
    place = np.array([[0.1234, 0.777, 0.999], [0.6, 0.2, 0.5]])
    cell = np.array([[4.0, 0, 0], [0.7, 5.0, 0], [0, -0.5, 6.0]])
    for z in range(1, MAX_Z + 1):
        crystal = Crystals.single(cell, [z, 8], place)
        found = atoms_of(grids(crystal)[0])
        assert sorted(found.atomic_numbers.tolist()) == sorted([z, 8])
        away = place[:, None] - found.frac_coords
        assert np.linalg.norm((away - np.rint(away)) @ cell, axis=2).min(axis=1).max() < 0.05


def test_cubes_are_taken_apart_and_put_together() -> None:
    x = jnp.arange(2 * 8**3 * 3.0).reshape(2, 8, 8, 8, 3)
    apart = split(x, 4)
    assert apart.shape == (2, 2, 2, 2, 192)
    np.testing.assert_array_equal(apart[1, 1, 0, 1].reshape(4, 4, 4, 3), x[1, 4:, :4, 4:])
    np.testing.assert_array_equal(joined(apart, 4), x)


def test_the_network_has_no_origin_but_that_of_its_places(salts: Crystals) -> None:
    model = VoxelModel(Autoencoder(SHAPE, key=jax.random.key(0)))
    moved = salts[:1].with_frac_coords(
        salts[:1].frac_coords + np.array([0, PATCH * MERGED / POINTS, 0])
    )
    latent, other = model.latent(Crystals.concatenate([salts[:1], moved])).reshape(2, 3, 3, 3, -1)
    np.testing.assert_allclose(other, np.roll(latent, 1, axis=1), atol=1e-5)
    [back] = model.given_back(salts[:1])
    assert back.shape == grids(salts[:1]).shape


def test_a_training_goes_on_and_comes_back_from_its_file(salts, tmp_path) -> None:
    whole = train_voxels(salts, "salts", CONFIG)
    left = iter(range(3))

    def tick(what: str, done: int, total: int) -> None:
        if what == "training" and next(left, None) is None:
            raise Killed

    partial = tmp_path / "partial"
    killed = Session(partial, Listener(say=lambda text: None, tick=tick), 0.0)
    with pytest.raises(Killed):
        train_voxels(salts, "salts", CONFIG, killed)
    again = train_voxels(salts, "salts", CONFIG, Session(partial, SILENT))
    np.testing.assert_array_equal(again.latent(salts), whole.latent(salts))
    untrained = VoxelModel(Autoencoder(SHAPE, key=jax.random.key(CONFIG.seed)))
    assert recovered(whole, salts).error < recovered(untrained, salts).error
    whole.save(tmp_path / "salts.gnomon")
    made = representation("voxels", model=str(tmp_path / "salts.gnomon"))
    rows = made.represent(salts)
    assert rows.shape == (len(salts), len(made.columns))
    np.testing.assert_allclose(rows, whole.latent(salts), atol=1e-2 * np.abs(rows).max())
    for way, found in residuals(made, salts).items():
        assert (found.largest > made.card.rounding) == (way in made.card.differs), way


def test_without_an_autoencoder_it_says_where_to_get_one() -> None:
    with pytest.raises(ValueError, match=r"train_voxels\.py"):
        representation("voxels")
