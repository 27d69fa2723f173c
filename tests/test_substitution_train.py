"""Learned tables of substitution: the optimum, the pairs it is learned from, the files."""

import json

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import logsumexp

from gnomon.chemistry.oxidation import ions, nearest_ions
from gnomon.cli import main
from gnomon.crystals import Crystals
from gnomon.elements import atomic_number
from gnomon.generate.substitution.generator import SubstitutionGenerator
from gnomon.generate.substitution.model import SubstitutionModel
from gnomon.generate.substitution.tables import learned_model, read_table, write_table
from gnomon.generate.substitution.training import (
    compare,
    fit_weights,
    ion_pairs,
    label,
    log_likelihood,
    train,
)
from gnomon.io import from_arrow, write
from tests.strategies import rewritten, rngs

FCC = np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
ROUNDING = 1e-9  # relative; sums of exponentials


def penalised_loss(weights, counts, l2):
    """What ``fit_weights`` minimises, and its exact gradient."""
    log_z = logsumexp(weights)
    loss = counts.sum() * log_z - (counts * weights).sum() + l2 / 2 * (weights**2).sum()
    return float(loss), counts.sum() * np.exp(weights - log_z) - counts + l2 * weights


def numbers(*symbols):
    return np.array([atomic_number(s) for s in symbols])


def rocksalt(a, *elements):
    return Crystals.single(FCC * a, numbers(*elements), [[0, 0, 0], [0.5, 0.5, 0.5]])


def caesium_chloride(a, *elements):
    return Crystals.single(np.eye(3) * a, numbers(*elements), [[0, 0, 0], [0.5, 0.5, 0.5]])


HALIDES = Crystals.concatenate(
    [rocksalt(5.64, "Na", "Cl"), rocksalt(6.29, "Cl", "K"), rocksalt(6.60, "K", "Br")]
)
ALLOYS = Crystals.concatenate(
    [caesium_chloride(2.95, "Cu", "Zn"), caesium_chloride(3.16, "Ag", "Cd")]
)


def random_counts(rng):
    n = int(rng.integers(2, 6))
    counts = rng.integers(0, 50, (n, n)) * (rng.random((n, n)) < 0.6)
    counts[0, 1] += 1
    return (counts + counts.T).astype(np.float64)


# --- the optimum ----------------------------------------------------------------------------------


@given(rngs, st.floats(0.01, 10))
def test_the_gradient_is_that_of_finite_differences(rng, l2):
    counts = random_counts(rng)
    weights, direction = rng.normal(size=counts.shape), rng.normal(size=counts.shape)
    _, gradient = penalised_loss(weights, counts, l2)
    step = 1e-5
    ahead, _ = penalised_loss(weights + step * direction, counts, l2)
    behind, _ = penalised_loss(weights - step * direction, counts, l2)
    # second differences of a loss of up to 1e4 in steps of 1e-5: 1e-6 of rounding
    assert (ahead - behind) / (2 * step) == pytest.approx((gradient * direction).sum(), abs=1e-4)


@given(rngs, st.floats(0.01, 10))
def test_at_the_optimum_the_gradient_vanishes(rng, l2):
    counts = random_counts(rng)
    weights = fit_weights(counts, l2)
    _, gradient = penalised_loss(weights, counts, l2)
    assert np.abs(gradient).max() < ROUNDING * counts.sum()
    np.testing.assert_array_equal(weights, weights.T)


def test_the_optimum_is_the_one_that_lbfgs_finds():
    counts = random_counts(np.random.default_rng(0))
    shape = counts.shape

    def flat(x):
        loss, gradient = penalised_loss(x.reshape(shape), counts, 0.5)
        return loss, gradient.ravel()

    found = minimize(flat, np.zeros(counts.size), jac=True, method="L-BFGS-B", tol=1e-14)
    # L-BFGS stops where the loss, of 1e3, changes in its last digits
    np.testing.assert_allclose(fit_weights(counts, 0.5), found.x.reshape(shape), atol=1e-3)


def test_a_weak_penalty_gives_the_shares_of_the_pairs():
    counts = np.array([[6.0, 2.0], [2.0, 10.0]])
    weights = fit_weights(counts, 1e-6)
    shares = np.exp(weights) / np.exp(weights).sum()
    np.testing.assert_allclose(shares, counts / 20, rtol=1e-5)


# --- pairs ----------------------------------------------------------------------------------------


def test_pairs_of_three_rock_salts():
    pairs = ion_pairs(label(HALIDES))
    assert pairs.species == ("Br-", "Cl-", "K+", "Na+")
    assert pairs.crystal_pairs == 3
    expected = np.zeros((4, 4))
    expected[1, 1] = expected[2, 2] = 2  # Cl and K stay in one pair each, seen from both sides
    expected[0, 1] = expected[1, 0] = expected[2, 3] = expected[3, 2] = 2
    np.testing.assert_array_equal(pairs.counts, expected)


@settings(max_examples=10)
@given(rngs)
def test_how_crystals_are_written_changes_no_pair(rng):
    again = [rewritten(c, rng) for c in (*HALIDES, *ALLOYS)]
    order = rng.permutation(len(again))
    pairs = ion_pairs(label(Crystals.concatenate([again[i] for i in order])))
    expected = ion_pairs(label(Crystals.concatenate([HALIDES, ALLOYS])))
    assert pairs.species == expected.species
    np.testing.assert_array_equal(pairs.counts, expected.counts)


def test_the_same_compound_twice_is_no_pair():
    twice = Crystals.concatenate([HALIDES, HALIDES.scale_volume(1.05)])
    assert ion_pairs(label(twice)).crystal_pairs == 3


def test_metals_are_neutral_and_no_pairs_of_ionic_compounds():
    chloride = caesium_chloride(4.12, "Cs", "Cl")
    labelled = label(Crystals.concatenate([ALLOYS, chloride]))
    assert {"Cu0", "Zn0", "Ag0", "Cd0", "Cs+", "Cl-"} == {i for row in labelled.ions for i in row}
    assert ion_pairs(labelled).crystal_pairs == 1


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"Na": 1, "Cl": 1}, ("Na+", "Cl-")),
        ({"Cu": 3, "Au": 1}, ("Cu0", "Au0")),
        ({"Cu": 1}, ("Cu0",)),
        ({"Mg": 2, "Si": 1}, ("Mg2+", "Si4-")),
        ({"Fe": 3, "O": 4}, None),  # mixed valence is not metal
    ],
)
def test_ions_of_metals_and_of_salts(counts, expected):
    assert ions(tuple((atomic_number(s), n) for s, n in counts.items())) == expected


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"Na": 1, "Cl": 1}, ("Na+", "Cl-")),
        ({"Cu": 3, "Au": 1}, ("Cu0", "Au0")),
        ({"O": 4, "Fe": 3}, ("O2-", "Fe3+")),  # a mean of 8/3
        ({"Li": 7, "O": 6, "Mn": 1}, ("Li+", "O2-", "Mn4+")),  # 5, beside 4 and 7
        ({"O": 7, "Ti": 4}, ("O2-", "Ti4+")),  # 3.5: Ti4+ is the more frequent
        ({"O": 7, "Cu": 3, "Y": 1, "Ba": 2}, ("O2-", "Cu2+", "Y3+", "Ba2+")),
        ({"Na": 1, "Cl": 7}, None),  # beyond all states of both
    ],
)
def test_an_element_of_mixed_valence_counts_as_the_nearest_ion(counts, expected):
    assert nearest_ions(tuple((atomic_number(s), n) for s, n in counts.items())) == expected


@pytest.mark.slow
def test_half_of_the_real_compounds_without_whole_states_have_nearest_ions(shared_data):
    """The figures of docs/concepts/substitution.md."""
    columns = ["lattice", "atomic_numbers", "frac_coords"]
    table = pq.read_table(shared_data / "materials_project/structures.parquet", columns=columns)
    every = [c for c in from_arrow(table).reduced_counts if len(c) > 1]
    without = [c for c in every if ions(c) is None]
    assert len(without) == 2112
    assert sum(nearest_ions(c) is not None for c in without) == 1200


def test_crystals_that_are_not_used_are_listed_with_the_reason():
    sites = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0.5001]]
    touching = Crystals.single(FCC * 5.6, numbers("Ca", "F", "F"), sites)
    suboxide = rocksalt(4.3, "Rb", "O").supercell([1, 1, 3])
    mixed = suboxide.with_atomic_numbers(numbers(*["Rb"] * 5, "O"))
    labelled = label(Crystals.concatenate([HALIDES, touching, mixed]))
    assert len(labelled.ions) == 3
    reasons = labelled.skipped["reason"].to_pylist()
    assert "no symmetry" in reasons[0]
    assert "balance" in reasons[1]


# --- likelihoods ----------------------------------------------------------------------------------


def test_the_likelihood_is_the_mean_over_pairs():
    """Two crystals, two positions: log p of each position, summed."""
    labelled = label(HALIDES[[0, 1]])
    model = SubstitutionModel.from_pairs(
        [("Na+", "K+", 1.0), ("Cl-", "Cl-", 2.0), ("Na+", "Na+", 0.5)], "hautier", unseen=-1.0
    )
    weights = np.exp(model.weights)
    sodium, potassium, chlorine = (model.index[i] for i in ("Na+", "K+", "Cl-"))
    joint = np.log(weights[sodium, potassium] * weights[chlorine, chlorine] / weights.sum() ** 2)
    of_sodium = weights[potassium, sodium] / weights[:, sodium].sum()
    of_potassium = weights[potassium, sodium] / weights[:, potassium].sum()
    of_chlorine = weights[chlorine, chlorine] / weights[:, chlorine].sum()
    found = log_likelihood(model, labelled)
    assert found.crystal_pairs == 1
    assert found.joint == pytest.approx(joint, rel=ROUNDING)
    conditional = 0.5 * np.log(of_sodium * of_potassium) + np.log(of_chlorine)
    assert found.conditional == pytest.approx(conditional, rel=ROUNDING)


def test_training_beats_every_small_change_on_its_own_pairs():
    labelled = label(Crystals.concatenate([HALIDES, ALLOYS]))
    model = train(labelled, l2=1e-3)
    best = log_likelihood(model, labelled).joint
    rng = np.random.default_rng(0)
    for _ in range(20):
        change = rng.normal(0, 0.1, model.weights.shape)
        changed = model.weights + (change + change.T)
        other = SubstitutionModel(model.species, changed, "hautier")
        assert log_likelihood(other, labelled).joint < best


def test_a_pair_seen_once_has_weight_zero():
    model = train(label(HALIDES), l2=0.5)
    seen = ion_pairs(label(HALIDES)).counts > 0
    assert model.weights[seen].min() == 0.0
    assert model.weights[~seen].max() < 0.0


def test_tables_are_compared_over_the_ions_that_both_know():
    labelled = label(Crystals.concatenate([HALIDES, ALLOYS]))
    model = train(labelled)
    ours, theirs = compare(model, SubstitutionModel.pymatgen("hautier"), labelled)
    assert ours.crystal_pairs == theirs.crystal_pairs == 3  # the alloys are unknown to pymatgen's
    assert ours.joint > theirs.joint


def test_mistakes_are_explained():
    with pytest.raises(ValueError, match="l2 must be positive"):
        train(label(HALIDES), l2=0.0)
    with pytest.raises(ValueError, match="no two crystals share a prototype"):
        train(label(HALIDES[[0]]))
    with pytest.raises(ValueError, match=r"the table has no Ag0, Cd0"):
        log_likelihood(SubstitutionModel.pymatgen(), label(ALLOYS))
    with pytest.raises(ValueError, match="no two crystals share"):
        log_likelihood(SubstitutionModel.pymatgen(), label(HALIDES[[0]]))


# --- tables in files ------------------------------------------------------------------------------


@given(rngs)
def test_a_table_comes_back_from_its_file(tmp_path_factory, rng):
    path = tmp_path_factory.mktemp("tables") / "table.json"
    species = ("Na+", "K+", "Cu0", "O2-")
    weights = np.round(rng.normal(0, 2, (4, 4)), 3) * (rng.random((4, 4)) < 0.5)
    weights = np.round(weights + weights.T, 3)
    write_table(path, SubstitutionModel(species, weights, "hautier"), {"source": "dice"})
    found = read_table(path, "hautier")
    assert found.species == species
    np.testing.assert_array_equal(found.weights, weights)
    assert json.loads(path.read_text())["provenance"] == {"source": "dice"}


@pytest.mark.parametrize(
    "text",
    ["", "{}", '{"format": "other"}', "[]"]
    + [
        json.dumps(
            {"format": "gnomon substitution table 1", "unseen": -1, "species": s, "pairs": p}
        )
        for s, p in [
            (["Na+", "K+"], [[0, 2, 1.0]]),
            (["Na+", "K+"], [[0, -1, 1.0]]),
            (["Na+", "K+"], [[0, 1]]),
            (["Na+", "Qq"], []),
        ]
    ],
)
def test_what_is_no_table_is_refused(tmp_path, text):
    path = tmp_path / "table.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"table\.json is no substitution table"):
        read_table(path)


def test_the_table_in_the_package_knows_metals_and_salts():
    model = learned_model()
    found = SubstitutionGenerator(model, elements=("Cu", "Ag", "Zn", "Cd"))
    formulas = {f for c in found.generate(ALLOYS, seed=0) for f in c.crystals.reduced_formulas}
    assert {"ZnAg", "CdCu"} & formulas or {"AgZn", "CuCd"} & formulas
    likely = model.probabilities[:, model.index["Na+"]]
    others = [model.species[i] for i in np.argsort(-likely)[:12]]
    assert {"K+", "Li+", "Rb+"} <= set(others)
    weights = learned_model("hautier").weights
    assert weights[model.index["Na+"], model.index["K+"]] > 4
    assert np.all(learned_model("gnome").probabilities >= 0)


def test_the_table_in_the_package_says_that_it_is_better_on_formulas_held_out():
    from importlib import resources

    file = resources.files("gnomon.generate.substitution").joinpath("data/substitution.json")
    held = json.loads(file.read_text())["provenance"]["held out, per pair"]
    ours, theirs = (held[f"common ions, {which} table"] for which in ("this", "published"))
    assert ours["crystal_pairs"] == theirs["crystal_pairs"] > 1000
    assert ours["joint"] > theirs["joint"] + 1
    assert ours["conditional"] > theirs["conditional"] + 1


def held_out(shared_data, most_atoms, step):
    columns = ["lattice", "atomic_numbers", "frac_coords", "formula_hash"]
    table = pq.read_table(shared_data / "materials_project/structures.parquet", columns=columns)
    small = pc.less_equal(pc.list_value_length(table["atomic_numbers"]), most_atoms)
    table = table.filter(pc.and_(small, pc.greater_equal(table["formula_hash"], 75)))
    return from_arrow(table.take(np.arange(0, len(table), step)).drop_columns("formula_hash"))


def test_the_table_in_the_package_is_better_on_small_crystals_held_out(shared_data):
    labelled = label(held_out(shared_data, 5, 1))
    published = SubstitutionModel.pymatgen("hautier")
    ours, theirs = compare(learned_model("hautier"), published, labelled)
    assert ours.crystal_pairs > 150
    assert ours.joint > theirs.joint
    assert ours.conditional > theirs.conditional


@pytest.mark.slow
def test_the_table_in_the_package_is_better_on_all_crystals_held_out(shared_data):
    labelled = label(held_out(shared_data, 52, 1))
    published = SubstitutionModel.pymatgen("hautier")
    ours, theirs = compare(learned_model("hautier"), published, labelled)
    assert ours.crystal_pairs == theirs.crystal_pairs > 1000
    assert ours.joint > theirs.joint + 1
    assert ours.conditional > theirs.conditional + 1


def test_the_command_trains_and_says_how_well(tmp_path, capsys):
    """Alkali halides: their hashes put some on either side of the split."""
    every = [
        rocksalt(5.0 + 0.1 * i, a, b)
        for i, (a, b) in enumerate(
            (a, b) for a in ("Li", "Na", "K", "Rb") for b in ("F", "Cl", "Br", "I")
        )
    ]
    data, out = tmp_path / "halides.parquet", tmp_path / "table.json"
    write(data, Crystals.concatenate(every))
    words = [
        "model",
        "train",
        "substitution",
        str(data),
        "--out",
        str(out),
        "--source",
        "made up",
        "--json",
    ]
    assert main(words) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["held out, per pair"]["common ions, this table"]["crystal_pairs"] > 0
    found = json.loads(out.read_text())["provenance"]
    assert found["source"] == "made up"
    assert len(found["files"]["halides.parquet"]) == 64
    assert set(read_table(out).species) <= {"Li+", "Na+", "K+", "Rb+", "F-", "Cl-", "Br-", "I-"}
    assert main(words) == 1
