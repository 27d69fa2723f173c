"""Learned properties on held-out crystals, beside gradient boosting on features of the elements.

    python benchmarks/learned_properties.py --data DATA --models FOLDER

FOLDER holds the models that ``examples/train_properties.py`` makes (``NAME-1.gnomon``); without it
those of the package are measured.  Held out: AFLOW's files of validation, and phonons of formula
hashes from 75 on.  The baseline, scikit-learn's ``HistGradientBoostingRegressor``, learns the same
rows from 60 numbers: mean, deviation, least, largest and range of twelve element properties of
pymatgen, weighted by composition where that makes sense; with them the volume an atom, the atoms in
the cell and the shortest distance over the sum of its radii.

Band gap and metal or not are of WBM crystals (``examples/train_heads.py``), held out by formula
hashes from 75 on; gradient boosting of absolute and of squared error, the better of which counts.
"""

import argparse
import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Element
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import f1_score, roc_auc_score

from gnomon.crystals import Crystals
from gnomon.io import from_arrow
from gnomon.learn.split import formula_hashes
from gnomon.models.bundled import model_path
from gnomon.models.ensemble import load_model
from magpie import of_crystals
from record import RESULTS, save

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))
from train_heads import gaps
from train_properties import LEARNED, rows

RESULT = RESULTS / "learned_properties.json"
DRAWS = 1000
"""Bootstrap samples of an interval."""
ELEMENTS = (
    *("X", "atomic_mass", "atomic_radius", "mendeleev_no", "row", "group", "melting_point"),
    *("molar_volume", "bulk_modulus", "ionization_energy", "electron_affinity", "Z"),
)


def of_elements() -> np.ndarray:
    """(119, 12), NaN where pymatgen knows none."""
    found = np.full((119, len(ELEMENTS)), np.nan)
    warnings.filterwarnings("ignore", "No data available", UserWarning)
    warnings.filterwarnings("ignore", "All-NaN slice", RuntimeWarning)
    for z in range(1, 104):
        for k, name in enumerate(ELEMENTS):
            try:
                found[z, k] = float(getattr(Element.from_Z(z), name))
            except (TypeError, ValueError, AttributeError):
                continue
    return found


def features(crystals: Crystals) -> np.ndarray:
    """Of the elements by composition, and of the crystal."""
    return np.concatenate([of_fractions(crystals.fractions), of_crystals(crystals)], axis=1)


def of_fractions(rows: np.ndarray) -> np.ndarray:
    """Of the elements by atomic fractions, (n, 119) to (n, 60)."""
    table, columns = of_elements(), []
    for fractions in rows:
        there = np.flatnonzero(fractions)
        weights, values = fractions[there][:, None], table[there]
        mean = np.nansum(weights * values, axis=0)
        deviation = np.sqrt(np.nansum(weights * (values - mean) ** 2, axis=0))
        low, high = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
        columns.append(np.concatenate([mean, deviation, low, high, high - low]))
    return np.array(columns)


def measured(name: str, data: Path, models: Path | None) -> dict[str, Any]:
    """Errors of network and baseline on the rows that neither saw."""
    what = LEARNED[name]
    seen, known = rows(data, what, "train")
    hidden, truth = rows(data, what, "val")
    if what.log:
        known, truth = np.log10(known), np.log10(truth)
    file = f"{name}-1"
    model = load_model(model_path(file) if models is None else models / f"{file}.gnomon")
    found = model.predict(hidden)
    error = np.abs(found.median - truth)
    trees = HistGradientBoostingRegressor(loss="absolute_error", max_iter=400, random_state=0)
    trees.fit(features(seen), known)
    of_trees = np.abs(trees.predict(features(hidden)) - truth)
    draws = np.random.default_rng(0).integers(len(truth), size=(2000, len(truth)))
    low, high = np.nanpercentile(np.nanmean(error[draws], axis=1), [2.5, 97.5])
    new = ~np.isin(hidden.reduced_formulas, np.unique(seen.reduced_formulas))
    return {
        "unit": f"log10({what.unit})" if what.log else what.unit,
        "train_rows": len(seen),
        "rows": len(truth),
        "without_a_prediction": int(np.isnan(error).sum()),
        "mae": round(float(np.nanmean(error)), 4),
        "interval_95": [round(float(low), 4), round(float(high), 4)],
        "mae_of_new_formulas": round(float(np.nanmean(error[new])), 4),
        "gradient_boosting_mae": round(float(of_trees.mean()), 4),
        "mean_mae": round(float(np.abs(np.median(known) - truth).mean()), 4),
    }


def interval(figure: Callable[[np.ndarray], float], rows: int) -> list[float]:
    """95 % by bootstrap of a figure of rows."""
    draws = np.random.default_rng(0).integers(rows, size=(DRAWS, rows))
    return np.round(np.percentile([figure(draw) for draw in draws], [2.5, 97.5]), 4).tolist()


def of_gaps(data: Path, models: Path | None) -> dict[str, Any]:
    """Band gap, and metal or not, of held-out WBM crystals."""
    table = gaps(data)
    crystals, gap = from_arrow(table), table["band_gap"].to_numpy()
    hashes = formula_hashes(crystals.reduced_formulas)
    seen, hidden = hashes < 75, hashes >= 75
    x, truth = features(crystals), gap[hidden]
    said = {}
    for name in ("band-gap-1", "is-metal-1"):
        model = load_model(model_path(name) if models is None else models / f"{name}.gnomon")
        said[name] = model.predict(crystals[hidden]).members.mean(axis=0)
    off = np.abs(said["band-gap-1"] - truth)
    trees = {}
    for loss in ("absolute_error", "squared_error"):
        made = HistGradientBoostingRegressor(loss=loss, max_iter=400, random_state=0)
        trees[loss] = np.abs(made.fit(x[seen], gap[seen]).predict(x[hidden]) - truth).mean()
    metal, likely = truth == 0, said["is-metal-1"]
    boosted = HistGradientBoostingClassifier(random_state=0).fit(x[seen], gap[seen] == 0)
    of_trees = boosted.predict_proba(x[hidden])[:, 1]
    shared = {"train_rows": int(seen.sum()), "train_rows_with_a_gap": int((gap[seen] > 0).sum())}
    shared |= {"rows": len(truth), "rows_with_a_gap": int((~metal).sum())}

    def auc(rows: np.ndarray) -> float:
        return float(roc_auc_score(metal[rows], likely[rows]))

    def f1(rows: np.ndarray) -> float:
        return float(f1_score(~metal[rows], likely[rows] < 0.5))

    every, beyond = np.arange(len(truth)), hashes[hidden] >= 85
    return {
        "band-gap": {
            "unit": "eV",
            **shared,
            "mae": round(float(off.mean()), 4),
            "interval_95": interval(lambda rows: float(off[rows].mean()), len(truth)),
            "mae_of_hashes_from_85": round(float(off[beyond].mean()), 4),
            "mae_of_those_with_a_gap": round(float(off[~metal].mean()), 4),
            "gradient_boosting_mae": round(float(min(trees.values())), 4),
            "mean_mae": round(float(np.abs(np.median(gap[seen]) - truth).mean()), 4),
        },
        "is-metal": {
            **shared,
            "auc": round(auc(every), 4),
            "auc_interval_95": interval(auc, len(truth)),
            "f1_of_gapped": round(f1(every), 4),
            "f1_interval_95": interval(f1, len(truth)),
            "gradient_boosting_auc": round(float(roc_auc_score(metal, of_trees)), 4),
            "gradient_boosting_f1": round(float(f1_score(~metal, of_trees < 0.5)), 4),
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", type=Path)
    parser.add_argument("--properties", nargs="+", choices=LEARNED, default=list(LEARNED))
    parser.add_argument("--only-gaps", action="store_true", help="keep the other figures")
    given = parser.parse_args()
    if given.only_gaps:
        found = json.loads(RESULT.read_text("utf-8"))["properties"]
    else:
        found = {name: measured(name, given.data, given.models) for name in given.properties}
    found |= of_gaps(given.data, given.models)
    save({"benchmark": "learned_properties", "properties": found}, RESULT)


if __name__ == "__main__":
    main()
