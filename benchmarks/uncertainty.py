"""Whether an ensemble knows when it errs: rank correlations, intervals, unrelaxed crystals.

    python benchmarks/uncertainty.py --data DATA --checkpoint mp.gnomon

From a checkpoint of ``gnomon model train structural`` that trained on formula hashes under 75:

- Spearman's rank correlation of the absolute error with cheap measures of doubt, on hashes 80 to
  84 and on the WBM pool (crystals made by substitution, unlike any that trained);
- intervals fitted on hashes 75 to 79, and what they hold on 80 to 84 and on the WBM pool;
- errors on unrelaxed crystals, 600 of hashes 75 to 84, rattled by 0.1 Å and with volumes off by up
  to 15 %, with and without the minimum over 20 volumes (test-time augmentation).

Energies of the WBM pool are those with the MP2020 corrections
(``formation_energy_per_atom_mp2020``): no offset is fitted.  Its errors are shown by how far above
the hull of ``materials_project/ground_states.parquet`` a crystal truly lies, and whether it is
called stable as in ``wbm.py``; with ``--potential`` those of a potential, not relaxed, as well.
"""

import argparse
import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from gnomon.crystals import Crystals
from gnomon.evaluate.expected import PotentialModel
from gnomon.io import from_arrow
from gnomon.models import Predictions
from gnomon.models.card import Labelled
from gnomon.models.structural.augment import AugmentConfig, predict_augmented
from gnomon.models.structural.model import StructuralModel
from gnomon.models.uncertainty.conformal import Conformal, Spread, fit_conformal
from gnomon.models.uncertainty.domain import SAMPLE, fit_domain
from gnomon.models.uncertainty.reliability import measure
from gnomon.potential.predict import load_potential
from record import RESULTS, quiet, save
from samples import rattled
from wbm import known_hull, score

RESULT = RESULTS / "uncertainty.json"
RATTLE = 0.1
"""Å, of every Cartesian coordinate."""
VOLUMES = (0.85, 1.15)
AUGMENTATIONS = {
    "minimum over 20 volumes, 80 to 120 %": AugmentConfig(),
    "minimum over 20 volumes, 90 to 110 %": AugmentConfig(low=0.9, high=1.1),
    "minimum of the median, 80 to 120 %": AugmentConfig(order="median, minimum"),
}
MP2020 = "formation_energy_per_atom_mp2020"
ABOVE = (-np.inf, 0.0, 0.05, 0.1, 0.2, 0.4, np.inf)
"""eV/atom above the hull, between which errors are told apart."""
SPREADS: tuple[Spread, ...] = ("inter-quartile range", "standard deviation")


def load(
    path: Path,
    hashes: tuple[int, int] | None = None,
    column: str = "formation_energy_per_atom",
) -> Labelled:
    """Crystals of a file with their energies, of formula hashes from the first to the last."""
    table = pq.read_table(path)
    if hashes is not None:
        found = table["formula_hash"].to_numpy()
        table = table.filter((found >= hashes[0]) & (found <= hashes[1]))
    energies = table[column].to_numpy()
    return Labelled(from_arrow(table), energies, path.name)


def measures(predictions: Predictions, distances: np.ndarray) -> dict[str, np.ndarray]:
    """Cheap measures of doubt, one number a crystal."""
    members = predictions.members
    middle = np.median(members, axis=0)
    return {
        "inter-quartile range": predictions.iqr,
        "standard deviation": members.std(axis=0),
        "range": np.ptp(members, axis=0),
        "median absolute deviation": np.median(np.abs(members - middle), axis=0),
        "distance in embedding space": distances,
        "rank of standard deviation + rank of distance": ranks(members.std(axis=0))
        + ranks(distances),
    }


def ranks(values: np.ndarray) -> np.ndarray:
    return np.argsort(np.argsort(values)).astype(np.float64)


def correlations(doubts: dict[str, np.ndarray], errors: np.ndarray) -> dict[str, float]:
    """Spearman's with the absolute errors, where there is a prediction."""
    from scipy.stats import spearmanr

    there = np.isfinite(errors)
    return {
        name: round(float(spearmanr(values[there], errors[there]).statistic), 3)
        for name, values in doubts.items()
    }


def sharpness(predictions: Predictions, energies: np.ndarray) -> dict[str, float]:
    """Mean absolute error (meV/atom) of the surest tenth, half, and all."""
    errors = np.abs(predictions.median - energies)
    there = np.flatnonzero(np.isfinite(errors))
    order = there[np.argsort(predictions.members.std(axis=0)[there])]
    return {
        f"surest {share:.0%}": milli(errors[order[: max(int(share * len(order)), 1)]].mean())
        for share in (0.1, 0.5, 1.0)
    }


def on_the_pool(data: Path, pool: Labelled, predictions: Predictions) -> dict[str, Any]:
    """Errors (meV/atom), also by the true distance to the known hull, and stable or not."""
    hull, on_hull = known_hull(data)
    composition, predicted = pool.crystals.composition, predictions.median
    counted = ~composition[:, ~on_hull].any(axis=1) & predictions.predicted
    above = hull.e_above_hull(composition[counted], pool.values[counted])
    said = hull.e_above_hull(composition[counted], predicted[counted])
    rows = []
    for low, high in pairwise(ABOVE):
        here = (predicted - pool.values)[counted][(above > low) & (above <= high)]
        facts = {"rows": len(here), "mae_meV": milli(np.abs(here).mean())}
        rows.append({"above": f"{low:g} to {high:g}", **facts, "bias_meV": milli(here.mean())})
    errors = (predicted - pool.values)[predictions.predicted]
    return {
        "rows": len(errors),
        "mae_meV": milli(np.abs(errors).mean()),
        "bias_meV": milli(errors.mean()),
        "stable_or_not": score(np.asarray(said), np.asarray(above)),
        "by_distance_to_the_hull": rows,
    }


def held(
    data: Labelled,
    predictions: Predictions,
    distances: np.ndarray,
    conformals: dict[str, Conformal],
) -> Any:
    """What intervals hold, by the measure that makes them."""
    return {
        name: measure(data, predictions, conformal, distances).model_dump(
            mode="json", exclude={"data"}
        )
        for name, conformal in conformals.items()
    }


def unrelaxed(model: StructuralModel, data: Labelled, seed: int) -> dict[str, Any]:
    """Errors (meV/atom) on crystals as they are and as candidates come, by augmentation."""
    rng = np.random.default_rng(seed)
    moved = rattled(data.crystals, RATTLE, rng)
    sets = {
        "relaxed": data.crystals,
        "rattled": moved,
        "volumes off": data.crystals.scale_volume(rng.uniform(*VOLUMES, len(moved))),
        "rattled, volumes off": moved.scale_volume(rng.uniform(*VOLUMES, len(moved))),
    }
    return {name: of_augmentations(model, crystals, data) for name, crystals in sets.items()}


def of_augmentations(
    model: StructuralModel, crystals: Crystals, data: Labelled
) -> dict[str, dict[str, float]]:
    said = {"as it is": model.predict(crystals)}
    for name, config in AUGMENTATIONS.items():
        said[name] = predict_augmented(model, crystals, config).predictions
    return {
        name: {
            "mae_meV": milli(np.nanmean(np.abs(p.median - data.values))),
            "mean_error_meV": milli(np.nanmean(p.median - data.values)),
            "unpredicted": int((~p.predicted).sum()),
        }
        for name, p in said.items()
    }


def milli(value: float) -> float:
    return round(1e3 * float(value), 2)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the reference data")
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--potential", help="weights whose energies the pool gets as well")
    parser.add_argument("--rows", type=int, help="of each set, for a trial")
    parser.add_argument("--unrelaxed", type=int, default=600, help="rows of the last measurement")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    quiet()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: given.cores])
    model = StructuralModel.load(given.checkpoint)
    assert model.card is not None
    if int(model.card.config["train_below"]) > 75:
        parser.error(f"{given.checkpoint} was trained on hashes that this measures")

    def few(data: Labelled) -> Labelled:
        rows = np.random.default_rng(given.seed).permutation(len(data.values))[: given.rows]
        return data.take(np.sort(rows))

    structures = given.data / "materials_project" / "structures.parquet"
    training = few(load(structures, (0, 74)))
    fitting, checked = few(load(structures, (75, 79))), few(load(structures, (80, 84)))
    pool = few(load(given.data / "wbm" / "wbm_pool.parquet", column=MP2020))
    of_fitting, seen = model.predict_and_embed(fitting.crystals)
    chosen = np.random.default_rng(given.seed).permutation(len(training.values))[:SAMPLE]
    domain = fit_domain(model.embed(training.crystals.take(chosen)), seen)
    conformals = {kind: fit_conformal(of_fitting, fitting.values, kind) for kind in SPREADS}

    result: dict[str, Any] = {
        "benchmark": "uncertainty",
        "checkpoint": model.card.model_dump(mode="json", exclude={"data_sha256"}),
        "seed": given.seed,
        "rows": {
            "fitted, hashes 75-79": len(fitting.values),
            "checked, hashes 80-84": len(checked.values),
            "WBM pool": len(pool.values),
        },
    }
    said, seen = model.predict_and_embed(checked.crystals)
    distances = domain.distances(seen)
    errors = np.abs(said.median - checked.values)
    result["held_out"] = {
        "spearman": correlations(measures(said, distances), errors),
        "mae_meV": sharpness(said, checked.values),
        "intervals": held(checked, said, distances, conformals),
        "flagged": round(float(domain.outside(distances).mean()), 4),
    }
    said, seen = model.predict_and_embed(pool.crystals)
    distances = domain.distances(seen)
    errors = np.abs(said.median - pool.values)
    result["wbm_pool"] = {
        "flagged": round(float(domain.outside(distances).mean()), 4),
        "spearman": correlations(measures(said, distances), errors),
        "mae_meV": sharpness(said, pool.values),
        "intervals": held(pool, said, distances, conformals),
        "errors": on_the_pool(given.data, pool, said),
    }
    if given.potential:
        other = PotentialModel(load_potential(given.potential), (1.0,)).predict(pool.crystals)
        both = (said.median + other.median) / 2
        mean = Predictions(both[None], np.where(np.isfinite(both), "", "not predicted"))
        result["wbm_pool"]["potential"] = {
            given.potential: on_the_pool(given.data, pool, other),
            "mean of both": on_the_pool(given.data, pool, mean),
        }
    crystals = Crystals.concatenate([fitting.crystals, checked.crystals])
    energies = np.concatenate([fitting.values, checked.values])
    some = np.sort(np.random.default_rng(given.seed).permutation(len(energies))[: given.unrelaxed])
    both = Labelled(crystals.take(some), energies[some], "of hashes 75-84")
    result["unrelaxed"] = {
        "rows": len(some),
        "rattle_angstrom": RATTLE,
        "volumes": VOLUMES,
        "errors": unrelaxed(model, both, given.seed),
    }
    save(result, given.out)


if __name__ == "__main__":
    main()
