"""Generators by name: the built-in ones and those of installed plug-ins.

Under a name stands a function ``make(settings: GeneratorSettings) -> Generator``; a plug-in's is an
entry point of the group ``gnomon.generators``.
"""

from dataclasses import dataclass

from gnomon.run.registry import Registry


@dataclass(frozen=True)
class GeneratorSettings:
    """What a campaign tells its generators.

    Attributes:
        system: element symbols; candidates hold no others.
        max_atoms: largest cell.
        exclude: elements that no candidate may hold.
        known: reduced formulas that are not new.
    """

    system: tuple[str, ...]
    max_atoms: int
    exclude: tuple[str, ...]
    known: frozenset[str]


GENERATORS = Registry(
    "generator",
    "gnomon.generators",
    {
        "prototypes": "gnomon.generate.prototypes.generator:make",
        "random": "gnomon.generate.random.generator:make",
        "saps": "gnomon.generate.saps.generator:make",
        "substitution": "gnomon.generate.substitution.generator:make",
    },
)
