"""Keys of orders: the same for one crystal however it is written, another for another order."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given

from gnomon.crystals import Crystals
from gnomon.generate.saps.occupations import repeats, within
from gnomon.generate.saps.orbits import SubsetOrbits
from gnomon.generate.saps.superlattices import supercells
from gnomon.io import from_arrow
from gnomon.structure.hashes import PRIME, mean, scramble
from gnomon.structure.surroundings import surroundings
from gnomon.structure.symmetry import primitive
from tests.strategies import crystals, rewritten, rngs

FCC = np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]) * 3.6
COPPER = Crystals.single(FCC, np.array([29]), [[0, 0, 0]])


def key(crystal: Crystals) -> int:
    [found] = surroundings(crystal).keys(crystal.atomic_numbers[None])
    return int(found)


@given(crystals, rngs)
def test_cell_origin_order_size_and_hand_change_no_key(crystal, rng):
    expected = key(crystal)
    assert key(rewritten(crystal, rng)) == expected
    assert key(crystal.scale_volume(1.3)) == expected
    assert key(crystal.supercell([1, 2, 1])) == expected
    mirrored = Crystals.single(
        crystal.lattice[0] * [1, 1, -1], crystal.atomic_numbers, crystal.frac_coords
    )
    assert key(mirrored) == expected


def orders(primitive_cell: Crystals, max_index: int, most: int):
    """Cells, and the ways to put another element on some sites of the heaviest, each once."""
    for cell in supercells(primitive_cell, max_index):
        own = cell.crystal.atomic_numbers
        sites = np.flatnonzero(own == own.max())
        subsets = SubsetOrbits(within(cell.permutations, sites))
        moved = within(cell.translations, sites)
        for size in range(len(sites) + 1):
            chosen = subsets.choose(size, most, np.random.default_rng(0))
            rows = np.tile(own, (len(chosen), 1))
            rows[:, sites] = np.where(chosen, 118, rows[:, sites])
            yield cell.crystal, rows[~repeats(chosen, moved)]


def test_elements_and_where_they_stand_change_the_key():
    keys = [surroundings(cell).keys(rows) for cell, rows in orders(COPPER, 4, 100)]
    found = np.concatenate(keys)
    assert len(set(found.tolist())) == len(found) == 2 + 2 + 6 + 19  # Hart and Forcade 2008


def test_atoms_far_from_all_others_have_keys():
    lonely = Crystals.single(np.diag([1.0, 1.0, 40.0]), np.array([2]), [[0, 0, 0]])
    assert key(lonely) == key(lonely.supercell([1, 1, 2]))
    assert len(surroundings(COPPER).keys(np.zeros((0, 1), np.uint8))) == 0


def test_orders_of_real_crystals_seldom_share_a_key(shared_data):
    """Where they do, partial substitution counts them: nothing is lost."""
    columns = ["lattice", "atomic_numbers", "frac_coords"]
    table = pq.read_table(shared_data / "materials_project/structures.parquet", columns=columns)
    found = from_arrow(table.take(np.arange(0, len(table), len(table) // 60)))
    made = different = 0
    for crystal in found:
        cell = primitive(crystal)
        if cell.n_atoms[0] <= 12:
            parts = [surroundings(larger).keys(rows) for larger, rows in orders(cell, 2, 50)]
            made += sum(map(len, parts))
            different += len(set(np.concatenate(parts).tolist()))
    assert made > 1000
    assert 0.9 * made < different <= made


@pytest.mark.parametrize("copies", [2, 3, 5])
def test_copies_leave_a_mean_as_it_is(copies):
    values = scramble(np.arange(12, dtype=np.uint64)).reshape(2, 6)
    assert mean(np.tile(values, copies)).tolist() == mean(values).tolist()
    weights = np.arange(1, 7)
    assert mean(values, copies * weights).tolist() == mean(values, weights).tolist()
    assert mean(values, weights).tolist() == mean(np.repeat(values, weights, axis=1)).tolist()
    assert mean(values)[0] * np.uint64(6) % PRIME == (values[0] % PRIME).sum() % PRIME
