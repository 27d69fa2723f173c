"""JSON over HTTP from servers that fail: tried again within bounds, and told in words in the end.

Written on the standard library: the `optimade` client keeps no answer as it came (there would be
nothing to take a checksum of) and brings an HTTP stack of its own, and the retries of urllib3 end
where the headers of an answer do, so that a body which is cut or drips would need this loop anyway.
"""

from __future__ import annotations

import http.client
import json
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.error import HTTPError, URLError

from gnomon.run.listener import SILENT, Listener

PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses after which the same request may well succeed."""

_CHUNK = 1 << 16
_QUOTED = 300


@dataclass(frozen=True)
class Patience:
    """For how long a server is borne with.

    Attributes:
        silence: seconds without a byte after which a request has failed.
        seconds: that one request may take in all.
        attempts: requests for one page.
        pause: seconds before the second request, doubled for each further one.
        longest_pause: seconds; a server that asks for more is not waited for.
        largest: bytes of one page.
    """

    silence: float = 30.0
    seconds: float = 600.0
    attempts: int = 5
    pause: float = 1.0
    longest_pause: float = 60.0
    largest: int = 1 << 28


class ProviderError(OSError):
    """A provider that gives no answer, or one that cannot be used."""

    def __init__(self, message: str, status: int | None = None) -> None:
        """``status``: the HTTP status, where it was a refusal."""
        super().__init__(message)
        self.status = status


class _PassingError(Exception):
    """A request that failed, and may succeed in ``wait`` seconds (None: as long as we like)."""

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


def get_json(url: str, patience: Patience, listener: Listener = SILENT) -> tuple[bytes, Any]:
    """The answer to a GET request, as it came and as it reads.

    Raises:
        ProviderError: if there is no server or network, it refuses, it fails or sends no JSON
            ``patience.attempts`` times, or it asks for a longer pause than is bearable.
    """
    for attempt in range(1, patience.attempts + 1):
        try:
            raw = _receive(url, patience)
            return raw, _parse(raw)
        except _PassingError as error:
            if attempt == patience.attempts:
                times = f", {attempt} times" if attempt > 1 else ""
                raise ProviderError(f"{url}: {error}{times}") from error
            wait = patience.pause * 2 ** (attempt - 1) if error.wait is None else error.wait
            if error.wait is not None and wait > patience.longest_pause:
                raise ProviderError(
                    f"{url}: {error} and asks to wait {wait:.0f} s: run the same command then"
                ) from error
            wait = min(wait, patience.longest_pause)
            listener.say(f"{url}: {error}; trying again in {wait:g} s")
            time.sleep(wait)
    raise ValueError(f"{patience.attempts} attempts: at least one is needed")


def _opener() -> urllib.request.OpenerDirector:
    """HTTP and HTTPS only: an answer may name its next page, but not a file of ours."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.UnknownHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    return opener


def _receive(url: str, patience: Patience) -> bytes:
    headers = {
        "User-Agent": "gnomon",
        "Accept": "application/vnd.api+json, application/json",
        "Accept-Encoding": "identity",
    }
    deadline = time.monotonic() + patience.seconds
    try:
        request = urllib.request.Request(url, headers=headers)
        with _opener().open(request, timeout=patience.silence) as response:
            body = b"".join(_chunks(response, deadline, patience))
            length = response.headers.get("Content-Length", "")
    except HTTPError as error:
        with error:
            raise _refused(url, error) from error
    except URLError as error:
        if isinstance(error.reason, TimeoutError):
            raise _PassingError(f"no answer within {patience.silence:g} s") from error
        if isinstance(error.reason, (ConnectionResetError, BrokenPipeError)):
            raise _PassingError(f"the connection was lost ({error.reason})") from error
        raise ProviderError(f"{url} cannot be reached: {error.reason}") from error
    except TimeoutError as error:
        raise _PassingError(f"silent for {patience.silence:g} s") from error
    except ProviderError:
        raise
    except ValueError as error:  # UnicodeError and more, from addresses that are none
        raise ProviderError(f"{url!r} leads to no web address: {error}") from error
    except (OSError, http.client.HTTPException) as error:
        raise _PassingError(f"the connection was lost ({error or type(error).__name__})") from error
    if length.isdigit() and len(body) < int(length):
        raise _PassingError(f"the answer was cut after {len(body)} of {length} bytes")
    return body


def _chunks(
    response: http.client.HTTPResponse, deadline: float, patience: Patience
) -> Iterator[bytes]:
    size = 0
    while chunk := response.read1(_CHUNK):
        size += len(chunk)
        if size > patience.largest:
            raise ProviderError(f"{response.url} sends more than {patience.largest} bytes")
        if time.monotonic() > deadline:
            raise _PassingError(f"the answer took more than {patience.seconds:g} s")
        yield chunk


def _parse(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as error:
        begins = _one_line(raw[:80]) or "nothing"
        raise _PassingError(f"no JSON ({error}); it begins with: {begins}") from error


def _refused(url: str, error: HTTPError) -> Exception:
    """What a status of 400 and more comes to, with the server's own words."""
    name = f"the server answered {error.code} {error.reason}"
    if error.code in PASSING:
        return _PassingError(name, _wait(error.headers.get("Retry-After")))
    try:
        said = _details(error.read(_CHUNK))
    except (OSError, http.client.HTTPException):
        said = ""  # the status says what there is to say
    return ProviderError(f"{url}: {name}" + (f" ({said})" if said else ""), error.code)


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
