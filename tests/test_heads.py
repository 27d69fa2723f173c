"""Heads on frozen features: bagging, training, files, and those in the package."""

import sys
from pathlib import Path

import ase
import ase.build
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from gnomon.crystals import Crystals
from gnomon.io import as_crystals, from_arrow
from gnomon.io.tables import OK
from gnomon.learn.heads import HeadsConfig, bags, bootstraps, out_of_bag, train_heads
from gnomon.learn.model_file import read_model_file
from gnomon.learn.optimize import OptimizerConfig
from gnomon.models.card import Labelled
from gnomon.models.ensemble import load_model, train_into
from gnomon.models.heads import HeadsModel, HeadsModelConfig, class_errors, train_on_bodies
from gnomon.properties.registry import PROPERTIES, PropertySettings

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))
from crystals_of_mp import table_of

FAST = OptimizerConfig(epochs=10, batch=32, learning_rate=1e-2)
SALT = as_crystals([ase.build.bulk("NaCl", "rocksalt", a=5.64), ase.build.bulk("Cu")])


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 9))
def test_a_bag_holds_as_many_of_either_kind(positive, unlabelled, seed):
    kind = np.arange(positive + unlabelled) < positive
    found = bags(kind, ~kind, 3, seed)
    size = min(positive, unlabelled)
    assert found.rows.shape == (3, 2 * size)
    assert np.array_equal(kind[found.rows], found.values == 1)
    again = bags(kind, ~kind, 3, seed)
    assert np.array_equal(found.rows, again.rows)


@given(st.integers(2, 30), st.integers(0, 9))
def test_out_of_bag_is_what_a_head_did_not_draw(rows, seed):
    draws = bootstraps(np.zeros(rows), 4, seed)
    left = out_of_bag(np.ones((4, rows)), draws.rows)
    for head, drawn in zip(left, draws.rows, strict=True):
        assert set(np.flatnonzero(np.isnan(head))) == set(drawn.tolist())


def test_bags_without_one_kind_are_refused():
    with pytest.raises(ValueError, match="0 positive and 3 unlabelled"):
        bags(np.zeros(3, bool), np.ones(3, bool), 2, 0)


@given(st.lists(st.integers(0, 5), min_size=1), st.lists(st.integers(0, 5), min_size=1))
def test_the_area_under_the_curve_is_that_of_scikit_learn(positive, negative):
    found = class_errors(np.array(positive, float), np.array(negative, float))
    truth = [1] * len(positive) + [0] * len(negative)
    assert found.auc == pytest.approx(roc_auc_score(truth, positive + negative))


def test_positives_hidden_among_the_unlabelled_score_as_the_known_ones_do():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(400, 3)).astype(np.float32)
    made = features[:, 0] > 0
    known = made & (rng.random(400) < 0.6)
    draws = bags(known, ~known, 20, 0)
    heads = train_heads(features, draws, HeadsConfig(rounds=20, hidden=8, optimizer=FAST))
    score = np.nanmean(out_of_bag(heads.answers(features), draws.rows), axis=0)
    hidden, never = score[made & ~known], score[~made]
    assert class_errors(hidden, never).auc > 0.9
    assert abs(np.median(hidden) - np.median(score[known])) < 0.2


def test_amounts_are_never_below_zero_and_are_learned():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(300, 2)).astype(np.float32)
    truth = np.maximum(features[:, 0], 0).astype(float)
    longer = FAST.model_copy(update={"epochs": 60})
    config = HeadsConfig(answer="amount", rounds=4, hidden=8, optimizer=longer)
    said = train_heads(features, bootstraps(truth, 4, 0), config).answers(features)
    assert said.min() >= 0
    assert np.abs(said.mean(axis=0) - truth).mean() < 0.15


def test_a_model_of_heads_is_kept_whole_and_says_why_it_has_no_answer(tmp_path):
    rocksalts = [ase.build.bulk("NaCl", "rocksalt", a=a) for a in np.linspace(5.2, 6.2, 12)]
    crystals = as_crystals(rocksalts)
    large = crystals.volumes > np.median(crystals.volumes)
    config = HeadsModelConfig(
        train_below=100,
        validate_below=100,
        heads=HeadsConfig(rounds=3, hidden=4, optimizer=FAST),
    )
    data = Labelled(crystals, large.astype(float), "made up", "large (1)")
    model = train_into(tmp_path / "m", train_on_bodies, data, config)
    kept = HeadsModel.read(read_model_file(tmp_path / "m"))
    assert kept.card == model.card
    alone = Crystals.single(30 * np.eye(3), [29], [[0, 0, 0]])
    asked = Crystals.concatenate([crystals, alone])
    one, other = model.predict(asked), load_model(tmp_path / "m").predict(asked)
    np.testing.assert_allclose(one.members, other.members, atol=0.02)
    assert one.reasons[-1].startswith("no two atoms within")
    assert np.isnan(one.members[:, -1]).all()
    assert (one.reasons[:-1] == "").all()


@pytest.mark.parametrize("name", ["band_gap", "is_metal", "synthesizability"])
def test_properties_of_heads_have_values_in_their_range(name):
    alone = Crystals.single(30 * np.eye(3), [29], [[0, 0, 0]])
    made = PROPERTIES.get(name)(PropertySettings())
    rows = made.compute(Crystals.concatenate([SALT, alone]), {}).to_pylist()
    for row in rows[:2]:
        assert row["status"] == OK
        assert 0 <= row["value"] <= (1 if name != "band_gap" else 10)
        assert 0 <= row["uncertainty"] < 5
    assert rows[2]["status"].startswith("no two atoms")
    assert rows[2]["value"] is None


def test_rock_salt_has_a_gap_and_copper_none():
    gap, metal = (
        PROPERTIES.get(name)(PropertySettings()).compute(SALT, {})["value"].to_pylist()
        for name in ("band_gap", "is_metal")
    )
    assert gap[0] > 3
    assert gap[1] < 0.3
    assert metal[0] < 0.2
    assert metal[1] > 0.6


def test_critical_temperatures_are_those_of_superconductors_and_of_no_salt():
    boride = ase.Atoms(
        "MgB2",
        scaled_positions=[(0, 0, 0), (1 / 3, 2 / 3, 0.5), (2 / 3, 1 / 3, 0.5)],
        cell=[3.09, 3.09, 3.52, 90, 90, 120],
        pbc=True,
    )
    crystals = as_crystals([ase.build.bulk("NaCl", "rocksalt", a=5.64), boride])
    asked, known = PropertySettings(), {}
    for name in ("is_metal", "superconducting_tc"):
        known[name] = PROPERTIES.get(name)(asked).compute(crystals, known)
    salt, boride = known["superconducting_tc"].to_pylist()
    assert salt["status"].startswith("probably has a band gap")
    assert salt["value"] is None
    assert boride["status"] == OK
    assert 20 < boride["value"] < 60  # 39 K
    assert known["superconducting_tc"].schema.field("value").metadata[b"unit"] == b"K"


def test_documents_of_the_materials_project_become_a_table():
    structure = {  # a summary document as recorded, less what is not asked for
        "@module": "pymatgen.core.structure",
        "@class": "Structure",
        "lattice": {"matrix": [[0, 2.8, 2.8], [2.8, 0, 2.8], [2.8, 2.8, 0]]},
        "sites": [
            {"species": [{"element": "Na", "occu": 1}], "abc": [0, 0, 0]},
            {"species": [{"element": "Cl", "occu": 1}], "abc": [0.5, 0.5, 0.5]},
        ],
    }
    good = {
        "material_id": "mp-22862",
        "structure": structure,
        "band_gap": 5.0,
        "theoretical": False,
    }
    table, lost = table_of([good, good | {"band_gap": None}, {"material_id": "mp-1"}])
    assert (len(table), lost) == (1, 2)
    assert table.select(["band_gap", "made"]).to_pylist() == [{"band_gap": 5.0, "made": 1.0}]
    assert from_arrow(table).reduced_formulas.tolist() == ["NaCl"]
