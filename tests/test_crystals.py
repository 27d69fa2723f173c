"""Crystals: laws of taking, joining, supercells and rewriting; content ids; every refusal."""

from pathlib import Path
from typing import Any

import jaxtyping
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnomon.crystals import ID_LENGTH, Crystals
from gnomon.elements import MASSES, SYMBOLS
from gnomon.io import from_arrow
from tests.strategies import ELEMENTS, crystals, random_crystal, rewritten, rngs

ROUND_OFF = 1e-9
"""Relative; a few hundred operations in double precision on cells that are far from flat."""

COLUMNS = ("lattice", "atomic_numbers", "frac_coords", "offsets")


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """As users run it: without shapes and types enforced, so that gnomon itself must refuse."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


def batch(rng: np.random.Generator, size: int = 4) -> Crystals:
    return Crystals.concatenate([random_crystal(rng) for _ in range(size)])


def same(a: Crystals, b: Crystals) -> bool:
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in COLUMNS)


# --- taking and joining ---------------------------------------------------------------------------


@given(rngs)
def test_a_batch_is_its_crystals_joined(rng: np.random.Generator) -> None:
    whole = batch(rng)
    assert same(Crystals.concatenate(list(whole)), whole)
    cut = int(rng.integers(0, len(whole) + 1))
    assert same(Crystals.concatenate([whole[:cut], whole[cut:]]), whole)


@given(rngs)
def test_taking_is_indexing_each_column(rng: np.random.Generator) -> None:
    whole = batch(rng)
    index = rng.integers(-len(whole), len(whole), int(rng.integers(0, 7)))
    taken = whole.take(index)
    assert len(taken) == len(index)
    for k, i in enumerate(index.tolist()):
        for mine, given_ in zip(taken.arrays(k), whole.arrays(i % len(whole)), strict=True):
            assert np.array_equal(mine, given_)


@given(rngs)
def test_taking_twice_is_taking_once(rng: np.random.Generator) -> None:
    whole = batch(rng)
    first, second = rng.permutation(len(whole)), rng.integers(0, len(whole), 3)
    assert same(whole.take(first).take(second), whole.take(first[second]))


@given(rngs)
def test_a_mask_takes_where_it_is_true(rng: np.random.Generator) -> None:
    whole = batch(rng)
    mask = rng.random(len(whole)) < 0.5
    assert same(whole[mask], whole.take(np.flatnonzero(mask)))


def test_nothing_is_a_batch_too() -> None:
    empty = Crystals.empty()
    assert len(empty) == 0
    assert same(Crystals.concatenate([]), empty)
    assert same(empty[[]], empty)
    assert same(empty.wrap(), empty)
    assert same(empty.supercell(2), empty)
    assert empty.reduced_formulas.shape == empty.volumes.shape == empty.ids.shape == (0,)
    assert empty.composition.shape == (0, 119)


def test_indices_beyond_the_batch_are_refused() -> None:
    whole = batch(np.random.default_rng(0), 3)
    for index in (3, -4, [0, 3], [-4]):
        with pytest.raises(IndexError):
            whole[index]
    with pytest.raises(IndexError, match="mask"):
        whole[np.array([True, False])]


@pytest.mark.usefixtures("unchecked")
def test_fractions_of_an_index_are_refused() -> None:
    with pytest.raises(IndexError, match="integers"):
        batch(np.random.default_rng(0), 3)[[0.5]]


# --- what a crystal is, however it is written -----------------------------------------------------


@given(rngs)
def test_volume_density_and_composition_outlive_rewriting(rng: np.random.Generator) -> None:
    crystal = random_crystal(rng)
    other = rewritten(crystal, rng)
    assert other.volumes == pytest.approx(crystal.volumes, rel=ROUND_OFF)
    assert other.densities == pytest.approx(crystal.densities, rel=ROUND_OFF)
    assert np.array_equal(other.composition, crystal.composition)
    assert other.reduced_formulas[0] == crystal.reduced_formulas[0]
    assert other.chemical_systems[0] == crystal.chemical_systems[0]


@given(rngs)
def test_wrapping_moves_atoms_by_whole_cells(rng: np.random.Generator) -> None:
    crystal = rewritten(random_crystal(rng), rng)
    wrapped = crystal.wrap()
    assert np.all((wrapped.frac_coords >= 0) & (wrapped.frac_coords < 1))
    moved = wrapped.frac_coords - crystal.frac_coords
    assert np.abs(moved - np.rint(moved)).max() < ROUND_OFF
    assert same(wrapped.wrap(), wrapped)


def test_wrapping_never_rounds_up_to_one() -> None:
    crystal = Crystals.single(np.eye(3) * 3, [29], [[-1e-17, -0.0, 1.0]])
    assert np.array_equal(crystal.wrap().frac_coords, np.zeros((1, 3)))


@given(crystals)
def test_cart_coords_are_sums_of_lattice_rows(crystal: Crystals) -> None:
    (a, b, c), _, frac = crystal.arrays(0)
    by_hand = [x * a + y * b + z * c for x, y, z in frac]
    assert np.allclose(crystal.cart_coords, by_hand, rtol=ROUND_OFF, atol=ROUND_OFF)


def test_density_of_copper() -> None:
    """8.935 g/cm^3 from a = 3.615 Å and the atomic weight 63.546: the handbook says 8.96."""
    a = 3.615
    copper = Crystals.single(a / 2 * (np.ones((3, 3)) - np.eye(3)), [29], [[0, 0, 0]])
    assert copper.volumes[0] == pytest.approx(a**3 / 4)
    assert copper.densities[0] == pytest.approx(8.935, abs=2e-3)


# --- new batches from old -------------------------------------------------------------------------


def integer_matrix(rng: np.random.Generator) -> np.ndarray:
    while True:
        matrix = rng.integers(-2, 3, (3, 3))
        if round(np.linalg.det(matrix)) != 0:
            return matrix


@given(rngs)
def test_supercell_repeats_everything_as_often_as_its_determinant(
    rng: np.random.Generator,
) -> None:
    whole = batch(rng, 2)
    matrix = integer_matrix(rng)
    copies = abs(round(np.linalg.det(matrix)))
    bigger = whole.supercell(matrix)
    assert np.array_equal(bigger.n_atoms, copies * whole.n_atoms)
    assert np.array_equal(bigger.composition, copies * whole.composition)
    assert bigger.volumes == pytest.approx(copies * whole.volumes, rel=ROUND_OFF)
    assert bigger.densities == pytest.approx(whole.densities, rel=ROUND_OFF)
    assert bigger.reduced_formulas.tolist() == whole.reduced_formulas.tolist()
    assert np.all((bigger.frac_coords >= 0) & (bigger.frac_coords < 1))


@given(rngs)
def test_supercell_atoms_lie_on_images_of_the_old_ones(rng: np.random.Generator) -> None:
    crystal = random_crystal(rng)
    matrix = integer_matrix(rng)
    copies = abs(round(np.linalg.det(matrix)))
    bigger = crystal.supercell(matrix)
    in_old_cell = bigger.cart_coords @ np.linalg.inv(crystal.lattice[0])
    shifts = in_old_cell - np.repeat(crystal.frac_coords, copies, axis=0)
    assert np.abs(shifts - np.rint(shifts)).max() < ROUND_OFF
    places = np.column_stack([np.repeat(np.arange(len(crystal.atomic_numbers)), copies), shifts])
    inside = np.rint(places[:, 1:]) @ np.linalg.inv(matrix)  # images differ modulo the new cell
    cosets = {
        (int(a), *np.rint(1e6 * (s % 1) % 1e6).astype(int))
        for (a, *_), s in zip(places, np.round(inside, 9), strict=True)
    }
    assert len(cosets) == len(places)


@pytest.mark.parametrize("short", [2, [2, 2, 2], np.diag([2, 2, 2])])
def test_supercell_takes_one_three_or_nine_integers(short: Any) -> None:
    crystal = random_crystal(np.random.default_rng(1))
    assert same(crystal.supercell(short), crystal.supercell(2 * np.eye(3, dtype=int)))


@pytest.mark.parametrize(
    ("matrix", "why"),
    [
        (0, "determinant zero"),
        ([1, 0, 1], "determinant zero"),
        ([[1, 0, 0], [0, 1, 0], [1, 1, 0]], "determinant zero"),
        ([1, 2], "one, three or 3 x 3 integers"),
        ([[1.5, 0, 0], [0, 1, 0], [0, 0, 1]], "one, three or 3 x 3 integers"),
    ],
)
def test_supercells_without_meaning_are_refused(matrix: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        random_crystal(np.random.default_rng(0)).supercell(matrix)


@given(rngs, st.floats(0.1, 10))
def test_scaling_multiplies_the_volume(rng: np.random.Generator, factor: float) -> None:
    whole = batch(rng, 3)
    factors = factor * np.array([1.0, 2.0, 0.5])
    scaled = whole.scale_volume(factors)
    assert scaled.volumes == pytest.approx(factors * whole.volumes, rel=ROUND_OFF)
    assert np.array_equal(scaled.frac_coords, whole.frac_coords)
    assert np.allclose(scaled.scale_volume(1 / factors).lattice, whole.lattice, rtol=ROUND_OFF)


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan")])
def test_volume_factors_must_be_positive(factor: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        random_crystal(np.random.default_rng(0)).scale_volume(factor)


@given(rngs)
def test_substituting_there_and_back_changes_nothing(rng: np.random.Generator) -> None:
    whole = batch(rng)
    fresh = ["Sc", "Y", "La", "Lu"]  # in no random crystal
    old = [SYMBOLS[z] for z in rng.choice(ELEMENTS, 4, replace=False)]
    there = whole.substitute(dict(zip(old, fresh, strict=True)))
    assert same(there.substitute(dict(zip(fresh, old, strict=True))), whole)
    assert not set(old) & {SYMBOLS[z] for z in there.atomic_numbers}


def test_substitution_swaps_all_at_once() -> None:
    crystal = Crystals.single(np.eye(3) * 4, [29, 79, 79], [[0, 0, 0], [0, 0.5, 0], [0.5, 0, 0]])
    swapped = crystal.substitute({"Cu": "Au", "Au": "Cu"})
    assert swapped.atomic_numbers.tolist() == [79, 29, 29]
    with pytest.raises(ValueError, match="unknown element 'Xx'"):
        crystal.substitute({"Cu": "Xx"})


# --- arrays that nobody can change ----------------------------------------------------------------


def test_arrays_are_read_only_and_the_callers_stay_their_own() -> None:
    lattice, numbers = np.eye(3)[None] * 3, np.array([29], np.uint8)
    frac, offsets = np.zeros((1, 3)), np.array([0, 1])
    crystal = Crystals(lattice, numbers, frac, offsets)
    before = crystal.ids[0]
    for array in (lattice, numbers, frac, offsets):
        array[...] = 7
    assert same(crystal, Crystals.single(np.eye(3) * 3, [29], [[0, 0, 0]]))
    assert crystal[0].ids[0] == before
    for name in COLUMNS:
        with pytest.raises(ValueError, match="read-only"):
            getattr(crystal, name)[...] = 1


def test_memory_that_a_caller_can_still_write_is_copied(tmp_path: Path) -> None:
    """A memory map turned into a plain array is another object over the same memory."""
    frac = np.memmap(tmp_path / "frac", np.float64, "w+", shape=(1, 3))
    crystal = Crystals(np.eye(3)[None] * 3, np.array([29], np.uint8), frac, np.array([0, 1]))
    frac[:] = 0.25
    assert np.array_equal(crystal.frac_coords, np.zeros((1, 3)))


# --- content ids ----------------------------------------------------------------------------------


@given(rngs)
def test_the_same_numbers_have_the_same_id_in_any_batch(rng: np.random.Generator) -> None:
    whole = batch(rng)
    alone = [Crystals.single(*whole.arrays(i)).ids[0] for i in range(len(whole))]
    assert whole.ids.tolist() == alone
    order = rng.permutation(len(whole))
    assert whole.take(order).ids.tolist() == whole.ids[order].tolist()
    assert all(len(key) == ID_LENGTH and int(key, 16) >= 0 for key in alone)


@given(rngs)
def test_any_other_number_gives_another_id(rng: np.random.Generator) -> None:
    crystal = random_crystal(rng)
    lattice, numbers, frac = (array.copy() for array in crystal.arrays(0))
    lattice[tuple(rng.integers(0, 3, 2))] += 1e-12
    numbers[rng.integers(0, len(numbers))] += 1
    frac[rng.integers(0, len(frac)), rng.integers(0, 3)] += 1e-12
    changed = (
        Crystals.single(lattice, crystal.atomic_numbers, crystal.frac_coords),
        Crystals.single(crystal.lattice, numbers, crystal.frac_coords),
        Crystals.single(crystal.lattice, crystal.atomic_numbers, frac),
    )
    assert len({crystal.ids[0], *(c.ids[0] for c in changed)}) == 4


def test_minus_zero_is_zero() -> None:
    plus = Crystals.single(np.eye(3) * 3, [29], [[0.0, 0.0, 0.5]])
    minus = Crystals.single(np.where(np.eye(3), 3.0, -0.0), [29], [[-0.0, 0.0, 0.5]])
    assert np.signbit(minus.frac_coords[0, 0])
    assert plus.ids[0] == minus.ids[0]


def test_the_id_of_rocksalt_is_fixed() -> None:
    """Ids are keys of tables on disk: a change of this value breaks every campaign ever saved."""
    lattice = [[0, 2.82, 2.82], [2.82, 0, 2.82], [2.82, 2.82, 0]]
    rocksalt = Crystals.single(lattice, [11, 17], [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert rocksalt.ids[0] == "bc72742173fab9696fbae489"


# --- refusals -------------------------------------------------------------------------------------

GOOD: dict[str, Any] = {
    "lattice": np.eye(3)[None] * 3,
    "atomic_numbers": np.array([29, 79]),
    "frac_coords": np.array([[0, 0, 0], [0.5, 0.5, 0.5]]),
    "offsets": np.array([0, 2]),
}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"lattice": np.eye(3) * 3}, r"lattice \(n, 3, 3\)"),
        ({"lattice": np.ones((1, 3, 2))}, r"lattice \(n, 3, 3\)"),
        ({"frac_coords": np.zeros((3, 3))}, r"got .*\(3, 3\)"),
        ({"offsets": np.array([0, 1, 2])}, r"offsets \(n \+ 1,\)"),
        ({"offsets": np.array([0, 1])}, "offsets must rise"),
        ({"offsets": np.array([1, 2])}, "offsets must rise"),
        ({"lattice": np.stack([np.eye(3)] * 2), "offsets": np.array([0, 0, 2])}, "at least one"),
        ({"lattice": np.stack([np.eye(3)] * 2), "offsets": np.array([0, 3, 2])}, "must rise"),
        ({"atomic_numbers": np.array([0, 29])}, "1 to 118"),
        ({"atomic_numbers": np.array([0, 29], np.uint8)}, "1 to 118"),
        ({"atomic_numbers": np.array([29, 119], np.uint8)}, "1 to 118"),
        ({"atomic_numbers": np.array([29, 285])}, "1 to 118"),  # 285 is 29 modulo 256
        ({"atomic_numbers": np.array([-1, 29])}, "1 to 118"),
        ({"atomic_numbers": np.array([29.0, 79.0])}, "integers"),
        ({"frac_coords": np.array([[0, 0, np.nan], [0, 0, 0]])}, "coordinate is not finite"),
        ({"frac_coords": np.array([[0, 0, np.inf], [0, 0, 0]])}, "coordinate is not finite"),
        ({"lattice": np.full((1, 3, 3), np.nan)}, "lattice vector is not finite"),
        ({"lattice": np.ones((1, 3, 3))}, "crystal 0 has no volume"),
        ({"lattice": np.zeros((1, 3, 3))}, "crystal 0 has no volume"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_crystals_that_cannot_be_are_refused(changes: dict[str, Any], why: str) -> None:
    Crystals(**GOOD)
    with pytest.raises(ValueError, match=why):
        Crystals(**(GOOD | changes))


@pytest.mark.usefixtures("unchecked")
def test_a_crystal_without_atoms_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one atom"):
        Crystals.single(np.eye(3), [], [])


def test_a_left_handed_cell_is_legal() -> None:
    crystal = Crystals.single(-np.eye(3) * 3, [29], [[0, 0, 0]])
    assert crystal.volumes[0] == pytest.approx(27)


# --- names ----------------------------------------------------------------------------------------


@settings(max_examples=10)
@given(crystals)
def test_names_are_of_the_elements(crystal: Crystals) -> None:
    symbols = {SYMBOLS[z] for z in crystal.atomic_numbers}
    assert crystal.chemical_systems[0].split("-") == sorted(symbols)
    mass = sum(MASSES[z] for z in crystal.atomic_numbers)
    assert crystal.composition[0] @ MASSES == pytest.approx(mass)


def test_formulas_of_the_materials_project(shared_data: Path) -> None:
    """Every one of some 24,500 formulas, letter for letter: splits and gates are keyed by them."""
    table = pq.read_table(shared_data / "materials_project" / "structures.parquet")
    found = from_arrow(table)
    assert len(found) == len(table) > 24_000
    assert found.reduced_formulas.tolist() == table["reduced_formula"].to_pylist()


def test_a_batch_shows_what_it_holds() -> None:
    cell = np.eye(3) * 4
    batch = Crystals.concatenate([Crystals.single(cell, [z], [[0] * 3]) for z in range(3, 18)])
    assert repr(batch) == "<Crystals, 15: Li (1 atoms), Be (1 atoms), B (1 atoms), 12 more>"
    assert repr(Crystals.empty()) == "<Crystals, 0>"
    table = batch._repr_html_()
    assert table.count("<tr>") == 11
    assert "15 crystals" in table
    assert batch.ids[0][:8] in table
    assert batch.ids[10][:8] not in table
