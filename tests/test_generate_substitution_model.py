"""Hautier's probabilities and the exact enumeration of likely lists of ions."""

import itertools
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.generate.substitution.model import (
    SubstitutionModel,
    Variant,
    above_threshold,
    ion_charge,
    ion_name,
)
from tests.strategies import rngs

ROUNDING = 1e-12  # relative; sums of exponentials in another order

IONS = ("Na+", "K+", "Mg2+", "Fe2+", "Fe3+", "Cl-", "O2-", "Ti4+")


@pytest.fixture(scope="module", params=get_args(Variant))
def model(request):
    return SubstitutionModel.pymatgen(request.param)


def random_model(rng, variant="gnome"):
    n = int(rng.integers(3, len(IONS) + 1))
    weights = rng.normal(0, 3, (n, n))
    return SubstitutionModel(IONS[:n], (weights + weights.T) / 2, variant)


@pytest.mark.parametrize(
    ("variant", "parent", "count"),
    [
        ("hautier", "Na+ Cl-", 190),
        ("hautier", "Ca2+ O2-", 112),
        ("hautier", "Ba2+ Ti4+ O2-", 162),
        ("hautier", "Li+ Fe2+ P5+ O2-", 68),
        ("clamped", "Na+ Cl-", 172),
        ("clamped", "Ba2+ Ti4+ O2-", 101),
        ("clamped", "Li+ Fe2+ P5+ O2-", 22),
        ("gnome_with_identity", "Na+ Cl-", 218),
        ("gnome_with_identity", "Ca2+ O2-", 121),
        ("gnome_with_identity", "Ba2+ Ti4+ O2-", 344),
        ("gnome_with_identity", "Li+ Fe2+ P5+ O2-", 636),
        ("gnome", "Na+ Cl-", 305),
        ("gnome", "Ca2+ O2-", 433),
        ("gnome", "Ba2+ Ti4+ O2-", 870),
        ("gnome", "Li+ Fe2+ P5+ O2-", 1311),
    ],
)
def test_lists_above_one_in_a_thousand(variant, parent, count):
    """Counts found independently on the same table by a plain recursion."""
    found = SubstitutionModel.pymatgen(variant).replacements(parent.split(), 1e-3)
    assert len(found.probabilities) == count


def test_pymatgens_table_has_230_ions_and_6683_pairs(model):
    seen = np.triu(model.weights != -5.0)
    assert (len(model.species), int(seen.sum())) == (230, 6683)
    assert {"Na+", "O2-", "Fe3+"} <= set(model.species)


def test_hautier_equals_pymatgen():
    from pymatgen.core.structure_prediction.substitutor import Substitutor

    ours = SubstitutionModel.pymatgen("hautier")
    found = ours.replacements(["Sr2+", "Ti4+", "O2-"])
    lists = [tuple(ours.species[i] for i in row) for row in found.ions]
    theirs = {
        tuple(str(ion) for ion in row["substitutions"].values()): row["probability"]
        for row in Substitutor(threshold=1e-3).pred_from_list(["Sr2+", "Ti4+", "O2-"])
    }
    del theirs["Sr2+", "Ti4+", "O2-"]
    assert set(lists) == set(theirs)
    for key, probability in zip(lists, found.probabilities, strict=True):
        assert probability == pytest.approx(theirs[key], rel=1e-9)


def test_probabilities_are_normalised(model):
    p = model.probabilities
    assert np.all(p >= 0)
    off_diagonal = p.sum(axis=0) - np.diag(p)
    if model.variant in ("hautier", "clamped"):
        np.testing.assert_allclose(p.sum(axis=0), 1.0, rtol=ROUNDING)
    elif model.variant == "gnome":
        np.testing.assert_allclose(off_diagonal, 1.0, rtol=ROUNDING)
    else:
        assert np.all(off_diagonal < 1.0)
    if model.variant.startswith("gnome"):
        np.testing.assert_array_equal(np.diag(p), 1.0)


@given(rngs, st.sampled_from(get_args(Variant)))
def test_forward_and_backward_share_the_weight(rng, variant):
    """p(i | j) Z_j = p(j | i) Z_i: the joint probability of a pair is symmetric."""
    model = random_model(rng, variant)
    weights = model.weights if variant == "hautier" else np.maximum(model.weights, 0)
    boltzmann = np.exp(weights)
    if variant == "gnome":
        np.fill_diagonal(boltzmann, 0)
    joint = model.probabilities * boltzmann.sum(axis=0)
    np.fill_diagonal(joint, 0)
    np.testing.assert_allclose(joint, joint.T, rtol=ROUNDING)


@given(rngs, st.integers(1, 4), st.floats(1e-4, 0.5))
def test_branch_and_bound_equals_brute_force(rng, m, threshold):
    n = int(rng.integers(1, 7))
    columns = rng.random((n, m)) ** 4
    found = above_threshold(columns, threshold)
    every = np.array(list(itertools.product(range(n), repeat=m)))
    products = np.ones(len(every))
    for j in range(m):  # in the same order, so that products agree to the last digit
        products = products * columns[every[:, j], j]
    expected = {tuple(row) for row in every[products > threshold].tolist()}
    assert {tuple(row) for row in found.ions.tolist()} == expected
    assert len(found.ions) == len(expected)
    assert np.all(np.diff(found.probabilities) <= 0)
    np.testing.assert_allclose(
        found.probabilities, [np.prod(columns[row, range(m)]) for row in found.ions], rtol=ROUNDING
    )


@given(rngs, st.sampled_from(get_args(Variant)), st.integers(1, 3))
def test_replacements_equal_brute_force(rng, variant, m):
    model = random_model(rng, variant)
    parent = [str(ion) for ion in rng.choice(model.species, m)]
    own = tuple(model.index[ion] for ion in parent)
    p = model.probabilities
    expected = {
        row
        for row in itertools.product(range(len(model.species)), repeat=m)
        if row != own and np.prod([p[i, j] for i, j in zip(row, own, strict=True)]) > 0.01
    }
    assert {tuple(row) for row in model.replacements(parent, 0.01).ions.tolist()} == expected


@given(rngs, st.permutations(range(3)))
def test_the_order_of_the_ions_does_not_matter(rng, order):
    model = random_model(rng)
    parent = [str(ion) for ion in rng.choice(model.species, 3)]
    straight = model.replacements(parent, 1e-2).ions[:, order]
    permuted = model.replacements([parent[i] for i in order], 1e-2).ions
    assert set(map(tuple, straight.tolist())) == set(map(tuple, permuted.tolist()))


@given(st.floats(1e-3, 1e-1), st.floats(1e-3, 1e-1))
def test_a_lower_threshold_finds_at_least_as_much(a, b):
    model = SubstitutionModel.pymatgen()
    low, high = (model.replacements(["Ca2+", "O2-"], t) for t in sorted((a, b)))
    assert len(low.ions) >= len(high.ions)
    np.testing.assert_array_equal(low.ions[: len(high.ions)], high.ions)


def test_reading_one_variant_leaves_the_others_alone():
    before = SubstitutionModel.pymatgen("hautier")
    _ = SubstitutionModel.pymatgen("gnome").probabilities
    np.testing.assert_array_equal(before.weights, SubstitutionModel.pymatgen("hautier").weights)


@pytest.mark.parametrize(
    ("written", "name", "charge"), [("Na1+", "Na+", 1), ("O2-", "O2-", -2), ("Cl-", "Cl-", -1)]
)
def test_ions_are_named_as_pymatgen_prints_them(written, name, charge):
    assert (ion_name(written), ion_charge(written)) == (name, charge)


@pytest.mark.parametrize("text", ["Na", "+", "na+", "Qq2+", "O-2", ""])
def test_what_is_no_ion_is_refused(text):
    with pytest.raises(ValueError, match=r"is no ion|unknown element"):
        ion_charge(text)


def test_mistakes_are_explained():
    model = SubstitutionModel.pymatgen()
    with pytest.raises(ValueError, match=r"'Na4\+'"):
        model.replacements(["Na4+", "O2-"])
    with pytest.raises(ValueError, match="threshold must be positive"):
        model.replacements(["Na+", "O2-"], 0.0)
    with pytest.raises((ValueError, TypeError), match="'hautie'"):  # TypeError: types are enforced
        SubstitutionModel(("Na+",), np.zeros((1, 1)), "hautie")
    with pytest.raises(ValueError, match="at least two ions"):
        SubstitutionModel.from_pairs([("Na+", "Na+", 1.0)])
    with pytest.raises(ValueError, match="symmetric"):
        SubstitutionModel(("Na+", "K+"), np.array([[0.0, 1.0], [2.0, 0.0]]))
