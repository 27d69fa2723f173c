"""What a network learns: the part of a formation energy that the elements alone do not say."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

from gnomon.crystals import Crystals
from gnomon.elements import MAX_Z

ELEMENT_RIDGE = 0.1
"""Pull of element energies to zero in the least squares, in rows: rare elements stay tame."""

SMALLEST_SCALE = 1e-3
"""eV/atom; energies that the elements explain to less than this are not scaled up further."""


@dataclass(frozen=True, eq=False)
class Target:
    """E = shift + sum over elements of fraction x element energy + scale x network, eV/atom.

    Attributes:
        element_energies: least squares on the training data, 0 for elements not in it.
        seen: the elements of the training data.
    """

    element_energies: Float64[np.ndarray, "119"]
    seen: Bool[np.ndarray, "119"]
    shift: float
    scale: float

    def baseline(self, crystals: Crystals) -> Float64[np.ndarray, " n"]:
        """What the elements alone say, eV/atom."""
        return self.of_fractions(crystals.composition / crystals.n_atoms[:, None])

    def of_fractions(self, fractions: Float64[np.ndarray, "n 119"]) -> Float64[np.ndarray, " n"]:
        """What atomic fractions by atomic number say, eV/atom."""
        return self.shift + fractions @ self.element_energies


def fit_elements(
    fractions: Float64[np.ndarray, "n 119"], energies: Float64[np.ndarray, " n"]
) -> Target:
    """Shift, element energies by ridge regression and the scale of what is left (eV/atom)."""
    shift = float(energies.mean())
    gram = fractions.T @ fractions + ELEMENT_RIDGE * np.eye(MAX_Z + 1)
    element_energies = np.linalg.solve(gram, fractions.T @ (energies - shift))
    left = energies - shift - fractions @ element_energies
    seen = np.asarray((fractions > 0).any(axis=0))
    return Target(element_energies, seen, shift, float(max(left.std(), SMALLEST_SCALE)))
