"""Whether an ensemble knows when it errs: rank correlations, intervals, unrelaxed crystals.

    python benchmarks/uncertainty.py --data DATA --checkpoint mp.gnomon

From a checkpoint of ``gnomon model train structural`` that trained on formula hashes under 75:

- Spearman's rank correlation of the absolute error with cheap measures of doubt, on hashes 80 to
  84 and on the WBM pool (crystals made by substitution, unlike any that trained);
- intervals fitted on hashes 75 to 79, and what they hold on 80 to 84 and on the WBM pool;
- errors on unrelaxed crystals, 600 of hashes 75 to 84, rattled by 0.1 Å and with volumes off by up
  to 15 %, with and without the minimum over 20 volumes (test-time augmentation).

Energies of the WBM pool hold no MP2020 corrections.  Three readings of it are shown: as given; less
one constant; less an offset by anion and +U metal (``gnomon.replay.linear``), both fitted on one
half of the pool and measured on the other.  The fitted offset also takes up errors that the
ensemble makes on all compounds of an anion.
"""

import argparse
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from gnomon.crystals import Crystals
from gnomon.io import from_arrow
from gnomon.models import Predictions
from gnomon.models.card import Labelled
from gnomon.models.structural.augment import AugmentConfig, predict_augmented
from gnomon.models.structural.model import StructuralModel
from gnomon.models.uncertainty.conformal import Conformal, Spread, fit_conformal
from gnomon.models.uncertainty.domain import SAMPLE, fit_domain
from gnomon.models.uncertainty.reliability import measure
from gnomon.replay.linear import fit, offset_features
from record import RESULTS, quiet, save
from samples import rattled

RESULT = RESULTS / "uncertainty.json"
RATTLE = 0.1
"""Å, of every Cartesian coordinate."""
VOLUMES = (0.85, 1.15)
AUGMENTATIONS = {
    "minimum over 20 volumes, 80 to 120 %": AugmentConfig(),
    "minimum over 20 volumes, 90 to 110 %": AugmentConfig(low=0.9, high=1.1),
    "minimum of the median, 80 to 120 %": AugmentConfig(order="median, minimum"),
}
OFFSET_PRIOR, NOISE = 0.5, 0.05
"""eV/atom for an atom fraction of 1, and what the offset leaves unexplained."""
SPREADS: tuple[Spread, ...] = ("inter-quartile range", "standard deviation")


def load(path: Path, hashes: tuple[int, int] | None = None) -> Labelled:
    """Crystals of a file with their energies, of formula hashes from the first to the last."""
    table = pq.read_table(path)
    if hashes is not None:
        found = table["formula_hash"].to_numpy()
        table = table.filter((found >= hashes[0]) & (found <= hashes[1]))
    energies = table["formation_energy_per_atom"].to_numpy()
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


def offsets(
    pool: Labelled, predictions: Predictions, seed: int
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Rows that are measured, and what is added to the predictions of all by each reading."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(pool.values))
    fitted, rest = order[: len(order) // 2], np.sort(order[len(order) // 2 :])
    wrong = pool.values - predictions.median
    told = fitted[np.isfinite(wrong[fitted])]
    features = offset_features(pool.crystals.composition)
    prior = np.full(features.shape[1], OFFSET_PRIOR)
    by_anion = fit(features[told], wrong[told], prior, NOISE).predict(features)
    n = len(pool.values)
    return rest, {
        "as given": np.zeros(n),
        "less one constant": np.full(n, np.median(wrong[told])),
        "less an offset by anion and +U metal": by_anion,
    }


def held(data: Labelled, predictions: Predictions, conformals: dict[str, Conformal]) -> Any:
    """What intervals hold, by the measure that makes them."""
    return {
        name: measure(data, predictions, conformal).model_dump(mode="json", exclude={"data"})
        for name, conformal in conformals.items()
    }


def shifted(predictions: Predictions, shift: np.ndarray, rows: np.ndarray) -> Predictions:
    return Predictions((predictions.members + shift)[:, rows], predictions.reasons[rows])


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
    pool = few(load(given.data / "wbm" / "wbm_pool.parquet"))
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
        "intervals": held(checked, said, conformals),
        "flagged": round(float(domain.outside(distances).mean()), 4),
    }
    said, seen = model.predict_and_embed(pool.crystals)
    distances = domain.distances(seen)
    rest, readings = offsets(pool, said, given.seed)
    part = Labelled(pool.crystals.take(rest), pool.values[rest], pool.name)
    doubts = {name: v[rest] for name, v in measures(said, distances).items()}
    result["wbm_pool"] = {
        "flagged": round(float(domain.outside(distances).mean()), 4),
        "readings": {
            name: {
                "spearman": correlations(doubts, np.abs(p.median - part.energies)),
                "mae_meV": sharpness(p, part.energies),
                "intervals": held(part, p, conformals),
            }
            for name, p in ((n, shifted(said, s, rest)) for n, s in readings.items())
        },
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
