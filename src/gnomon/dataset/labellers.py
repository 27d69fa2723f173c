"""Who labels: a potential, or any ASE calculator; a crystal that fails keeps its reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Shaped

from gnomon.crystals import Crystals
from gnomon.io.labels import Labels
from gnomon.io.objects import to_ase
from gnomon.potential.predict import LoadedPotential

MAX_FORCE = 50.0
"""eV/Å: a larger force is that of colliding atoms, which no training set needs."""


Reasons = Shaped[np.ndarray, " n"]
"""Why each crystal could not be computed, else empty."""


@runtime_checkable
class Labeller(Protocol):
    """Gives energies, forces and stresses, all of one energy scheme."""

    @property
    def scheme(self) -> str:
        """The energy scheme."""
        ...

    def label(self, crystals: Crystals) -> tuple[Labels, Reasons]:
        """Labels of each crystal; a failure is a row of NaN with a reason."""
        ...


@dataclass(frozen=True)
class PotentialLabeller:
    """Labels by a potential; crystals with elements that it does not know get a reason."""

    potential: LoadedPotential

    @property
    def scheme(self) -> str:
        """That of the potential."""
        return self.potential.scheme

    def label(self, crystals: Crystals) -> tuple[Labels, Reasons]:
        """Labels of each crystal."""
        known = self.potential.knows(crystals)
        labels = Labels.none(len(crystals), int(crystals.offsets[-1]))
        if known.any():
            chosen = np.flatnonzero(known)
            found = self.potential.predict(crystals.take(chosen))
            labels.put(crystals.offsets, chosen, found)
        return labels, np.where(known, "", "an element that the potential lacks").astype(object)


@dataclass(frozen=True)
class AseLabeller:
    """Labels by an ASE calculator, one crystal after the other."""

    calculator: Any
    scheme: str

    def label(self, crystals: Crystals) -> tuple[Labels, Reasons]:
        """Labels of each crystal; whatever the calculator raises becomes the reason."""
        labels = Labels.none(len(crystals), int(crystals.offsets[-1]))
        reasons = np.full(len(crystals), "", object)
        for i, atoms in enumerate(to_ase(crystals)):
            if hasattr(self.calculator, "reset"):
                self.calculator.reset()
            atoms.calc = self.calculator
            try:
                energy, forces = atoms.get_potential_energy(), atoms.get_forces()
                found = [energy], forces, [atoms.get_stress(voigt=False)]
            except Exception as error:  # calculators raise anything; the row says what it was
                reasons[i] = f"{type(error).__name__}: {error}"
                continue
            labels.put(crystals.offsets, np.array([i]), found)
        return labels, reasons


def unusable(crystals: Crystals, labels: Labels) -> Reasons:
    """Why the labels of each crystal cannot be trained on; empty where they can."""
    n = len(crystals)
    norms = np.asarray(np.linalg.norm(labels.forces, axis=1), np.float64)
    with np.errstate(invalid="ignore"):  # NaN is an answer here
        largest = np.maximum.reduceat(norms, crystals.offsets[:-1]) if n else np.zeros(0)
    finite = np.isfinite(labels.energy) & np.isfinite(largest)
    finite &= np.isfinite(labels.stress).all(axis=(1, 2))
    large = np.where(largest <= MAX_FORCE, "", f"a force above {MAX_FORCE:g} eV/Å")
    reasons = np.where(finite, large, "an energy, a force or a stress is not finite")
    return np.asarray(reasons, object)
