"""The campaign folder: append-only Parquet shards, markers of finished stages, provenance, a lock.

Every file is written under a temporary name and then renamed, so that a kill at any moment leaves
whole files only and loses at most the one in work:

    campaign/  config.toml  provenance.json  campaign.log  .lock
      crystals/round=001/part-0000.parquet   lineage/...  screening/...  evaluations/...
      models/round=002.gnomon                stages/round=001/generate.json
      hull.parquet  report/index.html        derived: deleted freely, rebuilt by `gnomon report`
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gnomon.run.files import write_atomically
from gnomon.run.lock import HeldError, locked

STRUCTURE_FIELDS = [
    pa.field("lattice", pa.list_(pa.float64(), 9)),  # Å, rows a, b, c
    pa.field("atomic_numbers", pa.list_(pa.uint8())),
    pa.field("frac_coords", pa.list_(pa.float64())),  # 3 numbers an atom
]

ROUND = pa.field("round", pa.int64(), nullable=False)

SCHEMAS: dict[str, pa.Schema] = {
    "crystals": pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("canonical_id", pa.string(), nullable=False),  # equal for the same crystal
            pa.field("reduced_formula", pa.string(), nullable=False),
            pa.field("chemical_system", pa.string(), nullable=False),
            pa.field("n_atoms", pa.int64(), nullable=False),
            *STRUCTURE_FIELDS,
            ROUND,
        ]
    ),
    "lineage": pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("parent_id", pa.string()),
            pa.field("generator", pa.string(), nullable=False),
            pa.field("change", pa.string(), nullable=False),
            pa.field("score", pa.float64()),
            ROUND,
        ]
    ),
    "screening": pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("kept", pa.bool_(), nullable=False),
            pa.field("reason", pa.string(), nullable=False),  # why not kept, or empty
            pa.field("predicted_formation_energy_per_atom", pa.float64()),  # eV/atom
            pa.field("uncertainty", pa.float64()),  # inter-quartile range, eV/atom
            pa.field("predicted_e_above_hull", pa.float64()),  # eV/atom
            pa.field("selection", pa.string()),  # "ranked", "random", "reference" or null
            ROUND,
        ]
    ),
    "evaluations": pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("relaxed_id", pa.string()),
            pa.field("status", pa.string(), nullable=False),
            pa.field("message", pa.string(), nullable=False),
            pa.field("energy_per_atom", pa.float64()),  # eV/atom, of the scheme
            pa.field("scheme", pa.string(), nullable=False),
            pa.field("steps", pa.int64()),
            pa.field("fmax", pa.float64()),  # eV/Å
            pa.field("seconds", pa.float64()),
            *STRUCTURE_FIELDS,  # as relaxed
            ROUND,
        ]
    ),
}
"""Tables of a campaign and their columns."""


class StoreError(RuntimeError):
    """The campaign folder cannot be used as asked; the message says why and what to do."""


class Store:
    """One campaign folder.  Reading needs nothing else; writing wants ``locked()`` around it."""

    def __init__(self, root: Path | str) -> None:
        """Name the folder; nothing is read or made yet."""
        self.root = Path(root)

    # --- the folder -----------------------------------------------------------------------------

    @property
    def exists(self) -> bool:
        """Whether a campaign was begun here."""
        return (self.root / "provenance.json").is_file()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder; the system lets go of it when the process ends, however it ends.

        Raises:
            StoreError: if another process holds it, or the folder cannot be written.
        """
        holder = self.root / ".lock.pid"
        with ExitStack() as stack:
            try:
                self.root.mkdir(parents=True, exist_ok=True)
                stack.enter_context(locked(self.root / ".lock"))
                holder.write_text(str(os.getpid()), "utf-8")
            except OSError as error:
                raise _write_error(self.root, error) from error
            except HeldError as error:
                owner = holder.read_text("utf-8") if holder.is_file() else "unknown"
                raise StoreError(
                    f"another process (pid {owner}) works on {self.root}: "
                    "wait for it, stop it, or choose another folder with --out"
                ) from error
            self._sweep()
            yield

    def _sweep(self) -> None:
        """Remove what a process that was killed had not yet renamed."""
        for folder in (*SCHEMAS, "stages"):
            for path in (self.root / folder).glob("round=*/.*.tmp"):
                path.unlink(missing_ok=True)

    def log(self, message: str) -> None:
        """Add a line to campaign.log."""
        try:
            with (self.root / "campaign.log").open("a", encoding="utf-8") as file:
                file.write(message + "\n")
        except OSError as error:
            raise _write_error(self.root / "campaign.log", error) from error

    # --- tables ---------------------------------------------------------------------------------

    def append(self, table: str, round_number: int, rows: pa.Table) -> Path:
        """Write rows as the next shard of a table, cast to its schema.

        Raises:
            StoreError: if the disk is full or the folder cannot be written; the store is intact.
        """
        schema = SCHEMAS[table]
        rows = rows.append_column(ROUND, pa.array([round_number] * len(rows), pa.int64()))
        folder = self.root / table / f"round={round_number:03d}"
        part = len(list(folder.glob("part-*.parquet"))) if folder.is_dir() else 0
        sink = pa.BufferOutputStream()
        pq.write_table(rows.select(schema.names).cast(schema), sink)
        return write_bytes(folder / f"part-{part:04d}.parquet", sink.getvalue().to_pybytes())

    def table(self, name: str, round_number: int | None = None) -> pa.Table:
        """All rows of a table, or those of one round, in the order in which they were written.

        Raises:
            StoreError: if a shard is damaged.
        """
        rounds = "round=*" if round_number is None else f"round={round_number:03d}"
        tables = [SCHEMAS[name].empty_table()]
        for path in sorted((self.root / name).glob(f"{rounds}/part-*.parquet")):
            try:
                tables.append(pq.read_table(path, schema=SCHEMAS[name], partitioning=None))
            except (pa.ArrowException, OSError) as error:
                raise StoreError(
                    f"{path} cannot be read ({error}): restore it, or delete it and its later "
                    "shards and run the same command again"
                ) from error
        return pa.concat_tables(tables)

    def discard(self, table: str, round_number: int) -> None:
        """Remove the shards of a round whose stage did not finish."""
        for path in sorted((self.root / table).glob(f"round={round_number:03d}/part-*.parquet")):
            path.unlink()

    def query(self, sql: str) -> pa.Table:
        """Answer an SQL query (DuckDB) over the campaign's tables, each a view of its name."""
        import duckdb

        with duckdb.connect() as connection:
            for name in SCHEMAS:
                connection.register(name, self.table(name))
            if self.hull_path.is_file():
                connection.register("hull", pq.read_table(self.hull_path))
            return connection.sql(sql).to_arrow_table()

    # --- stages, models, single files -------------------------------------------------------------

    def finish(self, round_number: int, stage: str, facts: Mapping[str, Any]) -> None:
        """Mark a stage of a round as finished, with facts about it."""
        write_json(self._marker(round_number, stage), facts)

    def finished(self, round_number: int, stage: str) -> dict[str, Any] | None:
        """Facts of a finished stage, None if it has not finished."""
        path = self._marker(round_number, stage)
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None

    def _marker(self, round_number: int, stage: str) -> Path:
        return self.root / "stages" / f"round={round_number:03d}" / f"{stage}.json"

    def model_path(self, round_number: int) -> Path:
        """Where the model that ranks a round lies."""
        return self.root / "models" / f"round={round_number:03d}.gnomon"

    @property
    def hull_path(self) -> Path:
        """The derived table of phases on and above the hull."""
        return self.root / "hull.parquet"

    @property
    def provenance(self) -> dict[str, Any]:
        """Versions, commit, seed, settings and checksums of inputs.

        Raises:
            StoreError: if the folder holds no campaign.
        """
        if not self.exists:
            raise StoreError(f"{self.root} holds no campaign: `gnomon discover` begins one")
        loaded: dict[str, Any] = json.loads((self.root / "provenance.json").read_text("utf-8"))
        return loaded


def write_bytes(path: Path, data: bytes) -> Path:
    """Write a file under a temporary name, then rename it: whole or not at all.

    Raises:
        StoreError: if the disk is full or the folder cannot be written.
    """
    try:
        write_atomically(path, data)
    except OSError as error:
        raise _write_error(path, error) from error
    return path


def write_json(path: Path, facts: Mapping[str, Any]) -> Path:
    """Write facts as JSON, whole or not at all."""
    return write_bytes(path, (json.dumps(facts, indent=2) + "\n").encode())


def write_parquet(path: Path, table: pa.Table) -> Path:
    """Write a table as Parquet, whole or not at all."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return write_bytes(path, sink.getvalue().to_pybytes())


def _write_error(path: Path, error: OSError) -> StoreError:
    return StoreError(
        f"cannot write {path}: {error.strerror or error}. What was written before is intact: "
        "free space or mend the permissions, then run the same command again"
    )
