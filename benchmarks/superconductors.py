"""Critical temperatures from formulas: the network against gradient boosting, by class and family.

    python benchmarks/superconductors.py --data DATA --work FOLDER
    python benchmarks/superconductors.py --data DATA --work FOLDER --split formula

FOLDER keeps the trained networks, so that a run that was stopped goes on.  Two splits of SuperCon
(3DSC, CC-BY 4.0): by formula, hashes from 75 on held out, where doped relatives of a compound stand
on both sides; and by family, where no set of elements does (MD5 of the element set).  Errors are of
log10(Tc/K), for cuprates (Cu and O), iron-based ones (Fe with P, As, S, Se or Te) and all others.
Gradient boosting (scikit-learn, absolute error) learns the same rows from 60 features of elements,
as in ``learned_properties.py``; the median alone stands beside.
"""

import argparse
import hashlib
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor

from gnomon.learn.fit import Session
from gnomon.learn.split import formula_hashes
from gnomon.models.card import LabelledFormulas
from gnomon.models.composition.model import FormulaPropertyModel
from learned_properties import interval, of_fractions
from record import RESULTS, save

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))
from train_superconductors import superconductors, train

RESULT = RESULTS / "superconductors.json"
HELD_OUT = 75


def classes(data: LabelledFormulas) -> dict[str, np.ndarray]:
    """Which rows are of each class."""
    there = data.fractions > 0
    cuprates = there[:, 29] & there[:, 8]
    iron = there[:, 26] & there[:, [15, 16, 33, 34, 52]].any(axis=1) & ~cuprates
    return {"cuprates": cuprates, "iron-based": iron, "others": ~cuprates & ~iron}


def families(data: LabelledFormulas) -> np.ndarray:
    """MD5 of the set of elements, modulo 100."""
    sets = ("-".join(map(str, np.flatnonzero(row))) for row in data.fractions)
    return np.array([int(hashlib.md5(s.encode()).hexdigest(), 16) % 100 for s in sets])


def network(data: LabelledFormulas, seen: np.ndarray, path: Path) -> FormulaPropertyModel:
    """Trained on the rows seen, or read where that was done."""
    if not path.exists():
        rows = np.flatnonzero(seen)
        part = replace(data, formulas=data.formulas.take(rows), values=data.values[rows])
        partial = path.with_name(path.name + ".partial")
        model = train(part, Session(partial), train_below=100)
        model.save(path, half=True)
    return FormulaPropertyModel.load(path)


def measured(data: LabelledFormulas, hashes: np.ndarray, path: Path) -> dict[str, Any]:
    """Errors of a split on rows that nothing saw."""
    seen = hashes < HELD_OUT
    began = time.process_time()
    model = network(data, seen, path)
    seconds = time.process_time() - began
    hidden = np.flatnonzero(~seen)
    formulas = data.formulas.take(hidden)
    found = model.predict_formulas(formulas, np.full(len(hidden), "", dtype=object))
    answered = np.isfinite(found.median)
    hidden, median = hidden[answered], found.median[answered]
    truth, spread = data.values[hidden], found.combined[answered]
    off = np.abs(median - truth)
    x = of_fractions(data.fractions)
    trees = HistGradientBoostingRegressor(loss="absolute_error", max_iter=400, random_state=0)
    trees.fit(x[seen], data.values[seen])
    of_trees = np.abs(trees.predict(x[hidden]) - truth)
    constant = np.abs(np.median(data.values[seen]) - truth)
    kelvin = 10**truth

    def r2(said: np.ndarray) -> float:
        return float(1 - ((said - kelvin) ** 2).sum() / ((kelvin - kelvin.mean()) ** 2).sum())

    rows = {"all": np.ones(len(truth), bool)}
    rows |= {name: mask[hidden] for name, mask in classes(data).items()}
    return {
        "train_rows": int(seen.sum()),
        "held_out": len(answered),
        "without_a_prediction": int((~answered).sum()),
        "within_its_uncertainty": round(float((off < spread).mean()), 3),
        "within_twice_its_uncertainty": round(float((off < 2 * spread).mean()), 3),
        "r2_of_tc": round(r2(10**median), 3),
        "rmse_of_tc_k": round(float(np.sqrt(((10**median - kelvin) ** 2).mean())), 2),
        "cpu_s_of_training": round(seconds, 1),
        "mae_of_log10_tc": {
            name: {
                "rows": int(mask.sum()),
                "network": round(float(off[mask].mean()), 4),
                "interval_95": interval(lambda r, m=mask: float(off[m][r].mean()), int(mask.sum())),
                "gradient_boosting": round(float(of_trees[mask].mean()), 4),
                "median": round(float(constant[mask].mean()), 4),
            }
            for name, mask in rows.items()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--split", choices=("formula", "family"), nargs="+")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    data = superconductors(given.data)
    of = {"formula": formula_hashes(data.reduced_formulas), "family": families(data)}
    chosen = given.split or list(of)
    splits = {name: measured(data, of[name], given.work / f"{name}.gnomon") for name in chosen}
    save({"benchmark": "superconductors", "formulas": len(data.values), "splits": splits}, RESULT)


if __name__ == "__main__":
    main()
