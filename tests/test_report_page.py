"""The page of a report and its files: figures, escaping, tables, CIFs."""

import csv
import re
from pathlib import Path

import pytest

from gnomon.discover import Campaign
from gnomon.hull.phases import ON_HULL
from gnomon.hull.plot import formula_html, tie_lines
from gnomon.report.build import build_report
from gnomon.report.files import write_report
from gnomon.report.page import render_html
from tests.made_campaigns import HOSTILE, Page, Tables, text_of, written

# --- figures and page -----------------------------------------------------------------------------


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


# --- files ----------------------------------------------------------------------------------------


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
