"""Make systems at a temperature and measure how mobile each of their particles is.

    python examples/glass/simulate.py FOLDER --temperature 0.55 --systems 10

Each system is melted, brought to the temperature and kept there; from where it then stands several
trajectories begin with velocities of their own and run without a thermostat.  What the place of a
particle alone decides is the mean of its displacements over them: its propensity (Widmer-Cooper,
Harrowell and Fynewever, Phys. Rev. Lett. 93, 135701 (2004)).  A system that is there is not made
again.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from liquid import STEP, Liquid, molten, run, settle, velocities

PARTICLES = 1000
TRAJECTORIES = 8
"""An even number: what two halves have in common says how certain a propensity is."""

WAVE_NUMBER = 7.25
"""First peak of the structure factor of A."""

DURATIONS = {0.55: 100.0, 0.65: 25.0}
"""Longest time by temperature: 0.15 and 0.10 of the scattering function of A are left then."""

SETTLING = 1.5
"""Time at the temperature before, in longest times."""


def moments(longest: float) -> np.ndarray:
    """Times at which displacements are taken: each a quarter longer than the one before."""
    steps = np.geomspace(0.05, longest, 1 + round(np.log(longest / 0.05) / np.log(1.25)))
    return np.unique(np.rint(steps / STEP).astype(int)) * STEP


def trajectory(
    liquid: Liquid, temperature: float, times: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """(times, 3, n), displacements."""
    v, now, at, found = velocities(liquid, temperature, rng), 0.0, liquid, []
    for moment in times:
        at, now = run(at, v, moment - now), moment
        found.append(at.places - liquid.places)
    return np.array(found)


def scattering(moved: np.ndarray, n_a: int) -> np.ndarray:
    """(times,), intermediate scattering function of A itself: the mean of cos(k d), three axes."""
    return np.cos(WAVE_NUMBER * moved[:, :, :n_a]).mean(axis=(1, 2))


def system(temperature: float, number: int, particles: int = PARTICLES) -> dict[str, np.ndarray]:
    """Places of a system and what its trajectories come to.

    Returns:
        ``places`` (3, n), ``n_a``, ``box``, ``times``, ``propensity`` (2, times, n) of two halves
        of the trajectories, ``scattering`` (times,), ``temperature``.
    """
    rng = np.random.default_rng([round(1000 * temperature), number])
    longest = DURATIONS[temperature]
    liquid = settle(molten(particles, rng), temperature, SETTLING * longest, rng)
    times = moments(longest)
    moved = [trajectory(liquid, temperature, times, rng) for _ in range(TRAJECTORIES)]
    lengths = np.linalg.norm(moved, axis=2).reshape(2, -1, len(times), particles)
    return {
        "places": liquid.places,
        "n_a": np.array(liquid.n_a),
        "box": np.array(liquid.box),
        "times": times,
        "propensity": lengths.mean(axis=1).astype(np.float32),
        "scattering": np.mean([scattering(m, liquid.n_a) for m in moved], axis=0),
        "temperature": np.array(temperature),
    }


def make(folder: Path, temperature: float, systems: int) -> list[Path]:
    """Files of the systems, of which those are made that are not there."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{temperature:.2f}-{number:03}.npz" for number in range(systems)]
    for number, file in enumerate(files):
        if not file.exists():
            began, part = time.process_time(), file.with_suffix(".part")
            with part.open("wb") as handle:
                np.savez_compressed(handle, **system(temperature, number))
            part.rename(file)
            print(f"{file}: {time.process_time() - began:.0f} s of CPU", flush=True)
    return files


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--temperature", type=float, choices=sorted(DURATIONS), required=True)
    parser.add_argument("--systems", type=int, default=10)
    given = parser.parse_args()
    make(given.folder, given.temperature, given.systems)
