"""Laws of the canonical cell, and space groups of known crystals."""

import numpy as np
import pytest
from ase.build import bulk
from hypothesis import given

from gnomon.crystals import Crystals
from gnomon.structure.symmetry import (
    SymmetryError,
    canonical,
    canonical_ids,
    idealised,
    niggli,
    primitive,
    space_group_symbol,
    space_groups,
)
from tests.strategies import crystals, rewritten, rngs

ROUNDING = 1e-9
"""Relative error that a few matrix products in float64 may leave."""


def _known(name: str) -> Crystals:
    made = {
        "Cu": (bulk("Cu", "fcc", a=3.61), 225),
        "Si": (bulk("Si", "diamond", a=5.43), 227),
        "NaCl": (bulk("NaCl", "rocksalt", a=5.64, cubic=True), 225),
        "CsCl": (bulk("CsCl", "cesiumchloride", a=4.12), 221),
        "Ti": (bulk("Ti", "hcp", a=2.95, c=4.68), 194),
        "ZnO": (bulk("ZnO", "wurtzite", a=3.25, c=5.2, u=0.375), 186),
        "CaF2": (bulk("CaF2", "fluorite", a=5.46), 225),
    }
    atoms, number = made[name]
    crystal = Crystals.single(atoms.cell[:], atoms.numbers, atoms.get_scaled_positions())
    assert space_groups(crystal)[0] == number
    return crystal


NAMES = ("Cu", "Si", "NaCl", "CsCl", "Ti", "ZnO", "CaF2")


@given(crystals, rngs)
def test_canonical_id_does_not_depend_on_how_a_crystal_is_written(crystal, rng):
    assert canonical_ids(rewritten(crystal, rng))[0] == canonical_ids(crystal)[0]


@pytest.mark.parametrize("name", NAMES)
def test_canonical_id_of_symmetric_crystals(name):
    crystal, rng = _known(name), np.random.default_rng(7)
    expected = canonical_ids(crystal)[0]
    for _ in range(15):
        assert canonical_ids(rewritten(crystal, rng))[0] == expected
    for matrix in (2, [1, 2, 1], [[1, 1, 0], [0, 1, 0], [0, 1, 3]]):
        assert canonical_ids(crystal.supercell(matrix))[0] == expected


def test_canonical_ids_tell_different_crystals_apart():
    known = Crystals.concatenate([_known(name) for name in NAMES])
    strained = known.scale_volume(1.02)
    swapped = known.substitute({"Na": "Cl", "Cl": "Na"})[2]
    ids = canonical_ids(Crystals.concatenate([known, strained]))
    assert len(set(ids)) == 2 * len(NAMES)
    assert canonical_ids(swapped)[0] == ids[2], "rock salt has two equivalent sites"


@given(crystals)
def test_canonical_keeps_volume_and_composition(crystal):
    written = canonical(crystal)
    assert written.reduced_formulas[0] == crystal.reduced_formulas[0]
    per_atom = written.volumes / written.n_atoms
    assert np.allclose(per_atom, crystal.volumes / crystal.n_atoms, rtol=1e-3)
    assert canonical_ids(written)[0] == canonical_ids(crystal)[0]


@given(crystals, rngs)
def test_niggli_gives_the_same_lengths_and_sites_for_any_basis(crystal, rng):
    one, two = niggli(crystal), niggli(rewritten(crystal, rng))
    lengths = [np.sort(np.linalg.norm(c.lattice[0], axis=1)) for c in (one, two)]
    assert np.allclose(*lengths, rtol=1e-6)
    assert np.allclose(one.volumes, crystal.volumes, rtol=ROUNDING)


def test_primitive_cell_of_a_supercell():
    assert primitive(_known("Cu").supercell(3)).n_atoms.tolist() == [1]
    assert primitive(_known("NaCl")).n_atoms.tolist() == [2]


@pytest.mark.parametrize(("name", "number"), [("Cu", 225), ("NaCl", 225), ("Ti", 194)])
def test_idealised_cells_show_their_symmetry_to_narrow_tolerances(name, number):
    """Noise of a relaxation hides it; nothing moves further than the tolerance."""
    crystal, rng = _known(name), np.random.default_rng(0)
    noisy = crystal.with_lattice(crystal.lattice + rng.normal(0, 1e-4, (1, 3, 3)))
    noisy = noisy.with_frac_coords(noisy.frac_coords + rng.normal(0, 1e-5, noisy.frac_coords.shape))
    assert space_groups(noisy, 1e-7)[0] < number
    ideal = idealised(noisy)
    assert space_groups(ideal, 1e-7).tolist() == [number]
    volumes = ideal.volumes / ideal.n_atoms, noisy.volumes / noisy.n_atoms
    np.testing.assert_allclose(*volumes, rtol=1e-3)


def test_what_has_no_symmetry_to_find_is_not_idealised():
    bad = Crystals.single(np.eye(3) * 4, [29, 29], [[0, 0, 0], [0, 0, 1e-4]])
    assert idealised(bad).ids.tolist() == bad.ids.tolist()


def test_atoms_on_top_of_each_other_have_no_symmetry():
    bad = Crystals.single(np.eye(3) * 3, [29, 29], [[0, 0, 0], [0, 0, 1e-6]])
    assert space_groups(bad).tolist() == [0]
    with pytest.raises(SymmetryError, match="on top of each other"):
        primitive(bad)
    assert canonical_ids(bad)[0] == bad.ids[0]


def test_space_group_symbols():
    assert [space_group_symbol(n) for n in (225, 123, 1)] == ["Fm-3m", "P4/mmm", "P1"]
