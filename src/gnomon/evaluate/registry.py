"""Evaluators by name: the weights of a potential, GPAW, or any ASE calculator."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gnomon.dynamics.settings import RelaxConfig
from gnomon.evaluate import Evaluator
from gnomon.evaluate.corrections import Corrected
from gnomon.potential.weights import BUNDLED, DEFAULT_WEIGHTS, PUBLISHED
from gnomon.run.listener import SILENT, Listener
from gnomon.run.registry import Registry, no_such

NAMES = (*BUNDLED, *PUBLISHED)
"""Weights that are known by name."""

EVALUATORS = Registry(
    "evaluator",
    "gnomon.evaluators",
    {
        "ase": "gnomon.evaluate.ase:make",  # ase:module.Class
        "gpaw": "gnomon.evaluate.gpaw:make",  # gpaw:screening, gpaw:tight, gpaw:r2scan
        "sevennet": "gnomon.evaluate.ase:make_sevennet",
        **dict.fromkeys(NAMES, "gnomon.evaluate.batched:make"),
    },
)
"""By what stands before the colon.  A plug-in is a function like these, which takes the settings
(``EvaluatorConfig``), a ``RelaxConfig`` and a ``Listener``, and returns an ``Evaluator``."""

DEFAULT_EVALUATOR = DEFAULT_WEIGHTS
"""The potential in the package: 89 elements, without a download."""


class EvaluatorConfig(BaseModel):
    """Who verifies candidates."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(
        default=DEFAULT_EVALUATOR,
        description="weights of a potential by name or path, sevennet, gpaw, gpaw:tight or "
        "gpaw:r2scan, or ase:module.Class of a calculator",
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="the ASE calculator's arguments, or GPAW's settings"
    )
    corrections: Literal["mp2020", "none"] | None = Field(
        default=None,
        description="added to the energies: 'mp2020' or 'none'; by default mp2020 for potentials, "
        "whose energies are uncorrected PBE(+U), and none for ASE calculators and GPAW",
    )
    workers: int = Field(
        default=0, ge=0, description="processes of a calculator; 0 takes one a core"
    )

    trust_factory: bool = Field(
        default=False,
        description="call any function that makes the ASE calculator, not only those that are "
        "known (docs/guides/discover.md)",
    )

    @property
    def kind(self) -> str:
        """Name in the registry; empty for a file of weights."""
        kind = self.name.partition(":")[0]
        return kind if kind in EVALUATORS.names() else ""

    @model_validator(mode="after")
    def _exists(self) -> EvaluatorConfig:
        if not self.kind and not Path(self.name).is_file():
            names = (*EVALUATORS.names(), "ase:module.Class", "the path of a file of weights")
            raise ValueError(no_such("evaluator", self.name, names))
        if self.options and self.kind in ("", *NAMES):
            raise ValueError(
                f"options belong to calculators (ase:, gpaw, sevennet), not to {self.name!r}"
            )
        return self


def make_evaluator(
    config: EvaluatorConfig, relax: RelaxConfig, listener: Listener = SILENT
) -> Evaluator:
    """The evaluator of this name; ``listener`` hears a download of weights.

    Raises:
        ValueError: if there is no such calculator or preset, or no such weights.
    """
    found: Evaluator = EVALUATORS.get(config.kind or DEFAULT_EVALUATOR)(config, relax, listener)
    uncorrected = config.kind in ("", "sevennet", *NAMES)
    if (config.corrections or ("mp2020" if uncorrected else "none")) == "mp2020":
        return Corrected(found)
    return found
