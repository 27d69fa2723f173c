"""Laws of energy models: physics that a network must respect, and training that can be trusted."""

from pathlib import Path

import equinox as eqx
import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.crystals import Crystals
from gnomon.elements import MAX_Z
from gnomon.learn.model_file import ModelFileError, read_model_file, write_model_file
from gnomon.learn.optimize import OptimizerConfig, learning_rate
from gnomon.learn.split import formula_hash, formula_hashes
from gnomon.models import Predictions
from gnomon.models.card import Labelled
from gnomon.models.ensemble import load_model, train_into
from gnomon.models.structural.model import StructuralModel, initial_networks, run
from gnomon.models.structural.network import StructuralConfig
from gnomon.models.structural.train import TrainConfig, going_on, train
from gnomon.models.target import Target
from gnomon.represent.graphs import BatchSize, build_graphs
from gnomon.run.files import sha256_of
from gnomon.run.listener import Listener
from gnomon.testing import check_model
from tests.strategies import ELEMENTS, crystals, random_crystal, rngs, seeds

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
def model() -> StructuralModel:
    """Untrained: random networks break no law of physics."""
    networks = jax.tree.map(
        lambda x: SENSITIVITY * x if eqx.is_inexact_array(x) and x.ndim > 2 else x,
        initial_networks(NETWORK, 15.0, 3, seed=1),
    )
    rng = np.random.default_rng(0)
    seen = np.isin(np.arange(MAX_Z + 1), ELEMENTS)
    return StructuralModel(networks, Target(rng.normal(size=MAX_Z + 1), seen, -1.0, 1.0))


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


@given(st.lists(crystals, min_size=2, max_size=4), seeds)
def test_networks_keep_the_laws_of_models(model, batch, seed):
    check_model(model, Crystals.concatenate(batch), seed=seed)


@given(st.lists(crystals, min_size=1, max_size=4), rngs)
def test_energy_does_not_depend_on_the_padding(model, batch, rng):
    graphs = build_graphs(Crystals.concatenate(batch), NETWORK.cutoff)
    rows = rng.permutation(len(graphs))
    np.testing.assert_allclose(
        run(model.networks, graphs, rows, BatchSize(3, 40, 2000))[0],
        run(model.networks, graphs, rows, BatchSize(9, 50, 2600))[0],
        atol=ENERGY_TOLERANCE,
        rtol=RELATIVE_TOLERANCE,
    )


@given(crystals)
def test_merging_equal_atoms_changes_no_energy(model, crystal):
    cell = crystal.supercell([2, 1, 1])
    rows = np.arange(1)
    apart = run(model.networks, build_graphs(cell, NETWORK.cutoff, merge=0.0), rows)[0]
    merged = run(model.networks, build_graphs(cell, NETWORK.cutoff), rows)[0]
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
    found = StructuralModel(model.networks, target).predict(
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


def made_up(rows: int, seed: int = 0, scheme: str = "synthetic") -> Labelled:
    return Labelled(*synthetic(rows, seed=seed), "made up", scheme)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("models") / "tiny.gnomon"
    train_into(out, train, made_up(60), TINY)
    return out


def test_training_beats_the_elements_alone():
    data = made_up(200)
    config = TINY.model_copy(update={"optimizer": OptimizerConfig(epochs=20, batch=16)})
    model = train(data, config)
    errors = model.card.validation
    assert errors.mae < 0.6 * errors.mae_of_elements
    assert errors.mae_of_elements < errors.mae_of_mean
    predicted = model.predict(data.crystals)
    hashes = formula_hashes(data.reduced_formulas)
    held = predicted.predicted & (hashes >= 75) & (hashes < 85)
    mae = np.abs(predicted.median - data.values)[held].mean()
    assert mae == pytest.approx(errors.mae, abs=ENERGY_TOLERANCE)


def test_the_same_seed_gives_the_same_model(trained):
    batch, _ = synthetic(10, seed=1)
    one, other = load_model(trained).predict(batch), train(made_up(60), TINY).predict(batch)
    np.testing.assert_array_equal(one.members, other.members)


def killed_at(permille: int) -> Listener:
    """Ends the process that tells it of so much progress."""

    def tick(_: str, done: int, __: int) -> None:
        if done >= permille:
            raise KeyboardInterrupt

    return Listener(lambda _: None, tick)


@pytest.mark.parametrize("permille", [300, 500, 1000])
def test_a_killed_training_goes_on_to_the_same_model(trained, tmp_path, monkeypatch, permille):
    """Within an epoch, at the end of one, and of the last."""
    monkeypatch.setattr("gnomon.learn.fit.SAVE_EVERY", 0.0)
    out = tmp_path / "killed"
    with pytest.raises(KeyboardInterrupt):
        train_into(out, train, made_up(60), TINY, killed_at(permille))
    assert not out.exists()
    ticks: list[int] = []
    listener = Listener(lambda _: None, lambda _, done, __: ticks.append(done))
    train_into(out, train, made_up(60), TINY, listener)
    assert permille <= ticks[0] < permille + 100
    batch, _ = synthetic(10, seed=1)
    np.testing.assert_array_equal(
        load_model(out).predict(batch).members, load_model(trained).predict(batch).members
    )
    assert [p.name for p in tmp_path.iterdir()] == ["killed"]


def test_an_unfinished_training_of_other_settings_is_not_continued(tmp_path, monkeypatch):
    monkeypatch.setattr("gnomon.learn.fit.SAVE_EVERY", 0.0)
    out = tmp_path / "m"
    with pytest.raises(KeyboardInterrupt):
        train_into(out, train, made_up(60), TINY, killed_at(500))
    with pytest.raises(ValueError, match="unfinished training of other data or settings"):
        train_into(out, train, made_up(60), TINY.model_copy(update={"seed": 5}))


def test_a_finished_model_is_left_as_it_is(trained):
    before = trained.read_bytes()
    model = train_into(trained, train, made_up(60), TINY)
    assert trained.read_bytes() == before
    assert model.card == load_model(trained).card


@pytest.mark.parametrize(
    "change", [{"config": TINY.model_copy(update={"seed": 9})}, {"scheme": "other"}, {"rows": 59}]
)
def test_a_finished_model_of_something_else_is_not_overwritten(trained, change):
    before = trained.read_bytes()
    data = made_up(change.get("rows", 60), scheme=change.get("scheme", "synthetic"))
    with pytest.raises(ValueError, match="holds a model of other data or settings"):
        train_into(trained, train, data, change.get("config", TINY))
    assert trained.read_bytes() == before


def test_the_card_says_what_the_model_is(trained):
    card = load_model(trained).card
    assert (card.kind, card.scheme, card.data, card.rows) == (
        "structural",
        "synthetic",
        "made up",
        60,
    )
    assert card.train_rows + card.validation.rows <= 60
    assert card.config == TINY.model_dump(mode="json")
    assert len(card.data_sha256) == 64
    assert {"versions", "commit", "date", "machine"} == set(card.stamp)
    assert load_model(trained).scheme == "synthetic"


def test_a_damaged_model_is_refused(trained, tmp_path):
    copy = tmp_path / "damaged"
    copy.write_bytes(trained.read_bytes()[:-100])
    with pytest.raises(ModelFileError, match="damaged"):
        load_model(copy)


def test_another_network_under_the_same_header_is_refused(trained, tmp_path):
    """One that was altered, and one that is whole and does not fit."""
    copy = tmp_path / "wider"
    data = trained.read_bytes()
    assert data.count(b'\\"width\\": 8') > 0
    copy.write_bytes(data.replace(b'\\"width\\": 8', b'\\"width\\": 9'))
    with pytest.raises(ModelFileError, match="damaged"):
        load_model(copy)
    file = read_model_file(trained)
    network = file.about["network"] | {"width": 9}
    write_model_file(copy, file.about | {"network": network}, file.arrays)
    with pytest.raises(ModelFileError, match="the first that differs"):
        load_model(copy)


def test_rows_that_do_not_match_are_refused():
    batch, energies = synthetic(20)
    with pytest.raises(ValueError, match="20 rows but values of shape"):
        Labelled(batch, energies[:-1])
    energies[3] = np.nan
    with pytest.raises(ValueError, match="row 3 is not finite"):
        Labelled(batch, energies)


def test_too_few_rows_are_refused():
    with pytest.raises(ValueError, match="at least 8 must train"):
        train(made_up(6), TINY)


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


def test_a_training_goes_on_from_a_trained_ensemble(trained):
    """No steps leave it what it was; steps on new rows change it, its element energies stay."""
    data, start = made_up(60), load_model(trained)
    still = OptimizerConfig(epochs=1, batch=8, learning_rate=1e-12)
    config = going_on(start, sha256_of(trained), optimizer=still)
    same = train(data, config, start=start)
    assert_same(same.predict(data.crystals), start.predict(data.crystals))
    more = made_up(120, seed=7)
    on = train(more, going_on(start, sha256_of(trained)), start=start)
    assert on.card.config["started_from"] == sha256_of(trained)
    np.testing.assert_array_equal(on.target.element_energies, start.target.element_energies)

    def error(model: StructuralModel) -> float:
        return float(np.nanmean(np.abs(model.predict(more.crystals).median - more.values)))

    assert error(on) < error(start)


def test_fresh_members_join_those_that_go_on(trained):
    """Those that go on come first and keep their weights over no step; the others are new."""
    data, start = made_up(60), load_model(trained)
    still = OptimizerConfig(epochs=1, batch=8, learning_rate=1e-12)
    config = going_on(start, sha256_of(trained), fresh=2, optimizer=still)
    model = train(data, config, start=start)
    old, both = start.predict(data.crystals).members, model.predict(data.crystals).members
    assert model.card.members == len(both) == len(old) + 2
    np.testing.assert_allclose(both[: len(old)], old, rtol=0, atol=1e-5)
    assert np.abs(both[-1] - both[-2]).mean() > 1e-3


def test_members_take_weight_decays_in_turn():
    """A decay that swamps every gradient leaves nothing of the matrices of the members it holds."""

    def elements(*decay: float) -> np.ndarray:
        settings = OptimizerConfig(epochs=12, batch=8, learning_rate=5e-2, weight_decay=decay)
        config = TINY.model_copy(update={"members": 2, "optimizer": settings})
        return np.asarray(train(made_up(60), config).networks.elements)

    mixed, free, held = elements(0.0, 10.0), elements(0.0), elements(10.0)
    np.testing.assert_allclose(mixed[0], free[0], rtol=0, atol=1e-5)
    np.testing.assert_allclose(mixed[1], held[1], rtol=0, atol=1e-5)
    assert np.abs(held).mean() < 0.1 * np.abs(free).mean()


def test_settings_must_name_what_the_training_goes_on_from(trained):
    data, start = made_up(60), load_model(trained)
    for config, model in ((TINY, start), (going_on(start, "0" * 64), None)):
        with pytest.raises(ValueError, match="going_on"):
            train(data, config, start=model)
    other = going_on(start, "0" * 64).model_copy(update={"members": 5})
    with pytest.raises(ValueError, match="5 networks"):
        train(data, other, start=start)


def test_small_trains_on_every_row_and_takes_no_longer_for_more():
    config, larger = TrainConfig.small(rows=200, seed=3), TrainConfig.small(rows=800)
    assert (config.train_below, config.seed) == (100, 3)
    assert config.members >= 2
    assert larger.optimizer.epochs * 800 == pytest.approx(config.optimizer.epochs * 200, rel=0.1)
