"""The hull at scale: its solver against HiGHS and pymatgen, and hulls that grow."""

import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.hull import convex
from gnomon.hull import simplex as simplex_module
from gnomon.hull.blocks import blocks_of
from gnomon.hull.convex import Hull
from gnomon.hull.phases import ON_HULL, Phases, SchemeMismatch, compositions, phases_from_table
from gnomon.hull.simplex import lowest_mixtures
from tests.strategies import rngs
from tests.test_hull import AS_PYMATGEN, SAME, pymatgen_distances, random_phases, random_queries


def random_programs(rng: np.random.Generator, m: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Programs over m elements with ties, collinear points and targets on phases and on faces."""
    b, k = int(rng.integers(1, 6)), int(rng.integers(0, 30))
    counts = rng.integers(0, 3, (b, k, m)).astype(float)
    counts[~counts.any(axis=2), 0] = 1
    counts = np.concatenate([np.tile(np.eye(m), (b, 1, 1)), counts], axis=1)
    shares = counts / counts.sum(axis=2, keepdims=True)
    energies = np.round(rng.uniform(-2, 0.3, (b, m + k)), 1)
    targets = rng.integers(1, 4, (b, m)).astype(float)
    inside = np.flatnonzero((shares[0] > 0).all(axis=1))
    if len(inside):
        targets[0] = shares[0, rng.choice(inside)]
    return shares, energies, targets / targets.sum(axis=1, keepdims=True)


@given(rngs, st.integers(1, 8))
def test_the_simplex_method_finds_what_highs_finds(rng: np.random.Generator, m: int) -> None:
    shares, energies, targets = random_programs(rng, m)
    for pivots in (simplex_module.PIVOTS, 0):  # without a pivot everything is left to HiGHS
        basis, weights = lowest_mixtures(shares, energies, targets, pivots=pivots)
        assert (weights >= 0).all()
        mixed = np.take_along_axis(shares, basis[:, :, None], axis=1)
        np.testing.assert_allclose(
            np.einsum("bi,bij->bj", weights, mixed), targets, atol=simplex_module.SOUND
        )
        found = np.einsum("bi,bi->b", weights, np.take_along_axis(energies, basis, axis=1))
        if pivots:
            by_simplex = found
    np.testing.assert_allclose(by_simplex, found, atol=SAME)


def test_real_programs_need_no_highs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The batched method itself finishes, so that the law above compares two methods."""

    def never(*_: object) -> None:
        raise AssertionError("left to HiGHS")

    monkeypatch.setattr(simplex_module, "_by_highs", never)
    for seed in range(20):
        lowest_mixtures(*random_programs(np.random.default_rng(seed), 1 + seed % 8))


def test_a_program_that_cannot_be_solved_says_so() -> None:
    nothing = np.zeros((1, 2, 2))
    with pytest.raises(RuntimeError, match=r"HiGHS could not solve the hull at \[0.5, 0.5\]"):
        lowest_mixtures(nothing, np.zeros((1, 2)), np.array([[0.5, 0.5]]), pivots=0)


@given(rngs)
def test_a_grown_hull_equals_one_built_at_once(rng: np.random.Generator) -> None:
    phases = random_phases(rng, n_elements=4)
    queries = random_queries(rng, phases, n=8)
    n_elements = np.count_nonzero(phases.composition, axis=1)
    early = (n_elements == 1) | (rng.random(len(phases)) < 0.5)
    hull = Hull(phases.take(early))
    before = hull.energy(queries)  # the systems are remembered now
    grown = hull.with_phases(phases.take(~early))
    rebuilt = Hull(Phases.concatenate([phases.take(early), phases.take(~early)]))
    assert grown.phases.ids.tolist() == rebuilt.phases.ids.tolist()
    np.testing.assert_array_equal(grown.energy(queries), rebuilt.energy(queries))
    assert grown.decomposition(queries) == rebuilt.decomposition(queries)
    compounds = phases.take(n_elements > 1)
    names = [[name] for name in compounds.ids]
    np.testing.assert_array_equal(
        grown.energy(compounds.composition, without=names),
        rebuilt.energy(compounds.composition, without=names),
    )
    np.testing.assert_array_equal(hull.energy(queries), before)  # and the old hull stays as it was


def test_growing_sorts_only_the_systems_that_are_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    formulas = ["Li", "Fe", "O2", "FeO", "Fe2O3", "Li2O", "LiFeO2"]
    energies = np.array([0, 0, 0, -1.3, -1.6, -2.0, -1.8])
    hull = Hull(Phases(np.array(formulas, object), compositions(formulas), energies, "toy"))
    before = hull.energy(compositions(["Li2O2", "Fe3O4", "Li5FeO4"]))
    sorted_again = []

    def record(sparse, energies, rows):  # type: ignore[no-untyped-def]
        sorted_again.extend(rows.tolist())
        return blocks_of(sparse, energies, rows)

    monkeypatch.setattr(convex, "blocks_of", record)
    magnetite = Phases(np.array(["new"], object), compositions(["Fe3O4"]), np.array([-1.7]), "toy")
    grown = hull.with_phases(magnetite)
    assert sorted_again == [formulas.index("FeO"), formulas.index("Fe2O3"), len(formulas)]
    assert set(grown._systems) == {(3, 8)}  # Li-O; Fe-O and Li-Fe-O are asked anew
    after = grown.energy(compositions(["Li2O2", "Fe3O4", "Li5FeO4"]))
    assert after[0] == before[0]
    assert (after[1:] < before[1:]).all()


def test_a_hull_refuses_phases_of_another_scheme() -> None:
    lithium = Phases(np.array(["Li"], object), compositions(["Li"]), np.zeros(1), "PBE")
    other = Phases(np.array(["Li"], object), compositions(["Li"]), np.zeros(1), "r2SCAN")
    with pytest.raises(SchemeMismatch, match="'PBE' and 'r2SCAN'"):
        Hull(lithium).with_phases(other)


@pytest.mark.parametrize("n_elements", [1, 2, 5, 8])
def test_agrees_with_pymatgen_up_to_eight_elements(n_elements: int) -> None:
    """Polymorphs, collinear compositions and equal energies among them."""
    rng = np.random.default_rng(n_elements)
    elements = rng.permutation([3, 8, 9, 15, 16, 22, 26, 56])[:n_elements]
    counts = rng.integers(0, 3, (30, n_elements)) * (rng.random((30, n_elements)) < 0.6)
    counts[rng.random(30) < 0.3] *= 2
    counts = np.concatenate([np.eye(n_elements, dtype=int), counts[counts.any(axis=1)]])
    composition = np.zeros((len(counts), 119))
    composition[:, elements] = counts
    energies = np.round(rng.uniform(-1.0, 0.2, len(counts)), 1)
    energies[:n_elements] = 0.0
    names = np.array([f"p{i}" for i in range(len(counts))], object)
    phases = Phases(names, composition, energies, "toy")
    got = Hull(phases).e_above_hull(composition, energies)
    np.testing.assert_allclose(got, pymatgen_distances(phases), atol=AS_PYMATGEN)


def test_many_queries_of_one_system_come_in_several_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    phases = random_phases(np.random.default_rng(5), n_elements=4)
    queries = random_queries(np.random.default_rng(6), phases, n=50)
    together = Hull(phases).energy(queries)
    monkeypatch.setattr(convex, "ENTRIES", 1)
    np.testing.assert_allclose(Hull(phases).energy(queries), together, atol=SAME)


SECONDS = 60.0
"""CPU time in which all real crystals must have their distance: measured 1.4 s without checks."""


def test_all_real_crystals_are_placed_in_seconds(shared_data: Path) -> None:
    """From formulas to distances, the checks of shapes and types of the tests included."""
    columns = ["reduced_formula", "formation_energy_per_atom"]
    known, asked = (
        pq.read_table(shared_data / "materials_project" / f"{name}.parquet", columns=columns)
        for name in ("ground_states", "structures")
    )
    start = time.process_time()
    phases = phases_from_table(known, "Materials Project")
    missing = ["Hg", "Pr", "Yb"]  # no elemental phase in this release
    elements = Phases(np.array(missing, object), compositions(missing), np.zeros(3), phases.scheme)
    hull = Hull(phases).with_phases(elements)
    composition = compositions(asked["reduced_formula"].to_pylist())
    energies = asked["formation_energy_per_atom"].to_numpy()
    distances = hull.e_above_hull(composition, energies)
    assert time.process_time() - start < SECONDS
    assert len(distances) > 24_000
    # about half of these crystals are known to lie on the hull of their own, later release
    assert 0.4 < np.mean(distances <= ON_HULL) < 0.6
