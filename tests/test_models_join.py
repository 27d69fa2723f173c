"""Ensembles that were trained apart and joined: they say what they said before."""

from dataclasses import replace

import numpy as np
import pytest

from gnomon.learn.split import formula_hashes
from gnomon.models.ensemble import load_model, train_into
from gnomon.models.join import join, join_config
from gnomon.models.structural.model import StructuralModel, initial_networks
from gnomon.models.structural.network import StructuralConfig
from gnomon.models.structural.train import going_on, train
from tests.test_models import TINY, made_up


@pytest.fixture(scope="module")
def apart():
    """Two ensembles of other rows and seeds, so of other element energies and scales."""
    models = []
    for seed in (1, 2):
        data = made_up(60, seed=seed)
        config = TINY.model_copy(update={"seed": seed})
        models.append(train(replace(data, values=(1 + seed) * data.values), config))
    return models


def join_into(out, models, data):
    return train_into(out, lambda found, *_: join(models, found), data, join_config(models))


@pytest.mark.parametrize("half", [False, True])
def test_a_joined_ensemble_says_what_its_parts_say(apart, tmp_path, half):
    data = made_up(60)
    card = join_into(tmp_path / "m.gnomon", apart, data).card
    joined = load_model(tmp_path / "m.gnomon")
    if half:
        joined.save(tmp_path / "half.gnomon", half=True)
        joined = load_model(tmp_path / "half.gnomon")
    said = joined.predict(data.crystals).members
    parts = [model.predict(data.crystals).members for model in apart]
    np.testing.assert_allclose(said, np.concatenate(parts), rtol=0, atol=1e-2 if half else 1e-6)
    assert card.members == len(said) == sum(map(len, parts))
    assert join_into(tmp_path / "m.gnomon", apart, data).card == card  # left as it is
    if half:
        assert join([joined, apart[0]], data).card.members == card.members + len(parts[0])


def test_the_card_of_a_joined_ensemble_tells_of_its_parts_and_its_own_error(apart):
    data = made_up(60)
    joined = join(apart, data)
    card = joined.card
    assert [part["config"] for part in card.config["joined"]] == [m.card.config for m in apart]
    hashes = formula_hashes(data.crystals.reduced_formulas)
    held = (hashes >= card.config["train_below"]) & (hashes < card.config["validate_below"])
    predicted = joined.predict(data.crystals)
    assert card.validation.rows == held.sum() > 0
    error = np.abs(predicted.median - data.values)[held & predicted.predicted].mean()
    assert card.validation.mae == pytest.approx(error)
    assert card.wall_seconds == pytest.approx(sum(m.card.wall_seconds for m in apart))


def test_a_joined_ensemble_goes_on(apart):
    """From the mean of the parts' element energies; the error on the new rows falls."""
    data = made_up(60)
    start = join(apart, data)
    on = train(data, going_on(start, "0" * 64), start=start)

    def error(model: StructuralModel) -> float:
        return float(np.nanmean(np.abs(model.predict(data.crystals).median - data.values)))

    assert error(on) < error(start)


def test_what_cannot_be_joined_says_why(apart, tmp_path):
    data = made_up(60)
    other = StructuralModel(
        apart[1].networks, apart[1].target, apart[1].card.model_copy(update={"scheme": "r2SCAN"})
    )
    wider = StructuralModel(
        initial_networks(StructuralConfig(width=24), 1.0, 2, 0), apart[1].target, apart[1].card
    )
    for models, message in (
        (apart[:1], "two or more"),
        ([apart[0], apart[0]], "the same"),
        ([apart[0], other], "do not mix"),
        ([apart[0], wider], "shapes"),
    ):
        with pytest.raises(ValueError, match=message):
            join(models, data)
    seen = data.take(formula_hashes(data.reduced_formulas) < 75)
    with pytest.raises(ValueError, match="held out"):
        join(apart, seen)
    join_into(tmp_path / "m.gnomon", apart, data)
    with pytest.raises(ValueError, match="other data or settings"):
        join_into(tmp_path / "m.gnomon", apart[::-1], data)
