"""Candidates of any outside generator, a diffusion model say, that writes structures to files."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from gnomon.crystals import Crystals
from gnomon.elements import atomic_number
from gnomon.generate import CHUNK, Candidates
from gnomon.generate.chunks import rechunk
from gnomon.io import iter_read

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FileGenerator:
    """Structures of files as candidates, under the name of who made them.

    Attributes:
        paths: files, folders or globs of CIF, POSCAR, extended XYZ, Parquet or JSON.
        name: of the outside generator, in the lineage and the shares of finds.
        elements: candidates hold no others; None allows all.
        max_atoms: largest cell that is taken.

    Raises:
        ValueError: without a path or a name, for an unknown element or a size below 1.
    """

    paths: tuple[Path, ...]
    name: str
    elements: tuple[str, ...] | None = None
    max_atoms: int = 200

    def __post_init__(self) -> None:
        if not self.paths:
            raise ValueError("name at least one file of candidates")
        if not self.name.strip():
            raise ValueError("candidates of a file need a label: the name of who made them")
        for symbol in self.elements or ():
            atomic_number(symbol)
        if self.max_atoms < 1:
            raise ValueError(f"max_atoms must be at least 1, got {self.max_atoms}")

    def generate(self, parents: Crystals, *, seed: int = 0) -> Iterator[Candidates]:
        """Yield the structures in the order of the files; parents and seed have no influence.

        Of exact repeats in a chunk the first is taken; records that cannot be read are counted in
        the log.  The same crystal in another cell is left to whoever compares canonical ids, as a
        campaign does, or to ``gnomon duplicates``.

        Raises:
            InputError: if a file is not there.
        """
        yield from rechunk(self._parts(), CHUNK)

    def _parts(self) -> Iterator[Candidates]:
        rejected = doubtful = 0
        for result in iter_read(self.paths, chunk=CHUNK):
            rejected += len(result.rejects)
            doubtful += len(result.rows) - result.rows["warnings"].null_count
            crystals = result.crystals
            _, firsts = np.unique(crystals.ids.astype(str), return_index=True)
            kept = np.zeros(len(crystals), bool)
            kept[firsts] = True
            kept &= crystals.n_atoms <= self.max_atoms
            if self.elements is not None:
                own = [atomic_number(s) for s in self.elements]
                kept &= crystals.composition[:, own].sum(axis=1) == crystals.n_atoms
            if kept.any():
                yield self._candidates(crystals.take(kept), result.rows.filter(pa.array(kept)))
        if rejected:
            _log.warning("%d records of %s cannot be used", rejected, self.name)
        if doubtful:
            _log.warning("%d records of %s come with warnings", doubtful, self.name)

    def _candidates(self, crystals: Crystals, rows: pa.Table) -> Candidates:
        sources = zip(rows["source"].to_pylist(), rows["source_id"].to_pylist(), strict=True)
        changes = [f"{source} ({own})" if own else source for source, own in sources]
        return Candidates.of(crystals, self.name, changes)
