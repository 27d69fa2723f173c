"""Evaluators by name: the weights of a potential, GPAW, or any ASE calculator."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from gnomon.dynamics.settings import RelaxConfig
from gnomon.evaluate import Evaluator
from gnomon.evaluate.ase import AseEvaluator
from gnomon.evaluate.corrections import Corrected
from gnomon.evaluate.gpaw import gpaw_evaluator
from gnomon.potential.weights import BUNDLED, PUBLISHED
from gnomon.run.files import cache_folder
from gnomon.run.listener import SILENT, Listener
from gnomon.run.pool import processes

ASE = "ase:"
"""What the name of an ASE calculator begins with."""

GPAW = "gpaw"
"""DFT, as a rule with a preset: gpaw:screening (the default), gpaw:tight, gpaw:r2scan."""

NAMES = (*BUNDLED, *PUBLISHED)
"""Weights that are known by name."""

DEFAULT_EVALUATOR = "gnomon-1"
"""The potential in the package: 89 elements, without a download."""


class EvaluatorConfig(BaseModel):
    """Who verifies candidates."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(
        default=DEFAULT_EVALUATOR,
        description="weights of a potential by name or path, gpaw, gpaw:tight or gpaw:r2scan, or "
        "ase:module.Class of a calculator",
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

    @field_validator("name")
    @classmethod
    def _exists(cls, name: str) -> str:
        known = name.startswith(ASE) or name.partition(":")[0] == GPAW or name in NAMES
        if not known and not Path(name).is_file():
            raise ValueError(
                f"no evaluator {name!r}: give weights ({', '.join(NAMES)}), the path of a weight "
                "file, gpaw, or ase:module.Class, as in ase:ase.calculators.emt.EMT"
            )
        return name

    @model_validator(mode="after")
    def _options_are_read(self) -> EvaluatorConfig:
        if self.options and not self.name.startswith((ASE, GPAW)):
            raise ValueError(f"options belong to gpaw and ase: calculators, not to {self.name!r}")
        return self


def make_evaluator(
    config: EvaluatorConfig, relax: RelaxConfig, listener: Listener = SILENT
) -> Evaluator:
    """The evaluator of this name; ``listener`` hears a download of weights.

    Raises:
        ValueError: if there is no such calculator or preset, or no such weights.
    """
    corrections = config.corrections
    found: Evaluator
    if config.name.startswith(ASE):
        workers = processes(config.workers)
        found = AseEvaluator(config.name.removeprefix(ASE), config.options, relax, workers)
        corrections = corrections or "none"
    elif config.name.partition(":")[0] == GPAW:
        preset = config.name.partition(":")[2] or "screening"
        workers = processes(config.workers)
        found = gpaw_evaluator(preset, config.options, relax, cache_folder() / "gpaw", workers)
        corrections = corrections or "none"
    else:
        from gnomon.evaluate.batched import BatchedEvaluator
        from gnomon.potential.predict import load_potential

        found = BatchedEvaluator(load_potential(config.name, listener=listener), relax)
        corrections = corrections or "mp2020"
    if corrections == "mp2020":
        return Corrected(found)
    return found
