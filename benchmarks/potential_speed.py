"""Milliseconds an atom for energy, forces and stress, gnomon's potentials and named peers.

    peers/bin/python benchmarks/potential_speed.py --data DATA --weights WEIGHTS
    peers/bin/python benchmarks/potential_speed.py --weights WEIGHTS    # prototype cells

(``potential_accuracy.py`` says how the environment is made.)

Cells of 8 to 24 atoms, the same for all, each model with the batching of its own package
(``peers.py``) at several batch sizes, of which its fastest counts.  Times are of the network and
its derivatives alone ("excluded"), and with neighbours, graphs and padding ("included"); objects of
ASE and pymatgen are made in the latter, as each package takes them.  The models take turns, so that
other work on the machine meets all alike, and the median of the rounds is reported.  What a first
call costs beyond a later one (compilation) is shown apart and counts in none of the times.
"""

import argparse
import os
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np

from gnomon.crystals import Crystals
from peers import Gnomon, Labels, Model
from potential_accuracy import make_model
from record import RESULTS, CompileClock, quiet, save
from samples import held_out, prototype_cells

RESULT = RESULTS / "potential_speed.json"
SIZES = (8, 24)
"""Fewest and most atoms a cell."""
SAME_ENERGY, SAME_FORCES = 2e-5, 1e-3
"""eV/atom and eV/Å: single precision, with sums in another order."""
MODELS = ["authors:nequix-mp-1", "nequix-mp-1", "gnomon-1", "chgnet"]


class Lane:
    """One model at one batch size, with its times."""

    def __init__(self, model: Model, batch_size: int, crystals: Crystals, clock: CompileClock):
        """Compile everything that the crystals need."""
        self.model, self.batch_size, self.crystals = model, batch_size, crystals
        clock.read()
        start = time.perf_counter()
        self.labels: Labels = model.compute(model.prepare(crystals, batch_size))
        self.first_call = time.perf_counter() - start
        self.compiler, self.programs = clock.read()
        self.excluded: list[float] = []
        self.included: list[float] = []

    def run(self) -> None:
        """One round."""
        start = time.perf_counter()
        prepared = self.model.prepare(self.crystals, self.batch_size)
        ready = time.perf_counter()
        self.model.compute(prepared)
        end = time.perf_counter()
        self.excluded.append(end - ready)
        self.included.append(end - start)

    def row(self) -> dict[str, Any]:
        """Times in ms an atom, and what the first call cost."""
        per_atom = 1e3 / len(self.crystals.atomic_numbers)
        return {
            "model": self.model.name,
            "batch_size": self.batch_size,
            "ms_per_atom_graphs_excluded": None
            if isinstance(self.model, UserCall)  # it cannot be split
            else rounded(statistics.median(self.excluded) * per_atom),
            "ms_per_atom_graphs_included": rounded(statistics.median(self.included) * per_atom),
            "spread_included": [rounded(f(self.included) * per_atom) for f in (min, max)],
            "first_call_s": rounded(self.first_call),
            "compiler_s": rounded(self.compiler),
            "programs_compiled": self.programs,
        }


class UserCall:
    """gnomon's ``predict``, as a user calls it, with the batches that it chooses."""

    mp2020_corrected = False

    def __init__(self, model: Gnomon) -> None:
        """Wrap a loaded potential."""
        self._model = model
        self.name = f"{model.name}, predict"

    def prepare(self, crystals: Crystals, batch_size: int) -> Crystals:
        """Nothing: the call does it all."""
        del batch_size
        return crystals

    def compute(self, prepared: Crystals) -> Labels:
        """The call."""
        return self._model.predict(prepared)


def rounded(value: float) -> float:
    return float(f"{value:.4g}")


def same_weights(lanes: list[Lane]) -> dict[str, float]:
    """Largest differences between the authors' package and gnomon with the same weights.

    Raises:
        RuntimeError: if they do not compute the same thing, which leaves nothing to compare.
    """
    ours = {lane.model.name: lane.labels for lane in lanes}
    found = {}
    for name, theirs in ours.items():
        plain = name.removesuffix(", authors' package")
        if plain == name or plain not in ours:
            continue
        atoms = lanes[0].crystals.n_atoms
        energy = np.abs(theirs.energy - ours[plain].energy) / atoms
        forces = np.abs(theirs.forces - ours[plain].forces)
        if not (energy.max() < SAME_ENERGY and forces.max() < SAME_FORCES):
            raise RuntimeError(f"{plain}: off by {energy.max()} eV/atom, {forces.max()} eV/Å")
        found[f"{plain}: energy, eV/atom"] = rounded(float(energy.max()))
        found[f"{plain}: forces, eV/Å"] = rounded(float(forces.max()))
    return found


def fastest(rows: list[dict[str, Any]], key: str) -> dict[str, float]:
    best: dict[str, float] = {}
    for row in rows:
        if row[key] is None:
            continue
        best[row["model"]] = min(row[key], best.get(row["model"], float("inf")))
    return best


def ratios(best: dict[str, float]) -> dict[str, float]:
    """How many times faster than each peer, with graphs included."""
    peers = [name for name in best if "authors" in name or "CHGNet" in name]
    return {
        f"{name} / {peer}": round(best[peer] / best[name], 2)
        for peer in peers
        for name in best
        if name not in peers
    }


def measure(models: list[Model], crystals: Crystals, sizes: list[int], rounds: int) -> Any:
    clock = CompileClock()
    lanes = [Lane(model, size, crystals, clock) for model in models for size in sizes]
    lanes += [Lane(UserCall(m), 0, crystals, clock) for m in models if isinstance(m, Gnomon)]
    differences = same_weights(lanes)
    for _ in range(rounds):
        for lane in lanes:
            lane.run()
    rows = [lane.row() for lane in lanes]
    excluded = fastest(rows, "ms_per_atom_graphs_excluded")
    included = fastest(rows, "ms_per_atom_graphs_included")
    return {
        "rows": rows,
        "best_ms_per_atom": {"graphs_excluded": excluded, "graphs_included": included},
        "times_faster_graphs_excluded": ratios(excluded),
        "times_faster_graphs_included": ratios(included),
        "differences_with_the_same_weights": differences,
    }


def use_cores(cores: int) -> None:
    """Bind this process to so many cores: JAX and torch take as many threads."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder of the reference data, or prototypes")
    parser.add_argument("--weights", type=Path, required=True, help="folder of the .nqx files")
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--crystals", type=int, default=128)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[8, 16, 32])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    quiet()
    use_cores(given.cores)
    models = [make_model(name, given.weights) for name in given.models]
    if given.data:
        crystals = held_out(given.data, given.crystals, SIZES, given.seed)
    else:
        crystals = prototype_cells(given.crystals, SIZES, given.seed)
    result = {
        "benchmark": "potential_speed",
        "crystals": {
            "source": "Materials Project, held-out" if given.data else "prototypes",
            "n": len(crystals),
            "atoms": len(crystals.atomic_numbers),
            "atoms_per_cell": SIZES,
            "seed": given.seed,
        },
        "cores": given.cores,
        "rounds": given.rounds,
        **measure(models, crystals, given.batch_sizes, given.rounds),
    }
    save(result, given.out)


if __name__ == "__main__":
    main()
