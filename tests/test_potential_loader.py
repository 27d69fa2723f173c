"""What a training of potentials sees: epochs, batches of one shape, some frames more often."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnomon.crystals import Crystals
from gnomon.io.frames import Frames
from gnomon.potential.batch import ROW, Shape, pack
from gnomon.potential.loader import (
    MAX_REPEATS,
    assemble,
    batch_shape,
    epoch_order,
    fill,
    is_element,
    prepare,
    stream,
)
from gnomon.structure.neighbors import neighbors
from tests.tiny_potentials import labelled_at_random

CUTOFF = 3.6
seeds = st.integers(0, 2**32 - 1)


@settings(max_examples=15)
@given(seed=seeds, batch=st.integers(1, 6), share=st.sampled_from([0.0, 0.3, 0.5]))
def test_an_epoch_sees_every_visit_once_in_batches_of_one_shape(seed, batch, share):
    rng = np.random.default_rng(seed)
    samples = prepare(labelled_at_random(rng, 12), CUTOFF)
    order = epoch_order([(samples.frames.first, share)], rng)
    shape = batch_shape(samples, batch)
    plan = fill(order, samples, shape)
    assert sorted(np.concatenate(plan)) == sorted(order)
    for chosen in plan:
        needed = Shape(
            int(samples.frames.crystals.n_atoms[chosen].sum()),
            int(samples.n_rows[chosen].sum()),
            len(chosen),
        )
        assert shape.covers(needed)


@settings(max_examples=15)
@given(seed=seeds)
def test_batches_are_what_pack_makes_of_the_same_crystals(seed):
    rng = np.random.default_rng(seed)
    samples = prepare(labelled_at_random(rng, 9), CUTOFF)
    chosen = rng.permutation(9)[:5]
    shape = Shape(64, 64 * (1 + 200 // ROW), 8)
    batch, targets = assemble(samples, chosen, shape)
    part = samples.frames.take(chosen)
    expected = pack(part.crystals, neighbors(part.crystals, CUTOFF), shape=shape)
    for name in ("atomic_numbers", "crystal", "senders", "shifts", "mask", "receivers"):
        assert np.array_equal(getattr(batch, name), getattr(expected, name)), name
    assert np.allclose(batch.positions, expected.positions, atol=1e-5)
    assert np.allclose(batch.lattice, expected.lattice)
    n = int(part.crystals.offsets[-1])
    assert np.allclose(targets.energy[:5], part.energy)
    assert np.allclose(targets.forces[:n], part.forces)
    assert np.allclose(targets.stress[:5], part.stress)
    assert np.isnan(targets.energy[5:]).all()
    assert np.isnan(targets.forces[n:]).all()
    assert targets.n_atoms.tolist() == [*part.crystals.n_atoms.tolist(), 1, 1, 1]


@settings(max_examples=40)
@given(
    seed=seeds,
    n=st.integers(1, 200),
    of_first=st.floats(0, 1),
    share=st.floats(0, 0.9),
)
def test_first_frames_make_up_their_share_of_every_part_of_an_epoch(seed, n, of_first, share):
    rng = np.random.default_rng(seed)
    first = rng.random(n) < of_first
    order = epoch_order([(first, share)], rng)
    visits = np.bincount(order, minlength=n)
    assert (visits >= 1).all()
    assert (visits[~first] == 1).all()
    assert visits.max() <= 1 + MAX_REPEATS
    extra = len(order) - n
    if extra < MAX_REPEATS * int(first.sum()):
        assert extra == round(share / (1 - share) * n)


def test_half_of_each_batch_is_drawn_from_first_frames():
    first = np.arange(1000) % 2 == 0  # enough of them: half of all
    order = epoch_order([(first, 0.5)], np.random.default_rng(0))
    by_part = first[order].reshape(20, -1).mean(axis=1)
    # half drawn from first frames, and half of the other half are first frames by chance
    assert abs(by_part.mean() - 0.75) < 0.001
    assert (np.abs(by_part - 0.75) < 0.15).all()


def test_elements_come_up_as_often_as_asked_beside_first_frames():
    n = 1000
    first, element = np.arange(n) % 2 == 0, np.arange(n) < 200
    order = epoch_order([(first, 0.4), (element, 0.2)], np.random.default_rng(0))
    assert len(order) == 2500  # of which two fifths are of all kinds
    visits = np.bincount(order, minlength=n)
    assert visits.min() == 1
    assert visits[element].sum() == pytest.approx(200 + 500 + 100 * 2, abs=30)
    order = epoch_order([(np.arange(n) < 10, 0.5)], np.random.default_rng(0))
    assert np.bincount(order).max() == 1 + MAX_REPEATS
    with pytest.raises(ValueError, match="less than 1"):
        epoch_order([(first, 0.5), (element, 0.5)], np.random.default_rng(0))


def test_frames_of_one_element_are_told_apart():
    salt, metal = ([11, 17], [[0] * 3, [0.5] * 3]), ([11], [[0] * 3])
    molecule = ([8, 8], [[0] * 3, [0.3] * 3])
    cells = [Crystals.single(4 * np.eye(3), *atoms) for atoms in (salt, metal, molecule)]
    frames = Frames.of(Crystals.concatenate(cells), np.zeros(3), scheme="none")
    assert is_element(frames).tolist() == [False, True, True]


def test_what_goes_wrong_in_the_thread_is_raised():
    samples = prepare(labelled_at_random(np.random.default_rng(0), 3), CUTOFF)
    with pytest.raises(ValueError, match="does not hold"):
        list(stream(samples, [np.arange(3)], Shape(2, 2, 1)))
