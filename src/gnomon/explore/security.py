"""What stands before every answer: headers, hosts, the token, and how long a client may take."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, urlencode

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'"
)
"""Nothing comes from elsewhere, and nothing that stands in a page is run."""

HEADERS = {
    "content-security-policy": f"{POLICY}; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
"""Of every answer."""

DROPPED = (b"access-control-allow-origin", b"access-control-allow-credentials", b"server")
"""Headers that no answer keeps: a page of elsewhere must not read what only this machine can."""

LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Names of this machine for itself."""

COOKIE = "gnomon-explore"

MOST_BYTES_OF_ADDRESS = 40_000
"""A thousand ids fit."""

Scope = Any
Receive = Any
Send = Any


@dataclass(frozen=True)
class Guard:
    """Answers only whom it may, and adds the headers.

    Without a token only requests to a name of this machine are answered: another name that leads
    here belongs to a page that wants to read what is on this machine (DNS rebinding).

    Attributes:
        app: what answers.
        token: that a request must bring, in a cookie, the address or a header; empty for none.
    """

    app: Any
    token: str = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request (ASGI)."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def guarded(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                kept = [(k, v) for k, v in message["headers"] if k.lower() not in DROPPED]
                own = [(k.encode(), v.encode()) for k, v in HEADERS.items()]
                message = {**message, "headers": [*kept, *own]}
            await send(message)

        headers = dict(scope["headers"])
        if scope["method"] not in ("GET", "HEAD"):
            await _refuse(guarded, 405, "only read", [(b"allow", b"GET, HEAD")])
        elif len(scope["query_string"]) > MOST_BYTES_OF_ADDRESS:
            await _refuse(guarded, 414, "the address is too long")
        elif not self.token and _host(headers) not in LOOPBACK:
            await _refuse(guarded, 421, "not this machine's name: open localhost")
        elif not self.token or self._has_token(scope, headers):
            await self.app(scope, receive, guarded)
        elif (key := _in_address(scope)) and secrets.compare_digest(key, self.token.encode()):
            await self._welcome(scope, guarded)
        else:
            await _refuse(guarded, 401, "a token is needed", [(b"www-authenticate", b"Bearer")])

    def _has_token(self, scope: Scope, headers: dict[bytes, bytes]) -> bool:
        given = headers.get(b"authorization", b"").removeprefix(b"Bearer ")
        try:
            cookie = SimpleCookie(headers.get(b"cookie", b"").decode("latin-1")).get(COOKIE)
        except CookieError:
            cookie = None
        candidates = (given, cookie.value.encode() if cookie else b"")
        return any(secrets.compare_digest(one, self.token.encode()) for one in candidates)

    async def _welcome(self, scope: Scope, send: Send) -> None:
        """The token goes from the address into a cookie."""
        pairs = [p for p in parse_qsl(scope["query_string"].decode("latin-1")) if p[0] != "token"]
        secure = "; Secure" if scope.get("scheme") == "https" else ""
        cookie = f"{COOKIE}={self.token}; Path=/; HttpOnly; SameSite=Strict{secure}"
        query = f"?{urlencode(pairs)}" if pairs else "?"
        location = query.encode("ascii", "replace")
        found = [(b"location", location), (b"set-cookie", cookie.encode())]
        await _refuse(send, 303, "", found)


def _host(headers: dict[bytes, bytes]) -> str:
    """The name that was asked for, without its port."""
    name = headers.get(b"host", b"").decode("latin-1")
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.partition(":")[0].lower()


def _in_address(scope: Scope) -> bytes:
    pairs = parse_qsl(scope["query_string"].decode("latin-1"))
    return dict(pairs).get("token", "").encode()


async def _refuse(
    send: Send, status: int, text: str, headers: list[tuple[bytes, bytes]] | None = None
) -> None:
    body = text.encode()
    said = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body))]
    start = {"type": "http.response.start", "status": status, "headers": [*said, *(headers or [])]}
    await send(start)
    await send({"type": "http.response.body", "body": body})
