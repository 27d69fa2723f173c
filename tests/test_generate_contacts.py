"""Closest contacts and the touching scale."""

import itertools

import numpy as np
import pytest
from hypothesis import given

from gnomon.crystals import Crystals
from gnomon.elements import COVALENT_RADII
from gnomon.structure.contacts import closest_distances, touching_scale
from tests.strategies import crystals, random_crystal, rewritten, rngs

DISTANCE_TOLERANCE = 1e-8  # Å; double precision through a change of cell


def brute_force(crystal, reach=4):
    """Shortest distances by every image up to ``reach`` cells away."""
    lattice, numbers, frac = crystal.arrays(0)
    shifts = np.array(list(itertools.product(range(-reach, reach + 1), repeat=3)))
    delta = (frac[:, None] - frac[None])[:, :, None] + shifts
    distance = np.linalg.norm(delta @ lattice, axis=-1)
    distance[distance < 1e-9] = np.inf
    elements = np.unique(numbers)
    of = [[distance[numbers == s][:, numbers == t].min() for t in elements] for s in elements]
    return elements, np.array(of)


@given(crystals)
def test_distances_equal_a_brute_force_search_over_images(crystal):
    elements, distances = closest_distances(crystal)
    expected_elements, expected = brute_force(crystal.wrap())
    assert elements.tolist() == expected_elements.tolist()
    np.testing.assert_allclose(distances, expected, atol=DISTANCE_TOLERANCE)


@given(rngs)
def test_distances_do_not_depend_on_how_the_crystal_is_written(rng):
    crystal = random_crystal(rng)
    _, distances = closest_distances(crystal)
    _, again = closest_distances(rewritten(crystal, rng))
    np.testing.assert_allclose(again, distances, atol=DISTANCE_TOLERANCE)


def test_a_flat_skewed_cell_of_one_atom_sees_its_nearest_image():
    lattice = [[2.0, 0, 0], [0, 2, 0], [7.9, 7.9, 0.8]]  # c is 0.1, 0.1, 0.8 from a lattice point
    elements, distances = closest_distances(Crystals.single(lattice, [29], [[0, 0, 0]]))
    assert elements.tolist() == [29]
    assert distances[0, 0] == pytest.approx(np.sqrt(0.01 + 0.01 + 0.64), abs=DISTANCE_TOLERANCE)


@given(crystals)
def test_after_scaling_the_closest_spheres_touch(crystal):
    elements, distances = closest_distances(crystal)
    scale = touching_scale(distances, COVALENT_RADII[elements][None])
    _, scaled = closest_distances(crystal.scale_volume(scale**3))
    radii = COVALENT_RADII[elements]
    assert np.min(scaled / (radii[:, None] + radii)) == pytest.approx(1.0, abs=1e-9)


def test_a_batch_of_two_is_refused():
    one = Crystals.single(np.eye(3) * 3, [29], [[0, 0, 0]])
    with pytest.raises(ValueError, match="batch of one"):
        closest_distances(Crystals.concatenate([one, one]))
