"""Potentials small enough to compile in a second or two: with random weights, and Morse's."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gnomon.crystals import Crystals
from gnomon.io.frames import Frames
from gnomon.potential.batch import AtomBatch
from gnomon.potential.card import PotentialCard
from gnomon.potential.checkpoint import Weighted, save
from gnomon.potential.config import PotentialConfig
from gnomon.potential.network import Potential
from gnomon.potential.predict import LoadedPotential
from gnomon.run.stamp import stamp
from tests.strategies import ELEMENTS, random_crystal

DEPTH, WIDTH, LENGTH, CUTOFF = 0.4, 1.4, 2.6, 4.5
"""Of the Morse potential: eV, 1/Å, Å, Å."""

CURSED, REPELLING = 79, 56
"""Elements whose energy is not a number, and which fly apart."""


CARD = PotentialCard(
    scheme="tiny, uncorrected",
    data="nothing",
    data_sha256="0" * 64,
    rows=0,
    train_rows=0,
    train_first_frames=0,
    train_atoms=0,
    train_formulas=0,
    validation_unknown=0,
    split="none",
    elements=len(ELEMENTS),
    parameters=0,
    validation=None,
    config={},
    finished=True,
    epochs=0.0,
    steps=0,
    wall_seconds=0.0,
    command=None,
    stamp=stamp(),
)
"""Of weights that nobody trained."""


def tiny_config(**changes: Any) -> PotentialConfig:
    settings: dict[str, Any] = {
        "elements": ELEMENTS,
        "cutoff": 3.6,
        "hidden_irreps": "4x0e + 3x1o",
        "lmax": 1,
        "n_layers": 2,
        "radial_basis_size": 4,
        "radial_mlp_size": 8,
        "radial_mlp_layers": 1,
        "avg_n_neighbors": 20.0,
        "scale": 5.0,
        "shift": -3.0,
        "embedding": None,
        "repulsion": False,
    }
    return PotentialConfig(**(settings | changes))


def tiny_potential(seed: int = 0, **changes: Any) -> LoadedPotential:
    potential = Potential(tiny_config(**changes), key=jax.random.key(seed))
    return LoadedPotential("tiny", "0" * 64, potential)


def tiny_file(folder: Path, **changes: Any) -> Path:
    """A weight file."""
    path = folder / "tiny.gnomon"
    save(path, Weighted(tiny_potential(**changes).potential, CARD))
    return path


class Morse(Potential):
    """A pair potential that is smooth at the cutoff, with two elements of bad character."""

    def __init__(self) -> None:
        self.atom_energies, self.embedding = jnp.zeros(1), None
        self.layers, self.readout = [], jnp.zeros((1, 1))
        self.config = PotentialConfig(
            elements=ELEMENTS, cutoff=CUTOFF, hidden_irreps="1x0e", lmax=0, n_layers=1
        )

    def energies(self, batch: AtomBatch, vectors: jax.Array) -> jax.Array:
        safe = jnp.where(batch.mask[..., None], vectors, 1.0)
        distances = jnp.sqrt((safe**2).sum(axis=-1) + 1e-12)
        decay = jnp.exp(-WIDTH * (distances - LENGTH))
        x = jnp.minimum(distances / CUTOFF, 1.0)
        pair = 0.5 * DEPTH * (decay**2 - 2 * decay) * (1 - x**2) ** 3
        numbers = jnp.asarray(batch.atomic_numbers)[batch.receivers][:, None]
        pair = jnp.where(numbers == REPELLING, jnp.abs(pair) + 5 * (1 - x**2) ** 3, pair)
        pair = pair * jnp.where(numbers == CURSED, jnp.nan, 1.0)
        rows = jnp.where(batch.mask, pair, 0.0).sum(axis=1)
        atoms = jax.ops.segment_sum(rows, batch.receivers, len(batch.positions))
        return jax.ops.segment_sum(atoms, batch.crystal, len(batch.lattice))


MORSE = LoadedPotential("morse", "0" * 64, Morse())


def labelled_at_random(rng: np.random.Generator, n: int) -> Frames:
    """Frames whose labels mean nothing."""
    crystals = Crystals.concatenate([random_crystal(rng) for _ in range(n)])
    forces = rng.normal(size=(int(crystals.offsets[-1]), 3))
    stress = rng.normal(size=(n, 3, 3))
    return Frames.of(
        crystals, rng.normal(size=n), forces, stress, scheme="noise", first=rng.random(n) < 0.4
    )
