"""The pages themselves: files of the package, held in memory, each under its own name."""

from __future__ import annotations

import gzip
import hashlib
from functools import cache
from importlib import resources
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

KINDS = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
}
"""Media types by the end of the name; other files are none of ours."""


class Page(NamedTuple):
    """One file.

    Attributes:
        name: of the file.
        kind: media type.
        data, zipped: its bytes, and the same compressed.
        tag: changes with the bytes.
    """

    name: str
    kind: str
    data: bytes
    zipped: bytes
    tag: str


@cache
def pages() -> tuple[Page, ...]:
    """All files of the front end."""
    found = []
    for file in sorted(resources.files("gnomon.explore.web").iterdir(), key=lambda f: f.name):
        if kind := KINDS.get(file.name.rpartition(".")[2]):
            data = file.read_bytes()
            tag = f'"{hashlib.sha256(data).hexdigest()[:24]}"'
            found.append(Page(file.name, kind, data, gzip.compress(data, mtime=0), tag))
    return tuple(found)


def page_routes() -> list[Route]:
    """A route for each file; the first page also at the root."""
    routes = [_page_route(f"/{page.name}", page) for page in pages()]
    return routes + [_page_route("/", page) for page in pages() if page.name == "index.html"]


def _page_route(path: str, page: Page) -> Route:
    async def endpoint(request: Request) -> Response:
        headers = {"etag": page.tag, "cache-control": "no-cache", "vary": "accept-encoding"}
        if request.headers.get("if-none-match") == page.tag:
            return Response(status_code=304, headers=headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers["content-encoding"] = "gzip"
            return Response(page.zipped, headers=headers, media_type=page.kind)
        return Response(page.data, headers=headers, media_type=page.kind)

    return Route(path, endpoint, methods=["GET"])
