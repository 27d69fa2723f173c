"""Potentials with random weights, small enough to compile in a second or two."""

from pathlib import Path
from typing import Any

import jax

from gnomon.potential.checkpoint import save
from gnomon.potential.network import Potential, PotentialConfig
from gnomon.potential.predict import LoadedPotential
from tests.strategies import ELEMENTS


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
    }
    return PotentialConfig(**(settings | changes))


def tiny_potential(seed: int = 0, **changes: Any) -> LoadedPotential:
    potential = Potential(tiny_config(**changes), key=jax.random.key(seed))
    return LoadedPotential("tiny", "0" * 64, potential, {})


def tiny_file(folder: Path, **changes: Any) -> Path:
    """A weight file."""
    path = folder / "tiny.gnomon"
    save(path, tiny_potential(**changes).potential, {"name": "tiny"})
    return path
