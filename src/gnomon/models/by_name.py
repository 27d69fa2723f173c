"""A model trained in a line: what a notebook asks for; commands and campaigns do the same."""

from typing import Any

import numpy as np

from gnomon.io.objects import as_crystals
from gnomon.models.card import Labelled
from gnomon.models.structural.model import StructuralModel
from gnomon.models.structural.train import TrainConfig
from gnomon.models.structural.train import train as train_structural

SMALL = 1000
"""Rows below which a model is trained as in a campaign."""


def train(
    crystals: Any,
    formation_energy_per_atom: Any,
    scheme: str = "as given",
    *,
    config: TrainConfig | None = None,
) -> StructuralModel:
    """An ensemble of structural networks that learned these energies.

    >>> from ase.build import bulk
    >>> salts = [bulk("NaCl", "rocksalt", a=a) for a in np.linspace(5.3, 6.0, 8)]
    >>> config = TrainConfig(
    ...     members=2,
    ...     network={"width": 8, "passes": 1},
    ...     optimizer={"epochs": 2, "batch": 16},
    ...     train_below=100,
    ...     validate_below=100,
    ... )
    >>> model = train(salts, np.linspace(-2.1, -1.9, 8), "demo", config=config)
    >>> model.scheme, model.predict(salts).members.shape
    ('demo', (2, 8))

    Args:
        crystals: n of them: whatever ``gnomon.io.as_crystals`` takes.
        formation_energy_per_atom: (n,), eV/atom.
        scheme: name of the energy scheme that all of them are of.
        config: settings; without them those of a campaign for fewer than ``SMALL`` rows, which
            take seconds, and else those of ``gnomon model train structural``, which take minutes.

    Returns:
        The model: ``predict(crystals)`` in eV/atom, ``card``, ``save(path)``.

    Raises:
        ValueError: if there is not one finite energy for each crystal, or too few rows train.
    """
    given = as_crystals(crystals)
    data = Labelled(given, np.asarray(formation_energy_per_atom, np.float64), scheme=scheme)
    usual = TrainConfig.small(len(given)) if len(given) < SMALL else TrainConfig()
    return train_structural(data, config or usual)
