"""The pages themselves: files of the package, as a server or an export gives them."""

from __future__ import annotations

from functools import cache
from importlib import resources
from string import Template

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
    "map.html": ("Map", "", "map.js"),
    "pettifor.html": ("Pettifor map", "", "pettifor.js"),
    "substitutions.html": ("Substitutions", "", "substitutions.js"),
    "campaign.html": ("Campaign", "", "campaign.js"),
}
"""Title of each page, a library that it loads, and its module; the rest is ``page.html``."""

SHELL = "page.html"


DATA = ("data.js", "files.js")
"""The module through which pages ask, as it asks a server, and as it reads the files of an export:
that one stands under the name of the first there."""


@cache
def front(policy: str = "") -> dict[str, bytes]:
    """All files of the front end by name.

    Args:
        policy: content security policy of an export, which has no server to send it as a header.
    """
    folder = resources.files("gnomon.explore.web")
    files = {file.name: file for file in folder.iterdir()}
    shell = Template(files.pop(SHELL).read_text("utf-8"))
    ends = {name: name.rpartition(".")[2] for name in files}
    contents = {name: files[name].read_bytes() for name, end in ends.items() if end in KINDS}
    asking, reading = (contents.pop(name) for name in DATA)
    contents[DATA[0]] = reading if policy else asking
    meta = f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n' if policy else ""
    return contents | {name: _view(shell, meta, *view).encode() for name, view in VIEWS.items()}


def _view(shell: Template, meta: str, title: str, library: str, module: str) -> str:
    scripts = [f'<script src="{library}"></script>'] if library else []
    scripts.append(f'<script type="module" src="{module}"></script>')
    return shell.substitute(title=title, meta=meta, scripts="\n".join(scripts))
