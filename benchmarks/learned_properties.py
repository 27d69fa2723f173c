"""Learned properties on held-out crystals, beside gradient boosting on features of the elements.

    python benchmarks/learned_properties.py --data DATA --models FOLDER

FOLDER holds the models that ``examples/train_properties.py`` makes (``NAME-1.gnomon``); without it
those of the package are measured.  Held out: AFLOW's files of validation, and phonons of formula
hashes from 75 on.  The baseline, scikit-learn's ``HistGradientBoostingRegressor``, learns the same
rows from 60 numbers: mean, deviation, least, largest and range of twelve element properties of
pymatgen, weighted by composition where that makes sense; with them the volume an atom, the atoms in
the cell and the shortest distance over the sum of its radii.
"""

import argparse
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Element
from sklearn.ensemble import HistGradientBoostingRegressor

from gnomon.crystals import Crystals
from gnomon.models.bundled import model_path
from gnomon.models.ensemble import load_model
from magpie import of_crystals
from record import RESULTS, save

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))
from train_properties import LEARNED, rows

RESULT = RESULTS / "learned_properties.json"
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
    table, columns = of_elements(), []
    for fractions in crystals.fractions:
        there = np.flatnonzero(fractions)
        weights, values = fractions[there][:, None], table[there]
        mean = np.nansum(weights * values, axis=0)
        deviation = np.sqrt(np.nansum(weights * (values - mean) ** 2, axis=0))
        low, high = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
        columns.append(np.concatenate([mean, deviation, low, high, high - low]))
    return np.concatenate([np.array(columns), of_crystals(crystals)], axis=1)


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", type=Path)
    parser.add_argument("--properties", nargs="+", choices=LEARNED, default=list(LEARNED))
    given = parser.parse_args()
    found = {name: measured(name, given.data, given.models) for name in given.properties}
    save({"benchmark": "learned_properties", "properties": found}, RESULT)


if __name__ == "__main__":
    main()
