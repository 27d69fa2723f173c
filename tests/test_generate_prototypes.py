"""Prototype decorations: completeness, no duplicates, sensible volumes."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.chemistry.elemental import elemental_structures
from gnomon.chemistry.prototypes import prototypes
from gnomon.crystals import Crystals
from gnomon.elements import COVALENT_RADII, atomic_number
from gnomon.generate import CHUNK, LINEAGE, Candidates, Generator
from gnomon.generate.chunks import rechunk
from gnomon.generate.prototypes.generator import PrototypeGenerator
from gnomon.structure.contacts import closest_distances
from gnomon.structure.symmetry import canonical_ids, primitive, space_groups

LENGTH_TOLERANCE = 0.10  # relative; covalent radii against measured cells

# The library's own numbers are more (or less) symmetric than its label says.
MISLABELLED = {"AB3_tI16_140_b_ah": 123, "AB_oP8_33_a_a": 62, "A2B_oC12_38_de_ab": 63}


def candidates(*system, **options) -> Candidates:
    generator: Generator = PrototypeGenerator(system, **options)
    (chunk,) = rechunk(generator.generate(Crystals.empty(), seed=0), CHUNK)
    return chunk


@pytest.fixture(scope="module")
def au_cu():
    return candidates("Au", "Cu")


def rows(chunk, formula, space_group):
    of_formula = np.flatnonzero(chunk.crystals.reduced_formulas == formula)
    groups = space_groups(chunk.crystals.take(of_formula))
    return [int(i) for i in of_formula[groups == space_group]]


@pytest.mark.parametrize(
    ("formula", "space_group", "label"),
    [
        ("Au", 225, "A_cF4_225_a"),
        ("Cu", 225, "A_cF4_225_a"),
        ("Cu", 229, "A_cI2_229_a"),
        ("Cu", 194, "A_hP2_194_c"),
        ("Cu", 227, "A_cF8_227_a"),
        ("Cu3Au", 221, "AB3_cP4_221_a_c"),
        ("CuAu3", 221, "AB3_cP4_221_a_c"),
        ("CuAu", 123, "AB_tP2_123_a_d"),
        ("CuAu", 221, "AB_cP2_221_b_a"),
        ("CuAu", 166, "AB_hR2_166_a_b"),
    ],
)
def test_au_cu_holds_the_phases_of_the_textbook(au_cu, formula, space_group, label):
    found = au_cu.lineage["change"].to_pylist()
    formulas = au_cu.crystals.reduced_formulas
    assert any(label in found[i] for i in rows(au_cu, formula, space_group)), formula
    assert set(formulas[au_cu.crystals.n_atoms == 1]) == {"Au", "Cu"}


def test_no_crystal_comes_twice(au_cu):
    assert len(set(canonical_ids(au_cu.crystals))) == len(au_cu.crystals)


def test_b2_comes_once_and_l1_2_twice(au_cu):
    labels = Counter(change.split()[1] for change in au_cu.lineage["change"].to_pylist())
    assert labels["AB_cP2_221_b_a"] == 1  # CuAu = AuCu
    assert labels["AB3_cP4_221_a_c"] == 2  # Cu3Au and CuAu3


def test_every_decoration_is_there():
    """All m! decorations of every prototype, made naively, are among the candidates."""
    chunk = candidates("Pd", "Pt", "Cu", max_atoms=4)
    known = set(canonical_ids(chunk.crystals))
    numbers = [atomic_number(s) for s in ("Cu", "Pd", "Pt")]
    for m in (2, 3):
        for prototype in prototypes(m, 4):
            every = np.array(list(itertools.permutations(numbers, m)))
            assert set(canonical_ids(prototype.decorate(every))) <= known, prototype.label


def test_lineage_names_the_letters(au_cu):
    assert au_cu.lineage.schema.equals(LINEAGE)
    assert au_cu.lineage["id"].to_pylist() == list(au_cu.crystals.ids)
    assert set(au_cu.lineage["generator"].to_pylist()) == {"prototypes"}
    assert au_cu.lineage["parent_id"].null_count == len(au_cu.crystals)
    cu3au = next(
        i for i in rows(au_cu, "Cu3Au", 221) if "AB3_cP4" in au_cu.lineage["change"][i].as_py()
    )
    assert au_cu.lineage["change"][cu3au].as_py() == "AFLOW AB3_cP4_221_a_c (Cu3Au): A=Au, B=Cu"
    # four atoms; of equal cells the one of higher symmetry comes first
    assert au_cu.lineage["score"][cu3au].as_py() == -4 + 0.221


@given(st.permutations(["Li", "Fe", "O"]))
def test_the_order_of_the_system_does_not_matter(system):
    chunk = candidates(*system, max_atoms=5)
    assert list(chunk.crystals.ids) == list(candidates("Fe", "Li", "O", max_atoms=5).crystals.ids)


def test_a_system_contains_its_subsystems(au_cu):
    larger = set(candidates("Au", "Cu", "Pd", max_atoms=12).crystals.ids)
    small = au_cu.crystals.take(au_cu.crystals.n_atoms <= 12)
    assert set(small.ids) <= larger


def test_an_element_comes_in_its_few_structures_whatever_the_system(au_cu):
    for symbol in ("Au", "Cu"):
        own = [s.crystal.ids[0] for s in elemental_structures(symbol, 24)]
        of_element = au_cu.crystals.chemical_systems == symbol
        assert au_cu.crystals.ids[of_element].tolist() == own


@pytest.mark.parametrize(("symbol", "n_atoms"), [("Mn", 29), ("S", 32)])
def test_a_large_ground_state_comes_in_spite_of_max_atoms(symbol, n_atoms):
    assert candidates(symbol, max_atoms=4).crystals.n_atoms.max() == n_atoms


@given(st.lists(st.sampled_from(["H", "Cs", "Na", "O", "W"]), min_size=2, max_size=2, unique=True))
def test_the_closest_covalent_spheres_touch(system):
    chunk = candidates(*system, max_atoms=6)
    compound = (chunk.crystals.composition > 0).sum(axis=1) == 2
    for crystal in chunk.crystals[compound]:
        elements, distances = closest_distances(crystal)
        radii = COVALENT_RADII[elements]
        assert np.min(distances / (radii[:, None] + radii)) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(
    ("system", "label", "formula", "atoms_a_cell", "measured"),
    [
        (("Cu",), "A_cF4_225_a", "Cu", 4, 3.615),  # Å: Straumanis and Yu (1969)
        (("Au", "Cu"), "AB3_cP4_221_a_c", "Cu3Au", 4, 3.743),  # Å: Okamoto et al. (1987)
        (("Cl", "Na"), "AB_cF8_225_a_b", "NaCl", 8, 5.640),  # Å: Barrett and Wallace (1954)
    ],
)
def test_cells_are_near_those_measured(system, label, formula, atoms_a_cell, measured):
    chunk = candidates(*system, max_atoms=4)
    (i,) = [
        i
        for i, change in enumerate(chunk.lineage["change"].to_pylist())
        if label in change and chunk.crystals.reduced_formulas[i] == formula
    ]
    volume = chunk.crystals.volumes[i] / chunk.crystals.n_atoms[i] * atoms_a_cell
    assert np.cbrt(volume) == pytest.approx(measured, rel=LENGTH_TOLERANCE)


@pytest.mark.parametrize("n_species", [1, 2, 3])
def test_prototypes_have_the_space_group_of_their_label_and_primitive_cells(n_species):
    library = prototypes(n_species, 24)
    cells = Crystals.concatenate([p.crystal for p in library])
    wanted = [MISLABELLED.get(p.label, int(p.label.split("_")[2])) for p in library]
    assert space_groups(cells).tolist() == wanted
    np.testing.assert_array_equal(primitive(cells).n_atoms, cells.n_atoms)


def test_max_atoms_bounds_the_cells():
    assert candidates("Si", max_atoms=2).crystals.n_atoms.max() == 2
    assert candidates("Si", "C", max_atoms=24).crystals.n_atoms.max() > 12


@pytest.mark.parametrize(
    ("system", "max_atoms", "message"),
    [
        ((), 8, "at least one"),
        (("Cu", "Cu"), 8, "each element once"),
        (("Cu", "Qq"), 8, "unknown element 'Qq'"),
        (("Cu",), 0, "max_atoms must be at least 1"),
    ],
)
def test_a_wrong_argument_says_what_is_wrong(system, max_atoms, message):
    with pytest.raises(ValueError, match=message):
        PrototypeGenerator(system, max_atoms)


@given(st.lists(st.integers(1, 7), max_size=6), st.integers(1, 9))
def test_rechunk_keeps_order_and_size(sizes, size):
    chunk = candidates("Au", "Cu", max_atoms=4)
    starts = np.cumsum([0, *sizes])
    parts = [
        Candidates(chunk.crystals[a:b], chunk.lineage.slice(a, b - a))
        for a, b in itertools.pairwise(starts.tolist())
    ]
    out = list(rechunk(parts, size))
    assert [len(c.crystals) for c in out[:-1]] == [size] * (len(out) - 1)
    assert [i for c in out for i in c.crystals.ids] == list(chunk.crystals.ids[: sum(sizes)])
    assert [i for c in out for i in c.lineage["id"].to_pylist()] == list(
        chunk.crystals.ids[: sum(sizes)]
    )
