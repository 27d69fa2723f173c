"""Who publishes what under which licence: checked before anything is written."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass, field

LICENCES = {
    "CC-BY-4.0": "free to use, share and change if the source is named",
    "CC-BY-SA-4.0": "as CC-BY-4.0, and what is made from it under the same licence",
    "CC-BY-NC-4.0": "as CC-BY-4.0, but not for commercial purposes",
    "CC0-1.0": "no rights are reserved",
}
"""Licences for data by their SPDX identifiers."""

ORCID = re.compile(r"\d{4}-\d{4}-\d{4}-\d{3}[\dX]")
DOI = re.compile(r"10\.\d{4,9}/\S+")


@dataclass(frozen=True)
class Author:
    """One who answers for the data.

    >>> Author.parse("Curie, Marie, 0000-0002-1825-0097").key
    'https://orcid.org/0000-0002-1825-0097'
    """

    family: str
    given: str
    orcid: str = ""

    @property
    def name(self) -> str:
        """In reading order."""
        return f"{self.given} {self.family}".strip()

    @property
    def key(self) -> str:
        """The ORCID as address, or a name within the folder."""
        if self.orcid:
            return f"https://orcid.org/{self.orcid}"
        return "#" + "-".join(re.findall(r"\w+", self.name))

    @classmethod
    def parse(cls, text: str) -> Author:
        """Read ``FAMILY, GIVEN`` with an ORCID after another comma, or a name alone.

        Raises:
            ValueError: for anything else.
        """
        parts = [part.strip() for part in text.split(",")]
        orcid = parts.pop() if ORCID.fullmatch(parts[-1]) else ""
        if not 1 <= len(parts) <= 2 or not all(parts):
            raise ValueError(f"the author {text!r} is not FAMILY, GIVEN or FAMILY, GIVEN, ORCID")
        if orcid and _check_digit(orcid) != orcid[-1]:
            raise ValueError(f"{orcid} is no ORCID: its last digit should be {_check_digit(orcid)}")
        return cls(parts[0], parts[1] if len(parts) == 2 else "", orcid)


def _check_digit(orcid: str) -> str:
    """By ISO 7064, MOD 11-2."""
    total = 0
    for digit in orcid.replace("-", "")[:-1]:
        total = (total + int(digit)) * 2
    rest = (12 - total % 11) % 11
    return "X" if rest == 10 else str(rest)


def _today() -> datetime.date:
    return datetime.datetime.now(datetime.UTC).date()


@dataclass(frozen=True)
class Details:
    """What only people can say of a publication.

    Raises:
        ValueError: if there is no author, the licence is not one of ``LICENCES``, or the DOI is
            none.
    """

    title: str
    description: str
    authors: tuple[Author, ...]
    licence: str = "CC-BY-4.0"
    doi: str = ""
    published: datetime.date = field(default_factory=_today)

    def __post_init__(self) -> None:
        if not self.authors:
            raise ValueError("a publication needs an author: --author 'FAMILY, GIVEN'")
        if self.licence not in LICENCES:
            raise ValueError(f"the licence {self.licence!r} is none of {', '.join(LICENCES)}")
        if self.doi and not DOI.fullmatch(self.doi):
            raise ValueError(f"{self.doi!r} is no DOI: these look like 10.5281/zenodo.1234567")

    @property
    def terms(self) -> str:
        """The licence in words."""
        return LICENCES[self.licence]

    @property
    def licence_url(self) -> str:
        """Where its text stands."""
        return f"https://spdx.org/licenses/{self.licence}"
