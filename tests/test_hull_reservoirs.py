"""Crystals in contact with gases and metals, and the potentials between which they are stable."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.chemistry.gases import (
    GASES,
    KJ_PER_MOL,
    chemical_potential,
    element_potentials,
    enthalpy_and_entropy,
)
from gnomon.elements import SYMBOLS, parse_formula
from gnomon.hull.convex import Hull
from gnomon.hull.limits import chemical_potential_limits
from gnomon.hull.phases import MissingElementError, Phases, compositions, phases_from_table
from gnomon.hull.reservoirs import metal_potential, open_to, reactions
from tests.strategies import rngs
from tests.test_hull import AS_PYMATGEN, SAME, phases_of, random_phases

JANAF = [
    # Chase, NIST-JANAF Thermochemical Tables (1998): K, H(T) - H(298.15 K) in kJ/mol, S in J/mol/K
    ("O2", 298.15, 0.0, 205.147),
    ("O2", 500.0, 6.084, 220.693),
    ("O2", 1000.0, 22.703, 243.578),
    ("H2", 1000.0, 20.680, 166.216),
    ("N2", 1000.0, 21.463, 228.170),
    ("H2O", 298.15, 0.0, 188.834),
    ("H2O", 400.0, 3.452, 198.788),
    ("H2O", 1000.0, 26.000, 232.738),
    ("CO2", 298.15, 0.0, 213.795),
    ("CO2", 1000.0, 33.397, 269.299),
    ("CO2", 1500.0, 61.705, 292.199),
]

AS_TABLED = 0.01
"""kJ/mol and J/mol/K: what the Shomate fits differ from the table."""


# --- gases --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("gas", "temperature", "heat", "entropy"), JANAF)
def test_gases_are_as_in_the_janaf_tables(
    gas: str, temperature: float, heat: float, entropy: float
) -> None:
    found = enthalpy_and_entropy(gas, temperature)
    expected = (heat + GASES[gas].heating, entropy)
    np.testing.assert_allclose(found, expected, atol=AS_TABLED)


@pytest.mark.parametrize(("gas", "temperature"), [("O2", 700), ("N2", 500), ("H2", 1000)])
def test_fits_meet_where_one_follows_the_other(gas: str, temperature: float) -> None:
    below, above = (enthalpy_and_entropy(gas, temperature + d) for d in (-1e-6, 1e-6))
    np.testing.assert_allclose(below, above, atol=AS_TABLED)


@pytest.mark.parametrize(
    ("temperature", "potential"), [(300.0, -0.27), (600.0, -0.61), (1e3, -1.1)]
)
def test_oxygen_is_as_in_reuter_and_scheffler(temperature: float, potential: float) -> None:
    """Phys. Rev. B 65, 035406 (2001), Table I, printed to 0.01 eV."""
    assert round(chemical_potential("O2", temperature, 1.0) / 2, 2) == potential


@pytest.mark.parametrize("gas", ["H2O", "CO2"])
def test_the_formation_enthalpy_at_0_k_follows_from_that_at_room_temperature(gas: str) -> None:
    """dfH(298.15 K), kJ/mol, from Chase (1998); heating of graphite 1.050 kJ/mol."""
    room, elements = {
        "H2O": (-241.826, GASES["H2"].heating + GASES["O2"].heating / 2),
        "CO2": (-393.522, 1.050 + GASES["O2"].heating),
    }[gas]
    cold = room - GASES[gas].heating + elements
    assert GASES[gas].formation_enthalpy == pytest.approx(cold, abs=AS_TABLED)


@given(st.sampled_from(sorted(GASES)), st.floats(300, 1200), st.floats(1e-6, 100))
def test_gases_obey_thermodynamics(gas: str, temperature: float, pressure: float) -> None:
    """d mu / dT = -S at constant pressure, d mu / d ln p = RT."""
    potential = chemical_potential(gas, temperature, pressure)
    step = 0.01
    if not any(abs(temperature - low) <= step for low, *_ in GASES[gas].fits):
        slope = chemical_potential(gas, temperature + step, 1.0) - chemical_potential(
            gas, temperature - step, 1.0
        )
        _, entropy = enthalpy_and_entropy(gas, temperature)
        assert slope / (2 * step) == pytest.approx(-entropy / 1000 * KJ_PER_MOL, rel=1e-3)
    tenfold = chemical_potential(gas, temperature, 10 * pressure) - potential
    assert tenfold == pytest.approx(8.617333e-5 * temperature * np.log(10), rel=1e-6)


def test_air_fixes_oxygen_hydrogen_and_carbon() -> None:
    potentials = element_potentials({"O2": 0.21, "H2O": 0.02, "CO2": 4e-4}, 298.15)
    water = chemical_potential("H2O", 298.15, 0.02)
    assert 2 * potentials["H"] + potentials["O"] == pytest.approx(water)
    carbonic = chemical_potential("CO2", 298.15, 4e-4)
    assert potentials["C"] + 2 * potentials["O"] == pytest.approx(carbonic)


@pytest.mark.parametrize(
    ("pressures", "temperature", "message"),
    [
        ({"H2O": 1.0}, 500.0, "H2O do not fix the chemical potentials of H, O: give as many"),
        ({"H2O": 1.0, "H2": 1.0, "O2": 1.0}, 500.0, "do not fix"),
        ({"O2": 0.0}, 500.0, "must be above 0"),
        ({"O2": 1.0}, 5000.0, "outside of the tables of O2: from 100 to 2000 K"),
        ({"SO2": 1.0}, 500.0, "no table of the gas 'SO2': there are H2, N2, O2, H2O, CO2"),
    ],
)
def test_gases_that_say_nothing_are_refused(
    pressures: dict[str, float], temperature: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        element_potentials(pressures, temperature)


# --- reservoirs ---------------------------------------------------------------------------------


def pymatgen_entries(phases: Phases) -> list:
    from pymatgen.analysis.phase_diagram import PDEntry
    from pymatgen.core import Composition

    formulas = [parse_formula(formula) for formula in phases.reduced_formulas]
    energies = phases.formation_energy_per_atom.tolist()
    return [
        PDEntry(Composition(formula), energy * sum(formula.values()))
        for formula, energy in zip(formulas, energies, strict=True)
    ]


@pytest.mark.parametrize("seed", range(6))
def test_grand_potential_hulls_equal_those_of_pymatgen(seed: int) -> None:
    from pymatgen.analysis.phase_diagram import (
        GrandPotentialPhaseDiagram,
        GrandPotPDEntry,
    )
    from pymatgen.core import Element

    rng = np.random.default_rng(seed)
    phases = random_phases(rng, n_elements=4)
    elements = [SYMBOLS[z] for z in np.flatnonzero(phases.composition.any(axis=0))]
    how_many = 1 + seed % 2
    potentials = dict(zip(elements[:how_many], rng.uniform(-1, 0, how_many).tolist(), strict=True))
    absolute = {Element(symbol): potential for symbol, potential in potentials.items()}
    entries = pymatgen_entries(phases)
    diagram = GrandPotentialPhaseDiagram(entries, absolute)
    grand = open_to(phases, potentials)
    got = Hull(grand).e_above_hull(grand.composition, grand.formation_energy_per_atom)
    expected = {
        phases.ids[i]: diagram.get_e_above_hull(GrandPotPDEntry(entry, absolute))
        for i, entry in enumerate(entries)
        if any(str(element) not in potentials for element in entry.composition)
    }
    np.testing.assert_allclose(got, [expected[name] for name in grand.ids], atol=AS_PYMATGEN)


@given(rngs)
def test_a_reaction_balances_and_gains_what_it_says(rng: np.random.Generator) -> None:
    phases = random_phases(rng, n_elements=3)
    symbols = [SYMBOLS[z] for z in np.flatnonzero(phases.composition.any(axis=0))]
    potentials = {symbols[0]: float(rng.uniform(-1, 0))}
    inside = phases.take(phases.composition[:, [*map(SYMBOLS.index, symbols[1:])]].any(axis=1))
    formulas = inside.reduced_formulas.tolist()
    hull = Hull(phases)
    energy = {f: float(e) for f, e in zip(*_lowest_energies(phases), strict=True)}
    for reaction in reactions(hull, formulas, potentials):
        unit = parse_formula(reaction.reduced_formula)
        size = sum(unit.values())
        balance = compositions([reaction.reduced_formula])[0]
        gained = -energy[reaction.reduced_formula] * size
        for symbol, atoms in reaction.taken_up:
            balance += atoms * compositions([symbol])[0]
            gained -= atoms * potentials[symbol]
        for product, amount in reaction.products:
            balance -= amount * compositions([product])[0]
            gained += amount * energy[product] * sum(parse_formula(product).values())
        np.testing.assert_allclose(balance, 0, atol=1e-7)
        assert reaction.reaction_energy == pytest.approx(gained / size, abs=1e-7)
        assert reaction.reaction_energy <= 0
        assert reaction.stable == (reaction.e_above_hull <= 5e-5)


def _lowest_energies(phases: Phases) -> tuple[list[str], list[float]]:
    order = np.argsort(-phases.formation_energy_per_atom)  # the lowest comes last, and stays
    return phases.reduced_formulas[order].tolist(), phases.formation_energy_per_atom[order].tolist()


def test_a_phase_on_lithium_metal_reacts_as_pymatgens_interfaces_do() -> None:
    from pymatgen.analysis.interface_reactions import InterfacialReactivity
    from pymatgen.analysis.phase_diagram import PhaseDiagram
    from pymatgen.core import Composition

    phases = phases_of(
        {"Li": 0, "P": 0, "S": 0, "Li3P": -0.9, "LiP": -0.5, "Li2S": -1.5, "Li3PS4": -0.98}
    )
    hull = Hull(phases)
    (found,) = reactions(hull, ["Li3PS4"], metal_potential(hull, "Li"))
    assert found.products == (("Li2S", 4.0), ("Li3P", 1.0))
    assert found.taken_up == (("Li", 8.0),)
    interface = InterfacialReactivity(
        Composition("Li3PS4"), Composition("Li"), PhaseDiagram(pymatgen_entries(phases)), norm=True
    )
    _, with_excess, *_ = interface.get_kinks()  # the first is lithium alone
    _, share_of_phase, energy_per_atom_of_both, *_ = with_excess
    expected = energy_per_atom_of_both / share_of_phase
    assert found.reaction_energy == pytest.approx(expected, abs=AS_PYMATGEN)


def test_contact_with_a_reservoir_of_nothing_new_changes_nothing() -> None:
    """Li2O on lithium, and a composition that no phase of the hull has."""
    hull = Hull(phases_of({"Li": 0, "O2": 0, "Fe": 0, "Li2O": -2.0, "FeO": -1.4}))
    stable, unknown = reactions(hull, ["Li2O", "LiFeO2"], metal_potential(hull, "Li"))
    assert stable.stable
    assert stable.products == (("Li2O", 1.0),)
    assert stable.taken_up == (("Li", 0.0),)
    assert (unknown.id, unknown.e_above_hull, unknown.stable) == (None, None, False)
    assert unknown.products == (("Li2O", 2.0), ("Fe", 1.0))
    assert unknown.taken_up == (("Li", 3.0),)


def test_what_cannot_be_open_is_refused() -> None:
    hull = Hull(phases_of({"Li": 0, "O2": 0, "Li2O": -2.0}))
    with pytest.raises(ValueError, match="no open element"):
        open_to(hull.phases, {})
    with pytest.raises(ValueError, match="potential of O is nan"):
        open_to(hull.phases, {"O": float("nan")})
    with pytest.raises(ValueError, match="O2 holds no other element than O, which are open"):
        reactions(hull, ["O2"], {"O": -1.0})
    with pytest.raises(MissingElementError, match="elemental phase of Na"):
        metal_potential(hull, "Na")
    assert "open to O at -1.0000 eV" in open_to(hull.phases, {"O": -1.0}).scheme


# --- limits -------------------------------------------------------------------------------------


@given(rngs)
def test_at_its_limits_a_phase_is_stable_and_beyond_them_it_is_not(
    rng: np.random.Generator,
) -> None:
    """A reservoir of one element at a potential within the limits leaves the phase as it is."""
    phases = random_phases(rng, n_elements=3)
    hull = Hull(phases)
    n_elements = np.count_nonzero(phases.composition, axis=1)
    above = hull.e_above_hull(phases.composition, phases.formation_energy_per_atom)
    for i in np.flatnonzero((n_elements == 3) & (above <= 0))[:1]:
        formula = phases.reduced_formulas[i]
        for symbol, (low, high) in chemical_potential_limits(hull, formula).items():
            assert low <= high + SAME
            for potential in (low, (low + high) / 2, high):
                (inside,) = reactions(hull, [formula], {symbol: potential})
                assert inside.e_above_hull <= 1e-7
            beyond = [low - 0.1]
            if high < metal_potential(hull, symbol)[symbol] - SAME:
                beyond.append(high + 0.1)  # else the element itself forms, which a reservoir may
            for potential in beyond:
                (outside,) = reactions(hull, [formula], {symbol: potential})
                assert outside.e_above_hull > 1e-7


@pytest.mark.parametrize("seed", range(4))
def test_limits_equal_the_facets_of_pymatgen(seed: int) -> None:
    from pymatgen.analysis.phase_diagram import PhaseDiagram

    phases = random_phases(np.random.default_rng(seed), n_elements=3)
    entries = pymatgen_entries(phases)
    diagram = PhaseDiagram(entries)
    compared = 0
    for entry in diagram.stable_entries:
        inside = [e for e in entries if set(e.composition) <= set(entry.composition)]
        facets = PhaseDiagram(inside).get_all_chempots(entry.composition)
        limits = chemical_potential_limits(Hull(phases), entry.composition.reduced_formula)
        for element in entry.composition:
            ends = [potentials[element] for potentials in facets.values()]
            expected = min(ends), max(ends)
            np.testing.assert_allclose(limits[str(element)], expected, atol=AS_PYMATGEN)
            compared += 1
    assert compared >= 3


def test_a_phase_that_is_not_stable_has_no_limits() -> None:
    hull = Hull(phases_of({"Li": 0, "O2": 0, "Li2O": -2.0, "Li2O2": -1.4}))
    with pytest.raises(ValueError, match=r"Li2O2 lies 0.1000 eV/atom above the hull: only stable"):
        chemical_potential_limits(hull, "Li2O2")
    with pytest.raises(ValueError, match="LiO3 is not among the phases"):
        chemical_potential_limits(hull, "LiO3")
    assert chemical_potential_limits(hull, "Li") == {"Li": (0.0, 0.0)}
    limits = chemical_potential_limits(hull, "Li2O")
    np.testing.assert_allclose(limits["Li"], (-3.0, 0.0), atol=SAME)
    np.testing.assert_allclose(limits["O"], (-6.0, 0.0), atol=SAME)


# --- real phases --------------------------------------------------------------------------------


def test_solid_electrolytes_on_lithium_behave_as_is_known(shared_data) -> None:
    """Zhu, He, Mo, ACS Appl. Mater. Interfaces 7, 23685 (2015): Li3PS4 forms Li2S and Li3P."""
    table = pq.read_table(shared_data / "materials_project" / "ground_states.parquet")
    hull = Hull(phases_from_table(table, "Materials Project PBE(+U), MP2020"))
    lithium = metal_potential(hull, "Li")
    sulfide, fluoride, oxide = reactions(hull, ["Li3PS4", "LiF", "Li2O"], lithium)
    assert dict(sulfide.products) == pytest.approx({"Li2S": 4, "Li3P": 1})
    assert dict(sulfide.taken_up)["Li"] == pytest.approx(8)
    assert sulfide.reaction_energy < -0.5
    assert fluoride.stable
    assert oxide.stable
    hot, cold = (
        reactions(hull, ["Fe2O3"], element_potentials({"O2": p}, 1200.0))[0] for p in (1e-18, 0.21)
    )
    assert cold.products == (("Fe2O3", 1.0),)
    assert not hot.stable
