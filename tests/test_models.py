"""Laws of energy models: physics that a network must respect, and training that can be trusted."""

import json
from pathlib import Path

import equinox as eqx
import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.crystals import Crystals
from gnomon.elements import MAX_Z
from gnomon.learn.checkpoint import CheckpointError
from gnomon.learn.optimize import OptimizerConfig, learning_rate
from gnomon.learn.split import formula_hash, formula_hashes
from gnomon.models import Predictions
from gnomon.models.storage import card_path
from gnomon.models.structural.ensemble import (
    EnsembleEnergyModel,
    Target,
    initial_networks,
    load_model,
    run,
)
from gnomon.models.structural.network import StructuralConfig
from gnomon.models.structural.train import Progress, TrainConfig, going_on, train
from gnomon.represent.graphs import BatchSize, build_graphs
from gnomon.run.files import sha256_of
from tests.strategies import ELEMENTS, crystals, random_crystal, random_unimodular, rewritten, rngs

ENERGY_TOLERANCE = 2e-5
"""eV/atom; float32 rounding through a few layers, on energies of about 1 eV/atom."""

RELATIVE_TOLERANCE = 5e-6
"""The same, as a share of energies that are larger: some 40 roundings."""

CONTINUITY = 1e-3
"""eV/atom for 1e-4 Å: far above any slope of these networks, far below a jump."""

SENSITIVITY = 2.0
"""Factor on random weights: a crystal's energy then depends on its geometry by some 0.1 eV/atom."""

NETWORK = StructuralConfig(width=16, passes=2)
TINY = TrainConfig(
    network=StructuralConfig(width=8, passes=1),
    optimizer=OptimizerConfig(epochs=4, batch=8, learning_rate=1e-2),
    members=2,
)


@pytest.fixture(scope="module")
def model() -> EnsembleEnergyModel:
    """Untrained: random networks break no law of physics."""
    networks = jax.tree.map(
        lambda x: SENSITIVITY * x if eqx.is_inexact_array(x) and x.ndim > 2 else x,
        initial_networks(NETWORK, 15.0, 3, seed=1),
    )
    rng = np.random.default_rng(0)
    seen = np.isin(np.arange(MAX_Z + 1), ELEMENTS)
    return EnsembleEnergyModel(networks, Target(rng.normal(size=MAX_Z + 1), seen, -1.0, 1.0))


def synthetic(n: int, seed: int = 0) -> tuple[Crystals, np.ndarray]:
    """Crystals with made-up energies that depend on elements and on density."""
    rng = np.random.default_rng(seed)
    batch = Crystals.concatenate([random_crystal(rng, max_atoms=4) for _ in range(n)])
    fractions = batch.composition / batch.n_atoms[:, None]
    energies = fractions @ np.random.default_rng(0).normal(size=MAX_Z + 1)
    return batch, energies + 20 * batch.n_atoms / batch.volumes


def assert_same(one: Predictions, other: Predictions) -> None:
    np.testing.assert_array_equal(one.reasons, other.reasons)
    np.testing.assert_allclose(
        one.members, other.members, atol=ENERGY_TOLERANCE, rtol=RELATIVE_TOLERANCE
    )


# --- split ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("NaCl", 73),
        ("Li15Si4", 2),
        ("SiO2", 95),
        ("Fe2O3", 53),
        ("CaTiO3", 3),
        ("Sr2FeMoO6", 34),
        ("LiFePO4", 6),
        ("LiFeO4P", 16),
    ],
)
def test_formula_hashes_are_those_of_the_literature(formula, expected):
    assert formula_hash(formula) == expected
    assert formula_hashes(np.array([formula], dtype=object)).tolist() == [expected]


# --- physics --------------------------------------------------------------------------------------


@given(crystals, rngs)
def test_energy_does_not_depend_on_how_the_crystal_is_written(model, crystal, rng):
    """Rotation, translation, order of atoms, images, another basis of the lattice."""
    assert_same(model.predict(crystal), model.predict(rewritten(crystal, rng)))


@given(crystals, rngs)
def test_energy_per_atom_of_a_supercell_is_that_of_its_cell(model, crystal, rng):
    matrix = random_unimodular(rng) @ np.diag([1, 2, 1])
    assert_same(model.predict(crystal), model.predict(crystal.supercell(matrix)))


@given(st.lists(crystals, min_size=2, max_size=6), rngs)
def test_energy_does_not_depend_on_the_company(model, batch, rng):
    together = model.predict(Crystals.concatenate(batch))
    for i in rng.permutation(len(batch)):
        alone = model.predict(batch[i]).members[:, 0]
        np.testing.assert_allclose(
            alone, together.members[:, i], atol=ENERGY_TOLERANCE, rtol=RELATIVE_TOLERANCE
        )


@given(st.lists(crystals, min_size=1, max_size=4), rngs)
def test_energy_does_not_depend_on_the_padding(model, batch, rng):
    graphs = build_graphs(Crystals.concatenate(batch), NETWORK.cutoff)
    rows = rng.permutation(len(graphs))
    np.testing.assert_allclose(
        run(model.networks, graphs, rows, BatchSize(3, 40, 2000)),
        run(model.networks, graphs, rows, BatchSize(9, 50, 2600)),
        atol=ENERGY_TOLERANCE,
        rtol=RELATIVE_TOLERANCE,
    )


@given(crystals)
def test_merging_equal_atoms_changes_no_energy(model, crystal):
    cell = crystal.supercell([2, 1, 1])
    rows = np.arange(1)
    apart = run(model.networks, build_graphs(cell, NETWORK.cutoff, merge=0.0), rows)
    merged = run(model.networks, build_graphs(cell, NETWORK.cutoff), rows)
    np.testing.assert_allclose(apart, merged, atol=ENERGY_TOLERANCE, rtol=RELATIVE_TOLERANCE)


def test_energy_depends_on_elements_distances_and_coordination(model):
    square = Crystals.single(3 * np.eye(3), [29, 79], [[0, 0, 0], [0.5, 0.5, 0.5]])
    others = [
        square.substitute({"Cu": "Ag"}),
        square.scale_volume(1.1),
        square.with_frac_coords(np.array([[0, 0, 0], [0.5, 0.5, 0.4]])),
    ]
    energies = model.predict(Crystals.concatenate([square, *others])).members
    change = np.abs(energies[:, 1:] - energies[:, :1]).max(axis=0)
    assert np.all(change > 100 * ENERGY_TOLERANCE), change


def test_energy_has_no_jump_where_a_neighbor_leaves(model):
    """A simple cubic crystal whose first shell crosses the cutoff, the second one in sight."""
    cells = [
        Crystals.single(np.diag([NETWORK.cutoff + x, 2.5, 2.5]), [29], [[0, 0, 0]])
        for x in np.linspace(-2e-4, 2e-4, 5)
    ]
    energies = model.predict(Crystals.concatenate(cells)).members
    assert np.abs(np.diff(energies, axis=1)).max() < CONTINUITY


# --- predictions ----------------------------------------------------------------------------------


def test_large_atoms_in_touch_beyond_the_cutoff_are_predicted(model):
    """Potassium has its nearest neighbours at 4.6 Å; copper at that distance is none."""
    potassium, copper = (
        Crystals.single(np.eye(3) * 5.31, [z, z], [[0, 0, 0], [0.5, 0.5, 0.5]]) for z in (19, 29)
    )
    target = Target(np.zeros(MAX_Z + 1), np.ones(MAX_Z + 1, bool), 0.0, 1.0)
    found = EnsembleEnergyModel(model.networks, target).predict(
        Crystals.concatenate([potassium, copper])
    )
    assert found.predicted.tolist() == [True, False]
    assert "no two atoms within" in found.reasons[1]


def test_what_cannot_be_predicted_is_a_row_with_a_reason(model):
    good = Crystals.single(3 * np.eye(3), [29], [[0, 0, 0]])
    lonely = good.scale_volume(50.0)
    unseen = good.substitute({"Cu": "Po"})
    flat = good.scale_volume(1e-6)
    found = model.predict(Crystals.concatenate([unseen, good, lonely, flat]))
    assert len(found) == 4
    assert found.predicted.tolist() == [False, True, False, False]
    assert found.reasons[0] == "not in the training data: Po"
    assert "no two atoms within" in found.reasons[2]
    assert found.reasons[3] == "less than 1 Å^3 an atom"
    assert np.isnan(found.members[:, [0, 2, 3]]).all()
    assert np.isfinite(found.members[:, 1]).all()
    assert np.isnan(found.median[[0, 2]]).all()
    assert np.isnan(found.iqr[[0, 2]]).all()


def test_no_crystals_have_no_predictions(model):
    found = model.predict(Crystals.empty())
    assert found.members.shape == (3, 0)
    assert len(found.median) == 0


def test_median_and_inter_quartile_range_are_over_members():
    members = np.array([[1.0], [2.0], [4.0], [8.0], [100.0]])
    found = Predictions(members, np.array([""], dtype=object))
    assert found.median.tolist() == [4.0]
    assert found.iqr.tolist() == [6.0]


def test_members_differ(model):
    found = model.predict(random_crystal(np.random.default_rng(0)))
    assert found.iqr[0] > ENERGY_TOLERANCE


# --- training -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("models") / "tiny.gnomon"
    train(*synthetic(60), TINY, out=out, scheme="synthetic", data_name="made up")
    return out


def test_training_beats_the_elements_alone(tmp_path):
    batch, energies = synthetic(200)
    config = TINY.model_copy(update={"optimizer": OptimizerConfig(epochs=20, batch=16)})
    card = train(batch, energies, config, out=tmp_path / "m", scheme="synthetic")
    assert card.validation is not None
    assert card.validation.mae < 0.6 * card.validation.mae_of_elements
    assert card.validation.mae_of_elements < card.validation.mae_of_mean
    predicted = load_model(tmp_path / "m").predict(batch)
    hashes = formula_hashes(batch.reduced_formulas)
    held = predicted.predicted & (hashes >= 75) & (hashes < 85)
    mae = np.abs(predicted.median - energies)[held].mean()
    assert mae == pytest.approx(card.validation.mae, abs=ENERGY_TOLERANCE)


def test_the_same_seed_gives_the_same_model(trained, tmp_path):
    train(*synthetic(60), TINY, out=tmp_path / "again", scheme="synthetic")
    batch, _ = synthetic(10, seed=1)
    one, other = load_model(trained).predict(batch), load_model(tmp_path / "again").predict(batch)
    np.testing.assert_array_equal(one.members, other.members)


def test_a_killed_training_goes_on_to_the_same_model(trained, tmp_path, monkeypatch):
    monkeypatch.setattr("gnomon.models.structural.train.SAVE_EVERY", 0.0)
    out = tmp_path / "killed"

    def kill(progress: Progress) -> None:
        if progress.epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(*synthetic(60), TINY, out=out, scheme="synthetic", progress=kill)
    assert not out.exists()
    epochs: list[int] = []
    train(
        *synthetic(60),
        TINY,
        out=out,
        scheme="synthetic",
        progress=lambda p: epochs.append(p.epoch),
    )
    assert epochs == [3, 4]
    batch, _ = synthetic(10, seed=1)
    np.testing.assert_array_equal(
        load_model(out).predict(batch).members, load_model(trained).predict(batch).members
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["killed", "killed.json"]


def test_an_unfinished_training_of_other_settings_is_not_continued(tmp_path, monkeypatch):
    monkeypatch.setattr("gnomon.models.structural.train.SAVE_EVERY", 0.0)

    def kill(progress: Progress) -> None:
        if progress.epoch == 2:
            raise KeyboardInterrupt

    out = tmp_path / "m"
    with pytest.raises(KeyboardInterrupt):
        train(*synthetic(60), TINY, out=out, scheme="synthetic", progress=kill)
    with pytest.raises(ValueError, match="unfinished training of other data or settings"):
        train(*synthetic(60), TINY.model_copy(update={"seed": 5}), out=out, scheme="synthetic")


def test_a_finished_model_is_left_as_it_is(trained):
    before = trained.read_bytes()
    card = train(*synthetic(60), TINY, out=trained, scheme="synthetic")
    assert trained.read_bytes() == before
    assert card == load_model(trained).card


@pytest.mark.parametrize(
    "change", [{"config": TINY.model_copy(update={"seed": 9})}, {"scheme": "other"}, {"rows": 59}]
)
def test_a_finished_model_of_something_else_is_not_overwritten(trained, change):
    before = trained.read_bytes()
    with pytest.raises(ValueError, match="holds a model of other data or settings"):
        train(
            *synthetic(change.get("rows", 60)),
            change.get("config", TINY),
            out=trained,
            scheme=change.get("scheme", "synthetic"),
        )
    assert trained.read_bytes() == before


def test_the_card_says_what_the_model_is(trained):
    model = load_model(trained)
    card = json.loads(card_path(trained).read_text())
    assert card == model.card.model_dump(mode="json")
    assert (card["scheme"], card["data"], card["rows"]) == ("synthetic", "made up", 60)
    assert card["train_rows"] + card["validation"]["rows"] <= 60
    assert card["config"] == TINY.model_dump(mode="json")
    assert len(card["data_sha256"]) == 64
    assert model.scheme == "synthetic"


def test_a_damaged_model_is_refused(trained, tmp_path):
    copy = tmp_path / "damaged"
    copy.write_bytes(trained.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="damaged"):
        load_model(copy)


def test_another_network_under_the_same_header_is_refused(trained, tmp_path):
    line, data = trained.read_bytes().split(b"\n", 1)
    header = json.loads(line)
    header["network"]["width"] = 9
    copy = tmp_path / "wider"
    copy.write_bytes(json.dumps(header).encode() + b"\n" + data)
    with pytest.raises(CheckpointError, match="the first that differs"):
        load_model(copy)


def test_rows_that_do_not_match_are_refused(tmp_path):
    batch, energies = synthetic(20)
    with pytest.raises(ValueError, match="20 crystals but energies of shape"):
        train(batch, energies[:-1], TINY, out=tmp_path / "m", scheme="synthetic")
    energies[3] = np.nan
    with pytest.raises(ValueError, match="row 3 is not finite"):
        train(batch, energies, TINY, out=tmp_path / "m", scheme="synthetic")


def test_too_few_rows_are_refused(tmp_path):
    with pytest.raises(ValueError, match="at least 8 must train"):
        train(*synthetic(6), TINY, out=tmp_path / "m", scheme="synthetic")


def test_an_impossible_split_is_refused():
    with pytest.raises(ValueError, match="validate_below"):
        TrainConfig(train_below=85, validate_below=80)


@pytest.mark.parametrize("decay", ["cosine", "linear"])
def test_the_learning_rate_rises_and_falls_to_zero(decay):
    config = OptimizerConfig(decay=decay, warm_up=0.1, learning_rate=1.0)
    rates = [learning_rate(f, config) for f in np.linspace(0, 1, 101)]
    assert rates[0] == 0
    assert rates[-1] == pytest.approx(0, abs=1e-12)
    assert np.all(np.diff(rates[:10]) > 0)
    assert np.all(np.diff(rates[10:]) < 0)
    assert 0.9 <= max(rates) <= 1


# --- going on from another ensemble ---------------------------------------------------------------


def test_a_training_goes_on_from_a_trained_ensemble(trained, tmp_path):
    """No steps leave it what it was; steps on new rows change it, its element energies stay."""
    path, (batch, energies) = trained, synthetic(60)
    start = load_model(path)
    still = OptimizerConfig(epochs=1, batch=8, learning_rate=1e-12)
    config = going_on(start, sha256_of(path), optimizer=still)
    train(batch, energies, config, out=tmp_path / "same.gnomon", scheme="made up", start=start)
    same = load_model(tmp_path / "same.gnomon")
    assert_same(same.predict(batch), start.predict(batch))
    more, truth = synthetic(120, seed=7)
    config = going_on(start, sha256_of(path))
    card = train(more, truth, config, out=tmp_path / "on.gnomon", scheme="made up", start=start)
    on = load_model(tmp_path / "on.gnomon")
    assert card.config["started_from"] == sha256_of(path)
    np.testing.assert_array_equal(on.target.element_energies, start.target.element_energies)

    def error(model: EnsembleEnergyModel) -> float:
        return float(np.nanmean(np.abs(model.predict(more).median - truth)))

    assert error(on) < error(start)


def test_fresh_members_join_those_that_go_on(trained, tmp_path):
    """Those that go on come first and keep their weights over no step; the others are new."""
    batch, energies = synthetic(60)
    start = load_model(trained)
    still = OptimizerConfig(epochs=1, batch=8, learning_rate=1e-12)
    config = going_on(start, sha256_of(trained), fresh=2, optimizer=still)
    card = train(batch, energies, config, out=tmp_path / "m", scheme="made up", start=start)
    old, both = start.predict(batch).members, load_model(tmp_path / "m").predict(batch).members
    assert card.members == len(both) == len(old) + 2
    np.testing.assert_allclose(both[: len(old)], old, rtol=0, atol=1e-5)
    assert np.abs(both[-1] - both[-2]).mean() > 1e-3


def test_members_take_weight_decays_in_turn(tmp_path):
    """A decay that swamps every gradient leaves nothing of the matrices of the members it holds."""
    batch, energies = synthetic(60)
    for decay in ((0.0, 10.0), (0.0,), (10.0,)):
        settings = OptimizerConfig(epochs=30, batch=8, learning_rate=5e-2, weight_decay=decay)
        config = TINY.model_copy(update={"members": 2, "optimizer": settings})
        train(batch, energies, config, out=tmp_path / f"{decay}", scheme="made up")
    mixed, free, held = (
        load_model(tmp_path / f"{decay}").networks.elements
        for decay in ((0.0, 10.0), (0.0,), (10.0,))
    )
    np.testing.assert_allclose(mixed[0], free[0], rtol=0, atol=1e-5)
    np.testing.assert_allclose(mixed[1], held[1], rtol=0, atol=1e-5)
    assert np.abs(np.asarray(held)).mean() < 0.1 * np.abs(np.asarray(free)).mean()


def test_settings_must_name_what_the_training_goes_on_from(trained, tmp_path):
    batch, energies = synthetic(60)
    start = load_model(trained)
    for config, model in ((TINY, start), (going_on(start, "0" * 64), None)):
        with pytest.raises(ValueError, match="going_on"):
            train(batch, energies, config, out=tmp_path / "m", scheme="made up", start=model)
    other = going_on(start, "0" * 64).model_copy(update={"members": 5})
    with pytest.raises(ValueError, match="5 networks"):
        train(batch, energies, other, out=tmp_path / "m", scheme="made up", start=start)


def test_small_trains_on_every_row_and_takes_no_longer_for_more():
    config, larger = TrainConfig.small(rows=200, seed=3), TrainConfig.small(rows=800)
    assert (config.train_below, config.seed) == (100, 3)
    assert config.members >= 2
    assert larger.optimizer.epochs * 800 == pytest.approx(config.optimizer.epochs * 200, rel=0.1)
