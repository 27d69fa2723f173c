"""What a server answers: asked again within bounds where it fails, and told in words in the end.

Written on the standard library: the `optimade` client keeps no answer as it came (there would be
nothing to take a checksum of), libraries for checksummed downloads (pooch among them) start again
from nothing after a cut, all bring an HTTP stack of their own, and the retries of urllib3 end where
the headers of an answer do, so that a body which is cut or drips would need this loop anyway.
"""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import Message
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.error import HTTPError, URLError

from gnomon.run.listener import SILENT, Listener
from gnomon.run.reach import Reach

PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses after which the same request may well succeed."""

_CHUNK = 1 << 16
_QUOTED = 300

Result = TypeVar("Result")


@dataclass(frozen=True)
class Patience:
    """For how long a server is borne with.

    Attributes:
        silence: seconds without a byte after which a request has failed.
        seconds: that one request may take in all.
        attempts: requests, one after the other, that bring nothing new.
        pause: seconds before the second request, doubled for each further one.
        longest_pause: seconds; a server that asks for more is not waited for.
        largest: bytes of one answer.
    """

    silence: float = 30.0
    seconds: float = 600.0
    attempts: int = 5
    pause: float = 1.0
    longest_pause: float = 60.0
    largest: int = 1 << 28


class HttpError(OSError):
    """A server that gives no answer, or one that cannot be used."""

    def __init__(self, message: str, status: int | None = None) -> None:
        """``status``: the HTTP status, where it was a refusal."""
        super().__init__(message)
        self.status = status


class PassingError(Exception):
    """A request that failed, and may succeed in ``wait`` seconds (None: as long as we like)."""

    def __init__(self, message: str, wait: float | None = None) -> None:
        """What is said of the request, after its address."""
        super().__init__(message)
        self.wait = wait


@dataclass(frozen=True)
class Answer:
    """What a server sends: the status, the headers, and the body as it comes in."""

    status: int
    headers: Message
    chunks: Iterator[bytes]


def get_json(
    url: str, patience: Patience, listener: Listener = SILENT, reach: Reach | None = None
) -> tuple[bytes, Any]:
    """The answer to a GET request, as it came and as it reads.

    ``reach``: where redirections may lead; unless given, to no other host.

    Raises:
        HttpError: if there is no server or network, it refuses, it fails or sends no JSON
            ``patience.attempts`` times, or it asks for a longer pause than is bearable.
    """

    def once() -> tuple[bytes, Any]:
        accept = {"Accept": "application/vnd.api+json, application/json"}
        with ask(url, patience, accept, reach) as answer:
            raw = b"".join(answer.chunks)
        return raw, _parse(raw)

    return persist(url, once, patience, listener)


def persist(
    url: str,
    once: Callable[[], Result],
    patience: Patience,
    listener: Listener,
    progress: Callable[[], int] = lambda: 0,
) -> Result:
    """Call ``once``, again after each ``PassingError``, until it succeeds or patience ends.

    Args:
        url: for messages.
        once: the request.
        patience: how often.
        listener: hears of each failure.
        progress: how far it has come; a call that came further has not failed in vain.

    Raises:
        HttpError: if it failed in vain for the last time, or is to be waited for too long.
    """
    if patience.attempts < 1:
        raise ValueError(f"{patience.attempts} attempts: at least one is needed")
    vain, furthest = 0, progress()
    while True:
        try:
            return once()
        except PassingError as error:
            vain = 0 if progress() > furthest else vain + 1
            furthest = max(furthest, progress())
            if vain == patience.attempts:
                times = f", {vain} times" if vain > 1 else ""
                raise HttpError(f"{url}: {error}{times}") from error
            wait = error.wait
            if wait is None:
                wait = min(patience.pause * 2 ** (vain - 1), patience.longest_pause) if vain else 0
            elif wait > patience.longest_pause:
                raise HttpError(
                    f"{url}: {error} and asks to wait {wait:.0f} s: run the same command then"
                ) from error
            listener.say(f"{url}: {error}; trying again in {wait:g} s")
            time.sleep(wait)


@contextmanager
def ask(
    url: str, patience: Patience, headers: Mapping[str, str], reach: Reach | None = None
) -> Iterator[Answer]:
    """One GET request.  Errors of the connection, also while the body is read, are these:

    Raises:
        PassingError: if the same request may succeed later.
        HttpError: if it would fail again.
    """
    sent = {"User-Agent": "gnomon", "Accept-Encoding": "identity", **headers}
    deadline = time.monotonic() + patience.seconds
    lines: list[socket.socket] = []
    # headers may drip as well as a body, and each byte would begin the silence anew
    watch = threading.Timer(patience.seconds, _hang_up, (lines,))
    watch.daemon = True
    watch.start()
    try:
        with _told(url, patience, deadline):
            opener = _opener(reach or Reach.of(url), lines)
            request = urllib.request.Request(url, headers=sent)
            response = opener.open(request, timeout=patience.silence)
        with response:
            chunks = _body(url, response, deadline, patience)
            yield Answer(response.status, response.headers, chunks)
    finally:
        watch.cancel()


def _hang_up(lines: list[socket.socket]) -> None:
    for line in lines:
        with suppress(OSError):
            line.shutdown(socket.SHUT_RDWR)


def _opener(reach: Reach, lines: list[socket.socket]) -> urllib.request.OpenerDirector:
    """HTTP and HTTPS only: an answer may name its next page, but not a file of ours.

    ``lines`` takes in the connections that are made.
    """
    proxies = urllib.request.getproxies()

    def connect(address: tuple[str, int], timeout: float, source: object = None) -> socket.socket:
        if proxies and any(address[0] in proxy for proxy in proxies.values()):
            line = socket.create_connection(address, timeout)  # the user's own choice
        else:
            line = reach.connect(address, timeout, source)
        lines.append(line)
        return line

    def made(kind: type[http.client.HTTPConnection]) -> Callable[..., http.client.HTTPConnection]:
        def make(*args: Any, **options: Any) -> http.client.HTTPConnection:
            connection = kind(*args, **options)
            connection._create_connection = connect  # type: ignore[attr-defined]
            return connection

        return make

    class Plain(urllib.request.HTTPHandler):
        def http_open(self, req: Any) -> Any:
            return self.do_open(made(http.client.HTTPConnection), req)

    class Encrypted(urllib.request.HTTPSHandler):
        def https_open(self, req: Any) -> Any:
            return self.do_open(made(http.client.HTTPSConnection), req)

    class Redirection(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, req: Any, fp: Any, *args: Any) -> Any:
            if refusal := reach.refusal(args[-1]):
                raise HttpError(f"{req.full_url} redirects to {args[-1]}, and {refusal}")
            fp.close()  # urllib would read the body, which may be without an end
            return super().redirect_request(req, fp, *args)

    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.UnknownHandler,
        Plain,
        Encrypted,
        urllib.request.HTTPDefaultErrorHandler,
        Redirection,
        urllib.request.HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    return opener


@contextmanager
def _told(url: str, patience: Patience, deadline: float) -> Iterator[None]:
    """What goes wrong with a connection, as one of our two errors."""
    try:
        yield
    except HttpError:
        raise
    except (OSError, http.client.HTTPException, ValueError) as error:
        late = time.monotonic() > deadline
        raise _explained(url, patience, error, late=late) from error


def _explained(url: str, patience: Patience, error: Exception, *, late: bool) -> Exception:
    if isinstance(error, HTTPError):
        try:
            return _refused(url, error)
        finally:
            error.close()
    reason = error.reason if isinstance(error, URLError) else error
    lost = isinstance(reason, (OSError, http.client.HTTPException)) and reason is error
    if late:
        return PassingError(f"the answer took more than {patience.seconds:g} s")
    if isinstance(reason, TimeoutError):
        said = "silent for" if reason is error else "no answer within"
        return PassingError(f"{said} {patience.silence:g} s")
    if lost or isinstance(reason, ConnectionResetError | BrokenPipeError):
        return PassingError(f"the connection was lost ({reason or type(reason).__name__})")
    if isinstance(error, URLError):
        return HttpError(f"{url} cannot be reached: {reason}")
    # UnicodeError and more, from addresses that are none
    return HttpError(f"{url!r} leads to no web address: {error}")


def _body(
    url: str, response: http.client.HTTPResponse, deadline: float, patience: Patience
) -> Iterator[bytes]:
    size = 0
    while True:
        with _told(url, patience, deadline):
            chunk = response.read1(_CHUNK)
        size += len(chunk)
        if size > patience.largest:
            raise HttpError(f"{response.url} sends more than {patience.largest} bytes")
        if time.monotonic() > deadline:
            raise PassingError(f"the answer took more than {patience.seconds:g} s")
        if not chunk:
            break
        yield chunk
    length = response.headers.get("Content-Length", "")
    if length.isdigit() and size < int(length):
        raise PassingError(f"the answer was cut after {size} of {length} bytes")


def _parse(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as error:
        begins = _one_line(raw[:80]) or "nothing"
        raise PassingError(f"no JSON ({error}); it begins with: {begins}") from error


def _refused(url: str, error: HTTPError) -> Exception:
    """What a status of 400 and more comes to, with the server's own words."""
    name = f"the server answered {error.code} {error.reason}"
    if error.code in PASSING:
        return PassingError(name, _wait(error.headers.get("Retry-After")))
    try:
        said = _details(error.read(_CHUNK))
    except (OSError, http.client.HTTPException):
        said = ""  # the status says what there is to say
    return HttpError(f"{url}: {name}" + (f" ({said})" if said else ""), error.code)


def _wait(retry_after: str | None) -> float | None:
    """Seconds of a Retry-After header, which is a number or a date (RFC 9110, 10.2.3)."""
    if retry_after is None:
        return None
    if retry_after.strip().isdigit():
        return float(retry_after)
    try:
        then = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    if then.tzinfo is None:
        then = then.replace(tzinfo=UTC)
    return max(0.0, (then - datetime.now(UTC)).total_seconds())


def _details(body: bytes) -> str:
    """The errors of a JSON:API answer, else the beginning of the body."""
    try:
        errors = json.loads(body)["errors"]
        said = "; ".join(str(e.get("detail") or e.get("title")) for e in errors)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return "" if body.lstrip().startswith(b"<") else _one_line(body)
    return _one_line(said.encode("utf-8", "replace"))


def _one_line(text: bytes) -> str:
    line = " ".join(text.decode("utf-8", "replace").split())
    return line if len(line) <= _QUOTED else line[:_QUOTED] + " ..."
