"""What trained models say of crystals, as properties.

Under their own names the models in the package; ``predicted`` is any model: a file of ``gnomon
model transfer``, which teaches any number of crystals to an ensemble, or an energy model.
Logarithms are turned back: the value is the power of ten of the median.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float64
from pydantic import BaseModel, ConfigDict, Field

from gnomon.crystals import Crystals
from gnomon.dynamics.nonsense import unphysical
from gnomon.io.tables import OK, value_schema
from gnomon.models import EnergyModel, Predictions
from gnomon.models.bundled import STRUCTURAL
from gnomon.properties import answers
from gnomon.properties.registry import PropertySettings

PROPERTY = re.compile(r"(?P<what>.+) \((?P<log>log10\()?(?P<unit>[^()]+)\)?\)")
"""Scheme of a model that was taught a property: ``band_gap (eV)``, ``bulk_modulus (log10(GPa))``.
"""


MOSTLY_GAPPED = 0.1
"""Probability of being a metal below which no critical temperature is told.  Of 260 crystals that
3DSC matches to superconductors 3 % lie below: sulphur, silicon and others that conduct under
pressure or doped."""

GAPPED = "probably has a band gap: no superconductor as it stands"


class PredictedConfig(BaseModel):
    """Which model predicts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(default=STRUCTURAL, description="name of a model in the package, or a file")


class Predicted:
    """Medians of an ensemble, half their inter-quartile ranges as uncertainty; a ``Property``."""

    needs: tuple[str, ...] = ()
    spread = "half the inter-quartile range of the ensemble, which measures no error"

    def __init__(self, model: EnergyModel, name: str, what: str, unit: str, log: bool) -> None:
        """Of a trained model.

        Args:
            model: predicts ``what`` in ``unit``, or with ``log`` its logarithm to base 10.
            name: of the model.
            what: it learned, in words.
            unit: of the value.
            log: whether it learned the logarithm.
        """
        self.model, self.level, self.log = model, f"{name}, {model.scheme}", log
        self.schema = value_schema(f"predicted {what}", unit, uncertainty=self.spread)

    def compute(self, crystals: Crystals, known: Mapping[str, pa.Table]) -> pa.Table:
        """Predict; what the model did not learn of has its reason."""
        found = self.model.predict(crystals)
        return self._table(crystals, found, found.median, found.iqr / 2)

    def _table(
        self,
        crystals: Crystals,
        found: Predictions,
        value: Float64[np.ndarray, " n"],
        uncertainty: Float64[np.ndarray, " n"],
    ) -> pa.Table:
        """The table, of powers of ten where logarithms were learned; what the model has no answer
        to, or what is no crystal, has its reason."""
        if self.log:
            value = 10**value
            uncertainty = value * np.log(10) * uncertainty
        why = zip(found.reasons, unphysical(crystals), strict=True)
        statuses = [str(reason) or wrong or OK for reason, wrong in why]
        given = {"value": value, "uncertainty": uncertainty}
        return answers(self.schema, crystals.ids, self.level, statuses, **given)


class OfHeads(Predicted):
    """Means of heads (``gnomon.models.heads``), their standard deviations as uncertainty."""

    spread = "standard deviation of the heads, which measures no error"

    def compute(self, crystals: Crystals, known: Mapping[str, pa.Table]) -> pa.Table:
        """Predict; what the bodies see nothing of has its reason."""
        found = self.model.predict(crystals)
        value, uncertainty = found.members.mean(axis=0), found.members.std(axis=0)
        return self._table(crystals, found, value, uncertainty)


class OfFormulas(Predicted):
    """Medians of networks that see the formula alone, and the error that they expect."""

    spread = "standard deviation of the error that the networks expect, their disagreement in it"

    def compute(self, crystals: Crystals, known: Mapping[str, pa.Table]) -> pa.Table:
        """Predict; what the model did not learn of has its reason."""
        found: Any = self.model.predict(crystals)
        return self._table(crystals, found, found.median, found.combined)


class CriticalTemperature(OfFormulas):
    """What critical temperature a superconductor of a formula would have; a ``Property``."""

    needs = ("is_metal",)

    def compute(self, crystals: Crystals, known: Mapping[str, pa.Table]) -> pa.Table:
        """Predict; what most likely has a band gap is said to have one instead."""
        found: Any = self.model.predict(crystals)
        likely = known["is_metal"]["value"].to_numpy(zero_copy_only=False)
        why = found.reasons.copy()
        why[(why == "") & (likely < MOSTLY_GAPPED)] = GAPPED
        return self._table(crystals, replace(found, reasons=why), found.median, found.combined)


def of_model(name: str, settings: PropertySettings, *, what: str = "") -> Predicted:
    """What a model of this name, or of this file, predicts; ``what`` says what that is."""
    from gnomon.models.composition.model import FormulaPropertyModel
    from gnomon.models.ensemble import load_model
    from gnomon.models.heads import HeadsModel
    from gnomon.models.structural.model import PropertyModel

    model, said = load_model(name), ("formation energy", "eV/atom", False)
    taught = isinstance(model, PropertyModel | HeadsModel | FormulaPropertyModel)
    if taught and (told := PROPERTY.fullmatch(model.scheme)):
        said = (told["what"].replace("_", " "), told["unit"], told["log"] is not None)
    kinds = {HeadsModel: OfHeads, FormulaPropertyModel: OfFormulas}
    kind = kinds.get(type(model), Predicted)
    return kind(model, name, what or said[0], *said[1:])


def make(settings: PropertySettings) -> Predicted:
    """The property of the model that its options name."""
    return of_model(settings.of("predicted", PredictedConfig).model, settings)


band_gap: Callable[[PropertySettings], Predicted] = partial(of_model, "band-gap-1")
bulk_modulus: Callable[[PropertySettings], Predicted] = partial(of_model, "bulk-modulus-1")
shear_modulus: Callable[[PropertySettings], Predicted] = partial(of_model, "shear-modulus-1")
debye_temperature: Callable[[PropertySettings], Predicted] = partial(
    of_model, "debye-temperature-1"
)
thermal_expansion: Callable[[PropertySettings], Predicted] = partial(
    of_model,
    "thermal-expansion-1",
    what="thermal expansion of the volume at 300 K, by AFLOW's Debye-Grüneisen model",
)
is_metal: Callable[[PropertySettings], Predicted] = partial(of_model, "is-metal-1")
last_phonon_peak: Callable[[PropertySettings], Predicted] = partial(of_model, "last-phonon-peak-1")
synthesizability: Callable[[PropertySettings], Predicted] = partial(of_model, "synthesizability-1")


def superconducting_tc(settings: PropertySettings) -> CriticalTemperature:
    """The critical temperature of the network in the package."""
    from gnomon.models.ensemble import load_model

    name, what = "superconducting-tc-2", "critical temperature, if it is a superconductor at all"
    return CriticalTemperature(load_model(name), name, what, "K", True)
