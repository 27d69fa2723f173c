"""The explorer's index and searches: what a look at every row gives, and nothing stale."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ase.build import bulk
from hypothesis import given
from hypothesis import strategies as st

from gnomon.crystals import Crystals
from gnomon.elements import parse_formula
from gnomon.explore.collections import collections_of
from gnomon.explore.crystal import crystal_page
from gnomon.explore.explorer import Explorer
from gnomon.explore.hulls import hull_of
from gnomon.explore.index import Index, index_of
from gnomon.explore.panels.powder import diffractogram
from gnomon.explore.panels.shape import Subject
from gnomon.explore.query import Query, QueryError, found, matching
from gnomon.io import as_crystals, to_arrow, write
from gnomon.io.tables import column, save
from gnomon.run.store import SCHEMAS
from tests.made_campaigns import HOSTILE, written

SALTS = [
    *(bulk(f"{a}{b}", "rocksalt", a=5.6) for a in ("Na", "K", "Li") for b in ("Cl", "F")),
    *(bulk(f"{a}{b}2", "fluorite", a=5.5) for a, b in (("Ca", "F"), ("Sr", "Cl"))),
    *(bulk(a, a=4.0) for a in ("Cu", "Al")),
    bulk("CuAu", "cesiumchloride", a=3.2),
    bulk("ZnS", "zincblende", a=5.4),
]


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GNOMON_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def salts(path: Path) -> Crystals:
    """A file of crystals with energies, a number of its own, a text and a gap in both."""
    crystals = as_crystals(SALTS)
    table = to_arrow(crystals)
    n = len(crystals)
    table = table.append_column("formation_energy_per_atom", [np.linspace(-3, 0, n)])
    table = table.append_column("e_above_hull", [np.linspace(0, 0.4, n)])
    gaps = [None, *np.linspace(5, 0, n - 1).tolist()]
    table = table.append_column("band_gap", pa.chunked_array([gaps], pa.float64()))
    table = table.append_column("comment", pa.chunked_array([[None, *[HOSTILE, "=1+1"] * n][:n]]))
    pq.write_table(table, path)
    return crystals


@pytest.fixture(scope="module")
def index(tmp_path_factory) -> Index:
    path = tmp_path_factory.mktemp("salts") / "salts.parquet"
    salts(path)
    return index_of(collections_of([str(path)]))


def rows_of(index: Index, **query) -> list[int]:
    return matching(index, Query(**query)).tolist()


def formulas(index: Index, **query) -> set[str]:
    return {index.columns["reduced_formula"].at(row) for row in rows_of(index, **query)}


# --- searches -------------------------------------------------------------------------------------

symbols = st.lists(st.sampled_from(["Na", "Cl", "F", "Cu", "Ca", "Au", "O"]), max_size=2)


@given(symbols, symbols, symbols, st.sampled_from(["", "0.1"]), st.sampled_from(["", "0.3"]))
def test_a_search_is_what_a_look_at_every_row_gives(index, include, exclude, within, low, high):
    query = Query(
        include=include,
        exclude=exclude,
        within=within,
        range=[f"e_above_hull:{low}:{high}"],
        sort="-band_gap",
    )

    def wanted(row: int) -> bool:
        elements = set(parse_formula(str(index.columns["reduced_formula"].at(row))))
        above = index.columns["e_above_hull"].values[row]
        inside = not within or elements <= set(within)
        return (
            elements >= set(include)
            and not elements & set(exclude)
            and inside
            and float(low or 0) <= above <= float(high or 1)
        )

    found_rows = matching(index, query).tolist()
    assert sorted(found_rows) == [row for row in range(len(index)) if wanted(row)]
    gaps = index.columns["band_gap"].values[found_rows]
    assert (np.diff(np.nan_to_num(gaps, nan=-1)) <= 0).all()  # falling, the unknown one last


def test_pages_together_are_the_whole(index):
    query = {"sort": "reduced_formula", "limit": 5}
    pages = [found(index, Query(offset=k, **query)) for k in range(0, 20, 5)]
    assert [row for page in pages for row in page.rows] == rows_of(index, sort="reduced_formula")
    assert {page.total for page in pages} == {len(index)}


def test_stars_are_elements(index):
    assert formulas(index, formula=["*F"]) == {"NaF", "KF", "LiF"}
    assert formulas(index, formula=["ClNa"]) == formulas(index, formula=["Na2Cl2"]) == {"NaCl"}
    assert formulas(index, formula=["*2*"]) == {"CaF2", "SrCl2"}
    assert formulas(index, formula=["Ca**"]) == set(), "three elements"
    assert formulas(index, system=["*-Cl"]) == {"NaCl", "KCl", "LiCl", "SrCl2"}
    assert formulas(index, exactly=["Cu"]) == {"Cu"}
    assert formulas(index, where=["crystal_system:cubic", "n_elements:1"]) == {"Cu", "Al"}
    assert formulas(index, where=["reduced_formula:NaCl", "reduced_formula:NaF"]) == {"NaCl", "NaF"}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"include": ["Xx"]}, "unknown element 'Xx'"),
        ({"formula": ["Na+Cl"]}, "'Na\\+Cl' is no formula"),
        ({"range": ["gap:0:1"]}, "no column 'gap': there are id,"),
        ({"range": ["band_gap:zero:"]}, "band_gap: 'zero' is no number"),
        ({"range": ["band_gap:nan:"]}, "is no number"),
        ({"range": ["comment:0:1"]}, "write where=comment:VALUE"),
        ({"where": ["comment"]}, "write where=COLUMN:VALUE"),
        ({"sort": "gap"}, "no column 'gap'"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(index, wrong, said):
    with pytest.raises(QueryError, match=said):
        found(index, Query(**wrong))


@pytest.mark.parametrize("pairs", [[("colour", "red")], [("limit", "-1")], [("limit", "x")]])
def test_an_address_that_makes_no_sense_is_refused(pairs):
    with pytest.raises(QueryError, match=pairs[0][0]):
        Query.of(pairs)


@given(st.lists(st.tuples(st.sampled_from(sorted(Query.model_fields)), st.text(max_size=30))))
def test_any_address_is_answered_or_refused(index, pairs):
    try:
        page = found(index, Query.of(pairs))
    except QueryError:
        return
    assert 0 <= len(page.rows) <= page.total <= len(index)


# --- the index ------------------------------------------------------------------------------------


def test_what_a_file_says_of_its_crystals_can_be_searched(index):
    assert index.columns["band_gap"].range == (0.0, 5.0)
    assert index.columns["comment"].words == (HOSTILE, "=1+1")
    assert formulas(index, where=["prototype:AB_cF8_225_a_b"], include=["K"]) == {"KCl", "KF"}


def test_an_index_is_kept_and_made_anew_when_a_file_changes(tmp_path):
    path = tmp_path / "some.extxyz"
    write(path, as_crystals(SALTS[:3]))
    given = collections_of([str(path)])
    first = index_of(given)
    assert index_of(given, before=first) is first
    kept = given[0].index_path
    before = kept.stat().st_mtime_ns
    assert index_of(given).columns.keys() == first.columns.keys()
    assert kept.stat().st_mtime_ns == before, "made anew without a reason"
    write(path, as_crystals(SALTS[:5]), overwrite=True)
    assert not first.fresh
    assert len(index_of(given, before=first)) == 5
    kept.write_bytes(kept.read_bytes()[:200])
    assert len(index_of(given)) == 5, "a damaged index is made anew"


def test_a_crystal_that_comes_twice_has_two_ids(tmp_path):
    for name in "ab":
        write(tmp_path / f"{name}.extxyz", as_crystals(SALTS[:2]))
    both = index_of(collections_of([str(tmp_path / "a.extxyz"), str(tmp_path / "b.extxyz")]))
    assert len(both.row_of) == len(both) == 4
    assert both.columns["source"].words == ("a.extxyz", "b.extxyz")


# --- campaigns ------------------------------------------------------------------------------------


def test_a_campaign_is_explored_as_its_report_has_it(binary, tmp_path):
    campaign = written(tmp_path / "campaign-Au-Cu", binary)
    [find] = campaign.finds
    recipes = {"id": [find.relaxed_id], "precursors": ["Cu + Au"], "temperature": [900.0]}
    recipes["made"] = [True]
    fields = [column("id", pa.string(), "of the crystal"), column("precursors", pa.string(), "x")]
    fields.append(column("temperature", pa.float64(), "of the furnace", unit="°C"))
    fields.append(column("made", pa.bool_(), "in a laboratory"))
    save(tmp_path / "campaign-Au-Cu", "recipes", pa.table(recipes, pa.schema(fields)))
    index = index_of(collections_of([str(tmp_path / "campaign-Au-Cu")]))
    assert len(index) == len(campaign.crystals)
    assert index.columns["source"].words == ("Au-Cu",)
    [row] = rows_of(index, where=["status:new stable phase"])
    page = crystal_page(index, row)
    assert page["facts"]["id"] == find.id
    assert page["facts"]["e_above_hull"] == find.e_above_hull
    assert page["symmetry"]["symbol"] == "Pm-3m"
    panels = {panel["title"]: panel for panel in page["panels"]}
    assert [row[1] for row in panels["Wyckoff positions"]["rows"]] == ["1a", "3c"]
    assert panels["What it competes with"]["about"] == "Cu3Au → 3 Cu + Au"
    assert {row[0]["text"] for row in panels["What it competes with"]["rows"]} == {"Cu", "Au"}
    assert panels["Lineage"]["steps"][-1]["made"].startswith("prototypes")
    assert "--map" in panels["Similar crystals"]["text"][0], "how they come to be known"
    assert panels["Recipes"]["rows"] == [["Cu + Au", 900.0, "yes"]]
    assert [row[0] for row in panels["Bond lengths"]["rows"]] == ["Cu–Au", "Cu–Cu"]
    [failed] = rows_of(index, where=["status:exploded"])
    assert index.detail(failed)["screening"]["failed"][0]["message"] == HOSTILE
    hull = hull_of(index, "Au-Cu")
    above = {phase["id"]: phase["e_above_hull"] for phase in hull["phases"]}
    assert above == pytest.approx({p.id: p.e_above_hull for p in campaign.phases}, abs=1e-9)


def test_a_campaign_that_goes_on_is_seen(binary, tmp_path):
    last = binary["evaluations"][-2]["id"]
    waiting = [row for row in binary["evaluations"] if row["id"] == last]
    rest = [row for row in binary["evaluations"] if row["id"] != last]
    campaign = written(tmp_path / "c", {**binary, "evaluations": rest})
    explorer = Explorer(collections_of([str(tmp_path / "c")]))
    assert index_status(explorer, last) == "proposed"
    shard = pa.Table.from_pylist(waiting, schema=SCHEMAS["evaluations"]).drop_columns("round")
    campaign.store.append("evaluations", 1, shard)
    explorer._next = 0.0
    explorer.look()
    assert index_status(explorer, last) in ("on the hull", "above the hull")
    assert explorer.trouble == ""
    assert explorer.campaign("c")["counts"]["n_evaluated"] == len(binary["evaluations"]) - 2


def test_a_diffractogram_has_the_lines_of_copper(index):
    """The measured pattern of copper (a = 3.615 Å): 43.3, 50.4, 74.1, 89.9 degrees, 111 first."""
    copper = Crystals.single(np.eye(3) * 3.615, [29] * 4, [[0, 0, 0], *(0.5 * (1 - np.eye(3)))])
    subject = Subject(index, 0, {})
    subject.__dict__["crystal"] = copper
    [panel] = diffractogram(subject)
    assert [at for at, _ in panel.peaks] == pytest.approx([43.3, 50.4, 74.1, 89.9], abs=0.1)
    assert [row[0] for row in panel.rows][:2] == ["1 1 1", "2 0 0"]
    assert panel.rows[0][2] == pytest.approx(3.615 / np.sqrt(3))


def test_a_campaign_from_before_there_were_manifests_is_explored(binary, tmp_path):
    written(tmp_path / "c", binary)
    (tmp_path / "c" / "manifest.jsonl").unlink()
    assert len(index_of(collections_of([str(tmp_path / "c")])))


def index_status(explorer: Explorer, key: str) -> object:
    return explorer.index.columns["status"].at(explorer.index.row_of[key])


def test_hulls_of_files_stand_on_elements_at_zero(index):
    hull = hull_of(index, "Cl-Na")
    salt, *elements = hull["phases"]
    assert [(one["id"], one["reduced_formula"]) for one in elements] == [
        (None, "Cl2"),
        (None, "Na"),
    ]
    assert {tuple(sorted(edge)) for edge in hull["edges"]} == {(0, 1), (0, 2)}
    assert (salt["reduced_formula"], salt["e_above_hull"]) == ("NaCl", 0)
    with pytest.raises(QueryError, match="no phase of Fe-O"):
        hull_of(index, "Fe-O")
    with pytest.raises(QueryError, match="2 to 4 elements"):
        hull_of(index, "Fe")
