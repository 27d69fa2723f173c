"""Published works by key (``data/works.json``), as text, BibTeX and in the form of CITATION.cff."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

OTHERS = "others"


@dataclass(frozen=True)
class Work:
    """A publication.

    >>> print(works()["hautier2011"])
    G. Hautier, C. Fischer, V. Ehrlacher, A. Jain, G. Ceder, Data Mined Ionic Substitutions for \
the Discovery of New Compounds, Inorganic Chemistry 50, 656 (2011), doi:10.1021/ic102031h

    Attributes:
        authors: initials before family names, by commas; ``and others`` where not all are named.
        start: first page or number of the article.
    """

    key: str
    authors: str
    title: str
    year: int
    doi: str
    journal: str = ""
    volume: str = ""
    start: str = ""

    def __str__(self) -> str:
        place = f", {self.journal} {self.volume}, {self.start}" if self.journal else ""
        return f"{self.authors}, {self.title}{place} ({self.year}), doi:{self.doi}"

    @property
    def names(self) -> list[tuple[str, str]]:
        """Family name and initials of each author; no initials for ``others``."""
        found = []
        for name in self.authors.replace(f" and {OTHERS}", f", {OTHERS}").split(", "):
            words = name.split()
            initials = [word for word in words if word.endswith(".")]
            found.append((" ".join(words[len(initials) :]), " ".join(initials)))
        return found

    @property
    def bibtex(self) -> str:
        """The entry."""
        people = (f"{family}, {first}" if first else family for family, first in self.names)
        fields = {
            "author": " and ".join(people),
            "title": f"{{{self.title}}}",
            "journal": self.journal,
            "volume": self.volume,
            "pages": self.start,
            "year": str(self.year),
            "doi": self.doi,
        }
        lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
        return "\n".join([f"@{'article' if self.journal else 'misc'}{{{self.key},", *lines, "}"])

    @property
    def reference(self) -> dict[str, Any]:
        """The entry under ``references`` of a CITATION.cff, version 1.2.0 of the format."""
        people = [
            {"family-names": family, "given-names": first} if first else {"name": family}
            for family, first in self.names
        ]
        fields = {"journal": self.journal, "volume": self.volume, "start": self.start}
        return {
            "type": "article" if self.journal else "generic",
            "title": self.title,
            "authors": people,
            "year": self.year,
            "doi": self.doi,
            **{name: value for name, value in fields.items() if value},
        }


@cache
def works() -> dict[str, Work]:
    """All works that gnomon names, by key."""
    text = (resources.files("gnomon.publish") / "data" / "works.json").read_text("utf-8")
    return {key: Work(key, **fields) for key, fields in json.loads(text).items()}
