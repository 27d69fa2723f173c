"""Asymmetric units: crystals come back from them, however they were written."""

import numpy as np
import pytest

from gnomon.crystals import Crystals
from gnomon.generate.registry import generator
from gnomon.structure.asymmetric_unit import asymmetric_unit, expand, places
from gnomon.structure.cells import cell_parameters, lattice_of
from gnomon.structure.matching import Matcher
from gnomon.structure.symmetry import SymmetryError, niggli, space_groups
from gnomon.structure.systems import free_cell, whole_cell

FCC = np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])


def prototypes() -> Crystals:
    chunks = generator("prototypes", "Ti-O", max_atoms=12).generate(Crystals.empty())
    return Crystals.concatenate([chunk.crystals for chunk in chunks])[::8]


def test_crystals_come_back_from_their_asymmetric_units():
    given = prototypes()
    units = [asymmetric_unit(crystal) for crystal in given]
    back = Crystals.concatenate([expand(unit) for unit in units])
    match = Matcher().on(Crystals.concatenate([given, back]))
    assert all(match(i, i + len(given)) for i in range(len(given)))
    assert len({unit.space_group for unit in units}) > 10
    assert space_groups(back).tolist() == [unit.space_group for unit in units]
    np.testing.assert_allclose(
        back.volumes / back.n_atoms, given.volumes / given.n_atoms, rtol=1e-3
    )


@pytest.mark.parametrize("numbers", [[11, 17], [17, 11]])
@pytest.mark.parametrize("shift", [0.0, 0.25, 0.137])
def test_rock_salt_is_written_in_one_way(numbers, shift):
    """Whichever ion comes first, wherever the origin lies, in whatever cell."""
    frac = np.array([[0, 0, 0], [0.5, 0.5, 0.5]]) + shift
    salt = Crystals.single(FCC * 5.64, numbers, frac)
    for crystal in (salt, niggli(salt)):
        unit = asymmetric_unit(crystal)
        assert unit.space_group == 225
        assert unit.elements.tolist() == [11, 17]  # the less electronegative first
        assert unit.positions.tolist() == [0, 1]
        np.testing.assert_allclose(unit.cell, [5.64] * 3 + [90] * 3)


def test_an_origin_that_symmetry_leaves_open_lies_on_the_first_atom():
    wurtzite = Crystals.single(
        lattice_of(np.array([3.25, 3.25, 5.2, 90, 90, 120])),
        [30, 30, 8, 8],
        [[1 / 3, 2 / 3, 0.2], [2 / 3, 1 / 3, 0.7], [1 / 3, 2 / 3, 0.582], [2 / 3, 1 / 3, 0.082]],
    )
    unit = asymmetric_unit(wurtzite)
    assert unit.space_group == 186
    assert unit.coordinates[0, 2] == pytest.approx(0, abs=1e-9)
    assert Matcher().on(Crystals.concatenate([wurtzite, expand(unit)]))(0, 1)


@pytest.mark.parametrize("number", [1, 2, 5, 15, 47, 62, 107, 148, 166, 186, 205, 227, 230])
def test_positions_have_periodic_coordinates_and_keep_their_size(number):
    known, rng = places(number), np.random.default_rng(number)
    for k, multiplicity in enumerate(known.multiplicity):
        assert np.array_equal(known.basis[k], np.rint(known.basis[k]))
        point = known.basis[k] @ rng.random(3) + known.offset[k]
        assert known.on(k, point[None], np.full(3, 1e-9))[0]
        assert np.array_equal(known.free[k], known.basis[k].any(axis=0))
        assert (known.multiplicity[known.images[:, k]] == multiplicity).all()
    for images in known.images:
        assert sorted(images) == list(range(len(known.multiplicity)))


@pytest.mark.parametrize("number", [1, 10, 50, 100, 150, 200])
def test_cells_obey_their_family(number):
    cell = whole_cell(number, np.array([4.0, 5.0, 6.0, 80.0, 95.0, 105.0]))
    np.testing.assert_allclose(cell_parameters(lattice_of(cell)[None])[0], cell)
    free = free_cell(number)
    changed = np.where(free, cell, 1.0)
    np.testing.assert_allclose(whole_cell(number, changed), cell)


def test_atoms_on_one_place_have_no_asymmetric_unit():
    with pytest.raises(SymmetryError):
        asymmetric_unit(Crystals.single(np.eye(3) * 4, [11, 11], np.zeros((2, 3))))
