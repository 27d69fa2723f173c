"""Where a training starts: random weights fitted to the data, or weights trained before."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float64

from gnomon.io.frames import Frames
from gnomon.models.target import fit_elements
from gnomon.potential.config import NetworkConfig, PotentialConfig
from gnomon.potential.loader import Samples
from gnomon.potential.network import Potential
from gnomon.potential.predict import LoadedPotential

MIN_SCALE = 1e-3
"""eV; energies of atoms are never scaled by less."""

REFIT_FRAMES = 2000
"""Frames, drawn at random, on which atom energies are fitted again."""


def fresh_potential(samples: Samples, network: NetworkConfig, seed: int) -> Potential:
    """Random weights; energies of atoms by least squares, scaled by the rms of the forces."""
    frames = samples.frames
    target = fit_elements(frames.crystals.fractions, frames.energy_per_atom)
    forces = frames.forces[np.isfinite(frames.forces)]
    scale = np.sqrt(np.mean(forces**2)) if len(forces) else target.scale
    elements = tuple(np.unique(frames.crystals.atomic_numbers).tolist())
    config = PotentialConfig(
        elements=elements,
        avg_n_neighbors=max(samples.avg_n_neighbors, 1.0),
        scale=float(max(scale, MIN_SCALE)),
        **network.model_dump(),
    )
    potential = Potential(config, key=jax.random.key(seed))
    energies = target.shift + target.element_energies[list(elements)]
    return _with_atom_energies(potential, energies)


def refit(potential: Potential, frames: Frames, seed: int) -> Potential:
    """The potential with energies of atoms that make up for what it gets wrong by composition."""
    drawn = np.random.default_rng(seed).permutation(len(frames))[:REFIT_FRAMES]
    part = frames.take(np.sort(drawn))
    found = LoadedPotential("", "", potential).predict(part.crystals)
    wrong = (part.energy - found.energy) / part.crystals.n_atoms
    target = fit_elements(part.crystals.fractions, wrong)
    elements = list(potential.config.elements)
    change = target.shift + target.element_energies[elements]  # the shift alone where unseen
    return _with_atom_energies(potential, np.asarray(potential.atom_energies) + change)


def _with_atom_energies(
    potential: Potential, energies: Float64[np.ndarray, " species"]
) -> Potential:
    return eqx.tree_at(
        lambda tree: tree.atom_energies, potential, jnp.asarray(energies, jnp.float32)
    )
