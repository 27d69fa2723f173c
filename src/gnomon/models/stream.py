"""Predictions of crystals as tables, a chunk at a time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float64

from gnomon.crystals import Crystals
from gnomon.hull.convex import Hull
from gnomon.hull.phases import phases_from_table
from gnomon.io import ReadResult
from gnomon.io.tables import read_table
from gnomon.models import Predictions
from gnomon.models.structural.augment import AugmentConfig, predict_augmented
from gnomon.models.structural.model import StructuralModel
from gnomon.models.target import lacking
from gnomon.models.uncertainty.calibration import (
    Calibration,
    CalibrationError,
    load_calibration,
)
from gnomon.models.uncertainty.domain import Domain
from gnomon.run.files import sha256_of


@dataclass(frozen=True)
class Predictor:
    """A model with whatever is asked of it besides energies.

    Attributes:
        augmentation: the scalings that are tried; None for the crystals as they are.
        calibration: gives intervals at ``level``, and flags what is unlike the training data.
        hull: gives e_above_hull; its phases must be of the model's energy scheme.
    """

    model: StructuralModel
    augmentation: AugmentConfig | None = None
    calibration: Calibration | None = None
    level: float = 0.8
    hull: Hull | None = None

    @property
    def domain(self) -> Domain | None:
        """Where the training data lie, if the calibration says."""
        return None if self.calibration is None else self.calibration.domain

    @property
    def facts(self) -> dict[str, Any]:
        """What the numbers of a table are, as JSON."""
        card = self.model.card
        return {
            "scheme": self.model.scheme,
            "model_data_sha256": None if card is None else card.data_sha256,
            "model_sha256": None
            if self.calibration is None
            else self.calibration.card.model_sha256,
            "interval_level": None if self.calibration is None else self.level,
            "augmentation": self.augmentation and self.augmentation.model_dump(mode="json"),
        }

    def rows(self, found: ReadResult) -> pa.Table:
        """Predictions as a table, one row a crystal; what cannot be said is null with a reason.

        Energies are in eV/atom.  ``uncertainty`` is the inter-quartile range over members.
        """
        crystals = found.crystals
        columns: dict[str, Any] = {
            "id": pa.array(crystals.ids.tolist(), pa.string()),
            "source": found.rows["source"].combine_chunks(),
            "source_id": found.rows["source_id"].combine_chunks(),
            "warnings": found.rows["warnings"].combine_chunks(),
            "reduced_formula": pa.array(crystals.reduced_formulas.tolist(), pa.string()),
        }
        predictions, factors, distances = self._predict(crystals)
        median = predictions.median
        reasons = predictions.reasons.copy()
        columns["predicted_formation_energy_per_atom"] = _numbers(median)
        columns["uncertainty"] = _numbers(predictions.iqr)
        if self.calibration is not None:
            half = self.calibration.card.conformal.half_widths(predictions, self.level, distances)
            columns["interval_low"] = _numbers(median - half)
            columns["interval_high"] = _numbers(median + half)
        if factors is not None:
            columns["volume_factor"] = _numbers(factors)
        if self.hull is not None:
            above, missing = e_above_hull(self.hull, crystals, median)
            columns["predicted_e_above_hull"] = _numbers(above)
            reasons = np.where(reasons == "", missing, reasons)
        if self.domain is not None and distances is not None:
            columns["distance_to_training"] = _numbers(distances)
            columns["out_of_distribution"] = pa.array(self.domain.outside(distances))
        columns["reason"] = pa.array(reasons.tolist(), pa.string())
        return pa.table(columns)

    def _predict(
        self, crystals: Crystals
    ) -> tuple[Predictions, np.ndarray | None, np.ndarray | None]:
        """Predictions, and what was asked for of volume factors and distances to the training."""
        if self.augmentation is None and self.domain is None:
            return self.model.predict(crystals), None, None
        # scaled, a crystal may be unlike any: it is judged at the size that it was given in
        predictions, factors, distances = None, None, None
        if self.domain is not None:
            predictions, embeddings = self.model.predict_and_embed(crystals)
            distances = self.domain.distances(embeddings)
        if self.augmentation is not None:
            found = predict_augmented(self.model, crystals, self.augmentation)
            predictions, factors = found.predictions, found.volume_factors
        assert predictions is not None
        return predictions, factors, distances


def load_predictor(
    network: StructuralModel,
    model: Path,
    augmentation: AugmentConfig | None,
    calibration: Path | None,
    level: float,
    phases: Path | None,
) -> Predictor:
    """A model with its calibration (None: without) and the hull of a table of phases.

    Raises:
        CalibrationError: if the calibration is that of another model, or of predictions made with
            other scalings.
        ValueError: if a file is not what it should be.
    """
    hull = None if phases is None else Hull(phases_from_table(read_table(phases), network.scheme))
    if calibration is None:
        return Predictor(network, augmentation, level=level, hull=hull)
    sha256 = sha256_of(model)
    fitted = load_calibration(calibration, sha256)
    made_with = fitted.card.augmentation
    if made_with != augmentation:
        raise CalibrationError(
            f"{calibration} holds for predictions with {_words(made_with)}, not with "
            f"{_words(augmentation)}: calibrate with the same options, or predict with "
            "--no-calibration"
        )
    return Predictor(network, augmentation, fitted, level, hull)


def e_above_hull(
    hull: Hull, crystals: Crystals, energies: Float64[np.ndarray, " n"]
) -> tuple[Float64[np.ndarray, " n"], np.ndarray]:
    """Distances from the hull (eV/atom), and why there is none though there is an energy."""
    pure = np.count_nonzero(hull.phases.composition, axis=1) == 1
    covered = hull.phases.composition[pure].any(axis=0)
    reasons = lacking(crystals.composition > 0, covered, "no elemental phase on the hull")
    above = np.full(len(crystals), np.nan)
    asked = np.isfinite(energies) & (reasons == "")
    if asked.any():
        above[asked] = hull.e_above_hull(crystals.composition[asked], energies[asked])
    return above, reasons


def _words(augmentation: AugmentConfig | None) -> str:
    if augmentation is None:
        return "no scalings"
    a = augmentation
    return f"{a.scalings} scalings of {a.of} from {a.low:g} to {a.high:g} ({a.order})"


def _numbers(values: np.ndarray) -> pa.Array:
    """NaN as null; infinite ends of intervals too: JSON lacks them."""
    return pa.array(np.where(np.isfinite(values), values, np.nan), pa.float64(), from_pandas=True)
