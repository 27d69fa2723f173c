"""All reactions of all pairs of 1,000 phases in 10 elements: seconds, and that they balance.

python benchmarks/reactions.py DATA
"""

import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from gnomon.hull.convex import Hull
from gnomon.hull.phases import Phases, compositions
from gnomon.hull.reservoirs import open_to
from gnomon.synthesis.reactions import all_pairs, exact, pair_reactions
from gnomon.synthesis.solids import solids_from_table
from gnomon.synthesis.thermo import PRESSURES, gas_gibbs
from record import RESULTS, save

ELEMENTS = ("Li", "Na", "Mg", "Fe", "Mn", "Ti", "P", "S", "C", "O")
TEMPERATURE = 1000.0
PHASES = 1000
CHECKED = 2000


def run(phases: Phases, gases: tuple[str, ...]) -> dict:
    """Seconds for all pairs, in two processes, and how many of a sample balance exactly."""
    pairs = all_pairs(len(phases))
    lines = phases.composition > 0
    sets = (lines[pairs[:, 0]] | lines[pairs[:, 1]]) @ (np.arange(119) + 0.5) ** 2
    halves = [pairs[np.unique(sets, return_inverse=True)[1] % 2 == k] for k in (0, 1)]
    began, spent = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    with ProcessPoolExecutor(2) as pool:
        parts = list(pool.map(partial(pair_reactions, phases), halves))
    seconds = time.perf_counter() - began
    cpu = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - spent
    found = [one for part in parts for one in part]
    some = np.random.default_rng(0).choice(len(found), CHECKED, replace=False)
    named = Phases(phases.ids, compositions(phases.ids.tolist()), np.zeros(len(phases)), "names")
    told = [exact(named, found[i], gases) for i in some]
    return {
        "phases": len(phases),
        "pairs": len(pairs),
        "reactions": len(found),
        "seconds, two processes": round(seconds, 1),
        "cpu_seconds": round(cpu, 1),
        "checked": len(told),
        "balanced exactly": sum(r is not None and not r.difference for r in told),
        "amounts not determined by the formulas": sum(r is None for r in told),
    }


if __name__ == "__main__":
    place = Path(sys.argv[1]) / "materials_project"
    solids = solids_from_table(
        pq.read_table(place / "composition_energies.parquet"),
        "MP",
        cells=pq.read_table(place / "structures.parquet"),
    )
    whole = solids.within(ELEMENTS).at(TEMPERATURE, PRESSURES, 1e-3)
    above = Hull(whole).e_above_hull(whole.composition, whole.formation_energy_per_atom)
    phases = whole.take(np.sort(np.argsort(above, kind="stable")[:PHASES]))
    oxygen = {"O": gas_gibbs("O2", TEMPERATURE, PRESSURES["O2"]) / 2}
    save(
        {
            "elements": ELEMENTS,
            "temperature": TEMPERATURE,
            "highest above the hull (eV/atom)": round(float(np.sort(above)[PHASES - 1]), 3),
            "closed": run(phases, ()),
            "open to the oxygen of air": run(open_to(phases, oxygen), ("O2",)),
        },
        RESULTS / "reactions.json",
    )
