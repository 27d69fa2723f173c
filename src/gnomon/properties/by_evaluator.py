"""What properties by energies, forces and stresses share: one scheme, asked in several ways."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from gnomon.crystals import Crystals
from gnomon.evaluate import Evaluations, Evaluator
from gnomon.evaluate.table import evaluate_all
from gnomon.properties.registry import PropertySettings, evaluators
from gnomon.run.listener import Listener

STILL: Mapping[str, Any] = {"relax_cell": False, "max_steps": 0}
"""Changes that leave a crystal as it is."""

FIXED: Mapping[str, Any] = {"relax_cell": False}
"""Changes that leave its cell as it is."""


class Tight(BaseModel):
    """Options of what begins with a relaxed crystal."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fmax: float = Field(default=0.005, gt=0, description="force left in a relaxed crystal, eV/Å")


C = TypeVar("C", bound=Tight)


@dataclass(frozen=True, eq=False)
class ByEvaluator(Generic[C]):
    """A property by an evaluator.

    Attributes:
        config: options of the property.
        relaxer: relaxes ions and cell.
        fixed: relaxes ions in a cell that stays.
        single: takes a crystal as it is.
        listener: hears of progress.
    """

    config: C
    relaxer: Evaluator
    fixed: Evaluator
    single: Evaluator
    listener: Listener

    needs: ClassVar[tuple[str, ...]] = ()

    def evaluated(self, crystals: Crystals, evaluator: Evaluator, what: str) -> Evaluations:
        """All of them by one of the evaluators; ``what`` names the progress."""
        return evaluate_all(crystals, evaluator, self.listener, what)


def means(
    settings: PropertySettings, config: Tight
) -> tuple[Evaluator, Evaluator, Evaluator, Listener]:
    """What a property asks after its options: the attributes of ``ByEvaluator`` in their order."""
    relaxer, fixed, single = evaluators(settings, config.fmax, {}, FIXED, STILL)
    return relaxer, fixed, single, settings.listener
