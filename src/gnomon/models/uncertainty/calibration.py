"""Calibration: intervals that hold what they promise, measured on held-out rows, kept by the model.

The held-out formula hashes of a model (75 to 84 by default) are cut in two: the lower half fits the
intervals, the upper half, of other formulas, says what they hold.  Crystals of another kind that
the model has not seen either, such as unstable ones, can fit them too; intervals widen with the
distance from the training data, so that they then hold there as well.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float64
from pydantic import BaseModel, ConfigDict

from gnomon.crystals import Crystals
from gnomon.learn.card import sha256_of_arrays
from gnomon.learn.model_file import read_model_file, write_model_file
from gnomon.learn.split import formula_hashes
from gnomon.models import Predictions
from gnomon.models.card import Labelled, ModelCard
from gnomon.models.structural.augment import AugmentConfig, predict_augmented
from gnomon.models.structural.model import StructuralModel
from gnomon.models.uncertainty.conformal import Conformal, Spread, fit_conformal
from gnomon.models.uncertainty.domain import SAMPLE, Domain, fit_domain
from gnomon.models.uncertainty.reliability import Check, measure
from gnomon.run.stamp import Stamp, stamp

KIND = "calibration"
"""What files of calibrations say that they are."""


class CalibrationError(ValueError):
    """The file is no calibration, or that of another model or of another way to predict."""


class CalibrationCard(BaseModel):
    """Intervals for the predictions of one model, and where they come from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model_sha256: str
    scheme: str
    data: str
    data_sha256: str
    """Of the rows that fitted and that checked, and of their energies, as arrays."""
    fitted_hashes: tuple[int, int]
    """First and last formula hash of the rows that fitted."""
    fitted_rows: int
    unlike: str
    """Other data that fitted, none of which trained; empty for none."""
    unlike_rows: int
    checked_hashes: tuple[int, int]
    checks: tuple[Check, ...]
    """On the checked rows first, then on whatever else was asked for."""
    augmentation: AugmentConfig | None
    conformal: Conformal
    seed: int
    stamp: Stamp


@dataclass(frozen=True, eq=False)
class Calibration:
    """What can be said of predictions of one model.

    Attributes:
        card: intervals, what they hold, and where they come from.
        domain: where the training rows lie; None where the data held none.
    """

    card: CalibrationCard
    domain: Domain | None

    def save(self, path: Path) -> None:
        """Write it to a file, whole or not at all."""
        domain = self.domain
        about = {
            "kind": KIND,
            "card": self.card.model_dump(mode="json"),
            "threshold": domain and domain.threshold,
        }
        arrays = (domain.center, domain.axes, domain.references) if domain else ()
        write_model_file(path, about, arrays)


def calibrate(  # noqa: PLR0913  (of what, on what, how)
    model: StructuralModel,
    model_sha256: str,
    data: Labelled,
    *,
    unlike: tuple[Labelled, ...] = (),
    also: tuple[Labelled, ...] = (),
    augmentation: AugmentConfig | None = None,
    spread: Spread = "inter-quartile range",
    seed: int = 0,
) -> Calibration:
    """Fit intervals and domain on rows of a data set that the model was not trained on.

    Args:
        model: with a card that says how it was split.
        model_sha256: checksum of its file.
        data: the data that it was trained on, or any with held-out formulas.
        unlike: other data that trained nothing, which fit the intervals too, all of their rows.
        also: other data to check on, such as crystals of another origin.
        augmentation: the scalings that predictions will be made with; None for none.
        spread: what measures the disagreement of members.
        seed: of the choice of training rows that the domain keeps.

    Raises:
        ValueError: if the model held out fewer than two formula hashes, or too few rows have them.
    """
    if model.card is None:
        raise ValueError("the model has no card, so nobody knows what it was trained on")
    hashes = formula_hashes(data.crystals.reduced_formulas)
    low, middle, high = held_out_hashes(model.card)
    fit, check = (hashes >= low) & (hashes < middle), (hashes >= middle) & (hashes < high)
    domain = _domain(model, data.crystals, hashes < low, fit, seed)
    fitting = (data.take(fit), *unlike)
    seen = [_seen(model, part.crystals, augmentation, domain) for part in fitting]
    conformal = fit_conformal(
        Predictions.concatenate([predictions for predictions, _ in seen]),
        np.concatenate([part.values for part in fitting]),
        spread,
        None if domain is None else np.concatenate([distances for _, distances in seen]),
    )
    checked = data.take(check)
    card = CalibrationCard(
        model_sha256=model_sha256,
        scheme=model.scheme,
        data=data.name,
        data_sha256=sha256_of_arrays(data.take(fit | check).columns),
        fitted_hashes=(low, middle - 1),
        fitted_rows=len(fitting[0]),
        unlike=", ".join(part.name for part in unlike),
        unlike_rows=sum(map(len, unlike)),
        checked_hashes=(middle, high - 1),
        checks=tuple(
            _check(model, part, augmentation, conformal, domain) for part in (checked, *also)
        ),
        augmentation=augmentation,
        conformal=conformal,
        seed=seed,
        stamp=stamp(),
    )
    return Calibration(card, domain)


def predict_as(
    model: StructuralModel, crystals: Crystals, augmentation: AugmentConfig | None
) -> Predictions:
    """Predictions with or without augmentation."""
    if augmentation is None:
        return model.predict(crystals)
    return predict_augmented(model, crystals, augmentation).predictions


def held_out_hashes(card: ModelCard) -> tuple[int, int, int]:
    """First formula hash that fits, first one that checks, first one of neither.

    Raises:
        ValueError: if the training held out fewer than two.
    """
    low, high = int(card.config["train_below"]), int(card.config["validate_below"])
    if high - low < 2:
        raise ValueError(
            f"the model trained on formula hashes below {low} and held out {high - low}: a "
            "calibration needs two held-out ones at least; train with a smaller train_below"
        )
    return low, (low + high) // 2, high


# --- files ----------------------------------------------------------------------------------------


def calibration_path(model: Path) -> Path:
    """Where the calibration of a model lies: ``m.gnomon`` → ``m.gnomon.calibration``."""
    return model.with_name(model.name + ".calibration")


def load_calibration(path: Path, model_sha256: str) -> Calibration:
    """The calibration in a file that ``Calibration.save`` wrote.

    Raises:
        FileNotFoundError: if there is none.
        ModelFileError: if the file is damaged or in no format of gnomon.
        CalibrationError: if it is no calibration, or that of another model.
    """
    file = read_model_file(path)
    if file.about.get("kind") != KIND:
        raise CalibrationError(f"{path} is no calibration: run `gnomon model calibrate`")
    card = CalibrationCard.model_validate(file.about["card"])
    if card.model_sha256 != model_sha256:
        raise CalibrationError(
            f"{path} belongs to another model (sha256 {card.model_sha256[:12]}..., not "
            f"{model_sha256[:12]}...): run `gnomon model calibrate` for this one, or predict "
            "without it"
        )
    if not file.arrays:
        return Calibration(card, None)
    center, axes, references = (file.arrays[f"[{i}]"] for i in range(3))
    return Calibration(card, Domain(center, axes, references, file.about["threshold"]))


# --- parts ----------------------------------------------------------------------------------------


def _domain(
    model: StructuralModel,
    crystals: Crystals,
    trained: Bool[np.ndarray, " n"],
    held_out: Bool[np.ndarray, " n"],
    seed: int,
) -> Domain | None:
    rows = np.flatnonzero(trained)
    if len(rows) < 2:
        return None
    chosen = np.random.default_rng(seed).permutation(rows)[:SAMPLE]
    return fit_domain(model.embed(crystals[chosen]), model.embed(crystals[held_out]))


def _check(
    model: StructuralModel,
    data: Labelled,
    augmentation: AugmentConfig | None,
    conformal: Conformal,
    domain: Domain | None,
) -> Check:
    predictions, distances = _seen(model, data.crystals, augmentation, domain)
    if domain is None:
        return measure(data, predictions, conformal)
    return measure(data, predictions, conformal, distances, domain.outside(distances))


def _seen(
    model: StructuralModel,
    crystals: Crystals,
    augmentation: AugmentConfig | None,
    domain: Domain | None,
) -> tuple[Predictions, Float64[np.ndarray, " n"]]:
    """Predictions, and distances from the training data (NaN without a domain)."""
    predictions = predict_as(model, crystals, augmentation)
    if domain is None:
        return predictions, np.full(len(crystals), np.nan)
    return predictions, domain.distances(model.embed(crystals))
