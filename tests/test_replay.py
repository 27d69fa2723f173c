"""The replay of a campaign: oracles, chance, and what a strategy must never see."""

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from gnomon.cli import main
from gnomon.cli.shared import ENERGIES
from gnomon.crystals import Crystals
from gnomon.io import to_arrow
from gnomon.models import Predictions
from gnomon.models.card import Labelled
from gnomon.models.composition.model import CompositionModel, initial_networks
from gnomon.models.composition.network import CompositionConfig
from gnomon.models.target import Target
from gnomon.replay.curves import acceleration, curve
from gnomon.replay.gaussian import condition, whitened
from gnomon.replay.learners import CorrectedLearner, Forecast, Revealed, RidgeLearner
from gnomon.replay.linear import fit
from gnomon.replay.loop import Means, Plan, replay_all
from gnomon.replay.parents import substitution_probability
from gnomon.replay.plot import page, summary
from gnomon.replay.pool import Answers, Replay, make_replay, split_by_year
from gnomon.replay.strategies import NAMES, log_expected_improvement
from gnomon.run.writing import write_parquet
from tests.strategies import random_crystal

N_POOL, N_KNOWN = 120, 60

ENERGY_TOLERANCE = 1e-6
"""eV/atom; rounding of solved linear systems."""


def labelled(n: int, seed: int, scheme: str, shift: float = 0.0) -> Labelled:
    """Random crystals whose energies depend on their elements, with noise."""
    rng = np.random.default_rng(seed)
    crystals = Crystals.concatenate([random_crystal(rng) for _ in range(n)])
    fractions = crystals.composition / crystals.n_atoms[:, None]
    of_element = np.random.default_rng(99).normal(0, 0.5, 119)
    energies = fractions @ of_element + rng.normal(0, 0.05, n) + shift
    return Labelled(crystals, energies, scheme=scheme)


@pytest.fixture(scope="module")
def replayed() -> Replay:
    return make_replay(labelled(N_POOL, 1, "b", 0.1), labelled(N_KNOWN, 2, "a"), threshold=0.05)


class Told:
    """A learner that says what it was given; as an oracle, the truth."""

    name = "told"

    def __init__(self, energies: np.ndarray) -> None:
        self.energies = energies

    def forecast(self, pool, revealed, *, seed):
        spread = np.full(len(pool), 0.01)
        return Forecast(self.energies, spread, self.energies - pool.hull_energy)


def truth_of(replayed: Replay) -> np.ndarray:
    return replayed.answers.reveal(np.arange(len(replayed.pool)))


@pytest.mark.parametrize("strategy", ["greedy", "ucb", "ei", "composition"])
def test_an_oracle_finds_all_first(replayed, tmp_path, strategy):
    oracle = Told(truth_of(replayed))
    total = int(replayed.truth.stable_known.sum())
    assert 5 < total < N_POOL / 2, total
    plan = Plan(batch=total, rounds=1, seeds=1)
    runs = replay_all(replayed, [strategy], Means(oracle, oracle), plan, tmp_path)
    assert curve(runs[strategy], replayed.truth.stable_known).mean.tolist() == [0, total]


def test_chance_finds_what_the_hypergeometric_law_expects(replayed, tmp_path):
    plan = Plan(batch=12, rounds=3, seeds=60)
    runs = replay_all(replayed, ["random"], Means(), plan, tmp_path)["random"]
    drawn = curve(runs, replayed.truth.stable_known)
    total = int(replayed.truth.stable_known.sum())
    for fraction in (0.1, 0.2, 0.3):
        share = total / N_POOL
        n = round(fraction * N_POOL)
        deviation = np.sqrt(n * share * (1 - share) * (N_POOL - n) / (N_POOL - 1) / 60)
        found = np.interp(n, drawn.evaluations, drawn.mean)
        assert abs(found - n * share) < 4 * deviation  # 1 in 16,000
        assert acceleration(drawn, fraction, total, N_POOL).factor == pytest.approx(1, abs=0.35)
    assert runs[0] != runs[1]


@pytest.mark.parametrize("strategy", NAMES)
def test_no_choice_depends_on_answers_that_are_still_hidden(replayed, tmp_path, strategy):
    ridge = RidgeLearner()
    means = Means(ridge, ridge, np.linspace(0, 1, N_POOL))
    plan = Plan(batch=10, rounds=4, seeds=1)

    def chosen(answers: Answers, folder: str) -> list[tuple[int, ...]]:
        other = Replay(replayed.pool, answers, replayed.truth, {}, ())
        rounds = replay_all(other, [strategy], means, plan, tmp_path / folder)[strategy][0]
        return [r.chosen for r in rounds]

    first = chosen(replayed.answers, "as is")
    paid = np.array([i for batch in first[:-1] for i in batch])
    hidden = np.setdiff1d(np.arange(N_POOL), paid)
    energies = truth_of(replayed)
    energies[hidden] = np.random.default_rng(5).permutation(energies[hidden]) + 3.0
    assert chosen(Answers(energies), "permuted") == first
    assert len(set(np.concatenate(first).tolist())) == 40, "no row is paid for twice"


def test_what_is_revealed_does_change_choices(replayed, tmp_path):
    ridge = RidgeLearner()
    plan = Plan(batch=10, rounds=3, seeds=1)
    ways = []
    for shift in (0.0, 1.0):
        energies = truth_of(replayed)
        energies[::2] += shift
        other = Replay(replayed.pool, Answers(energies), replayed.truth, {}, ())
        folder = tmp_path / str(shift)
        ways.append(replay_all(other, ["greedy"], Means(ridge, ridge), plan, folder)["greedy"][0])
    assert ways[0][0].chosen == ways[1][0].chosen
    assert ways[0][2].chosen != ways[1][2].chosen


def test_a_killed_replay_goes_on_to_the_same_rounds(replayed, tmp_path):
    ridge = RidgeLearner()
    means, plan = Means(ridge, ridge), Plan(batch=10, rounds=4, seeds=2)
    whole = replay_all(replayed, ["ei", "random"], means, plan, tmp_path / "whole")
    replay_all(replayed, ["ei", "random"], means, Plan(10, 2, 2), tmp_path / "killed")
    torn = tmp_path / "killed" / "rounds" / "ei-000.jsonl"
    torn.write_bytes(torn.read_bytes()[:-7])
    assert replay_all(replayed, ["ei", "random"], means, plan, tmp_path / "killed").keys()
    for name in ("ei-000", "ei-001", "random-001"):
        files = [tmp_path / f / "rounds" / f"{name}.jsonl" for f in ("whole", "killed")]
        assert files[0].read_bytes() == files[1].read_bytes()
    assert whole["ei"][0] != whole["ei"][1], "seeds differ"


def test_rounds_of_other_settings_are_refused(replayed, tmp_path):
    replay_all(replayed, ["random"], Means(), Plan(10, 1, 1), tmp_path)
    with pytest.raises(ValueError, match="other settings"):
        replay_all(replayed, ["random"], Means(), Plan(11, 1, 1), tmp_path)


class Fixed:
    """An energy model of the scheme of the known crystals, right but for that."""

    scheme = "a"

    def __init__(self, energies: np.ndarray) -> None:
        self.energies = energies

    def predict(self, crystals):
        members = np.stack([self.energies - 0.01, self.energies, self.energies + 0.01])
        return Predictions(members, np.full(len(crystals), "", dtype=object))


def test_the_shift_between_schemes_is_fitted_and_reported(replayed, tmp_path):
    learner = CorrectedLearner(Fixed(truth_of(replayed) - 0.1), "fixed")
    runs = replay_all(replayed, ["greedy"], Means(learner), Plan(20, 4, 1), tmp_path)
    rounds = runs["greedy"][0]
    assert rounds[0].offset["constant"] == 0
    assert rounds[0].mae == pytest.approx(0.1, abs=0.011)  # the members are 0.01 apart
    assert rounds[3].mae < 0.03
    # part of the shift may go to the elements, whose fractions sum to 1
    assert 0.03 < rounds[3].offset["constant"] < 0.12


class Seeing(Fixed):
    """The same, wrong by 0.3 eV/atom where the first number that it sees is positive."""

    def predict_and_embed(self, crystals):
        embeddings = np.random.default_rng(3).normal(size=(len(crystals), 2)).astype(np.float32)
        found = self.predict(crystals)
        wrong = type(found)(found.members + 0.3 * (embeddings[:, 0] > 0), found.reasons)
        return wrong, embeddings


def test_an_ensemble_learns_where_it_errs(replayed):
    truth = truth_of(replayed)
    every = np.arange(N_POOL)
    told, rest = every[: N_POOL // 2], every[N_POOL // 2 :]
    learner = CorrectedLearner(Seeing(truth), "seeing")
    before = learner.forecast(replayed.pool, Revealed(told[:0], truth[:0]), seed=0)
    after = learner.forecast(replayed.pool, Revealed(told, truth[told]), seed=0)
    plain = CorrectedLearner(Fixed(learner._see(replayed.pool.crystals)[0].median), "fixed")
    linear = plain.forecast(replayed.pool, Revealed(told, truth[told]), seed=0)
    errors = [np.abs(f.energy - truth)[rest].mean() for f in (before, linear, after)]
    assert errors[2] < 0.7 * min(errors[:2]), errors
    assert (after.spread[told] < before.spread[told]).all()


def test_a_gaussian_process_without_a_smooth_part_is_bayesian_regression(monkeypatch):
    monkeypatch.setattr("gnomon.replay.gaussian.AMPLITUDES", (1e-6,))
    rng = np.random.default_rng(0)
    features, prior = rng.normal(size=(30, 4)), np.array([0.5, 1.0, 2.0, 0.1])
    rows = np.arange(20)
    targets = features[rows] @ [0.3, -0.2, 1.0, 0.0] + rng.normal(0, 0.1, 20)
    found = condition(features, prior, np.zeros((30, 1)), rows, targets, 0.1)
    expected = fit(features[rows], targets, prior, 0.1)
    np.testing.assert_allclose(found.mean, expected.predict(features), atol=ENERGY_TOLERANCE)
    np.testing.assert_allclose(found.linear, expected.mean, atol=ENERGY_TOLERANCE)
    np.testing.assert_allclose(found.deviation, expected.spread(features), atol=ENERGY_TOLERANCE)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_a_gaussian_process_is_surer_for_every_answer_and_right_about_it(seed):
    rng = np.random.default_rng(seed)
    coordinates = rng.normal(size=(12, 2))
    nothing = np.zeros((12, 1))
    targets = rng.normal(0, 0.1, 12)
    rows = rng.permutation(12)[: rng.integers(1, 12)]
    prior = condition(nothing, np.ones(1), coordinates, rows[:0], targets[:0], 1e-3)
    found = condition(nothing, np.ones(1), coordinates, rows, targets[rows], 1e-3)
    assert (prior.mean == 0).all()
    assert (found.deviation <= found.amplitude + ENERGY_TOLERANCE).all()
    assert (found.deviation[rows] <= 1.1e-3).all(), "not above the noise where it was told"


def test_whitened_coordinates_have_unit_length_on_average_and_need_no_prediction():
    rng = np.random.default_rng(0)
    seen = rng.normal(size=(50, 6)) * [1, 2, 3, 4, 5, 6] + 7
    seen[3] = np.nan
    found = whitened(seen, 4)
    assert (found[3] == 0).all()
    np.testing.assert_allclose((np.delete(found, 3, axis=0) ** 2).sum(axis=1).mean(), 1)
    assert whitened(np.repeat(seen[:1], 5, axis=0), 4).shape == (5, 1)


def test_a_composition_ensemble_ranks_formulas(replayed):
    shape = CompositionConfig(width=4, passes=0, heads=1, hidden=2, readout=(4,))
    target = Target(np.zeros(119), np.ones(119, bool), 0.0, 1.0)
    model = CompositionModel(initial_networks(shape, 1, 0), target)
    crystals = replayed.pool.crystals
    learner = CorrectedLearner(model, "formulas")
    found = learner.forecast(replayed.pool, Revealed(np.zeros(0, int), np.zeros(0)), seed=0)
    expected = model.predict(crystals).median
    np.testing.assert_array_equal(found.energy, expected)
    assert np.ptp(found.energy) > 0


@settings(max_examples=25)
@given(st.floats(-3, 3), st.floats(0.01, 1), st.floats(-0.1, 0.1))
def test_expected_improvement_is_its_integral(above, spread, threshold):
    z = (threshold - above) / spread
    plain = spread * (norm.pdf(z) + z * norm.cdf(z))
    found = log_expected_improvement(np.array([above]), np.array([spread]), threshold)[0]
    if z > -6:  # further out the plain formula cancels
        assert found == pytest.approx(np.log(plain), abs=1e-6)
    nearer = log_expected_improvement(np.array([above - 0.01]), np.array([spread]), threshold)[0]
    assert nearer > found


def rocksalt(first: int, second: int) -> Crystals:
    lattice = [[0, 2.8, 2.8], [2.8, 0, 2.8], [2.8, 2.8, 0]]
    return Crystals.single(lattice, [first, second], [[0, 0, 0], [0.5, 0.5, 0.5]])


def test_substitutions_of_like_for_like_are_the_probable_ones():
    children = [rocksalt(19, 17), rocksalt(26, 17), rocksalt(11, 17), rocksalt(17, 11)]
    odd = Crystals.single(np.eye(3) * 4, [11, 11, 17], np.eye(3) / 2)
    found = substitution_probability(Crystals.concatenate([*children, odd]), rocksalt(11, 17))
    assert found[2] == found[3] == 1
    assert 1 > found[0] > found[1]
    assert found[4] == 0


def test_known_crystals_of_the_pool_are_not_learned_from():
    pool, known = labelled(20, 1, "a"), labelled(10, 2, "a")
    both = Labelled(
        Crystals.concatenate([known.crystals, pool.crystals[:5]]),
        np.r_[known.values, pool.values[:5]],
        scheme="a",
    )
    replayed = make_replay(pool, both)
    assert len(replayed.pool.known) == 10
    assert replayed.left_out["known crystals that are in the pool"] == 5
    assert (replayed.truth.e_above_final >= 0).all()
    assert (replayed.truth.e_above_final >= replayed.truth.e_above_known).all()


def test_years_part_what_is_known_from_what_is_to_be_found():
    every = labelled(6, 1, "a")
    year = np.array([2000, 2001, np.nan, 2002, 2003, 2003])
    pool, known = split_by_year(every, year, 2001)
    assert known.crystals.ids.tolist() == every.crystals.ids[:2].tolist()
    assert pool.crystals.ids.tolist() == every.crystals.ids[3:].tolist()
    with pytest.raises(ValueError, match="2000 to 2003"):
        split_by_year(every, year, 2003)


def test_mistakes_are_refused(replayed, tmp_path):
    with pytest.raises(ValueError, match="batch is 0"):
        Plan(0, 1, 1)
    with pytest.raises(ValueError, match="at least one"):
        replay_all(replayed, [], Means(), Plan(1, 1, 1), tmp_path)
    with pytest.raises(ValueError, match="nothing to rank by"):
        replay_all(replayed, ["greedy"], Means(), Plan(1, 1, 1), tmp_path)
    with pytest.raises(ValueError, match="nothing to choose"):
        make_replay(labelled(1, 1, "a"), labelled(5, 2, "a"))


def test_summary_and_page_show_every_strategy(replayed, tmp_path):
    ridge = RidgeLearner()
    means, plan = Means(ridge, ridge), Plan(12, 2, 3)
    runs = replay_all(replayed, ["random", "greedy"], means, plan, tmp_path)
    found = json.loads(json.dumps(summary(replayed, runs, (0.1, 0.9)), allow_nan=False))
    greedy = found["strategies"]["greedy"]
    assert [a["fraction"] for a in greedy["acceleration"]] == [0.1], "0.9 was not reached"
    low, high = (greedy["acceleration"][0][k] for k in ("low", "high"))
    assert low <= greedy["acceleration"][0]["factor"] <= high
    html = page(found)
    assert "greedy" in html
    assert 'src="http' not in html


def test_the_command_refuses_what_contradicts_itself(capsys):
    assert main(["replay", "x.parquet", "--out", "y"]) == 2
    assert "--known or --learn-until" in capsys.readouterr().err
    assert main(["replay", "x.parquet", "--out", "y", "--strategies", "luck"]) == 2
    command = ["replay", "x.parquet", "--known", "k.parquet", "--out", "y"]
    assert main([*command, "--composition-model", "composition-1", "--strategies", "greedy"]) == 2
    assert "needs composition" in capsys.readouterr().err


def test_the_command_hides_the_column_that_is_named(tmp_path, capsys):
    """Stable is what the named energies say; a file without the column is refused by its name."""
    pool, known = labelled(20, 1, "b"), labelled(20, 2, "a")
    low = np.arange(20) < 7
    table = to_arrow(pool.crystals).append_column(ENERGIES, pa.array(np.full(20, 9.0)))
    table = table.append_column("other", pa.array(np.where(low, -9.0, 9.0)))
    write_parquet(tmp_path / "pool.parquet", table)
    known_table = to_arrow(known.crystals).append_column(ENERGIES, pa.array(known.values))
    write_parquet(tmp_path / "known.parquet", known_table)
    command = ["replay", str(tmp_path / "pool.parquet"), "--out", str(tmp_path / "out")]
    command += ["--known", str(tmp_path / "known.parquet"), "--strategies", "random"]
    command += ["--batch", "5", "--rounds", "2", "--seeds", "1", "--json"]
    assert main([*command, "--energies", "other"]) == 0
    assert json.loads(capsys.readouterr().out)["stable_against_known"] == low.sum()
    assert main([*command, "--energies", "missing"]) != 0
    assert "no column missing" in capsys.readouterr().err
    assert main(["replay", "p", "--out", "y", "--learn-until", "2000", "--energies", "x"]) == 2
