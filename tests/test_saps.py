"""Partial substitution: complete, without repeats, the same for everyone."""

import itertools

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings

from gnomon.chemistry.oxidation import ions
from gnomon.crystals import Crystals
from gnomon.elements import atomic_number
from gnomon.generate import LINEAGE, Candidates, Generator
from gnomon.generate.saps.generator import SapsGenerator
from gnomon.generate.substitution.model import SubstitutionModel
from gnomon.generate.substitution.tables import learned_model
from gnomon.io import from_arrow, to_pymatgen
from gnomon.run.pool import Lost, Pool
from gnomon.structure import symmetry
from gnomon.structure.symmetry import canonical_ids, operations, primitive, space_groups
from tests.strategies import rewritten, rngs

FCC = np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
PUBLISHED = SubstitutionModel.pymatgen()
TITANIUM = SubstitutionModel.from_pairs([("Ti4+", "Zr4+", 1.0)])  # and nothing else
METALS = SubstitutionModel.from_pairs(
    [(f"{a}0", f"{b}0", 2.0) for a, b in itertools.combinations(("Cu", "Au", "Pd", "Mg"), 2)]
)


def numbers(*symbols):
    return np.array([atomic_number(s) for s in symbols])


def perovskite(a, *elements):
    frac = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    return Crystals.single(np.eye(3) * a, numbers(*elements, "O", "O", "O"), frac)


SRTIO3 = perovskite(3.905, "Sr", "Ti")
NACL = Crystals.single(FCC * 5.64, numbers("Na", "Cl"), [[0, 0, 0], [0.5, 0.5, 0.5]])
COPPER = Crystals.single(FCC * 3.61, numbers("Cu"), [[0, 0, 0]])
RUTILE = Crystals.single(  # TiO2
    np.diag([4.594, 4.594, 2.959]),
    numbers("Ti", "Ti", "O", "O", "O", "O"),
    [
        *([0, 0, 0], [0.5, 0.5, 0.5], [0.305, 0.305, 0], [0.695, 0.695, 0]),
        *([0.195, 0.805, 0.5], [0.805, 0.195, 0.5]),
    ],
)
PARENTS = Crystals.concatenate([SRTIO3, NACL, RUTILE])


def run(parents, seed=0, **options) -> Candidates:
    generator: Generator = SapsGenerator(**{"model": PUBLISHED, "chunk": 10**6, **options})
    chunks = list(generator.generate(parents, seed=seed))
    return chunks[0] if chunks else Candidates(Crystals.empty(), LINEAGE.empty_table())


def listed(chunk):
    return sorted(
        zip(chunk.crystals.reduced_formulas, space_groups(chunk.crystals).tolist(), strict=True)
    )


def test_a_perovskite_gives_all_ordered_double_perovskites_of_ten_atoms():
    """Layers, columns and rock salt, the three orders of two cations in two cells."""
    found = run(SRTIO3, model=TITANIUM)
    double = [g for f, g in listed(found) if f == "Sr2ZrTiO6"]
    assert sorted(double) == [123, 123, 225]


def test_a_perovskite_of_tilted_octahedra_gives_its_three_orders():
    """CaTiO3 in Pnma, four Ti in the cell: layers of two kinds, and rock salt (P2_1/n)."""
    sites = [  # Liu and Liebermann, Phys. Chem. Miner. 20, 171 (1993): a b c = Pbnm
        *([-0.00676, 0.03602, 0.25], [0.00676, -0.03602, 0.75]),
        *([0.50676, 0.53602, 0.25], [0.49324, 0.46398, 0.75]),
        *([0, 0.5, 0], [0, 0.5, 0.5], [0.5, 0, 0], [0.5, 0, 0.5]),
        *([0.0714, 0.4838, 0.25], [-0.0714, -0.4838, 0.75]),
        *([0.4286, 0.9838, 0.25], [0.5714, 0.0162, 0.75]),
        *([0.7108, 0.2888, 0.0371], [-0.7108, -0.2888, 0.5371]),
        *([-0.2108, 0.7888, 0.0371], [1.2108, -0.7888, 0.5371]),
        *([-0.7108, -0.2888, -0.0371], [0.7108, 0.2888, 0.4629]),
        *([1.2108, -0.7888, -0.0371], [-0.2108, 0.7888, 0.4629]),
    ]
    kinds = numbers(*["Ca"] * 4, *["Ti"] * 4, *["O"] * 12)
    tilted = Crystals.single(np.diag([5.3829, 5.4458, 7.6453]), kinds, sites)
    assert space_groups(tilted)[0] == 62
    found = run(tilted, model=TITANIUM, max_index=1)
    double = [g for f, g in listed(found) if f == "Ca2ZrTiO6"]
    assert sorted(double) == [11, 14, 14]
    assert len([f for f, _ in listed(found) if f == "Ca4ZrTi3O12"]) == 1


def test_fcc_gives_the_orders_of_copper_and_gold():
    found = run(COPPER, model=METALS, elements=("Cu", "Au"), max_index=4)
    names = listed(found)
    assert ("Cu3Au", 221) in names  # L1_2
    assert {g for f, g in names if f == "CuAu"} >= {123, 166, 141}  # L1_0, L1_1, NbP
    assert ("CuAu3", 221) in names
    assert ("Au", 225) in names
    assert len(names) == 1 + 2 + 6 + 19  # Hart and Forcade 2008, exchanged elements told apart


def positions_moved(cell):
    """What the space group does to the sites, found here by trying all pairs of sites."""
    lattice, kinds, frac = cell.arrays(0)
    [(rotations, shifts)] = operations(cell)
    rows = set()
    for rotation, shift in zip(rotations, shifts, strict=True):
        apart = (frac @ rotation.T + shift)[:, None] - frac
        close = np.linalg.norm((apart - np.rint(apart)) @ lattice, axis=2) < 0.05
        rows.add(tuple((close & (kinds[:, None] == kinds)).argmax(axis=1).tolist()))
    return np.array(sorted(rows))


def burnside(group, sites):
    """Orbits of subsets of each size: the mean number of fixed ones, cycle by cycle."""
    total = np.zeros(len(sites) + 1, dtype=object)
    for row in group.tolist():
        left, fixed = set(sites.tolist()), np.array([1], dtype=object)
        while left:
            site, length = next(iter(left)), 0
            while site in left:
                left.remove(site)
                site, length = row[site], length + 1
            fixed = np.concatenate([fixed, [0] * length]) + np.concatenate([[0] * length, fixed])
        total += fixed
    return [int(t) // len(group) for t in total]


def xenon_for_everything(parents):
    """A model in which any ion of these gives way to Xe+ and to nothing else."""
    species = ("Xe+", *sorted({ion for counts in parents.reduced_counts for ion in ions(counts)}))
    weights = np.zeros((len(species),) * 2)
    weights[0] = weights[:, 0] = 50.0
    return SubstitutionModel(species, weights)


def check_counts(parents, most):
    """In primitive cells, candidates of every ion and size are as many as orbits, or the cap."""
    checked = 0
    model, xenon = xenon_for_everything(parents), atomic_number("Xe")
    for parent in parents:
        cell = primitive(parent)
        group = positions_moved(cell)
        options = {"max_index": 1, "most": most, "exclude": (), "others": 0}
        found = run(parent, model=model, **options).crystals.composition
        for z in np.unique(cell.atomic_numbers).tolist():
            sites = np.flatnonzero(cell.atomic_numbers == z)
            lost = len(sites) - found[:, z]
            for size, count in list(enumerate(burnside(group, sites)))[1:]:
                assert ((lost == size) & (found[:, xenon] == size)).sum() == min(count, most)
                checked += 1
    return checked


def test_candidates_are_as_many_as_burnside_says():
    assert check_counts(PARENTS, most=100) == 5 + 2 + 6


def test_candidates_of_fifty_real_crystals_are_as_many_as_burnside_says(shared_data):
    columns = ["lattice", "atomic_numbers", "frac_coords"]
    table = pq.read_table(shared_data / "materials_project/structures.parquet", columns=columns)
    crystals = from_arrow(table.take(np.arange(0, len(table), len(table) // 120)))
    small = [c for c in crystals if c.n_atoms[0] <= 24 and ions(c.reduced_counts[0])][:50]
    assert len(small) == 50
    assert check_counts(Crystals.concatenate(small), most=300) > 300


# --- laws -----------------------------------------------------------------------------------------


def test_no_two_candidates_are_equivalent():
    """Canonical cells of all, and pymatgen's matcher within each formula."""
    from pymatgen.analysis.structure_matcher import StructureMatcher

    found = run(SRTIO3, elements=("Sr", "Ti", "O")).crystals
    assert len(found) == len(set(canonical_ids(found))) > 10
    matcher = StructureMatcher(attempt_supercell=False, primitive_cell=True, scale=False)
    for formula in set(found.reduced_formulas):
        same = to_pymatgen(found[found.reduced_formulas == formula])
        assert not any(matcher.fit(a, b) for a, b in itertools.combinations(same, 2))


@pytest.mark.slow
def test_orders_that_several_perovskites_share_come_once_and_none_is_lost():
    """At one size, all six together give what each gives alone, and nothing twice."""
    sizes = {"Ca": 3.8, "Sr": 3.9, "Ba": 4.0}
    six = [perovskite(a, s, b) for s, a in sizes.items() for b in ("Ti", "Zr")]
    options = {"elements": ("Ca", "Sr", "Ba", "Ti", "Zr", "O"), "threshold": 1e-6}

    def sized(crystals):
        return canonical_ids(crystals.scale_volume(10 * crystals.n_atoms / crystals.volumes))

    together = sized(run(Crystals.concatenate(six), **options).crystals).tolist()
    alone = [sized(run(one, **options).crystals).tolist() for one in six]
    assert len(together) == len(set(together))
    assert set(together) == set(itertools.chain(*alone))
    assert len(together) < sum(map(len, alone)) / 2


def test_no_two_candidates_of_real_titanates_and_zirconates_are_one_crystal(shared_data):
    """Perovskites, Ruddlesden-Popper phases, oxides and alloys of five elements."""
    columns = ["lattice", "atomic_numbers", "frac_coords"]
    table = pq.read_table(shared_data / "materials_project/structures.parquet", columns=columns)
    crystals = from_arrow(table)
    elements = ("Sr", "Ba", "Ti", "Zr", "O")
    parents = crystals[
        np.array([set(s.split("-")) <= set(elements) for s in crystals.chemical_systems])
    ]
    found = run(parents, elements=elements, max_atoms=10, most=2).crystals
    ids = canonical_ids(found.scale_volume(10 * found.n_atoms / found.volumes))
    assert len(parents) > 50
    assert len(set(ids.tolist())) == len(ids) > 500


def test_another_crystal_of_the_same_kind_gives_nothing_more():
    """Two sets of free parameters of one prototype: near enough to be one start."""
    moved = Crystals.single(
        RUTILE.lattice[0] * 1.02,
        RUTILE.atomic_numbers,
        [
            *([0, 0, 0], [0.5, 0.5, 0.5], [0.306, 0.306, 0], [0.694, 0.694, 0]),
            *([0.194, 0.806, 0.5], [0.806, 0.194, 0.5]),
        ],
    )
    options = {"elements": ("Ti", "Zr", "O", "S"), "most": 10**6}
    both = run(Crystals.concatenate([RUTILE, moved]), **options)
    assert set(both.lineage["parent_id"].to_pylist()) == {RUTILE.ids[0]}


@settings(max_examples=5)
@given(rngs)
def test_the_cell_in_which_a_parent_is_written_changes_nothing(rng):
    """As many candidates, in the same space groups; both together give no more."""
    options = {"elements": ("Ti", "Zr", "O"), "max_index": 1}
    again = rewritten(RUTILE, rng)
    assert listed(run(again, **options)) == listed(run(RUTILE, **options))
    both = run(Crystals.concatenate([RUTILE, again]), **options)
    assert set(both.lineage["parent_id"].to_pylist()) == {RUTILE.ids[0]}


def test_a_supercell_as_parent_gives_what_its_primitive_cell_gives():
    options = {"elements": ("Na", "Cl", "K"), "max_index": 2}
    assert listed(run(NACL.supercell([1, 2, 1]), **options)) == listed(run(NACL, **options))


def test_parents_stay_as_they_are_and_each_is_treated_alone():
    before = [c.tobytes() for c in (PARENTS.lattice, PARENTS.atomic_numbers, PARENTS.frac_coords)]
    options = {"most": 2, "elements": ("Sr", "Ti", "Na", "O", "Cl", "K", "Zr")}
    together = run(PARENTS, **options)
    after = [c.tobytes() for c in (PARENTS.lattice, PARENTS.atomic_numbers, PARENTS.frac_coords)]
    assert before == after
    alone = [run(PARENTS[i], **options).crystals.ids.tolist() for i in (2, 0, 1)]
    assert together.crystals.ids.tolist() == [*alone[1], *alone[2], *alone[0]]


def test_the_seed_decides_and_the_chunk_does_not():
    options = {"most": 4, "max_index": 3, "elements": ("Sr", "Ti", "O", "S")}
    first = run(SRTIO3, **options).crystals.ids.tolist()
    assert run(SRTIO3, **options).crystals.ids.tolist() == first
    assert run(SRTIO3, seed=1, **options).crystals.ids.tolist() != first
    generator = SapsGenerator(model=PUBLISHED, chunk=7, **options)
    chunks = list(generator.generate(SRTIO3, seed=0))
    assert {len(c.crystals) for c in chunks[:-1]} == {7}
    assert [i for c in chunks for i in c.crystals.ids] == first


def test_a_cap_takes_some_of_what_there_is():
    options = {"elements": ("Sr", "Ti", "O", "S")}
    every, some = run(SRTIO3, **options), run(SRTIO3, most=2, **options)
    changes = some.lineage["change"].to_pylist()
    assert max(changes.count(change) for change in set(changes)) == 2
    assert set(canonical_ids(some.crystals)) < set(canonical_ids(every.crystals))


def test_lineage_tells_what_was_replaced():
    found = run(SRTIO3, elements=("Sr", "Ti", "Zr", "O"))
    assert found.lineage.schema.equals(LINEAGE)
    assert found.lineage["id"].to_pylist() == found.crystals.ids.tolist()
    assert set(found.lineage["parent_id"].to_pylist()) == {SRTIO3.ids[0]}
    [row] = [
        row
        for row, f, g in zip(
            found.lineage.to_pylist(),
            found.crystals.reduced_formulas,
            space_groups(found.crystals),
            strict=True,
        )
        if (f, g) == ("Sr2ZrTiO6", 225)
    ]
    assert row["change"] == "Ti4+→Zr4+ on 1 of 2 in supercell 1 0 1/0 1 1/0 0 2"
    probability = PUBLISHED.probabilities[PUBLISHED.index["Zr4+"], PUBLISHED.index["Ti4+"]]
    assert row["score"] == probability


def test_others_are_replaced_wholly_beside_the_one_that_gives_way():
    options = {"elements": ("Sr", "Ba", "Ti", "Zr", "O"), "threshold": 1e-5}
    alone, beside = (run(SRTIO3, others=n, **options) for n in (0, 1))
    assert set(alone.crystals.ids) < set(beside.crystals.ids)
    rows = {
        (f, g, c): s
        for f, g, c, s in zip(
            beside.crystals.reduced_formulas.tolist(),
            space_groups(beside.crystals).tolist(),
            beside.lineage["change"].to_pylist(),
            beside.lineage["score"].to_pylist(),
            strict=True,
        )
    }
    change = "Sr2+→Ba2+; Ti4+→Zr4+ on 1 of 2 in supercell 1 0 1/0 1 1/0 0 2"
    p, at = PUBLISHED.probabilities, PUBLISHED.index
    expected = p[at["Ba2+"], at["Sr2+"]] * p[at["Zr4+"], at["Ti4+"]]
    assert rows["Ba2ZrTiO6", 225, change] == pytest.approx(expected)
    whole = {c for f, _, c in rows if f == "BaZrO3"}  # each counted with one of its two ions
    assert whole == {"Sr2+→Ba2+; Ti4+→Zr4+ on 1 of 1", "Sr2+→Zr4+; Ti4+→Ba2+ on 1 of 1"}


def test_a_crystal_whose_species_swap_their_places_is_not_proposed_again():
    """Cu and Au of B2 CuAu may replace each other, which gives the parent."""
    parent = Crystals.single(np.eye(3) * 3.1, numbers("Cu", "Au"), [[0, 0, 0], [0.5, 0.5, 0.5]])
    found = run(parent, model=METALS, elements=("Cu", "Au"), max_index=2).crystals
    assert canonical_ids(parent)[0] not in canonical_ids(found)
    assert len(found) == len(set(canonical_ids(found)))


def test_all_sites_stay_and_lengths_follow_the_radii():
    from gnomon.elements import COVALENT_RADII

    found = run(NACL, elements=("Na", "Cl", "Cs"), max_index=1).crystals
    [caesium] = np.flatnonzero(found.reduced_formulas == "CsCl")
    _, kinds, frac = found.arrays(int(caesium))
    np.testing.assert_allclose((frac[0] - frac[1]) % 1, 0.5, atol=1e-12)
    radii = COVALENT_RADII
    ratio = radii[kinds].sum() / radii[numbers("Na", "Cl")].sum()
    # the parent's Niggli cell is its own cell, to rounding
    assert np.cbrt(found.volumes[caesium] / NACL.volumes[0]) == pytest.approx(ratio, rel=1e-12)


# --- what is let through --------------------------------------------------------------------------


def test_charge_balance_keeps_the_neutral_ones():
    free = run(SRTIO3, max_index=2, elements=("Sr", "Ti", "Zr", "La", "O"))
    neutral = run(SRTIO3, max_index=2, elements=("Sr", "Ti", "Zr", "La", "O"), charge_balanced=True)
    formulas = set(neutral.crystals.reduced_formulas)
    assert {"Sr2ZrTiO6", "SrZrO3"} <= formulas
    assert "LaTiO3" in formulas  # Ti3+ is common
    assert not {"Sr2LaTiO6", "Sr3TiO6"} & formulas
    assert formulas < set(free.crystals.reduced_formulas)


def test_charge_balance_lets_alloys_be():
    options = {"model": METALS, "charge_balanced": True, "max_index": 2}
    assert {"CuAu", "CuPd"} <= set(run(COPPER, **options).crystals.reduced_formulas)


def test_only_elements_asked_for_and_compositions_that_are_new():
    found = run(SRTIO3, elements=("Sr", "Ti", "Zr", "O"), known=frozenset({"Sr2TiZrO6"}))
    assert "Sr2ZrTiO6" not in found.crystals.reduced_formulas
    assert "SrZrO3" in found.crystals.reduced_formulas
    assert set(np.unique(found.crystals.atomic_numbers)) <= set(numbers("Sr", "Ti", "Zr", "O"))
    assert not len(run(SRTIO3, elements=("Zr", "Hf")).crystals)
    everything = run(SRTIO3, exclude=("Zr",), max_index=1)
    assert atomic_number("Zr") not in everything.crystals.atomic_numbers


def test_formulas_asked_for_and_no_others():
    wanted = frozenset({"Sr2TiZrO6", "Sr4Ti4O12", "HfSrO3"})
    found = run(SRTIO3, formulas=wanted)
    assert listed(found) == [("Sr2ZrTiO6", g) for g in (123, 123, 225)] + [("SrHfO3", 221)]
    every = run(SRTIO3)
    kept = np.isin(every.crystals.reduced_formulas, ["Sr2ZrTiO6", "SrHfO3"])
    assert found.crystals.ids.tolist() == every.crystals.ids[kept].tolist()
    assert not len(run(SRTIO3, formulas=frozenset()).crystals)


def test_an_element_that_is_left_out_goes_from_all_sites_or_the_parent_is_of_no_use():
    without = run(SRTIO3, exclude=("Ti",), max_index=2)
    assert atomic_number("Ti") not in without.crystals.atomic_numbers
    assert "SrZrO3" in without.crystals.reduced_formulas
    assert set(run(SRTIO3, elements=("Sr", "Zr", "O")).crystals.reduced_formulas) >= {"SrZrO3"}


def test_an_ion_that_the_model_lacks_is_kept_while_others_are_replaced():
    model = SubstitutionModel.from_pairs([("Ti4+", "Zr4+", 2.0), ("Sr2+", "Ba2+", 1.0)])
    found = run(SRTIO3, model=model, max_index=1, threshold=0.1)
    assert {"SrZrO3", "BaTiO3"} <= set(found.crystals.reduced_formulas)
    assert all(found.crystals.composition[:, 8] == 3)


@pytest.mark.parametrize("tolerances", [(1e-5,), symmetry.NIGGLI_TOLERANCES])
def test_a_supercell_that_spglib_cannot_reduce_ends_its_parent_and_not_the_run(
    caplog, monkeypatch, tolerances
):
    """One of its supercells goes in circles at 1e-5, and is reduced at another tolerance."""
    monkeypatch.setattr(symmetry, "NIGGLI_TOLERANCES", tolerances)
    lattice = [
        *([0.0, 0.0, -7.931115740000004], [4.923523224131089, 0.0, 6.217838107728218]),
        [-2.461761783653954, -7.490560324897268, 0.8566389910383588],
    ]
    sites = [[0, 0, 0], [0.31, 0.42, 0.37], [0.6, 0.77, 0.15]]
    parent = Crystals.single(lattice, numbers("Ti", "O", "O"), sites)
    found = run(Crystals.concatenate([parent, RUTILE]), model=TITANIUM, threshold=0.1)
    assert ("no Niggli cell" in caplog.text) == (len(tolerances) == 1)
    assert set(found.lineage["parent_id"].to_pylist()) == {parent.ids[0], RUTILE.ids[0]}


def test_parents_that_are_not_used_are_listed_with_the_reason():
    beyond = NACL.supercell([1, 1, 8]).with_atomic_numbers(
        np.where(np.arange(16) < 2, 11, 17).astype(np.uint8)
    )  # NaCl7
    touching = Crystals.single(
        FCC * 5.6, numbers("Ca", "F", "F"), [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0.5001]]
    )
    large = RUTILE.supercell([1, 1, 2]).with_atomic_numbers(
        np.array([22, 40, 22, 22, *[8] * 8], np.uint8)
    )
    parents = Crystals.concatenate([NACL, beyond, COPPER, touching, large])
    table = SapsGenerator(model=PUBLISHED, max_atoms=11).skipped(parents)
    reasons = dict(zip(table["id"].to_pylist(), table["reason"].to_pylist(), strict=True))
    assert NACL.ids[0] not in reasons
    assert "balance" in reasons[beyond.ids[0]]
    assert reasons[COPPER.ids[0]] == "the model has none of Cu0"
    assert "no primitive cell" in reasons[touching.ids[0]]
    assert reasons[large.ids[0]] == "12 atoms in the primitive cell: more than 11"
    assert not len(run(parents[[1, 2, 3]]).crystals)


def test_a_lost_worker_ends_the_run_with_the_reason(monkeypatch):
    """Whatever it made is missing: going on would give fewer candidates without a word."""
    lost = Lost("its process ended with exit code -9", timed_out=False, seconds=1.0)
    monkeypatch.setattr(Pool, "run", lambda *_, **__: iter([lost]))
    with pytest.raises(ChildProcessError, match=r"exit code -9 \(if memory was short"):
        run(SRTIO3, workers=2)


@pytest.mark.slow
def test_what_spglib_tries_in_vain_is_not_told(shared_data, capfd):
    """This parent's supercells made it print seventy lines that say nothing to a user."""
    columns = ["lattice", "atomic_numbers", "frac_coords"]
    table = pq.read_table(shared_data / "materials_project/structures.parquet", columns=columns)
    parent = from_arrow(table.slice(1980, 1))
    assert parent.reduced_formulas[0] == "MnO2"
    assert len(run(parent, model=learned_model(), elements=("Li", "Mn", "O")).crystals) > 100
    assert capfd.readouterr().err == ""


def test_nothing_comes_of_nothing():
    assert not len(run(Crystals.empty()).crystals)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 0.0}, "must be positive"),
        ({"max_index": 0}, "must be positive"),
        ({"most": 0}, "must be positive"),
        ({"workers": 0}, "workers must be positive"),
        ({"others": -1}, "from 0 on"),
        ({"max_atoms": 65}, "from 1 to 64"),
        ({"elements": ("Xy",)}, "unknown element 'Xy'"),
        ({"known": frozenset({"no formula"})}, "not a chemical formula"),
    ],
)
def test_a_wrong_argument_says_what_is_wrong(options, message):
    with pytest.raises(ValueError, match=message):
        SapsGenerator(model=PUBLISHED, **options)
