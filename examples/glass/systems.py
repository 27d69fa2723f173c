"""Systems with the mobilities of their particles at the times that Bapst et al. take.

These are when the intermediate scattering function of A has fallen to 0.9, 0.8, ... 0.1 and to 1/e
(Bapst et al., Nat. Phys. 16, 448 (2020)).
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from liquid import Liquid

from gnomon.crystals import Crystals

LEVELS = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, np.exp(-1), 0.3, 0.2, 0.1)

NUMBERS = (28, 15)
"""A and B as nickel and phosphorus, whose alloy Ni80P20 the model was made after."""


class System(NamedTuple):
    """Particles and how far they go.

    Attributes:
        liquid: where they are, those of A first.
        mobility: (levels, n), mean displacements.
        halves: (2, levels, n), of two halves of the trajectories; None where they are not known.
    """

    liquid: Liquid
    mobility: np.ndarray
    halves: np.ndarray | None = None


def crystals(systems: Sequence[System], unit: float) -> Crystals:
    """The systems as crystals of nickel and phosphorus, with a sigma of ``unit`` Å."""
    boxes = np.array([unit * s.liquid.box for s in systems])
    counts = [s.liquid.places.shape[1] for s in systems]
    return Crystals(
        lattice=boxes[:, None, None] * np.eye(3),
        atomic_numbers=np.concatenate(
            [np.array(NUMBERS, np.uint8)[s.liquid.kinds] for s in systems]
        ),
        frac_coords=np.concatenate([(s.liquid.places / s.liquid.box).T % 1.0 for s in systems]),
        offsets=np.concatenate([[0], np.cumsum(counts)]),
    )


def read(files: Iterable[Path]) -> list[System]:
    """Systems of one temperature, as ``simulate.py`` writes them; their times are the same.

    Mobilities lie on a line between the two times between which the mean scattering function of
    the systems passes a level; where it ends above the lowest level they are the last ones.
    """
    found = [np.load(file) for file in files]
    curve = np.mean([f["scattering"] for f in found], axis=0)
    before = np.array([np.flatnonzero(curve[:-1] >= level)[-1] for level in LEVELS])
    share = np.minimum((curve[before] - LEVELS) / (curve[before] - curve[before + 1]), 1)
    systems = []
    for f in found:
        propensity = f["propensity"]
        step = propensity[:, before + 1] - propensity[:, before]
        halves = propensity[:, before] + share[:, None] * step
        liquid = Liquid(f["places"], int(f["n_a"]), float(f["box"]))
        systems.append(System(liquid, halves.mean(axis=0), halves))
    return systems


def read_published(file: Path) -> System:
    """A system of the data that Bapst et al. publish, in the form of one NumPy archive."""
    data = np.load(file)
    order = np.argsort(data["types"], kind="stable")
    levels = [int(np.abs(data["is_values"] - level).argmin()) for level in LEVELS]
    places = data["positions"][order].T.astype(np.float64)
    mobility = np.array([data[f"targets.{i}"] for i in levels])[:, order]
    n_a = int((data["types"] == 0).sum())
    return System(Liquid(places, n_a, float(data["box"][0])), mobility)
