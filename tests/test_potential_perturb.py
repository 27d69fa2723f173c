"""Crystals of training sets: laws of the perturbations, and frames of partial relaxations."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.crystals import Crystals
from gnomon.dataset.perturb import (
    PerturbConfig,
    Variants,
    perturbations,
    rattle,
    strain,
    volume_scan,
)
from gnomon.dataset.way import on_the_way
from gnomon.dynamics.relax import relax
from gnomon.dynamics.settings import RelaxConfig
from tests.emt_metals import ROUNDING, metals
from tests.strategies import random_crystal
from tests.tiny_potentials import MORSE

seeds = st.integers(0, 2**32 - 1)


def batch(seed: int, n: int = 4) -> Crystals:
    rng = np.random.default_rng(seed)
    return Crystals.concatenate([random_crystal(rng) for _ in range(n)])


# --- perturbations --------------------------------------------------------------------------------


@given(seed=seeds, amplitude=st.floats(0, 0.5))
def test_a_rattle_keeps_the_centre_and_the_cell(seed, amplitude):
    crystals = batch(seed)
    moved = rattle(crystals, np.full(4, amplitude), seed)
    shifts = moved.cart_coords - crystals.cart_coords
    sums = np.add.reduceat(shifts, crystals.offsets[:-1])
    np.testing.assert_allclose(sums, 0, atol=ROUNDING)
    np.testing.assert_array_equal(moved.lattice, crystals.lattice)
    alone = np.repeat(crystals.n_atoms == 1, crystals.n_atoms)
    np.testing.assert_allclose(shifts[alone], 0, atol=ROUNDING)


def test_a_rattle_has_the_width_that_was_asked_for():
    big = Crystals.single(30 * np.eye(3), np.full(4000, 29), np.random.rand(4000, 3))
    shifts = (rattle(big, np.array([0.1]), 1).cart_coords - big.cart_coords).ravel()
    assert shifts.std() == pytest.approx(0.1, rel=0.05)  # 12,000 draws: 0.6 %
    kurtosis = ((shifts / shifts.std()) ** 4).mean()
    assert kurtosis == pytest.approx(3, abs=0.3)  # Gaussian; its standard error is 0.04


@given(seed=seeds, amplitude=st.floats(0, 0.29))
def test_a_strain_is_symmetric_bounded_and_keeps_fractional_coordinates(seed, amplitude):
    crystals = batch(seed)
    strained = strain(crystals, amplitude, seed)
    tensor = np.linalg.solve(crystals.lattice, strained.lattice) - np.eye(3)
    np.testing.assert_allclose(tensor, tensor.transpose(0, 2, 1), atol=ROUNDING)
    assert np.abs(tensor).max() <= amplitude + ROUNDING
    np.testing.assert_array_equal(strained.frac_coords, crystals.frac_coords)
    before, after = np.linalg.det(crystals.lattice), np.linalg.det(strained.lattice)
    assert np.all(before * after > 0)


@given(seed=seeds)
def test_a_volume_scan_has_exact_factors(seed):
    crystals = batch(seed)
    factors = (0.8, 1.0, 1.25)
    scanned = volume_scan(crystals, factors)
    expected = (crystals.volumes[:, None] * np.array(factors)).ravel()
    np.testing.assert_allclose(scanned.volumes, expected, rtol=1e-12)
    np.testing.assert_array_equal(
        scanned.take([1, 4]).frac_coords, crystals.take([0, 1]).frac_coords
    )


@given(seed=seeds)
def test_a_crystal_is_perturbed_the_same_in_any_batch(seed):
    crystals = batch(seed)
    recipe = PerturbConfig(copies=2, scan_atoms=4)
    whole = perturbations(crystals, recipe, seed)
    for i in (3, 0):
        own = perturbations(crystals[i], recipe, seed)
        mine = whole.parent == i
        assert whole.crystals.take(mine).ids.tolist() == own.crystals.ids.tolist()
        assert whole.kind[mine].tolist() == own.kind.tolist()
    assert own.crystals.ids[0] == crystals.ids[0]
    other = perturbations(crystals[0], recipe, seed + 1)
    copies = own.kind == "perturbed"
    assert not set(own.crystals.ids[copies]) & set(other.crystals.ids[copies])
    assert len(set(own.crystals.ids[copies])) == 2


def test_only_small_cells_are_scanned():
    crystals = metals()
    made = perturbations(crystals, PerturbConfig(copies=0, scan_atoms=4), 0)
    scanned = np.bincount(made.parent[made.kind == "scaled"], minlength=6)
    assert scanned.tolist() == [6, 6, 6, 6, 6, 0]


def test_senseless_amplitudes_are_refused():
    crystals = metals()
    with pytest.raises(ValueError, match="zero or more"):
        rattle(crystals, np.full(6, -0.1), 0)
    with pytest.raises(ValueError, match=r"0\.\.0\.3, not 0\.5"):
        strain(crystals, 0.5, 0)


# --- partial relaxations --------------------------------------------------------------------------


def way_of(crystals: Crystals, **options: Any) -> Variants:
    given = {"steps": 12, "frames": 4, "fmax": 1e-3} | options
    return on_the_way(crystals, np.arange(len(crystals)), "given", MORSE, **given)


def test_frames_on_the_way_lead_downhill_from_the_start_to_the_end():
    crystals = rattle(metals(), np.full(6, 0.15), 3)
    way = way_of(crystals)
    ends = relax(crystals, MORSE, RelaxConfig(fmax=1e-3, max_steps=12))
    for i, end in enumerate(ends):
        mine = np.flatnonzero(way.parent == i)
        assert 2 <= len(mine) <= 4
        assert way.step[mine[0]] == 0
        assert np.all(np.diff(way.step[mine]) > 0)
        assert way.crystals.ids[mine[0]] == crystals.ids[i]
        energy = MORSE.predict(way.crystals.take(mine)).energy / crystals.n_atoms[i]
        assert np.all(np.diff(energy) < 1e-4)
        assert energy[-1] == pytest.approx(end.energy_per_atom, abs=1e-3)


def test_a_relaxation_of_no_steps_keeps_the_starts():
    way = way_of(metals(), steps=0)
    assert way.crystals.ids.tolist() == metals().ids.tolist()
    assert way.step.tolist() == [0] * 6


def test_a_crystal_that_cannot_be_moved_is_kept_as_it_is():
    odd = metals()[0].with_atomic_numbers(np.array([92, 29, 29, 29]))
    copper = odd.with_atomic_numbers(np.full(4, 29))
    gold = odd.with_atomic_numbers(np.full(4, 79))
    way = way_of(Crystals.concatenate([odd, gold, copper]))  # unknown, never finite, good
    assert [np.sum(way.parent == i) for i in range(2)] == [1, 1]
    assert np.sum(way.parent == 2) > 1
