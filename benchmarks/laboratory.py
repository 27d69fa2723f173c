"""A laboratory that learns against random order, driving force alone and a Bayesian optimiser.

Worlds are simulated (docs/concepts/synthesis.md): oxides of two or three metals that are on the
hull of the Materials Project's table and stable in air at 900 °C by it, drawn by the hash of their
formulas (30 to 74 here, below 30 to develop with; 75 and above are never used).  A laboratory owns,
for each metal, the three commonest precursors of the text-mined set that the table has, and the
compounds of two of the target's metals on the hull; of all sets that weigh the target in, thirty at
random.  Each set at 600 to 1,100 °C for 8 h is an experiment; a success is 90 % of the weight.

    python benchmarks/laboratory.py DATA worlds WORK [--develop] [--targets N] [--minutes M]
    python benchmarks/laboratory.py DATA compare WORK [--develop]

``worlds`` simulates all experiments of each target under each law, and goes on where it stopped.
"""

import argparse
import json
import sys
import time
from hashlib import md5
from pathlib import Path

import numpy as np

from gnomon.elements import parse_formula
from gnomon.hull.convex import Hull
from gnomon.hull.phases import missing_elements
from gnomon.run.files import write_atomically
from gnomon.synthesis.lab.crucible import AIR, KELVIN, closed_elements, in_gas
from gnomon.synthesis.lab.furnace import Furnace
from gnomon.synthesis.lab.kinetics import LAWS
from gnomon.synthesis.lab.sets import Heating, precursor_sets
from gnomon.synthesis.lab.shelf import common_precursors
from gnomon.synthesis.literature import read_literature
from gnomon.synthesis.solids import Solids
from thermochemistry import solids_of

SET = "synthesis/solid-state_dataset_2019-12-03.json.xz"
CELSIUS = (600.0, 700.0, 800.0, 900.0, 1000.0, 1100.0)
STABLE_AT = 900.0
SETS, FEWEST = 30, 5
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


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("what", choices=["worlds"])
    parser.add_argument("work", type=Path)
    parser.add_argument("--develop", action="store_true")
    parser.add_argument("--targets", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=14.0)
    given = parser.parse_args()
    worlds(given.data, given.work, given.develop, given.targets, given.minutes)
