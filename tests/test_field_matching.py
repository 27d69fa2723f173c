"""Trouble with matching and duplicates that people of this field have reported."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from gnomon.crystals import Crystals
from gnomon.io import as_crystals
from gnomon.structure.duplicates import find_known, group_duplicates
from gnomon.structure.matching import Matcher
from gnomon.structure.polymorphs import polymorphs
from gnomon.structure.symmetry import space_groups
from tests.distorted import barium_titanate, copper_gold, elpasolite
from tests.strategies import rewritten


@pytest.mark.parametrize("between", [[], [1.2], [1.1, 1.2, 1.3]])
def test_crystals_in_between_do_not_join_two_phases(between: list[float]) -> None:
    """pymatgen#4528, #1665: grouping is not transitive, groups depend on what else is there."""
    batch = as_crystals([copper_gold(c) for c in (1.0, 2**0.5, *between)])
    of = group_duplicates(batch).of
    assert of[0] != of[1]
    fit = Matcher().on(batch)
    assert all(fit(i, j) for j in range(len(of)) for i in range(j) if of[i] == of[j])
    found = polymorphs(batch, np.zeros(len(batch)))
    assert not any({0, 1} <= set(one.members) for one in found)


DISTORTED = {
    **{f"tilt of {w} degrees": (elpasolite(0), elpasolite(w)) for w in (2, 3, 6, 10, 14)},
    "ferroelectric shift": (barium_titanate(0.0), barium_titanate(0.08)),
}


@pytest.mark.parametrize("name", DISTORTED)
def test_distortions_that_change_the_space_group_are_phases_of_their_own(name: str) -> None:
    """pymatgen#3796: tilted octahedra and polar shifts counted as rediscoveries."""
    both = as_crystals(DISTORTED[name])
    assert len(set(space_groups(both).tolist())) == 2
    assert Matcher().on(both)(0, 1)  # the matcher alone is generous
    rng = np.random.default_rng(0)
    batch = Crystals.concatenate([both, *(rewritten(one, rng) for one in both)])
    assert group_duplicates(batch).of.tolist() == [0, 1, 0, 1]
    assert find_known(both[:1], both[1:]).tolist() == [-1]
    assert len(polymorphs(both, np.zeros(2))) == 2


@pytest.mark.parametrize("noise", [0.003, 0.01, 0.02, 0.1])
def test_noise_makes_no_new_crystal(noise: float) -> None:
    """What relaxations leave (0.01 Å), or so much that nothing of the symmetry is left."""
    rng = np.random.default_rng(1)
    for structure in (elpasolite(0), elpasolite(14), barium_titanate(0.0)):
        copies = [structure.copy() for _ in range(3)]
        for one in copies[1:]:
            for i in range(len(one)):
                one.translate_sites([i], rng.normal(0, noise, 3), frac_coords=False)
        assert group_duplicates(as_crystals(copies)).of.tolist() == [0, 0, 0]


def test_mirror_images_are_one_crystal() -> None:
    sites = [[0.47, 0, 1 / 3], [0.4135, 0.2669, 0.2144]]
    left = Structure.from_spacegroup("P3_121", Lattice.hexagonal(4.91, 5.40), ["Si", "O"], sites)
    right = Structure(left.lattice.matrix * [1, 1, -1], left.species, left.frac_coords)
    both = as_crystals([left, right])
    assert space_groups(both, 0.01).tolist() == [152, 154]
    assert group_duplicates(both).of.tolist() == [0, 0]


def test_crystals_of_other_sizes_are_others() -> None:
    """Lengths are scaled before they are compared, but not without bound."""
    copper = as_crystals(
        Structure(
            Lattice.cubic(3.61),
            ["Cu"] * 4,
            [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]],
        )
    )
    scaled = [copper.scale_volume(f**3) for f in (1.0, 1.05, 1.15, 7.2 / 3.61)]
    assert group_duplicates(Crystals.concatenate(scaled)).of.tolist() == [0, 0, 0, 1]
