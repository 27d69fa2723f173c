"""Properties by name: the built-in ones and those of installed plug-ins.

Under a name stands a function ``make(settings: PropertySettings) -> Property``; a plug-in's is an
entry point of the group ``gnomon.properties``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel

from gnomon.dynamics.settings import RelaxConfig
from gnomon.evaluate import Evaluator
from gnomon.evaluate.registry import EvaluatorConfig, make_evaluator
from gnomon.properties import Property
from gnomon.run.listener import SILENT, Listener
from gnomon.run.registry import Registry, options_of

M = TypeVar("M", bound=BaseModel)

PROPERTIES = Registry(
    "property",
    "gnomon.properties",
    {
        "band_gap": "gnomon.properties.learned:band_gap",
        "bulk_modulus": "gnomon.properties.learned:bulk_modulus",
        "bond_valence": "gnomon.properties.conduction.bond_valence:make",
        "conduction": "gnomon.properties.conduction.dynamics:make",
        "debye": "gnomon.properties.heat.debye:make",
        "debye_temperature": "gnomon.properties.learned:debye_temperature",
        "dft_band_gap": "gnomon.properties.electronic.gpaw:make_property",
        "elastic": "gnomon.properties.mechanics.elastic:make",
        "expansion": "gnomon.properties.heat.expansion:make",
        "expansion_bound": "gnomon.properties.heat.bound:make",
        "families": "gnomon.properties.families:make",
        "hardness": "gnomon.properties.mechanics.hardness:make",
        "is_metal": "gnomon.properties.learned:is_metal",
        "last_phonon_peak": "gnomon.properties.learned:last_phonon_peak",
        "phonons": "gnomon.properties.heat.phonons:make",
        "predicted": "gnomon.properties.learned:make",
        "shear_modulus": "gnomon.properties.learned:shear_modulus",
        "superconducting_tc": "gnomon.properties.learned:superconducting_tc",
        "synthesizability": "gnomon.properties.learned:synthesizability",
        "thermal_conductivity": "gnomon.properties.heat.conductivity:make",
        "thermal_expansion": "gnomon.properties.learned:thermal_expansion",
    },
)


@dataclass(frozen=True)
class PropertySettings:
    """What is told to every property; each takes what it uses.

    Attributes:
        evaluator: gives energies, forces and stresses.
        relax: how it relaxes.
        options: of the properties by their names, such as ``{"elastic": {"strain": 0.01}}``.
        listener: hears of progress.
    """

    evaluator: EvaluatorConfig = field(default_factory=EvaluatorConfig)
    relax: RelaxConfig = field(default_factory=RelaxConfig)
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    listener: Listener = SILENT

    def of(self, name: str, kind: type[M]) -> M:
        """The options of a property, checked.

        Raises:
            ValueError: for an option that does not exist or a value out of range.
        """
        return options_of(name, kind, self.options.get(name, {}))


def in_order(names: Sequence[str], settings: PropertySettings) -> dict[str, Property]:
    """These properties and all that they need, each after what it needs.

    Raises:
        ValueError: if there is no property of a name, or an option of it is wrong.
    """
    if strange := set(settings.options) - set(PROPERTIES.names()):
        PROPERTIES.check(min(strange))
    found: dict[str, Property] = {}

    def add(name: str) -> None:
        if name not in found:
            made: Property = PROPERTIES.get(name)(settings)
            for other in made.needs:
                add(other)
            found[name] = made

    for name in names:
        add(name)
    return found


def evaluators(
    settings: PropertySettings, fmax: float, *changes: Mapping[str, Any]
) -> Sequence[Evaluator]:
    """The evaluator of the settings with other limits: one for each set of changes."""
    tight = settings.relax.model_copy(update={"fmax": fmax, "symmetry": False})
    return [
        make_evaluator(settings.evaluator, tight.model_copy(update=change), settings.listener)
        for change in changes
    ]
