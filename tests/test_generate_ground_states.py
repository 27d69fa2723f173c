"""Ground states of the elements: the structures that they have, at the size that they have."""

import numpy as np
import pytest
import vesin
from hypothesis import given, settings
from hypothesis import strategies as st

from gnomon.chemistry.elemental import elemental_structures, ground_state
from gnomon.chemistry.ground_states import (
    BONDS,
    GROUND_STATES,
    MEASURED,
    MOLECULAR,
    atomic_volume,
    second_packing,
    sort_of,
)
from gnomon.crystals import Crystals
from gnomon.discover.placed import RELAXED_SYMPREC, in_ground_state
from gnomon.elements import SYMBOLS
from gnomon.structure.contacts import closest_distances
from gnomon.structure.symmetry import canonical_ids, space_groups
from tests.strategies import rewritten

NUMERICS = 1e-6  # Å, relative where of lengths: float64 through spglib and ASE
DENSITY_TOLERANCE = 0.20  # relative: measured cells at various temperatures

UNKNOWN = {"At", "Rn", "Fr"}
KNOWN = [s for s in SYMBOLS[1:95] if s not in UNKNOWN]
DENSITIES = {  # g/cm^3 of the crystal, CRC Handbook; of gases where they have frozen
    "H": 0.088, "N": 1.03, "O": 1.53, "F": 1.97, "Cl": 2.1, "Br": 4.1, "I": 4.93, "S": 2.07,
    "Ne": 1.44, "Ar": 1.66, "Mn": 7.3, "In": 7.31, "Al": 2.70, "Li": 0.534, "Nd": 7.0, "Cs": 1.93,
    "Ga": 5.91, "Hg": 14.2, "P": 2.69, "U": 19.1, "Pu": 19.8, "La": 6.15, "C": 2.27, "B": 2.46,
}  # fmt: skip


def test_every_element_up_to_plutonium_has_one_ground_state() -> None:
    assert not {*GROUND_STATES} & {*MEASURED}
    assert {*GROUND_STATES, *MEASURED} == {*KNOWN}
    assert all(ground_state(s) is None for s in UNKNOWN)


@pytest.mark.parametrize("symbol", KNOWN)
def test_a_ground_state_has_the_space_group_and_the_cell_of_its_label(symbol: str) -> None:
    found = ground_state(symbol)
    assert found is not None
    assert set(found.crystal.atomic_numbers.tolist()) == {SYMBOLS.index(symbol)}
    _, pearson, number, *_ = found.label.split("_")
    assert space_groups(found.crystal, RELAXED_SYMPREC).tolist() == [int(number)]
    centring = {"P": 1, "I": 2, "C": 2, "F": 4, "R": 1}[pearson[1]]  # hR counts primitive cells
    assert found.crystal.n_atoms[0] * centring == int(pearson[2:])


@pytest.mark.parametrize("symbol", KNOWN)
def test_a_ground_state_knows_itself_in_any_size_and_no_other_structure(symbol: str) -> None:
    own = ground_state(symbol)
    assert own is not None
    assert in_ground_state(own.crystal.scale_volume(1.1)).tolist() == [True]
    if own.label not in {"A_cI2_229_a", "A_tI2_139_a"}:
        bcc = ground_state("Fe")
        assert bcc is not None
        z = np.full(1, SYMBOLS.index(symbol))
        assert in_ground_state(bcc.crystal.with_atomic_numbers(z)).tolist() == [False]


@given(st.integers(0, 99), st.sampled_from(["Cu", "Mg", "Se", "La", "O"]))
@settings(max_examples=20)
def test_a_ground_state_is_known_in_every_cell(seed: int, symbol: str) -> None:
    own = ground_state(symbol)
    assert own is not None
    assert in_ground_state(rewritten(own.crystal, np.random.default_rng(seed))).all()


@pytest.mark.parametrize("symbol", sorted(BONDS))
def test_molecules_have_their_bond_and_their_neighbours_stay_away(symbol: str) -> None:
    for structure in elemental_structures(symbol, 24):
        _, distances = closest_distances(structure.crystal)
        assert distances[0, 0] == pytest.approx(BONDS[symbol], rel=0.02), structure.origin
        around = _around_the_first_atom(structure.crystal)
        assert around[0] == pytest.approx(distances[0, 0])
        assert around[1] > 1.2 * around[0], structure.origin


def _around_the_first_atom(crystal: Crystals) -> np.ndarray:
    """Distances from atom 0 up to 6 Å, ascending."""
    first, distance = vesin.NeighborList(cutoff=6.0, full_list=True, n_threads=1).compute(
        crystal.cart_coords, crystal.lattice[0], True, "id"
    )
    return np.sort(distance[first == 0])


@pytest.mark.parametrize("symbol", sorted(DENSITIES))
def test_densities_are_near_those_measured(symbol: str) -> None:
    found = ground_state(symbol)
    assert found is not None
    measured = pytest.approx(DENSITIES[symbol], rel=DENSITY_TOLERANCE)
    assert found.crystal.densities[0] == measured


def test_molecules_are_never_tried_as_packed_atoms() -> None:
    for symbol in sorted(MOLECULAR):
        assert sort_of(symbol) == "molecular"
        assert all(s.crystal.n_atoms[0] >= 2 for s in elemental_structures(symbol, 24))


@given(st.sampled_from(SYMBOLS[1:95]), st.integers(1, 24))
@settings(max_examples=40)
def test_few_structures_none_twice_and_the_ground_state_whatever_its_size(
    symbol: str, max_atoms: int
) -> None:
    found, own = elemental_structures(symbol, max_atoms), ground_state(symbol)
    assert 1 <= len(found) <= 14
    keys = [str(canonical_ids(s.crystal)[0]) for s in found]
    assert len(set(keys)) == len(keys)
    large = [s.origin for s in found if s.crystal.n_atoms[0] > max_atoms]
    assert large in ([], [own.origin if own else ""])
    assert own is None or own.origin in {s.origin for s in found}


def test_a_second_packing_keeps_volume_and_bond() -> None:
    for symbol in BONDS:
        cell = second_packing(symbol, 40.0).crystal(symbol)
        assert 2 * cell.volumes[0] / cell.n_atoms[0] == pytest.approx(40.0, rel=NUMERICS)
        _, distances = closest_distances(cell)
        assert distances[0, 0] == pytest.approx(BONDS[symbol], rel=NUMERICS)


def test_chains_of_selenium_are_not_taken_for_close_packed() -> None:
    assert atomic_volume("Se") is None
    assert atomic_volume("Cu") == pytest.approx(3.61**3 / 4)


def test_an_unknown_element_is_named() -> None:
    for function in (ground_state, sort_of, atomic_volume):
        with pytest.raises(ValueError, match="unknown element 'Qq'"):
            function("Qq")
