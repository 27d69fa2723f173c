"""Crystals that the user gives a campaign: parents to substitute into, and known phases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gnomon.config import GenerateConfig
from gnomon.crystals import Crystals
from gnomon.io import read
from gnomon.listener import Listener


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
        first = result.rejects.slice(0, 1).to_pylist()[0]
        listener.say(
            f"{len(result.rejects)} records left out, the first: {first['source']}: "
            f"{first['reason']} ({first['detail']})"
        )
    return result.crystals
