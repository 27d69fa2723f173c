"""The explorer's pages in a real browser: Debian's Chromium, driven by Playwright."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from gnomon.cli import main
from gnomon.io import read
from gnomon.models.composition.tables import energies_of_table
from gnomon.run.store import SCHEMAS
from tests.browser import chromium  # noqa: F401
from tests.conftest import EMT, REPOSITORY
from tests.explore_server import Served, served
from tests.made_campaigns import HOSTILE, written
from tests.test_docs import blocks
from tests.test_explore import own_cache, salts  # noqa: F401


@pytest.fixture(scope="module")
def server(tmp_path_factory, binary) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("seen")
    salts(folder / "salts.parquet")
    written(folder / "campaign-Au-Cu", binary)
    with served([folder / "campaign-Au-Cu", folder / "salts.parquet"]) as found:
        yield found


@pytest.fixture
def page(chromium, server: Served) -> Iterator[Any]:  # noqa: F811
    """A page that must log no error and ask nobody else."""
    opened = chromium.new_page(base_url=server.url, viewport={"width": 1280, "height": 900})
    amiss: list[str] = []
    opened.on("console", lambda said: said.type == "error" and amiss.append(said.text))
    opened.on("pageerror", lambda error: amiss.append(str(error)))
    opened.on(
        "request", lambda r: r.url.startswith((server.url, "blob:", "data:")) or amiss.append(r.url)
    )
    yield opened
    opened.close()
    assert amiss == []


def test_from_a_search_to_a_structure(page, server: Served):
    page.goto("/")
    page.click("[data-symbol=Cu]")
    page.click("[data-symbol=Au]")
    page.wait_for_url("**/?include=Cu%2CAu")
    page.locator("[role=status]").filter(has_text=re.compile("^5 ")).wait_for()
    page.goto("/?where=status:new+stable+phase")
    page.click("tbody th a")
    page.wait_for_selector(".viewer[data-drawn] canvas")
    before = page.evaluate("document.querySelector('.viewer').viewer.getView()")
    page.click("[aria-label='turn left']")
    assert page.evaluate("document.querySelector('.viewer').viewer.getView()") != before
    assert "Pm-3m (221)" in page.inner_text("main")


@pytest.mark.slow
def test_keys_and_the_address_do_what_the_mouse_does(page, server: Served):
    page.goto("/")
    page.focus("[data-symbol=H]")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.dataset.symbol") == "He"
    page.keyboard.press("Enter")
    page.wait_for_url("**/?include=He")
    page.wait_for_selector("[data-symbol=He][data-state=in]")
    page.keyboard.press("Enter")
    page.wait_for_url("**/?exclude=He")
    page.go_back()
    page.wait_for_selector("[data-symbol=He][data-state=in]")
    page.goto("/?sort=band_gap&columns=reduced_formula,band_gap")
    page.click("thead button:has-text('band gap')")
    page.wait_for_url("**sort=-band_gap**")
    page.wait_for_selector("th[aria-sort=descending]")
    page.get_by_label("Formula (* any element)").fill("CuAu")
    page.keyboard.press("Enter")
    page.wait_for_url("**formula=CuAu**")
    assert page.evaluate("document.activeElement.value") == "CuAu", "the keyboard stays where it is"
    page.get_by_text("Columns", exact=True).click()
    page.get_by_role("checkbox", name="comment").check()
    page.wait_for_url("**comment**")
    page.get_by_role("checkbox", name="source", exact=True).check()
    page.wait_for_url("**source**")


@pytest.mark.slow
def test_a_drag_turns_and_a_click_that_trembles_is_a_click(page, server: Served):
    page.goto("/hull.html?system=Cl-K-Na")
    face, first = (
        page.locator(".potentials a polygon").last,
        page.locator(".potentials polygon").first,
    )

    def drag(pixels: int) -> None:
        face.scroll_into_view_if_needed()
        box = face.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + pixels, y, steps=pixels)
        page.mouse.up()

    before = first.get_attribute("points")
    drag(60)
    assert first.get_attribute("points") != before
    assert "hull.html" in page.url
    drag(2)
    page.wait_for_url("**/crystal.html?id=**")


def saved(page, link: str, path: Path) -> Path:
    """What a link of a page saves."""
    with page.expect_download() as download:
        page.click(link)
    download.value.save_as(path)
    return path


def test_what_is_saved_is_read_again(page, server: Served, tmp_path: Path):
    """Two ticked crystals as structures; all of a search as formulas with their energies."""
    page.goto("/?include=Cl")
    page.locator("#exports a").first.wait_for()
    table = saved(page, "#exports a:has-text('CSV')", tmp_path / "saved.csv")
    formulas, energies = energies_of_table(table)
    rows = server.get("/api/search?include=Cl").json["rows"]
    assert formulas == [row["reduced_formula"] for row in rows]
    assert energies.tolist() == [row["formation_energy_per_atom"] for row in rows]
    page.check("tbody tr:nth-child(1) input")
    page.check("tbody tr:nth-child(2) input")
    for name, end in (("CIF", "cif"), ("extended XYZ", "extxyz")):
        found = read(saved(page, f"#exports a:has-text('{name}')", tmp_path / f"saved.{end}"))
        assert sorted(found.crystals.reduced_formulas) == sorted(formulas[:2])
    page.goto(f"/crystal.html?id={rows[0]['id']}")
    page.wait_for_selector("tbody tr")
    for name, file in (("CIF", "one.cif"), ("POSCAR", "POSCAR"), ("extended XYZ", "one.extxyz")):
        found = read(saved(page, f"main a:has-text('{name}')", tmp_path / file))
        assert found.crystals.reduced_formulas.tolist() == formulas[:1]


def test_a_search_in_the_dark(chromium, server: Served):  # noqa: F811
    """A space group by its symbol; ink on the page's own ground is light on dark."""
    page = chromium.new_page(base_url=server.url, color_scheme="dark")
    page.goto("/?include=Cl")
    page.wait_for_selector("tbody tr")
    page.fill("input[list=groups]", "Fm-3m")
    page.press("input[list=groups]", "Enter")
    page.wait_for_url("**where=space_group%3A225**")
    page.locator("[role=status]").filter(has_text=re.compile("^4 ")).wait_for()
    assert "Fm-3m (225)" in page.inner_text("tbody")
    light = "getComputedStyle(document.querySelector('tbody td.number')).color.match(/[0-9]+/g)"
    assert min(map(int, page.evaluate(light))) > 200
    page.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    "address",
    [
        "/",
        "/?include=Cu",
        "/hull.html?system=Au-Cu",
        "/campaign.html?name=Au-Cu",
        "/crystal.html?id={id}",
    ],
)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_fits_a_phone_and_keeps_to_wcag(chromium, server: Served, address, scheme):  # noqa: F811
    """axe-core finds no serious violation of WCAG 2.2 AA, in both schemes of colour."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="the extra dev")
    [find] = server.get("/api/search?where=status:new%20stable%20phase").json["rows"]
    page = chromium.new_page(
        base_url=server.url, viewport={"width": 390, "height": 800}, color_scheme=scheme
    )
    page.goto(address.format(id=find["id"]))
    page.wait_for_selector("table tbody tr")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    found = axe.Axe().run(page).response["violations"]
    grave = [one for one in found if one["impact"] in ("serious", "critical")]
    assert not grave, [(one["id"], one["nodes"][0]["html"]) for one in grave]
    page.close()


@pytest.mark.slow
def test_a_page_without_its_crystal_says_so(chromium, server: Served):  # noqa: F811
    page = chromium.new_page(base_url=server.url)
    page.goto("/crystal.html?id=<b>none")
    page.wait_for_selector("[role=alert]:has-text('no such crystal')")
    page.goto(f"/?include={HOSTILE}")
    page.wait_for_selector("[role=alert]:has-text('unknown element')")
    assert page.evaluate("document.scripts.length") == 1
    page.close()


@pytest.mark.slow
def test_a_campaign_is_seen_while_it_goes_on(chromium, binary, tmp_path: Path):  # noqa: F811
    """An evaluation that comes while the page is open is counted without a reload."""
    *rest, last = binary["evaluations"]
    campaign = written(tmp_path / "campaign-Au-Cu", {**binary, "evaluations": rest})
    with served([tmp_path / "campaign-Au-Cu"]) as server:
        before = server.get("/api/campaigns/Au-Cu").json["counts"]
        page = chromium.new_page(base_url=server.url)
        page.goto("/campaign.html?name=Au-Cu")
        counted = page.locator(".counts div", has_text="evaluated").locator("dd").first
        counted.wait_for()
        assert counted.inner_text() == str(before["n_evaluated"])
        shard = pa.Table.from_pylist([last], schema=SCHEMAS["evaluations"]).drop_columns("round")
        campaign.store.append("evaluations", 1, shard)
        after = server.get("/api/campaigns/Au-Cu").json["counts"]
        assert after != before
        name = "evaluated" if after["n_evaluated"] > before["n_evaluated"] else "failed"
        count = page.locator(".counts div", has_text=name).locator(
            "dd", has_text=re.compile(f"^{after[f'n_{name}']}$")
        )
        count.first.wait_for(timeout=25_000)
        page.close()


@pytest.mark.slow
def test_the_minute_of_the_readme(chromium, tmp_path: Path, monkeypatch):  # noqa: F811
    """Both commands as they stand there, with a quick evaluator and a small budget."""
    [line] = [
        line
        for block in blocks(REPOSITORY / "README.md", "sh")
        for line in block.splitlines()
        if "gnomon explore" in line
    ]
    discover, explore = ([*part.split()][1:] for part in line.split("&&"))
    monkeypatch.chdir(tmp_path)
    small = ["--evaluator", EMT, "--evaluations", "12", "--rounds", "1"]
    assert main([*discover, *small]) == 0
    command = [sys.executable, "-m", "gnomon", *explore, "--port", "0", "--no-browser"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            said = next(m[1] for row in server.stderr if (m := re.search(r"(http://\S+)", row)))
            page = chromium.new_page()
            page.goto(said)
            page.wait_for_selector("table tbody tr")
            page.close()
        finally:
            server.terminate()
