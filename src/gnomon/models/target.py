"""What a network learns: the part of a formation energy that the elements alone do not say."""

from dataclasses import dataclass
from typing import Any

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

    def energies(
        self, fractions: Float64[np.ndarray, "n 119"], outputs: Float64[np.ndarray, "m n"]
    ) -> Float64[np.ndarray, "m n"]:
        """Formation energies of every member from the outputs of its network, eV/atom."""
        return self.of_fractions(fractions) + self.scale * outputs

    def shared(self) -> "Target":
        """Itself."""
        return self


@dataclass(frozen=True, eq=False)
class JoinedTarget:
    """The targets of ensembles that were joined, each with the number of its members."""

    parts: tuple[tuple[Target, int], ...]

    @property
    def seen(self) -> Bool[np.ndarray, "119"]:
        """The elements that every part has seen."""
        return np.asarray(np.all([target.seen for target, _ in self.parts], axis=0))

    def energies(
        self, fractions: Float64[np.ndarray, "n 119"], outputs: Float64[np.ndarray, "m n"]
    ) -> Float64[np.ndarray, "m n"]:
        """Formation energies of every member from the outputs of its network, eV/atom."""
        ends = np.cumsum([members for _, members in self.parts])
        split = np.split(outputs, ends[:-1])
        parts = zip(self.parts, split, strict=True)
        return np.concatenate([target.energies(fractions, own) for (target, _), own in parts])

    def shared(self) -> Target:
        """One for all members, the mean over them."""
        weights = [members for _, members in self.parts]

        def mean(values: list[Any]) -> Any:
            return np.average(np.array(values), axis=0, weights=weights)

        targets = [target for target, _ in self.parts]
        return Target(
            mean([target.element_energies for target in targets]),
            self.seen,
            float(mean([target.shift for target in targets])),
            float(mean([target.scale for target in targets])),
        )


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
