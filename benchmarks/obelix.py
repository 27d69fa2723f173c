"""Conduction as computed against conductivities as measured, on ordered crystals of OBELiX.

    python benchmarks/obelix.py --data DATA --work FOLDER
    python benchmarks/obelix.py --data DATA --work FOLDER --weights gnomon-2

Of the crystals whose file has no disorder and at most 48 atoms, the 5 that conduct better than
1e-4 S/cm at room temperature, and 15 others, the first by MD5 of their id.  Bond valences: all of
them.  With ``--weights``, molecular dynamics at 1000 K (20 ps of 3 fs, with hydrogen 1.5, the first
4 dropped; in the smallest supercell in which no atom is within 7.5 Å of its image), the smallest
first, conductors and others in turn.  A kill costs a picosecond; crystals that are done stay in the
result and are not moved again.  A failure, or a crystal that melts, ranks last.  Intervals: 95 %,
bootstrap.
"""

import argparse
import csv
import gzip
import hashlib
import itertools
import json
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import rankdata, spearmanr

from gnomon.crystals import Crystals
from gnomon.evaluate.registry import EvaluatorConfig
from gnomon.io import read
from gnomon.io.tables import OK
from gnomon.properties.conduction.dynamics import Conduction, ConductionConfig, supercell
from gnomon.properties.registry import PROPERTIES, PropertySettings
from record import RESULTS, save

RESULT = RESULTS / "obelix.json"
GOOD = 1e-4
"""S/cm."""

CONFIG = ConductionConfig(time=20.0, dropped=4.0, timestep=3.0, min_length=7.5)
LIGHT = CONFIG.model_copy(update={"timestep": 1.5})
"""For crystals with hydrogen."""


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


def moved(
    chosen: list[tuple[str, Crystals, float]],
    weights: str,
    work: Path,
    only: list[str],
    before: list[dict[str, Any]],
) -> Iterator[dict[str, dict[str, Any]]]:
    """Rows by id: those of earlier runs with these settings, then with one more each time."""
    settings, done = PropertySettings(EvaluatorConfig(name=weights)), {}
    for name, crystal, _ in chosen:
        config = LIGHT if 1 in crystal.atomic_numbers else CONFIG
        made = Conduction(config, settings, work)
        told = {"formula": crystal.reduced_formulas[0], "timestep": config.timestep}
        key = {"id": name, "level": made.level, **told}
        if kept := [row for row in before if {k: row.get(k) for k in key} == key]:
            done[name] = kept[0]
        elif name in only:
            (row,) = made.compute(crystal, {}).to_pylist()
            done[name] = row | key
            print(done[name], flush=True)
            yield done
    yield done


def by_dynamics(
    done: dict[str, dict[str, Any]],
    chosen: list[tuple[str, Crystals, float]],
    barriers: np.ndarray,
) -> dict[str, Any]:
    """What the rows that there are amount to, beside bond valences of the same crystals."""
    there = np.array([name in done for name, _, _ in chosen])
    measured = np.array([value for _, _, value in chosen])[there]
    rows = [done[name] for name, _, _ in chosen if name in done]
    values = np.array([row["value"] if row["status"] == OK else None for row in rows], np.float64)
    both = (ranked(-barriers[there]) + ranked(values)) / 2
    return {
        "of": len(chosen),
        "dynamics": judged(values, measured),
        "bond valence, the same": judged(-barriers[there], measured),
        "both, mean rank": judged(both, measured),
        "rows": rows,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("obelix-work"))
    parser.add_argument("--weights", help="also by molecular dynamics")
    parser.add_argument("--most", type=int, default=20, help="crystals that are begun now")
    parser.add_argument("--only", nargs="+", help="ids of those that may be begun now")
    given = parser.parse_args()
    given.work.mkdir(exist_ok=True, parents=True)
    cells = {one[0]: supercell(one[1], CONFIG.min_length) for one in drawn(given.data)}
    good, others = (
        sorted(
            [one for one in drawn(given.data) if (one[2] > GOOD) is which],
            key=lambda one: int(cells[one[0]].n_atoms[0]),
        )
        for which in (True, False)
    )
    chosen = [one for pair in itertools.zip_longest(good, others) for one in pair if one]
    before = json.loads(RESULT.read_text("utf-8")) if RESULT.exists() else {}
    table = PROPERTIES.get("bond_valence")(PropertySettings()).compute(
        Crystals.concatenate([one[1] for one in chosen]), {}
    )
    barriers = np.array(table["value"].to_pylist(), dtype=np.float64)
    rows = [
        {
            "id": one[0],
            "formula": one[1].reduced_formulas[0],
            "S/cm": one[2],
            "supercell": int(cells[one[0]].n_atoms[0]),
            "barrier": barrier,
            "status": status,
        }
        for one, barrier, status in zip(
            chosen, table["value"].to_pylist(), table["status"].to_pylist(), strict=True
        )
    ]
    measured = np.array([one[2] for one in chosen])
    result = {"benchmark": "obelix", "bond valence": judged(-barriers, measured), "rows": rows}
    levels = result["dynamics"] = before.get("dynamics", {})
    save(result, RESULT)
    if given.weights:
        kept = levels.get(given.weights, {}).get("rows", [])
        left = [one[0] for one in chosen if one[0] not in {row.get("id") for row in kept}]
        only = given.only or left[: given.most]
        for done in moved(chosen, given.weights, given.work, only, kept):
            if done:
                levels[given.weights] = by_dynamics(done, chosen, barriers)
                save(result, RESULT)


def ranked(scores: np.ndarray) -> np.ndarray:
    """Ranks, where what has no score is last."""
    return rankdata(np.where(np.isnan(scores), -np.inf, scores))


if __name__ == "__main__":
    main()
