"""What each representation is worth to one and the same learner, and what it keeps.

    python benchmarks/representations.py --data DATA --work FOLDER [--only NAME ...]

Formation energies: rows of ``materials_project/structures.parquet`` with formula hashes below 75
train (500, 2,000, 20,000 drawn at random, the smaller among the larger), those of 75 and above are
held out.  Band gaps: the same with ``wbm/wbm_pool.parquet`` (500, 2,000, all).  The learner is
scikit-learn's ``HistGradientBoostingRegressor`` with the same settings for all; rows that a
representation has no numbers for are left to it as missing values, so every row counts.  Errors of
energies are mean absolute ones.  Most gaps are zero, so that 0 for all has the least mean absolute
error; theirs are root mean squares.

Residuals: 300 held-out crystals written in another way, in units of the distance of two crystals
drawn at random (``gnomon.represent.laws``).

Numbers and results are kept in FOLDER as they come: the same call goes on where it was stopped.
Representations that networks learned have seen the energies of the Materials Project rows that
train here, and are marked.
"""

import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from sklearn.ensemble import HistGradientBoostingRegressor

from gnomon.crystals import Crystals
from gnomon.io import from_arrow
from gnomon.represent.laws import residuals
from gnomon.represent.registry import representation
from record import RESULTS, save

RESULT = RESULTS / "representations.json"
NAMES = (
    *("one-hot", "magpie", "oliynyk", "mat2vec", "skipatom", "megnet16"),
    *("composition-elements", "structural-elements", "coulomb", "sine", "mbtr", "soap"),
    *("voxels", "ace", "symmetry", "magpie+mbtr", "magpie+soap", "magpie+ace"),
    *("structural", "magpie+structural", "potential", "magpie+potential"),
)
LEARNED = ("megnet16", "composition-elements", "structural-elements", "structural", "potential")
"""Have seen energies of Materials Project crystals, by DFT or, the potential, by its teacher."""
SIZES = (500, 2_000, 20_000)
FIRST_HELD_OUT = 75
RESIDUAL_ROWS = 300
PART = 1_000
"""Crystals whose numbers are kept together."""
DRAWS = 1000


def learner() -> HistGradientBoostingRegressor:
    return HistGradientBoostingRegressor(
        max_iter=100,
        learning_rate=0.15,
        max_features=0.2,
        l2_regularization=1.0,
        random_state=0,
    )


class Task:
    """Crystals with a number each, those that train in a drawn order, those held out."""

    options: Mapping[str, Mapping[str, Any]]
    """Of representations, by their names."""

    def __init__(self, name: str, file: Path, column: str, unit: float, power: int) -> None:
        """Read the file; errors are told in the number times the unit, as means of this power."""
        table = pq.read_table(file)
        hashes = table["formula_hash"].to_numpy()
        self.name, self.unit, self.power = name, unit, power
        self.crystals: Crystals = from_arrow(table)
        self.values = table[column].to_numpy().astype(float)
        self.train = np.random.default_rng(0).permutation(np.flatnonzero(hashes < FIRST_HELD_OUT))
        self.held_out = np.flatnonzero(hashes >= FIRST_HELD_OUT)

    def error(self, off: np.ndarray) -> np.ndarray:
        """Mean absolute, or root mean square, error along the last axis."""
        return np.mean(np.abs(off * self.unit) ** self.power, axis=-1) ** (1 / self.power)

    def sizes(self) -> list[int]:
        """Numbers of training rows."""
        return sorted({min(size, len(self.train)) for size in SIZES})


def tasks(data: Path) -> list[Task]:
    energies = data / "materials_project" / "structures.parquet"
    return [
        Task(
            "formation energy (meV/atom)",
            energies,
            "formation_energy_per_atom",
            1e3,
            1,
        ),
        Task("gap (eV, root mean square)", data / "wbm" / "wbm_pool.parquet", "band_gap", 1.0, 2),
    ]


def numbers(name: str, task: Task, index: np.ndarray, work: Path) -> tuple[np.ndarray, float]:
    """Rows of the crystals at an index, made once a part of the name, and the CPU they took."""
    made = [_numbers(part, task, index, work) for part in name.split("+")]
    return np.concatenate([rows for rows, _ in made], axis=1), sum(spent for _, spent in made)


def _numbers(name: str, task: Task, index: np.ndarray, work: Path) -> tuple[np.ndarray, float]:
    parts, seconds, made = [], 0.0, None
    for start in range(0, len(index), PART):
        file = work / f"{name}-{task.name.split()[0]}-{len(index)}-{start}.npz"
        if not file.exists():
            made = made or representation(name, **task.options.get(name, {}))
            began = time.process_time()
            rows = made.represent(task.crystals[index[start : start + PART]])
            np.savez(file, rows=rows.astype(np.float32), seconds=time.process_time() - began)
        with np.load(file) as kept:
            parts.append(kept["rows"])
            seconds += float(kept["seconds"])
    return np.concatenate(parts), seconds


def errors(name: str, task: Task, work: Path) -> dict[str, Any]:
    """Errors on the held-out rows by number of training rows."""
    sizes = task.sizes()
    train = task.train[: max(sizes)]
    rows, seconds = numbers(name, task, np.concatenate([train, task.held_out]), work)
    seen, hidden = rows[: len(train)], rows[len(train) :]
    truth = task.values[task.held_out]
    draws = np.random.default_rng(0).integers(len(truth), size=(DRAWS, len(truth)))
    found: dict[str, Any] = {
        "held_out": len(truth),
        "columns": rows.shape[1],
        "ms_a_crystal": round(1e3 * seconds / len(rows), 2),
    }
    for size in sizes:
        began = time.process_time()
        fitted = learner().fit(seen[:size], task.values[train[:size]])
        off = fitted.predict(hidden) - truth
        low, high = np.percentile(task.error(off[draws]), [2.5, 97.5])
        found[str(size)] = {
            "error": round(float(task.error(off)), 4),
            "interval_95": [round(float(low), 4), round(float(high), 4)],
            "cpu_s": round(time.process_time() - began, 1),
        }
    return found


def baseline(task: Task) -> float:
    """Error of one number for all: the median of all that trains, or their mean."""
    middle = (np.median if task.power == 1 else np.mean)(task.values[task.train])
    return round(float(task.error(task.values[task.held_out] - middle)), 4)


def kept(name: str, task: Task) -> dict[str, dict[str, float]]:
    """Residuals by the way in which crystals are written."""
    rows = task.held_out[np.random.default_rng(1).permutation(len(task.held_out))[:RESIDUAL_ROWS]]
    found = residuals(representation(name, **task.options.get(name, {})), task.crystals[rows])
    return {
        way: {"median": float(f"{one.median:.1e}"), "largest": float(f"{one.largest:.1e}")}
        for way, one in found.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument(
        "--voxels", type=Path, help="autoencoder of voxels, which has no numbers else"
    )
    parser.add_argument("--only", nargs="+", default=NAMES)
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    energies, gaps = tasks(given.data)
    energies.options = gaps.options = {"voxels": {"model": given.voxels}}
    for name in [name for name in given.only if given.voxels or name != "voxels"]:
        for key, make in {
            "residuals": lambda name: kept(name, energies),
            energies.name: lambda name: errors(name, energies, given.work),
            gaps.name: lambda name: errors(name, gaps, given.work),
        }.items():
            file = given.work / f"{name}-{key.split()[0]}.json"
            if not file.exists():
                file.write_text(json.dumps(make(name)))
    rows = {}
    for name in NAMES:
        files = {
            key: given.work / f"{name}-{key.split()[0]}.json"
            for key in ("residuals", energies.name, gaps.name)
        }
        if all(file.exists() for file in files.values()):
            rows[name] = {key: json.loads(file.read_text()) for key, file in files.items()}
            rows[name]["has_seen_energies"] = any(part in LEARNED for part in name.split("+"))
    save(
        {
            "learner": repr(learner()),
            "one_number_for_all": {task.name: baseline(task) for task in (energies, gaps)},
            "representations": rows,
        },
        given.out,
    )


if __name__ == "__main__":
    main()
