"""Conduction as computed against conductivities as measured, on ordered crystals of OBELiX.

    python benchmarks/obelix.py --data DATA --work FOLDER
    python benchmarks/obelix.py --data DATA --work FOLDER --weights gnomon-2

Of the crystals whose file has no disorder and at most 48 atoms, the 5 that conduct better than
1e-4 S/cm at room temperature, and 15 others, the first by MD5 of their id.  Bond valences: all of
them.  With ``--weights``, molecular dynamics at 1000 K (20 ps of 2 fs, the first 4 dropped, heights
of at least 7.5 Å), the smallest first, conductors and others in turn; a kill costs half a
picosecond, and what is done is counted.  A failure ranks last.  Intervals: 95 %, bootstrap.
"""

import argparse
import csv
import gzip
import hashlib
import itertools
import json
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import rankdata, spearmanr

from gnomon.crystals import Crystals
from gnomon.evaluate.registry import EvaluatorConfig
from gnomon.io import read
from gnomon.properties.conduction.dynamics import Conduction, ConductionConfig, supercell
from gnomon.properties.registry import PROPERTIES, PropertySettings
from record import RESULTS, save

RESULT = RESULTS / "obelix.json"
GOOD = 1e-4
"""S/cm."""

CONFIG = ConductionConfig(time=20.0, dropped=4.0, interval=0.5, min_length=7.5)


def drawn(data: Path) -> list[tuple[str, Crystals, float]]:
    """Ids, crystals and measured conductivities (S/cm; a bound counts as such)."""
    folder = data / "li_conductors"
    with gzip.open(folder / "obelix.csv.gz", "rt", encoding="utf-8") as text:
        rows = {row["ID"]: row["Ionic conductivity (S cm-1)"] for row in csv.DictReader(text)}
    found = []
    with tempfile.TemporaryDirectory() as out:
        zipfile.ZipFile(folder / "obelix_cifs.zip").extractall(out)
        for path in sorted(Path(out).rglob("*.cif")):
            crystals = read(path).crystals  # a file with disorder is a reject
            if len(crystals) == 1 and crystals.n_atoms[0] <= 48:
                found.append((path.stem, crystals, float(rows[path.stem].lstrip("<"))))
    found.sort(key=lambda one: hashlib.md5(one[0].encode()).hexdigest())
    good = [one for one in found if one[2] > GOOD]
    return [*good, *[one for one in found if one[2] <= GOOD][:15]]


def bootstrapped(
    judge: Callable[[np.ndarray, np.ndarray], float], scores: np.ndarray, measured: np.ndarray
) -> dict[str, Any]:
    """A figure of merit with its interval."""
    rng, found = np.random.default_rng(0), []
    for _ in range(2000):
        rows = rng.integers(0, len(scores), len(scores))
        found.append(judge(scores[rows], measured[rows]))
    low, high = np.nanquantile(found, [0.025, 0.975])
    return {
        "value": round(judge(scores, measured), 2),
        "interval": [round(float(low), 2), round(float(high), 2)],
    }


def auc(scores: np.ndarray, measured: np.ndarray) -> float:
    """Share of pairs of a conductor and another in which the conductor has the higher score."""
    good = measured > GOOD
    if good.all() or not good.any():
        return float("nan")
    ranks = rankdata(scores)[good].sum() - good.sum() * (good.sum() + 1) / 2
    return float(ranks / (good.sum() * (~good).sum()))


def spearman(scores: np.ndarray, measured: np.ndarray) -> float:
    """Rank correlation."""
    if np.ptp(scores) == 0 or np.ptp(measured) == 0:
        return float("nan")
    return float(spearmanr(scores, measured).statistic)


def judged(scores: np.ndarray, measured: np.ndarray) -> dict[str, Any]:
    """Both, where what has no score is worse than all others."""
    lowest = np.nanmin(scores, initial=0) - 1
    filled = np.where(np.isnan(scores), lowest, scores)
    return {
        "n": len(scores),
        "good": int((measured > GOOD).sum()),
        "failed": int(np.isnan(scores).sum()),
        "spearman": bootstrapped(spearman, filled, measured),
        "auc": bootstrapped(auc, filled, measured),
    }


def moved(crystals: list[Crystals], weights: str, work: Path, most: int) -> list[dict[str, Any]]:
    """Rows of those that are done, and of so many more, each kept."""
    settings = PropertySettings(EvaluatorConfig(name=weights))
    made, rows = Conduction(CONFIG, settings, work), []
    for crystal in crystals:
        kept = work / f"{weights}-{crystal.ids[0]}.json"
        if not kept.exists():
            if most == 0:
                rows.append({})
                continue
            most -= 1
            (row,) = made.compute(crystal, {}).to_pylist()
            kept.write_text(json.dumps(row), "utf-8")
            print(crystal.reduced_formulas[0], row, flush=True)
        rows.append(json.loads(kept.read_text("utf-8")))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("obelix-work"))
    parser.add_argument("--weights", help="also by molecular dynamics")
    parser.add_argument("--most", type=int, default=20, help="crystals that are begun now")
    given = parser.parse_args()
    given.work.mkdir(exist_ok=True, parents=True)
    chosen = drawn(given.data)
    good, others = (
        sorted(
            [one for one in chosen if (one[2] > GOOD) is which],
            key=lambda one: int(supercell(one[1], CONFIG.min_length).n_atoms[0]),
        )
        for which in (True, False)
    )
    chosen = [one for pair in itertools.zip_longest(good, others) for one in pair if one]
    measured = np.array([one[2] for one in chosen])
    crystals = [one[1] for one in chosen]
    before = json.loads(RESULT.read_text("utf-8")) if RESULT.exists() else {}
    table = PROPERTIES.get("bond_valence")(PropertySettings()).compute(
        Crystals.concatenate(crystals), {}
    )
    barriers = np.array(table["value"].to_pylist(), dtype=np.float64)
    rows = [
        {
            "id": one[0],
            "formula": one[1].reduced_formulas[0],
            "S/cm": one[2],
            "supercell": int(supercell(one[1], CONFIG.min_length).n_atoms[0]),
            "barrier": barrier,
            "status": status,
        }
        for one, barrier, status in zip(
            chosen, table["value"].to_pylist(), table["status"].to_pylist(), strict=True
        )
    ]
    result = {"benchmark": "obelix", "bond valence": judged(-barriers, measured), "rows": rows}
    result["dynamics"] = before.get("dynamics", {})
    if given.weights:
        found = moved(crystals, given.weights, given.work, given.most)
        done = np.array([bool(row) for row in found])
        values = np.array([row.get("value") for row in found], dtype=np.float64)
        both = (ranked(-barriers[done]) + ranked(values[done])) / 2
        result["dynamics"][given.weights] = {
            "of": len(found),
            "dynamics": judged(values[done], measured[done]),
            "bond valence, the same": judged(-barriers[done], measured[done]),
            "both, mean rank": judged(both, measured[done]),
            "rows": [
                {"formula": row["formula"]}
                | {k: got.get(k) for k in ("value", "uncertainty", "answer", "status", "time")}
                for row, got in zip(rows, found, strict=True)
                if got
            ],
        }
    save(result, RESULT)


def ranked(scores: np.ndarray) -> np.ndarray:
    """Ranks, where what has no score is last."""
    return rankdata(np.where(np.isnan(scores), -np.inf, scores))


if __name__ == "__main__":
    main()
