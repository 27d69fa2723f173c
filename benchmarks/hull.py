"""e_above_hull of many phases: gnomon against pymatgen's PatchedPhaseDiagram, and growth to 10^6.

    python benchmarks/hull.py --data DATA                  # all of it; pymatgen takes minutes
    python benchmarks/hull.py --data DATA --sample 0.05    # pymatgen on 1 of 20 chemical systems
    python benchmarks/hull.py --no-peer                    # growth alone: needs no data

The real part: the hull of ``ground_states.parquet`` and the distance to it of every crystal of
``structures.parquet``, in one process, from formulas in memory to distances, in CPU seconds (those
of the wall on an idle machine).  Elements without a phase of their own in that release enter at
0 eV/atom, which is what their formation energy is.  pymatgen builds all hulls first, gnomon when it
is asked; both are therefore timed from the beginning to the last answer.  Where no phase spans the
system of a query, pymatgen falls back to a general optimizer (SLSQP) and warns.

The synthetic part: hulls of random phases, and the distances of all or 100,000 of them, first more
and more phases in the same 1,350 chemical systems, then more and more systems of ten phases each.
"""

import argparse
import gc
import time
import warnings
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from gnomon.elements import SYMBOLS, parse_formula
from gnomon.hull.convex import Hull
from gnomon.hull.phases import ON_HULL, Phases, compositions
from record import RESULTS, save

RESULT = RESULTS / "hull.json"
IMAGE = Path(__file__).resolve().parents[1] / "docs" / "images" / "hull-scaling.svg"
AGREE = 1e-6
"""eV/atom."""
SIZES = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
"""Synthetic phases."""
FEW = range(1, 21)
"""Elements of the systems that stay: 20 elements, 190 binaries, 1,140 ternaries."""
QUERIES = 100_000
"""Synthetic phases whose distance is asked for, at most."""
A_SYSTEM = 10
"""Phases of each system where systems grow."""


def timed(work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """A result, and the seconds that it took."""
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, {
        "cpu_s": round(time.process_time() - cpu, 3),
        "wall_s": round(time.perf_counter() - wall, 3),
    }


# --- real phases ----------------------------------------------------------------------------------


def real(data: Path) -> tuple[list[str], np.ndarray, list[str], np.ndarray]:
    """Formulas and formation energies (eV/atom) of the phases, elements added, and the queries."""
    folder = data / "materials_project"
    columns = ["reduced_formula", "formation_energy_per_atom"]
    phases, queries = (
        pq.read_table(folder / f"{name}.parquet", columns=columns)
        for name in ("ground_states", "structures")
    )
    names, energies = (phases[c].to_pylist() for c in columns)
    asked, asked_energies = (queries[c].to_pylist() for c in columns)
    there = {symbol for formula in asked for symbol in parse_formula(formula)}
    alone = {next(iter(parse_formula(f))) for f in names if len(parse_formula(f)) == 1}
    missing = sorted(there - alone)
    names += missing
    energies += [0.0] * len(missing)
    return names, np.array(energies), asked, np.array(asked_energies)


def ours(
    names: list[str], energies: np.ndarray, asked: list[str], asked_energies: np.ndarray
) -> np.ndarray:
    """Distances by gnomon, formulas parsed and all."""
    ids = np.array(names, dtype=object)
    hull = Hull(Phases(ids, compositions(names), energies, "Materials Project"))
    return hull.e_above_hull(compositions(asked), asked_energies)


def pymatgens(
    names: list[str], energies: np.ndarray, asked: list[str], asked_energies: np.ndarray
) -> np.ndarray:
    """Distances by pymatgen's PatchedPhaseDiagram."""
    from pymatgen.analysis.phase_diagram import PatchedPhaseDiagram, PDEntry
    from pymatgen.core import Composition

    def entries(formulas: list[str], per_atom: np.ndarray) -> list[Any]:
        parsed = [Composition(formula) for formula in formulas]
        return [PDEntry(c, e * c.num_atoms) for c, e in zip(parsed, per_atom.tolist(), strict=True)]

    diagram = PatchedPhaseDiagram(entries(names, energies))
    return np.array(
        [diagram.get_e_above_hull(e, allow_negative=True) for e in entries(asked, asked_energies)]
    )


def by_facets(
    names: list[str], energies: np.ndarray, asked: list[str], asked_energies: np.ndarray
) -> np.ndarray:
    """Distances by pymatgen's PhaseDiagram, which is exact, system by system."""
    from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
    from pymatgen.core import Composition

    def entry(formula: str, per_atom: float) -> Any:
        composition = Composition(formula)
        return PDEntry(composition, per_atom * composition.num_atoms)

    system = [frozenset(parse_formula(name)) for name in names]
    distances = []
    for formula, energy in zip(asked, asked_energies.tolist(), strict=True):
        inside = [i for i, s in enumerate(system) if s <= frozenset(parse_formula(formula))]
        diagram = PhaseDiagram([entry(names[i], float(energies[i])) for i in inside])
        distances.append(diagram.get_e_above_hull(entry(formula, energy), allow_negative=True))
    return np.array(distances)


def sampled(
    names: list[str],
    energies: np.ndarray,
    asked: list[str],
    asked_energies: np.ndarray,
    share: float,
) -> tuple[list[str], np.ndarray, list[str], np.ndarray]:
    """A share of the chemical systems of the queries, and the phases within them."""
    system = [frozenset(parse_formula(formula)) for formula in asked]
    every = sorted(set(system), key=sorted)
    rng = np.random.default_rng(0)
    chosen = {every[i] for i in rng.permutation(len(every))[: max(1, int(share * len(every)))]}
    keep = [i for i, s in enumerate(system) if s in chosen]
    inside = {
        frozenset(c) for s in chosen for m in range(1, len(s) + 1) for c in combinations(s, m)
    }
    held = [i for i, formula in enumerate(names) if frozenset(parse_formula(formula)) in inside]
    return (
        [names[i] for i in held],
        energies[held],
        [asked[i] for i in keep],
        asked_energies[keep],
    )


def against_pymatgen(data: Path, share: float) -> dict[str, Any]:
    everything = real(data)
    distances, whole = timed(lambda: ours(*everything))
    row: dict[str, Any] = {
        "phases": len(everything[0]),
        "queries": len(everything[2]),
        "chemical_systems": len({frozenset(parse_formula(f)) for f in everything[2]}),
        "most_elements": max(len(parse_formula(f)) for f in everything[2]),
        "on_hull": int((distances <= ON_HULL).sum()),
        "gnomon": whole,
    }
    part = everything if share >= 1 else sampled(*everything, share)
    mine, our_time = timed(lambda: ours(*part))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        theirs, their_time = timed(lambda: pymatgens(*part))
    difference = np.abs(mine - theirs)
    apart = np.flatnonzero(difference > AGREE)
    exact = by_facets(part[0], part[1], [part[2][i] for i in apart], part[3][apart])
    row["in_the_same_run"] = {
        "share_of_the_systems": share,
        "phases": len(part[0]),
        "queries": len(part[2]),
        "gnomon": our_time,
        "pymatgen PatchedPhaseDiagram": their_time,
        "pymatgen_by_SLSQP": sum("SLSQP" in str(warning.message) for warning in caught),
        "times_faster_cpu": round(their_time["cpu_s"] / our_time["cpu_s"], 1),
        "largest_difference_eV_per_atom": float(difference.max()),
        "differ_by_more_than_1e-6": len(apart),
        "of_these_gnomon_differs_from_PhaseDiagram": int(
            (np.abs(mine[apart] - exact) > AGREE).sum()
        ),
    }
    return row


# --- synthetic phases -----------------------------------------------------------------------------


def synthetic(systems: np.ndarray, n: int, rng: np.random.Generator) -> Phases:
    """About n random phases of these systems (s, m), and the elements, at 0 eV/atom."""
    chosen = systems[rng.integers(len(systems), size=n)]
    counts = rng.integers(1, 10, chosen.shape).astype(np.float64)
    elements = np.unique(systems)
    composition = np.zeros((len(elements) + n, len(SYMBOLS)))
    composition[np.arange(len(elements)), elements] = 1
    # a system may name an element twice, and is then one of fewer elements
    np.add.at(composition, (len(elements) + np.arange(n)[:, None], chosen), counts)
    fractions = composition / composition.sum(axis=1, keepdims=True)
    depth = 1 - (fractions**2).sum(axis=1)  # compounds of many elements lie deeper
    energies = -2 * depth * (1 + 0.3 * rng.standard_normal(len(depth)))
    energies[: len(elements)] = 0.0
    ids = np.arange(len(composition)).astype(str).astype(object)
    return Phases(ids, composition, energies, "synthetic")


def few_systems(n: int, rng: np.random.Generator) -> Phases:
    """Phases in all systems of up to three of 20 elements."""
    triples = [(i, j, k) for i in FEW for j in FEW for k in FEW if i <= j <= k]
    return synthetic(np.array(triples), n, rng)


def many_systems(n: int, rng: np.random.Generator) -> Phases:
    """Ten phases each in random quaternary systems of 100 elements."""
    wanted = max(1, n // A_SYSTEM)
    drawn = np.sort(rng.integers(1, 101, (3 * wanted, 4)), axis=1)
    distinct = np.unique(drawn[(np.diff(drawn, axis=1) > 0).all(axis=1)], axis=0)
    return synthetic(rng.permutation(distinct)[:wanted], n, rng)


def growth(make: Callable[[int, np.random.Generator], Phases], sizes: list[int]) -> list[Any]:
    rows = []
    for n in sizes:
        phases = make(n, np.random.default_rng(0))
        hull, build = timed(lambda phases=phases: Hull(phases))
        asked = phases.take(np.random.default_rng(1).permutation(len(phases))[:QUERIES])
        distances, ask = timed(
            lambda hull=hull, asked=asked: hull.e_above_hull(
                asked.composition, asked.formation_energy_per_atom
            )
        )
        packed = np.packbits(phases.composition > 0, axis=1)
        more = phases.take(np.arange(100))
        _, add = timed(lambda hull=hull, more=more: hull.with_phases(more))
        rows.append(
            {
                "phases": len(phases),
                "systems": len(np.unique(packed, axis=0)),
                "build": build,
                "queries": len(asked),
                "on_hull": int((distances <= ON_HULL).sum()),
                "ask": ask,
                "microseconds_a_query": round(1e6 * ask["cpu_s"] / len(asked), 1),
                "add_100_phases": add,
            }
        )
        print(rows[-1], flush=True)
    return rows


def plot(curves: dict[str, list[Any]], image: Path) -> None:
    """CPU time to build, to add phases and to answer, against the number of phases."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "gnomon"  # the same figures give the same file
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
    for (label, rows), colour in zip(curves.items(), ("#0b6e99", "#c2571a"), strict=True):
        n = [row["phases"] for row in rows]
        build = [max(row["build"]["cpu_s"], 1e-3) for row in rows]
        add = [max(row["add_100_phases"]["cpu_s"], 1e-3) for row in rows]
        left.loglog(n, build, "o-", color=colour, label=f"build, {label}")
        left.loglog(n, add, "s--", color=colour, alpha=0.5, label=f"add 100 phases, {label}")
        answer = [row["microseconds_a_query"] for row in rows]
        right.loglog(n, answer, "o-", color=colour, label=label)
    left.set(xlabel="phases", ylabel="CPU seconds")
    right.set(xlabel="phases", ylabel="CPU microseconds a query", ylim=(1, 1000))
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small", frameon=False)
    image.parent.mkdir(exist_ok=True)
    figure.savefig(image, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder of the reference data")
    parser.add_argument("--sample", type=float, default=1.0, help="share of systems for pymatgen")
    parser.add_argument("--no-peer", action="store_true", help="measure growth alone")
    parser.add_argument("--largest", type=int, default=SIZES[-1], help="synthetic phases; 0: none")
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--image", type=Path, default=IMAGE)
    given = parser.parse_args()
    if given.data is None and not given.no_peer:
        parser.error("--data is needed, or --no-peer")
    result: dict[str, Any] = {"benchmark": "hull"}
    if given.data is not None and not given.no_peer:
        result["materials_project"] = against_pymatgen(given.data, given.sample)
        save(result, given.out)
    sizes = [n for n in SIZES if n <= given.largest]
    if sizes:
        curves = {
            "1,350 systems": growth(few_systems, sizes),
            "10 phases a system": growth(many_systems, sizes),
        }
        result["growth"] = curves
        plot(curves, given.image)
        save(result, given.out)


if __name__ == "__main__":
    main()
