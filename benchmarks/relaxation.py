"""Relaxing many crystals: gnomon's batches, the same potential through ASE, and CHGNet's relaxer.

    peers/bin/python benchmarks/relaxation.py --data DATA --potential gnomon-1

(``potential_accuracy.py`` says how the environment is made.)

Held-out Materials Project crystals of 4 to 24 atoms, every coordinate moved by a normal
distribution of 0.1 Å and every volume 5 % too large or too small, are relaxed with their cells
until no force, the stress counted through the cell filter, is above 0.05 eV/Å, in at most 500
steps.  Three ways: ``BatchedEvaluator``; ASE's FIRE and FrechetCellFilter one crystal after the
other with ``gnomon.Calculator``; CHGNet 0.3.0's ``StructOptimizer`` with its own defaults (FIRE,
FrechetCellFilter, a trajectory in memory, magnetic moments) but the same fmax and steps.  Wall time
is of all crystals, with compilation, which JAX's cache on disk does not shorten here; loading the
weights is left out.
"""

import argparse
import contextlib
import io
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gnomon.crystals import Crystals
from gnomon.io import to_ase, to_pymatgen
from potential_speed import use_cores
from record import RESULTS, CompileClock, quiet, save
from samples import held_out, rattled

RESULT = RESULTS / "relaxation.json"
SIZES = (4, 24)
"""Fewest and most atoms a cell."""
FMAX = 0.05
"""eV/Å."""
STEPS = 500
RATTLE = 0.1
"""Å."""
VOLUMES = (0.95, 1.05)
SAME_BASIN = 5e-3
"""eV/atom; two relaxations that differ by more ended in different minima, or before one."""


class Outcome(NamedTuple):
    """How n relaxations ended."""

    energy_per_atom: np.ndarray
    converged: np.ndarray
    steps: np.ndarray
    failures: list[str]


def spoiled(crystals: Crystals, seed: int) -> Crystals:
    """Rattled, and each volume off, up or down."""
    rng = np.random.default_rng(seed)
    return rattled(crystals, RATTLE, rng).scale_volume(rng.choice(VOLUMES, len(crystals)))


def batched(potential: str) -> Callable[[Crystals], Outcome]:
    """gnomon's own relaxation in batches."""
    from gnomon.dynamics.settings import RelaxConfig
    from gnomon.evaluate import Status
    from gnomon.evaluate.batched import BatchedEvaluator
    from gnomon.evaluate.table import evaluate_all
    from gnomon.potential.predict import load_potential
    from gnomon.run.listener import SILENT

    config = RelaxConfig(fmax=FMAX, max_steps=STEPS, max_seconds=3600)  # steps limit all three
    evaluator = BatchedEvaluator(load_potential(potential), config)

    def run(crystals: Crystals) -> Outcome:
        found = evaluate_all(crystals, evaluator, SILENT)
        status = found.status
        return Outcome(
            found.energy_per_atom,
            status == Status.CONVERGED,
            found.steps,
            [
                f"{i}: {status[i]}: {found.message[i]}"
                for i in np.flatnonzero(
                    (status != Status.CONVERGED) & (status != Status.NOT_CONVERGED)
                )
            ],
        )

    return run


def one_by_one(potential: str) -> Callable[[Crystals], Outcome]:
    """ASE's FIRE on the same potential."""
    from ase.filters import FrechetCellFilter
    from ase.optimize import FIRE

    from gnomon import Calculator

    calculator = Calculator(potential)

    def relax(atoms: Any) -> tuple[float, bool, int]:
        atoms.calc = calculator
        optimizer = FIRE(FrechetCellFilter(atoms), logfile=None)
        converged = optimizer.run(fmax=FMAX, steps=STEPS)
        return atoms.get_potential_energy() / len(atoms), bool(converged), optimizer.nsteps

    return lambda crystals: each(to_ase(crystals), relax)


def chgnet() -> Callable[[Crystals], Outcome]:
    """CHGNet's own relaxer."""
    from chgnet.model import StructOptimizer

    with contextlib.redirect_stdout(io.StringIO()):
        relaxer = StructOptimizer(use_device="cpu")

    def relax(structure: Any) -> tuple[float, bool, int]:
        frames = relaxer.relax(structure, fmax=FMAX, steps=STEPS, verbose=False)["trajectory"]
        # it observes the start, each step, and the end once more, and does not say whether it
        # converged: fewer steps than allowed mean that it did
        steps = len(frames.energies) - 2
        return float(frames.energies[-1]) / len(structure), steps < STEPS, steps

    return lambda crystals: each(to_pymatgen(crystals), relax)


def each(objects: list[Any], relax: Callable[[Any], tuple[float, bool, int]]) -> Outcome:
    """One after the other; what raises is counted as not converged."""
    rows, failures = [], []
    for i, one in enumerate(objects):
        try:
            rows.append(relax(one))
        except Exception as error:  # any failure of any package is data here
            failures.append(f"{i}: {type(error).__name__}: {error}"[:200])
            rows.append((np.nan, False, 0))
    energy, converged, steps = zip(*rows, strict=True)
    return Outcome(np.array(energy), np.array(converged), np.array(steps), failures)


def measure(
    name: str, make: Callable[[], Callable[[Crystals], Outcome]], crystals: Crystals
) -> tuple[dict[str, Any], Outcome]:
    clock = CompileClock()
    relax = make()
    clock.read()
    start = time.perf_counter()
    outcome = relax(crystals)
    seconds = time.perf_counter() - start
    compiler, programs = clock.read()
    steps = outcome.steps[outcome.converged].tolist()
    return {
        "relaxer": name,
        "wall_s": round(seconds, 2),
        "of_it_compiler_s": round(compiler, 2),
        "programs_compiled": programs,
        "converged": int(outcome.converged.sum()),
        "failed": len(outcome.failures),
        "failures": outcome.failures[:10],
        "median_steps_of_converged": statistics.median(steps) if steps else None,
        "total_steps": int(outcome.steps.sum()),
        "crystals_per_s": round(len(crystals) / seconds, 3),
    }, outcome


def agreement(one: Outcome, other: Outcome) -> dict[str, Any]:
    """Whether two relaxers of one potential come to the same energies, where both converge."""
    both = one.converged & other.converged
    difference = (one.energy_per_atom - other.energy_per_atom)[both]
    return {
        "both_converged": int(both.sum()),
        "within_5_meV_per_atom": int((np.abs(difference) < SAME_BASIN).sum()),
        "median_difference_meV_per_atom": round(float(1e3 * np.median(difference)), 3)
        if both.any()
        else None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the reference data")
    parser.add_argument("--potential", default="gnomon-1", help="name or weight file")
    parser.add_argument("--crystals", type=int, default=100)
    parser.add_argument("--relaxers", nargs="+", default=["batched", "ase", "chgnet"])
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    quiet()
    use_cores(given.cores)
    makers = {
        "batched": lambda: batched(given.potential),
        "ase": lambda: one_by_one(given.potential),
        "chgnet": chgnet,
    }
    crystals = spoiled(held_out(given.data, given.crystals, SIZES, given.seed), given.seed)
    measured = {name: measure(name, makers[name], crystals) for name in given.relaxers}
    rows = [row for row, _ in measured.values()]
    result: dict[str, Any] = {
        "benchmark": "relaxation",
        "potential": given.potential,
        "crystals": {
            "source": "Materials Project, held-out",
            "n": len(crystals),
            "atoms": len(crystals.atomic_numbers),
            "atoms_per_cell": SIZES,
            "rattle_angstrom": RATTLE,
            "volumes": VOLUMES,
            "seed": given.seed,
        },
        "fmax_eV_per_angstrom": FMAX,
        "max_steps": STEPS,
        "cores": given.cores,
        "relaxers": rows,
    }
    if "batched" in measured:
        ours = measured["batched"][0]["wall_s"]
        result["times_faster_than"] = {
            row["relaxer"]: round(row["wall_s"] / ours, 2)
            for row in rows
            if row["relaxer"] != "batched"
        }
    if {"batched", "ase"} <= measured.keys():
        result["batched_and_ase"] = agreement(measured["batched"][1], measured["ase"][1])
    save(result, given.out)


if __name__ == "__main__":
    main()
