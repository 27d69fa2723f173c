"""What is said of a find beside its energy: names, flags, other orders, probabilities."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.chemistry.cautions import SCARCE, magnetic, radioactive, scarce, unbalanced
from gnomon.chemistry.prototypes import aflow
from gnomon.chemistry.structure_types import structure_types
from gnomon.crystals import Crystals
from gnomon.discover.flags import THERMAL, elements_off, of_composition, of_orders
from gnomon.elements import DEFAULT_EXCLUDED, SYMBOLS, atomic_number
from gnomon.evaluate.corrections import SCHEME_SUFFIX, hubbard_u
from gnomon.evaluate.measured import LevelError, measured
from gnomon.evaluate.references import Reference, References
from gnomon.potential.weights import BUNDLED, DEFAULT_WEIGHTS
from gnomon.structure.orders import orders_of_one_lattice
from tests.strategies import rewritten, rngs

FCC = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]


def counts(formula: str) -> tuple[tuple[int, int], ...]:
    """(atomic number, atoms) of a formula."""
    from gnomon.elements import parse_formula

    return tuple(sorted((atomic_number(s), int(n)) for s, n in parse_formula(formula).items()))


# --- compositions ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "formula", ["NaCl", "TiO2", "Fe3O4", "LiFePO4", "CuAu", "Ni3Al", "Cu", "TiN"]
)
def test_known_compounds_and_alloys_are_not_called_unbalanced(formula: str) -> None:
    assert not unbalanced(counts(formula))


@pytest.mark.parametrize("formula", ["Na2Cl", "NaCl2", "Na3Cl2", "MgO3", "CaF"])
def test_compounds_without_oxidation_states_are(formula: str) -> None:
    assert unbalanced(counts(formula))


def test_elements_are_scarce_radioactive_or_magnetic_for_a_reason() -> None:
    every = tuple((z, 1) for z in range(1, 104))
    dead = set(radioactive(every))
    assert set(DEFAULT_EXCLUDED) <= dead
    assert {"Tc", "Pm"} | {SYMBOLS[z] for z in range(84, 104)} == dead
    assert set(scarce(every)) == SCARCE
    assert {"Cr", "Mn", "Fe", "Co", "Ni", "Gd", "U"} <= set(magnetic(every))
    assert not {"Al", "Cu", "Au", "O", "La", "Lu", "Th"} & set(magnetic(every))


def test_hubbard_u_is_for_oxides_and_fluorides() -> None:
    assert set(hubbard_u(counts("LiFePO4"))) == {"Fe"}
    assert set(hubbard_u(counts("CoF2"))) == {"Co"}
    assert not hubbard_u(counts("FeS2"))
    assert not hubbard_u(counts("TiO2"))  # the Materials Project has none for titanium


def test_flags_of_a_composition_name_its_elements() -> None:
    assert [str(flag) for flag in of_composition(counts("Cu3Au"))] == ["scarce: Au"]
    assert [str(flag) for flag in of_composition(counts("UO2"))] == [
        "magnetic: U",
        "radioactive: U",
    ]
    assert [str(flag) for flag in of_composition(counts("Na2Cl"))] == ["not charge-balanced"]


# --- structures -----------------------------------------------------------------------------------


def test_every_small_prototype_is_its_own_type_at_any_volume() -> None:
    """With elements of its own, in every order of its letters."""
    chosen = [p for p in aflow(2) if p.n_atoms <= 4]
    assert len(chosen) > 20
    for prototype in chosen:
        for row in prototype.decorations:
            elements = np.array([12, 8, 26])[: len(row)][row]
            crystal = prototype.decorate(elements[None]).scale_volume(1.5)
            (found,) = structure_types(crystal)
            assert found is not None
            assert (found.label, found.compound) == (prototype.label, prototype.compound)


def test_what_the_library_lacks_has_no_type() -> None:
    odd = Crystals.single(
        np.diag([4.0, 5.0, 6.0]), [11, 17, 17], [[0, 0, 0], [0.1, 0.4, 0.3], [0.6, 0.8, 0.55]]
    )
    assert structure_types(odd) == [None]


def ordered(cell: tuple[int, int, int], numbers: list[int], a: float = 3.8) -> Crystals:
    """An order of an fcc supercell."""
    corners = [[i, j, k] for i in range(cell[0]) for j in range(cell[1]) for k in range(cell[2])]
    sites = [(np.array(c) + s) / cell for c in corners for s in np.array(FCC)]
    return Crystals.single(np.diag(cell) * a, numbers, np.array(sites))


L1_0 = ordered((1, 1, 1), [29, 29, 79, 79])
L1_2 = ordered((1, 1, 1), [79, 29, 29, 29])
D0_22 = ordered((1, 1, 2), [79, 29, 29, 29, 29, 29, 29, 79])
CUAU_2 = ordered((1, 1, 2), [29, 29, 79, 79, 79, 79, 29, 29])


@given(rngs, st.floats(0.93, 1.07), st.booleans())
def test_orders_of_one_lattice_are_told_in_any_cell(
    rng: np.random.Generator, strain: float, swapped: bool
) -> None:
    """Strained by less than the tolerance, written in another way, given first or last."""
    other = rewritten(D0_22.with_lattice(D0_22.lattice * [1, 1, strain]), rng)
    pair = Crystals.concatenate([other, L1_2] if swapped else [L1_2, other])
    assert orders_of_one_lattice(pair)(0, 1)


def test_other_compositions_lattices_and_copies_are_no_other_order() -> None:
    bcc = Crystals.single(np.eye(3) * 3.0, [29, 79], [[0, 0, 0], [0.5, 0.5, 0.5]])  # B2
    test = orders_of_one_lattice(Crystals.concatenate([L1_0, L1_2, bcc, CUAU_2, L1_0]))
    assert not test(0, 1)
    assert not test(0, 2)
    assert not test(0, 4)
    assert test(0, 3)
    assert pytest.approx(0.0862, abs=1e-4) == THERMAL


def test_flags_name_elements_whose_crystals_are_off() -> None:
    one = Reference(measured=-1.0, fitted=-1.0, error=0.01, compounds=9)
    elements = {"Te": one.model_copy(update={"fitted": -1.06}), "Zn": one}
    fit = References(scheme="x", rows=9, source="by hand", elements=elements)
    assert [str(f) for f in elements_off(("Te", "Zn"), fit)] == ["element off: Te -60 meV/atom"]
    assert not [*elements_off(("Zn",), fit), *elements_off(("Te",), None)]


def test_other_orders_are_told_with_the_level_that_knows_them() -> None:
    assert not [*of_orders([], " by the level that screens")]
    [flag] = of_orders([0.05], " by the level that screens")
    assert str(flag).endswith("the nearest 50.0 meV/atom above by the level that screens")


# --- probabilities --------------------------------------------------------------------------------

levels = st.builds(
    LevelError,
    scheme=st.just("x"),
    rows=st.just(100),
    stable=st.just(20),
    f1=st.just(0.8),
    mean_absolute_error=st.floats(0.005, 0.2),
    bias=st.floats(-0.05, 0.05),
    source=st.just("by hand"),
)


@given(levels, st.floats(-10, 10), st.floats(0, 10))
def test_a_probability_falls_with_the_distance(error: LevelError, d: float, more: float) -> None:
    nearer, farther = error.probability_stable(d), error.probability_stable(d + more)
    assert 0 <= farther <= nearer <= 1
    assert error.probability_stable(error.bias) == 0.5
    both = error.probability_stable(error.bias + d) + error.probability_stable(error.bias - d)
    assert both == pytest.approx(1.0)


@given(levels)
def test_the_error_behind_a_probability_is_the_measured_one(error: LevelError) -> None:
    """Of errors so distributed the mean is the bias, the mean distance from it the error."""
    d = error.bias + np.linspace(-20, 20, 2001) * error.mean_absolute_error
    density = -np.gradient([error.probability_stable(x) for x in d], d)
    mean = np.trapezoid(density * d, d)
    spread = np.trapezoid(density * np.abs(d - error.bias), d)
    assert mean == pytest.approx(error.bias, abs=1e-3 * error.mean_absolute_error)
    assert spread == pytest.approx(error.mean_absolute_error, rel=1e-3)


def test_errors_are_of_one_checkpoint_and_never_guessed() -> None:
    named = f"{DEFAULT_WEIGHTS} (sha256 {BUNDLED[DEFAULT_WEIGHTS][:12]})"
    found = measured(named + SCHEME_SUFFIX)
    assert found is not None
    assert found.rows > 300
    assert 0 < found.mean_absolute_error < 0.1
    assert measured(named) is None  # without corrections it is another level
    assert measured("gnomon-2 (sha256 000000000000)" + SCHEME_SUFFIX) is None
    assert measured("PBE (GPAW 26.7; PAW 1.2.1; 400 eV)") is None
