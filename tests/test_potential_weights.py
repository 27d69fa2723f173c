"""Weights by name: whole and right, or not there."""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from gnomon.cli import main
from gnomon.potential.weights import (
    BUNDLED,
    PUBLISHED,
    Published,
    Weights,
    cached_path,
    fetch,
    resolve,
)
from gnomon.run.files import cache_folder, sha256_of
from gnomon.run.http import HttpError
from tests.file_server import CONTENT, Server, listener, sha256


def published(url: str, content: bytes = CONTENT) -> Published:
    """Weights of this content, in place of those that are far away."""
    return replace(PUBLISHED["nequix-mp-1"], url=url, sha256=sha256(content))


# --- names and paths ------------------------------------------------------------------------------


def test_a_published_name_is_fetched_once(serve, tmp_path):
    server = serve(Server())
    table = {"mine": replace(published(server.url), name="mine")}
    found = [resolve("mine", cache=tmp_path, table=table) for _ in range(2)]
    assert found == [Weights("mine", tmp_path / "weights" / "mine.nqx", sha256(CONTENT))] * 2
    assert found[0].path.read_bytes() == CONTENT
    assert server.asked == [0]


def test_a_damaged_file_in_the_cache_is_fetched_again(serve, tmp_path):
    server = serve(Server())
    weights = fetch(published(server.url), tmp_path)
    with weights.path.open("r+b") as file:
        file.write(b"\xff")
    lines: list[str] = []
    again = fetch(published(server.url), tmp_path, listener=listener(lines))
    assert sha256_of(again.path) == sha256(CONTENT)
    assert "damaged" in lines[0]
    assert server.asked == [0, 0]


def test_offline_says_what_to_do(running, monkeypatch, tmp_path):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    offline = published("http://127.0.0.1:9/weights.nqx")  # nobody listens at the discard port
    with pytest.raises(HttpError) as caught:
        fetch(offline, tmp_path)
    for words in ("nequix-mp-1", offline.url, "cannot be reached", "hint: ", "`--weights PATH`"):
        assert words in str(caught.value)


def test_offline_what_is_in_the_cache_will_do(tmp_path):
    offline = published("http://127.0.0.1:9/weights.nqx")
    path = cached_path(offline, tmp_path)
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    assert resolve("it", cache=tmp_path, table={"it": offline}).path == path


def test_a_file_is_named_by_its_stem(tmp_path):
    path = tmp_path / "mine-2.gnomon"
    path.write_bytes(CONTENT)
    assert resolve(str(path)) == Weights("mine-2", path, sha256(CONTENT))


def test_an_unknown_name_lists_those_that_there_are(tmp_path):
    for wrong in ("nequix-mp-2", str(tmp_path), str(tmp_path / "none.nqx"), ""):
        with pytest.raises(ValueError, match="no weights") as caught:
            resolve(wrong)
        for name in (*BUNDLED, *PUBLISHED):
            assert name in str(caught.value)


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_weights_are_found_or_missed_in_words(tmp_path, name):
    with pytest.raises(ValueError, match=rf"{name} does not come with this installation .*missing"):
        resolve(name, bundled=tmp_path)
    path = tmp_path / f"{name}.gnomon"
    path.write_bytes(CONTENT)
    assert resolve(name, bundled=tmp_path) == Weights(name, path, BUNDLED[name])


def test_the_table_is_pinned_and_says_whose_weights_they_are():
    for name, one in PUBLISHED.items():
        assert one.name == name
        assert re.fullmatch(
            r"https://raw\.githubusercontent\.com/atomicarchitects/nequix/[0-9a-f]{40}/models/"
            rf"{name}\.nqx",
            one.url,
        )
        assert re.fullmatch("[0-9a-f]{64}", one.sha256)
        assert one.licence == "MIT"
        assert "arXiv:" in one.citation
    assert len({one.sha256 for one in PUBLISHED.values()}) == len(PUBLISHED)


def test_the_sums_are_those_of_the_published_files(shared_data):
    found = {p.stem: sha256_of(p) for p in (shared_data.parent / "weights").glob("*.nqx")}
    assert found
    assert found == {name: PUBLISHED[name].sha256 for name in found}


@pytest.mark.skipif(sys.platform != "linux", reason="XDG folders")
@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"GNOMON_CACHE": "/a", "XDG_CACHE_HOME": "/b"}, "/a"),
        ({"GNOMON_CACHE": "~/a"}, "~/a"),
        ({"XDG_CACHE_HOME": "/b"}, "/b/gnomon"),
        ({}, "~/.cache/gnomon"),
    ],
)
def test_the_cache_is_where_the_system_keeps_caches(environment, expected, monkeypatch):
    for name in ("GNOMON_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == Path(expected).expanduser()


# --- commands -------------------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """An empty cache, and no network."""
    monkeypatch.setenv("GNOMON_CACHE", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    return tmp_path


def test_the_list_shows_every_name_and_its_state(cache, capsys):
    assert main(["weights", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == [*BUNDLED, *PUBLISHED]
    assert main(["weights", "list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    for name, one in PUBLISHED.items():
        assert rows[name]["state"] == "not fetched"
        assert rows[name]["sha256"] == one.sha256
        assert rows[name]["citation"] == one.citation
        assert rows[name]["level_of_theory"] == one.level_of_theory


def test_fetch_without_a_network_fails_with_a_hint(cache, capsys):
    assert main(["weights", "fetch", "nequix-mp-1"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "error: nequix-mp-1: " in err
    assert PUBLISHED["nequix-mp-1"].url in err
    assert "`--weights PATH`" in err
    assert main(["weights", "fetch", "nequix"]) == 1
    assert "nequix-oam-1-pft" in capsys.readouterr().err


def test_fetch_prints_where_the_weights_are(cache, capsys, shared_data):
    one = PUBLISHED["nequix-mp-1"]
    path = cached_path(one)
    assert path.is_relative_to(cache)
    path.parent.mkdir()
    path.write_bytes((shared_data.parent / "weights" / "nequix-mp-1.nqx").read_bytes())
    assert main(["weights", "fetch", one.name]) == 0
    out, err = capsys.readouterr()
    assert out == f"{path}\n"
    assert one.sha256 in err
    assert one.citation in err
    assert main(["weights", "fetch", one.name, "--json"]) == 0
    expected = {"name": one.name, "path": str(path), "sha256": one.sha256}
    assert json.loads(capsys.readouterr().out) == expected
    assert main(["weights", "list", "--json"]) == 0
    states = {row["name"]: row["state"] for row in json.loads(capsys.readouterr().out)}
    assert states[one.name] == "fetched"
