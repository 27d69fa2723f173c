"""What a network learns: the part of a formation energy that the elements alone do not say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Bool, Float64, Shaped

from gnomon.elements import MAX_Z, SYMBOLS

ELEMENT_RIDGE = 0.1
"""Pull of element energies to zero in the least squares, in rows: rare elements stay tame."""

SMALLEST_SCALE = 1e-3
"""eV/atom; energies that the elements explain to less than this are not scaled up further."""


UNSEEN = "not in the training data"
"""Why there is no prediction for some elements."""


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
    joined: ClassVar[None] = None  # of how many members each part has

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

    @property
    def targets(self) -> "tuple[Target, ...]":
        """Itself alone."""
        return (self,)


@dataclass(frozen=True, eq=False)
class JoinedTarget:
    """The targets of ensembles that were joined.

    Attributes:
        targets: of each.
        joined: members of each.
    """

    targets: tuple[Target, ...]
    joined: tuple[int, ...]

    @property
    def seen(self) -> Bool[np.ndarray, "119"]:
        """The elements that every part has seen."""
        return np.asarray(np.all([target.seen for target in self.targets], axis=0))

    def energies(
        self, fractions: Float64[np.ndarray, "n 119"], outputs: Float64[np.ndarray, "m n"]
    ) -> Float64[np.ndarray, "m n"]:
        """Formation energies of every member from the outputs of its network, eV/atom."""
        split = np.split(outputs, np.cumsum(self.joined)[:-1])
        parts = zip(self.targets, split, strict=True)
        return np.concatenate([target.energies(fractions, own) for target, own in parts])

    def shared(self) -> Target:
        """One for all members, the mean over them."""

        def mean(name: str) -> Any:
            values = [getattr(target, name) for target in self.targets]
            return np.average(np.array(values), axis=0, weights=self.joined)

        shift, scale = float(mean("shift")), float(mean("scale"))
        return Target(mean("element_energies"), self.seen, shift, scale)


def target_arrays(target: Target | JoinedTarget) -> list[dict[str, np.ndarray]]:
    """What a file keeps of each part of a target."""
    return [{name: np.asarray(v) for name, v in vars(part).items()} for part in target.targets]


def blank_arrays(parts: int) -> list[dict[str, np.ndarray]]:
    """Arrays like those of so many parts."""
    return target_arrays(Target(np.zeros(MAX_Z + 1), np.zeros(MAX_Z + 1, bool), 0.0, 0.0)) * parts


def target_of(
    arrays: Sequence[Mapping[str, np.ndarray]], joined: Sequence[int] | None
) -> Target | JoinedTarget:
    """The target of the arrays of its parts, joined if it has numbers of members."""
    parts = tuple(
        Target(a["element_energies"], a["seen"], float(a["shift"]), float(a["scale"]))
        for a in arrays
    )
    return parts[0] if joined is None else JoinedTarget(parts, tuple(joined))


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


def lacking(
    holds: Bool[np.ndarray, "n 119"], known: Bool[np.ndarray, "119"], words: str
) -> Shaped[np.ndarray, " n"]:
    """Which elements of each row are not known, after these words; empty where all are."""
    unknown = holds & ~known
    reasons = np.full(len(holds), "", dtype=object)
    for i in np.flatnonzero(unknown.any(axis=1)):
        reasons[i] = f"{words}: {', '.join(SYMBOLS[z] for z in np.flatnonzero(unknown[i]))}"
    return reasons
