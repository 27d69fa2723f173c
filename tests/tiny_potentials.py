"""Potentials with random weights, small enough to compile in a second or two."""

import jax

from gnomon.models.potential.network import Potential, PotentialConfig
from gnomon.models.potential.predict import LoadedPotential
from tests.strategies import ELEMENTS

IRREPS = "4x0e + 3x1o + 2x1e + 2x2e + 2x2o"
"""Every kind of features that the network takes, pseudo-vectors and pseudo-tensors among them."""


def tiny_config(**changes) -> PotentialConfig:
    settings = {
        "elements": ELEMENTS,
        "cutoff": 3.6,
        "hidden_irreps": IRREPS,
        "lmax": 2,
        "n_layers": 3,
        "radial_basis_size": 4,
        "radial_mlp_size": 8,
        "radial_mlp_layers": 1,
        "avg_n_neighbors": 20.0,
        "scale": 5.0,
        "shift": -3.0,
    }
    return PotentialConfig(**(settings | changes))


def tiny_potential(seed: int = 0, **changes) -> LoadedPotential:
    potential = Potential(tiny_config(**changes), key=jax.random.key(seed))
    return LoadedPotential("tiny", "0" * 64, potential, {})
