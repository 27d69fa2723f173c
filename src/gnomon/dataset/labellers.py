"""Who labels: a potential, or any ASE calculator; a crystal that fails keeps its reason."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Float64, Shaped

from gnomon.crystals import Crystals, ragged_take
from gnomon.io.objects import to_ase

MAX_FORCE = 50.0
"""eV/Å: a larger force is that of colliding atoms, which no training set needs."""


@dataclass(frozen=True, eq=False)
class Labels:
    """Labels of n crystals, aligned with them.

    Attributes:
        energy: (n,), total, eV; NaN where a crystal could not be computed.
        forces: (atoms, 3), eV/Å.
        stress: (n, 3, 3), eV/Å^3, positive under tension.
        reasons: (n,), why a crystal could not be computed, else empty.
    """

    energy: Float[np.ndarray, " n"]
    forces: Float[np.ndarray, "atoms 3"]
    stress: Float[np.ndarray, "n 3 3"]
    reasons: Shaped[np.ndarray, " n"]


@runtime_checkable
class Labeller(Protocol):
    """Gives energies, forces and stresses, all of one energy scheme."""

    @property
    def scheme(self) -> str:
        """The energy scheme."""
        ...

    def label(self, crystals: Crystals) -> Labels:
        """Labels of each crystal; a failure is a row with a reason."""
        ...


@runtime_checkable
class Prediction(Protocol):
    """What a potential says of n crystals, in the units of ``Labels``."""

    @property
    def energy(self) -> Float64[np.ndarray, " n"]:
        """Total, eV."""
        ...

    @property
    def forces(self) -> Float64[np.ndarray, "atoms 3"]:
        """eV/Å."""
        ...

    @property
    def stress(self) -> Float64[np.ndarray, "n 3 3"]:
        """eV/Å^3."""
        ...


@runtime_checkable
class BatchedPotential(Protocol):
    """A potential that predicts many crystals at once, such as a ``LoadedPotential``."""

    @property
    def scheme(self) -> str:
        """The energy scheme."""
        ...

    @property
    def elements(self) -> Collection[int]:
        """Atomic numbers that it knows."""
        ...

    def predict(self, crystals: Crystals) -> Prediction:
        """Energies, forces and stresses."""
        ...


@dataclass(frozen=True)
class PotentialLabeller:
    """Labels by a potential; crystals with elements that it does not know get a reason."""

    potential: BatchedPotential

    @property
    def scheme(self) -> str:
        """That of the potential."""
        return self.potential.scheme

    def label(self, crystals: Crystals) -> Labels:
        """Labels of each crystal."""
        n = len(crystals)
        elements = np.array(sorted(int(z) for z in self.potential.elements), np.int64)
        strange = ~np.isin(crystals.atomic_numbers, elements)
        known = np.bincount(crystals.crystal_index[strange], minlength=n) == 0
        labels = _nothing(crystals, np.where(known, "", "an element that the potential lacks"))
        if known.any():
            chosen = np.flatnonzero(known)
            atoms, _ = ragged_take(crystals.offsets, chosen)
            found = self.potential.predict(crystals.take(chosen))
            labels.energy[chosen] = found.energy
            labels.forces[atoms] = found.forces
            labels.stress[chosen] = found.stress
        return labels


@dataclass(frozen=True)
class AseLabeller:
    """Labels by an ASE calculator, one crystal after the other."""

    calculator: Any
    scheme: str

    def label(self, crystals: Crystals) -> Labels:
        """Labels of each crystal; whatever the calculator raises becomes the reason."""
        labels = _nothing(crystals, np.full(len(crystals), "", object))
        for i, atoms in enumerate(to_ase(crystals)):
            if hasattr(self.calculator, "reset"):
                self.calculator.reset()
            atoms.calc = self.calculator
            try:
                energy, forces = atoms.get_potential_energy(), atoms.get_forces()
                stress = atoms.get_stress(voigt=False)
            except Exception as error:  # calculators raise anything; the row says what it was
                labels.reasons[i] = f"{type(error).__name__}: {error}"
                continue
            labels.energy[i], labels.stress[i] = energy, stress
            labels.forces[slice(*crystals.offsets[i : i + 2])] = forces
        return labels


def judge(crystals: Crystals, labels: Labels) -> Shaped[np.ndarray, " n"]:
    """Why the labels of each crystal cannot be trained on; empty where they can."""
    largest = largest_forces(crystals, labels.forces)
    finite = np.isfinite(labels.energy) & np.isfinite(largest)
    finite &= np.isfinite(labels.stress).all(axis=(1, 2))
    reasons = labels.reasons.astype(object)
    for bad, reason in (
        (~finite, "an energy, a force or a stress is not finite"),
        (~(largest <= MAX_FORCE), f"a force above {MAX_FORCE:g} eV/Å"),
    ):
        new: Bool[np.ndarray, " n"] = bad & (reasons == "")
        reasons[new] = reason
    return reasons


def largest_forces(
    crystals: Crystals, forces: Float[np.ndarray, "atoms 3"]
) -> Float64[np.ndarray, " n"]:
    """The largest force on an atom of each crystal, eV/Å; NaN where one is NaN."""
    if not len(crystals):
        return np.zeros(0)
    norms = np.asarray(np.linalg.norm(forces, axis=1), np.float64)
    with np.errstate(invalid="ignore"):  # NaN is an answer here
        return np.maximum.reduceat(norms, crystals.offsets[:-1])


def _nothing(crystals: Crystals, reasons: Shaped[np.ndarray, " n"]) -> Labels:
    """Labels still to be filled in."""
    n = len(crystals)
    return Labels(
        np.full(n, np.nan),
        np.full((int(crystals.offsets[-1]), 3), np.nan),
        np.full((n, 3, 3), np.nan),
        reasons.astype(object),
    )
