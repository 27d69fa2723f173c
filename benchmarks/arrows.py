"""The laboratory on ARROWS3's published experiments: YBa2Cu3O7-x from 47 mixtures.

``arrows_ybco.csv`` holds what Szymanski et al. (Nat. Commun. 14, 6956 (2023)) made and saw, as the
log in their repository tells it (github.com/njszym/ARROWS, Examples/YBCO/log): 188 experiments, of
which ten gave the target pure.  The log tells the phases of 114, the ten among them; the other 74
were skipped there as redundant, and are known not to be pure, but not what they gave.  Here they
count as attempts that teach nothing.

    python benchmarks/arrows.py DATA

Energies are of two older releases of the Materials Project (``ground_states.parquet``, and what it
lacks from ``composition_energies.parquet``).  Two phases are in neither: Y2Cu2O5 is put level with
Y2O3 + 2 CuO, from which it differs by little, and Y2(CO3)3 0.5 eV a CO2 below Y2O3 + 3 CO2.
Random order is its expectation; three orders by driving force stand beside; the Bayesian optimiser
is that of laboratory.py, mean of three starts, and learning what ``gnomon lab`` does by default.
ARROWS3 itself is its log, with the order in which it tried.
"""

import csv
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.optimize import nnls

from gnomon.elements import parse_formula
from gnomon.synthesis.lab.choose import Laboratory
from gnomon.synthesis.lab.crucible import AIR, closed_atoms
from gnomon.synthesis.lab.lessons import Outcome
from gnomon.synthesis.lab.sets import PrecursorSet
from gnomon.synthesis.solids import Solids, solids_from_table
from gnomon.synthesis.thermo import CARBONATE, gas_gibbs
from optimiser import expected_improvement
from record import RESULTS, save

TARGET = "Ba2YCu3O7"
CELSIUS = (600.0, 700.0, 800.0, 900.0)
COLUMNS = ("reduced_formula", "formation_energy_per_atom")
SYSTEM = {"Ba", "Y", "Cu", "C", "O"}
ENOUGH, PURE = 0.9, 10
STARTS, SEEDS = 3, 1


def experiments() -> dict[tuple[tuple[str, ...], float], dict[str, float] | None]:
    """Weight fractions by precursors and °C; None where the log does not tell them."""
    found = {}
    with (Path(__file__).parent / "arrows_ybco.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            names = tuple(sorted(row["precursors"].split(" + ")))
            told = [part.rsplit(" ", 1) for part in row["phases"].split("; ") if part]
            phases = {name: float(share) for name, share in told} or None
            found[names, float(row["celsius"])] = phases
    return found


def solids_of(data: Path) -> Solids:
    """Phases of Ba-Y-Cu-C-O."""
    energies: dict[str, float] = {}
    for name in ("ground_states", "composition_energies"):
        table = pq.read_table(data / f"materials_project/{name}.parquet")
        own: dict[str, float] = {}
        formulas, values = (table[key].to_pylist() for key in COLUMNS)
        for formula, energy in zip(formulas, values, strict=True):
            if {*parse_formula(formula)} <= SYSTEM and formula not in energies:
                own[formula] = min(energy, own.get(formula, np.inf))
        energies |= own
    carbonate = 3 * (gas_gibbs("CO2", 300.0) - 0.5) - 3 * CARBONATE
    energies["Y2Cu2O5"] = (5 * energies["Y2O3"] + 4 * energies["CuO"]) / 9
    energies["Y2(CO3)3"] = (5 * energies["Y2O3"] + carbonate) / 14
    names = [name for name in energies if name not in {"O2", "CO2"}]
    table = pa.table(
        {
            "reduced_formula": names,
            "formation_energy_per_atom": [energies[name] for name in names],
        }
    )
    cells = pq.read_table(data / "materials_project/structures.parquet")
    return solids_from_table(table, "MP", cells=cells)


def mixtures(names: list[tuple[str, ...]]) -> list[PrecursorSet]:
    """What each set weighs in; where several bring the same, as little of any as can be."""
    found = []
    for those in names:
        atoms = closed_atoms([TARGET, *those], AIR)
        columns = np.flatnonzero(atoms[0])
        amounts, _ = nnls(  # a small penalty shares equally
            np.vstack([atoms[1:, columns].T, 1e-3 * np.eye(len(those))]),
            np.concatenate([atoms[0, columns], np.zeros(len(those))]),
        )
        found.append(PrecursorSet(those, tuple(amounts.tolist())))
    return found


def by_learning(lab: Laboratory, told: dict, seed: int) -> list[int]:
    """After how many attempts each pure product came."""
    outcomes: list[Outcome] = []
    tried: set[tuple[tuple[str, ...], float]] = set()
    hits: list[int] = []
    while len(hits) < PURE:
        for choice in lab.ranked(outcomes, seed):
            key = choice.heating.mixture.precursors, choice.heating.celsius
            if key not in tried:
                break
        tried.add(key)
        if told[key] is not None:
            outcomes.append(Outcome(choice.heating, told[key]))
        if success(told[key]):
            hits.append(len(tried))
    return hits


def success(phases: dict[str, float] | None) -> bool:
    return phases is not None and phases.get(TARGET, 0.0) >= ENOUGH


def by_force(lab: Laboratory, ok: np.ndarray) -> dict[str, list[int]]:
    order = sorted(range(len(ok)), key=lambda i: lab.driving_force(lab.sets[i], 900.0))
    columns = range(len(CELSIUS))
    ways = {
        "mixtures, hot to cold": [(i, j) for i in order for j in reversed(columns)],
        "mixtures, cold to hot": [(i, j) for i in order for j in columns],
        "temperatures, hottest first": [(i, j) for j in reversed(columns) for i in order],
    }
    return {name: [n for n, at in enumerate(way, 1) if ok[at]] for name, way in ways.items()}


def by_optimiser(sets: list[PrecursorSet], made: np.ndarray, seed: int) -> list[int]:
    """Expected improvement of a Gaussian process; yields that nobody told teach nothing."""
    names = sorted({name for one in sets for name in one.precursors})
    x = np.array([[*(n in s.precursors for n in names), c / 200.0] for s in sets for c in CELSIUS])
    y = made.ravel()
    tried = [int(np.random.default_rng(seed).integers(len(y)))]
    hits: list[int] = []
    while True:
        if y[tried[-1]] >= ENOUGH:
            hits.append(len(tried))
        if len(hits) == PURE:
            return hits
        known = [i for i in tried if np.isfinite(y[i])]
        gain = np.random.default_rng(len(tried)).random(len(y))
        if known:
            gain = expected_improvement(x, y, known)
        gain[tried] = -np.inf
        tried.append(int(gain.argmax()))


def summary(hits: list[list[int]]) -> dict[str, float]:
    return {
        "first": round(float(np.mean([h[0] for h in hits])), 1),
        "half": round(float(np.mean([h[PURE // 2 - 1] for h in hits])), 1),
        "all": round(float(np.mean([h[-1] for h in hits])), 1),
    }


if __name__ == "__main__":
    told = experiments()
    names = list(dict.fromkeys(key[0] for key in told))
    sets = mixtures(names)
    lab = Laboratory(solids_of(Path(sys.argv[1])), TARGET, sets, CELSIUS, AIR, hours=4.0)
    grid = [[told[those, c] for c in CELSIUS] for those in names]
    ok = np.array([[success(one) for one in row] for row in grid])
    made = np.array([[np.nan if o is None else o.get(TARGET, 0.0) for o in row] for row in grid])
    n, known = ok.size, [o for row in grid for o in row if o is not None]
    log = [i for i, one in enumerate(known, 1) if success(one)]
    found = {
        "experiments": n,
        "with phases": len(known),
        "pure": int(ok.sum()),
        "random": {
            part: round(m * (n + 1) / (PURE + 1), 1)
            for part, m in (("first", 1), ("half", PURE // 2), ("all", PURE))
        },
        "driving force": {way: summary([hits]) for way, hits in by_force(lab, ok).items()},
        "optimiser": summary([by_optimiser(sets, made, seed) for seed in range(STARTS)]),
        "learning": summary([by_learning(lab, told, seed) for seed in range(SEEDS)]),
        "ARROWS3, its log": summary([log]),
    }
    save(found, RESULTS / "arrows.json")
