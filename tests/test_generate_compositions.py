"""Compositions: which are let through, all of them, and how many there are."""

import itertools
from math import gcd

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.chemistry.oxidation import common_states
from gnomon.cli import main
from gnomon.elements import atomic_number, electronegativities
from gnomon.generate.compositions.counting import Counts, Ion, coprime_amounts, count, unconstrained
from gnomon.generate.compositions.generator import (
    COMPOSITIONS,
    CompositionGenerator,
    coprime_compositions,
    smact_ions,
    tabulated_ions,
)


def formulas(*elements, **options):
    generator = CompositionGenerator(elements, **options)
    return [f for table in generator.generate() for f in table["reduced_formula"].to_pylist()]


# --- which compositions ---------------------------------------------------------------------------


def test_li15si4_is_reached():
    """Si at -3.75, between -4 and its next state; with states alone only Li4Si balances."""
    assert "Li15Si4" in formulas("Li", "Si")
    assert "Li15Si4" in formulas("Li", "Si", between=1)
    assert formulas("Li", "Si", between=0) == ["Li4Si"]


def test_magnetite_needs_iron_between_two_and_three():
    strict, loose = formulas("Fe", "O", between=0), formulas("Fe", "O", between=1)
    assert {"FeO", "Fe2O3"} <= set(strict)
    assert "Fe3O4" not in strict
    assert "Fe3O4" in loose
    assert set(strict) < set(loose)


def test_alloys_come_by_the_state_zero():
    assert {"Cu3Au", "CuAu"} <= {f.replace("AuCu3", "Cu3Au") for f in formulas("Cu", "Au")}
    assert not formulas("Cu", "Au", between=0, zero_of_metals=False)


def test_the_electronegativity_test_takes_away_and_adds_nothing():
    states = {"Na": (1,), "Cl": (-1, 7), "O": (-2, 2)}
    options = {"max_atoms": 10, "between": 0, "zero_of_metals": False, "states": states}
    free = formulas("Na", "Cl", "O", **options)
    tested = formulas("Na", "Cl", "O", pauling=True, **options)
    assert {"NaCl", "Na2O", "NaClO4"} <= set(tested)  # Cl7+ below O
    assert "Cl2O" in free  # as O2+ and Cl-
    assert "Cl2O" not in tested
    assert set(tested) < set(free)
    ranges = {**options, "between": 2}
    assert set(formulas("Na", "Cl", "O", pauling=True, **ranges)) >= set(tested)


def by_hand(amounts, system, between):
    """Whether the charges can balance: all choices of who is free, all states of the others."""
    states = [sorted({*common_states(z), 0}) for z in system]
    for free in itertools.combinations(range(len(system)), min(between, len(system))):
        ranges = [
            [(s[0], s[-1])] if i in free else [(q, q) for q in s] for i, s in enumerate(states)
        ]
        for row in itertools.product(*ranges):
            low = sum(n * r[0] for n, r in zip(amounts, row, strict=True))
            high = sum(n * r[1] for n, r in zip(amounts, row, strict=True))
            if low <= 0 <= high:
                return True
    return False


@given(st.integers(0, 2), st.lists(st.integers(1, 6), min_size=4, max_size=4))
def test_what_is_let_through_is_what_balances(between, amounts):
    system = [atomic_number(s) for s in ("Li", "Fe", "Mn", "Cu")]  # metals: 0 is a state
    generator = CompositionGenerator(("Li", "Fe", "Mn", "Cu"), between=between)
    [passed] = generator.allowed(system, np.array([amounts]))
    assert passed == by_hand(amounts, system, between)


def test_every_formula_comes_once_and_in_order():
    tables = list(CompositionGenerator(("Li", "Fe", "O"), max_atoms=9, chunk=20).generate())
    assert all(table.schema.equals(COMPOSITIONS) for table in tables)
    assert len(tables) > 1
    table = pa.concat_tables(tables)
    found = table["reduced_formula"].to_pylist()
    assert len(found) == len(set(found))
    assert max(table["n_atoms"].to_pylist()) == 9
    kinds = [s.count("-") for s in table["chemical_system"].to_pylist()]
    assert kinds == sorted(kinds)
    assert found == formulas("O", "Fe", "Li", max_atoms=9)


def test_known_and_excluded_are_left_out():
    known = frozenset({"Fe4O6"})
    assert set(formulas("Fe", "O")) - set(formulas("Fe", "O", known=known)) == {"Fe2O3"}
    assert formulas("U", "O")
    assert not formulas("U", "O", exclude=("U",))
    own = formulas("Li", "Si", between=0, states={"Li": (1,), "Si": (-1,)}, zero_of_metals=False)
    assert own == ["LiSi"]


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_amounts_are_complete(n):
    assert coprime_compositions(n, n - 1).shape == (0, n)  # each element takes an atom
    found = [tuple(row) for row in coprime_compositions(n, 9).tolist()]
    every = [
        row for row in itertools.product(range(1, 10), repeat=n) if sum(row) <= 9 and gcd(*row) == 1
    ]
    assert sorted(found) == sorted(every)
    assert [sum(row) for row in found] == sorted(sum(row) for row in found)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_atoms": 1}, "at least 2"),
        ({"between": -1}, "at least 0"),
        ({"known": frozenset({"no formula"})}, "not a chemical formula"),
        ({"exclude": ("Xy",)}, "unknown element 'Xy'"),
    ],
)
def test_a_wrong_argument_says_what_is_wrong(options, message):
    with pytest.raises(ValueError, match=message):
        CompositionGenerator(("Li", "Si"), **options)


# --- how many -------------------------------------------------------------------------------------


def test_unconstrained_counts_are_those_of_davies():
    """403 species, amounts up to 8 (Chem 1, 617 (2016), table 1)."""
    assert [coprime_amounts(n, 8) for n in (2, 3, 4)] == [43, 439, 3823]
    assert unconstrained(403, 2) == 3_483_129
    assert unconstrained(403, 3) == 4_753_229_039
    assert unconstrained(403, 4) == 4_139_315_402_300


def counted_by_hand(ions, n, largest, distinct_elements):
    total = neutral = ordered = 0
    for row in itertools.combinations(ions, n):
        if distinct_elements and len({ion.symbol for ion in row}) < n:
            continue
        for amounts in itertools.product(range(1, largest + 1), repeat=n):
            if gcd(*amounts) > 1:
                continue
            total += 1
            if sum(k * ion.charge for k, ion in zip(amounts, row, strict=True)):
                continue
            neutral += 1
            scale = [(ion.electronegativity, ion.charge) for ion in row]
            if any(x is None for x, _ in scale):
                continue
            ordered += all(a < b for a, p in scale for b, q in scale if p > 0 > q)
    return Counts(total, neutral, ordered)


species = st.builds(
    Ion,
    st.sampled_from("ABCD"),
    st.sampled_from([-2, -1, 1, 2, 3]),
    st.just(0.0),
)
scales = st.fixed_dictionaries(
    {symbol: st.sampled_from([None, 1.0, 1.5, 3.0]) for symbol in "ABCD"}
)


@given(
    st.lists(species, min_size=2, max_size=7, unique=True),
    scales,
    st.integers(2, 4),
    st.booleans(),
)
def test_counts_are_those_of_an_enumeration(ions, scale, n, distinct):
    """An electronegativity belongs to an element, as in nature."""
    ions = [Ion(ion.symbol, ion.charge, scale[ion.symbol]) for ion in ions]
    expected = counted_by_hand(ions, n, 3, distinct)
    assert count(ions, n, 3, distinct_elements=distinct) == expected


def test_counting_wants_charged_species_once():
    ion = Ion("Na", 1, 0.93)
    for wrong in ([ion, ion], [ion, Ion("Cu", 0, 1.9)]):
        with pytest.raises(ValueError, match="each once, none without a charge"):
            count(wrong, 2)


@pytest.mark.parametrize(
    ("states", "species", "rows"),
    [
        ("smact14", 421, [(3801630, 24850, 15308), (5420741270, 33062363, 15532439)]),
        ("icsd24", 358, [(2747829, 17880, 12703), (3329005484, 20499747, 11568731)]),
    ],
)
def test_the_species_of_smact_are_counted(states, species, rows):
    """The figures of docs/guides/generate.md, which follow from the lists of SMACT 4.0."""
    pytest.importorskip("smact", reason="SMACT is not installed: pip install 'gnomon[smact]'")
    ions = smact_ions(states)
    assert len(ions) == species
    for n, (unconstrained_, neutral, ordered) in zip((2, 3), rows, strict=True):
        assert count(ions, n) == Counts(unconstrained_, neutral, ordered)
    with pytest.raises(ValueError, match="no list 'smact99'"):
        smact_ions("smact99")


def test_all_elements_are_counted_without_enumerating():
    """The common states of 103 elements: ten thousand million quaternaries in a second."""
    ions = tabulated_ions()
    found = [count(ions, n) for n in (2, 3, 4)]
    assert all(c.ordered < c.neutral < c.unconstrained for c in found)
    assert [c.unconstrained for c in found] == [unconstrained(len(ions), n) for n in (2, 3, 4)]
    assert found[2].neutral > 10**9


def test_noble_gases_have_no_electronegativity():
    scale = electronegativities()
    assert np.isnan(scale[atomic_number("He")])
    assert scale[atomic_number("O")] == 3.44


# --- the command ----------------------------------------------------------------------------------


def command(*words):
    return main(["generate", "compositions", *map(str, words)])


def test_the_command_writes_formulas(tmp_path, capsys):
    out, ionic = tmp_path / "formulas.parquet", ("--between", "0", "--no-zero-of-metals")
    assert command("Fe-O", "--out", out, *ionic) == 0
    found = pq.read_table(out)
    assert found["reduced_formula"].to_pylist() == formulas(
        "Fe", "O", between=0, zero_of_metals=False
    )
    assert "compositions" in capsys.readouterr().err
    again = tmp_path / "new.parquet"
    assert command("Fe-O", "--out", again, *ionic, "--known", out) == 0
    assert not len(pq.read_table(again))
    capsys.readouterr()
    assert command("Fe-O", "--out", out) == 1
    assert "exists" in capsys.readouterr().err


def test_the_command_counts(capsys):
    assert command("--count", "icsd") == 0
    assert "unconstrained" in capsys.readouterr().out
    assert command() == 2
    assert "name a system" in capsys.readouterr().err
