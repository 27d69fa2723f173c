"""Laws of the convex hull, its agreement with pymatgen on real systems, and its questions."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ase.build import bulk
from hypothesis import given
from hypothesis import strategies as st

from gnomon.elements import SYMBOLS, parse_formula
from gnomon.hull.answers import query
from gnomon.hull.convex import Hull
from gnomon.hull.phases import (
    MissingElementError,
    Phases,
    SchemeMismatch,
    compositions,
    elemental_references,
    formation_energies,
    phases_from_table,
)
from gnomon.io import as_crystals
from gnomon.testing import assert_hull

SAME = 1e-8
"""eV/atom: energies of a few eV through a linear program solved to 1e-10."""

AS_PYMATGEN = 1e-6
"""eV/atom: agreement with pymatgen's Qhull facets, which are merged at about 1e-8."""

POOL = np.array([1, 3, 8, 15, 26, 29, 79])


def random_phases(rng: np.random.Generator, n_elements: int | None = None) -> Phases:
    """Elemental phases and up to 14 others, with polymorphs, collinear points and subsystems."""
    m = n_elements or int(rng.integers(1, 5))
    elements = rng.permutation(POOL)[:m]
    counts = rng.integers(0, 4, (int(rng.integers(0, 15)), m))
    counts = np.concatenate([np.eye(m, dtype=int), counts[counts.any(axis=1)]])
    composition = np.zeros((len(counts), 119))
    composition[:, elements] = counts
    energies = np.round(rng.uniform(-2, 0.5, len(counts)), 2)  # rounded, so that ties happen
    energies[:m] = rng.choice([0.0, -0.1], m)
    names = np.array([f"p{i}" for i in range(len(counts))], dtype=object)
    return Phases(names, composition, energies, "toy")


def random_queries(rng: np.random.Generator, phases: Phases, n: int = 4) -> np.ndarray:
    """Random compositions within the system of the phases."""
    elements = np.flatnonzero(phases.composition.any(axis=0))
    composition = np.zeros((n, 119))
    composition[:, elements] = rng.integers(0, 5, (n, len(elements)))
    composition[~composition.any(axis=1), elements[0]] = 1
    return composition


def phases_of(energies: dict[str, float], scheme: str = "toy") -> Phases:
    names = np.array(list(energies), dtype=object)
    return Phases(
        names, compositions(list(energies)), np.array(list(energies.values()), float), scheme
    )


def own_distances(phases: Phases) -> np.ndarray:
    return Hull(phases).e_above_hull(phases.composition, phases.formation_energy_per_atom)


rngs = st.integers(0, 2**32 - 1).map(np.random.default_rng)


# --- laws ---------------------------------------------------------------------------------------


@given(rngs)
def test_hulls_keep_their_laws(rng: np.random.Generator) -> None:
    assert_hull(Hull(random_phases(rng)))


@given(rngs)
def test_one_more_phase_never_raises_the_hull(rng: np.random.Generator) -> None:
    phases = random_phases(rng)
    queries = random_queries(rng, phases)
    kept = np.sort(rng.permutation(len(phases))[: int(rng.integers(1, len(phases) + 1))])
    pure = np.count_nonzero(phases.composition, axis=1) == 1
    fewer = phases.take(np.union1d(kept, np.flatnonzero(pure)))
    assert (Hull(phases).energy(queries) <= Hull(fewer).energy(queries) + SAME).all()


@given(rngs)
def test_a_linear_shift_of_the_energies_moves_no_phase_off_the_hull(
    rng: np.random.Generator,
) -> None:
    phases = random_phases(rng)
    potentials = rng.uniform(-5, 5, 119)
    fractions = phases.composition / phases.composition.sum(axis=1, keepdims=True)
    shifted = Phases(
        phases.ids,
        phases.composition,
        phases.formation_energy_per_atom + fractions @ potentials,
        phases.scheme,
    )
    np.testing.assert_allclose(own_distances(shifted), own_distances(phases), atol=SAME)


@given(rngs)
def test_order_of_phases_names_of_elements_and_size_of_cells_do_not_matter(
    rng: np.random.Generator,
) -> None:
    phases = random_phases(rng)
    queries = random_queries(rng, phases)
    expected = Hull(phases).energy(queries)
    order = rng.permutation(len(phases))
    np.testing.assert_allclose(Hull(phases.take(order)).energy(queries), expected, atol=SAME)
    renamed = np.concatenate([[0], rng.permutation(118) + 1])
    other = Phases(
        phases.ids,
        phases.composition[:, renamed],
        phases.formation_energy_per_atom,
        phases.scheme,
    )
    np.testing.assert_allclose(Hull(other).energy(queries[:, renamed]), expected, atol=SAME)
    copies = rng.integers(1, 9, (len(phases), 1))
    larger = Phases(
        phases.ids,
        phases.composition * copies,
        phases.formation_energy_per_atom,
        phases.scheme,
    )
    np.testing.assert_allclose(Hull(larger).energy(queries * 7.5), expected, atol=SAME)


@given(rngs)
def test_a_decomposition_is_a_mixture_of_that_composition_and_that_energy(
    rng: np.random.Generator,
) -> None:
    phases = random_phases(rng)
    queries = random_queries(rng, phases)
    fractions = phases.composition / phases.composition.sum(axis=1, keepdims=True)
    row = {name: i for i, name in enumerate(phases.ids)}
    hull = Hull(phases)
    mixtures = hull.decomposition(queries)
    for mixture, target, energy in zip(mixtures, queries, hull.energy(queries), strict=True):
        rows, shares = [row[name] for name in mixture], np.array(list(mixture.values()))
        assert (shares > 0).all()
        assert len(shares) <= np.count_nonzero(target)
        np.testing.assert_allclose(shares.sum(), 1, atol=SAME)
        np.testing.assert_allclose(shares @ fractions[rows], target / target.sum(), atol=SAME)
        np.testing.assert_allclose(
            shares @ phases.formation_energy_per_atom[rows], energy, atol=SAME
        )
        assert (own_distances(phases)[rows] <= SAME).all()


@given(rngs)
def test_leaving_a_phase_out_is_the_hull_of_the_others(rng: np.random.Generator) -> None:
    phases = random_phases(rng, n_elements=3)
    compounds = np.flatnonzero(np.count_nonzero(phases.composition, axis=1) > 1)
    hull = Hull(phases)
    rows = phases.composition[compounds]
    ids = [[name] for name in phases.ids[compounds]]
    got = hull.energy(rows, without=ids)
    for i, energy in zip(compounds, got, strict=True):
        others = Hull(phases.take(np.arange(len(phases)) != i))
        np.testing.assert_allclose(others.energy(phases.composition[[i]]), energy, atol=SAME)


@given(rngs)
def test_a_stable_phase_stays_stable_in_every_larger_system(rng: np.random.Generator) -> None:
    phases = random_phases(rng, n_elements=4)
    elements = np.flatnonzero(phases.composition.any(axis=0))
    everywhere = own_distances(phases)
    for pair in combinations(elements, 2):
        inside = ~np.delete(phases.composition, pair, axis=1).any(axis=1)
        np.testing.assert_allclose(
            own_distances(phases.take(inside)), everywhere[inside], atol=SAME
        )


# --- examples -----------------------------------------------------------------------------------


def test_a_candidate_below_the_hull_gets_a_negative_distance() -> None:
    hull = Hull(phases_of({"Li": 0, "O2": 0, "Li2O": -2.0}))
    distances = hull.e_above_hull(compositions(["Li2O2", "LiO"]), np.array([-1.6, -1.4]))
    np.testing.assert_allclose(distances, [-0.1, 0.1], atol=SAME)


def test_an_element_found_lower_lies_below_zero_and_on_the_hull() -> None:
    hull = Hull(phases_of({"Li": 0, "O2": 0, "Li2O": -2.0, "Li4": -0.3}))
    np.testing.assert_allclose(hull.energy(compositions(["Li"])), [-0.3], atol=SAME)
    assert query(hull, "Li").phases[0].id == "Li4"
    assert query(hull, "Li").phases[0].distance_to_rest == -np.inf


def test_polymorphs_and_one_element_systems() -> None:
    phases = Phases(
        np.array(["graphite", "diamond", "graphite again"], dtype=object),
        compositions(["C", "C", "C"]),
        np.array([0.0, 0.13, 0.0]),
        "toy",
    )
    np.testing.assert_allclose(own_distances(phases), [0, 0.13, 0], atol=SAME)
    hull = Hull(phases)
    carbon = compositions(["C"])
    both = [["graphite", "graphite again"]]
    np.testing.assert_allclose(hull.energy(carbon, without=both), [0.13], atol=SAME)
    assert hull.energy(carbon, without=[list(phases.ids)])[0] == np.inf
    assert hull.decomposition(carbon, without=[list(phases.ids)]) == [{}]


def test_queries_of_many_systems_at_once_keep_their_order() -> None:
    phases = random_phases(np.random.default_rng(3), n_elements=4)
    queries = random_queries(np.random.default_rng(4), phases, n=600)
    hull = Hull(phases)
    together = hull.energy(queries)
    few = [0, 1, 299, 599]
    alone = [hull.energy(queries[[i]])[0] for i in few]
    np.testing.assert_allclose(together[few], alone, atol=SAME)
    assert hull.energy(queries[:0]).shape == (0,)


def test_an_element_without_a_phase_is_refused_with_the_remedy() -> None:
    hull = Hull(phases_of({"Li": 0, "Li2O": -2.0}))
    with pytest.raises(MissingElementError, match=r"elemental phase of O: add .* 'toy'"):
        hull.energy(compositions(["LiO"]))
    with pytest.raises(MissingElementError, match="elemental phase of O"):
        query(hull, "Li-O")
    with pytest.raises(MissingElementError, match="elemental phase of Li"):
        Hull(phases_of({"Li": 0, "O": 0})).energy(compositions(["LiO"]), without=[["Li"]])
    assert hull.energy(compositions(["Li"])) == [0]


def test_a_hull_of_nothing_lacks_every_element() -> None:
    empty = Hull(phases_of({"Li": 0}).take([]))
    assert len(empty.members(["Li", "O"])) == 0
    with pytest.raises(MissingElementError, match="elemental phase of Li, O"):
        empty.energy(compositions(["O2", "Li2O"])[1:])


def test_schemes_never_mix() -> None:
    pbe, r2scan = phases_of({"Li": 0}, "PBE"), phases_of({"O2": 0}, "r2SCAN")
    with pytest.raises(SchemeMismatch, match="'PBE' and 'r2SCAN'"):
        Phases.concatenate([pbe, r2scan])
    both = Phases.concatenate([pbe, phases_of({"O2": 0, "Li2O": -2.0}, "PBE")])
    assert both.scheme == "PBE"
    assert both.reduced_formulas.tolist() == ["Li", "O2", "Li2O"]


@pytest.mark.parametrize(
    ("energies", "composition", "message"),
    [
        ([np.nan], np.eye(119)[[3]], "has no finite energy: leave crystals whose"),
        ([0.0], np.zeros((1, 119)), "at least one atom"),
        ([0.0], -np.eye(119)[[3]], "at least one atom"),
        ([0.0], np.eye(119)[[0]], "column 0"),
    ],
)
def test_phases_refuse_what_is_no_phase(
    energies: list[float], composition: np.ndarray, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Phases(np.array(["a"], dtype=object), composition, np.array(energies), "toy")


def test_formation_energies_use_the_lowest_elements_and_name_a_missing_one() -> None:
    composition = compositions(["Au", "Cu", "Cu4", "AuCu3"])
    totals = np.array([-3.2, -3.6, -3.7, -3.6])
    references = elemental_references(composition, totals)
    assert references == {"Au": -3.2, "Cu": -3.7}
    formed = formation_energies(composition, totals, references)
    np.testing.assert_allclose(formed, [0, 0.1, 0, -0.025], atol=SAME)
    with pytest.raises(MissingElementError, match="no reference energy of Cu"):
        formation_energies(composition, totals, {"Au": -3.2})


def test_a_table_without_ids_is_named_by_its_formulas() -> None:
    table = pa.table(
        {"reduced_formula": ["Na", "N2", "NaN"], "formation_energy_per_atom": [0.0, 0.0, -0.1]}
    )
    phases = phases_from_table(table, "toy")
    assert phases.ids.tolist() == ["Na", "N2", "NaN"]
    assert query(Hull(phases), "NaN").phases[0].stable
    with pytest.raises(ValueError, match="no column formation_energy_per_atom among"):
        phases_from_table(table.drop_columns("formation_energy_per_atom"), "toy")
    holes = pa.table(
        {"reduced_formula": ["Na"], "formation_energy_per_atom": pa.array([None], "f8")}
    )
    with pytest.raises(ValueError, match="has 1 empty values"):
        phases_from_table(holes, "toy")


def test_a_table_that_names_its_scheme_is_taken_at_its_word() -> None:
    columns = {
        "id": ["1", "2"],
        "source_id": ["mp-1", None],
        "reduced_formula": ["Na", "N2"],
        "formation_energy_per_atom": [0.0, 0.0],
    }
    table = pa.table({**columns, "scheme": ["toy", "toy"]})
    assert phases_from_table(table).scheme == phases_from_table(table, "toy").scheme == "toy"
    assert phases_from_table(table).ids.tolist() == ["mp-1", "2"]
    assert phases_from_table(pa.table(columns)).scheme == "as given"
    with pytest.raises(SchemeMismatch, match="scheme 'toy', not 'other'"):
        phases_from_table(table, "other")
    with pytest.raises(SchemeMismatch, match="'toy' and 'other': energies"):
        phases_from_table(pa.table({**columns, "scheme": ["toy", "other"]}))


GOLD_COPPER = {"Au": 0.0, "Cu": 0.0, "CuAu": -0.05, "Cu3Au": -0.02, "CuAu3": -0.03, "Fe": 0.0}


def test_a_system_query_lists_the_stable_phases_and_those_within_the_window() -> None:
    hull = Hull(phases_of(GOLD_COPPER))
    answer = query(hull, "Cu-Au")
    assert (answer.query, answer.kind, answer.n_phases) == ("Au-Cu", "system", 5)
    assert [row.reduced_formula for row in answer.phases] == ["Au", "Cu", "CuAu", "CuAu3"]
    wider = query(hull, "Cu-Au", window=0.005 + SAME)
    assert wider.phases[-1].reduced_formula == "Cu3Au"
    np.testing.assert_allclose(wider.phases[-1].e_above_hull, 0.005, atol=SAME)


def test_a_formula_query_names_the_competitors_or_what_an_unknown_falls_into() -> None:
    hull = Hull(phases_of(GOLD_COPPER))
    (alloy,) = query(hull, "Cu2Au2").phases
    assert (alloy.reduced_formula, alloy.id, alloy.stable) == ("CuAu", "CuAu", True)
    np.testing.assert_allclose(alloy.distance_to_rest, -0.05 + 0.025, atol=SAME)
    assert dict(alloy.decomposition) == pytest.approx({"CuAu3": 1 / 2, "Cu3Au": 1 / 2})
    (unknown,) = query(hull, "Au2Cu").phases
    assert (unknown.id, unknown.e_above_hull, unknown.stable) == (None, None, False)
    assert dict(unknown.decomposition) == pytest.approx({"CuAu3": 2 / 3, "CuAu": 1 / 3})
    with pytest.raises(ValueError, match="not of whole atoms"):
        query(hull, "Au0.5Cu")


@pytest.mark.parametrize("text", ["Xx2O", "Au-Xx", "", "Au-Au"])
def test_a_query_that_is_neither_formula_nor_system_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a chemical"):
        query(Hull(phases_of({"Au": 0})), text)


# --- real systems -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def materials_project(shared_data: Path) -> Hull:
    table = pq.read_table(shared_data / "materials_project" / "ground_states.parquet")
    return Hull(phases_from_table(table, "Materials Project PBE(+U), MP2020"))


def test_agrees_with_pymatgen_on_real_systems(materials_project: Hull) -> None:
    """Every phase of 320 random chemical systems of 2 to 5 elements, none of them Hg or Pr."""
    hull, phases = materials_project, materials_project.phases
    rng = np.random.default_rng(0)
    compared = 0
    for system in random_systems(rng, phases, {2: 60, 3: 120, 4: 100, 5: 40}):
        members = hull.members(system)
        got = hull.e_above_hull(
            phases.composition[members], phases.formation_energy_per_atom[members]
        )
        expected = pymatgen_distances(phases.take(members))
        np.testing.assert_allclose(got, expected, atol=AS_PYMATGEN, err_msg="-".join(system))
        compared += len(members)
    assert compared > 3000


def random_systems(
    rng: np.random.Generator, phases: Phases, sizes: dict[int, int]
) -> list[tuple[str, ...]]:
    """Chemical systems of random phases, so many of each size; without those that lack elements."""
    whole = phases.composition[:, [59, 80]].any(axis=1)  # no elemental Pr and Hg in this release
    systems = []
    n_elements = np.where(whole, 0, np.count_nonzero(phases.composition, axis=1))
    for size, how_many in sizes.items():
        for i in rng.permutation(np.flatnonzero(n_elements == size))[:how_many]:
            systems.append(tuple(SYMBOLS[z] for z in np.flatnonzero(phases.composition[i])))
    return systems


def pymatgen_distances(phases: Phases) -> list[float]:
    """e_above_hull of every phase by pymatgen's phase diagram, with the elements at 0 eV/atom."""
    from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
    from pymatgen.core import Composition

    entries = [
        PDEntry(Composition(parse_formula(formula)), energy * sum(parse_formula(formula).values()))
        for formula, energy in zip(
            phases.reduced_formulas, phases.formation_energy_per_atom.tolist(), strict=True
        )
    ]
    diagram = PhaseDiagram(entries)
    return [diagram.get_e_above_hull(entry) for entry in entries]


def test_questions_that_people_ask(materials_project: Hull) -> None:
    (lfp,) = query(materials_project, "LiFePO4").phases
    assert (lfp.id, lfp.stable) == ("mp-19017", True)
    assert {formula for formula, _ in lfp.decomposition} == {"Li3PO4", "Fe3(PO4)2"}
    (titanate,) = query(materials_project, "BaTiO3").phases
    assert titanate.stable
    assert titanate.distance_to_rest < -0.01
    system = query(materials_project, "Li-Fe-P-O")
    assert "LiFePO4" in {row.reduced_formula for row in system.phases}
    with pytest.raises(MissingElementError, match="Hg"):
        query(materials_project, "HgO")


def test_phases_of_crystals_refer_to_the_elements_among_them_and_leave_out_what_has_no_energy():
    gold, copper, alloy = bulk("Au"), bulk("Cu"), bulk("Cu", cubic=True)
    alloy.numbers[0] = 79
    energies = np.array([-3.0, -4.0, -3.8, np.nan, -2.9])
    phases = Phases.of([gold, copper, alloy, alloy, gold], energies, "demo")
    assert phases.reduced_formulas.tolist() == ["Au", "Cu", "Cu3Au", "Au"]
    assert phases.formation_energy_per_atom == pytest.approx([0, 0, -0.05, 0.1])
    assert phases.ids.tolist() == as_crystals([gold, copper, alloy, gold]).ids.tolist()
    assert phases.scheme == "demo"
    with pytest.raises(MissingElementError, match="Cu"):
        Phases.of([gold, alloy], energies[:2], "demo")
    with pytest.raises(ValueError, match="2 crystals but energies of shape"):
        Phases.of([gold, alloy], energies, "demo")


def demo_hull(energies: dict[str, float]) -> Hull:
    formulas = list(energies)
    values = np.array(list(energies.values()))
    return Hull(Phases(np.array(formulas, object), compositions(formulas), values, "demo"))


def test_the_diagram_of_two_elements_draws_energies_over_the_composition():
    hull = demo_hull({"Ti": 0, "O": 0, "TiO": -2.7, "Ti2O3": -3.3, "TiO2": -3.5, "Au": 0})
    line, on_hull, above = hull.plot("Ti-O").data
    assert list(line.x) == pytest.approx([0, 0.6, 2 / 3, 1])
    assert list(line.y) == [0, -3.3, -3.5, 0]
    assert sorted(on_hull.x) == list(line.x)
    assert (list(above.x), list(above.y)) == ([0.5], [-2.7])
    assert "above the hull 50.0 meV/atom" in above.hovertext[0]
    assert list(hull.plot("O-Ti").data[0].x) == pytest.approx([0, 1 / 3, 0.4, 1])


def test_the_diagram_of_three_elements_is_a_triangle_of_all_phases_unless_a_system_is_named():
    hull = demo_hull({"K": 0, "Na": 0, "Cl": 0, "NaCl": -2, "KCl": -2.1})
    assert {trace.type for trace in hull.plot().data} == {"scatterternary"}
    assert {trace.type for trace in hull.plot("Na-Cl").data} == {"scatter"}


def test_there_is_no_flat_diagram_of_one_element_or_four():
    hull = demo_hull({"K": 0, "Na": 0, "Cl": 0, "Br": 0})
    with pytest.raises(ValueError, match="a hull of 4 elements"):
        hull.plot()
    with pytest.raises(ValueError, match="a hull of 1 elements"):
        hull.plot("K")
