"""A laboratory that learns against random order, driving force alone and a Bayesian optimiser.

Worlds are simulated (docs/concepts/synthesis.md): oxides of two or three metals that are on the
hull of the Materials Project's table and stable in air at 900 °C by it, drawn by the hash of their
formulas (30 to 74 here, below 30 to develop with; 75 and above are never used).  A laboratory owns,
for each metal, the three commonest precursors of the text-mined set that the table has, and the
compounds of two of the target's metals on the hull; of all sets that weigh the target in, thirty at
random.  Each set at 600 to 1,100 °C for 8 h is an experiment; a success is 90 % of the weight.

    python benchmarks/laboratory.py DATA worlds WORK [--develop] [--targets N] [--minutes M]
    python benchmarks/laboratory.py DATA compare WORK [--minutes M]
    python benchmarks/laboratory.py DATA loop WORK [--minutes M]

``worlds`` simulates all experiments of each target under each law; ``compare`` lets every strategy
find a success among them, analyses with errors; ``loop`` runs 20 targets with simulated
diffractograms, laws in turn, ten experiments at most: those that some experiment of the law gives,
and of which the Materials Project's table has a crystal.  Of other phases without a crystal another
compound of the same stoichiometry lends its structure, at the volume of the phase: the furnace is
made up, and so are then its crystals.  All go on where they stopped.

Of the order of driving forces there are four variants, of which the one with the fewest attempts in
the mean is compared with: mixture by mixture from hot to cold or from cold to hot, temperature by
temperature from the hottest, or from 900 °C.  Random order is its expectation.  The Bayesian
optimiser is a Gaussian process (scikit-learn, Matérn 5/2) over which precursors are there and the
temperature, with expected improvement of the target's weight fraction, from a random start; mean of
three.
"""

import argparse
import json
import sys
import time
from hashlib import md5
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gnomon.crystals import Crystals
from gnomon.elements import atomic_number, electronegativities, parse_formula
from gnomon.hull.convex import Hull
from gnomon.hull.phases import missing_elements, reduced_formulas
from gnomon.io import from_arrow
from gnomon.run.files import write_atomically
from gnomon.synthesis.lab.choose import Laboratory
from gnomon.synthesis.lab.crucible import AIR, KELVIN, closed_elements, in_gas
from gnomon.synthesis.lab.furnace import Furnace, seen
from gnomon.synthesis.lab.kinetics import LAWS
from gnomon.synthesis.lab.lessons import Outcome
from gnomon.synthesis.lab.notebook import LaboratoryConfig, Notebook
from gnomon.synthesis.lab.sets import Heating, precursor_sets
from gnomon.synthesis.lab.shelf import common_precursors
from gnomon.synthesis.lab.simulated import run
from gnomon.synthesis.literature import read_literature
from gnomon.synthesis.solids import Solids
from optimiser import expected_improvement
from record import RESULTS, save
from thermochemistry import solids_of

SET = "synthesis/solid-state_dataset_2019-12-03.json.xz"
CELSIUS = (600.0, 700.0, 800.0, 900.0, 1000.0, 1100.0)
STABLE_AT = 900.0
SETS, FEWEST = 30, 5
ENOUGH, HOPELESS, TRIES = 0.9, 0.01, 10
STRATEGIES = ("random", "optimiser", "learning")
CHI = electronegativities()
WAYS = (
    *("mixtures, hot to cold", "mixtures, cold to hot"),
    *("temperatures, hottest first", "temperatures, 900 °C first"),
)
GASES = {"O", "C", "H", "N"}


def hash_of(formula: str) -> int:
    return int(md5(formula.encode()).hexdigest(), 16) % 100


def owned(data: Path, table: set[str]) -> dict[str, list[str]]:
    """For each metal the commonest precursors of the text-mined set that the table has."""
    oxides = {name for name in table if "O" in parse_formula(name)}
    return common_precursors(read_literature(data / SET), oxides, AIR)


def targets(solids: Solids, shelf: dict[str, list[str]], develop: bool) -> list[str]:
    """Oxides of two or three metals of which precursors are owned, in random order."""
    found = []
    for name in dict.fromkeys(map(str, solids.phases.reduced_formulas)):
        elements = set(parse_formula(name))
        metals = elements - {"O"}
        here = hash_of(name) < 30 if develop else 30 <= hash_of(name) < 75
        if here and "O" in elements and len(metals) in (2, 3) and metals <= set(shelf):
            found.append(name)
    return [found[i] for i in np.random.default_rng(0).permutation(len(found))]


def laboratory(solids: Solids, shelf: dict[str, list[str]], target: str):
    """Solids of the system, precursors and sets; None where the target is none."""
    metals = sorted(set(parse_formula(target)) - {"O"})
    system = solids.within([*metals, *GASES])
    names = [str(name) for name in system.phases.reduced_formulas]
    phases = system.phases
    if len(missing_elements(phases, phases.composition)):
        return None
    above = Hull(phases).e_above_hull(phases.composition, phases.formation_energy_per_atom)
    stable = {name for name, e in zip(names, above, strict=True) if e <= 1e-6}
    hot = in_gas(system, STABLE_AT + KELVIN, AIR)
    in_air = Hull(hot).e_above_hull(hot.composition, hot.formation_energy_per_atom)
    if target not in stable or in_air[hot.ids.tolist().index(target)] > 1e-6:
        return None
    pool = {name for metal in metals for name in shelf[metal]}
    for name in stable - {target}:
        own = closed_elements(name, AIR)
        if (
            len(own) == 2
            and "O" in parse_formula(name)
            and not set(parse_formula(name)) & {*("C", "H", "N")}
        ):
            pool.add(name)
    sets = precursor_sets(target, sorted(pool), AIR)
    if len(sets) < FEWEST:
        return None
    order = np.random.default_rng(hash_of(target)).permutation(len(sets))[:SETS]
    return system, sorted(pool), [sets[i] for i in sorted(order)]


def worlds(data: Path, work: Path, develop: bool, most: int, minutes: float) -> None:
    """All experiments of each target under each law, a file a target."""
    solids = solids_of(data)
    shelf = owned(data, set(map(str, solids.phases.reduced_formulas)))
    began, done = time.process_time(), 0
    for target in targets(solids, shelf, develop):
        if done >= most or time.process_time() - began > 60 * minutes:
            break
        path = work / f"{target}.json"
        if path.exists():
            done += json.loads(path.read_text()) is not None
            continue
        found = laboratory(solids, shelf, target)
        if found is None:
            write_atomically(path, b"null")
            continue
        system, pool, sets = found
        outcomes = {}
        for law in LAWS:
            furnace = Furnace(system, [target, *pool], AIR, law, hash_of(target))
            outcomes[law] = [[furnace.heat(Heating(one, c)) for c in CELSIUS] for one in sets]
        facts = {
            "target": target,
            "pool": pool,
            "sets": [one.precursors for one in sets],
            "outcomes": outcomes,
        }
        write_atomically(path, json.dumps(facts).encode())
        done += 1
        best = {
            law: max(o.get(target, 0.0) for row in rows for o in row)
            for law, rows in outcomes.items()
        }
        print(done, target, len(pool), len(sets), {k: round(v, 2) for k, v in best.items()})
        sys.stdout.flush()


def success(outcome: dict, target: str) -> bool:
    return outcome.get(target, 0.0) >= ENOUGH


def by_force(lab: Laboratory, ok: np.ndarray) -> dict[str, int]:
    """Attempts of four orders by driving force."""
    order = sorted(range(len(ok)), key=lambda i: lab.driving_force(lab.sets[i], 900.0))
    temperatures = range(len(CELSIUS))
    middle = (3, 4, 5, 2, 1, 0)
    ways = {
        "mixtures, hot to cold": [(i, j) for i in order for j in reversed(temperatures)],
        "mixtures, cold to hot": [(i, j) for i in order for j in temperatures],
        "temperatures, hottest first": [(i, j) for j in reversed(temperatures) for i in order],
        "temperatures, 900 °C first": [(i, j) for j in middle for i in order],
    }
    return {name: [bool(ok[at]) for at in way].index(True) + 1 for name, way in ways.items()}


def by_optimiser(sets: list, made: np.ndarray, seed: int) -> int:
    """Attempts of a Gaussian process with expected improvement."""
    names = sorted({name for one in sets for name in one})
    x = np.array(
        [[*(n in one for n in names), c / 200.0] for one in sets for c in CELSIUS], np.float64
    )
    y, tried = made.ravel(), [int(np.random.default_rng(seed).integers(made.size))]
    while y[tried[-1]] < ENOUGH:
        gain = expected_improvement(x, y, tried)
        gain[tried] = -np.inf
        tried.append(int(gain.argmax()))
    return len(tried)


def by_learning(lab: Laboratory, sets: list, outcomes: list, target: str) -> tuple[int, int | None]:
    """Attempts of the laboratory, and after how many it would have given up."""
    place = {tuple(one): i for i, one in enumerate(sets)}
    seed, tried, gave_up = hash_of(target), [], None
    while True:
        choice = lab.ranked(tried)[0]
        if choice.chance < HOPELESS and gave_up is None:
            gave_up = len(tried)
        heating = choice.heating
        row, column = place[heating.mixture.precursors], CELSIUS.index(heating.celsius)
        outcome = outcomes[row][column]
        if success(outcome, target):
            return len(tried) + 1, gave_up
        tried.append(Outcome(heating, seen(outcome, seed, target, row, column)))


def compared(data: Path, work: Path, minutes: float) -> None:
    """Attempts of every strategy with each target that can be made, a file a target."""
    solids = solids_of(data)
    shelf = owned(data, set(map(str, solids.phases.reduced_formulas)))
    began = time.process_time()
    for path in sorted(work.glob("*.json")):
        out, facts = work / "attempts" / path.name, json.loads(path.read_text())
        if facts is None or out.exists():
            continue
        if time.process_time() - began > 60 * minutes:
            break
        target = facts["target"]
        system, _, sets = laboratory(solids, shelf, target)
        lab = Laboratory(system, target, sets, CELSIUS, AIR)
        rows = {}
        for law, outcomes in facts["outcomes"].items():
            made = np.array([[o.get(target, 0.0) for o in row] for row in outcomes])
            ok = made >= ENOUGH
            if not ok.any():
                rows[law] = None
                continue
            attempts, gave_up = by_learning(lab, facts["sets"], outcomes, target)
            optimiser = [by_optimiser(facts["sets"], made, seed) for seed in range(3)]
            rows[law] = {
                "experiments": int(ok.size),
                "successes": int(ok.sum()),
                "random": (ok.size + 1) / (int(ok.sum()) + 1),
                "optimiser": float(np.mean(optimiser)),
                "learning": attempts,
                "gave up after": gave_up,
                **by_force(lab, ok),
            }
        write_atomically(out, json.dumps(rows).encode())
    save(summary(work), RESULTS / "laboratory.json")


def summary(work: Path) -> dict:
    """Attempts in the mean, and how many times those of learning, with bootstrap intervals."""
    files = sorted((work / "attempts").glob("*.json"))
    found = [json.loads(path.read_text()) for path in files]
    said: dict = {"targets": len(found), "enough": ENOUGH}
    for law in LAWS:
        rows = [one[law] for one in found if one[law] is not None]
        if not rows:
            continue
        forces = {way: np.array([row[way] for row in rows], float) for way in WAYS}
        best = min(forces, key=lambda way: forces[way].mean())
        columns = {name: np.array([row[name] for row in rows], float) for name in STRATEGIES}
        columns["driving force"] = forces[best]
        said[law] = {
            "targets that can be made": len(rows),
            "experiments that succeed": round(
                float(np.mean([row["successes"] / row["experiments"] for row in rows])), 3
            ),
            "order of driving force": best,
            "gave up before the success": sum(
                row["gave up after"] is not None and row["gave up after"] < row["learning"]
                for row in rows
            ),
            "attempts": {name: _told(values) for name, values in columns.items()},
            "times those of learning": {
                name: _ratio(values, columns["learning"])
                for name, values in columns.items()
                if name != "learning"
            },
        }
    return said


def _told(values: np.ndarray) -> dict:
    return {
        "mean": round(float(values.mean()), 2),
        "median": float(np.median(values)),
        "geometric mean": round(float(np.exp(np.log(values).mean())), 2),
        "within 1": round(float((values <= 1).mean()), 3),
        "within 5": round(float((values <= 5).mean()), 3),
        "within 20": round(float((values <= 20).mean()), 3),
    }


def _ratio(values: np.ndarray, learning: np.ndarray) -> dict:
    """Ratio of means, and of geometric means, with 95 % of 10,000 draws of the targets."""
    draws = np.random.default_rng(0).integers(len(values), size=(10_000, len(values)))
    of_means = values[draws].mean(1) / learning[draws].mean(1)
    logs = np.log(values) - np.log(learning)
    ends = (2.5, 97.5)
    return {
        "means": round(float(values.mean() / learning.mean()), 2),
        "interval": np.percentile(of_means, ends).round(2).tolist(),
        "geometric": round(float(np.exp(logs.mean())), 2),
        "geometric interval": np.percentile(np.exp(logs[draws].mean(1)), ends).round(2).tolist(),
    }


def powders(crystals: Crystals, solids: Solids) -> Crystals:
    """A crystal of every phase: its own, or that of another compound of the same stoichiometry.

    Atoms take places in the order of their amounts, and of electronegativity among equal amounts.
    """
    by_name: dict[str, int] = {}
    by_amounts: dict[tuple[float, ...], int] = {}
    names = reduced_formulas(crystals.composition.astype(np.float64)).tolist()
    for row, name in enumerate(names):
        by_name.setdefault(str(name), row)
        by_amounts.setdefault(tuple(sorted(parse_formula(str(name)).values())), row)
    found = []
    volumes = dict(zip(solids.phases.reduced_formulas, solids.volume_per_atom, strict=True))
    for name in sorted(map(str, volumes)):
        if name in by_name:
            found.append(crystals[by_name[name]])
            continue
        row = by_amounts.get(tuple(sorted(parse_formula(name).values())))
        if row is not None:
            found.append(_lent(crystals[row], str(names[row]), name, float(volumes[name])))
    return Crystals.concatenate(found)


def _lent(crystal: Crystals, lender: str, name: str, volume: float) -> Crystals:
    def ordered(formula: str) -> list[int]:
        amounts = parse_formula(formula)
        own = sorted(amounts, key=lambda s: (amounts[s], CHI[atomic_number(s)]))
        return [atomic_number(symbol) for symbol in own]

    swaps = dict(zip(ordered(lender), ordered(name), strict=True))
    numbers = [swaps[z] for z in crystal.atomic_numbers.tolist()]
    lattice = crystal.lattice[0]
    scale = (volume * len(numbers) / abs(np.linalg.det(lattice))) ** (1 / 3)
    return Crystals.single(lattice * scale, numbers, crystal.frac_coords)


def loop(data: Path, work: Path, minutes: float) -> None:
    """Twenty campaigns from recipe to diffractogram and back, each a notebook."""
    solids = solids_of(data)
    shelf = owned(data, set(map(str, solids.phases.reduced_formulas)))
    table = pq.read_table(data / "materials_project/structures.parquet")
    table = table.take(pc.sort_indices(table["formation_energy_per_atom"]))
    crystals = from_arrow(table)
    began, rows = time.process_time(), []
    have = set(map(str, reduced_formulas(crystals.composition.astype(np.float64))))
    for number, (target, law) in enumerate(_of_loop(work, solids, shelf, have)):
        if time.process_time() - began > 60 * minutes:
            break
        system, _, sets = laboratory(solids, shelf, target)
        names = tuple(sorted({name for one in sets for name in one.precursors}))
        config = LaboratoryConfig(target=target, precursors=names, hopeless=0.0, most_sets=30)
        book = Notebook.begin(work / "loop" / f"{number:02d}", config, system, "MP")
        entries = run(book, law, hash_of(target), TRIES, powders(crystals, system))
        furnace = Furnace(system, [target, *names], AIR, law, hash_of(target))
        truth = [furnace.heat(book.heating(entry)).get(target, 0.0) for entry in entries]
        facts = json.loads((work / f"{target}.json").read_text())["outcomes"][law]
        best = max(o.get(target, 0.0) for row in facts for o in row)
        rows.append(
            {
                "target": target,
                "law": law,
                "mixtures": len(book.laboratory.sets),
                "experiments": len(entries),
                "made as read": entries[-1]["success"],
                "made in truth after": next(
                    (i for i, t in enumerate(truth, 1) if t >= ENOUGH), None
                ),
                "best in truth": round(max(truth), 3),
                "best of all experiments": round(best, 3),
                "error of the fraction": [
                    round(entry["phases"].get(target, 0.0) - t, 3)
                    for entry, t in zip(entries, truth, strict=True)
                ],
            }
        )
        print(rows[-1], flush=True)
    save({"rows": rows, "most experiments": TRIES}, RESULTS / "laboratory_loop.json")


def _of_loop(work: Path, solids: Solids, shelf: dict, have: set[str]) -> list[tuple[str, str]]:
    """Twenty targets, each with its law."""
    found: list[tuple[str, str]] = []
    for target in targets(solids, shelf, False):
        path, law = work / f"{target}.json", tuple(LAWS)[len(found) % len(LAWS)]
        facts = json.loads(path.read_text()) if path.exists() and target in have else None
        if facts is not None:
            rows = facts["outcomes"][law]
            if any(success(outcome, target) for row in rows for outcome in row):
                found.append((target, law))
        if len(found) == 20:
            break
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("what", choices=["worlds", "compare", "loop"])
    parser.add_argument("work", type=Path)
    parser.add_argument("--develop", action="store_true")
    parser.add_argument("--targets", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=14.0)
    given = parser.parse_args()
    if given.what == "worlds":
        worlds(given.data, given.work, given.develop, given.targets, given.minutes)
    elif given.what == "compare":
        compared(given.data, given.work, given.minutes)
    else:
        loop(given.data, given.work, given.minutes)
