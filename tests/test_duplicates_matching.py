"""The matcher answers as pymatgen's StructureMatcher does, and groups hold no pair that differs."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from gnomon.crystals import Crystals
from gnomon.io import as_crystals, from_arrow, to_pymatgen
from gnomon.structure.cells import comparable_cells
from gnomon.structure.duplicates import Sameness, group_duplicates
from gnomon.structure.matching import Matcher
from tests.strategies import random_crystal, random_unimodular, rewritten, rngs


def pymatgen_fit(one: Crystals, other: Crystals, matcher: Matcher) -> bool:
    from pymatgen.analysis.structure_matcher import StructureMatcher

    theirs = StructureMatcher(ltol=matcher.length, stol=matcher.site, angle_tol=matcher.angle)
    return bool(theirs.fit(*to_pymatgen(one), *to_pymatgen(other)))


def fit(one: Crystals, other: Crystals, matcher: Matcher) -> bool:
    return matcher.on(Crystals.concatenate([one, other]))(0, 1)


def distorted(crystal: Crystals, rng: np.random.Generator, strain: float, noise: float) -> Crystals:
    """The crystal with a random strain and random moves, in Å, of this standard deviation."""
    lattice = crystal.lattice @ (np.eye(3) + rng.normal(0, strain, (3, 3)))
    moves = rng.normal(0, noise, crystal.frac_coords.shape) @ np.linalg.inv(lattice[0])
    return crystal.with_lattice(lattice).with_frac_coords(crystal.frac_coords + moves)


def one_of_each_kind(most_atoms: int) -> dict[str, Crystals]:
    """Prototypes of the AFLOW library by anonymous formula, all of the same elements."""
    from pymatgen.analysis.prototypes import AFLOW_PROTOTYPE_LIBRARY

    kinds: dict[str, list[Crystals]] = defaultdict(list)
    for entry in AFLOW_PROTOTYPE_LIBRARY:
        structure = entry["snl"].structure
        if len(structure) <= most_atoms:
            [crystal] = as_crystals([structure])
            elements, place = np.unique(crystal.atomic_numbers, return_inverse=True)
            counts = np.bincount(place)
            rank = np.argsort(np.argsort(counts, kind="stable"))
            renamed = crystal.with_atomic_numbers(np.array([11, 17, 22, 8])[rank[place]])
            assert len(elements) <= 4
            kinds[str(renamed.reduced_formulas[0])].append(renamed)
    return {name: Crystals.concatenate(found) for name, found in kinds.items()}


# --- the same answers as pymatgen -----------------------------------------------------------------


@settings(max_examples=40)
@given(
    rngs,
    st.sampled_from([0.0, 0.02, 0.06]),
    st.sampled_from([0.0, 0.1, 0.3, 0.5]),
    st.sampled_from([Matcher(), Matcher(length=0.05, site=0.15, angle=2.0), Matcher(site=0.5)]),
)
def test_it_answers_as_pymatgen_for_crystals_about_as_far_apart_as_it_tolerates(
    rng: np.random.Generator, strain: float, noise: float, matcher: Matcher
) -> None:
    one = random_crystal(rng, 6)
    one = one.supercell(rng.choice([1, 1, 2], 3).tolist())
    other = rewritten(distorted(one, rng, strain, noise), rng)
    assert fit(one, other, matcher) == pymatgen_fit(one, other, matcher)


@settings(max_examples=15)
@given(rngs)
def test_the_same_crystal_fits_in_any_cell_size_orientation_and_handedness(
    rng: np.random.Generator,
) -> None:
    one = random_crystal(rng, 6)
    larger = one.supercell(np.diag([1, 2, 1]) @ random_unimodular(rng)).scale_volume(1.3)
    mirrored = rewritten(larger.with_lattice(larger.lattice * [1, 1, -1]), rng)
    assert fit(one, mirrored, Matcher())
    assert fit(mirrored, one, Matcher())


def test_it_answers_as_pymatgen_for_prototypes_of_one_formula() -> None:
    """Symmetric cells, where many bases tie: of 200 pairs a part is the same within tolerances."""
    from pymatgen.analysis.structure_matcher import StructureMatcher

    theirs = StructureMatcher()
    rng = np.random.default_rng(0)
    ours, expected = [], []
    for crystals in one_of_each_kind(6).values():
        same = Matcher().on(crystals)
        reduced = [theirs._get_reduced_structure(one) for one in to_pymatgen(crystals)]
        pairs = [(i, j) for j in range(len(crystals)) for i in range(j)]
        for k in rng.permutation(len(pairs))[:25].tolist():
            i, j = pairs[k]
            ours.append(same(i, j))
            expected.append(theirs.fit(reduced[i], reduced[j], skip_structure_reduction=True))
    assert len(ours) > 100
    assert ours == expected
    assert 0 < sum(ours) < len(ours)


def test_it_answers_as_pymatgen_for_real_crystals_of_one_formula(shared_data: Path) -> None:
    from pymatgen.analysis.structure_matcher import StructureMatcher

    formulas = ["TiO2", "SiO2", "ZnS", "MgH2", "LaNiO3", "CuI", "Bi2O3", "VF4", "YbMg", "MnVO4"]
    crystals = from_arrow(
        pq.read_table(
            shared_data / "materials_project" / "structures.parquet",
            filters=[("reduced_formula", "in", formulas)],
        )
    )
    crystals = crystals.take(crystals.n_atoms <= 24)
    same, structures, theirs = Matcher().on(crystals), to_pymatgen(crystals), StructureMatcher()
    reduced = [theirs._get_reduced_structure(structure) for structure in structures]
    names = crystals.reduced_formulas
    pairs = [(i, j) for j in range(len(crystals)) for i in range(j) if names[i] == names[j]]
    answers = [same(i, j) for i, j in pairs]
    expected = [theirs.fit(reduced[i], reduced[j], skip_structure_reduction=True) for i, j in pairs]
    assert answers == expected
    assert 0 < sum(answers) < len(answers)


@settings(max_examples=15)
@given(rngs)
def test_cells_are_as_small_as_those_of_pymatgen(rng: np.random.Generator) -> None:
    """Also where atoms miss the translation by about the tolerance of 0.25 Å."""
    from pymatgen.analysis.structure_matcher import StructureMatcher

    crystal = random_crystal(rng, 4).supercell(rng.integers(1, 3, 3).tolist())
    crystal = distorted(crystal, rng, 0.0, float(rng.choice([0.0, 0.05, 0.1, 0.2])))
    [structure] = to_pymatgen(crystal)
    [cell] = comparable_cells(crystal)
    assert len(cell.atomic_numbers) == len(StructureMatcher._get_reduced_structure(structure))


def test_other_compositions_never_fit() -> None:
    salt = Crystals.single(np.eye(3) * 4.0, [55, 17], [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert not fit(salt, salt.substitute({"Cl": "Br"}), Matcher())
    assert not fit(salt, salt.substitute({"Cl": "Cs"}), Matcher())


# --- groups -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rulers(Matcher):
    """Pairs of a batch match if they are among these, whatever the crystals are."""

    edges: frozenset[tuple[int, int]] = frozenset()

    def on(self, crystals: Crystals) -> Callable[[int, int], bool]:
        order = np.rint((crystals.lattice[:, 2, 2] - 3.3) / 0.01).astype(int)
        return lambda i, j: (order[i], order[j]) in self.edges


@given(st.data())
def test_a_group_never_holds_a_pair_that_differs_and_pairs_of_two_groups_are_told(
    data: st.DataObject,
) -> None:
    n = data.draw(st.integers(1, 9))
    every = [(i, j) for j in range(n) for i in range(j)]
    edges = frozenset(data.draw(st.lists(st.sampled_from(every), unique=True)) if every else ())
    crystals = Crystals.concatenate(
        [Crystals.single(np.diag([3, 3, 3.3 + 0.01 * i]), [29], [[0, 0, 0]]) for i in range(n)]
    )
    groups = group_duplicates(crystals, Sameness(matcher=Rulers(edges=edges)))
    of = groups.of.tolist()
    assert list(dict.fromkeys(of)) == list(range(len(set(of))))
    parted = {(i, j) for i, j in edges if of[i] != of[j]}
    assert all((i, j) in edges for i, j in every if of[i] == of[j])
    assert set(groups.chained) == parted
    for a in range(n):
        for b in range(a + 1, n):
            if of[a] != of[b]:  # no two groups could be one
                members = [i for i in range(n) if of[i] in (of[a], of[b])]
                assert any((i, j) not in edges for j in members for i in members if i < j)
