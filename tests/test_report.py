"""The report: its numbers, its words, its page and its files, on Au-Cu phases computed with EMT."""

import csv
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.chemistry.reactions import balanced
from gnomon.crystals import Crystals
from gnomon.discover import Campaign, flags
from gnomon.discover.propose import structure_table
from gnomon.discover.rates import HitRate, comparison, wilson
from gnomon.discover.shares import shares
from gnomon.evaluate.measured import LevelError
from gnomon.generate.prototypes.occurrence import Occurrence
from gnomon.hull.phases import ON_HULL
from gnomon.hull.plot import formula_html, tie_lines
from gnomon.report import build
from gnomon.report.build import build_report
from gnomon.report.files import doubts_table, phases_table, stable_table, write_report
from gnomon.report.novelty import novelties
from gnomon.report.page import render_html
from gnomon.run.store import SCHEMAS, Store
from gnomon.run.writing import StoreError, write_json
from tests.test_discover import few  # noqa: F401
from tests.test_levels import Better
from tests.test_levels import run as run_levels

HOSTILE = "<script>alert('x')</script>"
"""A text that must never reach the page as markup."""

SCHEME = "ASE EMT"


# --- a small campaign: fcc-like phases of Au, Cu and Ni, energies from ASE's EMT ------------------


def fcc(*symbols: str) -> Crystals:
    """A phase on the four sites of the conventional fcc cell, lattice constants averaged."""
    from ase.data import atomic_numbers

    a = np.mean([{"Au": 4.06, "Cu": 3.59, "Ni": 3.48}[s] for s in symbols])
    sites = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
    return Crystals.single(np.eye(3) * a, [atomic_numbers[s] for s in symbols], sites)


def with_lowest_emt_volume(crystal: Crystals) -> tuple[Crystals, float]:
    """The crystal at the volume of lowest EMT energy, and that energy in eV/atom."""
    from ase import Atoms
    from ase.calculators.emt import EMT
    from scipy.optimize import minimize_scalar

    lattice, numbers, frac = crystal.arrays(0)

    def energy(scale: float) -> float:
        atoms = Atoms(numbers, cell=lattice * scale, scaled_positions=frac, pbc=True)
        atoms.calc = EMT()
        return float(atoms.get_potential_energy()) / len(atoms)

    best = minimize_scalar(energy, bounds=(0.94, 1.06), method="bounded", options={"xatol": 1e-6})
    return crystal.with_lattice(crystal.lattice * best.x), float(best.fun)


PROTOTYPES: dict[str, tuple[str, ...]] = {
    "AFLOW A1 A_cF4_225_a: A=Au": ("Au", "Au", "Au", "Au"),
    "AFLOW A1 A_cF4_225_a: A=Cu": ("Cu", "Cu", "Cu", "Cu"),
    "AFLOW L1_2 A3B_cP4_221_a_c: A=Cu, B=Au": ("Au", "Cu", "Cu", "Cu"),
    "AFLOW L1_2 A3B_cP4_221_a_c: A=Au, B=Cu": ("Cu", "Au", "Au", "Au"),
    "AFLOW L1_0 AB_tP2_123_a_d: A=Cu, B=Au": ("Cu", "Cu", "Au", "Au"),
}
NICKEL: dict[str, tuple[str, ...]] = {
    "AFLOW A1 A_cF4_225_a: A=Ni": ("Ni", "Ni", "Ni", "Ni"),
    "Au→Ni": ("Cu", "Cu", "Ni", "Ni"),
    "AFLOW L1_2 A3B_cP4_221_a_c: A=Ni, B=Au": ("Au", "Ni", "Ni", "Ni"),
    "AFLOW L1_2 A3B_cP4_221_a_c: A=Cu, B=Ni": ("Ni", "Cu", "Cu", "Cu"),
    "Cu→Ni on one of two sites": ("Au", "Au", "Cu", "Ni"),
}


Rows = list[dict[str, Any]]
Tables = dict[str, Rows]
"""Rows of each table of a campaign."""


def campaign(prototypes: Mapping[str, tuple[str, ...]]) -> Tables:
    """A finished campaign of one round: all prototypes evaluated, and one that exploded."""
    made = Crystals.concatenate([fcc(*symbols) for symbols in prototypes.values()])
    relaxed = [with_lowest_emt_volume(crystal) for crystal in made]
    failed = fcc("Au", "Cu", "Au", "Au").scale_volume(0.2)
    candidates = Crystals.concatenate([made, failed])
    first = np.count_nonzero(candidates.composition, axis=1) == 1
    rounds = np.where(first, 0, 1).tolist()
    ids, n = candidates.ids.tolist(), len(candidates)
    crystals = structure_table(candidates).to_pylist()
    chosen = [key for key, number in zip(ids, rounds, strict=True) if number]
    return {
        "crystals": [
            {**row, "canonical_id": row["id"], "round": number}
            for row, number in zip(crystals, rounds, strict=True)
        ],
        "lineage": [
            {"id": key, "generator": "prototypes", "change": change, "round": number}
            for key, change, number in zip(ids, [*prototypes, HOSTILE], rounds, strict=True)
        ],
        "screening": [
            {"id": key, "kept": True, "reason": "", "selection": how, "round": 1}
            for key, how in zip(chosen, ["ranked"] * (len(chosen) - 1) + ["random"], strict=True)
        ]
        + [
            {"id": f"rejected-{i}", "kept": False, "reason": reason, "round": 1}
            for i, reason in enumerate(["atoms closer than 0.5 Å", HOSTILE])
        ],
        "evaluations": [
            evaluation(key, crystal, energy, number)
            for key, (crystal, energy), number in zip(ids, relaxed, rounds, strict=False)
        ]
        + [
            {
                "id": ids[n - 1],
                "status": "exploded",
                "message": HOSTILE,
                "scheme": SCHEME,
                "steps": 12,
                "round": 1,
            }
        ],
    }


def evaluation(key: str, relaxed: Crystals, energy: float, number: int) -> dict[str, Any]:
    """The row of a converged evaluation."""
    (row,) = structure_table(relaxed).to_pylist()
    return {
        **row,
        "id": key,
        "relaxed_id": row["id"],
        "status": "converged",
        "message": "",
        "energy_per_atom": energy,
        "scheme": SCHEME,
        "steps": 12,
        "fmax": 0.001,
        "seconds": 0.5,
        "round": number,
    }


def written(folder: Path, tables: Tables, system: str = "Au-Cu") -> Campaign:
    """The campaign of these rows, as a folder."""
    store = Store(folder)
    for name, rows in tables.items():
        for number in sorted({row["round"] for row in rows}):
            of_round = [row for row in rows if row["round"] == number]
            table = pa.Table.from_pylist(of_round, schema=SCHEMAS[name])
            store.append(name, number, table.drop_columns("round"))
    facts = {"model": "none: ranked without a network", "n_labels": 0, "message": "", "ending": ""}
    store.finish(1, "screen", facts)
    provenance = {
        "system": system,
        "scheme": SCHEME,
        "versions": {"gnomon": "0.1.0", "ase": "3.26"},
        "config": {"generators": ["prototypes", HOSTILE]},
    }
    store.write_facts("provenance.json", provenance)
    return Campaign(folder)


def of_formula(tables: Tables, formula: str) -> str:
    """The id of the first candidate of a formula."""
    return next(r["id"] for r in tables["crystals"] if r["reduced_formula"] == formula)


def with_twin(tables: Tables, formula: str, number: int) -> Tables:
    """Another candidate, made in some round, that relaxed to the same phase of a formula."""
    key = of_formula(tables, formula)
    same = {name: [row for row in rows if row["id"] == key] for name, rows in tables.items()}
    return {
        name: [*rows, *({**row, "id": "twin", "round": number} for row in same[name])]
        for name, rows in tables.items()
    }


def without(tables: Tables, formula: str) -> Tables:
    """The same campaign, had nobody proposed this formula."""
    key = of_formula(tables, formula)
    return {name: [row for row in rows if row["id"] != key] for name, rows in tables.items()}


@pytest.fixture(scope="module")
def binary() -> Tables:
    return campaign(PROTOTYPES)


@pytest.fixture(scope="module")
def ternary() -> Tables:
    return campaign({**PROTOTYPES, **NICKEL})


# --- statistics and reactions -------------------------------------------------------------------


@given(st.integers(0, 200), st.integers(0, 200))
def test_wilson_solves_its_defining_equation(k: int, more: int) -> None:
    """The limits p solve (p - k/n)^2 = z^2 p (1 - p) / n (Wilson 1927)."""
    n = k + more
    rate = wilson(k, n)
    assert 0 <= rate.low <= rate.high <= 1
    if n:
        z = 1.959963984540054  # of the two-sided 95 % interval
        assert rate.low <= rate.value <= rate.high
        for p in (rate.low, rate.high):
            np.testing.assert_allclose((p - k / n) ** 2, z**2 * p * (1 - p) / n, atol=1e-12)


def test_wilson_refuses_more_hits_than_trials() -> None:
    with pytest.raises(ValueError, match="4 hits in 3 trials"):
        wilson(4, 3)
    assert (wilson(0, 0).low, wilson(0, 0).high, wilson(0, 0).value) == (0, 1, None)


def test_reactions_balance_in_whole_numbers() -> None:
    """Shares of the atoms as the hull of the Materials Project gives them, with their round-off."""
    lfp = balanced("LiFePO4", {"Fe3(PO4)2": 0.6190476190476191, "Li3PO4": 0.3809523809523808})
    assert str(lfp) == "3 LiFePO4 → Fe3(PO4)2 + Li3PO4"
    assert str(balanced("Cu3Au", {"Cu": 0.75, "Au": 0.25})) == "Cu3Au → 3 Cu + Au"
    assert str(balanced("H2O", {"O2": 1 / 3, "H2": 2 / 3})) == "2 H2O → 2 H2 + O2"
    assert balanced("CuAu", {"CuAu": 1.0}) is None
    assert balanced("CuAu", {}) is None
    assert balanced("CuAu", {"Cu": 0.9, "Au": 0.1}) is None  # no balance: not a decomposition


# --- the report ---------------------------------------------------------------------------------


def test_emt_makes_cu3au_stable_and_l12_cuau3_not(binary: Tables, tmp_path: Path) -> None:
    report = build_report(written(tmp_path, binary))
    assert report.headline == "Au-Cu: 1 new stable phase, predicted by ASE EMT."
    (find,) = report.finds
    assert (find.reduced_formula, find.symmetry) == ("Cu3Au", "Pm-3m (221)")
    assert str(find.reaction) == "Cu3Au → 3 Cu + Au"
    # nothing else binds, so the distance to the rest is the formation energy
    np.testing.assert_allclose(find.distance_to_rest, find.formation_energy_per_atom, atol=1e-9)
    lowest = {phase.reduced_formula: phase for phase in report.lowest}
    assert set(lowest) == {"Au", "Cu", "CuAu", "CuAu3", "Cu3Au"}
    assert lowest["CuAu3"].e_above_hull > 0.005
    assert str(lowest["CuAu3"].reaction) == "3 CuAu3 → 8 Au + Cu3Au"
    assert [row.phase.reduced_formula for row in report.elements] == ["Au", "Cu"]
    np.testing.assert_allclose(report.elements[1].lengths, 3.59, atol=0.01)  # EMT's copper


def test_failures_count_in_the_hit_rates(binary: Tables, tmp_path: Path) -> None:
    ranked, random = build_report(written(tmp_path, binary)).hits
    assert (ranked.selection, ranked.stable.k, ranked.stable.n) == ("ranked", 1, 3)
    assert (ranked.near.k, ranked.near.n, ranked.failed) == (3, 3, 0)
    assert (random.selection, random.stable.k, random.stable.n, random.failed) == (
        "random",
        0,
        1,
        1,
    )


def test_rounds_are_summed_and_pending_candidates_are_no_misses(
    binary: Tables, tmp_path: Path
) -> None:
    row = {**binary["screening"][0], "round": 2}
    more = [{**row, "id": "waiting"}, {**row, "id": "also waiting"}]
    screening = {"screening": [*binary["screening"], *more]}
    hits = build_report(written(tmp_path, binary | screening)).hits
    assert [(h.round, h.selection) for h in hits] == [
        (1, "ranked"),
        (1, "random"),
        (2, "ranked"),
        (None, "ranked"),
        (None, "random"),
    ]
    assert (hits[2].stable.n, hits[2].pending) == (0, 2)
    assert (hits[3].stable.k, hits[3].stable.n, hits[3].pending) == (1, 3, 2)


def test_page_tables_and_commands_count_alike(binary: Tables, tmp_path: Path) -> None:
    """References are no candidates, and a candidate that repeats a find is a hit wherever."""
    found = written(tmp_path, with_twin(binary, "Cu3Au", 1))
    report, by_generator = build_report(found), shares(found)
    assert report.n_candidates == sum(share.candidates for share in by_generator) == 5
    assert report.n_evaluated == sum(share.evaluated for share in by_generator) == 5
    assert sum(hit.stable.k for hit in report.hits) == sum(s.hits.k for s in by_generator) == 2
    assert sum(hit.stable.n for hit in report.hits) == sum(s.hits.n for s in by_generator) == 5
    assert len(report.finds) == len(stable_table(report)) == by_generator[0].stable.n == 1
    assert "5 reference phases 2 " in text_of(render_html(report))


# --- the report ---------------------------------------------------------------------------------


def test_the_ranking_is_praised_only_when_the_intervals_part() -> None:
    def pair(ranked: tuple[int, int], random: tuple[int, int]) -> str:
        return comparison(
            [
                HitRate(0, name, 0, 0, wilson(*hits), wilson(*hits))
                for name, hits in (("ranked", ranked), ("random", random))
            ]
        )

    assert "more stable phases than chance" in pair((30, 40), (2, 40))
    assert "fewer stable phases than chance" in pair((2, 40), (30, 40))
    assert "a benefit of ranking is not shown" in pair((3, 4), (1, 4))
    assert "cannot be judged yet" in pair((3, 4), (0, 0))
    assert "cannot be judged yet" in comparison([])


def test_predictions_are_compared_with_what_was_evaluated(binary: Tables, tmp_path: Path) -> None:
    plain = written(tmp_path / "plain", binary)
    truth = {phase.id: phase.formation_energy_per_atom for phase in plain.phases}
    rows = [
        {
            **row,
            "predicted_formation_energy_per_atom": truth.get(row["id"], 0.0) + 0.03 * (-1) ** i,
            "predicted_e_above_hull": 0.01 * i,
        }
        for i, row in enumerate(binary["screening"])
    ]
    new = [
        {**rows[0], "id": "new", "predicted_e_above_hull": above, "round": number}
        for number, above in ((1, 0.5), (2, -0.02))
    ]
    crystals = [*binary["crystals"], {**binary["crystals"][-1], "id": "new"}]
    changed = binary | {"crystals": crystals, "screening": [*rows, *new]}
    report = build_report(written(tmp_path / "predicted", changed))
    (first,) = report.rounds
    assert first.n_compared == 3  # the candidate that exploded has no energy
    np.testing.assert_allclose(first.mean_error, 0.03, atol=1e-9)
    assert [(row.id, row.e_above_hull, row.round) for row in report.waiting] == [("new", -0.02, 2)]
    assert "the crystals are not relaxed" in text_of(render_html(report))


def test_candidates_that_relax_to_the_same_phase_are_one_find(
    binary: Tables, tmp_path: Path
) -> None:
    (find,) = written(tmp_path / "twice", with_twin(binary, "Cu3Au", 1)).finds
    assert {find.id, *find.copies} == {of_formula(binary, "Cu3Au"), "twin"}
    np.testing.assert_allclose(find.distance_to_rest, find.formation_energy_per_atom, atol=1e-9)
    repeated = written(tmp_path / "known", with_twin(binary, "Cu3Au", 0))
    report = build_report(repeated)
    assert report.finds == ()
    assert sum(hit.stable.k for hit in report.hits) == 0  # nor is it a hit
    assert {p.reduced_formula: p.known for p in report.lowest}["Cu3Au"]
    assert "on the hull, found here" not in {trace.name for trace in repeated.plot().data}


def test_lineage_is_traced_to_its_root_through_relaxed_parents(
    binary: Tables, tmp_path: Path
) -> None:
    relaxed = {row["id"]: row.get("relaxed_id") for row in binary["evaluations"]}
    child, parent = (of_formula(binary, formula) for formula in ("Cu3Au", "CuAu"))
    made = {"parent_id": relaxed[parent], "generator": "substitution", "change": "Au→Cu"}
    cycle = {"parent_id": child}  # must not hang the report
    rows = [{**row, **{child: made, parent: cycle}.get(row["id"], {})} for row in binary["lineage"]]
    (find,) = written(tmp_path, binary | {"lineage": rows}).finds
    assert [step.generator for step in find.lineage] == ["substitution", "prototypes"]
    assert find.origin == "Au→Cu"


def test_the_headline_is_honest_when_nothing_is_stable(binary: Tables, tmp_path: Path) -> None:
    report = build_report(written(tmp_path, without(binary, "Cu3Au")))
    assert report.headline.startswith(
        "Au-Cu: no new stable phase among 3 evaluated candidates, predicted by ASE EMT. "
        "The closest, CuAu, lies "
    )
    assert "No new stable phase was found" in text_of(render_html(report))


def test_only_a_higher_level_verifies(binary: Tables, tmp_path: Path) -> None:
    """What one potential says is a prediction, whatever it says."""
    found = written(tmp_path, binary)
    (find,) = found.finds
    said = {"scheme": "PBE", "finds": [{"candidate_id": find.id, "verdict": "stable"}]}
    assert (
        "confirmed at" not in text_of(render_html(build_report(found))).lower().split("stable")[0]
    )
    write_json(tmp_path / "verification" / "gpaw-1a2b" / "verification.json", said)
    report = build_report(found)
    assert report.headline == (
        "Au-Cu: 1 new stable phase, predicted by ASE EMT. Confirmed at PBE: 1 of 1."
    )
    assert stable_table(report)["confirmed_at"].to_pylist() == ["PBE"]
    said["finds"] = [{"candidate_id": find.id, "verdict": "above_hull"}]
    write_json(tmp_path / "verification" / "gpaw-1a2b" / "verification.json", said)
    report = build_report(found)
    assert report.headline.endswith("Confirmed at PBE: 0 of 1.")
    assert stable_table(report)["confirmed_at"].to_pylist() == [""]
    assert stable_table(report)["agreement"].to_pylist() == ["PBE: disagrees"]
    said["shares_labels_of"] = "a teacher of both"
    write_json(tmp_path / "verification" / "gpaw-1a2b" / "verification.json", said)
    assert build_report(found).headline.endswith("Confirmed at PBE (not independent): 0 of 1.")
    del said["shares_labels_of"]
    write_json(tmp_path / "verification" / "gpaw-1a2b" / "verification.json", said)
    assert "PBE disagrees: above hull" in text_of(render_html(report))
    once_more = {"scheme": SCHEME, "finds": [{"candidate_id": find.id, "verdict": "stable"}]}
    write_json(tmp_path / "verification" / "gpaw-1a2b" / "verification.json", once_more)
    assert build_report(found).headline == "Au-Cu: 1 new stable phase, predicted by ASE EMT."
    (tmp_path / "verification" / "gpaw-1a2b" / "verification.json").write_text("[]")
    with pytest.raises(StoreError, match="`gnomon verify` as before writes it anew"):
        build_report(found)


def test_people_see_the_system_in_the_order_in_which_they_wrote_it(
    binary: Tables, tmp_path: Path
) -> None:
    found = written(tmp_path, binary, system="Cu-Au")
    report = build_report(found)
    assert report.headline.startswith("Cu-Au: ")
    assert "Discovery in Cu-Au" in text_of(render_html(report))
    line = next(trace for trace in found.plot().data if trace.name == "hull")
    assert list(line.x) == [0, 0.25, 1]  # the fraction of gold


def test_an_empty_campaign_gives_a_page_that_says_so(binary: Tables, tmp_path: Path) -> None:
    report = build_report(written(tmp_path, {"crystals": binary["crystals"]}))
    assert report.headline == "Au-Cu: no candidate has been evaluated yet."
    assert "Nothing has been evaluated yet." in text_of(render_html(report))


def test_a_campaign_whose_evaluations_all_failed_says_so(binary: Tables, tmp_path: Path) -> None:
    done = [r for r in binary["evaluations"] if r["round"] == 0 or r["status"] == "exploded"]
    report = build_report(written(tmp_path, binary | {"evaluations": done}))
    assert report.headline == (
        "Au-Cu: no new stable phase among 1 evaluated candidate, predicted by ASE EMT. "
        "No evaluation of a candidate gave an energy."
    )
    assert "1 exploded" in text_of(render_html(report))


def test_schemes_never_mix_on_a_page(binary: Tables, tmp_path: Path) -> None:
    first, *rest = binary["evaluations"]
    mixed = written(tmp_path, binary | {"evaluations": [{**first, "scheme": "PBE"}, *rest]})
    with pytest.raises(StoreError, match="ASE EMT and PBE"):
        build_report(mixed)


def test_a_find_has_its_name_and_its_flags_in_page_and_tables(
    binary: Tables, tmp_path: Path
) -> None:
    report = build_report(written(tmp_path, binary))
    (row,) = stable_table(report).to_pylist()
    assert row["structure_type"].startswith("Cu3Au type (L1_2")
    assert row["flags"] == "known phase: Cu3Au L1_2; scarce: Au"
    assert row["probability_stable"] is None  # nobody measured the error of this level
    text = text_of(render_html(report))
    assert "The error of this level has not been measured" in text
    assert "known phase Cu3Au L1_2 scarce Au" in text
    phases = {r["id"]: r for r in phases_table(report).to_pylist()}
    assert phases[row["id"]]["flags"] == row["flags"]


def test_a_find_is_told_with_the_nearest_known_crystal(binary: Tables, tmp_path: Path) -> None:
    report = build_report(written(tmp_path, binary))
    (find,) = report.finds
    told = report.novelty[find.id]
    row = stable_table(report).to_pylist()[0]
    assert (row["novelty_by_ace"], row["nearest_known"]) == (told.distance, told.formula)
    assert row["nearest_known_from"] in ("this campaign", "prototypes-2")
    page = text_of(render_html(report))
    assert f"{told.distance:.2f}" in page
    assert "by ace; nearest known" in page
    # a known crystal is not novel in another cell; the same lattice with its atoms exchanged is
    cells = Occurrence.load().known.cells
    known = cells[int(np.flatnonzero(cells.reduced_formulas == "CuAu3")[0])]
    lattice, _, frac = known.arrays(0)
    written_otherwise = known.supercell([[1, 1, 0], [0, 1, 0], [0, 0, 2]])
    exchanged = Crystals.single(lattice, [79, 79, 29, 29], frac)
    same, different = novelties(
        report.campaign, Crystals.concatenate([written_otherwise, exchanged])
    )
    assert same is not None
    assert different is not None
    assert (same.formula, same.source) == ("CuAu3", "prototypes-2")
    assert same.distance < 1e-3
    assert different.distance > 0.1


def test_nothing_is_novel_where_nothing_is_known(binary: Tables, tmp_path: Path) -> None:
    found = written(tmp_path, {**binary, "evaluations": []})
    assert novelties(found, fcc("Au", "Cu", "Cu", "Cu")) == [None]


def test_error_and_probability_are_the_same_wherever_they_stand(
    binary: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = LevelError(
        scheme=SCHEME, rows=400, stable=60, f1=0.78, mean_absolute_error=0.041, bias=-0.02,
        source="by hand",
    )  # fmt: skip
    for room in (flags, build):
        monkeypatch.setattr(room, "measured", {SCHEME: error}.get)
    report = build_report(written(tmp_path, binary))
    (find,) = report.finds
    (row,) = stable_table(report).to_pylist()
    assert row["probability_stable"] == error.probability_stable(find.distance_to_rest)
    assert row["error_of_the_level"] == 0.041
    assert "within the error of the level: 41 meV/atom" in row["flags"]
    text = text_of(render_html(report))
    assert "errs by 41 meV/atom in the distance to the hull (bias −20.0; F1 0.78 on 400" in text
    assert f"{1000 * find.distance_to_rest:.1f} ± 41".replace("-", "−") in text
    assert f"{100 * row['probability_stable']:.0f} %" in text
    # a phase above the hull has the probability of its distance, and never more than a find
    others = [report.about[p.id] for p in report.near if p.e_above_hull > ON_HULL]
    assert others
    assert all(other.probability < row["probability_stable"] for other in others)


@pytest.mark.usefixtures("few")
def test_levels_stand_on_the_page_as_they_are_told(tmp_path: Path) -> None:
    run_levels(tmp_path, Better("better"), budget__rounds=1)
    found = Campaign(tmp_path)
    report = build_report(found)
    assert found.finds
    assert "new stable phase" in report.headline
    assert report.headline.endswith("screened by fast and confirmed at better.")
    assert report.told[0] == "fast screens; better decides"
    (closure,) = found.closures
    assert report.told[1] == f"better: {closure}"
    text = text_of(render_html(report))
    for line in (report.headline, *report.told, str(closure)):
        assert line in text
    assert "Above the hull of fast" in text
    assert "Above the hull of better" in text
    assert f"screens fast {len(found.level(0).evaluations)} " in text
    assert f"decides better {len(found.level(1).evaluations)} " in text
    once_more = {"candidate_id": found.finds[0].id, "verdict": "stable"}
    file = tmp_path / "verification" / "fast-1a2b" / "verification.json"
    write_json(file, {"scheme": "fast", "finds": [once_more]})
    assert build_report(found).headline == report.headline
    by_generator = shares(found)
    assert report.n_candidates == sum(share.candidates for share in by_generator)
    assert report.n_evaluated == sum(share.evaluated for share in by_generator)
    whole = [hit for hit in report.hits if hit.round == 1]
    assert sum(hit.stable.k for hit in whole) == sum(share.hits.k for share in by_generator)
    assert sum(hit.stable.n for hit in whole) == sum(share.hits.n for share in by_generator)
    assert len(report.finds) == by_generator[0].stable.n
    for row, find in zip(stable_table(report).to_pylist(), found.finds, strict=True):
        below, own = row["e_above_hull_at_each_level"].split("; ")
        assert below.startswith("fast: ")
        assert own == f"better: {find.e_above_hull:.4f}"


DOUBTFUL = """data_x
_cell_length_a 5.6
_cell_length_b 5.6
_cell_length_c 5.6
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
loop_
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Al1 0 0 0
Ni1 0.5 0.5 0.5
"""
"""No symmetry is stated."""


@pytest.mark.usefixtures("few")
def test_what_a_reader_doubts_about_a_known_crystal_reaches_the_page(tmp_path: Path) -> None:
    (tmp_path / "known.cif").write_text(DOUBTFUL)
    (tmp_path / "none.cif").write_text("data_y\n_cell_length_a 5.6\n")
    files = [str(tmp_path / "known.cif"), str(tmp_path / "none.cif")]
    run_levels(tmp_path / "campaign", budget__rounds=1, generate__known=files)
    found = Campaign(tmp_path / "campaign")
    taken, left = found.doubts
    assert "no symmetry is stated" in taken.text
    assert taken.id in found.crystals["id"].to_pylist()
    assert (left.id, left.text[:8]) == ("", "left out")
    report = build_report(found)
    page = text_of(render_html(report))
    assert "no symmetry is stated" in page
    assert left.text in page
    rows = {row["id"]: row for row in phases_table(report).to_pylist()}
    assert rows[taken.id]["doubts"] == taken.text
    assert doubts_table(report)["source"].to_pylist() == [taken.source, left.source]


def test_doubts_about_what_was_given_follow_it_to_the_finds(binary: Tables, tmp_path: Path) -> None:
    found = written(tmp_path, binary)
    find, gold = of_formula(binary, "Cu3Au"), of_formula(binary, "Au")
    doubts = [
        {"id": gold, "source": "known.cif", "text": HOSTILE},
        {"id": "", "source": "odd.cif", "text": "left out: no_atoms: none"},
    ]
    found.store.finish(0, "generate", {"candidates": {}, "notes": [], "doubts": doubts})
    report = build_report(found)
    (row,) = stable_table(report).to_pylist()
    assert row["id"] == find
    assert row["flags"].endswith(f"doubtful input: known.cif: {HOSTILE} (competes)")
    page = render_html(report)
    assert "Doubts about what was given" in text_of(page)
    assert HOSTILE not in page
    assert doubts_table(report).to_pylist() == doubts
    assert {r["id"]: r["doubts"] for r in phases_table(report).to_pylist()}[gold] == HOSTILE


# --- figures and page ---------------------------------------------------------------------------


def test_binary_diagram_draws_the_hull_through_the_stable_phases(
    binary: Tables, tmp_path: Path
) -> None:
    line, new, known, above = written(tmp_path, binary).plot().data
    assert list(line.x) == [0, 0.75, 1]
    assert list(new.text) == ["Cu<sub>3</sub>Au"]
    assert list(known.x) == [0, 1]
    assert above.marker.symbol == "circle-open"
    assert all("space group" in text and "meV/atom" in text for text in above.hovertext)


def test_ternary_tie_lines_are_those_of_the_triangulation(ternary: Tables, tmp_path: Path) -> None:
    found = written(tmp_path, ternary, system="Au-Cu-Ni")
    phases, above = found.hull.phases, found.placed.e_above_hull
    pairs = {
        frozenset(phases.reduced_formulas[list(pair)])
        for pair in tie_lines(found.hull, phases, above <= ON_HULL)
    }
    edges = [("Au", "Ni"), ("Cu", "Ni"), ("Au", "Cu3Au"), ("Cu", "Cu3Au"), ("Ni", "Cu3Au")]
    assert pairs == {frozenset(edge) for edge in edges}
    assert {trace.type for trace in found.plot().data} == {"scatterternary"}


def test_larger_systems_have_tables_only(binary: Tables, tmp_path: Path) -> None:
    found = written(tmp_path, binary, system="Ag-Au-Cu-Pd")
    assert found.plot() is None
    page = render_html(build_report(found))
    assert "4 elements has no flat hull diagram" in text_of(page)
    assert "Plotly" not in page


@pytest.mark.parametrize(
    ("formula", "html"),
    [
        ("Fe3(PO4)2", "Fe<sub>3</sub>(PO<sub>4</sub>)<sub>2</sub>"),
        ("Cu", "Cu"),
        ("<b>2", "&lt;b&gt;2"),
    ],
)
def test_formulas_have_subscripts(formula: str, html: str) -> None:
    assert formula_html(formula) == html


class Page(HTMLParser):
    """Collects the text, the tags and what would be fetched; the text of scripts is left out."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: list[str] = []
        self.fetched: list[str] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.open.append(tag)
        if tag != "a":
            self.fetched += [v or "" for k, v in attrs if k in ("src", "href", "srcset", "data")]

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self.open):
            self.words.append(data)


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", " ".join(Page(page).words))


def test_the_page_needs_no_network_and_escapes_every_text(ternary: Tables, tmp_path: Path) -> None:
    page = render_html(build_report(written(tmp_path, ternary, system="Au-Cu-Ni")))
    parsed = Page(page)
    assert parsed.fetched == ["data:,"]  # an empty icon, so that browsers do not ask for one
    assert HOSTILE not in page
    assert text_of(page).count(HOSTILE) >= 3  # reason, message, configuration: as words
    assert (
        parsed.tags.count("table") == parsed.tags.count("caption") + 1
    )  # provenance has a summary
    assert parsed.tags.count("h1") == 1
    assert "@import" not in page.split("</style>")[0]
    assert "default-src 'none'" in page  # browsers refuse what a text or a library might fetch
    assert '"showSendToCloud": false' in page.replace("\n", " ")


def test_the_page_is_the_same_every_time(binary: Tables, tmp_path: Path) -> None:
    found = written(tmp_path, binary)
    again = render_html(build_report(Campaign(tmp_path)))
    assert render_html(build_report(found)) == again


# --- files --------------------------------------------------------------------------------------


def test_the_folder_holds_page_tables_and_readable_cifs(binary: Tables, tmp_path: Path) -> None:
    from pymatgen.core import Structure

    report = build_report(written(tmp_path / "campaign", binary))
    page = write_report(report, tmp_path / "report")
    assert page.read_text(encoding="utf-8") == render_html(report)
    with (tmp_path / "report" / "stable.csv").open(encoding="utf-8") as file:
        (stable,) = csv.DictReader(file)
    assert (stable["reduced_formula"], stable["space_group"]) == ("Cu3Au", "221")
    with (tmp_path / "report" / "phases.csv").open(encoding="utf-8") as file:
        phases = list(csv.DictReader(file))
    assert len(phases) == len(binary["evaluations"])
    (failed,) = [row for row in phases if row["status"] == "exploded"]
    assert (failed["reduced_formula"], failed["message"], failed["e_above_hull"]) == (
        "CuAu3",
        HOSTILE,
        "",
    )
    links = re.findall(r'href="(cifs/[^"]+)"', page.read_text(encoding="utf-8"))
    assert len(set(links)) == 5
    for link in links:
        assert Structure.from_file(tmp_path / "report" / link).composition.reduced_formula in link
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "campaign",
        "report",
    ]


def test_an_old_report_is_replaced_and_anything_else_refused(
    binary: Tables, ternary: Tables, tmp_path: Path
) -> None:
    folder = tmp_path / "report"
    old = build_report(written(tmp_path / "old", ternary, system="Au-Cu-Ni"))
    new = build_report(written(tmp_path / "new", binary))
    write_report(old, folder)
    page = write_report(new, folder)
    assert "Au-Cu-Ni" not in text_of(page.read_text(encoding="utf-8"))
    precious = tmp_path / "thesis"
    precious.mkdir()
    (precious / "chapter.tex").touch()
    with pytest.raises(ValueError, match="not empty and not a report"):
        write_report(new, precious)
    assert (precious / "chapter.tex").exists()
