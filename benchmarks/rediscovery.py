"""How many known stable phases a campaign finds again that was told of none of them.

    python benchmarks/rediscovery.py --data DATA --out campaigns

For each chemical system: the Materials Project's phases of it (and of its subsystems) are hidden,
all its other crystals are parents for substitution, and `gnomon discover` runs with its defaults.
Then the hidden phases are relaxed with the same potential.  A known phase counts as stable where
the Materials Project has it on its hull (DFT), and as rediscovered where the campaign evaluated a
crystal that pymatgen's StructureMatcher (default tolerances) takes for the same after relaxation.
Beside it: for how many the campaign's lowest crystal of that formula lies no higher than the
known phase (5 meV/atom), and how many known phases the potential itself puts on the hull.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gnomon.crystals import Crystals
from gnomon.discover import Campaign, discover
from gnomon.discover.placed import Evaluated, Placed
from gnomon.discover.settings import CampaignConfig, load_config
from gnomon.evaluate import Status
from gnomon.evaluate.registry import make_evaluator
from gnomon.evaluate.table import evaluate_all
from gnomon.hull.convex import Hull
from gnomon.hull.phases import ON_HULL, Phases, formation_energies
from gnomon.io import from_arrow, to_arrow, to_pymatgen
from gnomon.run.listener import SILENT, Listener
from gnomon.run.store import Store
from record import RESULTS, save

RESULT = RESULTS / "rediscovery.json"
SYSTEMS = ("Li-Mn-O", "Na-Cl", "Ti-O", "Al-Ni", "Ca-Ti-O", "Zn-S")
AS_LOW = 0.005
"""eV/atom."""


def split(table: pa.Table, system: str) -> tuple[pa.Table, pa.Table]:
    """Rows within a chemical system, compounds only, and all that are not within it."""
    elements = set(system.split("-"))
    crystals = from_arrow(table)
    systems = [set(name.split("-")) for name in crystals.chemical_systems]
    within = np.array([s <= elements for s in systems])
    compound = np.array([len(s) > 1 for s in systems])
    return table.filter(pa.array(within & compound)), table.filter(pa.array(~within))


def settings(system: str, parents: Path, evaluator: str, chosen: dict[str, Any]) -> CampaignConfig:
    """The campaign's settings: defaults, but for what is named and what was chosen."""
    return load_config(
        None,
        {
            "system": system,
            "evaluator.name": evaluator,
            "generate.parents": [str(parents)],
            **chosen,
        },
    )


def relaxed(crystals: Crystals, config: CampaignConfig) -> tuple[Crystals, np.ndarray, np.ndarray]:
    """The known phases relaxed as candidates are: crystals, energies, whether they converged."""
    evaluator = make_evaluator(config.evaluator, config.relax)
    found = evaluate_all(crystals, evaluator, SILENT)
    return found.relaxed, found.energy_per_atom, found.status == Status.CONVERGED.value


def rediscovered(known: Crystals, energy: np.ndarray, found: Evaluated) -> list[dict[str, Any]]:
    """Of each known phase: whether the campaign holds it, and whether its formula came as low."""
    from pymatgen.analysis.structure_matcher import StructureMatcher

    matcher = StructureMatcher()
    formulas = found.relaxed.reduced_formulas
    rows = []
    for i, formula in enumerate(known.reduced_formulas.tolist()):
        same = np.flatnonzero(formulas == formula)
        [own] = to_pymatgen(known[i : i + 1])
        matches = [
            j for j in same.tolist() if matcher.fit(own, to_pymatgen(found.relaxed[j : j + 1])[0])
        ]
        lowest = found.energy_per_atom[same].min() if len(same) else np.inf
        rows.append(
            {
                "reduced_formula": formula,
                "evaluated": len(same),
                "matches": bool(matches),
                "as_low": bool(lowest <= energy[i] + AS_LOW),
            }
        )
    return rows


def run(system: str, table: pa.Table, folder: Path, evaluator: str, chosen: dict[str, Any]) -> Any:
    """One system: campaign, known phases, comparison."""
    hidden, others = split(table, system)
    stable = hidden.filter(pc.less_equal(hidden["e_above_hull"], ON_HULL))
    folder.mkdir(parents=True, exist_ok=True)
    parents = folder / f"{system}-parents.parquet"
    if not parents.exists():
        pq.write_table(to_arrow(from_arrow(others)), parents)
    config = settings(system, parents, evaluator, chosen)
    store = Store(folder / system)
    began = time.monotonic()
    judge = make_evaluator(config.evaluator, config.relax)
    ending = discover(config, store, judge, LOUD).why
    seconds = time.monotonic() - began
    placed = Campaign(store).placed
    found = placed.found
    known, energy, converged = relaxed(from_arrow(hidden), config)
    of_stable = np.isin(np.array(hidden["id"].to_pylist()), stable["id"].to_pylist())
    counted = np.flatnonzero(of_stable & converged)
    rows = rediscovered(known[counted], energy[counted], found)
    on_hull = by_the_potential(known[converged], energy[converged], placed)
    return {
        "system": system,
        "seconds": round(seconds, 1),
        "ending": ending,
        "evaluations": len(store.table("evaluations")),
        "known_phases": len(hidden),
        "known_stable": int(of_stable.sum()),
        "known_stable_not_relaxed": int((of_stable & ~converged).sum()),
        "rediscovered": sum(row["matches"] for row in rows),
        "as_low": sum(row["as_low"] for row in rows),
        "stable_by_the_potential": int(on_hull[of_stable[converged]].sum()),
        "phases": rows,
    }


def by_the_potential(known: Crystals, energy: np.ndarray, placed: Placed) -> np.ndarray:
    """Which known phases lie on the potential's hull of all that is known and found."""
    found = placed.found
    composition = np.concatenate([known.composition, found.relaxed.composition])
    energies = formation_energies(
        composition, np.concatenate([energy, found.energy_per_atom]), placed.references
    )
    ids = np.array([str(i) for i in range(len(energies))], dtype=object)
    hull = Hull(Phases(ids, composition, energies, "one potential"))
    return np.asarray(hull.e_above_hull(composition, energies)[: len(known)] <= ON_HULL)


LOUD = Listener(say=lambda text: print(text, flush=True), tick=lambda *_: None)


def main() -> None:
    """All systems, one after the other; a campaign that was begun goes on."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("campaigns"))
    parser.add_argument("--systems", nargs="*", default=SYSTEMS)
    parser.add_argument("--evaluator", default="gnomon-1")
    parser.add_argument("--result", type=Path, default=RESULT)
    parser.add_argument("--evaluations", type=int, help="of a campaign, instead of the default")
    parser.add_argument("--minutes", type=float, help="of a campaign, instead of the default")
    parser.add_argument("--generators", nargs="+", help="of a campaign, instead of the defaults")
    given = parser.parse_args()
    table = pq.read_table(given.data / "materials_project" / "structures.parquet")
    chosen = {"budget.evaluations": given.evaluations, "budget.minutes": given.minutes}
    if given.generators:
        chosen["generate.generators"] = given.generators
    results = [run(s, table, given.out, given.evaluator, chosen) for s in given.systems]
    scheme = Store(given.out / given.systems[0]).provenance["scheme"]
    save({"scheme": scheme, "systems": results}, given.result)


if __name__ == "__main__":
    main()
