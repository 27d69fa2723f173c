"""The map of crystals: laws of places and regions, and the page in a browser."""

from base64 import b64decode
from collections.abc import Iterator

import numpy as np
import pytest

from gnomon.explore.collections import collections_of
from gnomon.explore.crystal import crystal_page
from gnomon.explore.index import Index, index_of
from gnomon.explore.map import placed, regions
from gnomon.explore.map_page import make_map, map_colors, map_page
from gnomon.explore.query import QueryError
from gnomon.models.embed import Embedder
from tests.browser import chromium  # noqa: F401
from tests.explore_server import Served, served
from tests.test_explore import SALTS, own_cache, salts  # noqa: F401


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Served]:
    path = tmp_path_factory.mktemp("mapped") / "salts.parquet"
    salts(path)
    make_map(index_of(collections_of([str(path)])))
    with served([path]) as found:
        yield found


@pytest.fixture
def index(server: Served) -> Index:
    return server.explorer.index


def clumps(each: int) -> np.ndarray:
    """Two groups of directions."""
    rng = np.random.default_rng(3)
    centers = np.repeat(np.eye(16)[:2], each, axis=0)
    values = centers + rng.normal(0, 0.1, (2 * each, 16))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def test_places_are_the_same_twice_and_keep_groups_together(monkeypatch):
    """Also those that came beside the fitted ones."""
    values = clumps(30)
    monkeypatch.setattr("gnomon.explore.map.FITTED", 40)
    places = placed(values)
    assert np.array_equal(places, placed(values))
    centers = places[:30].mean(axis=0), places[30:].mean(axis=0)
    far = np.linalg.norm(places[:, None] - np.stack(centers), axis=2)
    assert (far.argmin(axis=1) == np.repeat([0, 1], 30)).all()


def test_regions_are_peaks_of_the_density():
    rng = np.random.default_rng(0)
    groups = [rng.normal(at, 1, (n, 2)) for at, n in (((0, 0), 300), ((20, 5), 500))]
    places = np.concatenate([*groups, [[np.nan, np.nan]]]).astype(np.float32)
    of = regions(places)
    assert of[-1] == -1
    assert of[0] != of[400]
    assert not set(of[:300]) & set(of[300:800]) - {-1}
    counts = np.bincount(of[of >= 0])
    assert (np.diff(counts) <= 0).all()
    assert (regions(np.full((3, 2), np.nan, np.float32)) == -1).all()


def test_the_page_has_every_crystal_with_its_place_and_colour(index: Index):
    page = map_page(index)
    assert page["ids"] == index.texts("id")
    x = np.frombuffer(b64decode(page["x"]), "<f4")
    assert np.array_equal(x, index.places[:, 0])
    assert sum(one["crystals"] for one in page["regions"]) <= len(index)
    gaps = map_colors(index, "band_gap")
    shown = np.frombuffer(b64decode(gaps["values"]), "<f4")
    assert np.allclose(shown, index.columns["band_gap"].values, equal_nan=True)
    systems = map_colors(index, "crystal_system")
    codes = np.frombuffer(b64decode(systems["codes"]), np.int8).tolist()
    assert [systems["words"][code] for code in codes] == index.texts("crystal_system")
    with pytest.raises(QueryError, match="no map"):
        map_colors(index, "id")


def test_a_crystal_lists_what_is_like_it(index: Index):
    """Each with its cosine, falling; rock salt first next to rock salt."""
    row = index.texts("reduced_formula").index("NaCl")
    panel = next(p for p in crystal_page(index, row)["panels"] if p["title"] == "Similar crystals")
    cosines = [found[-1] for found in panel["rows"]]
    assert cosines == sorted(cosines, reverse=True)
    assert panel["rows"][0][1] == 225


def test_a_map_is_made_once_and_only_on_demand(index: Index, tmp_path, monkeypatch):
    monkeypatch.setattr("gnomon.explore.map.placed", None)
    monkeypatch.setattr(Embedder, "embed", None)
    make_map(index)
    salts(tmp_path / "other.parquet")
    other = index_of(collections_of([str(tmp_path / "other.parquet")]))
    assert map_page(other)["placed"] == 0


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_a_click_and_the_list_lead_to_the_crystal(chromium, server: Served, scheme):  # noqa: F811
    page = chromium.new_page(base_url=server.url, color_scheme=scheme)
    amiss: list[str] = []
    page.on("console", lambda said: said.type == "error" and amiss.append(said.text))
    page.on("pageerror", lambda error: amiss.append(str(error)))
    page.goto("/map.html")
    page.wait_for_selector(".map[data-drawn]")
    page.wait_for_selector("tbody tr th a")
    assert page.locator("table >> nth=0 >> tbody tr").count() == len(SALTS)
    lit = """(() => {
        const canvas = document.querySelector('.map canvas');
        const [w, h] = [canvas.width, canvas.height];
        const pixels = new Uint8Array(4 * w * h);
        const gl = canvas.getContext('webgl');
        gl.readPixels(0, 0, w, h, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
        return pixels.some((x) => x > 0);
    })()"""
    assert page.evaluate(lit), "points are drawn"
    page.select_option("select", "crystal_system")
    page.wait_for_selector(".legend:has-text('cubic')")
    page.focus(".map canvas")
    page.keyboard.press("ArrowLeft")
    at = "(({ map }) => map.toPixel(map.x[3], map.y[3]))(document.querySelector('.map'))"
    x, y = page.evaluate(at)
    page.click(".map canvas", position={"x": x, "y": y})
    page.wait_for_url(f"**/crystal.html?id={server.explorer.index.texts('id')[3]}")
    assert amiss == []
    page.close()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    "address",
    [
        "map.html?color=crystal_system",
        "pettifor.html",
        "substitutions.html",
        "hull.html?system=F-Ca",
    ],
)
def test_views_fit_a_phone_and_keep_to_wcag(chromium, server: Served, address, scheme):  # noqa: F811
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="the extra dev")
    size = {"width": 390, "height": 800}
    page = chromium.new_page(base_url=server.url, viewport=size, color_scheme=scheme)
    page.goto(f"/{address}")
    page.wait_for_selector("table tbody tr")
    page.wait_for_load_state("networkidle")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    found = axe.Axe().run(page).response["violations"]
    grave = [one for one in found if one["impact"] in ("serious", "critical")]
    assert not grave, [(one["id"], one["nodes"][0]["html"]) for one in grave]
    page.close()
