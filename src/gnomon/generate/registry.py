"""Generators by name: the built-in ones and those of installed plug-ins.

Under a name stands a function ``make(settings: GeneratorSettings) -> Generator``; a plug-in's is an
entry point of the group ``gnomon.generators``.
"""

from collections.abc import Collection
from dataclasses import dataclass

from gnomon.elements import SYMBOLS, excluded, parse_system
from gnomon.generate import Generator
from gnomon.generate.evolution.population import Population
from gnomon.generate.prototypes.occurrence import BUNDLED as KNOWN_PROTOTYPES
from gnomon.run.registry import Registry


@dataclass(frozen=True)
class GeneratorSettings:
    """What a campaign tells its generators.

    Attributes:
        system: element symbols; candidates hold no others.
        max_atoms: largest cell.
        exclude: elements that no candidate may hold.
        known: reduced formulas that are not new.
        prototypes: whose prototypes are tried: ``Occurrence.load`` takes this name or file.
        population: crystals evaluated so far with their objectives, for generators that breed.
        ask: properties that generators draw for that can, such as ``band_gap>2``.
    """

    system: tuple[str, ...]
    max_atoms: int
    exclude: tuple[str, ...]
    known: frozenset[str]
    prototypes: str = KNOWN_PROTOTYPES
    population: Population | None = None
    ask: tuple[str, ...] = ()


EVOLUTION = "evolution"
"""Breeds what a campaign has evaluated, where others begin with parents."""

LEARNED = "learned"
"""Draws from a network, which can be asked for properties."""

GENERATORS = Registry(
    "generator",
    "gnomon.generators",
    {
        EVOLUTION: "gnomon.generate.evolution.generator:make",
        LEARNED: "gnomon.generate.learned.generator:make",
        "prototypes": "gnomon.generate.prototypes.generator:make",
        "random": "gnomon.generate.random.generator:make",
        "saps": "gnomon.generate.saps.generator:make",
        "substitution": "gnomon.generate.substitution.generator:make",
    },
)


def generator(
    name: str,
    system: str | None = None,
    *,
    max_atoms: int = 16,
    exclude: Collection[str] | None = None,
    known: Collection[str] = (),
) -> Generator:
    """The generator of this name, as campaigns use it.

    >>> import numpy as np
    >>> from gnomon.crystals import Crystals
    >>> salt = Crystals.single(5.64 / 2 * (1 - np.eye(3)), [11, 17], [[0, 0, 0], [0.5, 0.5, 0.5]])
    >>> [chunk] = generator("substitution", "K-Na-Cl").generate(salt, seed=0)
    >>> chunk.crystals[0], chunk.lineage["change"][0].as_py()
    (<Crystals, 1: KCl (2 atoms)>, 'Na+→K+')

    Args:
        name: ``substitution``, ``saps`` (partial substitution), ``prototypes``, ``random``,
            ``evolution``, ``learned``, or that of a plug-in.
        system: candidates hold no elements but these, written ``Au-Cu``; without it all may occur,
            which is more than ``prototypes`` and ``random`` can go through.
        max_atoms: atoms in a candidate's primitive cell, at most.
        exclude: elements that no candidate may hold; by default radioactive and very scarce ones
            where there is no system that names them.
        known: reduced formulas that are not new, so that no candidate is of one of them.

    Raises:
        ValueError: if there is no generator of this name, or the system is none, or an
            element is asked for and excluded both.
    """
    named = parse_system(system) if system is not None else None
    without = excluded(named, exclude)
    elements = tuple(symbol for symbol in named or SYMBOLS[1:] if symbol not in without)
    settings = GeneratorSettings(elements, max_atoms, without, frozenset(known))
    made: Generator = GENERATORS.get(name)(settings)
    return made
