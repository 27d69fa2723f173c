"""Read crystals from anywhere: every record becomes a row of crystals or a reject with a reason."""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from gnomon.crystals import Crystals
from gnomon.io import cif, documents, extxyz, parquet, poscar
from gnomon.io.checks import screen
from gnomon.io.plausible import looked_at
from gnomon.io.reasons import REJECTS, ROWS, InputError, Reason, UnusableError
from gnomon.io.records import Limits, Parsed, Record, rejected, stack
from gnomon.io.sources import Source, find, stream
from gnomon.ragged import ragged_take

CHUNK = 10_000
"""Records in a chunk, about: what ``iter_read`` holds in memory at a time."""

MAX_ATOMS = 2_000
"""Atoms of the largest crystal that is read unless told otherwise."""

MAX_BYTES = 1_000_000_000
"""Bytes of the largest document that is parsed as a whole, and of any decompressed file."""

GIVE_UP = 10_000
"""Records without a crystal in a row after which the rest of a file is left: it is something else,
and each reject takes memory."""

READERS = {
    "cif": cif.records,
    "poscar": poscar.records,
    "extxyz": extxyz.records,
    "json": documents.records,
}
"""Readers that hand over record by record, by format; Parquet goes in columns."""


@dataclass(frozen=True)
class ReadResult:
    """What was read: n accepted + n rejected = n records found.

    Attributes:
        crystals: the accepted records.
        rows: aligned with the crystals row by row (schema ``ROWS``, eV/atom).
        rejects: the others, each with its reason (schema ``REJECTS``).
    """

    crystals: Crystals
    rows: pa.Table
    rejects: pa.Table

    @classmethod
    def joined(cls, parts: Sequence["ReadResult"]) -> "ReadResult":
        """One result out of several, in order."""
        return cls(
            Crystals.concatenate([part.crystals for part in parts]),
            pa.concat_tables([ROWS.empty_table(), *(part.rows for part in parts)]),
            pa.concat_tables([REJECTS.empty_table(), *(part.rejects for part in parts)]),
        )


def read(
    sources: str | Path | Sequence[str | Path],
    *,
    format: str | None = None,
    strict: bool = False,
    max_atoms: int = MAX_ATOMS,
    max_bytes: int = MAX_BYTES,
) -> ReadResult:
    """Crystals of files, folders (recursively), globs, or ``"-"`` for standard input.

    CIF, POSCAR, extended XYZ, Parquet, and JSON of the Materials Project, pymatgen and OPTIMADE,
    each also gzipped.  The format is told by the name, else by the content; ``format`` overrules.
    Oxidation states are stripped, deuterium and tritium are read as hydrogen.

    >>> from ase.build import bulk
    >>> from tempfile import TemporaryDirectory
    >>> from gnomon.io import write
    >>> with TemporaryDirectory() as folder:
    ...     write(f"{folder}/salt.cif", bulk("NaCl", "rocksalt", a=5.64))
    ...     found = read(f"{folder}/*.cif")
    >>> found.crystals, len(found.rejects)
    (<Crystals, 1: NaCl (2 atoms)>, 0)

    Args:
        sources: one or several of them.
        format: one of ``gnomon.io.FORMATS``.
        strict: raise at the first reject.
        max_atoms: atoms beyond which a crystal is rejected as too large.
        max_bytes: bytes beyond which a document, or a decompressed file, is.

    Returns:
        ``.crystals``, n of them (Å); ``.rows``, a table of what the files say of each (eV/atom);
        ``.rejects``, a table of what is no crystal, with reasons.

    Raises:
        InputError: if a source is not there, a glob matches nothing, a format is unknown, a named
            table holds no crystals, or, with ``strict``, at the first reject.
    """
    return ReadResult.joined(
        list(
            iter_read(
                sources, format=format, strict=strict, max_atoms=max_atoms, max_bytes=max_bytes
            )
        )
    )


def iter_read(
    sources: str | Path | Sequence[str | Path],
    *,
    format: str | None = None,
    strict: bool = False,
    max_atoms: int = MAX_ATOMS,
    max_bytes: int = MAX_BYTES,
    chunk: int = CHUNK,
) -> Iterator[ReadResult]:
    """What ``read`` returns, about ``chunk`` records at a time.

    Parquet and extended XYZ of any size stream in bounded memory; the other formats are held a
    file at a time.

    Raises:
        InputError: as ``read`` does; for the sources and the format, before the first chunk.
    """
    if min(chunk, max_atoms, max_bytes) < 1:
        raise InputError("chunk, max_atoms and max_bytes must be at least 1")
    found = find(sources, format)
    limits = Limits(max_atoms, max_bytes)
    return (_accept(parsed, strict) for parsed in _parsed(found, limits, chunk))


def _parsed(sources: list[Source], limits: Limits, chunk: int) -> Iterator[Parsed]:
    """Records of all sources in columns, checked; those of small files are gathered into chunks."""
    waiting: list[Record] = []

    def gathered() -> Parsed:
        return looked_at(screen(stack(waiting), limits))

    for source in sources:
        if source.format == "parquet":
            if waiting:
                yield gathered()
                waiting = []
            yield from (screen(part, limits) for part in _tables(source, limits, chunk))
            continue
        for record in _records(source, limits):
            waiting.append(record)
            if len(waiting) >= chunk:
                yield gathered()
                waiting = []
    if waiting:
        yield gathered()


def _records(source: Source, limits: Limits) -> Iterator[Record]:
    try:
        with stream(source, limits) as data:
            lost = 0
            for found in READERS[source.format](source.name, data, limits):
                lost = lost + 1 if found.content is None else 0
                if lost > GIVE_UP:
                    detail = f"{GIVE_UP} records without a crystal in a row: the rest is not read"
                    yield rejected(found.source, Reason.unreadable, detail)
                    return
                yield found
    except (OSError, EOFError, zlib.error, UnusableError) as error:
        yield _lost(source, error)


def _tables(source: Source, limits: Limits, chunk: int) -> Iterator[Parsed]:
    try:
        with stream(source, limits) as data:
            yield from parquet.parsed(source.name, data, limits, chunk)
    except InputError as error:
        # in a folder such a table is one of many files; by name it is a mistake
        if source.named:
            raise InputError(f"{source.name}: {error}") from error
        yield stack([rejected(source.name, Reason.unreadable, str(error))])
    except (OSError, EOFError, zlib.error, UnusableError) as error:
        yield stack([_lost(source, error)])


def _lost(source: Source, error: Exception) -> Record:
    """The reject for (the rest of) a file that cannot be read."""
    if isinstance(error, UnusableError):
        return rejected(source.name, error.reason, error.detail)
    return rejected(source.name, Reason.unreadable, f"{type(error).__name__}: {error}")


def _accept(parsed: Parsed, strict: bool) -> ReadResult:
    rejects = parsed.rejects()
    if strict and len(rejects):
        first = rejects.slice(0, 1).to_pylist()[0]
        named = f" ({first['source_id']})" if first["source_id"] else ""
        raise InputError(
            f"{first['source']}{named}: {first['reason']}: {first['detail']}; mend or leave out "
            "this record, or read without strict to get it listed among the rejects"
        )
    kept = np.flatnonzero(parsed.reasons == None)  # noqa: E711  (elementwise)
    atoms, offsets = ragged_take(parsed.offsets, kept)
    crystals = Crystals(
        parsed.lattice[kept], parsed.atomic_numbers[atoms], parsed.frac_coords[atoms], offsets
    )
    rows = parsed.labels.take(pa.array(kept))
    rows = rows.add_column(0, ROWS.field("id"), pa.array(crystals.ids, pa.string()))
    return ReadResult(crystals, rows.cast(ROWS), rejects)
