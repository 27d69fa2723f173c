"""Random structure search: Wyckoff positions, symmetric cells, soft spheres, a small search."""

import gzip
import importlib.util
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnomon.crystals import Crystals
from gnomon.discover.search import search
from gnomon.elements import COVALENT_RADII, atomic_number
from gnomon.generate import LINEAGE, Generator
from gnomon.generate.random.generator import (
    SEPARATION,
    VOLUME_PER_RADIUS_CUBED,
    RandomSearchGenerator,
    estimated_volume,
    whole_amounts,
)
from gnomon.generate.random.soft_spheres import TOLERATED, push_apart
from gnomon.generate.random.symmetric_cells import draft, random_lattice
from gnomon.generate.registry import GENERATORS, GeneratorSettings
from gnomon.structure.duplicates import FAST, group_duplicates
from gnomon.structure.neighbors import neighbors
from gnomon.structure.symmetry import space_groups
from gnomon.structure.wyckoff import space_group
from tests.calculators import evaluated
from tests.strategies import rngs

SYMMETRY_KEPT = 1e-3
"""Å; rounding in 25 steps of pushing moves atoms far less."""


def tables(name):
    spec = importlib.util.find_spec("pymatgen.analysis.prototypes")
    folder = Path(spec.submodule_search_locations[0])
    return json.loads(gzip.decompress((folder / name).read_bytes()))


def test_wyckoff_positions_are_those_of_the_tables():
    multiplicities = tables("wyckoff-position-multiplicities.json.gz")
    freedoms = tables("wyckoff-position-params.json.gz")
    for number in range(1, 231):
        group, row = space_group(number), multiplicities[str(number)]
        ours = Counter((p.multiplicity * group.centred, p.freedom) for p in group.positions)
        assert ours == Counter((int(row[k]), int(freedoms[str(number)][k])) for k in row), number
        assert np.linalg.det(group.primitive) * group.centred == pytest.approx(1.0)


def test_there_is_no_space_group_0():
    with pytest.raises(ValueError, match="1 to 230"):
        space_group(0)


@given(rngs, st.integers(1, 230))
def test_cells_have_the_symmetry_they_were_drawn_with(rng, number):
    """Or a supergroup of as many operations a primitive cell at least: chance adds symmetry."""
    general = space_group(number).positions[-1].multiplicity
    cell = draft({11: general}, 30.0 * general, [number], rng)
    crystals = cell.crystal
    assert cell.space_group == number
    assert crystals.volumes[0] == pytest.approx(30.0 * general)
    assert crystals.n_atoms[0] == general
    operations = [space_group(n).positions[-1].multiplicity for n in (number, _found(crystals))]
    assert operations[1] >= operations[0] / crystals.n_atoms[0] * _primitive_atoms(crystals)


def _found(crystals):
    [number] = space_groups(crystals, SYMMETRY_KEPT).tolist()
    return max(number, 1)


def _primitive_atoms(crystals):
    from gnomon.structure.symmetry import SymmetryError, primitive

    try:
        return primitive(crystals, SYMMETRY_KEPT).n_atoms[0]
    except SymmetryError:  # two atoms of an orbit within the tolerance: nothing to compare
        return 0


@given(rngs, st.sampled_from([1, 5, 30, 100, 160, 190, 220]))
def test_cells_belong_to_their_family(rng, number):
    lattice = random_lattice(number, rng)
    metric = lattice @ lattice.T
    assert np.linalg.det(lattice) > 0
    if number > 15:
        sixty = 143 <= number <= 194
        assert metric[0, 1] == pytest.approx(-metric[0, 0] / 2 if sixty else 0, abs=1e-9)
        assert metric[0, 2] == pytest.approx(0, abs=1e-9)
    if number > 74:
        assert metric[0, 0] == pytest.approx(metric[1, 1])
    if number > 194:
        assert metric[0, 0] == pytest.approx(metric[2, 2])


@settings(max_examples=10)
@given(rngs)
def test_pushing_apart_keeps_symmetry_and_distances(rng):
    drafts = [draft({8: 4, 22: 2}, 70.0, range(1, 231), rng) for _ in range(6)]
    cells = Crystals.concatenate([one.crystal for one in drafts])
    radii = SEPARATION * COVALENT_RADII[cells.atomic_numbers]
    before = cells.frac_coords.copy()
    apart, good = push_apart(cells, radii)
    np.testing.assert_array_equal(before, cells.frac_coords)
    found = neighbors(apart, 4.0)
    ratio = found.distances / (radii[found.receivers] + radii[found.senders])
    closest = np.full(len(cells), np.inf)
    np.minimum.at(closest, cells.crystal_index[found.receivers], ratio)
    assert np.all(closest[good] >= TOLERATED * (1 - 1e-9))
    assert np.all(closest[~good] < 1)


def test_an_atom_too_near_to_its_own_image_cannot_be_helped():
    crystal = Crystals.single(np.diag([1.0, 5.0, 5.0]), [29], [[0, 0, 0]])
    assert push_apart(crystal, np.array([1.0]))[1].tolist() == [False]


def test_the_same_seed_gives_the_same_cells_however_many_and_in_whatever_order():
    few = RandomSearchGenerator(("NaCl",), count=4).cells("NaCl", 3)
    many = RandomSearchGenerator(("Cu", "NaCl"), count=7).cells("ClNa", 3)
    assert few.crystals.ids.tolist() == many.crystals.ids.tolist()[:4]
    other = RandomSearchGenerator(("NaCl",), count=4).cells("NaCl", 4)
    assert not set(few.crystals.ids) & set(other.crystals.ids)


def test_cells_keep_composition_size_volume_and_distance():
    generator = RandomSearchGenerator(("SiO2",), count=30, max_atoms=12)
    made = generator.cells("SiO2", 1)
    crystals = made.crystals
    assert set(crystals.reduced_formulas) == {"SiO2"}
    assert crystals.n_atoms.max() <= 12
    per_atom = estimated_volume({14: 1, 8: 2}) / 3
    factor = crystals.volumes / crystals.n_atoms / per_atom
    assert factor.min() >= 0.4 - 1e-9
    assert factor.max() <= 1.2 + 1e-9
    found = neighbors(crystals, 4.0)
    numbers = crystals.atomic_numbers
    sums = COVALENT_RADII[numbers[found.receivers]] + COVALENT_RADII[numbers[found.senders]]
    shrink = np.minimum(1, np.cbrt(factor))[crystals.crystal_index[found.receivers]]
    assert np.all(found.distances >= TOLERATED * SEPARATION * sums * shrink * (1 - 1e-9))


@pytest.fixture(scope="module")
def made():
    generator = RandomSearchGenerator(("Cu", "NaCl"), count=25, max_formula_units=2)
    assert isinstance(generator, Generator)
    return list(generator.generate(Crystals.empty(), seed=5))


def test_no_two_outputs_are_the_same_crystal(made):
    crystals = Crystals.concatenate([chunk.crystals for chunk in made])
    assert len(set(group_duplicates(crystals, FAST).of.tolist())) == len(crystals) <= 50


def test_lineage_has_a_row_for_each_candidate(made):
    for chunk in made:
        assert chunk.lineage.schema == LINEAGE
        assert chunk.lineage["id"].to_pylist() == chunk.crystals.ids.tolist()
        assert set(chunk.lineage["generator"].to_pylist()) == {"random"}


def test_the_volume_estimate_is_the_median_of_real_crystals(shared_data):
    from gnomon.io import read

    crystals = read(shared_data / "materials_project" / "structures.parquet").crystals
    cubes = COVALENT_RADII[crystals.atomic_numbers] ** 3
    sums = np.bincount(crystals.crystal_index, weights=cubes)
    assert np.median(crystals.volumes / sums) == pytest.approx(VOLUME_PER_RADIUS_CUBED, abs=0.01)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"compositions": ("Xx2",)}, "formula"),
        ({"compositions": ("Fe0.5O",)}, "fractional"),
        ({"count": 0}, "at least 1"),
        ({"volumes": (1.2, 0.4)}, "ascending"),
        ({"space_groups": (0,)}, "1 to 230"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        RandomSearchGenerator(**{"compositions": ("Cu",), **arguments})


def test_amounts_are_reduced():
    assert whole_amounts("Si2O4") == {8: 2, 14: 1}


class Packing:
    """An evaluator that likes dense cells, and fails on every fourth crystal."""

    scheme = "packing"

    def evaluate(self, crystals):
        for start in range(0, len(crystals), 16):
            part = crystals[start : start + 16]
            failed = (np.arange(len(part)) + start) % 4 == 3
            energy = np.where(failed, np.nan, part.volumes / part.n_atoms)
            status = np.where(failed, "exploded", "converged")
            yield evaluated(part, self.scheme, energy, status, np.where(failed, "burst", ""))


def test_a_search_ranks_what_converged_and_counts_the_rest():
    generator = RandomSearchGenerator(("Cu",), count=12, max_formula_units=2)
    [found] = search(generator, Packing(), seed=2)
    assert found.tries == 12
    assert (
        found.cells
        == sum(found.statuses.values())
        == len(generator.distinct_cells("Cu", 2).crystals)
    )
    assert found.statuses["exploded"] == found.cells // 4
    assert found.times.sum() == found.statuses["converged"]
    assert np.all(np.diff(found.energy_per_atom) >= 0)
    table = found.table()
    assert table["energy_per_atom"].to_pylist() == found.energy_per_atom.tolist()
    assert set(table["scheme"].to_pylist()) == {"packing"}


def test_copper_is_found_with_emt():
    """fcc comes out lowest: a whole search, in a few seconds of one core."""
    from gnomon.dynamics.settings import RelaxConfig
    from gnomon.evaluate.ase import AseEvaluator
    from gnomon.structure.labels import prototype_labels

    generator = RandomSearchGenerator(("Cu",), count=12, max_formula_units=1)
    evaluator = AseEvaluator(
        "ase.calculators.emt.EMT", {}, RelaxConfig(fmax=0.02, max_steps=150), workers=1
    )
    [found] = search(generator, evaluator, seed=0)
    assert prototype_labels(found.crystals[0], 0.1).tolist() == ["A_cF4_225_a"]
    assert atomic_number("Cu") == found.crystals.atomic_numbers[0]


# --- in a campaign --------------------------------------------------------------------------------


def test_campaigns_make_random_cells_of_all_compositions_that_can_balance():
    settings = GeneratorSettings(("Na", "Cl"), 8, (), frozenset({"NaCl"}))
    generator = GENERATORS.get("random")(settings)
    [first] = generator.generate(Crystals.empty(), seed=1)
    [again] = generator.generate(Crystals.empty(), seed=1)
    [other] = generator.generate(Crystals.empty(), seed=2)
    assert first.crystals.ids.tolist() == again.crystals.ids.tolist()
    assert not set(first.crystals.ids) & set(other.crystals.ids)
    formulas = set(first.crystals.reduced_formulas.tolist())
    assert "NaCl" not in formulas
    assert formulas == {"Na2Cl", "Na3Cl"}  # Na may have a mean state, Cl none but -1
    assert first.crystals.n_atoms.max() <= 8
    assert set(first.lineage["generator"].to_pylist()) == {"random"}
