"""Cross-validation: every formula is predicted once by an ensemble that never saw it."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64, Shaped

from gnomon.crystals import Crystals
from gnomon.models import Predictions
from gnomon.models.structural.ensemble import load_model
from gnomon.models.structural.train import Progress, TrainConfig, train


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


def fold_of_formulas(
    reduced_formulas: Shaped[np.ndarray, " n"], folds: int
) -> Int64[np.ndarray, " n"]:
    """MD5 of the reduced formula modulo the number of folds: the same whatever else is there."""
    numbers: dict[str, int] = {}
    for formula in reduced_formulas.tolist():
        if formula not in numbers:
            digest = hashlib.md5(formula.encode(), usedforsecurity=False).hexdigest()
            numbers[formula] = int(digest, 16) % folds
    return np.array([numbers[f] for f in reduced_formulas.tolist()], np.int64)


def cross_validate(
    crystals: Crystals,
    formation_energy_per_atom: Float64[np.ndarray, " n"],
    config: TrainConfig,
    folds: int,
    folder: Path,
    *,
    scheme: str,
    progress: Callable[[int, Progress], None] | None = None,
) -> Folds:
    """Train on all folds but one, predict that one, for each.

    Ensembles go into the folder, ``fold-0.gnomon`` and so on; finished ones are not trained again,
    and one that was stopped goes on.

    Args:
        crystals: rows to part by formula.
        formation_energy_per_atom: of each, eV/atom, all of one energy scheme.
        config: settings; their split is not used, as every row outside of a fold trains.
        folds: at least 2.
        folder: for the ensembles.
        scheme: name of the energy scheme.
        progress: called with the number of the fold after each epoch.

    Raises:
        ValueError: for fewer than 2 folds or an empty one, or as ``train``.
    """
    energies = np.asarray(formation_energy_per_atom, np.float64)
    fold = fold_of_formulas(crystals.reduced_formulas, folds) if folds > 1 else np.zeros(0, int)
    sizes = np.bincount(fold, minlength=max(folds, 1))
    if folds < 2 or not sizes.all():
        raise ValueError(
            f"{folds} folds of {sizes.tolist()} crystals: there must be at least 2, none of them "
            "empty; choose fewer folds, or give more formulas"
        )
    everything = config.model_copy(update={"train_below": 100, "validate_below": 100})
    members = np.full((config.members, len(crystals)), np.nan)
    reasons = np.full(len(crystals), "", dtype=object)
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(folds):
        out, inside = folder / f"fold-{i}.gnomon", fold == i

        def told(state: Progress, i: int = i) -> None:
            if progress is not None:
                progress(i, state)

        train(
            crystals[~inside],
            energies[~inside],
            everything,
            out=out,
            scheme=scheme,
            data_name=f"all but fold {i} of {folds}",
            progress=told,
        )
        found = load_model(out).predict(crystals[inside])
        members[:, inside], reasons[inside] = found.members, found.reasons
    predictions = Predictions(members, reasons)
    return Folds(fold, predictions, predictions.median - energies)
