"""Laws of the composition ensemble: what a formula means, and training that can be trusted."""

import json
from dataclasses import replace
from pathlib import Path

import ase.build
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.cli import main
from gnomon.elements import MAX_Z, SYMBOLS
from gnomon.io import as_crystals
from gnomon.learn.model_file import ModelFileError, read_model_file, write_model_file
from gnomon.learn.optimize import OptimizerConfig
from gnomon.learn.split import formula_hash
from gnomon.models.card import LabelledFormulas
from gnomon.models.composition.model import CompositionModel, apply, initial_networks
from gnomon.models.composition.network import (
    Attention,
    Composition,
    CompositionConfig,
    Pass,
    laplace_loss,
)
from gnomon.models.composition.tables import energies_of_table, formulas_of_table
from gnomon.models.composition.train import (
    CompositionTrainConfig,
    lowest_energies,
    train_composition,
)
from gnomon.models.ensemble import load_model, train_into
from gnomon.models.structural.model import StructuralModel
from gnomon.models.target import Target
from gnomon.properties.learned import of_model
from gnomon.properties.registry import PropertySettings
from gnomon.represent.formulas import WIDTHS, batches, read_formulas
from tests.strategies import ELEMENTS
from tests.test_models import killed_at

ENERGY_TOLERANCE = 2e-5
"""eV/atom; float32 rounding through a few layers, on energies of about 1 eV/atom."""

NETWORK = CompositionConfig(width=8, passes=2, heads=2, hidden=4, readout=(8,))
SALT = as_crystals(ase.build.bulk("NaCl", "rocksalt", a=5.64))
TINY = CompositionTrainConfig(
    network=NETWORK,
    optimizer=OptimizerConfig(epochs=4, batch=32, learning_rate=1e-2),
    members=2,
)

amounts = st.dictionaries(
    st.sampled_from([SYMBOLS[z] for z in ELEMENTS]), st.integers(1, 20), min_size=1, max_size=7
)
"""Elements and their counts in a formula."""


def written(counts: dict[str, int], factor: int = 1) -> str:
    return "".join(f"{symbol}{factor * n}" for symbol, n in counts.items())


@pytest.fixture(scope="module")
def model() -> CompositionModel:
    """Untrained: random networks break no law."""
    rng = np.random.default_rng(0)
    seen = np.isin(np.arange(MAX_Z + 1), ELEMENTS)
    networks = initial_networks(NETWORK, 3, seed=1)
    return CompositionModel(networks, Target(rng.normal(size=MAX_Z + 1), seen, -1.0, 1.0))


def made_up(n: int, seed: int = 0) -> LabelledFormulas:
    """Formulas with energies of their elements and of the pairs among them."""
    rng = np.random.default_rng(seed)
    texts = []
    for _ in range(n):
        chosen = rng.choice(ELEMENTS, rng.integers(1, 5), replace=False)
        texts.append("".join(f"{SYMBOLS[z]}{rng.integers(1, 9)}" for z in chosen))
    fractions = read_formulas(texts)[0].by_element
    made = np.random.default_rng(0)
    charge = made.normal(size=MAX_Z + 1)
    energies = fractions @ made.normal(size=MAX_Z + 1)
    mean = fractions @ charge
    return lowest_energies(
        texts, energies - 2 * (fractions @ charge**2 - mean**2), "made up", "synthetic"
    )


# --- formulas -------------------------------------------------------------------------------------


@given(amounts, st.integers(2, 12), st.randoms(use_true_random=False))
def test_a_formula_is_the_same_however_it_is_written(counts, factor, random):
    shuffled = list(counts.items())
    random.shuffle(shuffled)
    texts = [written(counts), written(dict(shuffled), factor)]
    found, reasons = read_formulas(texts)
    assert reasons.tolist() == ["", ""]
    np.testing.assert_array_equal(found.atomic_numbers[0], found.atomic_numbers[1])
    np.testing.assert_array_equal(found.fractions[0], found.fractions[1])
    assert found.fractions.sum(axis=1) == pytest.approx(1)


def test_formulas_with_brackets_and_parts_of_atoms_are_read():
    found, reasons = read_formulas(["Ca(OH)2", "CaO2H2", "Li0.5CoO2", "LiCo2O4", "Li0.25Co0.5O"])
    assert reasons.tolist() == [""] * 5
    assert found.reduced_formulas.tolist() == ["Ca(HO)2"] * 2 + ["Li(CoO2)2"] * 3
    assert found.take(np.array([3])).counts.tolist() == [[1, 4, 2]]


@pytest.mark.parametrize("text", ["", "Xx2", "1.5", "Fe2O3 and more", "Li0.0000001O"])
def test_a_text_that_is_no_formula_is_a_row_with_a_reason(text):
    found, reasons = read_formulas(["NaCl", text])
    assert reasons[0] == ""
    assert repr(text) in reasons[1]
    assert found.n_elements.tolist() == [2, 0]


@given(st.lists(amounts, min_size=1, max_size=20), st.integers(1, 7))
def test_batches_hold_every_formula_once_in_the_width_that_fits(counts, size):
    formulas, _ = read_formulas([written(c) for c in counts])
    taken = []
    for rows, batch in batches(formulas, np.arange(len(formulas)), size):
        width = batch.fractions.shape[1]
        assert batch.fractions.shape == (size, width)
        assert width == min(w for w in WIDTHS if w >= formulas.n_elements[rows].max())
        np.testing.assert_allclose(batch.fractions[: len(rows)].sum(axis=1), 1, atol=1e-6)
        assert not batch.fractions[len(rows) :].any()
        taken += rows.tolist()
    assert sorted(taken) == list(range(len(formulas)))


# --- the network ----------------------------------------------------------------------------------


@given(amounts, st.integers(2, 6), st.randoms(use_true_random=False))
def test_energy_does_not_depend_on_how_the_formula_is_written(model, counts, factor, random):
    shuffled = list(counts.items())
    random.shuffle(shuffled)
    found = model.predict_texts([written(counts), written(dict(shuffled), factor)])
    np.testing.assert_array_equal(found.members[:, 0], found.members[:, 1])
    np.testing.assert_array_equal(found.combined[0], found.combined[1])


@given(st.lists(amounts, min_size=2, max_size=6))
def test_energy_does_not_depend_on_the_company(model, counts):
    texts = [written(c) for c in counts]
    together = model.predict_texts(texts)
    reverse = model.predict_texts(texts[::-1])
    np.testing.assert_allclose(together.members, reverse.members[:, ::-1], atol=ENERGY_TOLERANCE)
    alone = model.predict_texts(texts[:1])
    np.testing.assert_allclose(together.members[:, :1], alone.members, atol=ENERGY_TOLERANCE)
    np.testing.assert_allclose(together.scales[:, :1], alone.scales, atol=ENERGY_TOLERANCE)


@given(st.permutations(range(6)))
def test_outputs_depend_neither_on_padding_nor_on_the_order_of_elements(model, order):
    """The network itself, in a wider batch with the elements and the padding anywhere."""
    numbers = jnp.array([[8, 26, 56]], jnp.uint8)
    fractions = jnp.array([[0.6, 0.3, 0.1]], jnp.float32)
    padding = ((0, 2), (0, 3))
    wide = jnp.pad(numbers, padding)[:, jnp.array(order)], jnp.pad(fractions, padding)
    tight = apply(model.networks, numbers, fractions)
    padded = apply(model.networks, wide[0], wide[1][:, jnp.array(order)])
    for one, other in zip(tight, padded, strict=True):
        np.testing.assert_allclose(one, other[:, :1], atol=ENERGY_TOLERANCE)
        assert np.isfinite(other).all(), "rows of padding must not poison a gradient"


def test_energy_depends_on_elements_and_on_amounts(model):
    found = model.predict_texts(["NaCl", "NaAg", "Na2Cl", "NaCl2"])
    assert np.abs(np.diff(found.members, axis=1)).min() > 100 * ENERGY_TOLERANCE


def test_attention_is_that_of_the_paper():
    """Softmax of perceptron scores, weighted by powers of the fractions, pair by pair."""
    config = CompositionConfig(width=5, heads=2, hidden=3)
    step = Pass(config, key=jax.random.key(0))
    power = jnp.array([0.5, 2.0])
    step = eqx.tree_at(lambda p: p.attention.power, step, power)
    nodes, w = jax.random.normal(jax.random.key(1), (3, 5)), jnp.array([0.5, 0.3, 0.2])
    found = step(nodes[None], jnp.log(w)[None])[0]
    x = jax.vmap(step.norm)(nodes)
    units = config.heads * config.hidden
    for i in range(3):
        hidden = [jax.nn.leaky_relu(step.receiver(x[i]) + step.sender(x[j])) for j in range(3)]
        mixed = []
        for head in range(config.heads):
            part = slice(head * config.hidden, (head + 1) * config.hidden)
            scores = [jnp.exp(step.attention.score[head] @ h[:units][part]) for h in hidden]
            weights = np.array([w[j] ** power[head] * scores[j] for j in range(3)])
            weights = weights / weights.sum()
            mixed.append(sum(weights[j] * hidden[j][units:][part] for j in range(3)))
        expected = nodes[i] + step.attention.mix(jnp.concatenate(mixed))
        np.testing.assert_allclose(found[i], expected, rtol=1e-5, atol=1e-6)


def test_absent_elements_have_no_share_in_attention():
    attention = Attention(CompositionConfig(width=4, heads=1, hidden=2), key=jax.random.key(0))
    hidden = jax.random.normal(jax.random.key(1), (3, 4))
    faint = jnp.log(jnp.array([0.7, 0.3, 1e-12]))
    np.testing.assert_allclose(
        attention(hidden, faint), attention(hidden[:2], faint[:2]), rtol=1e-5, atol=1e-6
    )


@given(st.floats(-2, 2), st.floats(0.05, 2))
def test_the_loss_is_least_at_the_median_and_at_the_mean_error(center, spread):
    targets = jnp.array([center - spread, center, center + 3 * spread])
    best = jnp.log(4 * spread / 3)

    def total(energy, log_scale):
        return float(laplace_loss(jnp.full(3, energy), jnp.full(3, log_scale), targets).mean())

    least = total(center, best)
    assert least == pytest.approx(1 + float(best), abs=1e-5)
    for change in (-0.1, 0.1):
        assert total(center + change * spread, best) > least
        assert total(center, best + change) > least


# --- predictions ----------------------------------------------------------------------------------


def test_what_cannot_be_predicted_is_a_row_with_a_reason(model):
    found = model.predict_texts(["NaCl", "PoCl2", "no formula", "Na"])
    assert found.predicted.tolist() == [True, False, False, True]
    assert found.reasons[1] == "not in the training data: Po"
    assert "is not a chemical formula" in found.reasons[2]
    for values in (found.members, found.scales, found.median[None], found.combined[None]):
        assert np.isnan(values[:, 1:3]).all()
        assert np.isfinite(values[:, [0, 3]]).all()


def test_no_formulas_have_no_predictions(model):
    found = model.predict_texts([])
    assert found.members.shape == found.scales.shape == (3, 0)


def test_uncertainties_add_up(model):
    found = model.predict_texts(["NaCl", "Fe2O3", "Ag3Au"])
    assert np.all(found.scales > 0)
    assert np.all(found.iqr > 0), "members differ"
    mixture = np.mean(found.scales**2 + found.members**2, axis=0) - found.members.mean(axis=0) ** 2
    np.testing.assert_allclose(found.combined, np.sqrt(mixture), rtol=1e-6)


# --- training -------------------------------------------------------------------------------------


def test_the_lowest_energy_of_each_formula_is_learned_in_any_order():
    texts = ["NaCl", "Fe4O6", "Cl2Na2", "Fe2O3", "Cu"]
    energies = np.array([-2.0, -1.5, -2.1, -1.7, 0.0])
    found = lowest_energies(texts, energies)
    assert found.formulas.reduced_formulas.tolist() == ["Cu", "Fe2O3", "NaCl"]
    assert found.values.tolist() == [0.0, -1.7, -2.1]
    again = lowest_energies(texts[::-1], energies[::-1])
    np.testing.assert_array_equal(found.values, again.values)
    np.testing.assert_array_equal(found.formulas.counts, again.formulas.counts)


@pytest.mark.parametrize(
    ("texts", "energies", "message"),
    [
        (["NaCl", "Cu"], [0.0], "2 rows but values of shape"),
        (["NaCl", "Cu"], [0.0, np.nan], "row 1 is not finite"),
        (["NaCl", "Zz"], [0.0, 0.0], "row 1: 'Zz' is not a chemical formula"),
    ],
)
def test_rows_that_cannot_train_are_refused(texts, energies, message):
    with pytest.raises(ValueError, match=message):
        lowest_energies(texts, np.array(energies))


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("models") / "tiny.gnomon"
    train_into(out, train_composition, made_up(120), TINY)
    return out


def test_training_beats_the_elements_alone():
    labels = made_up(600)
    optimizer = OptimizerConfig(epochs=30, batch=32, learning_rate=1e-2, averaging=0.98)
    model = train_composition(labels, TINY.model_copy(update={"optimizer": optimizer}))
    said = model.card.validation
    assert said.mae < 0.5 * said.mae_of_elements
    assert said.mae_of_elements < said.mae_of_mean
    found = model.predict_texts(labels.reduced_formulas)
    hashes = np.array([formula_hash(f) for f in labels.reduced_formulas])
    held = found.predicted & (hashes >= 75) & (hashes < 85)
    errors = np.abs(found.median - labels.values)[held]
    assert errors.mean() == pytest.approx(said.mae, abs=ENERGY_TOLERANCE)
    # the expected errors are of the size of the errors
    assert 0.2 < found.combined[held].mean() / errors.mean() < 5


def test_the_same_data_gives_the_same_model_and_another_seed_another(trained):
    texts = made_up(20, seed=1).reduced_formulas
    other = TINY.model_copy(update={"seed": 7})
    models = load_model(trained), *(train_composition(made_up(120), c) for c in (TINY, other))
    first, again, third = (model.predict_texts(texts).members for model in models)
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - third).max() > ENERGY_TOLERANCE


def test_a_killed_training_goes_on_to_the_same_model(trained, tmp_path, monkeypatch):
    monkeypatch.setattr("gnomon.learn.fit.SAVE_EVERY", 0.0)
    out = tmp_path / "killed"
    with pytest.raises(KeyboardInterrupt):
        train_into(out, train_composition, made_up(120), TINY, killed_at(600))
    assert not out.exists()
    other = TINY.model_copy(update={"seed": 5})
    with pytest.raises(ValueError, match="unfinished training of other data or settings"):
        train_into(out, train_composition, made_up(120), other)
    train_into(out, train_composition, made_up(120), TINY)
    texts = made_up(20, seed=1).reduced_formulas
    np.testing.assert_array_equal(
        load_model(out).predict_texts(texts).members,
        load_model(trained).predict_texts(texts).members,
    )
    assert [p.name for p in tmp_path.iterdir()] == ["killed"]


def test_a_finished_model_is_left_as_it_is(trained):
    before = trained.read_bytes()
    model = train_into(trained, train_composition, made_up(120), TINY)
    assert trained.read_bytes() == before
    assert model.card == load_model(trained).card
    for data, config in (
        (made_up(120), TINY.model_copy(update={"seed": 9})),
        (replace(made_up(120), scheme="other"), TINY),
        (made_up(119), TINY),
    ):
        with pytest.raises(ValueError, match="holds a model of other data or settings"):
            train_into(trained, train_composition, data, config)
    assert trained.read_bytes() == before


def test_files_of_other_kinds_are_neither_read_nor_overwritten(trained, tmp_path):
    with pytest.raises(ModelFileError, match="kind 'composition' where a structural one"):
        StructuralModel.load(trained)
    file = read_model_file(trained)
    write_model_file(tmp_path / "x", file.about | {"kind": "structural_"}, file.arrays)
    with pytest.raises(ModelFileError, match="no kind of model 'structural_'"):
        load_model(tmp_path / "x")
    text = tmp_path / "text"
    text.write_text("precious")
    with pytest.raises(ModelFileError, match="is no gnomon model"):
        train_into(text, train_composition, made_up(120), TINY)
    assert text.read_text() == "precious"


def test_the_card_says_what_the_model_is(trained):
    model = load_model(trained)
    card = model.card
    assert (card.kind, card.scheme, card.data) == ("composition", "synthetic", "made up")
    assert card.config == TINY.model_dump(mode="json")
    assert card.train_rows + card.validation.rows <= card.rows
    assert model.scheme == "synthetic"
    assert isinstance(model.networks, Composition)


def test_impossible_settings_are_refused():
    with pytest.raises(ValueError, match="validate_below"):
        CompositionTrainConfig(train_below=85, validate_below=80)
    with pytest.raises(ValueError, match="Laplace"):
        CompositionTrainConfig(optimizer=OptimizerConfig(loss="huber"))
    with pytest.raises(ValueError, match="at least 8 must train"):
        train_composition(made_up(6), TINY)


# --- tables and commands --------------------------------------------------------------------------


def test_tables_are_read_and_sodium_nitride_is_a_formula(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("formula,formation_energy_per_atom\nNaN,0.5\nNa2O,-1.5\nFe,\n")
    formulas, energies = energies_of_table(path)
    assert formulas == formulas_of_table(path) == ["NaN", "Na2O", "Fe"]
    np.testing.assert_array_equal(energies, [0.5, -1.5, np.nan])


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.csv", "a,b\n1,2\n", "no column reduced_formula or formula but a, b"),
        ("t.csv", "formula,e\nCu,1\n", "no column formation_energy_per_atom"),
        ("t.csv", "formula,formation_energy_per_atom\nCu,low\n", "must hold numbers"),
        ("t.csv", "formula,e\nCu,1,2\n", "cannot be read as CSV"),
        ("t.parquet", "no table", "cannot be read as Parquet"),
    ],
)
def test_tables_that_cannot_be_used_are_named(tmp_path, name, text, message):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"t\.\w+.*{message}"):
        energies_of_table(path)


def test_train_and_predict_by_command(tmp_path, capsys):
    data, model, out = (tmp_path / name for name in ("d.parquet", "m.gnomon", "p.parquet"))
    labels = made_up(60)
    formulas = [*labels.reduced_formulas.tolist(), "nonsense", "Cu"]
    energies = [*labels.values.tolist(), -1.0, None]
    table = pa.table({"reduced_formula": formulas, "formation_energy_per_atom": energies})
    pq.write_table(table, data)
    command = ["model", "train", "composition", str(data), "--out", str(model), "--epochs", "1"]
    assert main([*command, "--members", "2", "--scheme", "test", "--json"]) == 0
    captured = capsys.readouterr()
    card = json.loads(captured.out)
    assert (card["members"], card["scheme"], card["rows"]) == (2, "test", len(labels.values))
    assert f"2 of {len(formulas)} rows have no formula and energy" in captured.err
    assert main(["predict", str(model), "Fe2O3", "Xx", str(data), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == 2 + len(formulas)
    assert rows[0]["combined"] >= rows[0]["aleatoric"] > 0
    assert rows[1]["predicted_formation_energy_per_atom"] is None
    assert "is not a chemical formula" in rows[1]["reason"]
    assert main(["predict", str(model), "NaCl", "--out", str(out)]) == 0
    assert pq.read_table(out)["formula"].to_pylist() == ["NaCl"]
    assert main(["predict", str(model), "NaCl", "--out", str(out)]) == 1
    assert "exists" in capsys.readouterr().err


# --- real data ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_short_training_on_real_formulas_beats_the_elements_by_half(shared_data):
    """One small network, two passes over 6,000 of 80,677 formulas."""
    path = shared_data / "materials_project" / "composition_energies.parquet"
    formulas, energies = energies_of_table(path)
    chosen = np.random.default_rng(0).permutation(len(formulas))[:6000]
    labels = lowest_energies([formulas[i] for i in chosen], energies[chosen])
    config = CompositionTrainConfig(
        network=CompositionConfig(width=32, passes=1, heads=1, hidden=32, readout=(32,)),
        optimizer=OptimizerConfig(epochs=6, batch=64, learning_rate=5e-3, averaging=0.99),
        members=1,
    )
    card = train_composition(labels, config).card
    assert card.validation.mae < 0.6 * card.validation.mae_of_elements


def test_networks_that_learned_energies_go_on_with_another_property(trained, tmp_path):
    start, energies = load_model(trained), made_up(120)
    scheme = "superconducting_critical_temperature (log10(K))"
    data = replace(energies, values=energies.values**2, scheme=scheme)
    config = TINY.model_copy(update={"network": start.networks.config, "members": start.members})
    model = train_composition(data, config, start=start)
    model.save(tmp_path / "m")
    kept = load_model(tmp_path / "m")
    assert (kept.kind, kept.scheme) == ("formula-property", scheme)
    of = data.formulas, np.full(len(data.values), "", dtype=object)
    np.testing.assert_allclose(
        kept.predict_formulas(*of).median, model.predict_formulas(*of).median
    )
    table = of_model(str(tmp_path / "m"), PropertySettings()).compute(SALT, {})
    assert table.schema.field("value").metadata[b"unit"] == b"K"
    for row, found in zip(table.to_pylist(), [kept.predict(SALT)], strict=True):
        assert row["value"] == pytest.approx(10 ** found.median[0])
        assert row["uncertainty"] == pytest.approx(row["value"] * np.log(10) * found.combined[0])
    with pytest.raises(ValueError, match="other settings or members"):
        train_composition(data, config.model_copy(update={"members": 9}), start=start)
