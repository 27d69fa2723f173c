"""Molecular dynamics of many cells in batches against ASE one by one, with the same potential.

    python benchmarks/md_batched.py
    python benchmarks/md_batched.py --large 11 --steps 2

16 alkali halides in cells of 96 atoms, Nosé-Hoover at 600 K, 2 fs.  Seconds a step, after the first
step, which compiles: of the processor, or of the clock where the steps are an accelerator's.
``--large N`` moves instead one LiCl cell of 8 N^3 atoms, and tells the memory that the process, and
the accelerator, took at most.  Each device has a result of its own.
"""

import argparse
import itertools
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import ase
import jax
import numpy as np
from ase.build import bulk

from gnomon import Calculator
from gnomon.dynamics.md import Ensemble, MDConfig, run
from gnomon.dynamics.simulate import simulate
from gnomon.io import as_crystals
from gnomon.potential.batch import Shape
from gnomon.potential.predict import ROWS, LoadedPotential, load_potential
from record import RESULTS, save

RADII = {"Li": 0.76, "Na": 1.02, "K": 1.38, "Rb": 1.52, "F": 1.33, "Cl": 1.81, "Br": 1.96, "I": 2.2}
"""Å, of Shannon, six neighbours."""


ON_PROCESSOR = jax.default_backend() == "cpu"
seconds_now = time.process_time if ON_PROCESSOR else time.perf_counter


def cells() -> list[ase.Atoms]:
    """The halides."""
    pairs = itertools.product(("Li", "Na", "K", "Rb"), ("F", "Cl", "Br", "I"))
    lengths = {a + b: 2 * (RADII[a] + RADII[b]) for a, b in pairs}
    return [bulk(name, "rocksalt", a=a, cubic=True) * (2, 2, 3) for name, a in lengths.items()]


def result(name: str) -> Path:
    """Where the result of this device goes."""
    end = "" if ON_PROCESSOR else f"_{jax.devices()[0].device_kind.replace(' ', '_')}"
    return RESULTS / f"{name}{end}.json"


def config(steps: int) -> MDConfig:
    """Of the simulations."""
    return MDConfig(
        ensemble=Ensemble.NVT_NOSE_HOOVER,
        temperature=600.0,
        timestep=2.0,
        steps=steps,
        interval=steps,
        thermostat_time=80.0,
    )


def batched(
    atoms: list[ase.Atoms], potential: LoadedPotential, steps: int, capacity: Shape
) -> float:
    """Seconds a step of all cells."""
    crystals = as_crystals(atoms)
    with tempfile.TemporaryDirectory() as folder:
        list(simulate(crystals, potential, config(1), Path(folder) / "warm", capacity=capacity))
        began = seconds_now()
        found = simulate(crystals, potential, config(steps), Path(folder) / "md", capacity=capacity)
        assert all(one.steps[-1] == steps for one in found)
    return (seconds_now() - began) / (steps + 1)  # the forces of the beginning


def one_by_one(atoms: list[ase.Atoms], potential: LoadedPotential, steps: int) -> float:
    """Seconds a step of all cells, by ASE."""
    spent = 0.0
    for one in atoms:
        one.calc = Calculator(potential)
        with tempfile.TemporaryDirectory() as folder:
            run(one, config(1), Path(folder) / "warm.extxyz")
            began = seconds_now()
            run(one, config(steps), Path(folder) / "md.extxyz")
            spent += seconds_now() - began
    return spent / (steps + 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", default="gnomon-2")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--large", type=int, help="edge of a cell of LiCl, in cubic cells")
    parser.add_argument("--rows", type=int, nargs="+", default=[ROWS, 8192])
    given = parser.parse_args()
    potential = load_potential(given.weights)
    about: dict[str, Any] = {
        "benchmark": "md_batched",
        "weights": potential.scheme,
        "device": jax.devices()[0].device_kind,
        "seconds": "of the processor" if ON_PROCESSOR else "of the clock",
        "steps": given.steps,
    }
    if given.large:
        atoms = bulk("LiCl", "rocksalt", a=5.1, cubic=True) * ([given.large] * 3)
        seconds = batched([atoms], potential, given.steps, potential.capacity)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        about |= {
            "atoms": len(atoms),
            "seconds_a_step": round(seconds, 2),
            "ms_an_atom_and_step": round(1000 * seconds / len(atoms), 3),
            "peak_memory_GB": round(peak, 2),
        }
        if memory := jax.devices()[0].memory_stats():
            about["peak_memory_of_accelerator_GB"] = round(memory["peak_bytes_in_use"] / 2**30, 2)
        save(about, result("md_large"))
        return
    halides = cells()
    alone = one_by_one(halides, potential, given.steps)
    rows = []
    for size in given.rows:
        capacity = Shape(atoms=size, rows=size, crystals=64)
        seconds = batched(halides, potential, given.steps, capacity)
        rows.append(
            {"rows": size, "seconds_a_step": round(seconds, 3), "ratio": round(alone / seconds, 2)}
        )
        print(rows[-1], flush=True)
    n = int(np.sum([len(one) for one in halides]))
    about |= {"cells": len(halides), "atoms": n, "ase_seconds_a_step": round(alone, 3)}
    save(about | {"batched": rows}, result("md_batched"))


if __name__ == "__main__":
    main()
