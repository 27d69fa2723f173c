"""Laws of test-time augmentation: exact scalings, the minimum that is meant, no company kept."""

from dataclasses import dataclass

import equinox as eqx
import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.crystals import Crystals
from gnomon.elements import MAX_Z
from gnomon.models import Predictions
from gnomon.models.structural import augment
from gnomon.models.structural.augment import AugmentConfig, ScalableModel, predict_augmented
from gnomon.models.structural.model import StructuralModel, initial_networks
from gnomon.models.structural.network import StructuralConfig
from gnomon.models.target import Target
from tests.strategies import ELEMENTS, crystals, random_crystal, rewritten, rngs

ENERGY_TOLERANCE = 2e-5
"""eV/atom; float32 rounding through a few layers, on energies of about 1 eV/atom."""

RELATIVE_TOLERANCE = 5e-6
"""The same, as a share of energies that are larger: some 40 roundings."""

ROUNDING = 1e-12
"""Relative; a few operations in float64."""

SENSITIVITY = 2.0
"""Factor on random weights: a crystal's energy then depends on its geometry by some 0.1 eV/atom."""

FEW = AugmentConfig(scalings=3)


@pytest.fixture(scope="module")
def model() -> StructuralModel:
    """Untrained: scalings are geometry, whatever the weights."""
    networks = jax.tree.map(
        lambda x: SENSITIVITY * x if eqx.is_inexact_array(x) and x.ndim > 2 else x,
        initial_networks(StructuralConfig(width=8, passes=1), 15.0, 3, seed=1),
    )
    seen = np.isin(np.arange(MAX_Z + 1), ELEMENTS)
    return StructuralModel(networks, Target(np.zeros(MAX_Z + 1), seen, -1.0, 1.0))


@dataclass
class Parabolas:
    """Member m has its minimum of depth d_m at v_m Å^3 an atom: E = d_m + (v - v_m)^2."""

    depths: tuple[float, ...]
    volumes: tuple[float, ...]

    def predict_scaled(self, crystals, lengths):
        v = crystals.volumes / crystals.n_atoms
        reasons = np.full(len(crystals), "", dtype=object)
        return [
            Predictions(
                np.stack(
                    [
                        d + (v * s**3 - m) ** 2
                        for d, m in zip(self.depths, self.volumes, strict=True)
                    ]
                ),
                reasons.copy(),
            )
            for s in lengths.tolist()
        ]


def cube(volume: float) -> Crystals:
    return Crystals.single(np.cbrt(volume) * np.eye(3), [29], [[0, 0, 0]])


# --- scalings -------------------------------------------------------------------------------------


def test_the_default_is_that_of_the_paper():
    config = AugmentConfig()
    assert len(config.factors) == 20
    assert (config.factors[0], config.factors[-1]) == (0.8, 1.2)
    np.testing.assert_allclose(np.diff(config.factors), 0.4 / 19, rtol=ROUNDING)


@given(crystals)
def test_factors_multiply_exactly_what_they_are_said_to(crystal):
    for of, power in (("volume", 1), ("length", 3)):
        config = AugmentConfig(of=of)
        for factor, length in zip(config.factors, config.lengths, strict=True):
            scaled = crystal.with_lattice(crystal.lattice * length)
            np.testing.assert_allclose(
                scaled.volumes, crystal.volumes * factor**power, rtol=ROUNDING
            )


@given(crystals, st.floats(0.8, 1.25))
def test_energies_at_a_scaling_are_those_of_the_scaled_crystal(model, crystal, length):
    """The graph is shared between scalings; nothing of that may show."""
    lengths = np.array([0.8, length, 1.25])
    found = model.predict_scaled(crystal, lengths)
    for factor, there in zip(lengths, found, strict=True):
        alone = model.predict(crystal.with_lattice(crystal.lattice * factor))
        np.testing.assert_array_equal(there.reasons, alone.reasons)
        np.testing.assert_allclose(
            there.members, alone.members, atol=ENERGY_TOLERANCE, rtol=RELATIVE_TOLERANCE
        )


def test_a_scaling_must_be_positive(model):
    for lengths in (np.zeros(1), np.array([1.0, -1.0]), np.zeros(0)):
        with pytest.raises(ValueError, match="positive factors"):
            model.predict_scaled(cube(12.0), lengths)
    with pytest.raises(ValueError, match="less than low"):
        AugmentConfig(low=1.2, high=0.8)


# --- minimum and median ---------------------------------------------------------------------------


def test_the_ensemble_can_be_augmented(model):
    assert isinstance(model, ScalableModel)


def test_the_minimum_lies_at_the_right_volume():
    config = AugmentConfig(scalings=41)
    found = predict_augmented(Parabolas((-1.0,), (11.0,)), cube(10.0), config)
    np.testing.assert_allclose(found.volume_factors, [1.1], rtol=ROUNDING)
    np.testing.assert_allclose(found.predictions.median, [-1.0], atol=ROUNDING)


def test_the_order_of_minimum_and_median_is_as_asked():
    """Three members with minima at three volumes: each its own, or all at one."""
    members = Parabolas((0.0, 0.0, 0.0), (9.0, 10.0, 11.0))
    config = AugmentConfig(scalings=5, low=0.8, high=1.2)
    own = predict_augmented(members, cube(10.0), config).predictions
    np.testing.assert_allclose(own.members[:, 0], [0, 0, 0], atol=ROUNDING)
    one = config.model_copy(update={"order": "median, minimum"})
    shared = predict_augmented(members, cube(10.0), one)
    np.testing.assert_allclose(shared.predictions.members[:, 0], [1, 0, 1], atol=ROUNDING)
    assert shared.volume_factors.tolist() == [1.0]
    assert shared.predictions.iqr[0] > own.iqr[0]


@given(st.lists(crystals, min_size=1, max_size=3), st.sampled_from(["volume", "length"]))
def test_the_minimum_is_at_most_any_energy_at_a_scaling(model, batch, of):
    together = Crystals.concatenate(batch)
    config = FEW.model_copy(update={"of": of})
    scaled = np.stack([p.members for p in model.predict_scaled(together, config.lengths)])
    first = predict_augmented(model, together, config).predictions
    np.testing.assert_array_equal(first.members, np.nanmin(scaled, axis=0))
    last = config.model_copy(update={"order": "median, minimum"})
    second = predict_augmented(model, together, last).predictions
    np.testing.assert_array_equal(second.median, np.median(scaled, axis=1).min(axis=0))
    assert np.all(first.median <= second.median)


def test_one_scaling_of_one_changes_nothing(model):
    crystal = random_crystal(np.random.default_rng(0))
    config = AugmentConfig(scalings=1, low=1.0, high=1.0)
    found = predict_augmented(model, crystal, config)
    np.testing.assert_array_equal(found.predictions.members, model.predict(crystal).members)
    assert found.volume_factors.tolist() == [1.0]


# --- company, order, cell -------------------------------------------------------------------------


@given(st.lists(crystals, min_size=2, max_size=5), rngs)
def test_augmented_energies_do_not_depend_on_company_or_order(model, batch, rng):
    together = predict_augmented(model, Crystals.concatenate(batch), FEW).predictions.members
    for i in rng.permutation(len(batch)):
        alone = predict_augmented(model, batch[i], FEW).predictions.members[:, 0]
        np.testing.assert_allclose(
            alone, together[:, i], atol=ENERGY_TOLERANCE, rtol=RELATIVE_TOLERANCE
        )


@given(crystals, rngs)
def test_augmented_energies_do_not_depend_on_the_cell(model, crystal, rng):
    one = predict_augmented(model, crystal, FEW).predictions
    other = predict_augmented(model, rewritten(crystal, rng), FEW).predictions
    np.testing.assert_allclose(
        one.members, other.members, atol=ENERGY_TOLERANCE, rtol=RELATIVE_TOLERANCE
    )


def test_chunks_do_not_show(model, monkeypatch):
    rng = np.random.default_rng(3)
    batch = Crystals.concatenate([random_crystal(rng) for _ in range(7)])
    whole = predict_augmented(model, batch, FEW)
    monkeypatch.setattr(augment, "CHUNK", 2)
    parts = predict_augmented(model, batch, FEW)
    np.testing.assert_allclose(
        whole.predictions.members,
        parts.predictions.members,
        atol=ENERGY_TOLERANCE,
        rtol=RELATIVE_TOLERANCE,
    )
    np.testing.assert_array_equal(whole.volume_factors, parts.volume_factors)


# --- crystals without a prediction ----------------------------------------------------------------


def test_a_scaling_without_a_prediction_does_not_count(model):
    """Atoms 4.1 Å apart are joined only when the cell shrinks."""
    far = cube(4.1**3)
    assert not model.predict(far).predicted[0]
    found = predict_augmented(model, far, FEW)
    assert found.predictions.predicted[0]
    assert found.volume_factors[0] == pytest.approx(0.8)
    assert np.isfinite(found.predictions.members).all()


def test_reasons_are_those_of_the_size_nearest_to_the_crystals_own(model):
    batch = Crystals.concatenate(
        [cube(12.0), cube(8.0**3), cube(12.0).substitute({"Cu": "U"}), cube(0.5)]
    )
    found = predict_augmented(model, batch, FEW)
    assert found.predictions.reasons.tolist() == [
        "",
        "no two atoms within 4 Å",
        "not in the training data: U",
        "less than 1 Å^3 an atom",
    ]
    assert np.isnan(found.predictions.members[:, 1:]).all()
    assert np.isnan(found.volume_factors).tolist() == [False, True, True, True]


def test_no_crystals(model):
    found = predict_augmented(model, Crystals.empty(), FEW)
    assert found.predictions.members.shape == (3, 0)
    assert found.volume_factors.shape == (0,)
