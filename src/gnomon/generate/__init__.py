"""Generators: parents in, candidates out, in chunks and with lineage.  One generator a file."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float

from gnomon.crystals import Crystals
from gnomon.run.store import ROUND, SCHEMAS

CHUNK = 10_000
"""Candidates in a chunk, about: what a generator may hold in memory at a time."""

LINEAGE = pa.schema([field for field in SCHEMAS["lineage"] if field.name != ROUND.name])
"""Columns of a lineage table, one row for each candidate (``Candidates.of``)."""


@dataclass(frozen=True)
class Candidates:
    """A chunk of candidates and, row by row, where they come from.

    >>> from gnomon.generate.registry import generator
    >>> chunk = next(generator("prototypes", "Au").generate(Crystals.empty()))
    >>> chunk.crystals[0], chunk.lineage["generator"][0].as_py()
    (<Crystals, 1: Au (1 atoms)>, 'prototypes')
    >>> len(chunk.take(chunk.crystals.n_atoms == 1).crystals)
    5

    Attributes:
        crystals: n of them.
        lineage: n rows with the columns of ``LINEAGE``, in the same order.
    """

    crystals: Crystals
    lineage: pa.Table

    @classmethod
    def of(
        cls,
        crystals: Crystals,
        generator: str,
        change: Sequence[str],
        *,
        parent_id: Sequence[str | None] | str | None = None,
        score: Float[np.ndarray, " n"] | float | None = None,
    ) -> "Candidates":
        """Candidates with their lineage; one parent or one score stands for all.

        Args:
            crystals: the candidates.
            generator: its name.
            change: what was changed in each, for people to read.
            parent_id: id of the parent crystal, None for a prototype.
            score: the generator's own preference, higher is better.
        """
        n = len(crystals)
        columns = {
            "id": crystals.ids.tolist(),
            "parent_id": [parent_id] * n
            if parent_id is None or isinstance(parent_id, str)
            else parent_id,
            "generator": [generator] * n,
            "change": change,
            "score": score if isinstance(score, np.ndarray) else [score] * n,
        }
        return cls(crystals, pa.table(columns, schema=LINEAGE))

    def take(self, kept: Bool[np.ndarray, " n"]) -> "Candidates":
        """Those where a mask is true."""
        if kept.all():
            return self
        return Candidates(self.crystals[kept], self.lineage.filter(pa.array(kept)))


@runtime_checkable
class Generator(Protocol):
    """Anything that turns parents into candidates; ``gnomon.generator`` makes one by name.

    >>> from gnomon.generate.registry import generator
    >>> isinstance(generator("prototypes", "Au-Cu"), Generator)
    True
    """

    @property
    def name(self) -> str:
        """Name in configuration and lineage, such as ``prototypes``."""

    def generate(self, parents: Crystals, *, seed: int = 0) -> Iterator[Candidates]:
        """Yield chunks of about ``CHUNK`` candidates.

        Args:
            parents: to change; those built in take any crystals (``gnomon.io.as_crystals``).
            seed: the same one gives the same chunks.

        Raises:
            ValueError: if the parents are no crystals.
        """
