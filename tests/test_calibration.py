"""Laws of calibration: intervals that hold their level, flags, files that know their model."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from gnomon import io
from gnomon.cli import COMMANDS, function_of, shared
from gnomon.crystals import Crystals
from gnomon.elements import MAX_Z
from gnomon.hull.convex import Hull
from gnomon.hull.phases import Phases, compositions
from gnomon.learn.model_file import ModelFileError
from gnomon.learn.optimize import OptimizerConfig
from gnomon.learn.split import formula_hashes
from gnomon.models import Predictions
from gnomon.models.card import Labelled
from gnomon.models.ensemble import load_model, train_into
from gnomon.models.structural.augment import AugmentConfig
from gnomon.models.structural.model import StructuralModel
from gnomon.models.structural.network import StructuralConfig
from gnomon.models.structural.train import TrainConfig, train
from gnomon.models.uncertainty.calibration import (
    CalibrationError,
    calibrate,
    calibration_path,
    held_out_hashes,
    load_calibration,
)
from gnomon.models.uncertainty.conformal import MAX_SCORES, Conformal, fit_conformal
from gnomon.models.uncertainty.domain import Domain, fit_domain
from gnomon.models.uncertainty.reliability import measure
from gnomon.run.files import sha256_of
from tests.strategies import crystals, random_crystal, rewritten, rngs

EMBEDDING_TOLERANCE = 1e-4
"""Float32 rounding through a few layers, on features of about 1."""

DISTANCE_TOLERANCE = 0.02
"""Standard deviations: references are kept in float16, of 3 digits."""

LEVELS = st.floats(0.05, 0.95)

TINY = TrainConfig(
    network=StructuralConfig(width=8, passes=1),
    optimizer=OptimizerConfig(epochs=2, batch=64, learning_rate=1e-2),
    members=3,
    train_below=40,
    validate_below=100,
)


def drawn(
    rng: np.random.Generator, n: int, members: int = 5, bias: float = 0.0
) -> tuple[Predictions, np.ndarray]:
    """Predictions whose errors grow with their spread, and the truth."""
    scale = rng.gamma(2.0, 0.02, n)
    truth = rng.normal(size=n)
    centre = truth + bias + rng.laplace(size=n) * (scale + 0.01)
    members_ = centre + rng.normal(size=(members, n)) * scale
    return Predictions(members_, np.full(n, "", dtype=object)), truth


# --- intervals ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["inter-quartile range", "standard deviation"])
@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.95])
def test_intervals_hold_their_level_on_rows_like_those_that_fitted(kind, level):
    """Conformal: at least the level on average over fits; here the mean of 20 of them."""
    held = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        conformal = fit_conformal(*drawn(rng, 400), kind)
        predictions, truth = drawn(rng, 1000)
        widths = conformal.half_widths(predictions, level)
        held.append(np.mean(np.abs(predictions.median - truth) <= widths))
    standard_error = np.sqrt(level * (1 - level) * (1 / 400 + 1 / 1000) / 20)
    assert np.mean(held) == pytest.approx(level, abs=4 * standard_error + 1 / 400)


def test_intervals_of_another_kind_of_row_hold_less():
    """Nothing is promised of them, and the check must show it."""
    rng = np.random.default_rng(0)
    conformal = fit_conformal(*drawn(rng, 400))
    predictions, truth = drawn(rng, 400, bias=0.2)
    found = measure(Labelled(_cubes(400), truth, "shifted"), predictions, conformal)
    of_80 = found.coverage[1]
    assert of_80.level == 0.8
    assert of_80.high < 0.5
    assert found.mean_error == pytest.approx(0.2, abs=0.03)


@given(rngs, LEVELS, LEVELS)
def test_half_widths_grow_with_the_level_and_with_the_spread(rng, one, other):
    predictions, truth = drawn(rng, 100)
    conformal = fit_conformal(predictions, truth)
    low, high = sorted((one, other))
    assert np.all(
        conformal.half_widths(predictions, low) <= conformal.half_widths(predictions, high)
    )
    by_iqr = conformal.half_widths(predictions, one)[np.argsort(predictions.iqr)]
    assert np.all(np.diff(by_iqr) >= 0)
    assert np.all(by_iqr > 0)


@given(rngs)
def test_half_widths_do_not_depend_on_company(rng):
    predictions, truth = drawn(rng, 60)
    conformal = fit_conformal(predictions, truth)
    widths = conformal.half_widths(predictions, 0.8)
    order = rng.permutation(60)
    shuffled = Predictions(predictions.members[:, order], predictions.reasons[order])
    np.testing.assert_array_equal(conformal.half_widths(shuffled, 0.8), widths[order])
    assert fit_conformal(shuffled, truth[order]) == conformal


def test_the_rank_of_the_score_is_that_of_the_theorem():
    """Of n = 9 scores level 0.8 takes the 8th, and 0.95 more than 9 rows can tell."""
    conformal = Conformal(
        spread="inter-quartile range", floor=1.0, scores=tuple(float(i) for i in range(1, 10))
    )
    alone = Predictions(np.zeros((1, 1)), np.array([""], dtype=object))
    assert conformal.half_widths(alone, 0.8).tolist() == [8.0]
    assert conformal.half_widths(alone, 0.81).tolist() == [9.0]
    assert conformal.half_widths(alone, 0.95).tolist() == [np.inf]
    for level in (0.0, 1.0, np.nan):
        with pytest.raises(ValueError, match="between 0 and 1"):
            conformal.half_widths(alone, level)


@given(rngs, LEVELS)
def test_intervals_widen_with_the_distance_from_the_training_data(rng, level):
    conformal = Conformal(
        spread="inter-quartile range", floor=0.01, rate=0.002, scores=(0.5, 1.0, 2.0, *(3.0,) * 20)
    )
    predictions, _ = drawn(rng, 50)
    near, far = np.sort(rng.uniform(0, 30, (2, 50)), axis=0)
    widths = conformal.half_widths(predictions, level, near)
    assert np.all(conformal.half_widths(predictions, level, far) >= widths)
    with pytest.raises(ValueError, match="distance from the training data"):
        conformal.half_widths(predictions, level)


def test_rows_of_another_kind_hold_where_they_fitted_too():
    """Errors that grow with the distance alone: a rate is found, near and far intervals hold."""
    rng = np.random.default_rng(0)
    distances = np.concatenate([rng.uniform(5, 7, 1000), rng.uniform(15, 40, 1000)])
    agreed = rng.gamma(2.0, 0.001, 2000) * rng.normal(size=(5, 2000))
    predictions = Predictions(agreed, np.full(2000, "", dtype=object))
    truth = rng.laplace(size=2000) * 0.003 * distances
    fits, checks = np.arange(2000) % 2 == 0, np.arange(2000) % 2 == 1

    def part(rows: np.ndarray) -> Predictions:
        return Predictions(agreed[:, rows], predictions.reasons[rows])

    conformal = fit_conformal(part(fits), truth[fits], distances=distances[fits])
    assert conformal.rate > 0
    for kind in (distances < 10, distances > 10):
        rows = checks & kind
        widths = conformal.half_widths(part(rows), 0.8, distances[rows])
        assert np.mean(np.abs(truth[rows]) <= widths) == pytest.approx(0.8, abs=0.06)
    alone = fit_conformal(part(fits & (distances < 10)), truth[fits & (distances < 10)])
    far = checks & (distances > 10)
    held = np.mean(np.abs(truth[far]) <= alone.half_widths(part(far), 0.8))
    assert held < 0.6, "without such rows intervals do not hold there"


def test_many_scores_are_thinned_without_loss_of_coverage():
    predictions, truth = drawn(np.random.default_rng(0), 5000)
    conformal = fit_conformal(predictions, truth)
    assert len(conformal.scores) == MAX_SCORES
    errors = np.abs(predictions.median - truth)
    for level in (0.5, 0.8, 0.999):
        held = np.mean(errors <= conformal.half_widths(predictions, level))
        assert level <= held <= level + 2e-3


def test_one_member_has_intervals_of_one_width():
    predictions, truth = drawn(np.random.default_rng(0), 100, members=1)
    widths = fit_conformal(predictions, truth).half_widths(predictions, 0.8)
    np.testing.assert_allclose(widths, widths[0], rtol=1e-12)
    assert widths[0] == pytest.approx(np.quantile(np.abs(predictions.median - truth), 0.8), rel=0.1)


def test_rows_without_a_prediction_fit_nothing_and_have_no_interval():
    predictions, truth = drawn(np.random.default_rng(0), 100)
    members, reasons = predictions.members.copy(), predictions.reasons.copy()
    members[:, ::2], reasons[::2] = np.nan, "no"
    half = Predictions(members, reasons)
    conformal = fit_conformal(half, truth)
    kept = Predictions(predictions.members[:, 1::2], predictions.reasons[1::2])
    assert conformal == fit_conformal(kept, truth[1::2])
    assert np.isnan(conformal.half_widths(half, 0.8)).tolist() == [True, False] * 50
    with pytest.raises(ValueError, match="at least 20"):
        fit_conformal(Predictions(members[:, :30], reasons[:30]), truth[:30])
    with pytest.raises(ValueError, match="not finite"):
        fit_conformal(half, np.full(100, np.nan))


def test_wilson_intervals_and_rank_correlations_are_those_of_the_literature():
    """81 of 100: Wilson (1927) gives 0.7222 to 0.8749; errors that rise with the IQR give 1."""
    n = 100
    iqr = np.linspace(0.1, 1, n)
    members = np.stack([np.zeros(n), iqr, 2 * iqr])  # median iqr, IQR iqr
    conformal = Conformal(spread="inter-quartile range", floor=1e-4, scores=(1.0,) * 99)
    predictions = Predictions(members, np.full(n, "", dtype=object))
    errors = np.where(np.arange(n) < 81, 0.5 * iqr, 2 * iqr)
    check = measure(Labelled(_cubes(n), iqr - errors, "made up"), predictions, conformal)
    found = check.coverage[1]
    assert (found.inside, found.rows) == (81, 100)
    assert (found.low, found.high) == (
        pytest.approx(0.7222, abs=1e-4),
        pytest.approx(0.8749, abs=1e-4),
    )
    assert check.spearman_iqr == pytest.approx(1.0)
    assert check.mae == pytest.approx(errors.mean())
    assert found.mean_half_width == pytest.approx(iqr.mean() + 1e-4)


def _cubes(n: int) -> Crystals:
    return Crystals.concatenate([Crystals.single(3 * np.eye(3), [29], [[0, 0, 0]])] * n)


# --- domain ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def domain() -> Domain:
    rng = np.random.default_rng(0)
    stretched = np.diag([10.0, 1.0, 1.0, 1.0])
    return fit_domain(
        (rng.normal(size=(500, 4)) @ stretched).astype(np.float32),
        (rng.normal(size=(300, 4)) @ stretched).astype(np.float32),
    )


def test_a_share_of_the_like_is_flagged_and_all_of_the_unlike(domain):
    rng = np.random.default_rng(1)
    like = (rng.normal(size=(2000, 4)) * [10, 1, 1, 1]).astype(np.float32)
    flagged = domain.outside(domain.distances(like)).mean()
    assert 0.02 < flagged < 0.09, "5 % by the choice of the threshold"
    unlike = like + np.float32([0, 0, 10, 0])  # 10 standard deviations along a short axis
    assert domain.outside(domain.distances(unlike)).all()


def test_distances_are_whitened_and_to_the_nearest_row(domain):
    rows = (domain.references.astype(np.float32) @ np.linalg.pinv(domain.axes)) + domain.center
    np.testing.assert_allclose(domain.distances(rows), 0, atol=DISTANCE_TOLERANCE)
    one = np.cov(domain.references.astype(np.float64), rowvar=False)
    np.testing.assert_allclose(one, np.eye(4), atol=DISTANCE_TOLERANCE)


def test_what_has_no_embedding_is_out_of_distribution(domain):
    distances = domain.distances(np.full((2, 4), np.nan, np.float32))
    assert np.isnan(distances).all()
    assert domain.outside(distances).all()
    assert domain.distances(np.zeros((0, 4), np.float32)).shape == (0,)


def test_a_domain_needs_different_rows():
    rows = np.ones((5, 3), np.float32)
    with pytest.raises(ValueError, match="different ones"):
        fit_domain(rows, rows)
    with pytest.raises(ValueError, match="0 training and 5 held-out"):
        fit_domain(np.full((5, 3), np.nan, np.float32), rows)


# --- a trained model ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data() -> Labelled:
    """Crystals with made-up energies that depend on elements and on density."""
    rng = np.random.default_rng(0)
    batch = Crystals.concatenate([random_crystal(rng, max_atoms=4) for _ in range(240)])
    fractions = batch.composition / batch.n_atoms[:, None]
    energies = fractions @ np.random.default_rng(0).normal(size=MAX_Z + 1)
    return Labelled(batch, energies + 20 * batch.n_atoms / batch.volumes, "made up", "synthetic")


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("calibrated") / "tiny.gnomon"
    train_into(out, train, data, TINY)
    return out


@pytest.fixture(scope="module")
def model(trained) -> StructuralModel:
    return load_model(trained)


@pytest.fixture(scope="module")
def calibrated(trained, model, data) -> Path:
    calibrate(model, sha256_of(trained), data).save(calibration_path(trained))
    return calibration_path(trained)


@given(crystals, crystals, rngs)
def test_embeddings_depend_on_the_crystal_alone(model, crystal, other, rng):
    alone = model.embed(crystal)
    assert alone.shape == (1, 3 * 2 * 8)
    same = rewritten(crystal, rng).supercell([1, 2, 1])
    together = model.embed(Crystals.concatenate([other, same]))
    np.testing.assert_allclose(
        together[1], alone[0], atol=EMBEDDING_TOLERANCE, rtol=EMBEDDING_TOLERANCE
    )


@given(st.lists(crystals, min_size=1, max_size=4))
def test_energies_beside_embeddings_are_those_without(model, batch):
    together = Crystals.concatenate(batch)
    found, embeddings = model.predict_and_embed(together)
    alone = model.predict(together)
    np.testing.assert_allclose(
        found.members, alone.members, atol=EMBEDDING_TOLERANCE, rtol=EMBEDDING_TOLERANCE
    )
    assert np.isfinite(embeddings).all(axis=1).tolist() == alone.predicted.tolist()


def test_no_embedding_where_there_is_no_prediction(model):
    batch = Crystals.concatenate(
        [
            Crystals.single(a * np.eye(3), [z], [[0, 0, 0]])
            for a, z in ((2.5, 29), (2.5, 92), (9, 29))
        ]
    )
    missing = np.isnan(model.embed(batch)).all(axis=1)
    assert missing.tolist() == (~model.predict(batch).predicted).tolist() == [False, True, True]


def test_fitting_and_checking_rows_are_other_formulas(calibrated, trained, data):
    found = load_calibration(calibrated, sha256_of(trained)).card
    hashes = formula_hashes(data.crystals.reduced_formulas)
    assert (found.fitted_hashes, found.checked_hashes) == ((40, 69), (70, 99))
    assert found.fitted_rows == np.sum((hashes >= 40) & (hashes < 70))
    assert found.checks[0].rows == np.sum(hashes >= 70)
    assert found.scheme == "synthetic"
    assert [row.level for row in found.checks[0].coverage] == [0.5, 0.8, 0.9, 0.95]


def test_rows_of_another_kind_fit_and_are_told(model, trained, data):
    other = Labelled(data.crystals[:30], data.values[:30] + 2.0, "others")
    card = calibrate(model, sha256_of(trained), data, unlike=(other,)).card
    plain = calibrate(model, sha256_of(trained), data).card
    assert (card.unlike, card.unlike_rows, plain.unlike, plain.unlike_rows) == ("others", 30, "", 0)
    assert card.fitted_rows == plain.fitted_rows
    width = [c.checks[0].coverage[3].mean_half_width for c in (card, plain)]
    assert width[0] > width[1], "rows two eV/atom off widen the intervals"


def test_the_default_halves_are_75_to_79_and_80_to_84(model):
    card = model.card.model_copy(update={"config": TrainConfig().model_dump(mode="json")})
    assert held_out_hashes(card) == (75, 80, 85)
    every = TrainConfig.small().model_dump(mode="json")
    with pytest.raises(ValueError, match="held out 0"):
        held_out_hashes(card.model_copy(update={"config": every}))


def test_a_calibration_of_another_model_is_refused(calibrated, trained, tmp_path):
    with pytest.raises(CalibrationError, match="belongs to another model"):
        load_calibration(calibrated, "0" * 64)
    with pytest.raises(CalibrationError, match="is no calibration"):
        load_calibration(trained, sha256_of(trained))
    cut = tmp_path / "cut"
    cut.write_bytes(calibrated.read_bytes()[:-1])
    with pytest.raises(ModelFileError, match="damaged"):
        load_calibration(cut, sha256_of(trained))


def test_the_calibration_is_the_same_again_and_small(calibrated, trained, model, data):
    again = calibrate(model, sha256_of(trained), data)
    stored = load_calibration(calibrated, sha256_of(trained))
    assert again.card.model_copy(update={"stamp": stored.card.stamp}) == stored.card
    assert again.domain.threshold == stored.domain.threshold
    for name in ("center", "axes", "references"):
        np.testing.assert_array_equal(getattr(again.domain, name), getattr(stored.domain, name))
    assert calibrated.stat().st_size < 100_000


# --- commands -------------------------------------------------------------------------------------


def run(*arguments: object) -> dict | list:
    """What a command prints as JSON."""
    app = typer.Typer()
    app.command("predict")(function_of(COMMANDS["predict"]))
    app.command("calibrate")(function_of(COMMANDS["model calibrate"]))
    done = CliRunner().invoke(app, [str(a) for a in arguments])
    if done.exception is not None:
        raise done.exception
    return json.loads(done.stdout) if "--json" in arguments else done.stdout


@pytest.fixture(scope="module")
def table(data, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("data") / "data.parquet"
    rows = pa.table({"id": data.crystals.ids.tolist(), "formation_energy_per_atom": data.values})
    io.write(path, data.crystals, rows=rows)
    return path


def test_calibrate_and_predict_by_command(trained, calibrated, table, tmp_path, data):
    out = tmp_path / "again.calibration"
    told = run("calibrate", trained, table, "--out", out, "--also", table, "--json")
    assert len(told["checks"]) == 2
    assert told["checks"][1]["rows"] == len(data.crystals)
    assert load_calibration(out, sha256_of(trained)).domain is not None
    with pytest.raises(FileExistsError, match="choose another --out"):
        run("calibrate", trained, table, "--out", out)
    rows = run("predict", trained, table, "--level", 0.9, "--json")
    stored = load_calibration(calibrated, sha256_of(trained))
    predictions = load_model(trained).predict(data.crystals)
    distances = stored.domain.distances(load_model(trained).embed(data.crystals))
    widths = stored.card.conformal.half_widths(predictions, 0.9, distances)
    for row, width, there in zip(rows, widths, predictions.predicted, strict=True):
        assert (row["reason"] == "") == there
        assert there or row["out_of_distribution"]
        if there:
            assert row["interval_high"] - row["interval_low"] == pytest.approx(2 * width)
            middle = (row["interval_high"] + row["interval_low"]) / 2
            assert middle == pytest.approx(row["predicted_formation_energy_per_atom"])


def test_a_calibration_holds_for_the_scalings_that_it_was_made_with(trained, calibrated, table):
    with pytest.raises(CalibrationError, match="no scalings, not with 3 scalings of volume"):
        run("predict", trained, table, "--scalings", 3)
    rows = run("predict", trained, table, "--scalings", 3, "--no-calibration", "--json")
    assert "interval_low" not in rows[0]
    factors = {row["volume_factor"] for row in rows if row["reason"] == ""}
    assert factors <= set((AugmentConfig(scalings=3).lengths ** 3).tolist())


def test_energies_above_a_hull(trained, calibrated, table, tmp_path, data):
    symbols = ["Li", "O", "Al", "Si", "Cu"]
    phases = tmp_path / "phases.parquet"
    zeros = [0.0] * len(symbols)
    pq.write_table(
        pa.table({"reduced_formula": symbols, "formation_energy_per_atom": zeros}), phases
    )
    rows = run("predict", trained, table, "--hull", phases, "--json")
    hull = Hull(Phases(np.array(symbols, object), compositions(symbols), np.zeros(5), "synthetic"))
    answered = 0
    for crystal, row in zip(data.crystals, rows, strict=True):
        energy, above = row["predicted_formation_energy_per_atom"], row["predicted_e_above_hull"]
        if set(crystal.chemical_systems[0].split("-")) <= set(symbols) and energy is not None:
            expected = hull.e_above_hull(crystal.composition, np.array([energy]))[0]
            assert above == pytest.approx(expected)
            answered += 1
        else:
            assert above is None
            assert row["reason"]
    assert 0 < answered < len(rows)


def test_predictions_stream_in_row_groups(trained, calibrated, table, tmp_path, monkeypatch):
    """As many chunks as it takes: the file is the same but for its row groups."""
    whole, parts = tmp_path / "whole.parquet", tmp_path / "parts.parquet"
    run("predict", trained, table, "--out", whole)
    monkeypatch.setattr(shared, "iter_read", lambda *a, **k: io.iter_read(*a, **k, chunk=50))
    run("predict", trained, table, "--out", parts)
    assert pq.ParquetFile(whole).num_row_groups == 1
    assert pq.ParquetFile(parts).num_row_groups == 5
    one, other = pq.read_table(whole), pq.read_table(parts)
    assert one.drop_columns(_FLOATS).equals(other.drop_columns(_FLOATS))
    for name in _FLOATS:
        np.testing.assert_allclose(one[name], other[name], atol=1e-3)
    facts = json.loads(pq.read_schema(parts).metadata[b"gnomon"])
    assert (facts["scheme"], facts["interval_level"]) == ("synthetic", 0.8)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["parts.parquet", "whole.parquet"]


_FLOATS = [
    "predicted_formation_energy_per_atom",
    "uncertainty",
    "interval_low",
    "interval_high",
    "distance_to_training",
]
