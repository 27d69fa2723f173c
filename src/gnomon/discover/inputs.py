"""Crystals that the user gives a campaign: parents to substitute into, and known phases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from gnomon.crystals import Crystals
from gnomon.discover.settings import CampaignConfig
from gnomon.discover.wide.database import Database, database_at
from gnomon.io import InputError, read
from gnomon.run.listener import Listener


@dataclass(frozen=True)
class Doubt:
    """What a reader found odd about a crystal that was given, though it took it.

    Attributes:
        id: of the crystal; empty for records that gave none.
        source: the file, and where in it.
        text: what is odd, or why there is no crystal.
    """

    id: str
    source: str
    text: str

    def __str__(self) -> str:
        """Both, in a line."""
        return f"{self.source}: {self.text}"


@dataclass(frozen=True, eq=False)
class Inputs:
    """Crystals that the user gave, read once.

    Attributes:
        parents, known: the crystals.
        doubts: of both, and the records that gave no crystal.
        database: parents and hull of a campaign without a system.
    """

    parents: Crystals
    known: Crystals
    doubts: tuple[Doubt, ...] = ()
    database: Database | None = None

    @property
    def known_formulas(self) -> frozenset[str]:
        """Compositions that are not new."""
        return frozenset(self.known.reduced_formulas.tolist())


def read_inputs(config: CampaignConfig, listener: Listener) -> Inputs:
    """Read the files that the settings name; what cannot be used is counted and said.

    Raises:
        InputError: if a file is not there or holds no crystals at all.
        ValueError: if a database has no energies.
    """
    known, of_known = _read(config.generate.known, listener)
    if config.system is None:
        [path] = config.generate.parents
        phases = tuple(str(one.absolute()) for one in config.wide.phases)
        database = database_at(str(path.absolute()), config.wide.scheme, phases)
        return Inputs(Crystals.empty(), known, tuple(of_known), database)
    parents, of_parents = _read(config.generate.parents, listener)
    return Inputs(parents, known, (*of_parents, *of_known))


def _read(paths: Sequence[Path], listener: Listener) -> tuple[Crystals, list[Doubt]]:
    if not paths:
        return Crystals.empty(), []
    result = read(list(paths))
    if len(result.rejects):
        listener.say(f"{len(result.rejects)} records left out, {_first(result.rejects)}")
    rows = result.rows.filter(pc.is_valid(result.rows["warnings"])).to_pylist()
    doubts = [Doubt(row["id"], row["source"], row["warnings"]) for row in rows]
    for doubt in doubts:
        listener.say(f"warning: {doubt}")
    doubts += [
        Doubt("", row["source"], f"left out: {row['reason']}: {row['detail']}")
        for row in result.rejects.to_pylist()
    ]
    if not len(result.crystals):
        names = ", ".join(map(str, paths))
        raise InputError(f"no crystal of {names} can be used: {_first(result.rejects)}")
    return result.crystals, doubts


def _first(rejects: pa.Table) -> str:
    first = [
        f"{r['source']}: {r['reason']} ({r['detail']})" for r in rejects.slice(0, 1).to_pylist()
    ]
    return f"the first: {first[0]}" if first else "there are no records"
