"""A generator in one file: exchange the elements of each parent, Cu3Au → CuAu3.

A campaign finds it under the entry point group ``gnomon.generators``:

    [project.entry-points."gnomon.generators"]
    exchange = "exchange_elements:make"
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from gnomon.crystals import Crystals
from gnomon.elements import SYMBOLS
from gnomon.generate import CHUNK, Candidates
from gnomon.generate.chunks import rechunk
from gnomon.generate.registry import GeneratorSettings


@dataclass(frozen=True)
class ExchangeGenerator:
    """Every permutation of a parent's elements but its own; the cell stays as it is."""

    settings: GeneratorSettings
    name: ClassVar[str] = "exchange"

    def generate(self, parents: Crystals, *, seed: int = 0) -> Iterator[Candidates]:
        """Yield the candidates in the order of their parents; the seed has no influence."""
        yield from rechunk((self._family(parent) for parent in parents), CHUNK)

    def _family(self, parent: Crystals) -> Candidates:
        elements = tuple(SYMBOLS[z] for z in sorted(set(parent.atomic_numbers.tolist())))
        inside = set(elements) <= set(self.settings.system)
        small = len(parent.atomic_numbers) <= self.settings.max_atoms
        orders = list(itertools.permutations(elements))[1:] if inside and small else []
        children = Crystals.concatenate(
            [parent.substitute(dict(zip(elements, order, strict=True))) for order in orders]
        )
        changes = [f"{'-'.join(elements)} → {'-'.join(order)}" for order in orders]
        return Candidates.of(children, self.name, changes, parent_id=parent.ids[0])


def make(settings: GeneratorSettings) -> ExchangeGenerator:
    """What the entry point names: the settings of a campaign in, a generator out."""
    return ExchangeGenerator(settings)
