"""Evolution: what breeds, what children keep, and that it finds what chance does not."""

from itertools import product

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from ase import Atoms
from ase.build import bulk
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gnomon.cli import main
from gnomon.cli.properties import compounds_near
from gnomon.crystals import Crystals
from gnomon.discover import breeding
from gnomon.discover.breeding import by_objectives, population_of
from gnomon.discover.loop import run_campaign
from gnomon.discover.settings import CampaignConfig, ConfigError, load_config
from gnomon.elements import COVALENT_RADII
from gnomon.generate.evolution.generator import FEWEST, EvolutionGenerator
from gnomon.generate.evolution.population import Population, crowding, fronts
from gnomon.generate.evolution.variation import (
    SHARE,
    SHIFT,
    STRAIN,
    TOLERANCE,
    distorted,
    enlarged,
    exchanged,
    heredity,
    permutation,
    redrawn,
)
from gnomon.generate.random.generator import SEPARATION, RandomSearchGenerator
from gnomon.io import as_crystals
from gnomon.io.tables import column, save, value_schema
from gnomon.structure.neighbors import neighbors
from gnomon.structure.symmetry import canonical_ids, niggli, operations, space_groups

HALVES = 0.5 * np.eye(3)
"""Of the edges of a cube: where anions of cubic rhenium trioxide sit."""


def cells(formula: str, count: int, seed: int = 0) -> Crystals:
    made = RandomSearchGenerator((formula,), count=count, max_formula_units=1)
    return made.distinct_cells(formula, seed).crystals


# --- what breeds --------------------------------------------------------------------------------

tables = st.integers(1, 4).flatmap(
    lambda m: st.lists(st.lists(st.integers(0, 4), min_size=m, max_size=m), min_size=1, max_size=12)
)


@given(tables)
def test_no_row_is_beaten_by_one_of_its_front_or_of_a_later_one(rows):
    values = np.array(rows, float)
    front = fronts(values)
    for i, j in product(range(len(values)), repeat=2):
        beats = (values[i] <= values[j]).all() and (values[i] < values[j]).any()
        assert not beats or front[i] < front[j]
    for j in np.flatnonzero(front > 0):  # each is beaten by one of the front before
        before = values[front == front[j] - 1]
        assert ((before <= values[j]).all(axis=1) & (before < values[j]).any(axis=1)).any()


def test_of_one_objective_the_order_is_its_own():
    values = np.array([[0.3], [0.1], [0.2], [np.nan]])
    crystals = cells("Cu", 8)[:4]
    best = Population(crystals, values).best(2)
    assert best.objectives[:, 0].tolist() == [0.1, 0.2]
    assert best.crystals.ids.tolist() == crystals.ids[[1, 2]].tolist()


def test_ends_of_a_front_are_never_crowded():
    values = np.array([[0.0, 1.0], [0.1, 0.9], [0.5, 0.5], [1.0, 0.0]])
    found = crowding(values, np.zeros(4, int))
    assert np.isinf(found[[0, 3]]).all()
    assert found[2] > found[1]


# --- what children keep -------------------------------------------------------------------------

seeds = st.integers(0, 10_000)


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_compositions_are_conserved(seed):
    """By permutation, strain and displacement always, by heredity where it is asked for."""
    parents = cells("Au2Cu3", 6)
    rng = np.random.default_rng(seed)
    first, second = parents[0], parents[1]
    children = [permutation(first, rng), distorted(first, rng, strain=STRAIN, shift=SHIFT)]
    children.append(heredity(first, second, rng, conserved=True))
    for child in children:
        assert child.composition.tolist() == first.composition.tolist()
    free = heredity(first, second, rng, conserved=False)
    both = first.composition + second.composition
    assert (free.composition <= both).all()
    assert len(free.atomic_numbers) > 0


def test_heredity_takes_a_slab_of_each_parent():
    """Of two layered crystals one gives some of its layers, the other the rest."""
    layers = [[0, 0, (k + 0.5) / 10] for k in range(10)]
    cell = np.diag([3.0, 3.0, 30.0])
    a, b = (Crystals.single(cell, [z] * 10, layers) for z in (29, 79))
    shares = []
    for seed in range(40):
        child = heredity(a, b, np.random.default_rng(seed), conserved=False)
        shares.append((child.atomic_numbers == 29).mean() if len(child.atomic_numbers) else 0)
    along = [s for s in shares if 0 < s < 1]
    assert along
    assert SHARE[0] - 0.15 < np.mean(along) < SHARE[1] + 0.15


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_heredity_does_not_ask_how_parents_are_turned(seed):
    """A crystal and the same one turned have a child of their own cell."""
    rng = np.random.default_rng(seed)
    parents = cells("Au2Cu3", 6)
    parent = niggli(parents[seed % len(parents)])
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    turn *= np.linalg.det(turn)
    turned = parent.with_lattice(parent.lattice @ turn)
    child = heredity(parent, turned, rng, conserved=True)
    metric, own = (one.lattice[0] @ one.lattice[0].T for one in (child, parent))
    np.testing.assert_allclose(metric, own, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_distortions_keep_volume_and_a_subgroup(seed):
    """No operation of the child is new, and its atoms have moved as far as was asked for."""
    rng = np.random.default_rng(seed)
    parents = cells("TiO2", 8)
    parent = parents[seed % len(parents)]
    child = distorted(parent, rng, strain=STRAIN, shift=SHIFT)
    np.testing.assert_allclose(child.volumes, parent.volumes)
    [(before, _)], [(after, _)] = operations(parent), operations(child)
    assert len(before) % len(after) == 0
    still = distorted(parent, rng, strain=STRAIN)
    np.testing.assert_array_equal(still.frac_coords, parent.frac_coords)
    moved = (child.frac_coords - parent.frac_coords) @ parent.lattice[0]
    size = np.sqrt((moved**2).mean())
    assert size < 1e-6 or size == pytest.approx(SHIFT)


@settings(max_examples=10, deadline=None)
@given(seeds)
def test_what_is_redrawn_keeps_amounts_volume_and_symmetry(seed):
    """Its own group, or one above it where the positions that were drawn allow more."""
    parents = cells("TiO2", 8)
    parent = parents[seed % len(parents)]
    child = redrawn(parent, np.random.default_rng(seed))
    [(before, _)] = operations(parent, TOLERANCE)
    if child is None:
        assert space_groups(parent, TOLERANCE)[0] == 1
        return
    assert child.composition.tolist() == parent.composition.tolist()
    np.testing.assert_allclose(child.volumes, parent.volumes)
    assume(space_groups(child, TOLERANCE)[0] > 0)  # atoms drawn so near that spglib finds nothing
    [(after, _)] = operations(child, TOLERANCE)
    assert len(after) >= len(before)


def test_distortions_keep_several_symmetries():
    parent = Crystals.single(4.0 * np.eye(3), [22, 8, 8, 8], np.vstack([np.zeros(3), HALVES]))
    made = [
        distorted(parent, np.random.default_rng(seed), strain=STRAIN, shift=SHIFT)
        for seed in range(20)
    ]
    orders = {len(turns) for child in made for turns, _ in operations(child)}
    assert 1 in orders
    assert len(orders) >= 3


@pytest.mark.parametrize("times", [1, 2, 3])
def test_enlarged_cells_are_the_same_crystal(times):
    parent = cells("TiO2", 4)[0]
    larger = enlarged(parent, times, np.random.default_rng(0))
    assert larger.n_atoms.tolist() == (times * parent.n_atoms).tolist()
    assert canonical_ids(larger).tolist() == canonical_ids(parent).tolist()


def test_exchange_keeps_the_family():
    [parent, *_] = cells("NaCl", 4)
    for seed in range(20):
        other = exchanged(parent, {11: (19,), 17: (35, 53)}, np.random.default_rng(seed))
        assert set(other.atomic_numbers.tolist()) in ({19, 17}, {11, 35}, {11, 53})
    assert exchanged(parent, {}, np.random.default_rng(0)) is None
    assert permutation(cells("Cu", 4)[0], np.random.default_rng(0)) is None


@pytest.mark.parametrize("conserved", [True, False])
def test_children_keep_their_distance_and_repeat_by_the_seed(conserved):
    parents = cells("Au2Cu3", 8)
    population = Population(parents, np.arange(len(parents), dtype=float)[:, None])
    made = EvolutionGenerator(
        ("Au", "Cu", "Ag"), 10, population=population, conserved=conserved, children=40
    )
    [chunk] = made.generate(Crystals.empty(), seed=5)
    [again] = made.generate(Crystals.empty(), seed=5)
    [other] = made.generate(Crystals.empty(), seed=6)
    assert chunk.lineage == again.lineage
    assert chunk.crystals.ids.tolist() != other.crystals.ids.tolist()
    assert set(chunk.lineage["parent_id"].to_pylist()) <= set(parents.ids)
    assert chunk.crystals.n_atoms.max() <= 10
    found = neighbors(chunk.crystals, 2.0)
    numbers = chunk.crystals.atomic_numbers
    allowed = COVALENT_RADII[numbers[found.receivers]] + COVALENT_RADII[numbers[found.senders]]
    assert (found.distances > 0.9 * SEPARATION * allowed).all()
    formulas = set(chunk.crystals.reduced_formulas)
    assert formulas == {"Cu3Au2"} if conserved else len(formulas) > 3


def test_too_few_crystals_leave_the_first_generation_to_random_cells():
    made = EvolutionGenerator(first=RandomSearchGenerator(("Cu",), count=5))
    few = Population(cells("Cu", 3)[: FEWEST - 1], np.zeros((FEWEST - 1, 1)))
    for population in (None, few):
        alone = EvolutionGenerator(first=made.first, population=population)
        [chunk] = alone.generate(Crystals.empty(), seed=1)
        assert set(chunk.lineage["generator"].to_pylist()) == {"evolution"}
        assert set(chunk.lineage["parent_id"].to_pylist()) == {None}
    assert not list(EvolutionGenerator().generate(Crystals.empty()))


LAYERED = [(1 / 3, 2 / 3, 0.25), (2 / 3, 1 / 3, 0.25), (2 / 3, 1 / 3, 0.75), (1 / 3, 2 / 3, 0.75)]

# --- in campaigns -------------------------------------------------------------------------------


def settings_of(**generate: object) -> CampaignConfig:
    return CampaignConfig(
        system="Au-Cu",
        generate={"generators": ["evolution"], "max_atoms": 4, **generate},
        evaluator={"name": "ase:ase.calculators.emt.EMT", "workers": 1},
        learn={"prior": False},
        budget={"evaluations": 10, "rounds": 2, "first_round": 6, "per_round": 4},
    )


def test_a_campaign_breeds_what_it_evaluated(tmp_path):
    """Random cells first, then their children, traced to them; going on changes nothing."""
    config = settings_of(objectives=["e_above_hull", "max bulk"])
    campaign = run_campaign(config, tmp_path / "campaign")
    rows = {row["id"]: row for row in campaign.lineage.to_pylist()}
    rounds = campaign.crystals.filter(pc.greater(campaign.crystals["round"], 0))
    first = [rows[r["id"]] for r in rounds.to_pylist() if r["round"] == 1]
    second = [rows[r["id"]] for r in rounds.to_pylist() if r["round"] == 2]
    assert {row["generator"] for row in (*first, *second)} == {"evolution"}
    assert {row["parent_id"] for row in first} == {None}
    relaxed = set(campaign.level(0).placed.found.relaxed.ids)
    assert second
    assert {row["parent_id"] for row in second} <= relaxed
    notes = campaign.store.finished(2, "generate")["notes"]
    assert notes == ["evolution: no value of bulk yet, so it counts for nothing"]
    crystals = population_of(campaign, ("e_above_hull",))[0].crystals
    assert len(compounds_near(campaign, np.inf)) == len(crystals)
    n = len(crystals)
    columns = {
        "id": crystals.ids.tolist(),
        "value": [*map(float, range(n - 1)), None],
        "uncertainty": [None] * n,
        "level": ["by hand"] * n,
        "status": ["ok"] * (n - 1) + ["failed"],
        "shear": [*map(float, range(n))],
    }
    shear = column("shear", pa.float64(), "shear modulus", unit="GPa")
    schema = value_schema("bulk modulus", "GPa", shear)
    save(campaign.store.root, "bulk", pa.table(columns, schema=schema))
    population, said = population_of(campaign, ("e_above_hull", "max bulk", "min bulk.shear"))
    assert not said
    assert population.objectives.shape == (n, 3)
    assert population.objectives[-2, 1:].tolist() == [-(n - 2.0), n - 2.0]
    assert np.isnan(population.objectives[-1]).tolist() == [False, True, True]
    assert len(population.best(100).crystals) == n - 1
    with pytest.raises(ValueError, match=r"no column 'shea' of numbers: it has value"):
        population_of(campaign, ("max bulk.shea",))
    again = run_campaign(config, tmp_path / "campaign")
    assert again.hull_table() == campaign.hull_table()


def test_candidates_are_chosen_by_properties_that_networks_foretell(monkeypatch):
    """Diamond-like boron nitride is harder than layered, which is the likelier."""
    cells = [
        bulk("BN", "zincblende", a=3.615),
        Atoms("BNBN", cell=[2.504, 2.504, 6.66, 90, 90, 120], scaled_positions=LAYERED, pbc=True),
        bulk("BN", "rocksalt", a=3.5),
        bulk("BN", "wurtzite", a=2.55, c=4.22),
    ]
    monkeypatch.setattr(breeding, "LIKELY", 1.0)
    crystals, merit = as_crystals(cells), np.array([0.1, 0.0, 2.0, 0.2])
    kept = np.array([True, True, False, True])
    rows, notes = by_objectives(crystals, merit, kept, ("e_above_hull", "max hardness"))
    assert set(rows[:2].tolist()) == {0, 1}
    assert set(rows.tolist()) == {0, 1, 3}
    assert not notes
    rows, notes = by_objectives(crystals, merit, kept, ("e_above_hull", "max luck"))
    assert not len(rows)
    assert notes == ["no network foretells luck, so no candidate is chosen by it"]
    monkeypatch.setattr(breeding, "LIKELY", 0.5)
    found = by_objectives(crystals, merit, kept, ("e_above_hull", "max hardness"))[0]
    assert set(found.tolist()) == {0, 1}
    assert not len(by_objectives(crystals, merit, kept, ("e_above_hull",))[0])


def test_objectives_are_named_or_refused():
    with pytest.raises(ConfigError, match="'hardness' is no objective: write e_above_hull"):
        load_config(None, {"system": "Au-Cu", "generate.objectives": ["hardness"]})


def test_a_search_in_generations(tmp_path, capsys):
    """As many cells in each; the command writes what all of them found."""
    out = tmp_path / "found.parquet"
    words = ["--count", "4", "--max-formula-units", "1", "--generations", "2"]
    words += ["--evaluator", "ase:ase.calculators.emt.EMT", "--workers", "1"]
    assert main(["search", "Cu3Au", *words, "--out", str(out), "--json"]) == 0
    assert '"tries": 8' in capsys.readouterr().out
