"""Synthesizability by transductive bagging: recall, share of the unlabelled, published scores.

    python benchmarks/synthesizability.py --data DATA

DATA holds the scores of Jang et al. (J. Am. Chem. Soc. 142, 18836 (2020)) of 46,781 crystals of the
Materials Project with an entry in ICSD and 77,734 without one, and 4,103 ternary oxides labelled by
hand (Chung et al. 2023); those with a structure in ``materials_project/structures.parquet`` count.
The lists have no licence stated: what is trained on them here is measured and thrown away.  The
model in the package learned from years of first report instead, and is measured on the same lists.

Each round draws as many positives as unlabelled, the smaller of the two numbers, with replacement.
Positives of formula hashes from 75 on are drawn by none; scores of unlabelled crystals are out of
bag.  The threshold is the highest at which 88.5 % of the positives of hashes 75 to 79 pass; recall
is that of hashes from 80 on.  Features: what structural-2 sees of the structure, composition-1 of
the formula, or both.  Precision is not defined: nobody knows which crystals cannot be made.
"""

import argparse
import csv
import gzip
import io
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from scipy.stats import spearmanr

from gnomon.io import from_arrow
from gnomon.learn.heads import HeadsConfig, bags, out_of_bag, train_heads
from gnomon.models.ensemble import load_model
from gnomon.models.heads import class_errors, embedded, mean_of_heads
from record import RESULTS, save

RESULT = RESULTS / "synthesizability.json"
BODIES = {
    "structure": ("structural-2",),
    "formula": ("composition-1",),
    "both": ("structural-2", "composition-1"),
}
YEAR = 2010
"""That parts what teaches from what is asked in the split in time."""
AIM, CHOOSING = 0.885, (75, 80)
DRAWS = 1000


def rows(path: Path) -> list[dict[str, str]]:
    with gzip.open(path) as file:
        return list(csv.DictReader(io.TextIOWrapper(file, "utf-8-sig")))


def interval(hits: np.ndarray) -> list[float]:
    """95 % by bootstrap of a share or mean."""
    draws = np.random.default_rng(0).integers(len(hits), size=(DRAWS, len(hits)))
    return np.round(np.percentile(hits[draws].mean(axis=1), [2.5, 97.5]), 4).tolist()


def figures(score: np.ndarray, sets: dict[str, np.ndarray], hashes: np.ndarray) -> dict[str, Any]:
    """Of scores of all crystals, NaN where there is none."""
    there = np.isfinite(score)
    positive, unlabelled = sets["positive"] & there, sets["unlabelled"] & there
    choosing = positive & (hashes >= CHOOSING[0]) & (hashes < CHOOSING[1])
    held_out = positive & (hashes >= CHOOSING[1])
    threshold = float(np.quantile(score[choosing], 1 - AIM))
    found: dict[str, Any] = {}
    for name, cut in (("at_one_half", 0.5), ("at_the_threshold", threshold)):
        recall, share = score[held_out] > cut, score[unlabelled] > cut
        found[name] = {
            "threshold": round(cut, 4),
            "recall": round(float(recall.mean()), 4),
            "recall_95": interval(recall),
            "unlabelled_above": round(float(share.mean()), 4),
            "unlabelled_above_95": interval(share),
        }
    errors = class_errors(score[held_out], score[unlabelled])
    assert errors is not None
    found |= {"held_out": int(held_out.sum()), "unlabelled": int(unlabelled.sum())}
    found["auc_against_unlabelled"] = round(errors.auc, 4)
    published = sets["published"]
    for name, group in (
        ("all", held_out | unlabelled),
        ("held_out", held_out),
        ("unlabelled", unlabelled),
    ):
        rank = spearmanr(score[group], published[group], nan_policy="omit").statistic
        found[f"spearman_with_published_{name}"] = round(float(rank), 3)
    for name, rows_of in (("all", there), ("held_out", there & (hashes >= CHOOSING[0]))):
        yes, no = sets["by_solid_state"] & rows_of, sets["not_by_solid_state"] & rows_of
        errors = class_errors(score[yes], score[no])
        found[f"human_{name}"] = errors and {
            "by_solid_state": int(yes.sum()),
            "not_by_solid_state": int(no.sum()),
            "auc": round(errors.auc, 3),
        }
    return found


def trained(
    features: np.ndarray, positive: np.ndarray, unlabelled: np.ndarray, config: HeadsConfig
) -> tuple[np.ndarray, float]:
    """Scores out of bag and their median spread between rounds."""
    draws = bags(positive, unlabelled, config.rounds, config.seed)
    known = np.isfinite(features).all(axis=1)
    heads = train_heads(features[known], _within(draws, known), config)
    said = np.full((config.rounds, len(features)), np.nan)
    said[:, known] = heads.answers(features[known])
    left = out_of_bag(said, draws.rows)
    spread = np.nanmedian(np.nanstd(left[:, known], axis=0))
    return mean_of_heads(left), float(spread)


def in_time(features: np.ndarray, years: np.ndarray, small: np.ndarray) -> dict[str, Any]:
    """Taught by what was reported before a year, asked of what was reported from it on.

    Crystals of at most 20 atoms; nobody reported the unlabelled.  The threshold is the one that
    88.5 % of those that teach pass, scored out of bag.
    """
    known = np.isfinite(features).all(axis=1) & small
    reported = np.isfinite(years)
    with np.errstate(invalid="ignore"):
        before, later = (known & reported & rows for rows in (years < YEAR, years >= YEAR))
    unlabelled = known & ~reported
    score, _ = trained(features, before, unlabelled, HeadsConfig())
    threshold = float(np.nanquantile(score[before], 1 - AIM))
    recall, share = score[later] > threshold, score[unlabelled] > threshold
    errors = class_errors(score[later], score[unlabelled])
    return {
        "year": YEAR,
        "reported_before": int(before.sum()),
        "reported_later": int(later.sum()),
        "unlabelled": int(unlabelled.sum()),
        "threshold": round(threshold, 4),
        "recall_of_later": round(float(recall.mean()), 4),
        "recall_95": interval(recall),
        "unlabelled_above": round(float(share.mean()), 4),
        "auc_against_unlabelled": errors and round(errors.auc, 4),
    }


def _within(draws: Any, known: np.ndarray) -> Any:
    """The draws as rows of what is known."""
    place = np.cumsum(known) - 1
    return type(draws)(place[draws.rows], draws.values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--only-time", action="store_true", help="keep the other figures")
    given = parser.parse_args()
    table = pq.read_table(given.data / "materials_project" / "structures.parquet")
    crystals, ids = from_arrow(table), table["id"].to_pylist()
    hashes = table["formula_hash"].to_numpy()
    small = crystals.n_atoms <= 20
    years = table["year"].to_numpy(zero_copy_only=False)
    if given.only_time:
        found = json.loads(RESULT.read_text("utf-8"))
        found["in_time"] = in_time(embedded(crystals, BODIES["both"])[0], years, small)
        save(found, RESULT)
        return
    lists = given.data / "synthesizability"
    scores = {}
    kinds = {}
    for kind in ("virtual", "icsd"):
        for row in rows(lists / f"mp_{kind}_clscore.csv.gz"):
            scores[row["id"]], kinds[row["id"]] = float(row["CLscore"]), kind
    labels = {
        row["mp_id"]: row["solid_state_synthesized_composition"]
        for row in rows(lists / "ternary_oxides_curated.csv.gz")
    }
    sets = {
        "positive": np.array([kinds.get(i) == "icsd" for i in ids]),
        "unlabelled": np.array([kinds.get(i) == "virtual" for i in ids]),
        "published": np.array([scores.get(i, np.nan) for i in ids]),
        "by_solid_state": np.array([labels.get(i) == "y" for i in ids]),
        "not_by_solid_state": np.array([labels.get(i) == "n" for i in ids]),
    }
    found: dict[str, Any] = {"published": figures(sets["published"], sets, hashes)}
    config = HeadsConfig(rounds=given.rounds)
    for name, bodies in BODIES.items():
        began = time.process_time()
        features, reasons = embedded(crystals, bodies)
        known = reasons == ""
        teach = sets["positive"] & known & (hashes < CHOOSING[0])
        score, spread = trained(features, teach, sets["unlabelled"] & known, config)
        found[name] = figures(score, sets, hashes) | {
            "positives_that_teach": int(teach.sum()),
            "without_a_score": int((~np.isfinite(score)).sum()),
            "median_spread_between_rounds": round(spread, 4),
            "cpu_s": round(time.process_time() - began, 1),
        }
    shipped = load_model("synthesizability-1").predict(crystals).members.mean(axis=0)
    taught = np.isfinite(years)
    clean = {k: v & small & ~taught if v.dtype == bool else v for k, v in sets.items()}
    found["in_the_package"] = figures(shipped, clean, hashes) | {
        "of": "crystals of at most 20 atoms without a year: none was a positive"
    }
    found["in_time"] = in_time(features, years, small)  # of both bodies, the last
    save({"benchmark": "synthesizability", "rounds": given.rounds, **found}, RESULT)


if __name__ == "__main__":
    main()
