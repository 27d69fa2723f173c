"""Crystals that the user gives a campaign: parents to substitute into, and known phases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from gnomon.crystals import Crystals
from gnomon.discover.settings import GenerateConfig
from gnomon.io import InputError, read
from gnomon.run.listener import Listener


@dataclass(frozen=True, eq=False)
class Inputs:
    """Crystals that the user gave, read once."""

    parents: Crystals
    known: Crystals

    @property
    def known_formulas(self) -> frozenset[str]:
        """Compositions that are not new."""
        return frozenset(self.known.reduced_formulas.tolist())


def read_inputs(config: GenerateConfig, listener: Listener) -> Inputs:
    """Read the files that the settings name; what cannot be used is counted and said.

    Raises:
        InputError: if a file is not there or holds no crystals at all.
    """
    return Inputs(_read(config.parents, listener), _read(config.known, listener))


def _read(paths: Sequence[Path], listener: Listener) -> Crystals:
    if not paths:
        return Crystals.empty()
    result = read(list(paths))
    if len(result.rejects):
        listener.say(f"{len(result.rejects)} records left out, {_first(result.rejects)}")
    for row in result.rows.filter(pc.is_valid(result.rows["warnings"])).to_pylist():
        listener.say(f"warning: {row['source']}: {row['warnings']}")
    if not len(result.crystals):
        names = ", ".join(map(str, paths))
        raise InputError(f"no crystal of {names} can be used: {_first(result.rejects)}")
    return result.crystals


def _first(rejects: pa.Table) -> str:
    first = [
        f"{r['source']}: {r['reason']} ({r['detail']})" for r in rejects.slice(0, 1).to_pylist()
    ]
    return f"the first: {first[0]}" if first else "there are no records"
