"""Structures of known crystals with other elements in their places."""

import itertools

import numpy as np
import pytest

from gnomon.crystals import Crystals
from gnomon.elements import COVALENT_RADII, atomic_number
from gnomon.generate.prototypes.generator import PrototypeGenerator
from gnomon.generate.prototypes.learning import known_crystals, learn_likeness, learn_volumes
from gnomon.generate.prototypes.likely import likely
from gnomon.generate.prototypes.occurrence import NONE, Occurrence
from gnomon.structure.labels import prototype_label, prototype_labels
from gnomon.structure.protostructures import protostructure
from gnomon.structure.symmetry import canonical_ids
from tests.test_occurrence import ALLOYS, SALTS, caesium_chloride, fluorite, rock_salt

SYSTEMS = [("Na", "Cl"), ("Au", "Cu"), ("Ca", "Ti", "O"), ("K", "Mn", "Se")]


@pytest.fixture(scope="module")
def told():
    return Occurrence.load()


def made(told, system, most=30, max_atoms=16):
    return likely(told, sorted(map(atomic_number, system)), max_atoms, most)


def place(crystal):
    label = prototype_label(protostructure(crystal))
    return label.text, tuple(label.elements.tolist())


@pytest.mark.parametrize("system", SYSTEMS)
def test_what_is_made_has_the_prototype_that_it_is_said_to_have(told, system):
    found = made(told, system)
    assert prototype_labels(found.crystals).tolist() == found.labels
    assert all(label in text for label, text in zip(found.labels, found.changes, strict=True))
    assert set(found.crystals.chemical_systems) == {"-".join(sorted(system))}


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_likeliest_come_first_and_none_twice(told, system):
    """Counts of all orders that a prototype allows grow with those of the best one."""
    few, many = made(told, system, most=10), made(told, system, most=60)
    assert np.all(np.diff(many.counts) <= 0)
    assert len(few.crystals) <= 10 < len(many.crystals) <= 60
    assert set(few.changes) == set(many.changes[: len(few.changes)])
    counts = [told.count(prototype_label(protostructure(one))) for one in many.crystals]
    assert np.mean(counts[:10]) > np.mean(counts[10:30]) > np.mean(counts[30:])
    same_size = many.crystals.scale_volume(20 * many.crystals.n_atoms / many.crystals.volumes)
    assert len(set(canonical_ids(same_size))) == len(same_size)


def test_max_atoms_bounds_the_cells(told):
    assert made(told, ("Ca", "Ti", "O"), max_atoms=6).crystals.n_atoms.max() <= 6


def test_known_crystals_come_again_at_about_their_volume(told):
    """Of their own prototype; the cell may be that of a crystal of other elements."""
    known, rng = told.known, np.random.default_rng(0)
    binary = (known.cell != NONE) & ((known.species > 0).sum(axis=1) == 2)
    off = []
    for row in rng.choice(np.flatnonzero(binary), 5, replace=False).tolist():
        cell = known.cells[int(known.cell[row])]
        found = likely(told, known.species[row, :2].tolist(), int(cell.n_atoms[0]), 150).crystals
        same = [one for one in found if place(one) == place(cell)]
        off.append(min(abs(np.log(float((one.volumes / cell.volumes)[0]))) for one in same))
    assert np.median(off) < 0.03


def test_no_known_crystal_of_so_many_elements_gives_nothing():
    known = known_crystals(Crystals.concatenate([rock_salt(*pair) for pair in SALTS]))
    told = Occurrence(known, learn_likeness(known), known.frequency, learn_volumes(known), {})
    assert len(likely(told, [3, 11, 17], 16, 10).crystals) == 0
    assert len(likely(told, [11, 17], 1, 10).crystals) == 0


def test_volumes_of_elements_add_up():
    """Of salts whose volumes are products of what their elements take, ratios are found again."""
    takes = {"Li": 12.0, "Na": 20.0, "K": 40.0, "Rb": 50.0, "F": 8.0, "Cl": 20.0, "Br": 27.0}
    crystals = []
    for cation, anion in itertools.product(("Li", "Na", "K", "Rb"), ("F", "Cl", "Br")):
        per_atom = np.sqrt(takes[cation] * takes[anion])
        for one in (rock_salt(cation, anion), caesium_chloride(cation, anion)):
            crystals.append(one.scale_volume(per_atom * 2 / one.volumes[0]))
    found = learn_volumes(known_crystals(Crystals.concatenate(crystals)))
    for pair in (("Na", "Rb"), ("F", "Br")):
        z, k = map(atomic_number, pair)
        wanted = np.log(takes[pair[0]] / takes[pair[1]])
        assert found[z] - found[k] == pytest.approx(wanted, abs=0.15)
    gold = atomic_number("Au")
    assert found[gold] == pytest.approx(3 * np.log(COVALENT_RADII[gold]))


def test_large_cells_only_count():
    crystals = Crystals.concatenate(
        [rock_salt("Na", "Cl"), fluorite("Ca", "F"), *(caesium_chloride(*p) for p in ALLOYS)]
    )
    known = known_crystals(crystals, max_atoms=2)
    assert (known.cell == NONE).sum() == 1
    assert len(known.cells) == len(known) - 1


def test_the_library_adds_what_no_known_crystal_has(told):
    """Of one prototype with the same elements in its places there is one, from known crystals."""
    of_known = PrototypeGenerator(("Na", "Cl"), 8, known=told)
    crystals, changes = [], []
    for chunk in of_known.generate(Crystals.empty()):
        crystals.append(chunk.crystals)
        changes += chunk.lineage["change"].to_pylist()
    every = Crystals.concatenate(crystals)
    compound = (every.composition > 0).sum(axis=1) == 2
    library = compound & np.array([text.startswith("AFLOW") for text in changes])
    known = {place(one) for one in every[compound & ~library]}
    assert library.any()
    assert known.isdisjoint(place(one) for one in every[library])
