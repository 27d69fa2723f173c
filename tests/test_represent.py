"""Laws of representations: what they keep, what is said of what they do not keep."""

import subprocess
import sys

import ase.build
import e3nn_jax as e3nn
import numpy as np
import pyarrow.parquet as pq
import pytest

from gnomon.cli import main
from gnomon.crystals import Crystals
from gnomon.elements import SYMBOLS
from gnomon.io import as_crystals, write
from gnomon.io.tables import check_table
from gnomon.represent import Representation
from gnomon.represent.ace import numbers_of_elements
from gnomon.represent.elements import ElementVectors, Pooled
from gnomon.represent.formulas import read_formulas
from gnomon.represent.harmonics import harmonics
from gnomon.represent.laws import WAYS, residuals, written_otherwise
from gnomon.represent.registry import REPRESENTATIONS, representation
from gnomon.represent.similarity import DISTANCES, distances, nearest, principal_axes
from gnomon.structure.matching import Matcher
from gnomon.structure.neighbors import neighbors, vectors_of

SLOW = {"potential"}
ALL = [
    pytest.param(name, marks=pytest.mark.slow if name in SLOW else ())
    for name in REPRESENTATIONS.names()
    if name != "voxels"  # has no weights in the package: tests/test_voxels.py trains some
]


@pytest.fixture(scope="module")
def crystals() -> Crystals:
    """Six of low and high symmetry."""
    rutile = Crystals.single(
        np.diag([4.59, 4.59, 2.96]),
        [22, 22, 8, 8, 8, 8],
        [
            [0, 0, 0],
            [0.5, 0.5, 0.5],
            [0.305, 0.305, 0],
            [0.695, 0.695, 0],
            [0.195, 0.805, 0.5],
            [0.805, 0.195, 0.5],
        ],
    )
    skewed = Crystals.single(
        [[3.1, 0.2, 0.1], [0.6, 4.0, -0.3], [-0.4, 0.5, 4.9]],
        [26, 16, 8],
        [[0.01, 0.03, 0.02], [0.42, 0.55, 0.47], [0.71, 0.13, 0.66]],
    )
    others = [
        ase.build.bulk("NaCl", "rocksalt", a=5.64),
        ase.build.bulk("ZnS", "zincblende", a=5.41),
        ase.build.bulk("CsCl", "cesiumchloride", a=4.12),
        ase.build.bulk("Mg"),
    ]
    return Crystals.concatenate([rutile, skewed, as_crystals(others)])


def made(name: str) -> Representation:
    """The representation, or a skip where its extra is not installed."""
    try:
        return representation(name)
    except ValueError as error:
        pytest.skip(str(error))


def test_a_crystal_written_otherwise_is_the_same_crystal(crystals):
    for way, others in written_otherwise(crystals).items():
        both = Crystals.concatenate([crystals, others])
        same = Matcher().on(both)
        assert all(same(i, i + len(crystals)) for i in range(len(crystals))), way
        assert not np.array_equal(others.ids, crystals.ids), way


@pytest.mark.parametrize("name", ALL)
def test_a_crystal_has_the_same_numbers_however_it_is_written_or_the_card_says_not(name, crystals):
    one = made(name)
    assert set(one.card.differs) <= set(WAYS)
    assert one.represent(crystals).shape == (len(crystals), len(one.columns))
    for way, found in residuals(one, crystals).items():
        if way in one.card.differs:
            assert found.largest > one.card.rounding, (
                f"{name} keeps what its card says it does not, {way}"
            )
        else:
            assert found.largest <= one.card.rounding, f"{name} {way}"


@pytest.mark.parametrize("name", ALL)
def test_columns_are_named_and_rows_do_not_depend_on_their_company(name, crystals):
    one = made(name)
    assert len(set(one.columns)) == len(one.columns)
    rows = one.represent(crystals)
    alone = np.concatenate([one.represent(crystal) for crystal in crystals])
    np.testing.assert_allclose(alone, rows, rtol=1e-5, atol=1e-5 * np.abs(rows).max())
    if one.card.structure:
        with pytest.raises(ValueError, match="give crystals, not formulas"):
            one.represent(read_formulas(["NaCl"])[0])
    else:
        formulas, _ = read_formulas(crystals.reduced_formulas)
        np.testing.assert_allclose(one.represent(formulas), rows, atol=1e-12)


def test_pooling_of_two_elements():
    values = np.full((119, 1), np.nan)
    values[[11, 17], 0] = 1.0, 4.0
    pools = ("mean", "weighted", "deviation", "min", "max", "range")
    pooled = Pooled(ElementVectors(("x",), values, "", ""), pools)
    formulas, _ = read_formulas(["NaCl", "Na2Cl", "Na", "NaK", "?"])
    rows = pooled.represent(formulas)
    assert rows[0].tolist() == [2.5, 2.5, 1.5, 1, 4, 3]
    assert rows[1] == pytest.approx([2.5, 2, np.sqrt(2), 1, 4, 3])
    assert rows[2].tolist() == [1, 1, 0, 1, 1, 0]
    assert np.isnan(rows[3:]).all()


def test_magpie_knows_what_books_know():
    table = made("magpie").vectors
    at = dict(zip(SYMBOLS, table.values, strict=True))
    assert at["Fe"][table.features.index("Electronegativity")] == pytest.approx(1.83)
    assert at["O"][table.features.index("AtomicWeight")] == pytest.approx(15.9994)
    assert not table.known[SYMBOLS.index("Og")]


def test_distances_and_angles_of_rock_salt():
    salt = as_crystals(ase.build.bulk("NaCl", "rocksalt", a=5.64))
    mbtr = representation("mbtr", cutoff=5.0, angle_cutoff=3.0)
    row = dict(zip(mbtr.columns, mbtr.represent(salt)[0], strict=True))
    near = {name for name, value in row.items() if value > 0 and "_r" in name}
    assert {name.rpartition("_")[0] for name in near} == {
        "s-metal_s-metal",
        "s-metal_nonmetal",
        "nonmetal_nonmetal",
    }
    nearest_pair = [row[f"s-metal_nonmetal_r{k}"] for k in range(30)]
    step = (5.0 - 1.0) / 27
    assert np.argmax(nearest_pair) == pytest.approx((2.82 - 1.0) / step + 1, abs=1)
    cosines = np.array([row[f"s-metal_nonmetal_nonmetal_t{k}"] for k in range(12)])
    assert cosines[5:7].sum() / cosines.sum() == pytest.approx(0.75, abs=0.05)  # 12 of 15 at 90°


def test_three_body_clusters_are_legendre_polynomials_of_angles(crystals):
    skewed = crystals[1]
    cutoff, degree = 3.5, 3
    ace = representation("ace", cutoff=cutoff, radial=1, mixtures=1, degree=degree)
    row = dict(zip(ace.columns, ace.represent(skewed)[0], strict=True))
    found = neighbors(skewed, cutoff)
    unit = vectors_of(skewed, found) / found.distances[:, None]
    drawn = np.random.default_rng(0).normal(size=3)  # how the numbers of elements are mixed
    kinds = numbers_of_elements()[skewed.atomic_numbers[found.senders]] @ drawn
    fades = (1 + np.cos(np.pi * found.distances / cutoff)) / 2
    weights = kinds * fades / np.linalg.norm(drawn)
    together = found.receivers[:, None] == found.receivers
    products = np.outer(weights, weights) * together
    for degrees in range(1, degree + 1):
        angles = np.polynomial.Legendre.basis(degrees)(np.clip(unit @ unit.T, -1, 1))
        expected = (products * angles).sum() / 3
        assert row[f"one_l_{degrees}_{degrees}_0"] == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_clusters_of_four_atoms_tell_apart_what_those_of_three_cannot():
    # two rings around an atom with the same angles between its neighbours (homometric in Z_8)
    rings = []
    for places in ((0, 1, 3, 4), (0, 1, 2, 5)):
        turn = np.array(places) * np.pi / 4
        ring = 2.0 * np.stack([np.cos(turn), np.sin(turn), 0 * turn], axis=1)
        frac = np.concatenate([np.zeros((1, 3)), ring]) / 20 + 0.5
        rings.append(Crystals.single(20 * np.eye(3), [26, 8, 8, 8, 8], frac))
    ace = representation("ace", degree=4)
    rows = ace.represent(Crystals.concatenate(rings)).reshape(2, 3, -1)
    middle = rows[:, 1] - numbers_of_elements()[8, 1] * rows[:, 0]  # the iron atom's share
    four = np.array([name.count("_") > 4 for name in ace.columns]).reshape(3, -1)[0]
    np.testing.assert_allclose(middle[0, ~four], middle[1, ~four], rtol=1e-4, atol=1e-6)
    assert np.abs(middle[0, four] - middle[1, four]).max() > 0.01 * np.abs(middle[0, four]).max()


def test_nothing_jumps_where_an_atom_passes_the_cutoff():
    def row(distance: float) -> np.ndarray:
        pair = [[0, 0, 0], [distance / 20, 0, 0]]
        return representation("ace").represent(Crystals.single(20 * np.eye(3), [11, 17], pair))[0]

    assert not row(5.001).any()
    assert np.abs(row(4.999)).max() < 1e-6 * np.abs(row(2.5)).max()  # value and slope are zero


def test_coulomb_matrix_of_a_pair():
    salt = as_crystals(ase.build.bulk("NaCl", "rocksalt", a=5.64))
    off = 11 * 17 / 2.82
    matrix = [[0.5 * 11**2.4, off], [off, 0.5 * 17**2.4]]
    expected = np.sort(np.linalg.eigvalsh(matrix))[::-1]
    found = representation("coulomb", most=3).represent(salt)[0]
    assert found == pytest.approx([*expected, 0.0])


def test_as_many_eigenvalues_are_left_as_the_point_group_has_free_harmonics(crystals):
    symmetry = representation("symmetry")
    rows = symmetry.represent(crystals)
    free = {
        degree: (rows[:, [f"element_{degree}_" in name for name in symmetry.columns]] > -4.5).sum(1)
        for degree in (1, 2, 3, 4)
    }
    # rutile 4/mmm, three atoms of no symmetry, rock salt, sphalerite -43m, CsCl, Mg 6/mmm
    assert free[1].tolist() == [0, 3, 0, 0, 0, 0]
    assert free[2].tolist() == [1, 5, 0, 0, 0, 1]
    assert free[3].tolist() == [0, 7, 0, 1, 0, 0]
    assert free[4].tolist() == [2, 9, 1, 1, 1, 1]


def test_joined_names_are_columns_side_by_side(crystals):
    both = made("one-hot+magpie")
    parts = [representation(name).represent(crystals) for name in ("one-hot", "magpie")]
    np.testing.assert_array_equal(both.represent(crystals), np.concatenate(parts, axis=1))
    assert both.columns[0] == "one-hot_weighted_H"


def test_unknown_names_and_options_are_refused():
    with pytest.raises(ValueError, match="did you mean one-hot"):
        representation("onehot")
    with pytest.raises(ValueError, match=r"one-hot\.pool.*median"):
        representation("one-hot", pool=("median",))


# --- similarity -----------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", DISTANCES)
def test_distances_are_symmetric_and_zero_for_the_same(metric):
    rows = np.random.default_rng(0).normal(size=(5, 7))
    found = distances(rows, rows, metric)
    np.testing.assert_allclose(found, found.T, atol=1e-12)
    np.testing.assert_allclose(np.diag(found), 0, atol=1e-12)
    assert found[~np.eye(5, dtype=bool)].min() > 0


def test_what_is_known_is_not_novel():
    rng = np.random.default_rng(1)
    known = rng.normal(size=(400, 12)) * np.arange(12)  # a column without spread
    known[7] = np.nan
    found = nearest(np.stack([known[3], known[7], known[5] + 1e-9]), known)
    assert found.rows.tolist() == [3, -1, 5]
    assert found.distances[0] == 0
    assert np.isnan(found.distances[1])
    two = nearest(known[8:9] + 1e3 * (np.arange(12) > 0), known)
    assert two.distances[0] > 10
    with pytest.raises(ValueError, match="nothing known"):
        nearest(known[:2], known[7:8])


def test_principal_axes_hold_the_variance():
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(300, 3)) * [5, 2, 0.1] @ np.linalg.qr(rng.normal(size=(3, 3)))[0]
    placed, share = principal_axes(rows, 2)
    assert share.sum() > 0.99
    np.testing.assert_allclose(placed.var(axis=0) / rows.var(axis=0).sum(), share)


# --- the command ----------------------------------------------------------------------------------


def test_a_table_of_rows_says_what_it_holds(crystals, tmp_path, capsys):
    write(tmp_path / "given.parquet", crystals)
    out = tmp_path / "out.parquet"
    given = [str(tmp_path / "given.parquet")]
    assert main(["represent", *given, "--as", "one-hot", "--out", str(out)]) == 0
    table = pq.read_table(out)
    check_table(table)
    assert table["id"].to_pylist() == crystals.ids.tolist()
    assert table["weighted_O"].to_pylist() == pytest.approx(crystals.fractions[:, 8])
    told = ["represent", "NaCl", "LiF", "--as", "one-hot", "--novelty-to", "NaCl", "MgO"]
    assert main([*told[:-1], "--novelty-to", "MgO", "--json"]) == 0
    assert '"novelty": 0.0' in capsys.readouterr().out


def test_all_are_listed_those_too_that_lack_something(monkeypatch, capsys):
    names = {"one-hot": REPRESENTATIONS.get("one-hot"), "voxels": REPRESENTATIONS.get("voxels")}
    monkeypatch.setattr(type(REPRESENTATIONS), "names", lambda self: tuple(names))
    assert main(["represent", "--list"]) == 0
    told = capsys.readouterr().out
    assert "one axis an element" in told
    assert "needs an autoencoder" in told


def test_harmonics_are_those_to_which_the_clebsch_gordan_coefficients_belong():
    vectors = np.random.default_rng(0).normal(size=(50, 3))
    vectors[:2] = [[0, 2, 0], [0, -1, 0]]  # along their axis
    theirs = e3nn.spherical_harmonics(
        e3nn.s2_irreps(6), vectors, normalize=True, normalization="norm"
    ).array
    np.testing.assert_allclose(harmonics(vectors, 6), theirs, atol=2e-6)


def test_the_novelty_of_a_find_starts_no_jax():
    """A report would compile, and a process forked after one would hang (as killed ones did)."""
    code = (
        "import numpy as np; from jax._src import xla_bridge; from gnomon.crystals import Crystals;"
        "from gnomon.report.novelty import REPRESENTATION;"
        "from gnomon.represent.registry import representation;"
        "crystal = Crystals.single(4 * np.eye(3), [11, 17], [[0, 0, 0], [0.5] * 3]);"
        "assert np.isfinite(representation(REPRESENTATION).represent(crystal)).all();"
        "assert not xla_bridge.backends_are_initialized()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
