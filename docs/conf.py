"""The documentation as a site: Sphinx reads the pages as they stand, with MyST.

Nothing is fetched, neither here nor by a reader.  The source folder is the repository, so that
links to the changelog or an example lead where they lead in it.  The menu is that of docs/index.md.
"""

import re
from typing import Any

project = "gnomon"
copyright = "The gnomon developers"
extensions = ["myst_parser"]
root_doc = "docs/index"
include_patterns = ["docs/*.md", "docs/**/*.md", "README.md", "CHANGELOG.md", "CONTRIBUTING.md"]
exclude_patterns = [".*", "build", "dist", "src", "tests", "benchmarks", "campaign*"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = "gnomon"
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"top_of_page_buttons": []}

SECTION = re.compile(r"^## (\w[\w ]*)[^\n]*\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
PAGE = re.compile(r"\]\(([^):#]+)\.md\)")


def menu(app: Any, page: str, source: list[str]) -> None:
    """The pages that each section of the map links to, as a section of the menu."""
    if page != root_doc:
        return
    for title, text in SECTION.findall(source[0]):
        names = list(dict.fromkeys(PAGE.findall(text)))
        trees = "\n".join(names)
        source[0] += f"\n```{{toctree}}\n:hidden:\n:caption: {title.strip()}\n\n{trees}\n```\n"


def setup(app: Any) -> None:
    """Nothing but the menu."""
    app.connect("source-read", menu)
