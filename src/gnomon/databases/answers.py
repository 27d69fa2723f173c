"""Answers of a provider on disk, as they came, and what pins them down."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from gnomon.run.files import sha256_of
from gnomon.run.store import StoreError, write_bytes

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

    @property
    def complete(self) -> bool:
        """Whether at least as many records came as were announced."""
        return self.announced is None or (self.received or 0) >= self.announced


def combined_sha256(answers: tuple[Answer, ...]) -> str:
    """The checksum of several: that of their checksums, one a line."""
    return hashlib.sha256("".join(f"{a.sha256}\n" for a in answers).encode()).hexdigest()


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
    def folder(self) -> Path:
        """Where the answers of this source lie."""
        return self.root / "answers" / f"source-{self.number}"

    def pages(self, query: int) -> list[Path]:
        """The pages of a query that are there, in order."""
        return sorted((self.folder / f"query-{query:03d}").glob("page-*.json"))

    def keep(self, query: int, number: int, raw: bytes) -> Path:
        """Write a page of a query.

        Raises:
            StoreError: if the disk is full or the folder cannot be written.
        """
        return write_bytes(self.folder / f"query-{query:03d}" / f"page-{number:04d}.json", raw)

    def discard(self, query: int) -> None:
        """Remove the pages of a query, the last first, so that a kill leaves no gap."""
        for page in reversed(self.pages(query)):
            page.unlink()

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
        path = self.folder / PLAN
        return _load(_Plan, path).queries if path.is_file() else ()

    def begin(self, queries: tuple[Query, ...]) -> None:
        """Say what the pages will answer."""
        write_bytes(self.folder / PLAN, _dump(_Plan(queries=queries)))

    @property
    def fetched(self) -> Fetched | None:
        """What was fetched; None as long as answers are missing.

        Raises:
            StoreError: if the marker, or an answer that it names, is damaged or another one.
        """
        path = self.folder / MARKER
        if not path.is_file():
            return None
        fetched = _load(Fetched, path)
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
        write_bytes(self.folder / MARKER, _dump(fetched))


def _dump(model: BaseModel) -> bytes:
    return (model.model_dump_json(indent=2) + "\n").encode()


def _load(kind: type[Model], path: Path) -> Model:
    try:
        return kind.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise StoreError(f"{path} is damaged ({error.error_count()} errors): delete it") from error
