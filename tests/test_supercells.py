"""Supercells: no atom nearer to an image of itself than asked, whatever axes a cell has."""

from itertools import product

import numpy as np
import pytest
from ase.geometry import minkowski_reduce
from hypothesis import given
from hypothesis import strategies as st

from gnomon.structure.cells import lattice_of
from gnomon.structure.supercells import repeats, smallest

EVERY = np.array([v for v in product(range(-4, 5), repeat=3) if any(v)])


def nearest_image(lattice):
    """By brute force, in a basis that is known to be short enough."""
    return np.linalg.norm(EVERY @ lattice, axis=1).min()


@st.composite
def lattices(draw):
    lengths = [draw(st.floats(2.5, 9.0)) for _ in range(3)]
    angles = [draw(st.floats(65.0, 115.0)) for _ in range(3)]
    skew = np.eye(3, dtype=int)
    skew[0, 1], skew[1, 2] = draw(st.integers(-3, 3)), draw(st.integers(-3, 3))
    return skew @ lattice_of(np.array([*lengths, *angles]))


@given(lattices(), st.floats(3.0, 9.0))
def test_no_image_is_nearer_than_asked_and_repeating_along_the_axes_is_never_smaller(
    lattice, distance
):
    matrix = smallest(lattice, distance)
    assert matrix.dtype.kind == "i"
    assert nearest_image(matrix @ lattice) >= distance - 1e-5
    size = np.linalg.det(matrix)
    assert 0.5 < size <= np.prod(repeats(lattice, distance)) + 1e-6
    assert nearest_image(minkowski_reduce(lattice)[0]) < distance or np.isclose(size, 1)


@given(lattices(), st.integers(-2, 2), st.integers(-2, 2))
def test_the_choice_of_the_axes_does_not_matter(lattice, one, two):
    other = np.array([[1, one, 0], [0, 1, 0], [two, 0, 1]]) @ lattice
    sizes = [np.linalg.det(smallest(cell, 7.0)) for cell in (lattice, other)]
    assert sizes[0] == pytest.approx(sizes[1])


def test_sizes_of_known_lattices():
    cubic = 4.0 * np.eye(3)
    fcc = 2.0 * (1 - np.eye(3))
    assert round(np.linalg.det(smallest(cubic, 4.0))) == 1
    assert nearest_image(smallest(cubic, 8.0) @ cubic) >= 8.0
    assert round(np.linalg.det(smallest(fcc, 2 * 8**0.5 - 1e-9))) == 8  # closest packing
