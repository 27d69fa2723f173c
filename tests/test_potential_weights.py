"""Weights by name: whole and right, or not there, whatever happens on the way."""

import errno
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from filelock import FileLock
from hypothesis import example, given
from hypothesis import strategies as st

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
from gnomon.run.download import ChecksumError, download
from gnomon.run.files import cache_folder, sha256_of
from gnomon.run.http import HttpError, Patience
from gnomon.run.listener import Listener

QUICK = Patience(pause=0.01, attempts=2)

CONTENT = bytes(range(256)) * 2000
"""512 kB, eight chunks of a download."""

SCRIPT = """
import sys
from pathlib import Path
from gnomon.run.download import download
download(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
"""


@dataclass
class Server:
    """What a web server does, and what it was asked."""

    content: bytes = CONTENT
    ranges: bool = True
    shift: int = 0
    """Bytes by which an answer to a range begins too early, as with caches of blocks."""
    cuts: list[int] = field(default_factory=list)
    """Of each answer to come, the bytes after which the connection breaks."""
    refusals: list[int] = field(default_factory=list)
    """Status codes of the answers to come, before any other."""
    told: bool = True
    """Whether it tells sizes."""
    gate: threading.Event | None = None
    """Half of an answer waits for this."""
    asked: list[int] = field(default_factory=list)
    """First byte of each request."""
    url: str = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        range_ = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        begin = int(range_[1]) if range_ else 0
        self.asked.append(begin)
        if self.refusals:
            handler.send_error(self.refusals.pop(0))
            return
        total = len(self.content)
        if not (self.ranges and range_):
            begin = 0
            handler.send_response(200)
        elif begin >= total:
            handler.send_error(416)
            return
        else:
            begin = max(begin - self.shift, 0)
            handler.send_response(206)
            handler.send_header("Content-Range", f"bytes {begin}-{total - 1}/{total}")
        if self.told:
            handler.send_header("Content-Length", str(total - begin))
        handler.end_headers()
        end = total if not self.cuts else min(total, begin + self.cuts.pop(0))
        if self.gate is not None:
            middle = (begin + end) // 2
            handler.wfile.write(self.content[begin:middle])
            handler.wfile.flush()
            self.gate.wait(30)
            begin = middle
        handler.wfile.write(self.content[begin:end])


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[ThreadingHTTPServer, str]]:
    """A web server on this machine, which does as its ``does`` says."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            with suppress(ConnectionError):  # the other side was killed, or waits no longer
                self.server.does.answer(self)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield http, f"http://127.0.0.1:{http.server_port}/weights.nqx"
        http.shutdown()
        thread.join()


@pytest.fixture
def serve(running, monkeypatch):
    """Let the web server do as this ``Server`` says."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    http, url = running

    def start(does: Server) -> Server:
        http.does = does
        does.url = url
        return does

    return start


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "cache" / "weights.nqx"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def part_of(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def listener(lines: list[str]) -> Listener:
    return Listener(say=lines.append, tick=lambda *_: None)


def published(url: str, content: bytes = CONTENT) -> Published:
    """Weights of this content, in place of those that are far away."""
    return replace(PUBLISHED["nequix-mp-1"], url=url, sha256=sha256(content))


# --- laws -----------------------------------------------------------------------------------------


@given(
    content=st.binary(max_size=200),
    kept=st.binary(max_size=300) | st.integers(0, 200) | st.none(),
    cuts=st.lists(st.integers(0, 200), max_size=3),
    ranges=st.booleans(),
    shift=st.integers(0, 1),
)
@example(content=b"abc", kept=b"abd", cuts=[], ranges=True, shift=0)
@example(content=b"abc", kept=b"abc", cuts=[], ranges=True, shift=0)
@example(content=b"abc", kept=b"abcd", cuts=[], ranges=True, shift=0)
@example(content=b"abcdef", kept=b"abX", cuts=[1, 1], ranges=True, shift=0)
@example(content=b"abcdef", kept=b"abX", cuts=[1, 1], ranges=False, shift=0)
@example(content=b"abcdef", kept=b"abc", cuts=[], ranges=True, shift=1)
def test_every_download_ends_with_the_file_itself(running, content, kept, cuts, ranges, shift):
    """Whatever was kept from before, wherever answers are cut, with ranges or without."""
    http, url = running
    http.does = Server(content, ranges=ranges, cuts=cuts, shift=shift)
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("no_proxy", "127.0.0.1")
        path = Path(folder) / "weights.nqx"
        if kept is not None:
            part_of(path).write_bytes(content[:kept] if isinstance(kept, int) else kept)
        download(url, sha256(content), path, patience=Patience(pause=0.0))
        assert path.read_bytes() == content
        assert not part_of(path).exists()


# --- cuts and kills -------------------------------------------------------------------------------


def test_a_cut_download_goes_on_where_it_stopped(serve, path):
    server = serve(Server(cuts=[100_000, 50_000]))
    ticks, lines = [], []
    heard = Listener(say=lines.append, tick=lambda what, done, total: ticks.append((done, total)))
    download(server.url, sha256(CONTENT), path, listener=heard)
    assert path.read_bytes() == CONTENT
    assert server.asked == [0, 100_000, 150_000]
    assert ticks == sorted(ticks)
    assert ticks[-1] == (len(CONTENT), len(CONTENT))
    assert len(lines) == 2
    assert "cut after 100000 of 512000 bytes; 100000 bytes are here" in lines[0]


def test_a_killed_download_goes_on_where_it_stopped(serve, path):
    server = serve(Server(gate=threading.Event()))
    arguments = [sys.executable, "-c", SCRIPT, server.url, sha256(CONTENT), str(path)]
    with subprocess.Popen(arguments) as process:
        patience = time.monotonic() + 60
        while not (part_of(path).exists() and part_of(path).stat().st_size > 100_000):
            assert time.monotonic() < patience
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    server.gate.set()
    assert not path.exists()
    begun = part_of(path).stat().st_size
    download(server.url, sha256(CONTENT), path)
    assert path.read_bytes() == CONTENT
    assert server.asked == [0, begun]


def test_without_ranges_it_starts_again(serve, path):
    server = serve(Server(ranges=False, cuts=[100_000]))
    download(server.url, sha256(CONTENT), path)
    assert path.read_bytes() == CONTENT
    assert server.asked == [0, 100_000]


def test_an_answer_of_another_range_is_not_joined(serve, path):
    server = serve(Server(shift=10))
    path.parent.mkdir()
    part_of(path).write_bytes(CONTENT[:1000])
    lines: list[str] = []
    download(server.url, sha256(CONTENT), path, listener=listener(lines))
    assert path.read_bytes() == CONTENT
    assert server.asked == [1000, 0]
    assert "another range" in lines[0]


def test_a_damaged_part_is_found_out_and_fetched_again(serve, path):
    server = serve(Server())
    path.parent.mkdir()
    part_of(path).write_bytes(b"\0" * 1000)
    lines: list[str] = []
    download(server.url, sha256(CONTENT), path, listener=listener(lines))
    assert path.read_bytes() == CONTENT
    assert server.asked == [1000, 0]
    assert "damaged" in "".join(lines)


def test_a_part_that_is_whole_needs_no_server(path):
    path.parent.mkdir()
    part_of(path).write_bytes(CONTENT)
    download("http://127.0.0.1:9/", sha256(CONTENT), path)
    assert path.read_bytes() == CONTENT


def test_two_processes_at_once_fetch_it_once(serve, path):
    server = serve(Server(gate=threading.Event()))
    arguments = [sys.executable, "-c", SCRIPT, server.url, sha256(CONTENT), str(path)]
    lines: list[str] = []
    second = threading.Thread(
        target=download,
        args=(server.url, sha256(CONTENT), path),
        kwargs={"listener": listener(lines)},
    )
    with subprocess.Popen(arguments) as first:
        while not server.asked:
            assert first.poll() is None
            time.sleep(0.01)
        second.start()
        while not lines and second.is_alive():
            time.sleep(0.01)
        server.gate.set()
        second.join()
    assert first.returncode == 0
    assert "waiting" in lines[0]
    assert server.asked == [0]
    assert path.read_bytes() == CONTENT


def test_without_locks_everyone_fetches_for_himself(serve, path, monkeypatch):
    def no_locks(*_, **options):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(FileLock, "acquire", no_locks)
    server = serve(Server(cuts=[100_000]))
    path.parent.mkdir()
    part_of(path).write_bytes(b"another process is writing this")
    download(server.url, sha256(CONTENT), path)
    assert path.read_bytes() == CONTENT
    assert part_of(path).read_bytes() == b"another process is writing this"
    assert sorted(path.parent.iterdir()) == [path, part_of(path)]


# --- servers that fail or lie ---------------------------------------------------------------------


def test_another_file_is_refused_with_both_sums_and_deletes_nothing_good(serve, path):
    lie = b"<html>please log in</html>"
    server = serve(Server(lie))
    path.parent.mkdir()
    path.write_bytes(b"the weights of yesterday")
    with pytest.raises(ChecksumError) as caught:
        download(server.url, sha256(CONTENT), path)
    assert sha256(lie) in str(caught.value)
    assert sha256(CONTENT) in str(caught.value)
    assert path.read_bytes() == b"the weights of yesterday"
    assert not part_of(path).exists()


def test_a_server_that_always_cuts_is_given_up_and_what_came_is_kept(serve, path):
    server = serve(Server(cuts=[1000, 0, 0]))
    with pytest.raises(HttpError, match=r"cut after .* 2 times"):
        download(server.url, sha256(CONTENT), path, patience=QUICK)
    assert part_of(path).read_bytes() == CONTENT[:1000]
    assert server.asked == [0, 1000, 1000]


@pytest.mark.parametrize("status", [503, 429])
def test_a_busy_server_is_asked_again(serve, path, status):
    server = serve(Server(refusals=[status]))
    download(server.url, sha256(CONTENT), path, patience=QUICK)
    assert server.asked == [0, 0]


def test_a_wrong_address_is_not_asked_again(serve, path):
    server = serve(Server(refusals=[404]))
    with pytest.raises(HttpError, match=r"weights\.nqx: the server answered 404 Not Found"):
        download(server.url, sha256(CONTENT), path)
    assert server.asked == [0]


def test_a_silent_server_is_given_up(serve, path):
    server = serve(Server(gate=threading.Event()))
    with pytest.raises(HttpError, match=r"silent for 0\.2 s"):
        download(server.url, sha256(CONTENT), path, patience=Patience(silence=0.2, attempts=1))
    server.gate.set()


def test_a_server_that_tells_no_size_will_do(serve, path):
    server = serve(Server(told=False))
    download(server.url, sha256(CONTENT), path)
    assert path.read_bytes() == CONTENT


def test_a_server_cannot_fill_the_disk(serve, path):
    server = serve(Server(told=False))
    with pytest.raises(HttpError, match="more than 100000 bytes"):
        download(server.url, sha256(CONTENT), path, patience=Patience(largest=100_000))
    assert not path.exists()


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
