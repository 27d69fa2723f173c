"""Relaxed energies that outlive a kill, for benchmarks that compare potentials."""

from pathlib import Path

import numpy as np

from gnomon.crystals import Crystals
from gnomon.dynamics.settings import RelaxConfig
from gnomon.evaluate.batched import BatchedEvaluator
from gnomon.potential.predict import LoadedPotential

PART = 32
"""Crystals between two savings."""


def relaxed_energies(
    potential: LoadedPotential, crystals: Crystals, work: Path, what: str, relax: RelaxConfig
) -> np.ndarray:
    """Energies (eV/atom) of relaxed crystals, NaN where there is none.

    They are kept in ``work`` by the checksum of the weights, in the order of the crystals: the same
    call goes on where it was stopped, and a longer list goes on after a shorter one.
    """
    work.mkdir(parents=True, exist_ok=True)
    file = work / f"{what}-{potential.sha256[:12]}.npy"
    energy = np.load(file) if file.exists() else np.zeros(0)
    evaluator = BatchedEvaluator(potential, relax)
    for first in range(len(energy), len(crystals), PART):
        parts = evaluator.evaluate(crystals[first : first + PART])
        energy = np.concatenate([energy, *(part.energy_per_atom for part in parts)])
        np.save(file, energy)
        print(f"{what}, {potential.name}: {len(energy)} of {len(crystals)}", flush=True)
    return energy[: len(crystals)]
