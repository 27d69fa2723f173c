"""Cross-validation: every formula is predicted once by an ensemble that never saw it."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64

from gnomon.learn.split import formula_hashes
from gnomon.models import Predictions
from gnomon.models.card import Labelled
from gnomon.models.ensemble import train_into
from gnomon.models.structural.train import TrainConfig, train
from gnomon.run.listener import SILENT, Listener


@dataclass(frozen=True, eq=False)
class Folds:
    """What k ensembles say of the crystals that each was not shown.

    Attributes:
        fold: of each crystal; polymorphs of a formula share theirs.
        predictions: of each crystal by the ensemble of the other folds.
        errors: predicted less true, eV/atom; NaN without a prediction.
    """

    fold: Int64[np.ndarray, " n"]
    predictions: Predictions
    errors: Float64[np.ndarray, " n"]

    @property
    def mae_of_folds(self) -> Float64[np.ndarray, " k"]:
        """Mean absolute error of each fold, eV/atom; NaN for one without a prediction."""
        absolute, there = np.abs(self.errors), np.isfinite(self.errors)
        rows = [absolute[there & (self.fold == i)] for i in range(int(self.fold.max()) + 1)]
        return np.array([part.mean() if len(part) else np.nan for part in rows])

    @property
    def mae(self) -> float:
        """Mean absolute error over all crystals that have a prediction, eV/atom."""
        return float(np.nanmean(np.abs(self.errors)))


def cross_validate(
    data: Labelled, config: TrainConfig, folds: int, folder: Path, listener: Listener = SILENT
) -> Folds:
    """Train on all folds but one, predict that one, for each.

    The fold of a formula is its hash modulo the number of folds, the same whatever else is there.
    Ensembles go into the folder, ``fold-0.gnomon`` and so on; finished ones are not trained again,
    and one that was stopped goes on.

    Args:
        data: rows to part by formula.
        config: settings; their split is not used, as every row outside of a fold trains.
        folds: at least 2.
        folder: for the ensembles.
        listener: hears how each fold gets on.

    Raises:
        ValueError: for fewer than 2 folds or an empty one, or as ``train``.
    """
    fold = formula_hashes(data.reduced_formulas, max(folds, 1))
    sizes = np.bincount(fold, minlength=max(folds, 1))
    if folds < 2 or not sizes.all():
        raise ValueError(
            f"{folds} folds of {sizes.tolist()} crystals: there must be at least 2, none of them "
            "empty; choose fewer folds, or give more formulas"
        )
    everything = config.model_copy(update={"train_below": 100, "validate_below": 100})
    members = np.full((config.members, len(fold)), np.nan)
    reasons = np.full(len(fold), "", dtype=object)
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(folds):
        inside = fold == i
        others = replace(data.take(~inside), name=f"all but fold {i} of {folds}")
        told = listener.of(f"fold {i + 1} of {folds}")
        model = train_into(folder / f"fold-{i}.gnomon", train, others, everything, told)
        found = model.predict(data.crystals[inside])
        members[:, inside], reasons[inside] = found.members, found.reasons
    predictions = Predictions(members, reasons)
    return Folds(fold, predictions, predictions.median - data.values)
