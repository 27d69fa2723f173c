"""Crystals to and from Arrow tables: the columns are taken as they are, nothing is looped over."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float64, Int64

from gnomon.crystals import Crystals
from gnomon.io.reasons import InputError

GEOMETRY = ("lattice", "atomic_numbers", "frac_coords")
"""Columns that a table of crystals must have."""

CRYSTALS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),  # content id
        pa.field("reduced_formula", pa.string(), nullable=False),
        pa.field("lattice", pa.list_(pa.float64(), 9), nullable=False),  # Å, rows a b c
        pa.field("atomic_numbers", pa.list_(pa.uint8()), nullable=False),
        pa.field("frac_coords", pa.list_(pa.float64()), nullable=False),  # 3 an atom
    ]
)
"""Columns of a table of crystals."""


def to_arrow(crystals: Crystals) -> pa.Table:
    """The crystals as a table (schema ``CRYSTALS``).

    Raises:
        pyarrow.ArrowInvalid: beyond 2^31 coordinates, which one column of lists cannot index.
    """
    numbers, frac = crystals.atomic_numbers, crystals.frac_coords
    columns = [
        pa.array(crystals.ids, pa.string()),
        pa.array(crystals.reduced_formulas, pa.string()),
        pa.FixedSizeListArray.from_arrays(pa.array(crystals.lattice.reshape(-1)), 9),
        pa.ListArray.from_arrays(pa.array(crystals.offsets, pa.int32()), pa.array(numbers)),
        pa.ListArray.from_arrays(
            pa.array(crystals.offsets * 3, pa.int32()), pa.array(frac.reshape(-1))
        ),
    ]
    return pa.Table.from_arrays(
        [a.cast(f.type) for a, f in zip(columns, CRYSTALS, strict=True)], schema=CRYSTALS
    )


def from_arrow(table: pa.Table) -> Crystals:
    """The crystals of a table with the columns ``GEOMETRY``; other columns are not looked at.

    Lists may be chunked, sliced, of fixed size or large.

    Raises:
        InputError: if a column is missing or no list of numbers, a row is null, or the lengths
            of a row disagree.
        ValueError: if a row is no crystal (``Crystals`` says why).
    """
    geometry = Geometry.of(table)
    if len(geometry.misshapen):
        raise InputError(
            f"row {geometry.misshapen[0]} (one of {len(geometry.misshapen)} such rows) is null or "
            "its lists do not hold 9, n and 3 n numbers: drop such rows, or read the file with "
            "gnomon.io.read, which lists them as rejects"
        )
    return Crystals(
        geometry.lattice, geometry.atomic_numbers, geometry.frac_coords, geometry.offsets
    )


@dataclass(frozen=True, eq=False)
class Geometry:
    """The three columns as arrays, not yet checked.  A misshapen row has no atoms."""

    lattice: Float64[np.ndarray, "n 3 3"]
    atomic_numbers: Int64[np.ndarray, " atoms"]
    frac_coords: Float64[np.ndarray, "atoms 3"]
    offsets: Int64[np.ndarray, " n_plus_1"]
    misshapen: Int64[np.ndarray, " rows"]

    @classmethod
    def of(cls, table: pa.Table) -> "Geometry":
        """The columns of a table.

        Raises:
            InputError: if a column is missing or no list of numbers.
        """
        check_columns(table.schema)
        lattice, cells = _values(table, "lattice")
        numbers, counts = _values(table, "atomic_numbers")
        frac, lengths = _values(table, "frac_coords")
        good = (cells == 9) & (counts >= 0) & (lengths == 3 * counts)
        matrices = np.zeros((len(good), 9))
        matrices[good] = lattice[_of_rows(good, cells)].reshape(-1, 9)
        return cls(
            lattice=matrices.reshape(-1, 3, 3),
            # a missing number (NaN) and 1.5 are no elements: 0 fails the check that follows
            atomic_numbers=np.where(
                (numbers >= 1) & (numbers <= 255) & (numbers == np.floor(numbers)), numbers, 0
            ).astype(np.int64)[_of_rows(good, counts)],
            frac_coords=frac[_of_rows(good, lengths)].reshape(-1, 3),
            offsets=np.concatenate([[0], np.cumsum(np.where(good, counts, 0))]),
            misshapen=np.flatnonzero(~good),
        )


def check_columns(schema: pa.Schema) -> None:
    """Refuse a table that cannot hold crystals.

    Raises:
        InputError: naming the columns that are missing or of another type.
    """
    missing = [name for name in GEOMETRY if len(schema.get_all_field_indices(name)) != 1]
    if missing:
        raise InputError(
            f"a table of crystals needs the columns {', '.join(GEOMETRY)}; missing: "
            f"{', '.join(missing)}; found: {', '.join(schema.names[:20]) or 'none'}"
        )
    for name in GEOMETRY:
        kind = schema.field(name).type
        if not (_is_list(kind) and _is_number(kind.value_type)):
            raise InputError(f"the column {name} must hold lists of numbers, not {kind}")


def _values(
    table: pa.Table, name: str
) -> tuple[Float64[np.ndarray, " values"], Int64[np.ndarray, " n"]]:
    """All values of a list column, one after the other, and the length of each row (-1: null)."""
    column = table[name]
    lengths = pc.list_value_length(column).cast(pa.int64()).fill_null(-1)
    # flatten leaves out what lies under null rows and outside of a slice
    values = pc.list_flatten(column).cast(pa.float64(), safe=False)
    return (
        np.asarray(values.to_numpy(), np.float64),
        np.asarray(lengths.to_numpy(), np.int64),
    )


def _of_rows(
    good: Bool[np.ndarray, " n"], lengths: Int64[np.ndarray, " n"]
) -> slice | Bool[np.ndarray, " values"]:
    return slice(None) if good.all() else np.repeat(good, np.maximum(lengths, 0))


def _is_list(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))
