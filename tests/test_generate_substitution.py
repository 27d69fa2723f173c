"""Substituted crystals: what stays, what changes, what is let through."""

import itertools

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnomon.chemistry.oxidation import oxidation_states
from gnomon.crystals import Crystals
from gnomon.elements import SYMBOLS, atomic_number
from gnomon.generate import LINEAGE, Candidates, Generator
from gnomon.generate.substitution.generator import SubstitutionGenerator, length_ratio
from gnomon.generate.substitution.model import SubstitutionModel, ion_charge, ion_name
from gnomon.io import from_arrow
from gnomon.structure.protostructures import distinct, protostructure
from gnomon.structure.symmetry import space_groups
from tests.strategies import rewritten, rngs

FCC = np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])

ROCKSALT = {  # Å, measured at room temperature (Wyckoff, Crystal Structures, 1963)
    "LiF": 4.027,
    "NaF": 4.634,
    "NaCl": 5.640,
    "NaBr": 5.977,
    "KCl": 6.293,
    "KBr": 6.600,
    "RbCl": 6.581,
    "MgO": 4.212,
    "CaO": 4.811,
    "SrO": 5.160,
    "BaO": 5.539,
    "CaS": 5.694,
}


def numbers(*symbols):
    return np.array([atomic_number(s) for s in symbols])


def rocksalt(a, cation, anion):
    return Crystals.single(FCC * a, numbers(cation, anion), [[0, 0, 0], [0.5, 0.5, 0.5]])


def perovskite(a, *elements):
    frac = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    return Crystals.single(np.eye(3) * a, numbers(*elements, "O", "O", "O"), frac)


NACL, CAO = rocksalt(5.640, "Na", "Cl"), rocksalt(4.811, "Ca", "O")
SRTIO3 = perovskite(3.905, "Sr", "Ti")
CUAU = Crystals.single(np.eye(3) * 3.1, numbers("Cu", "Au"), [[0, 0, 0], [0.5, 0.5, 0.5]])
PARENTS = Crystals.concatenate([NACL, CAO, SRTIO3])


def run(parents=PARENTS, **options) -> Candidates:
    generator: Generator = SubstitutionGenerator(**{"chunk": 1_000_000, **options})
    chunks = list(generator.generate(parents, seed=0))
    return chunks[0] if chunks else Candidates(Crystals.empty(), LINEAGE.empty_table())


@pytest.fixture(scope="module")
def children():
    return run()


def parent_rows(chunk, parents=PARENTS):
    position = {key: i for i, key in enumerate(parents.ids)}
    return np.array([position[key] for key in chunk.lineage["parent_id"].to_pylist()])


def test_sites_stay_and_lengths_scale(children):
    rows = parent_rows(children)
    before = PARENTS.take(rows)
    np.testing.assert_array_equal(children.crystals.n_atoms, before.n_atoms)
    np.testing.assert_array_equal(children.crystals.frac_coords, before.frac_coords)
    ratio = np.cbrt(children.crystals.volumes / before.volumes)
    np.testing.assert_allclose(
        children.crystals.lattice, before.lattice * ratio[:, None, None], atol=1e-12
    )


def test_the_space_group_stays_while_elements_stay_apart(children):
    rows = parent_rows(children)
    kinds = np.count_nonzero(children.crystals.composition, axis=1)
    apart = np.flatnonzero(kinds == np.count_nonzero(PARENTS.composition, axis=1)[rows])
    assert len(apart) > 500
    some = apart[:: len(apart) // 100]
    groups = space_groups(children.crystals.take(some))
    np.testing.assert_array_equal(groups, space_groups(PARENTS)[rows[some]])


def test_every_change_is_the_one_that_the_lineage_tells(children):
    model = SubstitutionModel.pymatgen()
    assert children.lineage.schema.equals(LINEAGE)
    assert children.lineage["id"].to_pylist() == list(children.crystals.ids)
    assert set(children.lineage["generator"].to_pylist()) == {"substitution"}
    for row, parent in enumerate(parent_rows(children).tolist()):
        if row % 20:
            continue
        probability, elements = 1.0, {}
        for change in children.lineage["change"][row].as_py().split("; "):
            old, new = change.split("→")
            probability *= model.probabilities[model.index[new], model.index[old]]
            elements[old.rstrip("+-0123456789")] = new.rstrip("+-0123456789")
        expected = PARENTS[parent].substitute(elements)
        np.testing.assert_array_equal(
            children.crystals[row].atomic_numbers, expected.atomic_numbers
        )
        assert children.lineage["score"][row].as_py() == pytest.approx(probability, rel=1e-12)
        assert probability > 1e-3


def test_likely_children_are_there(children):
    """LiCl and KCl from NaCl, BaTiO3 from SrTiO3; no parent comes back with its own elements."""
    formulas = children.crystals.reduced_formulas
    rows = parent_rows(children)
    assert {"LiCl", "KCl", "NaBr", "NaF"} <= set(formulas[rows == 0])
    assert {"MgO", "SrO", "CaS"} <= set(run(CAO).crystals.reduced_formulas)
    assert {"BaTiO3", "CaTiO3", "SrZrO3"} <= set(formulas[rows == 2])
    same = np.all(children.crystals.composition == PARENTS.composition[rows], axis=1)
    swapped = [children.lineage["change"][int(i)].as_py() for i in np.flatnonzero(same)]
    assert all(len(change.split("; ")) > 1 for change in swapped)  # exchanges, not the parent


@settings(max_examples=10)
@given(st.data())
def test_the_novelty_gate_is_exact(data):
    free = run(NACL)
    formulas = sorted(set(free.crystals.reduced_formulas))
    known = frozenset(data.draw(st.lists(st.sampled_from(formulas), unique=True)))
    gated = run(NACL, known=known)
    kept = [f not in known for f in free.crystals.reduced_formulas]
    assert list(gated.crystals.ids) == list(free.crystals.take(np.array(kept)).ids)


def test_the_gate_looks_at_the_composition_and_not_at_the_order_of_writing(children):
    gated = run(SRTIO3, known=frozenset({"O3BaTi", "Ca2Ti2O6"}))
    formulas = set(gated.crystals.reduced_formulas)
    assert not {"BaTiO3", "CaTiO3"} & formulas
    assert "SrZrO3" in formulas


@settings(max_examples=8)
@given(st.integers(1, 700))
def test_the_chunk_size_changes_nothing_but_the_chunks(children, chunk):
    chunks = list(SubstitutionGenerator(chunk=chunk).generate(PARENTS, seed=1))
    assert {len(c.crystals) for c in chunks[:-1]} <= {chunk}
    assert [i for c in chunks for i in c.crystals.ids] == list(children.crystals.ids)
    assert [row for c in chunks for row in c.lineage.to_pylist()] == children.lineage.to_pylist()


def test_parents_are_treated_one_by_one(children):
    """Without duplicates between them, parents together give what they give alone."""
    alone = [run(PARENTS[i]).crystals.ids for i in (0, 2)]
    together = run(PARENTS[[0, 2]]).crystals.ids
    assert list(together) == [i for ids in alone for i in ids]


@settings(max_examples=8)
@given(rngs)
def test_the_same_parent_written_in_another_way_adds_nothing(rng):
    options = {"elements": ("Li", "K", "Ca", "Ba", "Zr", "F", "O", "S")}
    for parent in (NACL, SRTIO3):
        again = rewritten(parent, rng)
        both = run(Crystals.concatenate([parent, again]), **options)
        assert set(both.lineage["parent_id"].to_pylist()) == {parent.ids[0]}
        assert len(run(again, **options).crystals) == len(both.crystals)


def test_two_parents_of_one_prototype_share_their_children():
    a, b = rocksalt(5.64, "Na", "Cl"), rocksalt(6.29, "K", "Cl")
    both = run(Crystals.concatenate([a, b]))
    keys = [
        (f, int(n))
        for f, n in zip(both.crystals.reduced_formulas, both.crystals.n_atoms, strict=True)
    ]
    two_kinds = np.count_nonzero(both.crystals.composition, axis=1) == 2
    kept = [k for k, two in zip(keys, two_kinds, strict=True) if two]
    assert len(set(kept)) == len(kept)
    alone = {f for p in (a, b) for f in run(p).crystals.reduced_formulas}
    assert set(both.crystals.reduced_formulas) == alone


def test_orders_of_a_half_heusler_stay_apart():
    """XYZ on 4a, 4c, 4d of F-43m: which element is between the others is a real difference."""
    sites = [[0, 0, 0], [0.5, 0.5, 0.5], [0.25, 0.25, 0.25]]
    crystal = Crystals.single(FCC * 5.9, numbers("Ti", "Sn", "Ni"), sites)
    structure = protostructure(crystal)
    elements = structure.elements  # Ti, Ni, Sn
    keys = structure.keys(elements[[[0, 1, 2], [1, 0, 2], [2, 1, 0], [0, 2, 1]]])
    assert keys[0] == keys[2]  # Ti and Sn exchanged: the same crystal
    assert len(set(keys.tolist())) == 3


def titanium_nickel_silicide(shift=0.0):
    """Pnma, three elements on three sets of sites with the same letter, 4c."""
    places = {22: (0.021, 0.180), 28: (0.142, 0.561 + shift), 14: (0.765, 0.623)}
    sites = [
        site
        for x, z in places.values()
        for site in (
            *([x, 0.25, z], [-x, 0.75, -z]),
            *([0.5 - x, 0.75, 0.5 + z], [0.5 + x, 0.25, 0.5 - z]),
        )
    ]
    return Crystals.single(np.diag([6.148, 3.669, 7.017]), np.repeat(list(places), 4), sites)


def test_elements_on_sites_of_one_letter_may_trade_places():
    """Each of the six ways is another crystal; of a second parent they are the same six."""
    parent = titanium_nickel_silicide()
    ways = np.array(list(itertools.permutations(numbers("Si", "Ti", "Ni"))))
    assert len(set(protostructure(parent).keys(ways).tolist())) == 1
    kept, keys = distinct(parent, ways)
    assert kept.all()
    assert len(set(keys.tolist())) == 6
    _, others = distinct(titanium_nickel_silicide(0.004), ways)
    assert others.tolist() == keys.tolist()
    kept, _ = distinct(NACL, np.array([[11, 17], [17, 11], [19, 17]]))
    assert kept.tolist() == [True, False, True]


def test_a_parent_without_symmetry_keeps_its_children_to_itself():
    """spglib refuses two atoms on top of each other; such a crystal equals no other."""
    sites = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0.5001]]
    broken = Crystals.single(FCC * 5.64, numbers("Ca", "F", "F"), sites)
    other = broken.scale_volume(1.1)
    assert protostructure(broken).space_group == 0
    one, both = run(broken), run(Crystals.concatenate([broken, other, broken]))
    assert len(one.crystals) > 0
    assert len(both.crystals) == 2 * len(one.crystals)


def test_only_the_elements_asked_for():
    only = run(elements=("Mg", "Ca", "Sr", "O", "S"))
    assert set(np.unique(only.crystals.atomic_numbers)) <= set(numbers("Mg", "Ca", "Sr", "O", "S"))
    assert {"MgO", "SrS"} <= set(only.crystals.reduced_formulas)


def test_excluded_elements_stay_out(children):
    out = set(numbers("Ac", "Th", "Pa", "U", "Np", "Pu", "Tc", "Pm").tolist())
    assert not out & set(np.unique(children.crystals.atomic_numbers).tolist())
    everything = run(exclude=())
    assert out & set(np.unique(everything.crystals.atomic_numbers).tolist())
    assert set(children.crystals.ids) <= set(everything.crystals.ids)


def test_charge_balance_keeps_the_neutral_ones():
    neutral = run(SRTIO3, charge_balanced=True)
    amounts = {"Sr2+": 1, "Ti4+": 1, "O2-": 3}
    for change in neutral.lineage["change"].to_pylist():
        new = {
            **dict.fromkeys(amounts),
            **{c.split("→")[0]: c.split("→")[1] for c in change.split("; ")},
        }
        charge = sum(n * ion_charge(new[old] or old) for old, n in amounts.items())
        assert charge == 0, change
    free = run(SRTIO3)
    assert 0 < len(neutral.crystals) < len(free.crystals)


def test_charge_balanced_hautier_equals_pymatgen():
    from pymatgen.core import Composition
    from pymatgen.core.structure_prediction.substitutor import Substitutor

    rows = Substitutor(threshold=1e-3).pred_from_comp(Composition({"Sr2+": 1, "Ti4+": 1, "O2-": 3}))
    theirs = {tuple(str(ion.element) for ion in row["substitutions"].values()) for row in rows}
    ours = run(
        SRTIO3,
        model=SubstitutionModel.pymatgen("hautier"),
        charge_balanced=True,
        exclude=(),
    )
    found = {tuple(SYMBOLS[z] for z in c.atomic_numbers[:3].tolist()) for c in ours.crystals}
    assert found == theirs - {("Sr", "Ti", "O")}


def test_parents_without_ions_are_listed_with_the_reason():
    gold = Crystals.single(FCC * 4.08, numbers("Au"), [[0, 0, 0]])
    hydride = rocksalt(4.08, "Li", "H")
    parents = Crystals.concatenate([NACL, CUAU, gold, hydride])
    table = SubstitutionGenerator().skipped(parents)
    reasons = dict(zip(table["id"].to_pylist(), table["reason"].to_pylist(), strict=True))
    assert set(reasons) == set(parents.ids[1:])
    assert "balance" in reasons[CUAU.ids[0]]
    assert "element" in reasons[gold.ids[0]]
    assert reasons[hydride.ids[0]] == "the model has no H-"
    assert set(run(parents).lineage["parent_id"].to_pylist()) == {NACL.ids[0]}


def test_nothing_comes_of_nothing():
    assert len(run(Crystals.empty()).crystals) == 0
    assert len(run(CUAU).crystals) == 0
    assert len(run(elements=("Xe",), known=frozenset({"NaCl"})).crystals) == 0
    everything = frozenset(run(NACL).crystals.reduced_formulas)
    assert len(run(NACL, known=everything).crystals) == 0


def test_volumes_follow_the_radii_of_rock_salts():
    """Every ordered pair: 5 % in length in the mean, and better than keeping the parent's cell."""
    names = list(ROCKSALT)
    elements = [
        numbers(n[:2] if n[1].islower() else n[0], n[2:] if n[1].islower() else n[1:])
        for n in names
    ]
    cells = np.array([ROCKSALT[n] for n in names])
    errors, unchanged = [], []
    for i, own in enumerate(elements):
        ratio = length_ratio(own, np.array(elements), np.ones(2, np.int64))
        errors += np.abs(np.log(cells[i] * ratio / cells)).tolist()
        unchanged += np.abs(np.log(cells[i] / cells)).tolist()
        assert ratio[i] == 1.0
    assert np.mean(errors) < 0.05
    assert np.mean(errors) < 0.5 * np.mean(unchanged)


@pytest.mark.slow
def test_volumes_of_relaxed_compounds(shared_data):
    """Pairs of relaxed compounds of one protostructure whose ions replace each other."""
    columns = ["lattice", "atomic_numbers", "frac_coords", "formula_hash"]
    table = pq.read_table(shared_data / "materials_project/structures.parquet", columns=columns)
    small = pc.less_equal(pc.list_value_length(table["atomic_numbers"]), 10)
    table = table.filter(pc.and_(small, pc.less(table["formula_hash"], 75)))
    chosen = np.random.default_rng(1).choice(len(table), 4000, replace=False)
    crystals = from_arrow(table.take(np.sort(chosen)).drop_columns("formula_hash"))
    generator, model = SubstitutionGenerator(), SubstitutionModel.pymatgen()
    crystals = crystals.take(~np.isin(crystals.ids, generator.skipped(crystals)["id"].to_pylist()))
    parts = [protostructure(crystal) for crystal in crystals]
    of_key = {int(p.keys(p.elements[None])[0]): i for i, p in enumerate(parts)}
    ratios = []
    for i, parent in enumerate(parts):
        amounts = crystals.composition[i][parent.elements]
        reduced = (amounts // np.gcd.reduce(amounts)).tolist()
        states = oxidation_states(tuple(zip(parent.elements.tolist(), reduced, strict=True)))
        ions = [
            ion_name(f"{SYMBOLS[z]}{abs(q)}{'+' if q > 0 else '-'}")
            for z, q in zip(parent.elements.tolist(), states, strict=True)
        ]
        children = model.atomic_numbers[model.replacements(ions).ions]
        predicted = crystals.volumes[i] / crystals.n_atoms[i]
        predicted = predicted * length_ratio(parent.elements, children, amounts) ** 3
        for key, volume in set(zip(parent.keys(children).tolist(), predicted, strict=True)):
            j = of_key.get(key, i)
            if j != i:
                relaxed = crystals.volumes[j] / crystals.n_atoms[j]
                kept = crystals.volumes[i] / crystals.n_atoms[i]
                ratios.append((abs(np.log(volume / relaxed)), abs(np.log(kept / relaxed))))
    errors, unchanged = np.array(ratios).T
    assert len(errors) > 2000
    assert np.median(errors) < 0.065
    assert np.mean(errors) < 0.7 * np.mean(unchanged)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 0.0}, "must be positive"),
        ({"chunk": 0}, "must be positive"),
        ({"elements": ("Xy",)}, "unknown element 'Xy'"),
        ({"known": frozenset({"NaCl", "no formula"})}, "not a chemical formula"),
        ({"known": frozenset({"Na0.5Cl"})}, "fractional"),
    ],
)
def test_a_wrong_argument_says_what_is_wrong(options, message):
    with pytest.raises(ValueError, match=message):
        SubstitutionGenerator(**options)


@pytest.mark.parametrize(
    ("counts", "states"),
    [
        ({"Na": 1, "Cl": 1}, (1, -1)),
        ({"Fe": 2, "O": 3}, (3, -2)),
        ({"Li": 1, "Fe": 1, "P": 1, "O": 4}, (1, 2, 5, -2)),
        ({"Sr": 1, "Ti": 1, "O": 3}, (2, 4, -2)),
        ({"Fe": 3, "O": 4}, None),  # mixed valence
        ({"Cu": 1, "Au": 1}, None),
        ({"Si": 1}, None),
    ],
)
def test_oxidation_states_are_those_of_the_textbook(counts, states):
    assert oxidation_states(tuple((atomic_number(s), n) for s, n in counts.items())) == states


@pytest.mark.parametrize("formula", ["CaTiO3", "K2SO4", "LiMnPO4", "MgAl2O4", "ZnS", "Cs2AgBiBr6"])
def test_oxidation_states_equal_pymatgens_where_it_finds_whole_numbers(formula):
    from pymatgen.core import Composition

    composition = Composition(formula)
    theirs = composition.oxi_state_guesses()[0]
    counts = tuple((atomic_number(str(e)), int(n)) for e, n in composition.items())
    assert oxidation_states(counts) == tuple(int(theirs[str(e)]) for e in composition)
