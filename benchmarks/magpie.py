"""Magpie features and gradient boosting, the peer without a network.

Ward et al., npj Comput. Mater. 2, 16028 (2016): statistics of 22 elemental properties over a
formula (132 numbers), norms of its stoichiometry (6) and its valence orbitals (8), by matminer;
with them what a formula cannot say, from the crystal: volume an atom, atoms in the cell and
shortest distance over the sum of covalent radii.  scikit-learn's
``HistGradientBoostingRegressor`` learns them.  Features are kept on disk by formula.
"""

import hashlib
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from gnomon.crystals import Crystals
from gnomon.structure.neighbors import neighbors

TREES_AT_A_TIME = 50
REACH = 6.0
"""Å within which the shortest distance is looked for."""


def of_formulas(formulas: np.ndarray, cache: Path) -> np.ndarray:
    """The composition features of formulas, made once and kept in the folder."""
    names, rows = np.unique(formulas.astype(str), return_inverse=True)
    digest = hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]
    file = cache / f"magpie-{digest}.npy"
    if not file.exists():
        cache.mkdir(parents=True, exist_ok=True)
        np.save(file, _featurize(names))
    return np.load(file)[rows]


def _featurize(names: np.ndarray) -> np.ndarray:
    from matminer.featurizers.composition import (
        ElementProperty,
        Stoichiometry,
        ValenceOrbital,
    )
    from pymatgen.core import Composition

    warnings.filterwarnings("ignore")  # electronegativities of noble gases, and the like
    featurizers = [
        ElementProperty.from_preset("magpie", impute_nan=True),
        Stoichiometry(),
        ValenceOrbital(impute_nan=True),
    ]
    rows = []
    for name in names:
        composition = Composition(name)
        rows.append([x for f in featurizers for x in f.featurize(composition)])
    return np.array(rows, np.float32)


def of_crystals(crystals: Crystals) -> np.ndarray:
    """Volume an atom (Å3), atoms in the cell, shortest distance over the sum of its radii."""
    from ase.data import covalent_radii

    found = neighbors(crystals, REACH, 1)
    numbers = crystals.atomic_numbers
    radii = covalent_radii[numbers[found.receivers]] + covalent_radii[numbers[found.senders]]
    relative = np.full(len(crystals), np.inf)
    np.minimum.at(relative, crystals.crystal_index[found.receivers], found.distances / radii)
    relative[~np.isfinite(relative)] = np.nan  # the trees take it as missing
    columns = [crystals.volumes / crystals.n_atoms, crystals.n_atoms, relative]
    return np.stack(columns, axis=1).astype(np.float32)


def train(
    features: np.ndarray, energies: np.ndarray, rows: np.ndarray, seconds: float, seed: int = 0
) -> tuple[Any, dict[str, Any]]:
    """Add trees for so many seconds, or until a tenth of the rows kept apart gets no better."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    began, cpu = time.perf_counter(), time.process_time()
    rng = np.random.default_rng(seed)
    apart = rng.random(len(rows)) < 0.1
    learned, watched = rows[~apart], rows[apart]
    model = HistGradientBoostingRegressor(
        loss="absolute_error",
        learning_rate=0.08,
        max_leaf_nodes=63,
        l2_regularization=1.0,
        max_features=0.3,
        warm_start=True,
        early_stopping=False,
        max_iter=TREES_AT_A_TIME,
        random_state=seed,
    )
    best, trees = np.inf, 0
    while True:
        model.fit(features[learned], energies[learned])
        error = np.abs(model.predict(features[watched]) - energies[watched]).mean()
        spent = time.perf_counter() - began
        if error < best:
            best, trees = float(error), model.n_iter_
        if spent > seconds or model.n_iter_ > trees + 4 * TREES_AT_A_TIME:
            break
        model.max_iter += TREES_AT_A_TIME
    return model, {
        "wall_s": round(time.perf_counter() - began, 1),
        "cpu_s": round(time.process_time() - cpu, 1),
        "trees": int(model.n_iter_),
        "stopped": "no better" if spent <= seconds else "time",
        "features": features.shape[1],
        "mae_watched_meV": round(1e3 * best, 2),
    }
