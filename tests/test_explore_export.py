"""The static copy of the explorer: read by a browser from a plain web server, under a sub-path."""

import http.server
import re
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from gnomon.explore.collections import collections_of
from gnomon.explore.explorer import Explorer
from gnomon.explore.export import export
from gnomon.explore.query import Query, found
from gnomon.io import read
from tests.browser import chromium  # noqa: F401
from tests.made_campaigns import written
from tests.test_explore import own_cache, salts  # noqa: F401


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def explorer(tmp_path_factory, binary) -> Explorer:
    folder = tmp_path_factory.mktemp("given")
    salts(folder / "salts.parquet")
    written(folder / "campaign-Au-Cu", binary)
    given = (folder / "campaign-Au-Cu", folder / "salts.parquet")
    return Explorer(collections_of([str(one) for one in given]))


@pytest.fixture(scope="module")
def exported(explorer, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("site") / "some" / "where"
    out.parent.mkdir()
    export(explorer, out)
    return out


@pytest.fixture(scope="module")
def address(exported: Path) -> Iterator[str]:
    """Of a web server that knows nothing but files; the copy lies under a path of its own."""
    handler = partial(Quiet, directory=exported.parents[1])
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/some/where/"
        server.shutdown()


@pytest.fixture
def page(chromium, address: str) -> Iterator[Any]:  # noqa: F811
    """A page that must log no error and ask nobody else."""
    opened = chromium.new_page(viewport={"width": 1280, "height": 900})
    amiss: list[str] = []
    opened.on("console", lambda said: said.type == "error" and amiss.append(said.text))
    opened.on("pageerror", lambda error: amiss.append(str(error)))
    opened.on(
        "request", lambda r: r.url.startswith((address, "blob:", "data:")) or amiss.append(r.url)
    )
    yield opened
    opened.close()
    assert amiss == []


SEARCHES = [
    {},
    {"include": "Cl", "sort": "-band_gap"},
    {"include": "Cu", "exclude": "Au"},
    {"exactly": "Au,Cu", "limit": "3", "offset": "1"},
    {"within": "Na,Cl,K,F"},
    {"formula": "*F"},
    {"formula": "*2*,ClNa"},
    {"system": "*-Cl", "columns": "reduced_formula,comment,band_gap"},
    {"range": "e_above_hull:0.1:0.3"},
    {"range": "band_gap::4", "sort": "reduced_formula"},
    {"where": "crystal_system:cubic", "sort": "-formation_energy_per_atom"},
    {"where": "n_elements:1", "sort": "comment"},
    {"where": "status:new stable phase"},
]


def test_a_search_in_the_browser_is_that_of_the_server(page, address: str, explorer: Explorer):
    page.goto(f"{address}index.html")
    page.wait_for_selector("table tbody tr")
    for asked in SEARCHES:
        query = Query.of(list(asked.items()))
        wanted = found(explorer.index, query)
        got = page.evaluate(
            "async (path) => (await import('./data.js')).ask(path)",
            f"api/search?{urlencode(asked)}",
        )
        assert got["total"] == wanted.total, asked
        names = ["id", *got["columns"]]
        assert got["rows"] == [explorer.index.row(row, names) for row in wanted.rows], asked


def test_a_copy_is_walked_through_as_the_pages_are(page, address: str, tmp_path: Path):
    page.goto(f"{address}?where=status:new+stable+phase")
    page.click("tbody th a")
    page.wait_for_selector(".viewer[data-drawn] canvas")
    assert "Pm-3m (221)" in page.inner_text("main")
    with page.expect_download() as saved:
        page.click("main a:has-text('CIF')")
    saved.value.save_as(tmp_path / "one.cif")
    assert read(tmp_path / "one.cif").crystals.reduced_formulas.tolist() == ["Cu3Au"]
    page.click("main a:has-text('hull')")
    page.wait_for_selector("svg a[href*='crystal.html']")
    page.click("nav a:has-text('Campaign Au-Cu')")
    page.wait_for_selector("text=1 new stable phase, predicted by ASE EMT")


@pytest.mark.slow
@pytest.mark.parametrize("format", ["csv", "cif", "extxyz"])
def test_what_a_copy_saves_is_read_again(page, address: str, tmp_path: Path, format: str):
    page.goto(f"{address}?include=Cl")
    page.locator("[role=status]").filter(has_text=re.compile("^4 ")).wait_for()
    with page.expect_download() as saved:
        page.click(f"#exports a >> nth={['csv', 'cif', 'extxyz'].index(format)}")
    path = tmp_path / f"saved.{format}"
    saved.value.save_as(path)
    if format == "csv":
        assert len(path.read_text().splitlines()) == 5
    else:
        assert len(read(path).crystals) == 4


def test_an_export_replaces_an_earlier_one_alone(explorer: Explorer, exported: Path, tmp_path):
    (exported / "old.txt").write_text("of an earlier export")
    export(explorer, exported)
    assert not (exported / "old.txt").exists()
    assert "Content-Security-Policy" in (exported / "index.html").read_text()
    (tmp_path / "mine.txt").write_text("not to be lost")
    with pytest.raises(ValueError, match="name another folder"):
        export(explorer, tmp_path)
    assert (tmp_path / "mine.txt").exists()
