"""Downloads: the whole file or none, whatever happens on the way."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from filelock import FileLock
from hypothesis import example, given
from hypothesis import strategies as st

from gnomon.run.download import ChecksumError, download
from gnomon.run.http import HttpError, Patience
from gnomon.run.listener import Listener
from tests.file_server import CONTENT, Server, listener, sha256

QUICK = Patience(pause=0.01, attempts=2)

SCRIPT = """
import sys
from pathlib import Path
from gnomon.run.download import download
download(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
"""


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "cache" / "weights.nqx"


def part_of(path: Path) -> Path:
    return path.with_name(path.name + ".part")


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
