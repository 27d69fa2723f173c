"""The report: its numbers, its words, its page and its files, on Au-Cu phases computed with EMT."""

import csv
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
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
from gnomon.hull import ON_HULL, Hull, Phases, SchemeMismatch, elemental_references
from gnomon.hull import formation_energies as formation_energies_of
from gnomon.report import CampaignTables, build_report, render_html, write_report
from gnomon.report.figures import formula_html, hull_figure
from gnomon.report.inputs import COLUMNS
from gnomon.report.statistics import HitRate, comparison, wilson
from gnomon.report.tables import tie_lines
from gnomon.structure.symmetry import space_groups

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


TYPES = {
    "parent_id": pa.string(),
    "score": pa.float64(),
    "predicted_formation_energy_per_atom": pa.float64(),
    "uncertainty": pa.float64(),
    "predicted_e_above_hull": pa.float64(),
}
"""Of columns that are all null in this campaign."""


def structures(batch: Crystals) -> dict[str, list[Any]]:
    return {
        "id": batch.ids.tolist(),
        "reduced_formula": batch.reduced_formulas.tolist(),
        "chemical_system": batch.chemical_systems.tolist(),
        "n_atoms": batch.n_atoms.tolist(),
        "lattice": batch.lattice.reshape(-1, 9).tolist(),
        "atomic_numbers": [batch.arrays(i)[1].tolist() for i in range(len(batch))],
        "frac_coords": [batch.arrays(i)[2].ravel().tolist() for i in range(len(batch))],
    }


def table(name: str, columns: Mapping[str, Sequence[Any]]) -> pa.Table:
    return pa.table(
        {column: pa.array(list(columns[column]), TYPES.get(column)) for column in COLUMNS[name]}
    )


def campaign(prototypes: Mapping[str, tuple[str, ...]]) -> CampaignTables:
    """A finished campaign of one round: all prototypes evaluated, and one that exploded."""
    made = Crystals.concatenate([fcc(*symbols) for symbols in prototypes.values()])
    relaxed_one_by_one = [with_lowest_emt_volume(crystal) for crystal in made]
    relaxed = Crystals.concatenate([crystal for crystal, _ in relaxed_one_by_one])
    energies = np.array([energy for _, energy in relaxed_one_by_one])
    failed = fcc("Au", "Cu", "Au", "Au").scale_volume(0.2)
    candidates = Crystals.concatenate([made, failed])
    reference = np.count_nonzero(made.composition, axis=1) == 1
    formed = formation_energies_of(
        made.composition, energies, elemental_references(made.composition, energies)
    )
    n, m = len(made), len(candidates)
    no_element = [not flag for flag in reference] + [True]
    return CampaignTables(
        candidates=table("candidates", structures(candidates) | {"round": [0] * m}),
        lineage=table(
            "lineage",
            {
                "id": candidates.ids.tolist(),
                "parent_id": [None] * m,
                "generator": ["prototypes"] * m,
                "change": [*prototypes, HOSTILE],
                "score": [None] * m,
                "round": [0] * m,
            },
        ),
        screening=table(
            "screening",
            {
                "id": [*candidates.ids[no_element], "rejected-1", "rejected-2"],
                "round": [0] * (sum(no_element) + 2),
                "kept": [True] * sum(no_element) + [False] * 2,
                "reason": [""] * sum(no_element) + ["atoms closer than 0.5 Å", HOSTILE],
                "predicted_formation_energy_per_atom": [None] * (sum(no_element) + 2),
                "uncertainty": [None] * (sum(no_element) + 2),
                "predicted_e_above_hull": [None] * (sum(no_element) + 2),
                "selection": ["ranked"] * (sum(no_element) - 1) + ["random", None, None],
            },
        ),
        evaluations=table(
            "evaluations",
            {
                "id": candidates.ids.tolist(),
                "round": [0] * m,
                "relaxed_id": [*relaxed.ids, None],
                "status": ["converged"] * n + ["exploded"],
                "message": [""] * n + [HOSTILE],
                "energy_per_atom": [*energies.tolist(), None],
                "scheme": [SCHEME] * m,
                "steps": [12] * m,
                "fmax": [0.001] * n + [None],
                "seconds": [0.5] * m,
            },
        ),
        relaxed=table("relaxed", structures(relaxed)),
        hull=hull_table(made.ids, relaxed, formed, reference),
        rounds=table(
            "rounds",
            {
                "round": [0],
                "model": ["none: ranked without a network, 0 labels of 50 needed"],
                "n_labels": [0],
                "message": [""],
            },
        ),
        provenance={
            "versions": {"gnomon": "0.1.0", "ase": "3.26"},
            "seed": 7,
            "config": {"generators": ["prototypes", HOSTILE]},
        },
        title="Toy discovery with EMT",
    )


def hull_table(
    ids: np.ndarray, relaxed: Crystals, formed: np.ndarray, reference: np.ndarray
) -> pa.Table:
    phases = Phases(relaxed.reduced_formulas, relaxed.composition, formed, SCHEME)
    hull = Hull(phases)
    above = hull.e_above_hull(relaxed.composition, formed)
    n = len(relaxed)
    return table(
        "hull",
        {
            "id": ids.tolist(),
            "relaxed_id": relaxed.ids.tolist(),
            "reduced_formula": relaxed.reduced_formulas.tolist(),
            "chemical_system": relaxed.chemical_systems.tolist(),
            "formation_energy_per_atom": formed.tolist(),
            "e_above_hull": above.tolist(),
            "stable": (above <= ON_HULL).tolist(),
            "space_group": space_groups(relaxed).tolist(),
            "decomposition": [json.dumps(d) for d in hull.decomposition(relaxed.composition)],
            "round": [0] * n,
            "is_reference": reference.tolist(),
        },
    )


@pytest.fixture(scope="module")
def binary() -> CampaignTables:
    return campaign(PROTOTYPES)


@pytest.fixture(scope="module")
def ternary() -> CampaignTables:
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


def test_emt_makes_cu3au_stable_and_l12_cuau3_not(binary: CampaignTables) -> None:
    report = build_report(binary)
    assert report.headline == "Au-Cu: 1 new stable phase, verified at ASE EMT."
    (find,) = report.stable
    assert (find.reduced_formula, find.space_group_symbol) == ("Cu3Au", "Pm-3m")
    assert str(find.reaction) == "Cu3Au → 3 Cu + Au"
    # nothing else binds, so the distance to the rest is the formation energy
    np.testing.assert_allclose(find.distance_to_rest, find.formation_energy_per_atom, atol=1e-9)
    lowest = {phase.reduced_formula: phase for phase in report.lowest}
    assert set(lowest) == {"Au", "Cu", "CuAu", "CuAu3", "Cu3Au"}
    assert lowest["CuAu3"].e_above_hull > 0.005
    assert str(lowest["CuAu3"].reaction) == "3 CuAu3 → 8 Au + Cu3Au"
    assert [row.phase.reduced_formula for row in report.elements] == ["Au", "Cu"]
    np.testing.assert_allclose(report.elements[1].lengths, 3.59, atol=0.01)  # EMT's copper


def test_failures_count_in_the_hit_rates(binary: CampaignTables) -> None:
    ranked, random = build_report(binary).hits
    assert (ranked.selection, ranked.stable.k, ranked.stable.n) == ("ranked", 1, 3)
    assert (ranked.near.k, ranked.near.n, ranked.failed) == (3, 3, 0)
    assert (random.selection, random.stable.k, random.stable.n, random.failed) == (
        "random",
        0,
        1,
        1,
    )


def test_rounds_are_summed_and_pending_candidates_are_no_misses(binary: CampaignTables) -> None:
    rows = binary.screening.to_pylist()
    more = [{**rows[0], "id": "waiting", "round": 1}, {**rows[0], "id": "also waiting", "round": 1}]
    screening = pa.Table.from_pylist([*rows, *more], schema=binary.screening.schema)
    hits = build_report(replace(binary, screening=screening)).hits
    assert [(h.round, h.selection) for h in hits] == [
        (0, "ranked"),
        (0, "random"),
        (1, "ranked"),
        (None, "ranked"),
        (None, "random"),
    ]
    assert (hits[2].stable.n, hits[2].pending) == (0, 2)
    assert (hits[3].stable.k, hits[3].stable.n, hits[3].pending) == (1, 3, 2)


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


def test_predictions_are_compared_with_what_was_verified(binary: CampaignTables) -> None:
    truth = {row["id"]: row["formation_energy_per_atom"] for row in binary.hull.to_pylist()}
    rows = [
        {
            **row,
            "predicted_formation_energy_per_atom": truth.get(row["id"], 0.0) + 0.03 * (-1) ** i,
            "predicted_e_above_hull": 0.01 * i,
        }
        for i, row in enumerate(binary.screening.to_pylist())
    ]
    new = [
        {**rows[0], "id": "new", "predicted_e_above_hull": above, "round": number}
        for number, above in ((1, -0.02), (0, 0.5))
    ]
    screening = pa.Table.from_pylist([*rows, *new], schema=binary.screening.schema)
    report = build_report(replace(binary, screening=screening))
    (first,) = report.rounds
    assert first.n_compared == 3  # the candidate that exploded has no energy
    np.testing.assert_allclose(first.mean_error, 0.03, atol=1e-9)
    assert [(row.id, row.e_above_hull, row.round) for row in report.waiting] == [("new", -0.02, 1)]
    assert "Predicted is not verified" in text_of(render_html(report))


def test_candidates_that_relax_to_the_same_phase_are_one_find(binary: CampaignTables) -> None:
    rows = binary.hull.to_pylist()
    cu3au = next(row for row in rows if row["reduced_formula"] == "Cu3Au")
    twin = {**cu3au, "id": "twin", "formation_energy_per_atom": cu3au["formation_energy_per_atom"]}
    (find,) = build_report(with_hull(binary, [*rows, twin])).stable
    assert find.copies == 1
    np.testing.assert_allclose(find.distance_to_rest, find.formation_energy_per_atom, atol=1e-9)
    given = {**twin, "is_reference": True}
    repeated = build_report(with_hull(binary, [*rows, given]))
    assert repeated.stable == ()
    assert {p.reduced_formula: p.known for p in repeated.lowest}["Cu3Au"]
    assert "on the hull, found here" not in {trace.name for trace in hull_figure(repeated).data}


def test_lineage_is_traced_to_its_root_through_relaxed_parents(binary: CampaignTables) -> None:
    rows = binary.lineage.to_pylist()
    relaxed = {row["id"]: row["relaxed_id"] for row in binary.evaluations.to_pylist()}
    parent, child = rows[4]["id"], rows[2]["id"]
    rows[2] = {
        **rows[2],
        "parent_id": relaxed[parent],
        "generator": "substitution",
        "change": "Au→Cu",
    }
    rows[4] = {**rows[4], "parent_id": child}  # a cycle must not hang the report
    lineage = pa.Table.from_pylist(rows, schema=binary.lineage.schema)
    (find,) = build_report(replace(binary, lineage=lineage)).stable
    assert [step.generator for step in find.lineage] == ["substitution", "prototypes"]
    assert find.origin == "Au→Cu"


def test_the_headline_is_honest_when_nothing_is_stable(binary: CampaignTables) -> None:
    rows = [row for row in binary.hull.to_pylist() if row["reduced_formula"] != "Cu3Au"]
    report = build_report(with_hull(binary, rows))
    assert report.headline.startswith(
        "Au-Cu: No new stable phase was found among 4 evaluated candidates, verified at ASE EMT. "
        "The closest, CuAu, lies "
    )
    assert "No new stable phase was found" in text_of(render_html(report))


def test_an_empty_campaign_gives_a_page_that_says_so(binary: CampaignTables) -> None:
    empty = {name: getattr(binary, name).slice(0, 0) for name in COLUMNS if name != "candidates"}
    report = build_report(replace(binary, **empty))
    assert report.headline == (
        "Au-Cu: nothing has been evaluated yet, so every energy on this page is predicted."
    )
    assert "Nothing has been evaluated yet." in text_of(render_html(report))


def test_given_phases_need_no_round_no_cell_and_no_evaluation(binary: CampaignTables) -> None:
    bare = {"relaxed_id": None, "space_group": None, "round": None, "decomposition": None}
    rows = [{**r, **bare} if r["is_reference"] else r for r in binary.hull.to_pylist()]
    tables = with_hull(binary, rows)
    given = pa.array([not r["is_reference"] for r in rows] + [True])
    report = build_report(replace(tables, evaluations=tables.evaluations.filter(given)))
    assert [(row.n_atoms, row.energy_per_atom) for row in report.elements] == [(None, None)] * 2
    assert report.headline == "Au-Cu: 1 new stable phase, verified at ASE EMT."
    assert "not found" in text_of(render_html(report))  # the space group


def test_a_campaign_whose_evaluations_all_failed_says_so(binary: CampaignTables) -> None:
    failed = binary.evaluations.slice(len(binary.evaluations) - 1)
    elements = binary.hull.filter(binary.hull["is_reference"])
    report = build_report(replace(binary, evaluations=failed, hull=elements))
    assert report.headline == (
        "Au-Cu: No new stable phase was found among 1 evaluated candidate, verified at ASE EMT. "
        "No evaluation gave an energy."
    )
    assert "1 exploded" in text_of(render_html(report))


def test_schemes_never_mix_on_a_page(binary: CampaignTables) -> None:
    schemes = ["PBE", *binary.evaluations["scheme"].to_pylist()[1:]]
    column = binary.evaluations.column_names.index("scheme")
    mixed = binary.evaluations.set_column(column, "scheme", pa.array(schemes))
    with pytest.raises(SchemeMismatch, match="'ASE EMT' and 'PBE'"):
        build_report(replace(binary, evaluations=mixed))


def test_a_missing_column_is_named(binary: CampaignTables) -> None:
    with pytest.raises(ValueError, match="table hull lacks space_group: it needs"):
        replace(binary, hull=binary.hull.drop_columns("space_group"))


def with_hull(tables: CampaignTables, rows: list[dict[str, Any]]) -> CampaignTables:
    """The same campaign with these phases, placed anew on their hull by the energies given."""
    return replace(tables, hull=pa.Table.from_pylist(rows, schema=tables.hull.schema))


# --- figures and page ---------------------------------------------------------------------------


def test_binary_diagram_draws_the_hull_through_the_stable_phases(binary: CampaignTables) -> None:
    figure = hull_figure(build_report(binary))
    line, new, known, above = figure.data
    assert list(line.x) == [0, 0.75, 1]
    assert list(new.text) == ["Cu<sub>3</sub>Au"]
    assert list(known.x) == [0, 1]
    assert above.marker.symbol == "circle-open"
    assert all("space group" in text and "meV/atom" in text for text in above.hovertext)


def test_ternary_tie_lines_are_those_of_the_triangulation(ternary: CampaignTables) -> None:
    report = build_report(ternary)
    pairs = {frozenset(p.reduced_formula for p in pair) for pair in tie_lines(report.phases)}
    edges = [("Au", "Ni"), ("Cu", "Ni"), ("Au", "Cu3Au"), ("Cu", "Cu3Au"), ("Ni", "Cu3Au")]
    assert pairs == {frozenset(edge) for edge in edges}
    figure = hull_figure(report)
    assert {trace.type for trace in figure.data} == {"scatterternary"}


def test_larger_systems_have_tables_only(binary: CampaignTables) -> None:
    rows = binary.hull.to_pylist()
    elements = [
        {**rows[0], "id": s, "reduced_formula": s, "chemical_system": s, "is_reference": True}
        for s in ("Ag", "Pd")
    ]
    report = build_report(with_hull(binary, [*rows, *elements]))
    assert hull_figure(report) is None
    page = render_html(report)
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


def test_the_page_needs_no_network_and_escapes_every_text(ternary: CampaignTables) -> None:
    page = render_html(build_report(replace(ternary, title=HOSTILE)))
    parsed = Page(page)
    assert parsed.fetched == ["data:,"]  # an empty icon, so that browsers do not ask for one
    assert HOSTILE not in page
    assert text_of(page).count(HOSTILE) >= 4  # title, reason, message, configuration: as words
    assert (
        parsed.tags.count("table") == parsed.tags.count("caption") + 1
    )  # provenance has a summary
    assert parsed.tags.count("h1") == 1
    assert "@import" not in page.split("</style>")[0]
    assert "default-src 'none'" in page  # browsers refuse what a text or a library might fetch
    assert '"showSendToCloud": false' in page.replace("\n", " ")


def test_the_page_is_the_same_every_time(binary: CampaignTables) -> None:
    assert render_html(build_report(binary)) == render_html(build_report(binary))


# --- files --------------------------------------------------------------------------------------


def test_the_folder_holds_page_tables_and_readable_cifs(
    binary: CampaignTables, tmp_path: Path
) -> None:
    from pymatgen.core import Structure

    report = build_report(binary)
    page = write_report(report, tmp_path / "report")
    assert page.read_text(encoding="utf-8") == render_html(report)
    with (tmp_path / "report" / "stable.csv").open(encoding="utf-8") as file:
        (stable,) = csv.DictReader(file)
    assert (stable["reduced_formula"], stable["space_group"]) == ("Cu3Au", "221")
    with (tmp_path / "report" / "phases.csv").open(encoding="utf-8") as file:
        phases = list(csv.DictReader(file))
    assert len(phases) == len(binary.evaluations)
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
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


def test_an_old_report_is_replaced_and_anything_else_refused(
    binary: CampaignTables, ternary: CampaignTables, tmp_path: Path
) -> None:
    folder = tmp_path / "report"
    write_report(build_report(ternary), folder)
    page = write_report(build_report(binary), folder)
    assert "Au-Cu-Ni" not in text_of(page.read_text(encoding="utf-8"))
    precious = tmp_path / "thesis"
    precious.mkdir()
    (precious / "chapter.tex").touch()
    with pytest.raises(ValueError, match="not empty and not a report"):
        write_report(build_report(binary), precious)
    assert (precious / "chapter.tex").exists()
