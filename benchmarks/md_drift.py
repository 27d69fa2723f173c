"""Drift of the total energy in molecular dynamics at constant energy, meV/atom/ps.

    python benchmarks/md_drift.py --weights gnomon-1
    python benchmarks/md_drift.py --weights weights/nequix-mp-1.nqx --steps 500

NaCl, Cu and alpha-quartz, 32, 32 and 36 atoms, velocities of 600 K (half of which turns into
potential energy), 1 fs.  The slope is of a straight line through the energies of all frames; its
standard error, from the residuals, says how much of it is vibration.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.spacegroup import crystal

from gnomon import Calculator
from gnomon.dynamics.md import MDConfig, drift, run
from record import RESULTS, save

BAR = 1.0
"""meV/atom/ps."""


def quartz() -> Atoms:
    """Alpha-quartz (Levien, Prewitt and Weidner, Am. Mineral. 65, 920 (1980)).

    The origin of the standard setting lies a third of c below theirs.
    """
    return crystal(
        ["Si", "O"],
        [(0.4697, 0, 2 / 3), (0.4133, 0.2672, 0.1188 + 2 / 3)],
        spacegroup=154,
        cellpar=[4.916, 4.916, 5.4054, 90, 90, 120],
    )


CRYSTALS = {
    "NaCl": bulk("NaCl", "rocksalt", a=5.64, cubic=True) * (2, 2, 1),
    "Cu": bulk("Cu", "fcc", a=3.61, cubic=True) * (2, 2, 2),
    "SiO2": quartz() * (2, 2, 1),
}


def measure(atoms: Atoms, calculator: Calculator, config: MDConfig) -> dict[str, Any]:
    """Drift of one crystal, after relaxing its positions a little."""
    from ase.io import read
    from ase.optimize import FIRE

    atoms = atoms.copy()
    atoms.calc = calculator
    start = time.perf_counter()
    FIRE(atoms, logfile=None).run(fmax=0.05, steps=30)
    warm = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "nve.extxyz"
        found = run(atoms, config, out)
        frames = read(out, ":", format="extxyz")
    times = np.array([frame.info["time"] for frame in frames])
    energies = np.array([frame.get_total_energy() / len(frame) for frame in frames])
    slope = drift(times, energies)
    away = times - times.mean()
    residual = energies - energies.mean() - slope * 1e-6 * away
    error = np.sqrt(residual @ residual / (len(times) - 2) / (away @ away)) * 1e6
    return {
        "atoms": len(atoms),
        "drift": slope,
        "standard_error": float(error),
        "spread": float(np.ptp(energies) * 1000),
        "temperature": found.temperature,
        "ms_per_step": found.ms_per_step,
        "warm_up_seconds": warm,
        "below_bar": abs(slope) < BAR,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--weights", default="gnomon-1", help="name or file")
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--timestep", type=float, default=1.0, help="fs")
    parser.add_argument("--only", choices=list(CRYSTALS), help="one crystal")
    parser.add_argument("--out", type=Path, default=RESULTS / "md_drift.json")
    arguments = parser.parse_args()
    calculator = Calculator(arguments.weights, dtype=arguments.dtype)
    config = MDConfig(
        temperature=600.0, timestep=arguments.timestep, steps=arguments.steps, interval=5, seed=1
    )
    chosen = [arguments.only] if arguments.only else list(CRYSTALS)
    rows = {}
    for name in chosen:
        rows[name] = measure(CRYSTALS[name], calculator, config)
        print(name, rows[name])
    result = {
        "weights": calculator.scheme,
        "dtype": arguments.dtype,
        "units": {"drift": "meV/atom/ps", "spread": "meV/atom", "temperature": "K"},
        "bar": BAR,
        "config": config.model_dump(mode="json"),
        "crystals": rows,
    }
    save(result, arguments.out)


if __name__ == "__main__":
    main()
