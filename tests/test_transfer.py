"""Another property from a trained ensemble, cross-validation and learning curves."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnomon.cli import main
from gnomon.crystals import Crystals
from gnomon.io import to_arrow
from gnomon.learn.model_file import ModelFileError
from gnomon.learn.optimize import OptimizerConfig
from gnomon.learn.split import formula_hash, formula_hashes
from gnomon.models.card import Labelled
from gnomon.models.ensemble import load_model, train_into
from gnomon.models.folds import cross_validate
from gnomon.models.learning_curve import figure, fit_power_law, learning_curve
from gnomon.models.structural.model import PropertyModel, StructuralModel
from gnomon.models.structural.network import StructuralConfig
from gnomon.models.structural.train import TrainConfig, train
from gnomon.models.transfer import TransferConfig, transfer
from gnomon.run.files import sha256_of
from tests.strategies import random_crystal

TINY = TrainConfig(
    network=StructuralConfig(width=8, passes=1, gaussians=8),
    optimizer=OptimizerConfig(epochs=2, batch=16, learning_rate=1e-2),
    members=2,
)

TOLERANCE = 1e-5
"""In the unit of the property; single precision."""


@pytest.fixture(scope="module")
def crystals() -> Crystals:
    rng = np.random.default_rng(0)
    return Crystals.concatenate([random_crystal(rng) for _ in range(90)])


@pytest.fixture(scope="module")
def energies(crystals) -> np.ndarray:
    return np.log(crystals.volumes / crystals.n_atoms) - 3


@pytest.fixture(scope="module")
def data(crystals, energies) -> Labelled:
    return Labelled(crystals, energies, "made up", "made up")


@pytest.fixture(scope="module")
def start(data, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("models") / "start.gnomon"
    train_into(out, train, data, TINY)
    return out


def settings_of(start: Path, *, frozen: bool, epochs: int = 3) -> TransferConfig:
    optimizer = OptimizerConfig(epochs=epochs, batch=16, learning_rate=1e-2, averaging=0.9)
    return TransferConfig(started_from=sha256_of(start), frozen=frozen, optimizer=optimizer)


def test_a_frozen_body_sees_what_it_saw_and_learns_more_than_the_elements_say(crystals, start):
    body = load_model(start)
    values = 50 + 100 * body.embed(crystals)[:, 0].astype(float)
    known = np.isfinite(values)
    config = settings_of(start, frozen=True, epochs=60)
    rows = Labelled(crystals[known], values[known], "moduli", "K (GPa)")
    model = transfer(rows, config, start=body)
    np.testing.assert_array_equal(body.embed(crystals), model.embed(crystals))
    errors = model.card.validation
    assert errors.mae < 0.7 * errors.mae_of_elements
    assert (model.scheme, model.card.kind) == ("K (GPa)", "property")
    assert abs(np.nanmedian(model.predict(crystals).median) - np.median(values[known])) < 50


@pytest.mark.parametrize("frozen", [True, False])
def test_the_same_settings_give_the_same_model_and_a_finished_one_is_left(
    data, start, tmp_path, frozen
):
    taught = partial(transfer, start=load_model(start))
    config = settings_of(start, frozen=frozen)
    gaps = replace(data, values=3 * data.values, scheme="gap (eV)")
    models = [train_into(tmp_path / name, taught, gaps, config) for name in ("one", "other", "one")]
    assert models[0].card == models[2].card
    one, other = (load_model(tmp_path / n).predict(data.crystals) for n in ("one", "other"))
    np.testing.assert_array_equal(one.members, other.members)
    with pytest.raises(ValueError, match="other data or settings"):
        train_into(tmp_path / "one", taught, replace(gaps, values=4 * data.values), config)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one", "other"]


def test_properties_are_not_taken_for_energies(data, start, tmp_path):
    config = settings_of(start, frozen=True, epochs=1)
    transfer(data, config, start=load_model(start)).save(tmp_path / "m")
    with pytest.raises(ModelFileError, match="kind 'property' where a structural one"):
        StructuralModel.load(tmp_path / "m")
    with pytest.raises(ModelFileError, match="kind 'structural' where a property one"):
        PropertyModel.load(start)


def test_too_few_rows_are_refused(data, start):
    with pytest.raises(ValueError, match="at least 8 must train"):
        transfer(data.take(np.arange(5)), settings_of(start, frozen=True), start=load_model(start))


# --- folds ----------------------------------------------------------------------------------------


def test_folds_part_formulas_and_nothing_else(crystals):
    formulas = crystals.reduced_formulas
    fold = formula_hashes(formulas, 3)
    assert set(fold.tolist()) == {0, 1, 2}
    again = formula_hashes(np.concatenate([formulas[::-1], formulas]), 3)
    np.testing.assert_array_equal(again, np.concatenate([fold[::-1], fold]))


def test_every_crystal_is_predicted_by_an_ensemble_that_did_not_see_it(data, tmp_path):
    crystals = data.crystals
    found = cross_validate(data, TINY, 2, tmp_path)
    for i in (0, 1):
        model = load_model(tmp_path / f"fold-{i}.gnomon")
        assert model.card is not None
        assert model.card.train_rows == (found.fold != i).sum()
        inside = found.fold == i
        np.testing.assert_allclose(
            found.predictions.members[:, inside],
            model.predict(crystals[inside]).members,
            atol=TOLERANCE,
        )
    there = np.isfinite(found.errors)
    counts = np.bincount(found.fold[there])
    assert found.mae == pytest.approx(np.average(found.mae_of_folds, weights=counts))
    with pytest.raises(ValueError, match="at least 2"):
        cross_validate(data, TINY, 1, tmp_path)


# --- learning curves ------------------------------------------------------------------------------


@settings(max_examples=25)
@given(st.floats(0.01, 1), st.floats(0.05, 1))
def test_a_power_law_is_found_again(scale, exponent):
    rows = np.array([500.0, 1000.0, 4000.0, 16000.0])
    law = fit_power_law(rows, scale * (rows / 1000) ** -exponent)
    assert law.scale == pytest.approx(scale)
    assert law.exponent == pytest.approx(exponent)
    assert law.deviation == pytest.approx(0, abs=1e-6)
    assert law.rows(law.error(3000.0)) == pytest.approx(3000)


def test_impossible_curves_are_refused(data, tmp_path):
    with pytest.raises(ValueError, match="at least two sizes"):
        fit_power_law(np.array([10.0, 10.0]), np.array([0.1, 0.2]))
    with pytest.raises(ValueError, match="in 0 to 1"):
        learning_curve(data, TINY, [1.5], tmp_path)
    nothing = TINY.model_copy(update={"validate_below": 75})
    with pytest.raises(ValueError, match="validation rows"):
        learning_curve(data, nothing, [1.0], tmp_path)


def test_smaller_shares_are_parts_of_larger_ones_and_all_validate_alike(data, tmp_path):
    points = learning_curve(data, TINY, [1.0, 0.5], tmp_path)
    assert [p.epochs for p in points] == [4, 2]
    hashes = np.array([formula_hash(f) for f in data.reduced_formulas])
    assert [p.rows for p in points] == [(hashes < p.formulas_below).sum() for p in points]
    cards = [load_model(p).card for p in sorted(tmp_path.glob("*.gnomon"))]
    assert len({card.validation.rows for card in cards if card and card.validation}) == 1
    drawn = figure(points, fit_power_law(np.array([1e3, 2e3]), np.array([0.2, 0.1])))
    assert len(drawn.data) == 3


# --- commands -------------------------------------------------------------------------------------


def test_transfer_and_cross_validation_by_command(crystals, energies, start, tmp_path, capsys):
    data, out = tmp_path / "d.parquet", tmp_path / "gap.gnomon"
    gaps = [None, *(2 * energies[1:]).tolist()]
    table = to_arrow(crystals).append_column("band_gap", pa.array(gaps, pa.float64()))
    pq.write_table(table.append_column("formation_energy_per_atom", pa.array(energies)), data)
    teach = ["model", "transfer", str(start), str(data), "--unit", "eV"]
    short = ["--freeze", "--epochs", "2", "--json"]
    assert main([*teach, "--target", "band_gap", *short, "--out", str(out)]) == 0
    captured = capsys.readouterr()
    card = json.loads(captured.out)
    assert (card["scheme"], card["rows"]) == ("band_gap (eV)", len(crystals) - 1)
    assert "1 of 90" in captured.err
    assert main(["predict", str(out), str(data), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == len(crystals)
    assert {"reduced_formula", "predicted", "uncertainty", "reason"} <= set(rows[0])
    assert main(["predict", str(out), str(data), "--level", "0.9"]) == 2
    assert "--level: asked of structural models only" in capsys.readouterr().err
    assert main([*teach, "--target", "modulus", "--out", str(tmp_path / "x")]) == 1
    error = capsys.readouterr().err
    assert "no column modulus but" in error
    assert "band_gap" in error
    validate = ["model", "validate", str(data), "--out", str(tmp_path / "folds"), "--json"]
    assert main([*validate, "--folds", "2", "--epochs", "1", "--members", "1"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["mae_of_folds"]) == 2
    assert (tmp_path / "folds" / "predictions.parquet").exists()
