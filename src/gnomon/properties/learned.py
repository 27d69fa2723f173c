"""What a trained model says of crystals, as a property.

The model is one of the package, or a file: of ``gnomon model transfer``, which teaches any number
of crystals to an ensemble, or an energy model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from gnomon.crystals import Crystals
from gnomon.io.tables import OK, value_schema
from gnomon.models import EnergyModel
from gnomon.models.bundled import STRUCTURAL
from gnomon.properties import answers
from gnomon.properties.registry import PropertySettings

PROPERTY = re.compile(r"(.+) \(([^()]+)\)")
"""Scheme of a model that was taught a property: what, and its unit, as in ``band_gap (eV)``."""


class PredictedConfig(BaseModel):
    """Which model predicts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(default=STRUCTURAL, description="name of a model in the package, or a file")


class Predicted:
    """Medians of an ensemble, their inter-quartile ranges as uncertainty; a ``Property``."""

    needs: tuple[str, ...] = ()

    def __init__(self, model: EnergyModel, name: str, what: str, unit: str) -> None:
        """Of a trained model under a name, and what it learned in which unit."""
        self.model, self.level = model, f"{name}, {model.scheme}"
        self.schema = value_schema(f"predicted {what}", unit)

    def compute(self, crystals: Crystals, known: Mapping[str, pa.Table]) -> pa.Table:
        """Predict; what the model did not learn of has its reason."""
        found = self.model.predict(crystals)
        return answers(
            self.schema,
            crystals.ids,
            self.level,
            [str(reason) or OK for reason in found.reasons],
            value=found.median,
            uncertainty=found.iqr,
        )


def make(settings: PropertySettings) -> Predicted:
    """The property, of the model of its options."""
    from gnomon.models.ensemble import load_model
    from gnomon.models.structural.model import PropertyModel

    name = settings.of("predicted", PredictedConfig).model
    model, said = load_model(name), ("formation energy", "eV/atom")
    if isinstance(model, PropertyModel) and (told := PROPERTY.fullmatch(model.scheme)):
        said = (told[1], told[2])
    return Predicted(model, name, *said)
