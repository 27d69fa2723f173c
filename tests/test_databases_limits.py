"""Providers that lie: redirections, next links, sizes, pages without an end, drips."""

import gzip
import itertools
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ase.build import bulk

from gnomon.databases import optimade
from gnomon.databases.answers import Answers
from gnomon.databases.optimade import Optimade
from gnomon.io import as_crystals
from gnomon.run.download import download
from gnomon.run.http import HttpError, Patience, get_json
from gnomon.run.listener import SILENT
from gnomon.run.reach import Reach
from tests.database_servers import Reply, entry, page, scripted, serving

QUICK = Patience(silence=30.0, attempts=2, pause=0.01)
SYSTEM = [("Au", "Cu")]
CU = as_crystals(bulk("Cu"))
GOOD = Reply.json({"is": "good"})
PAGE = Reply.json(page([entry(CU, "a")]))

METADATA = "http://169.254.169.254/latest/meta-data"


def redirect(address: str) -> Reply:
    return Reply(status=302, headers={"Location": address})


def fetched(url: str, folder: Path, *allowed: str) -> int:
    """Records that came."""
    source = Optimade(url, QUICK, allowed)
    return source.fetch(SYSTEM, Answers(folder, 0), SILENT).received or 0


# --- where requests go ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "refused"),
    [
        ("https://optimade.example.org/v1/structures?page=2", False),
        ("http://OPTIMADE.example.org./v1", False),
        ("https://optimade.example.org:443/v1", False),
        ("https://data.example.org/v1", False),
        ("https://data.example.org:8080/v1", True),
        ("http://files.example.org:8080/v1", False),
        ("https://optimade.example.org:22/", True),
        ("https://optimade.example.org@evil.org/", True),
        ("https://optimade.example.org.evil.org/", True),
        (METADATA, True),
        ("http://[::1]/", True),
        ("http://localhost/", True),
    ],
)
def test_only_the_own_host_and_allowed_ones_are_in_reach(address: str, refused: bool) -> None:
    allowed = ["data.example.org", "files.example.org:8080"]
    reach = Reach.of("https://optimade.example.org/v1", allowed)
    assert bool(reach.refusal(address)) == refused


@pytest.mark.parametrize(
    ("url", "allowed", "host", "address", "connects"),
    [
        ("http://data.example.org", [], "data.example.org", "127.0.0.1", False),
        ("http://data.example.org", [], "data.example.org", "::1", False),
        ("http://data.example.org", [], "data.example.org", "::ffff:10.0.0.1", False),
        ("http://data.example.org", [], "data.example.org", "169.254.169.254", False),
        ("http://data.example.org", [], "data.example.org", "0.0.0.0", False),
        ("http://data.example.org", ["10.0.0.5"], "data.example.org", "10.0.0.5", True),
        ("http://data.example.org", ["data.example.org"], "data.example.org", "10.0.0.5", False),
        ("http://optimade.lan", [], "optimade.lan", "10.0.0.5", True),
        ("http://optimade.lan", [], "optimade.lan", "169.254.169.254", False),
        ("http://server", [], "server", "192.168.0.3", True),
        ("http://server", [], "other", "192.168.0.3", False),
        ("http://169.254.169.254", [], "169.254.169.254", "169.254.169.254", True),
        ("http://2130706433", [], "2130706433", "127.0.0.1", True),
        ("http://data.example.org", [], "2130706433", "127.0.0.1", False),
        ("http://data.example.org", [], "data.example.org", "93.184.216.34", True),
    ],
)
def test_names_are_judged_by_the_address_that_they_lead_to(
    monkeypatch: pytest.MonkeyPatch,
    url: str,
    allowed: list[str],
    host: str,
    address: str,
    connects: bool,
) -> None:
    asked: list[object] = []
    line = socket.socket()
    answer = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answer)

    def connect(to: object, _timeout: float) -> socket.socket:
        asked.append(to)
        return line

    monkeypatch.setattr(socket, "create_connection", connect)
    reach = Reach.of(url, allowed)
    if connects:
        with line:
            assert reach.connect((host, 80), 1.0) is line
        assert asked == [(address, 80)]  # the very address that was judged
    else:
        with pytest.raises(OSError, match="of this network"):
            reach.connect((host, 80), 1.0)
        line.close()
        assert asked == []


def test_a_redirection_to_another_host_needs_leave(tmp_path: Path) -> None:
    with serving(scripted(PAGE)) as other:
        name = other.url.replace("127.0.0.1", "localhost")
        with serving(lambda path: redirect(name + path)) as server:
            with pytest.raises(HttpError, match=r"redirects to .*--allow-host localhost:\d+"):
                fetched(server.url, tmp_path)
            assert other.asked == []
            with pytest.raises(HttpError, match=r"--allow-host localhost"):
                fetched(server.url, tmp_path, "localhost")  # on the usual ports only
            assert fetched(server.url, tmp_path, name.removeprefix("http://")) == 1


@pytest.mark.parametrize(
    "address", [METADATA, "http://10.0.0.1/", "http://[fe80::1]/", "//192.168.1.1/"]
)
def test_nothing_leads_into_a_private_network(tmp_path: Path, address: str) -> None:
    began = time.monotonic()
    with (
        serving(scripted(redirect(address))) as server,
        pytest.raises(HttpError, match="is not its host"),
    ):
        fetched(server.url, tmp_path / "redirected")
    first = Reply.json(page([entry(CU, "a")], address))
    with serving(scripted(first)) as server, pytest.raises(HttpError, match="its next page is"):
        fetched(server.url, tmp_path / "linked")
    with (
        serving(scripted(redirect(address))) as server,
        pytest.raises(HttpError, match="of this network"),
    ):
        download(f"{server.url}/weights", "0" * 64, tmp_path / "weights", patience=QUICK)
    assert time.monotonic() - began < 20


def test_a_next_link_to_another_host_needs_leave_and_goes_on_with_it(tmp_path: Path) -> None:
    with serving(scripted(PAGE)) as other:
        first = Reply.json(page([entry(CU, "b")], f"{other.url}/structures?page=2"))
        with serving(scripted(first)) as server:
            with pytest.raises(HttpError, match=r"its next page is .*--allow-host 127.0.0.1:\d+"):
                fetched(server.url, tmp_path)
            assert other.asked == []
            assert fetched(server.url, tmp_path, other.url.removeprefix("http://")) == 2


def test_redirections_in_circles_end(tmp_path: Path) -> None:
    numbers = itertools.count()
    with serving(lambda _: redirect(f"/{next(numbers)}")) as server:
        with pytest.raises(HttpError, match="infinite loop"):
            fetched(server.url, tmp_path)
        assert len(server.asked) < 50


# --- sizes ----------------------------------------------------------------------------------------


@contextmanager
def raw_server(*parts: bytes, then: bytes = b"", every: float = 0.0) -> Iterator[str]:
    """A server that sends ``parts``, and then ``then`` for good, whatever it is asked."""
    ended = threading.Event()
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while not ended.is_set():
            try:
                line, _ = listening.accept()
            except OSError:
                return
            with line:
                try:
                    line.recv(65536)
                    for part in parts:
                        line.sendall(part)
                    while then and not ended.wait(every):
                        line.sendall(then)
                except OSError:
                    continue

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        ended.set()
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()


HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("parts", "then", "message"),
    [
        ((HEAD, b"\r\n"), b" " * 65536, "sends more than 1000000 bytes"),
        ((HEAD, b"Content-Length: 10\r\n\r\n", b'{"data": ['), b" " * 65536, "no JSON"),
        ((HEAD, b"Content-Length: 99999999999\r\n\r\n", b"{}"), b"", "cut after 2 of 99999999999"),
        ((HEAD, b"Content-Length: -5\r\n\r\n", b"{}"), b" " * 65536, "more than 1000000 bytes"),
        ((HEAD, b"Transfer-Encoding: chunked\r\n\r\n"), b"8000\r\n" + b" " * 0x8000 + b"\r\n",
         "more than 1000000 bytes"),
        ((HEAD,), b"X: " + b"y" * 60_000 + b"\r\n", "connection was lost"),
        ((b"HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n",), b" " * 65536, "infinite loop"),
        ((b"HTTP/1.1 404 No\r\n\r\n",), b" " * 65536, "404"),
    ],
)  # fmt: skip
def test_sizes_that_lie_end_in_an_error(
    parts: tuple[bytes, ...], then: bytes, message: str
) -> None:
    began = time.monotonic()
    patience = Patience(silence=5.0, seconds=10.0, attempts=1, largest=1_000_000)
    with raw_server(*parts, then=then) as url, pytest.raises(HttpError, match=message):
        get_json(f"{url}/v1", patience)
    assert time.monotonic() - began < 15


@pytest.mark.parametrize(
    "parts",
    [(), (HEAD,), (HEAD, b"Content-Length: 1000\r\n\r\n"), (b"HTTP/1.1 404 No\r\n\r\n",)],
    ids=["status", "headers", "body", "refusal"],
)
def test_a_page_that_drips_has_a_deadline(parts: tuple[bytes, ...]) -> None:
    began = time.monotonic()
    patience = Patience(silence=5.0, seconds=0.5, attempts=2, pause=0.01)
    with raw_server(*parts, then=b"x", every=0.02) as url, pytest.raises(HttpError) as error:
        get_json(url, patience)
    assert "took more than 0.5 s" in str(error.value) or "404" in str(error.value)
    assert time.monotonic() - began < 10


def test_a_compressed_bomb_is_not_unpacked(tmp_path: Path) -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    reply = Reply(bomb, headers={"Content-Encoding": "gzip"})
    with serving(scripted(reply)) as server, pytest.raises(HttpError, match="no JSON"):
        fetched(server.url, tmp_path)


def test_ten_thousand_pages_end_in_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optimade, "MOST_PAGES", 50)
    numbers = itertools.count(1)

    def answer(path: str) -> Reply:
        return Reply.json(page([entry(CU, "a")], f"?page={next(numbers)}"))

    with serving(answer) as server, pytest.raises(HttpError, match="over 50 further pages"):
        fetched(server.url, tmp_path)
    assert len(server.asked) == 52
    assert len(Answers(tmp_path, 0).pages(0)) == 51


def test_the_bytes_of_a_fetch_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = itertools.count(1)
    size = len(json.dumps(page([entry(CU, "a")], "?page=1")))
    monkeypatch.setattr(optimade, "MOST_BYTES", int(3.5 * size))

    def answer(path: str) -> Reply:
        return Reply.json(page([entry(CU, "a")], f"?page={next(numbers)}"))

    with serving(answer) as server, pytest.raises(HttpError, match=r"over \d+ bytes in one fetch"):
        fetched(server.url, tmp_path)
    assert len(Answers(tmp_path, 0).pages(0)) == 3


@pytest.mark.slow
def test_ten_thousand_real_pages(tmp_path: Path) -> None:
    numbers = itertools.count(1)

    def answer(path: str) -> Reply:
        return Reply.json(page([entry(CU, "a")], f"?page={next(numbers)}"))

    began = time.monotonic()
    with serving(answer) as server, pytest.raises(HttpError, match="further pages in one fetch"):
        fetched(server.url, tmp_path)
    print(f"{len(server.asked)} pages in {time.monotonic() - began:.0f} s")
    assert len(server.asked) < 10_000
