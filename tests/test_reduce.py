"""Reduction: disguises come out as one, polymorphs as many, and each is said what it is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given, settings

from gnomon.crystals import Crystals
from gnomon.io import as_crystals, from_arrow, to_pymatgen
from gnomon.structure.describe import describe, dimensionalities
from gnomon.structure.duplicates import Sameness
from gnomon.structure.matching import Matcher
from gnomon.structure.polymorphs import polymorphs
from tests.strategies import random_crystal, rewritten, rngs


def disguised(crystal: Crystals, rng: np.random.Generator) -> Crystals:
    """The same crystal in a random cell or supercell, orientation, origin and order of atoms."""
    larger = np.eye(3, dtype=int)
    larger[rng.integers(3), rng.integers(3)] += int(rng.integers(0, 2))
    return rewritten(crystal.supercell(larger), rng)


def aflow(*minerals: str) -> Crystals:
    """Crystals of pymatgen's AFLOW library by the mineral that they are of."""
    from pymatgen.analysis.prototypes import AFLOW_PROTOTYPE_LIBRARY

    of = {entry["tags"]["mineral"]: entry["snl"].structure for entry in AFLOW_PROTOTYPE_LIBRARY}
    return as_crystals([of[mineral] for mineral in minerals])


SILICA = (
    "quartz (alpha)",
    "low (alpha) Cristobalite",
    "high (beta) Cristobalite",
    "beta Tridymite",
    "Coesite",
    "Keatite",
)


# --- laws ---------------------------------------------------------------------------------------


@settings(max_examples=10)
@given(rngs)
def test_disguises_are_one_and_other_crystals_are_others(rng: np.random.Generator) -> None:
    one, other = random_crystal(rng, 4), random_crystal(rng, 4)
    batch = Crystals.concatenate([one, *(disguised(one, rng) for _ in range(3)), other])
    match = Matcher().on(batch)  # pymatgen's loses 1 of 700: supercells with nearly a translation
    assume(all(match(0, j) for j in (1, 2, 3)) and not match(0, 4))
    found = polymorphs(batch, np.arange(5.0))
    assert found[0].members == (0, 1, 2, 3)
    assert [one.members for one in found[1:]] == [(4,)]


@settings(max_examples=5)
@given(rngs)
def test_members_of_a_polymorph_are_the_same_pair_by_pair(rng: np.random.Generator) -> None:
    """By pymatgen's own matcher, on crystals about as far apart as it tolerates."""
    from pymatgen.analysis.structure_matcher import StructureMatcher

    parent = random_crystal(rng, 3)
    batch = [parent]
    for _ in range(5):
        previous = batch[-1]
        moved = previous.frac_coords + rng.normal(0, 0.06, previous.frac_coords.shape)
        batch.append(previous.with_frac_coords(moved))
    crystals = Crystals.concatenate([*batch, parent.supercell([1, 1, 2])])
    structures = to_pymatgen(crystals)
    fit = StructureMatcher().fit
    found = polymorphs(crystals, np.zeros(7), same=Sameness(fingerprint=np.inf, symprec=0.0))
    of = {i: k for k, one in enumerate(found) for i in one.members}
    like = {(i, j) for one in found for i in one.members for j in one.also_like}
    for j in range(7):
        for i in range(j):
            same = fit(structures[i], structures[j])
            assert same or of[i] != of[j]
            assert not same or of[i] == of[j] or any((m, i) in like for m in found[of[j]].members)


# --- matching -----------------------------------------------------------------------------------


class Rulers(Matcher):
    """Cubic cells match if their edges differ by less than 0.15 Å, which is not transitive."""

    def on(self, crystals: Crystals) -> Callable[[int, int], bool]:
        edges = crystals.lattice[:, 0, 0]
        return lambda i, j: bool(abs(edges[i] - edges[j]) < 0.15)


RULERS = Sameness(fingerprint=np.inf, matcher=Rulers())


def cubes(*edges: float) -> Crystals:
    return Crystals.concatenate([Crystals.single(a * np.eye(3), [29], [[0, 0, 0]]) for a in edges])


@pytest.mark.parametrize(
    "order", [(3.0, 3.1, 3.2, 4.0), (3.0, 3.2, 4.0, 3.1), (3.1, 4.0, 3.2, 3.0)]
)
def test_matches_that_are_not_transitive_join_no_pair_that_differs(
    order: tuple[float, ...],
) -> None:
    found = polymorphs(cubes(*order), np.array(order), same=RULERS)
    edges = [sorted(order[i] for i in one.members) for one in found]
    assert sorted(map(len, edges)) == [1, 1, 2]
    assert [4.0] in edges
    assert [3.0, 3.2] not in edges
    [pair, alone] = sorted(
        (one for one in found if 4.0 not in (order[i] for i in one.members)),
        key=lambda one: -len(one.members),
    )
    assert [order[i] for i in pair.also_like] == [order[alone.representative]]
    assert [order[i] for i in alone.also_like] == [3.1]


def test_polymorphs_keep_the_lowest_and_say_how_far_the_others_are() -> None:
    crystals = cubes(3.0, 4.0, 3.1, 3.2, 5.0)
    energies = np.array([0.02, 0.01, 0.005, 0.0, 0.5])
    first, second, between, third = polymorphs(crystals, energies, same=RULERS)
    assert (first.representative, first.members) == (3, (3, 2))
    assert (second.representative, second.energy_above_lowest) == (1, pytest.approx(0.01))
    assert (between.members, between.also_like) == ((0,), (2,))
    assert (third.representative, third.energy_per_atom) == (4, 0.5)
    assert len(polymorphs(crystals, energies, window=0.1, same=RULERS)) == 3
    best = polymorphs(crystals, energies, best=2, same=RULERS)
    assert [one.members for one in best] == [(3, 2)]


def test_crystals_without_an_energy_come_last_and_are_not_lost() -> None:
    crystals = Crystals.concatenate([cubes(3.0, 4.0, 3.1), cubes(3.0).substitute({"Cu": "Ag"})])
    found = polymorphs(crystals, np.array([np.nan, 0.2, 0.1, np.nan]), window=0.05, same=RULERS)
    assert [one.members for one in found] == [(2, 0), (3,)]
    assert np.isnan(found[1].energy_per_atom)
    assert np.isnan(found[1].energy_above_lowest)
    assert polymorphs(Crystals.empty(), np.zeros(0)) == []


@pytest.mark.parametrize(
    ("energies", "options", "message"),
    [
        ([0.0, 0.0], {}, "2 energies for 1 crystals"),
        ([0.0], {"best": 0}, "best=0 must be at least 1"),
        ([0.0], {"window": -1.0}, "window=-1.0 at least 0"),
        ([0.0], {"window": float("nan")}, "window=nan at least 0"),
    ],
)
def test_senseless_choices_are_refused(
    energies: list[float], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        polymorphs(cubes(3.0), np.array(energies), **options)


# --- known crystals -----------------------------------------------------------------------------


def test_polymorphs_of_silica_are_distinct_and_twenty_disguises_of_quartz_are_one() -> None:
    silica = aflow(*SILICA)
    rng = np.random.default_rng(0)
    copies = [disguised(silica[0], rng) for _ in range(20)]
    # relaxations end nearly alike: half of the copies are not exact, and need the matcher
    copies[10:] = [
        one.with_frac_coords(one.frac_coords + rng.normal(0, 2e-3, one.frac_coords.shape))
        for one in copies[10:]
    ]
    batch = Crystals.concatenate([*copies, silica])
    found = polymorphs(batch, np.zeros(len(batch)))
    sizes = sorted(len(one.members) for one in found)
    assert sizes == [1] * (len(SILICA) - 1) + [21]


def test_known_polymorphs_of_titania_are_distinct(shared_data: Path) -> None:
    table = pq.read_table(
        shared_data / "materials_project" / "structures.parquet",
        filters=[("reduced_formula", "==", "TiO2")],
    )
    energies = table["formation_energy_per_atom"].to_numpy()
    crystals = from_arrow(table)
    names = table["id"].to_pylist()
    found = polymorphs(crystals, energies)
    assert (names.index("mp-34688"),) in [one.members for one in found]  # distorted to C2/c
    found = polymorphs(crystals, energies, same=Sameness(fingerprint=np.inf, symprec=0.0))
    ids = [names[one.representative] for one in found]
    assert {"mp-390", "mp-554278", "mp-430", "mp-766454", "mp-1097860"} <= set(ids)
    anatase = found[ids.index("mp-390")]
    also = [names[i] for i in anatase.members]
    assert also == ["mp-390", "mp-34688"]  # 2 meV/atom higher, to the matcher the same
    assert describe(crystals.take([anatase.representative]))["space_group"].to_pylist() == [141]


# trigonal selenium is of chains, monoclinic selenium of rings; the ions of salts are bonded to none
MINERALS = {
    "Halite, Rock Salt": (0, 225),
    "Molybdenum Carbide MAX Phase": (3, 194),
    "Molybdenite": (2, 194),
    "rhombohedral graphite": (2, 166),
    "alpha Selenium": (1, 152),
    "beta Selenium": (0, 14),
    "alpha carbon monoxide": (0, 198),
}


def test_crystals_are_said_what_they_are() -> None:
    from pymatgen.analysis.dimensionality import get_dimensionality_cheon

    crystals = aflow(*MINERALS)
    table = describe(crystals)
    said = zip(table["dimensionality"].to_pylist(), table["space_group"].to_pylist(), strict=True)
    assert list(said) == list(MINERALS.values())
    assert table["prototype"][0].as_py() == "AB_cF8_225_a_b"
    assert table["space_group_symbol"][0].as_py() == "Fm-3m"
    small = crystals.take(crystals.n_atoms <= 8)  # supercells make Cheon's own way slow
    found = dimensionalities(small)
    said = [
        f"{directions}D" if unbonded == 0 else "intercalated ion"
        for directions, unbonded in zip(*found, strict=True)
    ]
    assert said == [get_dimensionality_cheon(structure) for structure in to_pymatgen(small)]
    assert {"0D", "1D", "2D", "intercalated ion"} <= set(said)


@given(rngs)
def test_what_a_crystal_is_does_not_depend_on_its_cell(rng: np.random.Generator) -> None:
    crystal = random_crystal(rng, 3)
    assert describe(disguised(crystal, rng)).equals(describe(crystal))


def test_a_crystal_without_symmetry_has_no_name() -> None:
    """Two atoms within the tolerance of each other."""
    clash = Crystals.single(3 * np.eye(3), [29, 29], [[0, 0, 0], [0.01, 0, 0]])
    (row,) = describe(clash).to_pylist()
    assert (row["space_group"], row["space_group_symbol"], row["prototype"]) == (0, None, None)
