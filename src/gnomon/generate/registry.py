"""Generators by name: the built-in ones and those of installed plug-ins.

A plug-in is a function ``make(settings: GeneratorSettings) -> Generator`` under the entry point
group ``gnomon.generators``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points

from gnomon.generate import Generator
from gnomon.generate.saps.orbits import MAX_SITES
from gnomon.generate.substitution.tables import learned_model

GROUP = "gnomon.generators"

RANDOM_CELLS = 20
"""Random cells of a composition in each round of a campaign; in the next they are others."""


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


def make_generator(name: str, settings: GeneratorSettings) -> Generator:
    """The generator of this name.

    Raises:
        ValueError: if there is none.
    """
    check_generator(name)
    if name in BUILT_IN:
        return BUILT_IN[name](settings)
    [plugin, *_] = entry_points(group=GROUP, name=name)
    made: Generator = plugin.load()(settings)
    return made


def check_generator(name: str) -> None:
    """Nothing, if there is a generator of this name; it is not loaded.

    Raises:
        ValueError: if there is none.
    """
    names = {*BUILT_IN, *entry_points(group=GROUP).names}
    if name not in names:
        raise ValueError(f"no generator {name!r}: there are {', '.join(sorted(names))}")


def _prototypes(settings: GeneratorSettings) -> Generator:
    from gnomon.generate.prototypes.generator import PrototypeGenerator

    return PrototypeGenerator(settings.system, settings.max_atoms)


def _substitution(settings: GeneratorSettings) -> Generator:
    from gnomon.generate.substitution.generator import SubstitutionGenerator

    return SubstitutionGenerator(
        learned_model(), elements=settings.system, exclude=settings.exclude, known=settings.known
    )


def _saps(settings: GeneratorSettings) -> Generator:
    from gnomon.generate.saps.generator import SapsGenerator

    return SapsGenerator(
        elements=settings.system,
        exclude=settings.exclude,
        known=settings.known,
        max_atoms=min(settings.max_atoms, MAX_SITES),
    )


def _random(settings: GeneratorSettings) -> Generator:
    """Random cells of every composition whose oxidation states can balance."""
    from gnomon.generate.compositions.generator import CompositionGenerator
    from gnomon.generate.random.generator import RandomSearchGenerator

    compositions = CompositionGenerator(
        settings.system,
        max_atoms=max(2, settings.max_atoms // 2),
        exclude=settings.exclude,
        known=settings.known,
    )
    tables = list(compositions.generate())
    formulas = [formula for table in tables for formula in table["reduced_formula"].to_pylist()]
    return RandomSearchGenerator(
        tuple(formulas), count=RANDOM_CELLS, max_atoms=max(2, settings.max_atoms)
    )


BUILT_IN: dict[str, Callable[[GeneratorSettings], Generator]] = {
    "prototypes": _prototypes,
    "random": _random,
    "saps": _saps,
    "substitution": _substitution,
}
