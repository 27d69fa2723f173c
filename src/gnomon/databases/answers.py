"""Answers of a provider on disk, as they came, and what pins them down."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from gnomon import __version__
from gnomon.run.files import sha256_of
from gnomon.run.folder import Folder
from gnomon.run.stamp import now
from gnomon.run.writing import StoreError

MARKER, PLAN = "fetched.json", "queries.json"

Model = TypeVar("Model", bound=BaseModel)


class Query(BaseModel):
    """What a provider is asked for.

    Attributes:
        filter: in the provider's language.
        url: of the first page.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    filter: str
    url: str


class Answer(BaseModel):
    """One answer, or one file.

    Attributes:
        path: where it lies: relative to the folder of the reference phases, or as given.
        url: it came from; empty for a file.
        sha256: of its bytes.
        records: in it; None where that is not known before it is read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    url: str = ""
    sha256: str
    records: int | None = None


class Fetched(BaseModel):
    """Who answered what, when: the provenance of the crystals of one source.

    Attributes:
        source: as asked for.
        kind: how it is asked.
        provider: who answered, in its own words.
        release: of the database, where it says so.
        api_version: of the interface.
        server: program that answered, with its version, where it says so.
        client: program that asked, with its version.
        queries: in the provider's language.
        answers: in the order in which they came.
        sha256: of the checksums of all answers, one a line.
        announced: records that the provider said there are, None where it did not.
        received: records that came, None where that is not known before they are read.
        fetched: UTC, when the last answer came.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    kind: Literal["Materials Project", "OPTIMADE", "file"]
    provider: str
    release: str | None = None
    api_version: str | None = None
    server: str | None = None
    client: str
    queries: tuple[str, ...] = ()
    answers: tuple[Answer, ...]
    sha256: str
    announced: int | None = None
    received: int | None = None
    fetched: str

    @classmethod
    def now(
        cls, answers: Sequence[Answer], *, queries: Sequence[Query] = (), **said: Any
    ) -> Fetched:
        """These answers, of which the last has just come; ``said`` are the other attributes."""
        hashes = "".join(f"{answer.sha256}\n" for answer in answers)
        counts = [answer.records for answer in answers if answer.records is not None]
        return cls(
            queries=tuple(query.filter for query in queries),
            answers=tuple(answers),
            sha256=hashlib.sha256(hashes.encode()).hexdigest(),
            received=sum(counts) if len(counts) == len(answers) else None,
            fetched=now(),
            **{"client": f"gnomon {__version__}"} | said,
        )

    @property
    def complete(self) -> bool:
        """Whether at least as many records came as were announced."""
        return self.announced is None or (self.received or 0) >= self.announced


class _Plan(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    queries: tuple[Query, ...]


@dataclass(frozen=True)
class Answers:
    """The folder of one source: a page is there whole or not at all.

    Attributes:
        root: the folder of the reference phases.
        number: of the source.
    """

    root: Path
    number: int

    @property
    def _store(self) -> Folder:
        return Folder(self.root)

    @property
    def _place(self) -> str:
        """Where the answers of this source lie."""
        return f"answers/source-{self.number}"

    def _pages(self, query: int) -> list[str]:
        return self._store.names(f"{self._place}/query-{query:03d}/page-*.json")

    def pages(self, query: int) -> list[Path]:
        """The pages of a query that are there, in order."""
        return [self.root / name for name in self._pages(query)]

    def keep(self, query: int, number: int, raw: bytes) -> Path:
        """Write a page of a query.

        Raises:
            StoreError: if the disk is full or the folder cannot be written.
        """
        name = f"{self._place}/query-{query:03d}/page-{number:04d}.json"
        return self._store.write(name, raw)

    def discard(self, query: int) -> None:
        """Remove the pages of a query, the last first, so that a kill leaves no gap."""
        self._store.remove(reversed(self._pages(query)))

    def answer(self, page: Path, url: str, records: int) -> Answer:
        """A page with its checksum."""
        path = page.relative_to(self.root).as_posix()
        return Answer(path=path, url=url, sha256=sha256_of(page), records=records)

    @property
    def queries(self) -> tuple[Query, ...]:
        """The queries that the pages answer; none before the first page.

        Raises:
            StoreError: if the file that names them is damaged.
        """
        plan = self._load(_Plan, PLAN)
        return () if plan is None else plan.queries

    def begin(self, queries: tuple[Query, ...]) -> None:
        """Say what the pages will answer."""
        self._save(PLAN, _Plan(queries=queries))

    @property
    def fetched(self) -> Fetched | None:
        """What was fetched; None as long as answers are missing.

        Raises:
            StoreError: if the marker, or an answer that it names, is damaged or another one.
        """
        if (fetched := self._load(Fetched, MARKER)) is None:
            return None
        for answer in fetched.answers:
            file = self.root / answer.path if fetched.kind != "file" else Path(answer.path)
            if not file.is_file() or sha256_of(file) != answer.sha256:
                raise StoreError(
                    f"{file} is not the file that was fetched on {fetched.fetched} (sha256 "
                    f"{answer.sha256}): restore it, or fetch anew into another folder with --out"
                )
        return fetched

    def finish(self, fetched: Fetched) -> None:
        """Mark the source as fetched."""
        self._save(MARKER, fetched)

    def _load(self, kind: type[Model], file: str) -> Model | None:
        return load(kind, self._store, f"{self._place}/{file}")

    def _save(self, file: str, model: BaseModel) -> None:
        self._store.write_facts(f"{self._place}/{file}", model.model_dump(mode="json"))


def load(kind: type[Model], folder: Folder, name: str) -> Model | None:
    """What a file of a folder says, None if it is not there.

    Raises:
        StoreError: if the file is damaged.
    """
    if not folder.has(name):
        return None
    try:
        return kind.model_validate_json(folder.read(name))
    except ValidationError as error:
        raise StoreError(
            f"{folder.root / name} is damaged ({error.error_count()} errors): restore it, or "
            "choose another folder with --out"
        ) from error
