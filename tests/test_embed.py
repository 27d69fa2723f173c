"""Embeddings of crystals: the same numbers for the same crystal, near ones for like ones."""

import numpy as np
import pytest
from ase.build import bulk

from gnomon.crystals import Crystals
from gnomon.explore.collections import collections_of
from gnomon.explore.index import index_of
from gnomon.explore.vectors import make_vectors
from gnomon.io import as_crystals
from gnomon.models.embed import Embedder
from gnomon.models.structural.model import StructuralModel
from gnomon.models.uncertainty.calibration import calibration_path
from tests.test_explore import SALTS, own_cache, salts  # noqa: F401

ROUNDING = 1e-4
"""Standard deviations: float32 sums in another order, whitened (measured: 3e-6)."""


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder()


def test_a_crystal_has_one_embedding_in_any_cell_order_and_batch(embedder):
    rng = np.random.default_rng(0)
    crystals = as_crystals(SALTS)
    first = embedder.embed(crystals).values
    assert first.shape == (len(SALTS), embedder.card.dimensions)
    assert np.array_equal(embedder.embed(crystals).values, first)
    turned = []
    for atoms in SALTS:
        other = atoms.repeat((2, 1, 1))
        other.rotate(37, (1, 2, 3), rotate_cell=True)
        other.translate(rng.uniform(0, 3, 3))
        turned.append(other[rng.permutation(len(other))])
    again = embedder.embed(turned[::-1]).values[::-1]
    assert np.abs(again - first).max() < ROUNDING
    assert np.abs(first[0] - first[1]).max() > 100 * ROUNDING


def test_what_the_networks_cannot_see_has_no_embedding(embedder):
    lone = Crystals.single(20 * np.eye(3), [11], [[0, 0, 0]])
    assert np.isnan(embedder.embed([*as_crystals(SALTS[:1]), *lone]).values[1]).all()


def test_a_model_without_axes_is_refused(tmp_path):
    path = tmp_path / "mine.gnomon"
    StructuralModel.load("structural-2").save(path)
    with pytest.raises(FileNotFoundError, match=calibration_path(path).name):
        Embedder(path)


def test_like_crystals_are_found_and_embeddings_made_once(tmp_path, monkeypatch):
    """Of the salts, the nearest to any alkali fluoride or chloride is another one."""
    salts(tmp_path / "salts.parquet")
    collections = collections_of([str(tmp_path / "salts.parquet")])
    index = index_of(collections)
    assert index.vectors is None
    arguments = (collections, index.crystals, index.texts("source"))
    make_vectors(*arguments)
    index = index_of(collections)
    vectors = index.vectors
    assert vectors.known.all()
    systems = index.texts("chemical_system")
    for row in range(6):  # rock salts
        (near, cosine), (next_, less) = vectors.nearest(row, 2)
        assert near in range(6), systems[near]
        assert 1 >= cosine >= less == pytest.approx(vectors.values[row] @ vectors.values[next_])
    assert len(vectors.nearest(0, 99)) == len(SALTS) - 1
    monkeypatch.setattr(Embedder, "embed", None)
    make_vectors(*arguments)


def test_embeddings_follow_the_wurtzite_of_a_zincblende(embedder):
    """Polytypes are nearer to each other than to the same elements in rock salt."""
    given = [bulk("ZnS", "zincblende", a=5.41), bulk("ZnS", "wurtzite", a=3.82, c=6.26)]
    x = embedder.embed([*given, bulk("ZnS", "rocksalt", a=5.1)]).values
    assert np.linalg.norm(x[0] - x[1]) < 0.5 * np.linalg.norm(x[0] - x[2])
