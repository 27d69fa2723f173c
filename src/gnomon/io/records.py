"""Records: what a parser hands over, and the one boundary at which its failures become data."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float64, Int64, Shaped

from gnomon.io.reasons import REJECTS, ROWS, Reason, UnusableError, contradiction

MAX_TEXT = 500
"""Characters of a detail or a warning that are kept: a parser may quote its whole input."""

MAX_YEAR = 9999
"""Largest year: a column with larger numbers holds something else."""

SAME_ENERGY = 1e-3
"""eV/atom within which two statements of one energy agree."""

LABELS = pa.schema([f for f in ROWS if f.name != "id"])
"""Columns that describe a record before it has a content id."""


@dataclass(frozen=True)
class Limits:
    """Sizes beyond which a record is rejected as too large instead of being parsed."""

    max_atoms: int
    max_bytes: int


@dataclass(frozen=True)
class Facts:
    """What a source says of a crystal besides its geometry; None where it does not say."""

    formation_energy_per_atom: float | None = None
    energy_per_atom: float | None = None
    e_above_hull: float | None = None
    year: int | None = None

    @classmethod
    def of(cls, document: Any) -> "Facts":
        """Facts in a mapping, under the names of gnomon or of the Materials Project."""
        e_above_hull = document.get("e_above_hull", document.get("energy_above_hull"))
        agree("e_above_hull", e_above_hull, "energy_above_hull", document.get("energy_above_hull"))
        year = _number(document.get("year"))
        if year is not None and not 0 <= year <= MAX_YEAR:
            raise UnusableError(Reason.unreadable, f"{year} is not a year")
        return cls(
            formation_energy_per_atom=_number(document.get("formation_energy_per_atom")),
            energy_per_atom=_number(document.get("energy_per_atom")),
            e_above_hull=_number(e_above_hull),
            year=None if year is None else int(year),
        )


def agree(name: str, value: Any, other: str, expected: Any) -> None:
    """Refuse two numbers that are one, eV or eV/atom, and differ; what is none is passed over.

    Raises:
        UnusableError: ``contradictory``.
    """
    numbers = (int, float, np.number)
    if not (isinstance(value, numbers) and isinstance(expected, numbers)):
        return
    if abs(value - expected) > SAME_ENERGY:
        raise contradiction(f"{name} is {value:g}, {other} says {expected:g}")


@dataclass(frozen=True)
class Content:
    """What a parser read: one crystal, of any shape until ``record`` has checked it.

    Attributes:
        lattice: (3, 3), Å.
        atomic_numbers: (atoms,).
        frac_coords: (atoms, 3).
        source_id: the source's own name.
        facts: energies and year.
        labels: whatever else the source says, by its own names: energy, forces, stress of a frame.
    """

    lattice: np.ndarray
    atomic_numbers: np.ndarray
    frac_coords: np.ndarray
    source_id: str | None = None
    facts: Facts = field(default_factory=Facts)
    labels: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """One record of a source: its content, or the reason why there is none."""

    source: str
    source_id: str | None = None
    content: Content | None = None
    reason: Reason | None = None
    detail: str = ""
    warnings: str | None = None


@dataclass(frozen=True, eq=False)
class Parsed:
    """Records in columns, before the checks; rejected ones have a reason and no atoms."""

    lattice: Float64[np.ndarray, "n 3 3"]
    atomic_numbers: Int64[np.ndarray, " atoms"]
    frac_coords: Float64[np.ndarray, "atoms 3"]
    offsets: Int64[np.ndarray, " n_plus_1"]
    labels: pa.Table
    reasons: Shaped[np.ndarray, " n"]  # Reason or None
    details: Shaped[np.ndarray, " n"]  # str

    @classmethod
    def of(cls, given: Any) -> "Parsed":
        """The geometries of anything in columns, such as ``Crystals``; none rejected yet."""
        n = len(given.lattice)
        return cls(
            given.lattice,
            given.atomic_numbers.astype(np.int64),
            given.frac_coords,
            given.offsets,
            pa.table({f.name: pa.nulls(n, f.type) for f in LABELS}),
            np.full(n, None, object),
            np.full(n, "", object),
        )

    def rejects(self) -> pa.Table:
        """The rejected records, in order (schema ``REJECTS``)."""
        where = np.flatnonzero(self.reasons != None)  # noqa: E711  (elementwise)
        labels = self.labels.take(pa.array(where))
        return pa.table(
            {
                "source": labels["source"],
                "source_id": labels["source_id"],
                "reason": pa.array([str(r) for r in self.reasons[where]], pa.string()),
                "detail": pa.array(self.details[where].tolist(), pa.string()),
            },
            schema=REJECTS,
        )


# Words by which the libraries name a failure that has a reason of its own.
_SAYINGS = (
    (Reason.partial_occupancy, ("occupanc", "Occupanc")),
    (Reason.zero_volume, ("thickness=", "Singular matrix")),
    (Reason.not_finite, ("NaN to integer", "infinity to integer", "infs or NaNs")),
)


def record(source: str, parse: Callable[[], Content], source_id: str | None = None) -> Record:
    """Run a parser on one record; whatever it raises or warns of becomes part of the record.

    This is the one place where everything is caught.  pymatgen and ASE promise nothing about what
    they raise on damaged text (KeyError, IndexError, RecursionError, MemoryError, ZeroDivisionError
    and more have been seen), and one bad record must not cost the others.
    """
    content = None
    reason, detail = None, ""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            content = shaped(parse())
        except UnusableError as error:
            reason, detail = error.reason, error.detail
        except Exception as error:  # see above
            reason, detail = _reason(error), f"{type(error).__name__}: {error}"
    notes = "; ".join(dict.fromkeys(str(w.message) for w in caught))
    own_id = source_id if content is None else content.source_id or source_id
    return Record(
        source=source,
        source_id=None if own_id is None else _one_line(str(own_id)),
        content=content,
        reason=reason,
        detail=_one_line(detail),
        warnings=_one_line(notes) or None,
    )


def rejected(source: str, reason: Reason, detail: str, source_id: str | None = None) -> Record:
    """A record that was found but could not be read."""
    return Record(source, source_id, reason=reason, detail=_one_line(detail))


def stack(records: Sequence[Record]) -> Parsed:
    """Records in columns, in order."""
    contents = [r.content for r in records]
    numbers = [np.zeros(0, np.int64) if c is None else c.atomic_numbers for c in contents]
    lattice = [np.zeros((3, 3)) if c is None else c.lattice for c in contents]
    frac = [np.zeros((0, 3)) if c is None else c.frac_coords for c in contents]
    columns: dict[str, list[Any]] = {
        "source": [r.source for r in records],
        "source_id": [r.source_id for r in records],
        "warnings": [r.warnings for r in records],
    }
    facts = [Facts() if c is None else c.facts for c in contents]
    for name in (f.name for f in fields(Facts)):
        columns[name] = [getattr(f, name) for f in facts]
    return Parsed(
        lattice=np.array(lattice, np.float64).reshape(-1, 3, 3),
        atomic_numbers=np.concatenate([np.zeros(0, np.int64), *numbers]),
        frac_coords=np.concatenate([np.zeros((0, 3)), *frac]),
        offsets=np.cumsum([0, *map(len, numbers)]),
        labels=pa.table({f.name: pa.array(columns[f.name], f.type) for f in LABELS}),
        reasons=np.array([r.reason for r in records], dtype=object),
        details=np.array([r.detail for r in records], dtype=object),
    )


def fractional(lattice: Any, cart_coords: Any) -> Float64[np.ndarray, "atoms 3"]:
    """Fractional coordinates of Cartesian ones (both Å).

    Raises:
        UnusableError: if the cell is flat, so that there are none.
    """
    rows = np.asarray(lattice, np.float64).reshape(3, 3)
    cart = np.asarray(cart_coords, np.float64).reshape(-1, 3)
    try:
        return np.linalg.solve(rows.T, cart.T).T
    except np.linalg.LinAlgError as error:
        raise UnusableError(Reason.zero_volume, f"the cell {rows.tolist()} is flat") from error


def shaped(content: Content) -> Content:
    """The same with arrays of their shapes and types.

    Raises:
        UnusableError: if they cannot have them.
    """
    numbers = np.asarray(content.atomic_numbers)
    if not np.issubdtype(numbers.dtype, np.integer) and numbers.size:
        raise UnusableError(Reason.unknown_element, f"atomic numbers of type {numbers.dtype}")
    numbers = numbers.astype(np.int64)
    frac = np.asarray(content.frac_coords, np.float64).reshape(-1, 3)
    if numbers.shape != (len(frac),):
        raise UnusableError(Reason.unreadable, f"{len(numbers)} elements for {len(frac)} positions")
    lattice = np.asarray(content.lattice, np.float64).reshape(3, 3)
    return replace(content, lattice=lattice, atomic_numbers=numbers, frac_coords=frac)


def _reason(error: Exception) -> Reason:
    text = str(error)
    for reason, words in _SAYINGS:
        if any(word in text for word in words):
            return reason
    return Reason.unreadable


def _one_line(text: str) -> str:
    # a lone surrogate, which damaged JSON can hold, fits neither UTF-8 nor Arrow
    line = " ".join(text.encode("utf-8", "replace").decode("utf-8").split())
    return line if len(line) <= MAX_TEXT else line[:MAX_TEXT] + " ..."


def _number(value: Any) -> float | None:
    """A number, or None where it is absent (null and NaN both say so in the wild).

    Raises:
        UnusableError: if it is infinite or no number at all.
    """
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise UnusableError(Reason.unreadable, f"{value!r} is not an energy or a year") from error
    if np.isinf(number):
        raise UnusableError(Reason.not_finite, f"an energy or a year is {number}")
    return None if np.isnan(number) else number
