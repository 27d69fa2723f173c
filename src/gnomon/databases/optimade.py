"""Any OPTIMADE provider: one query a chemical system, page by page.

The specification is that of Andersen et al., Sci. Data 8, 217 (2021), version 1.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from gnomon.databases.answers import Answer, Answers, Fetched, Query
from gnomon.databases.systems import System, subsystems
from gnomon.run.http import HttpError, Patience, get_json
from gnomon.run.listener import Listener
from gnomon.run.reach import Reach

FIELDS = (
    "lattice_vectors",
    "dimension_types",
    "cartesian_site_positions",
    "species_at_sites",
    "species",
    "structure_features",
    "nsites",
    "chemical_formula_reduced",
)
"""Properties that are asked for: what ``gnomon.io`` reads of a structure."""

NEWER = ("site_coordinate_span", "space_group_symbol_hall", "space_group_symmetry_operations_xyz")
"""Properties of later specifications that change what the sites mean."""

PAGE_LIMIT = 100
"""Structures a page, where the provider lets us choose."""

MOST_PAGES = 2_000
"""Pages of one fetch beside the first of each query: 200,000 structures where pages hold 100."""

MOST_BYTES = 2_000_000_000
"""Bytes of one fetch: about a million structures."""

REFUSALS = frozenset({400, 403, 422, 501})
"""Statuses of a provider that does not know an optional part of the specification."""

IN_ADDRESSES = "!#$%&'()*+,/:;=?@[]~"
"""What an address may hold unquoted (RFC 3986), beside letters, digits and -._."""

Json = dict[str, Any]

_VERSIONED = re.compile(r"/v\d+(\.\d+)*$")


class _ChangedError(Exception):
    """What was fetched before does not go on: the database was renewed, or a page is damaged."""


@dataclass
class _Spent:
    """What a fetch has brought."""

    pages: int = 0
    bytes: int = 0

    def take(self, url: str, size: int, *, first: bool) -> None:
        """Count a page.

        Raises:
            HttpError: if it is too much.
        """
        self.bytes += size
        self.pages += not first
        for number, most, what in (
            (self.pages, MOST_PAGES, "further pages"),
            (self.bytes, MOST_BYTES, "bytes"),
        ):
            if number > most:
                raise HttpError(f"{url}: over {most} {what} in one fetch: ask for smaller systems")


@dataclass(frozen=True)
class Optimade:
    """A provider by its base URL.

    Attributes:
        name: the URL as given.
        patience: with the provider.
        allowed: hosts beside its own that it may send us to.
    """

    name: str
    patience: Patience
    allowed: tuple[str, ...] = ()

    @property
    def reach(self) -> Reach:
        """Where its pages may lie."""
        return Reach.of(self.name, self.allowed)

    @property
    def endpoint(self) -> str:
        """The address of its structures, with the version of the interface."""
        base = self.name.rstrip("/").removesuffix("/structures")
        return (base if _VERSIONED.search(base) else f"{base}/v1") + "/structures"

    def fetch(self, systems: Sequence[System], answers: Answers, listener: Listener) -> Fetched:
        """Ask for the systems; pages that are there from before are not asked for again.

        Raises:
            HttpError: if a page cannot be had, or is no OPTIMADE answer; those before stay.
            StoreError: if a page cannot be written.
        """
        begun = answers.queries
        plans = [begun] if begun else self._plans(systems)
        for plan in plans[:-1]:
            try:
                return self._fetch(plan, answers, listener)
            except HttpError as error:
                if error.status not in REFUSALS or answers.queries:
                    raise
                listener.say(f"{error}; asking in another way")
        return self._fetch(plans[-1], answers, listener)

    def _plans(self, systems: Sequence[System]) -> list[tuple[Query, ...]]:
        """Ways to ask: newer fields, HAS ONLY and a page_limit of our own are optional."""
        only = [has_only(system) for system in systems]
        parts = dict.fromkeys(part for system in systems for part in subsystems(system))
        every = [exactly(part) for part in parts]
        return [
            tuple(Query(filter=text, url=self._url(text, limit, more)) for text in filters)
            for filters, limit, more in (
                (only, PAGE_LIMIT, NEWER),
                (only, PAGE_LIMIT, ()),
                (only, None, ()),
                (every, None, ()),
            )
        ]

    def _url(self, text: str, limit: int | None, more: Sequence[str]) -> str:
        paging = "" if limit is None else f"&page_limit={limit}"
        fields = ",".join([*FIELDS, *more])
        return f"{self.endpoint}?filter={quote(text)}&response_fields={fields}{paging}"

    def _fetch(self, queries: tuple[Query, ...], answers: Answers, listener: Listener) -> Fetched:
        walk = _Walk(self, queries, answers, listener)
        each = [walk.pages(number) for number in range(len(queries))]
        announced = [_announced(meta) for _, meta in each]
        meta = each[-1][1]
        return Fetched.now(
            [page for pages, _ in each for page in pages],
            queries=queries,
            source=self.name,
            kind="OPTIMADE",
            provider=_named(meta, "provider") or self.name,
            release=_text(meta, "database", "version"),
            api_version=_clean(meta["api_version"]),
            server=_named(meta, "implementation"),
            announced=None if None in announced else sum(n for n in announced if n is not None),
        )


@dataclass(frozen=True)
class _Walk:
    """One way through the pages of all queries."""

    provider: Optimade
    queries: tuple[Query, ...]
    answers: Answers
    listener: Listener
    spent: _Spent = field(default_factory=_Spent)

    def pages(self, number: int) -> tuple[list[Answer], Json]:
        """All pages of a query, and what the first of them says of the provider.

        Cursors expire and databases are renewed: then the pages kept from before do not go on, and
        the query is made anew, once.
        """
        begun = bool(self.answers.pages(number))
        try:
            return self._once(number)
        except _ChangedError as error:
            reason = str(error)
        except HttpError as error:
            if not begun or error.status is None:
                raise
            reason = str(error)
        self.listener.say(f"{reason}; asking for {self.queries[number].filter} anew")
        self.answers.discard(number)
        try:
            return self._once(number)
        except _ChangedError as error:
            raise HttpError(f"{self.provider.name}: {error}, again: try later") from error

    def _once(self, number: int) -> tuple[list[Answer], Json]:
        provider, answers = self.provider, self.answers
        kept = answers.pages(number)
        pages: list[Answer] = []
        first: Json = {}
        seen: set[str] = set()
        done = 0
        url: str | None = self.queries[number].url
        while url is not None:
            if len(pages) < len(kept):
                path = kept[len(pages)]
                document = _checked(_kept(path), url)
            else:
                raw, found = get_json(url, provider.patience, self.listener, provider.reach)
                document = _checked(found, url)
                path = None
            first = first or document["meta"]
            if _renewed(first, document["meta"], resumed=0 < len(pages) == len(kept)):
                raise _ChangedError(f"{provider.name} was renewed between two pages")
            following = _next(document, url)  # before the page is kept: what is kept goes on
            if refusal := following and provider.reach.refusal(following):
                raise HttpError(f"{url}: its next page is {following}, and {refusal}")
            seen.add(url)
            if following in seen:
                raise HttpError(f"{url}: the pages of this query go round in circles")
            self.spent.take(url, path.stat().st_size if path else len(raw), first=not pages)
            if not answers.queries:
                answers.begin(self.queries)
            path = path or answers.keep(number, len(pages), raw)
            pages.append(answers.answer(path, url, len(document["data"])))
            done += len(document["data"])
            self.listener.tick("fetching", done, max(done, _announced(first) or done))
            url = following
        return pages, first


def _kept(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise _ChangedError(f"{path} is damaged ({error})") from error


def _checked(document: Any, url: str) -> Json:
    """An OPTIMADE answer.

    Raises:
        HttpError: if it is something else.
    """
    if isinstance(document, dict):
        meta, data = document.get("meta"), document.get("data")
        if isinstance(meta, dict) and "api_version" in meta and isinstance(data, list):
            return document
    raise HttpError(
        f"{url}: the answer is JSON, but none of OPTIMADE (a list `data`, and `meta` with an "
        "api_version): is this the base URL of a provider?"
    )


def _next(document: Json, url: str) -> str | None:
    """The address of the next page, None after the last.

    Raises:
        HttpError: if there should be one and is none, or it is not to be followed.
    """
    links = document.get("links")
    link = links.get("next") if isinstance(links, dict) else None
    link = link.get("href") if isinstance(link, dict) else link
    if not link:
        if document["meta"].get("more_data_available") is True:
            raise HttpError(f"{url}: there is more, says the provider, but not where")
        return None
    try:
        found = quote(urljoin(url, link), safe=IN_ADDRESSES)
        here, there = urlsplit(url), urlsplit(found)
    except (ValueError, TypeError, AttributeError) as error:
        raise HttpError(f"{url}: its next page {link!r} is no web address") from error
    if there.scheme not in ("http", "https"):
        raise HttpError(f"{url}: its next page {link!r} is no web address")
    if (here.scheme, there.scheme) == ("https", "http") and here.hostname == there.hostname:
        return there._replace(scheme="https").geturl()  # a server behind a proxy that ends TLS
    return found


def _renewed(first: Json, meta: Json, resumed: bool) -> bool:
    """Whether the database is not that of the first page any more.

    Within one run only what is named a version counts: some providers count what is left, or what
    is on the page, as ``data_returned``.  After a pause another count starts the query anew, which
    costs little.
    """
    versions = [(m["api_version"], _text(m, "database", "version")) for m in (first, meta)]
    counts = [_announced(m) for m in (first, meta)]
    return versions[0] != versions[1] or (resumed and None not in counts and counts[0] != counts[1])


def _announced(meta: Json) -> int | None:
    number = meta.get("data_returned")
    return number if isinstance(number, int) else None


def _named(meta: Json, key: str) -> str | None:
    """Name and version or prefix of a part of the answer's ``meta``."""
    name = _text(meta, key, "name")
    more = _text(meta, key, "version") or _text(meta, key, "prefix")
    return " ".join(text for text in (name, more) if text) or None


def _text(meta: Json, key: str, name: str) -> str | None:
    part = meta.get(key)
    value = part.get(name) if isinstance(part, dict) else None
    return None if value is None else _clean(value)


def _clean(value: Any) -> str:
    """Text without lone surrogates, which damaged JSON can hold and no file can."""
    return str(value).encode("utf-8", "replace").decode("utf-8")


def has_only(system: System) -> str:
    """The filter for a system with all its sub-systems.

    >>> has_only(("Au", "Cu"))
    'elements HAS ONLY "Au","Cu"'
    """
    return "elements HAS ONLY " + ",".join(f'"{symbol}"' for symbol in system)


def exactly(system: System) -> str:
    """The filter for a system without its sub-systems, in mandatory parts of the language only.

    >>> exactly(("Au", "Cu"))
    'elements HAS ALL "Au","Cu" AND nelements=2'
    """
    symbols = ",".join(f'"{symbol}"' for symbol in system)
    return f"elements HAS ALL {symbols} AND nelements={len(system)}"
