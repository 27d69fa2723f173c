"""Labels of prototypes: one for a structure, however it is written and whatever its elements."""

import gzip
import json
import re

import numpy as np
import pytest
import spglib
from hypothesis import assume, given
from hypothesis import strategies as st

from gnomon.chemistry.prototypes import prototypes
from gnomon.crystals import Crystals
from gnomon.elements import atomic_number
from gnomon.run.files import file_of_package
from gnomon.structure.labels import (
    anonymous_label,
    pearson_symbol,
    prototype_label,
    prototype_labels,
)
from gnomon.structure.neighbors import neighbors
from gnomon.structure.oblique import HALL, SPECIAL
from gnomon.structure.protostructures import LETTERS, protostructure, relabellings
from tests.strategies import rewritten, rngs

NOT_AS_LABELLED = ["AB3_tI16_140_b_ah", "AB_oP8_33_a_a", "A2B_oC12_38_de_ab"]
"""Entries whose coordinates have more symmetry than their label says (4 atoms in I4/mcm's 16)."""


TOUCHING = 0.3
"""Å."""


def library(n_species):
    return prototypes(n_species, 14)


def cubic(a, numbers, frac):
    return Crystals.single(np.eye(3) * a, numbers, frac)


def rocksalt(cation, anion):
    half = [[0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]]
    return Crystals.single(
        np.array(half) * 5.64,
        [atomic_number(cation), atomic_number(anion)],
        [[0, 0, 0], [0.5, 0.5, 0.5]],
    )


@given(rngs, st.integers(1, 3))
def test_a_label_does_not_depend_on_how_the_crystal_is_written(rng, n_species):
    choice = library(n_species)
    prototype = choice[int(rng.integers(len(choice)))]
    crystal = prototype.decorate(rng.permutation([11, 17, 29, 47])[None, :n_species])
    [label] = prototype_labels(crystal)
    assert label
    [again] = prototype_labels(rewritten(crystal, rng))
    assert again == label
    [large] = prototype_labels(crystal.supercell([1, 1, 2]))
    assert large == label


@given(rngs)
def test_a_label_does_not_depend_on_the_elements(rng):
    choice = library(2)
    prototype = choice[int(rng.integers(len(choice)))]
    pairs = np.array([[11, 17], [17, 11], [29, 79]])
    assert len(set(prototype_labels(prototype.decorate(pairs)))) == 1


def test_elements_follow_the_letters():
    fluorite = prototype_label(protostructure(_fluorite("Ca", "F")))
    anti = prototype_label(protostructure(_fluorite("O", "Na")))
    assert fluorite.text == anti.text == "AB2_cF12_225_a_c"
    assert fluorite.elements.tolist() == [20, 9]
    assert anti.elements.tolist() == [8, 11]


def _fluorite(one, two):
    lattice = np.array([[0, 2.73, 2.73], [2.73, 0, 2.73], [2.73, 2.73, 0]])
    numbers = [atomic_number(one), atomic_number(two), atomic_number(two)]
    return Crystals.single(lattice, numbers, [[0, 0, 0], [0.25] * 3, [0.75] * 3])


@pytest.mark.parametrize(
    ("crystal", "label"),
    [
        (rocksalt("Na", "Cl"), "AB_cF8_225_a_b"),
        (rocksalt("Cl", "Na"), "AB_cF8_225_a_b"),
        (
            cubic(3.75, [79, 29, 29, 29], [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]),
            "AB3_cP4_221_a_c",
        ),
        (cubic(2.95, [29, 46], [[0.2, 0.1, 0.3], [0.7, 0.6, 0.8]]), "AB_cP2_221_a_b"),
        (cubic(3.9, [22], [[0.1, 0.2, 0.3]]), "A_cP1_221_a"),
    ],
)
def test_known_labels(crystal, label):
    assert prototype_labels(crystal).tolist() == [label]


def test_a_crystal_without_symmetry_has_an_empty_label():
    on_top = cubic(4.0, [11, 11], [[0, 0, 0], [0, 0, 1e-5]])
    assert prototype_labels(on_top).tolist() == [""]


def test_labels_agree_with_the_ones_that_aflow_gave():
    """Of all 288, up to the order of species and the choice of origin that AFLOW leaves open."""
    library = file_of_package("pymatgen.analysis.prototypes", "aflow_prototypes.json.gz")
    entries = json.loads(gzip.decompress(library.read_bytes()))
    differ = []
    for entry in entries:
        lattice, sites = entry["snl"]["lattice"]["matrix"], entry["snl"]["sites"]
        numbers = [atomic_number(s["species"][0]["element"]) for s in sites]
        crystal = Crystals.single(lattice, numbers, [s["abc"] for s in sites])
        [ours] = prototype_labels(crystal)
        aflow = entry["tags"]["aflow"]
        if not aflow.startswith("sigma") and ours != _canonical(aflow):
            differ.append(aflow)
    assert len(entries) == 288
    assert differ == NOT_AS_LABELLED


def _canonical(aflow):
    formula, pearson, group, *letters = aflow.split("_")
    amounts = [int(n or 1) for n in re.findall(r"[A-Z](\d*)", formula)]
    orbits = [
        [
            LETTERS.index(letter)
            for count, letter in re.findall(r"(\d*)([a-zA-Z])", word)
            for _ in range(int(count or 1))
        ]
        for word in letters
    ]
    return anonymous_label(int(group), pearson, amounts, orbits)[0]


@given(rngs, st.sampled_from(sorted(SPECIAL)))
def test_a_label_does_not_depend_on_the_shape_of_an_oblique_cell(rng, number):
    """spglib chooses the basis by lengths and angles: other ones, another choice of letters."""
    sites = _sites(number, rng)
    cells = Crystals.concatenate([_oblique(number, sites, rng) for _ in range(4)])
    assume(len(neighbors(cells, TOUCHING).distances) == 0)  # spglib has atoms that touch for one
    labels = set(prototype_labels(cells))
    assert len(labels) == 1
    assert f"_{number}_" in labels.pop()


def _sites(number, rng):
    """Two special positions, and two general ones that let no symmetry in."""
    words = SPECIAL[number].split()
    chosen = rng.choice(words[1::2], 2, replace=len(words) < 4)
    free = [[rng.uniform() if c in "xyz" else int(c) / 4 for c in word] for word in chosen]
    return [*free, *rng.uniform(size=(2, 3))]


def _oblique(number, sites, rng):
    """All sites under all operations, in a cell of the right kind and of any shape."""
    symmetry = spglib.get_symmetry_from_database(HALL[number])
    frac, numbers = [], []
    for z, site in zip((11, 17, 29, 79), sites, strict=True):
        orbit = symmetry["rotations"] @ np.asarray(site) + symmetry["translations"]
        kept = []
        for f in orbit % 1:
            if all(np.abs((f - k + 0.5) % 1 - 0.5).max() > 1e-6 for k in kept):
                kept.append(f)
        frac += kept
        numbers += [z] * len(kept)
    lattice = np.diag(rng.uniform(6, 14, 3))
    lattice[2, 0] = rng.uniform(-9, 9)
    if number == 2:
        lattice[2, 1], lattice[1, 0] = rng.uniform(-9, 9, 2)
    return Crystals.single(lattice, numbers, frac)


@pytest.mark.parametrize("number", [1, 47, 62, 166, 225])
def test_letterings_of_one_structure_give_one_label(number):
    orbits = [[0, 1], [2]] if number != 1 else [[0], [0, 0]]
    labels = {
        anonymous_label(number, "xP3", [2, 3], [[new[i] for i in o] for o in orbits])[0]
        for new in relabellings(number).tolist()
    }
    assert len(labels) == 1


@pytest.mark.parametrize(
    ("number", "atoms", "symbol"),
    [
        (2, 4, "aP4"),
        (12, 8, "mC8"),
        (38, 6, "oC6"),
        (166, 9, "hR3"),
        (194, 2, "hP2"),
        (225, 8, "cF8"),
    ],
)
def test_pearson_symbols(number, atoms, symbol):
    assert pearson_symbol(number, atoms) == symbol


def test_there_is_no_space_group_231():
    with pytest.raises(ValueError, match="1 to 230"):
        pearson_symbol(231, 4)
