"""Files of frames, parsed but not checked: Parquet in columns, extended XYZ and JSON one by one."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Bool, Float64, Int

from gnomon.io import document_claims, documents, extxyz, extxyz_claims, parquet
from gnomon.io.extxyz import VIRIALS, matrix
from gnomon.io.labels import SCHEME_KEY, Labels
from gnomon.io.reasons import InputError, Reason, UnusableError, contradiction
from gnomon.io.records import Content, Facts, Limits, Parsed, Record, record, rejected, stack
from gnomon.io.sources import Source, find, stream

READERS = {"extxyz": extxyz.records, "json": documents.records}
"""Readers of files of frames, which hand over one by one; Parquet goes in columns."""

FORMATS = ("parquet", *READERS)
"""Formats of files of frames."""

LABELS = frozenset({"energy", "forces", "stress"})
"""Columns of labels of a Parquet table."""

READ = frozenset({*LABELS, *VIRIALS})
"""Keys of labels that are read."""

KNOWN = frozenset(
    {
        *extxyz.ID_KEYS,
        *document_claims.COUNTS,
        *(f.name for f in fields(Facts)),
        *("energy_above_hull", "numbers", "positions", "volume", "density", "density_atomic"),
        *("first", SCHEME_KEY, "nelements", "cell", "pbc"),
        *(*extxyz_claims.SPECIES, *extxyz_claims.NUMBERS),
        *(*extxyz_claims.FRACTIONS, *extxyz_claims.MASS_COLUMNS),
    }
)
"""Keys of other things that are read, or held against what is."""

MOST = 20
"""Names that are listed."""

MAX_STRESS = 2.0
"""eV/Å^3, 320 GPa: what is beyond is in GPa or kbar, as a rule."""

MAX_NET = 0.05
"""eV/Å an atom: forces of a periodic crystal add up to zero, unless some were held fixed."""

KINDS = ("energy", "energies", "force", "stress", "virial", "dipole", "magmom", "charge")
"""How the words begin that name a label."""

NO_LABELS = frozenset({"above", "formation", "per", "scheme"})
"""Words, less their s, of names that speak of an energy and are facts of another kind."""


class Columns(NamedTuple):
    """What was parsed of n frames, row by row the same.

    Attributes:
        parsed: the geometries.
        labels: NaN where a frame has none.
        first: which are the unrelaxed starts of relaxations.
        scheme: that the file names, if it does.
    """

    parsed: Parsed
    labels: Labels
    first: Bool[np.ndarray, " n"]
    scheme: str | None


def parsed(source: Source, limits: Limits, chunk: int) -> Iterator[Columns]:
    """Geometries and labels of a file, about ``chunk`` frames at a time.

    Raises:
        InputError: if the file holds no frames, or frames of several schemes.
    """
    if source.format not in FORMATS:
        raise InputError(f"{source.name}: frames are read from {', '.join(FORMATS)}")
    return (_tables if source.format == "parquet" else _documents)(source, limits, chunk)


def files(sources: str | Path | Sequence[str | Path]) -> Iterator[Source]:
    """The files that the sources name; of a folder, those directly inside."""
    given = [sources] if isinstance(sources, str | Path) else list(sources)
    for path in map(Path, given):
        if not path.is_dir():
            yield from find(path, None)
            continue
        names = sorted(p for p in path.iterdir() if not p.name.startswith("."))
        inside = [p for p in names if p.suffix == ".parquet" or ".extxyz" in p.suffixes[-2:]]
        if not inside:
            raise InputError(f"{path}: no *.parquet or *.extxyz directly in this folder")
        yield from find(inside, None)


# --- Parquet ----------------------------------------------------------------------------------


def _tables(source: Source, limits: Limits, chunk: int) -> Iterator[Columns]:
    """Frames of a Parquet file, columns as they are."""
    with stream(source, limits) as data:
        seekable = parquet.seekable_of(data, limits)
        try:
            file = pq.ParquetFile(seekable)
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{source.name}: damaged, or no Parquet file: {error}") from error
        if "energy" not in file.schema_arrow.names:
            raise InputError(f"{source.name}: no frames: it lacks the column energy (eV a cell)")
        scheme = (file.schema_arrow.metadata or {}).get(SCHEME_KEY.encode(), b"").decode()
        try:
            rows = parquet.check_size(seekable, limits, file.schema_arrow.names)
        except UnusableError as error:
            raise InputError(f"{source.name}: {error.detail}") from error
        row, names = 0, file.schema_arrow.names
        wanted = [name for name in names if name in parquet.COLUMNS | LABELS | {"first"}]
        for batch in file.iter_batches(
            batch_size=min(chunk, rows), columns=wanted, use_threads=False
        ):
            yield _table(pa.table(batch), source.name, row, scheme or None, names)
            row += batch.num_rows


def _table(
    table: pa.Table, source: str, row: int, scheme: str | None, names: Sequence[str]
) -> Columns:
    parsed = parquet.columns(table, source, row)
    n, counts = len(parsed.lattice), np.diff(parsed.offsets)
    forces, odd_forces = _lists(table, "forces", 3 * counts)
    stress, odd_stress = _lists(table, "stress", np.full(n, 9))
    first = table["first"].to_numpy() if "first" in table.column_names else np.zeros(n, bool)
    bad = (odd_forces | odd_stress) & (parsed.reasons == None)  # noqa: E711  (elementwise)
    parsed.reasons[bad] = Reason.unreadable
    parsed.details[bad] = "lists of forces and stress that do not hold 3 n and 9 numbers"
    others = {name for name in names if name not in KNOWN | LABELS}
    if unread := sorted(filter(_is_label, others)):
        said = pa.array([f"labels that are not read: {', '.join(unread[:MOST])}"] * n, pa.string())
        at = parsed.labels.schema.get_field_index("warnings")
        parsed = replace(parsed, labels=parsed.labels.set_column(at, "warnings", said))
    energy = np.asarray(table["energy"].cast(pa.float64()).to_numpy(), np.float64)
    labels = Labels(energy, forces.reshape(-1, 3), stress.reshape(-1, 3, 3))
    # a null is not the start of a relaxation
    return Columns(parsed, labels, first == True, scheme)  # noqa: E712


def _lists(
    table: pa.Table, name: str, wanted: Int[np.ndarray, " n"]
) -> tuple[Float64[np.ndarray, " values"], Bool[np.ndarray, " n"]]:
    """Values of a list column, NaN where a row is null, and which rows have another length."""
    values = np.full(int(wanted.sum()), np.nan)
    if name not in table.column_names:
        return values, np.zeros(len(wanted), bool)
    lengths = pc.list_value_length(table[name]).cast(pa.int64()).fill_null(-1).to_numpy()
    good = lengths == wanted
    flat = pc.list_flatten(table[name]).cast(pa.float64()).to_numpy()
    values[np.repeat(good, wanted)] = flat[np.repeat(good, np.maximum(lengths, 0))]
    return values, (lengths >= 0) & ~good


# --- extended XYZ and JSON --------------------------------------------------------------------


class _Label(NamedTuple):
    """What a document says of its crystal."""

    labels: Labels
    first: bool
    scheme: str | None

    @classmethod
    def of(cls, facts: Mapping[str, Any], n_atoms: int, volume: float = 1.0) -> _Label:
        """From ``energy``, ``forces``, and ``stress`` or ``virial`` (9 numbers, or 6 of Voigt's).

        The stress of a virial W is -W / volume.
        """
        energy, forces, stress = (facts.get(name) for name in ("energy", "forces", "stress"))
        virials = [matrix(facts[name]) for name in VIRIALS if facts.get(name) is not None]
        if virials and not np.allclose(virials[0], virials[-1], 0.01, 1e-3):
            raise contradiction(f"{' and '.join(VIRIALS)} differ")
        stress = None if stress is None else matrix(stress)
        if virials:
            of_virial = -virials[0] / volume
            if stress is not None and not np.allclose(of_virial, stress, 0.01, 1e-3):
                raise contradiction("the stress is not -virial / volume")
            stress = of_virial
        unread = {n for n in map(str, facts) if n not in KNOWN | READ and "unit" not in n.lower()}
        for what, names in (
            ("labels", sorted(filter(_is_label, unread))),
            ("keys", sorted(n for n in unread if not _is_label(n) and _is_numeric(facts.get(n)))),
        ):
            if names:
                warnings.warn(f"{what} that are not read: {', '.join(names[:MOST])}", stacklevel=1)
        if stress is not None and np.abs(stress).max() > MAX_STRESS:
            warnings.warn(f"a stress above {MAX_STRESS} eV/Å^3: in another unit?", stacklevel=1)
        labels = Labels.none(1, n_atoms)
        for column, given in zip(labels, (energy, forces, stress), strict=True):
            if given is not None:
                column[...] = np.asarray(given, np.float64).reshape(column.shape)
        if np.linalg.norm(labels.forces.sum(axis=0)) > MAX_NET * max(n_atoms, 1):
            warnings.warn("forces that do not add up to zero", stacklevel=1)
        scheme = facts.get(SCHEME_KEY)
        return cls(labels, bool(facts.get("first", False)), None if scheme is None else str(scheme))


def _is_label(name: object) -> bool:
    """Whether a name is that of an energy, a force or the like that nothing here reads."""
    words = str(name).lower().replace("-", "_").split("_")
    return not {word.removesuffix("s") for word in words} & NO_LABELS and any(
        word.startswith(kind) for word in words for kind in KINDS
    )


def _is_numeric(value: object) -> bool:
    """Whether a value is a number, or several of them."""
    try:
        found = np.asarray(value)
    except ValueError:
        return False
    return np.issubdtype(found.dtype, np.number) and found.size > 0


def _documents(source: Source, limits: Limits, chunk: int) -> Iterator[Columns]:
    """Frames of a file that is read one after the other."""
    waiting: list[tuple[Record, _Label | None]] = []
    for item in _records(source, limits):
        waiting.append(item)
        if len(waiting) == chunk:
            yield _columns(waiting)
            waiting = []
    if waiting:
        yield _columns(waiting)


def _records(source: Source, limits: Limits) -> Iterator[tuple[Record, _Label | None]]:
    number = 0
    try:
        with stream(source, limits) as data:
            for found in READERS[source.format](source.name, data, limits):
                yield _labelled(found)
                number += 1
    except (OSError, EOFError, zlib.error, ValueError) as error:
        detail = f"the rest of the file: {type(error).__name__}: {error}"
        yield rejected(f"{source.name}#{number}", Reason.unreadable, detail), None


def _labelled(found: Record) -> tuple[Record, _Label | None]:
    """A record and its labels; where those cannot be understood, the record is a reject."""
    if found.content is None:
        return found, None
    given, labels = found.content, list[_Label]()

    def parse() -> Content:
        volume = abs(float(np.linalg.det(given.lattice)))
        labels.append(_Label.of(given.labels, len(given.atomic_numbers), volume))
        return given

    made = record(found.source, parse, found.source_id)
    said = "; ".join(text for text in (found.warnings, made.warnings) if text)
    made = replace(made, warnings=said or None)
    return made, labels[0] if made.content is not None else None


def _columns(items: Sequence[tuple[Record, _Label | None]]) -> Columns:
    parsed = stack([r for r, _ in items])
    nothing = _Label.of({}, 0)
    labels = [nothing if label is None else label for _, label in items]
    schemes = list(dict.fromkeys(label.scheme for _, label in items if label is not None))
    if len(schemes) > 1:
        raise InputError(f"{items[0][0].source} and later frames are of several schemes: {schemes}")
    return Columns(
        parsed,
        Labels(*map(np.concatenate, zip(*(label.labels for label in labels), strict=True))),
        np.array([label.first for label in labels], bool),
        schemes[0] if schemes else None,
    )
