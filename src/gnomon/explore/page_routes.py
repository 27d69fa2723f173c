"""Routes of the pages, each file held in memory."""

from __future__ import annotations

import gzip
import hashlib

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gnomon.explore.pages import KINDS, front


def page_routes() -> list[Route]:
    """A route for each file; the first page also at the root."""
    files = front()
    routes = [_route(f"/{name}", name, data) for name, data in sorted(files.items())]
    return [*routes, _route("/", "index.html", files["index.html"])]


def _route(path: str, name: str, data: bytes) -> Route:
    tag = f'"{hashlib.sha256(data).hexdigest()[:24]}"'
    kind, zipped = KINDS[name.rpartition(".")[2]], gzip.compress(data, mtime=0)

    async def endpoint(request: Request) -> Response:
        headers = {"etag": tag, "cache-control": "no-cache", "vary": "accept-encoding"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers["content-encoding"] = "gzip"
            return Response(zipped, headers=headers, media_type=kind)
        return Response(data, headers=headers, media_type=kind)

    return Route(path, endpoint, methods=["GET"])
