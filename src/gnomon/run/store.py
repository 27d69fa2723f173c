"""The campaign folder: append-only Parquet shards, markers of finished stages, provenance.

campaign/  config.toml  provenance.json  manifest.jsonl  campaign.log  .lock
  crystals/round=001/part-0000.parquet   lineage/...  screening/...  decisions/...  evaluations/...
  models/round=002.gnomon                stages/round=001/generate.json
  work/                                  a training that has not ended
  hull.parquet  report/index.html        derived: deleted freely, rebuilt by `gnomon report`
  derived.json                           their checksums
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gnomon.run.folder import DERIVED, HULL, Folder
from gnomon.run.writing import StoreError

STRUCTURE_FIELDS = [
    pa.field("lattice", pa.list_(pa.float64(), 9)),  # Å, rows a, b, c
    pa.field("atomic_numbers", pa.list_(pa.uint8())),
    pa.field("frac_coords", pa.list_(pa.float64())),  # 3 numbers an atom
]

ROUND = pa.field("round", pa.int64(), nullable=False)

LEVEL = pa.field("level", pa.int64())  # 0 screens; null in folders of before there were levels

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
            pa.field("selection", pa.string()),  # "ranked", "objective", "random", ...
            ROUND,
        ]
    ),
    "decisions": pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("level", pa.int64(), nullable=False),  # that decides
            pa.field("reason", pa.string(), nullable=False),
            pa.field("predicted_e_above_hull", pa.float64()),  # at that level, eV/atom
            pa.field("margin", pa.float64()),  # eV/atom
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
            LEVEL,
            pa.field("steps", pa.int64()),
            pa.field("fmax", pa.float64()),  # eV/Å
            pa.field("seconds", pa.float64()),
            *STRUCTURE_FIELDS,  # as relaxed
            ROUND,
        ]
    ),
}
"""Tables of a campaign and their columns."""


class Store(Folder):
    """One campaign folder: its tables, markers and models."""

    @property
    def exists(self) -> bool:
        """Whether a campaign was begun here."""
        return self.has("provenance.json")

    # --- tables ---------------------------------------------------------------------------------

    def append(self, table: str, round_number: int, rows: pa.Table) -> Path:
        """Write rows as the next shard of a table, cast to its schema; of level 0 unless they say.

        Raises:
            StoreError: if the disk is full or the folder cannot be written; the store is intact.
        """
        schema = SCHEMAS[table]
        rows = rows.append_column(ROUND, pa.array([round_number] * len(rows), pa.int64()))
        if "level" in schema.names and "level" not in rows.column_names:
            rows = rows.append_column(LEVEL, pa.array([0] * len(rows), pa.int64()))
        rows = rows.select(schema.names).cast(schema)
        before = self.names(_shards(table, round_number))
        part = 1 + max((int(name[-12:-8].lstrip("-")) for name in before), default=-1)
        return self.write_table(_shards(table, round_number).replace("*", f"{part:04d}"), rows)

    def table(self, name: str, round_number: int | None = None) -> pa.Table:
        """All rows of a table, or those of one round, in the order in which they were written.

        Raises:
            StoreError: if a shard is damaged, missing or of others.
        """
        tables = [SCHEMAS[name].empty_table()]
        for shard in self.names(_shards(name, round_number)):
            data = pa.BufferReader(self.read(shard))
            try:
                tables.append(pq.read_table(data, schema=SCHEMAS[name]))
                tables[-1].validate(full=True)
            except (pa.ArrowException, OSError) as error:
                raise StoreError(
                    f"{self.root / shard} cannot be read ({error}): restore it, or delete it and "
                    "its later shards and run the same command again"
                ) from error
        return pa.concat_tables(tables)

    def discard(self, table: str, round_number: int) -> None:
        """Remove the shards of a round whose stage did not finish."""
        if shards := self.names(_shards(table, round_number)):
            self.remove(shards)

    def pair(self, table: str, other: str, round_number: int) -> int:
        """Remove the shards of a round to which another table, written next, has none; how many."""
        there = {Path(name).name for name in self.names(_shards(other, round_number))}
        alone = [n for n in self.names(_shards(table, round_number)) if Path(n).name not in there]
        if alone:
            self.remove(alone)
        return len(alone)

    def query(self, sql: str) -> pa.Table:
        """Answer an SQL query (DuckDB) over the campaign's tables, each a view of its name.

        Raises:
            StoreError: if a table is not as it was written.
        """
        import duckdb

        with duckdb.connect() as connection:
            for name in SCHEMAS:
                connection.register(name, self.table(name))
            if self.hull_path.is_file():
                data = self.read_derived(HULL)
                connection.register("hull", pq.read_table(pa.BufferReader(data)))
            return connection.sql(sql).to_arrow_table()

    def read_derived(self, name: str) -> bytes:
        """The bytes of a derived file, as the last report left them.

        Raises:
            StoreError: if it was changed since.
        """
        data = (self.root / name).read_bytes()
        for one in self._derived_amiss(self._listed(), [name]):
            if one.file in (name, DERIVED):
                raise StoreError(f"{self.root}: {one}")
        return data

    # --- stages, models, single files -------------------------------------------------------------

    def finish(self, round_number: int, stage: str, facts: Mapping[str, Any]) -> None:
        """Mark a stage of a round as finished, with facts about it."""
        self.write_facts(_marker(round_number, stage), facts)

    def finished(self, round_number: int, stage: str) -> dict[str, Any] | None:
        """Facts of a finished stage, None if it has not finished."""
        name = _marker(round_number, stage)
        return self.facts(name) if self.has(name) else None

    def rounds(self, stage: str) -> dict[int, dict[str, Any]]:
        """Facts of each round whose stage has finished."""
        names = self.names(f"stages/round=*/{stage}.json")
        return {int(name.split("/")[1].removeprefix("round=")): self.facts(name) for name in names}

    def model_name(self, round_number: int) -> str:
        """The file of the model that ranks a round."""
        return f"models/round={round_number:03d}.gnomon"

    @property
    def hull_path(self) -> Path:
        """The derived table of phases on and above the hull."""
        return self.root / HULL

    @property
    def provenance(self) -> dict[str, Any]:
        """Versions, commit, seed, settings and checksums of inputs.

        Raises:
            StoreError: if the folder holds no campaign, or the file is damaged.
        """
        if not self.exists:
            raise StoreError(f"{self.root} holds no campaign: `gnomon discover` begins one")
        found = self.facts("provenance.json")
        if missing := {"system", "scheme", "config"} - found.keys():
            raise StoreError(f"{self.root / 'provenance.json'} is damaged: no {min(missing)} in it")
        return found


def _shards(table: str, round_number: int | None) -> str:
    """The pattern of a table's shards, in all rounds or one."""
    number = "*" if round_number is None else f"{round_number:03d}"
    return f"{table}/round={number}/part-*.parquet"


def _marker(round_number: int, stage: str) -> str:
    return f"stages/round={round_number:03d}/{stage}.json"
