"""Ensembles that were trained apart and joined: they say what they said before."""

import numpy as np
import pytest

from gnomon.learn.split import formula_hashes
from gnomon.models.join import join
from gnomon.models.structural.ensemble import (
    EnsembleEnergyModel,
    initial_networks,
    load_model,
    save_model,
)
from gnomon.models.structural.network import StructuralConfig
from gnomon.models.structural.train import going_on, train
from gnomon.models.uncertainty.reliability import Labelled
from gnomon.run.files import sha256_of
from tests.test_models import TINY, synthetic


@pytest.fixture(scope="module")
def apart(tmp_path_factory):
    """Two ensembles of other rows and seeds, so of other element energies and scales."""
    folder, models = tmp_path_factory.mktemp("apart"), []
    for seed in (1, 2):
        batch, energies = synthetic(60, seed=seed)
        config = TINY.model_copy(update={"seed": seed})
        out = folder / f"{seed}.gnomon"
        train(batch, (1 + seed) * energies, config, out=out, scheme="made up")
        models.append(load_model(out))
    return models


@pytest.mark.parametrize("half", [False, True])
def test_a_joined_ensemble_says_what_its_parts_say(apart, tmp_path, half):
    data = Labelled(*synthetic(60), "made up")
    card = join(apart, data, out=tmp_path / "m.gnomon")
    joined = load_model(tmp_path / "m.gnomon")
    if half:
        save_model(tmp_path / "half.gnomon", joined, half=True)
        joined = load_model(tmp_path / "half.gnomon")
    said = joined.predict(data.crystals).members
    parts = [model.predict(data.crystals).members for model in apart]
    np.testing.assert_allclose(said, np.concatenate(parts), rtol=0, atol=1e-2 if half else 1e-6)
    assert card.members == len(said) == sum(map(len, parts))
    assert join(apart, data, out=tmp_path / "m.gnomon") == card  # left as it is
    again = join([joined, apart[0]], data, out=tmp_path / "more") if half else None
    assert again is None or again.members == card.members + len(parts[0])


def test_the_card_of_a_joined_ensemble_tells_of_its_parts_and_its_own_error(apart, tmp_path):
    data = Labelled(*synthetic(60), "made up")
    card = join(apart, data, out=tmp_path / "m.gnomon")
    assert [part["config"] for part in card.config["joined"]] == [m.card.config for m in apart]
    hashes = formula_hashes(data.crystals.reduced_formulas)
    held = (hashes >= card.config["train_below"]) & (hashes < card.config["validate_below"])
    predicted = load_model(tmp_path / "m.gnomon").predict(data.crystals)
    assert card.validation.rows == held.sum() > 0
    error = np.abs(predicted.median - data.energies)[held & predicted.predicted].mean()
    assert card.validation.mae == pytest.approx(error)
    assert card.wall_seconds == pytest.approx(sum(m.card.wall_seconds for m in apart))


def test_a_joined_ensemble_goes_on(apart, tmp_path):
    """From the mean of the parts' element energies; the error on the new rows falls."""
    batch, energies = synthetic(60)
    join(apart, Labelled(batch, energies, "made up"), out=tmp_path / "m.gnomon")
    start = load_model(tmp_path / "m.gnomon")
    config = going_on(start, sha256_of(tmp_path / "m.gnomon"))
    train(batch, energies, config, out=tmp_path / "on", scheme="made up", start=start)

    def error(model: EnsembleEnergyModel) -> float:
        return float(np.nanmean(np.abs(model.predict(batch).median - energies)))

    assert error(load_model(tmp_path / "on")) < error(start)


def test_what_cannot_be_joined_says_why(apart, tmp_path):
    data = Labelled(*synthetic(60), "made up")
    other = EnsembleEnergyModel(
        apart[1].networks, apart[1].target, apart[1].card.model_copy(update={"scheme": "r2SCAN"})
    )
    wider = EnsembleEnergyModel(
        initial_networks(StructuralConfig(width=24), 1.0, 2, 0), apart[1].target, apart[1].card
    )
    for models, message in (
        (apart[:1], "two or more"),
        ([apart[0], apart[0]], "the same"),
        ([apart[0], other], "do not mix"),
        ([apart[0], wider], "shapes"),
    ):
        with pytest.raises(ValueError, match=message):
            join(models, data, out=tmp_path / "m.gnomon")
    trained = np.flatnonzero(formula_hashes(data.crystals.reduced_formulas) < 75)
    seen = Labelled(data.crystals[trained], data.energies[trained], "seen")
    with pytest.raises(ValueError, match="held out"):
        join(apart, seen, out=tmp_path / "m.gnomon")
    join(apart, data, out=tmp_path / "m.gnomon")
    with pytest.raises(ValueError, match="other data or settings"):
        join(apart[::-1], data, out=tmp_path / "m.gnomon")
