"""The columns of an index: one row a crystal, each column with what it is and its unit."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float64, Int32, Int64

from gnomon.io.arrow import CRYSTALS, GEOMETRY
from gnomon.io.tables import column

NUMBER, TEXT = "number", "text"
"""Kinds of columns."""

DETAILS = "details"
"""The column of what the page of a crystal shows beside the other columns, as JSON."""

FACTS = pa.schema(
    [
        column("id", pa.string(), "of the row: the content id of the crystal as proposed or given"),
        column("content_id", pa.string(), "content id of the crystal that is shown"),
        column("source", pa.string(), "campaign or file"),
        column("source_id", pa.string(), "name in its source"),
        column("reduced_formula", pa.string(), "reduced formula"),
        column("chemical_system", pa.string(), "elements"),
        column("n_elements", pa.float64(), "number of elements", unit="1"),
        column("n_atoms", pa.float64(), "atoms in the cell", unit="1"),
        column("space_group", pa.float64(), "number of the space group (0.1 Å)", unit="1"),
        column("crystal_system", pa.string(), "of the space group"),
        column("prototype", pa.string(), "label of the prototype"),
        column("volume_per_atom", pa.float64(), "volume", unit="Å³/atom"),
        column("density", pa.float64(), "mass density", unit="g/cm³"),
        column("formation_energy_per_atom", pa.float64(), "formation energy", unit="eV/atom"),
        column("e_above_hull", pa.float64(), "energy above the hull", unit="eV/atom"),
        column("probability_stable", pa.float64(), "probability of being stable", unit="1"),
        column("level", pa.float64(), "level of evaluation, 0 screens", unit="1"),
        column("scheme", pa.string(), "energy scheme"),
        column("status", pa.string(), "what became of it"),
        column("generator", pa.string(), "what proposed it"),
        column("round", pa.float64(), "round of the campaign, 0 for references", unit="1"),
    ]
)
"""Columns that every index has; null where a source does not say."""

SCHEMA = pa.schema([*FACTS, *(CRYSTALS.field(name) for name in GEOMETRY), (DETAILS, pa.string())])
"""All of them, and the geometry."""


@dataclass(frozen=True, eq=False)
class Column:
    """One column of n rows, ready to be searched.

    Attributes:
        name, description, unit: as in its table; the unit of a number without one is ``1``.
        values: (n,), numbers, NaN where there is none; of texts places in ``words``, -1 for none.
        words: sorted texts; None for numbers.
    """

    name: str
    description: str
    unit: str
    values: Float64[np.ndarray, " n"] | Int32[np.ndarray, " n"]
    words: tuple[str, ...] | None = None

    @classmethod
    def of(cls, field: pa.Field, data: pa.ChunkedArray) -> Column:
        """From a column of a table of numbers or texts."""
        said = {k.decode(): v.decode() for k, v in (field.metadata or {}).items()}
        about = (field.name, said.get("description", field.name), said.get("unit", ""))
        if pa.types.is_floating(data.type):
            return cls(*about, np.array(data.to_numpy(zero_copy_only=False), np.float64))
        coded = pc.dictionary_encode(data).combine_chunks()
        coded = coded.chunk(0) if isinstance(coded, pa.ChunkedArray) else coded
        words = coded.dictionary.to_pylist()
        order = sorted(range(len(words)), key=words.__getitem__)
        ranks = np.full(len(words) + 1, -1, np.int32)
        ranks[order] = np.arange(len(words), dtype=np.int32)
        codes = pc.fill_null(coded.indices, len(words)).to_numpy(zero_copy_only=False)
        return cls(*about, ranks[codes], tuple(words[i] for i in order))

    @property
    def kind(self) -> str:
        """``number`` or ``text``."""
        return NUMBER if self.words is None else TEXT

    @cached_property
    def known(self) -> np.ndarray:
        """(n,), which rows have a value."""
        return np.isfinite(self.values) if self.words is None else self.values >= 0

    @cached_property
    def order(self) -> Int64[np.ndarray, " n"]:
        """Rows by rising value, those without one last."""
        order = np.argsort(self.values, kind="stable")
        return np.concatenate([order[self.known[order]], np.flatnonzero(~self.known)])

    @cached_property
    def falling(self) -> Int64[np.ndarray, " n"]:
        """Rows by falling value, those without one last."""
        n = int(self.known.sum())
        order = np.argsort(-self.values, kind="stable")
        return np.concatenate([order[self.known[order]][:n], np.flatnonzero(~self.known)])

    @property
    def range(self) -> tuple[float, float] | None:
        """Lowest and highest number."""
        if self.words is not None or not self.known.any():
            return None
        there = self.values[self.known]
        return float(there.min()), float(there.max())

    def at(self, row: int) -> int | float | str | None:
        """The value of a row; whole numbers as such."""
        if not self.known[row]:
            return None
        value = self.values[row]
        if self.words is not None:
            return self.words[int(value)]
        return int(value) if value == np.floor(value) and abs(value) < 2**53 else float(value)
