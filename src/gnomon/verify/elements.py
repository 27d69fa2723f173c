"""Evaluations of elements, kept for all verifications in one energy scheme.

Every verification needs the same few elements in the same structures, and at the level of DFT
they cost as much as the finds.  One Parquet file a scheme, in gnomon's cache, holds the converged
ones; its name is a hash of the scheme, and each row names the scheme in full.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gnomon.evaluate import Status
from gnomon.hull.phases import SchemeMismatch
from gnomon.run.store import SCHEMAS
from gnomon.run.writing import StoreError, write_parquet

COLUMNS = pa.schema([f for f in SCHEMAS["evaluations"] if f.name not in ("round", "level")])


@dataclass(frozen=True)
class ElementCache:
    """Evaluations of elements in one scheme.

    Attributes:
        folder: with a file for each scheme.
        scheme: whose energies are kept.
    """

    folder: Path
    scheme: str

    @property
    def path(self) -> Path:
        """The file of the scheme."""
        return self.folder / f"{hashlib.sha256(self.scheme.encode()).hexdigest()[:16]}.parquet"

    def rows(self) -> pa.Table:
        """All that is kept.

        Raises:
            StoreError: if the file is damaged.
            SchemeMismatch: if it holds energies of another scheme.
        """
        if not self.path.is_file():
            return COLUMNS.empty_table()
        try:
            found = pq.read_table(self.path, schema=COLUMNS)
        except (pa.ArrowException, OSError) as error:
            raise StoreError(
                f"{self.path} cannot be read ({error}): delete it, and the elements are "
                "evaluated anew"
            ) from error
        for other in pc.unique(found["scheme"]).to_pylist():
            if other != self.scheme:
                raise SchemeMismatch(
                    f"{self.path} holds energies of {other!r}, not of {self.scheme!r}: delete it"
                )
        return found

    def add(self, rows: pa.Table) -> None:
        """Keep the converged rows of ``rows`` (columns of ``gnomon.evaluate.table.rows_of``).

        Raises:
            StoreError: if the file cannot be written.
        """
        before = self.rows()
        converged = pc.equal(rows["status"], Status.CONVERGED.value)
        new = rows.filter(pc.and_(converged, pc.invert(pc.is_in(rows["id"], before["id"]))))
        if len(new):
            after = pa.concat_tables([before, new.select(COLUMNS.names).cast(COLUMNS)])
            write_parquet(self.path, after)
