"""Element facts, formulas as pymatgen writes them, and what is no element."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.elements import (
    COVALENT_RADII,
    DEFAULT_EXCLUDED,
    MASSES,
    MAX_Z,
    SYMBOLS,
    atomic_number,
    element_facts,
    parse_formula,
    parse_system,
    reduced_formula,
)

elements = st.integers(1, 94)


def formula(**counts: int) -> str:
    return reduced_formula(tuple(sorted((atomic_number(s), n) for s, n in counts.items())))


def test_symbols_and_numbers_are_inverse() -> None:
    assert len(SYMBOLS) == len(MASSES) == len(COVALENT_RADII) == MAX_Z + 1
    assert [atomic_number(symbol) for symbol in SYMBOLS[1:]] == list(range(1, MAX_Z + 1))


@pytest.mark.parametrize("symbol", ["", "X", "Xx", "cu", "CU", "D", "Cu2", " Cu"])
def test_what_is_no_element_is_refused(symbol: str) -> None:
    with pytest.raises(ValueError, match=f"unknown element '{symbol}'"):
        atomic_number(symbol)


@pytest.mark.parametrize(
    ("symbol", "mass", "radius"), [("H", 1.008, 0.31), ("Fe", 55.845, 1.32), ("U", 238.03, 1.96)]
)
def test_masses_and_radii_of_the_handbook(symbol: str, mass: float, radius: float) -> None:
    z = atomic_number(symbol)
    assert MASSES[z] == pytest.approx(mass, abs=0.01)
    assert COVALENT_RADII[z] == pytest.approx(radius, abs=0.001)


def test_excluded_elements_are_elements() -> None:
    assert all(atomic_number(symbol) > 0 for symbol in DEFAULT_EXCLUDED)


TRICKY = {
    "O2": {"O": 4},
    "N2": {"N": 1},
    "Cl2": {"Cl": 3},
    "H2": {"H": 2},
    "F2": {"F": 1},
    "He": {"He": 2},
    "Xe": {"Xe": 4},
    "Na2O2": {"Na": 1, "O": 1},
    "K2O2": {"K": 3, "O": 3},
    "Li2O2": {"Li": 4, "O": 4},
    "NaN3": {"Na": 1, "N": 3},
    "Na3N": {"Na": 6, "N": 2},
    "LiFePO4": {"O": 16, "Li": 4, "Fe": 4, "P": 4},
    "Sr2FeMoO6": {"Sr": 2, "Fe": 1, "Mo": 1, "O": 6},
    "Li15Si4": {"Si": 16, "Li": 60},
    "XeF2": {"Xe": 1, "F": 2},
    "H2O2": {"H": 2, "O": 2},
    "CO": {"C": 2, "O": 2},
}


@pytest.mark.parametrize(("expected", "counts"), TRICKY.items())
def test_tricky_formulas(expected: str, counts: dict[str, int]) -> None:
    from pymatgen.core import Composition

    ours = formula(**counts)
    assert ours == expected
    assert ours == Composition(counts).reduced_formula


def test_sodium_nitride_is_not_a_missing_value() -> None:
    assert formula(Na=1, N=1) == "NaN"
    assert parse_formula("NaN") == {"Na": 1.0, "N": 1.0}


@pytest.mark.filterwarnings("ignore:No Pauling electronegativity")
@given(st.dictionaries(elements, st.integers(1, 12), min_size=1, max_size=5))
def test_formulas_are_pymatgens_and_can_be_read_back(counts: dict[int, int]) -> None:
    from pymatgen.core import Composition

    written = reduced_formula(tuple(sorted(counts.items())))
    assert written == Composition({SYMBOLS[z]: n for z, n in counts.items()}).reduced_formula
    amounts = parse_formula(written)
    total, given_total = sum(amounts.values()), sum(counts.values())
    assert amounts == pytest.approx(
        {SYMBOLS[z]: n * total / given_total for z, n in counts.items()}
    )


@pytest.mark.parametrize("text", ["", "Xx2", "X2", "lifepo4", "Fe-O", "Fe2(", "12", "Fe0"])
def test_what_is_no_formula_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a chemical formula"):
        parse_formula(text)


@given(st.lists(elements, min_size=1, max_size=5, unique=True))
def test_a_system_has_one_name(numbers: list[int]) -> None:
    symbols = [SYMBOLS[z] for z in numbers]
    assert parse_system("-".join(symbols)) == tuple(sorted(symbols))
    assert parse_system(" - ".join(reversed(symbols))) == tuple(sorted(symbols))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "'' is no element"),
        ("Au-", "'' is no element"),
        ("Au-Xx", "'Xx' is no element"),
        ("X", "'X' is no element"),
        ("AuCu", r"'AuCu' is no element \(did you mean Au-Cu\?\)"),
        ("au-cu", r"'au' is no element \(did you mean Au-Cu\?\)"),
        ("li-fe-qq", r"'li' is no element \(write element symbols"),
        ("Au-Cu-Au", "names an element twice"),
    ],
)
def test_what_is_no_system_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_system(text)


def test_facts_of_elements_have_no_gap_and_are_pymatgens() -> None:
    facts = element_facts(("melting_point", "X"))
    assert facts.shape == (119, 2)
    assert np.isfinite(facts).all()
    assert facts[13, 0] == pytest.approx(933.47)
    assert facts[9, 1] == 3.98
    assert facts[2, 1] == np.median(facts[:, 1])
