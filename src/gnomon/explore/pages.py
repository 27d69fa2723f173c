"""The pages themselves: files of the package, held in memory, each under its own name."""

from __future__ import annotations

import gzip
import hashlib
from functools import cache
from importlib import resources
from string import Template
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


VIEWS = {
    "index.html": ("Search", "", "search.js"),
    "crystal.html": ("Crystal", "3Dmol-min.js", "crystal.js"),
    "hull.html": ("Hull", "", "hull.js"),
    "campaign.html": ("Campaign", "", "campaign.js"),
}
"""Title of each page, a library that it loads, and its module; the rest is ``page.html``."""

SHELL = "page.html"


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
    folder = resources.files("gnomon.explore.web")
    files = {file.name: file for file in folder.iterdir()}
    shell = Template(files.pop(SHELL).read_text("utf-8"))
    ends = {name: name.rpartition(".")[2] for name in files}
    contents = {name: files[name].read_bytes() for name, end in ends.items() if end in KINDS}
    contents |= {name: _view(shell, *view).encode() for name, view in VIEWS.items()}
    return tuple(_page(name, data) for name, data in sorted(contents.items()))


def _view(shell: Template, title: str, library: str, module: str) -> str:
    scripts = [f'<script src="{library}"></script>'] if library else []
    scripts.append(f'<script type="module" src="{module}"></script>')
    return shell.substitute(title=title, scripts="\n".join(scripts))


def _page(name: str, data: bytes) -> Page:
    tag = f'"{hashlib.sha256(data).hexdigest()[:24]}"'
    return Page(name, KINDS[name.rpartition(".")[2]], data, gzip.compress(data, mtime=0), tag)


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
