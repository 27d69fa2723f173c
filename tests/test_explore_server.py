"""The explorer's server over a socket: what it answers, whom, and what it never gives away."""

import csv
import io
import json
import socket
from pathlib import Path
from urllib.parse import quote

import pytest

from gnomon.explore.security import HEADERS
from gnomon.io import read
from tests.explore_server import Served, served
from tests.made_campaigns import HOSTILE, written
from tests.test_explore import SALTS, own_cache, salts  # noqa: F401

ROUTES = ("/", "/api/about", "/api/search", "/api/nothing", "/api/crystals/none", "/api/hull")


@pytest.fixture(scope="module")
def server(tmp_path_factory, binary):
    folder = tmp_path_factory.mktemp("explored")
    salts(folder / "salts.parquet")
    written(folder / "campaign-Au-Cu", binary)
    (folder / "secret.txt").write_text("nobody may read this")
    with served([folder / "campaign-Au-Cu", folder / "salts.parquet"]) as found:
        yield found


def test_a_search_comes_page_by_page_with_its_query_in_the_address(server: Served):
    page = server.get("/api/search?include=Cl&sort=-e_above_hull&limit=2&offset=1").json
    assert (page["total"], page["offset"], len(page["rows"])) == (4, 1, 2)
    above = [row["e_above_hull"] for row in page["rows"]]
    assert above == sorted(above, reverse=True)
    assert server.get("/api/search?include=Xx").json == {
        "error": "unknown element 'Xx' (write a symbol as in 'Cu')"
    }


def test_what_is_explored_is_told(server: Served):
    about = server.get("/api/about").json
    assert about["crystals"] == len(server.explorer.index)
    assert [one["name"] for one in about["collections"]] == ["Au-Cu", "salts.parquet"]
    units = {column["name"]: column["unit"] for column in about["columns"]}
    assert units["e_above_hull"] == "eV/atom"
    assert server.get("/api/campaigns/Au-Cu").json["counts"]["n_finds"] == 1
    assert server.get("/api/campaigns/salts.parquet").status == 404
    assert server.get("/api/hull?system=Au-Cu").json["edges"]


@pytest.mark.parametrize("format", ["cif", "extxyz"])
def test_selections_are_read_again(server: Served, tmp_path: Path, format: str):
    answer = server.get(f"/api/export.{format}?include=Cl")
    path = tmp_path / f"some.{format}"
    path.write_bytes(answer.body)
    again = read(path)
    assert not len(again.rejects)
    assert sorted(again.crystals.reduced_formulas) == ["KCl", "LiCl", "NaCl", "SrCl2"]
    assert f'filename="crystals.{format}"' in answer.headers["content-disposition"]


def test_a_table_holds_all_rows_and_runs_nothing(server: Served):
    answer = server.get(
        "/api/export.csv?columns=reduced_formula,comment&where=source:salts.parquet"
    )
    rows = list(csv.DictReader(io.StringIO(answer.body.decode())))
    assert len(rows) == len(SALTS)
    assert {row["comment"] for row in rows} == {"", HOSTILE, "'=1+1"}


def test_a_crystal_has_its_page_and_its_cif(server: Served, tmp_path: Path):
    [row] = server.get("/api/search?where=status:new%20stable%20phase").json["rows"]
    page = server.get(f"/api/crystals/{row['id']}").json
    assert page["symmetry"]["number"] == 221
    path = tmp_path / "one.cif"
    path.write_bytes(server.get(f"/api/crystals/{row['id']}.cif").body)
    assert read(path).crystals.reduced_formulas.tolist() == ["Cu3Au"]


# --- security -------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ROUTES)
def test_every_answer_has_the_headers(server: Served, path: str):
    answer = server.get(path)
    assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
    assert "server" not in answer.headers
    assert not [name for name in answer.headers if name.startswith("access-control")]
    policy = answer.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "http" not in policy


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_nothing_but_reading_is_answered(server: Served, method: str):
    assert server.get("/api/search", method).status == 405


@pytest.mark.parametrize("host", ["evil.example.org", "localhost.evil.org", "", "127.0.0.1.x"])
def test_other_names_that_lead_here_are_not_answered(server: Served, host: str):
    assert server.get("/api/search", Host=host).status == 421
    for name in ("localhost:8642", "127.0.0.1", "[::1]:8642"):
        assert server.get("/api/about", Host=name).status == 200


@pytest.mark.parametrize(
    "path",
    [
        *("/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "//secret.txt"),
        *("/api/crystals/..%2f..%2fsecret.txt", "/api/campaigns/..", "/api/crystals/%00"),
        *("/provenance.json", "/__init__.py", "/api/export.parquet", "/web/index.html"),
    ],
)
def test_no_path_leads_to_other_files(server: Served, path: str):
    answer = server.get(path)
    assert answer.status == 404
    assert b"nobody may" not in answer.body


def test_markup_stays_text(server: Served):
    """It comes as JSON, which no browser takes for a page, and pages put it in as text."""
    answer = server.get(f"/api/search?where=comment:{quote(HOSTILE)}&columns=comment")
    assert answer.headers["content-type"] == "application/json"
    assert {row["comment"] for row in answer.json["rows"]} == {HOSTILE}
    assert HOSTILE not in server.get(f"/api/search?include={quote(HOSTILE)}").headers.values()


def test_beyond_this_machine_only_with_the_token(tmp_path: Path):
    salts(tmp_path / "salts.parquet")
    with served([tmp_path / "salts.parquet"], token="open sesame") as server:
        assert server.get("/api/about").status == 401
        assert server.get("/api/about?token=open").status == 401
        assert server.get("/api/about", Authorization="Bearer open").status == 401
        assert server.get("/api/about", Cookie="gnomon-explore=x; =;").status == 401
        assert server.get("/api/about", Authorization="Bearer open sesame").status == 200
        welcome = server.get("/?include=Cl&token=open+sesame")
        assert (welcome.status, welcome.headers["location"]) == (303, "?include=Cl")
        cookie = welcome.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie


def test_answers_are_compressed_where_they_may_be(server: Served):
    answer = server.get("/api/about", Accept_Encoding="gzip")
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.json["crystals"]


def test_slow_and_broken_connections_do_not_stop_the_others(server: Served):
    several = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(100)]
    try:
        for number, one in enumerate(several):
            one.sendall([b"GET /api", b"\x00\xff\n\n", b"GET / HTTP/1.1\r\nHost: x"][number % 3])
        assert server.get("/api/search?include=Cl").json["total"] == 4
    finally:
        for one in several:
            one.close()


def test_the_description_names_every_route(server: Served):
    paths = server.get("/api/openapi.json").json["paths"]
    assert "/api/search" in paths
    named = {p["name"] for p in paths["/api/search"]["get"]["parameters"]}
    assert {"include", "range", "sort", "limit"} <= named
    for path in paths:
        filled = path.replace("{format}", "csv").replace("{name}", "Au-Cu").replace("{id}", "x")
        answer = server.get(filled)
        assert str(answer.status) in paths[path]["get"]["responses"], json.dumps(answer.json)
