"""Requests to servers that fail, over real sockets: tried again within bounds, then told."""

import json
import socket
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from gnomon.run.http import HttpError, Patience, get_json
from gnomon.run.listener import Listener
from tests.database_servers import Reply, scripted, serving

QUICK = Patience(silence=30.0, attempts=3, pause=0.01, longest_pause=2.0)
GOOD = Reply.json({"is": "good"})


def test_an_answer_comes_as_it_was_sent_and_as_it_reads():
    with serving(scripted(GOOD)) as server:
        raw, document = get_json(f"{server.url}/x?a=b", QUICK)
    assert raw == GOOD.body
    assert document == {"is": "good"}
    assert server.asked == ["/x?a=b"]


@pytest.mark.parametrize(
    "bad",
    [
        Reply(status=500),
        Reply(status=502, body=b"<html>bad gateway</html>"),
        Reply(status=503, headers={"Retry-After": "nonsense"}),
        Reply(status=429, headers={"Retry-After": "0"}),
        Reply(body=GOOD.body, cut=True),  # ends before its Content-Length
        Reply(body=GOOD.body[:-3]),  # whole by its length, and not JSON
        Reply(body=b"<html>Please log in to the network</html>"),
        Reply(body=b""),
        Reply(body=b"\xff\xfe\x00"),
        Reply(body=b"[" * 100_000),  # deeper than the parser goes
    ],
    ids=str,
)
def test_a_failure_that_passes_is_tried_again(bad):
    said = []
    listener = Listener(said.append, lambda *_: None)
    with serving(scripted(bad, bad, GOOD)) as server:
        assert get_json(server.url, QUICK, listener)[1] == {"is": "good"}
        assert len(server.asked) == 3
    assert len(said) == 2
    with serving(scripted(bad)) as server, pytest.raises(HttpError, match="3 times") as error:
        get_json(server.url, QUICK)
    assert len(server.asked) == 3
    assert server.url in str(error.value)
    assert len(str(error.value)) < 500


def test_a_rate_limit_is_waited_for_as_long_as_it_says():
    began = time.monotonic()
    with serving(scripted(Reply(status=429, headers={"Retry-After": "1"}), GOOD)) as server:
        get_json(server.url, QUICK)
        assert time.monotonic() - began >= 1
        assert len(server.asked) == 2


def test_a_rate_limit_may_name_a_date():
    then = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    past = format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True)
    replies = [Reply(status=503, headers={"Retry-After": text}) for text in (past, then)]
    with (
        serving(scripted(*replies)) as server,
        pytest.raises(HttpError, match=r"asks to wait 3[56]\d\d s"),
    ):
        get_json(server.url, QUICK)
    assert len(server.asked) == 2


def test_a_long_pause_is_not_waited_for():
    with (
        serving(scripted(Reply(status=429, headers={"Retry-After": "3600"}))) as server,
        pytest.raises(HttpError, match=r"429 Too Many Requests and asks to wait 3600 s"),
    ):
        get_json(server.url, QUICK)
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 501])
def test_a_refusal_is_final_and_keeps_the_words_of_the_server(status):
    errors = {"errors": [{"detail": "no such\nthing"}, {"title": "sorry"}]}
    with (
        serving(scripted(Reply.json(errors, status))) as server,
        pytest.raises(HttpError, match=rf"{status} .*\(no such thing; sorry\)") as error,
    ):
        get_json(server.url, QUICK)
    assert error.value.status == status
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"<html>404</html>",
        b"",
        b'{"errors": 5}',
        b'{"errors": [{"detail": "\\ud800"}]}',
        b"x" * 10_000,
    ],
    ids=len,
)
def test_a_refusal_without_words_for_us_is_told_in_short(body):
    with (
        serving(scripted(Reply(body, 404))) as server,
        pytest.raises(HttpError, match="404 Not Found") as error,
    ):
        get_json(server.url, QUICK)
    assert "<html>" not in str(error.value)
    assert len(str(error.value)) < 400


def test_a_server_that_falls_silent_is_left():
    patience = Patience(silence=0.2, attempts=2, pause=0.01)
    began = time.monotonic()
    with (
        serving(scripted(Reply(GOOD.body, hang=30))) as server,
        pytest.raises(HttpError, match=r"silent for 0.2 s, 2 times"),
    ):
        get_json(server.url, patience)
    assert time.monotonic() - began < 25


def test_a_server_that_drips_is_left():
    patience = Patience(seconds=0.0, attempts=2, pause=0.01)
    with (
        serving(scripted(GOOD)) as server,
        pytest.raises(HttpError, match="took more than 0 s, 2 times"),
    ):
        get_json(server.url, patience)


def test_an_endless_answer_is_not_read_to_its_end():
    with (
        serving(scripted(Reply(b" " * 1000))) as server,
        pytest.raises(HttpError, match="more than 100 bytes"),
    ):
        get_json(server.url, Patience(largest=100))
    assert len(server.asked) == 1


def test_a_refused_connection_is_told_at_once():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, so that nobody else is there, and not listening
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/v1"
        with pytest.raises(HttpError, match=r"cannot be reached: .*refused"):
            get_json(url, QUICK)


@pytest.mark.parametrize(
    "url", ["file:///etc/hostname", "ftp://127.0.0.1/x", "data:,{}", "http://[", "http://\ud800/"]
)
def test_only_the_web_is_asked(url):
    with pytest.raises(HttpError, match=r"cannot be reached|no web address"):
        get_json(url, QUICK)


def test_redirections_are_followed_within_the_web(tmp_path):
    def answer(path: str) -> Reply:
        return GOOD if path == "/there" else Reply(status=302, headers={"Location": path[1:]})

    with serving(answer) as server:
        assert get_json(f"{server.url}//there", QUICK)[1] == json.loads(GOOD.body)
        with pytest.raises(HttpError, match="302"):
            get_json(f"{server.url}/file:///etc/hostname", QUICK)
