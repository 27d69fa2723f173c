"""Energies, forces and stresses of crystals by a potential, in batches of few shapes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Array, Bool, Float, Float64

from gnomon.crystals import Crystals
from gnomon.elements import SYMBOLS
from gnomon.io.labels import Labels
from gnomon.io.objects import as_crystals
from gnomon.potential.batch import ROW, AtomBatch, Shape, batches
from gnomon.potential.card import PotentialCard
from gnomon.potential.checkpoint import load
from gnomon.potential.network import Potential, energy_forces_stress
from gnomon.potential.weights import resolve
from gnomon.run.listener import SILENT, Listener

ROWS = 1024
"""Rows of a batch: the features of about a thousand stay near a processor's cache."""

DENSITY = 0.05
"""Atoms in 1 Å3 of common crystals, by which the atoms of a batch fill its rows."""


@dataclass(frozen=True, eq=False)
class LoadedPotential:
    """A potential with the identity of its weights, which is part of its energy scheme."""

    name: str
    sha256: str
    potential: Potential
    card: PotentialCard | None = None

    @property
    def scheme(self) -> str:
        """Name of the energy scheme: total energies as this very checkpoint predicts them."""
        return f"{self.name} (sha256 {self.sha256[:12]})"

    @property
    def cutoff(self) -> float:
        """How far atoms see each other, Å."""
        return self.potential.config.cutoff

    @cached_property
    def elements(self) -> frozenset[int]:
        """Atomic numbers that it knows."""
        return frozenset(self.potential.config.elements)

    @cached_property
    def capacity(self) -> Shape:
        """Size of a batch."""
        return self.holding(ROWS)

    def holding(self, rows: int) -> Shape:
        """Size of a batch of so many rows: as many atoms as fill them at a common density."""
        an_atom = 4 / 3 * np.pi * self.cutoff**3 * DENSITY / ROW + 0.5
        atoms = 2 ** round(np.log2(rows / an_atom))
        return Shape(atoms, rows, atoms // 2)

    def knows(self, crystals: Crystals) -> Bool[np.ndarray, " n"]:
        """Which crystals hold known elements only."""
        table = np.zeros(256, dtype=bool)
        table[list(self.elements)] = True
        return np.logical_and.reduceat(table[crystals.atomic_numbers], crystals.offsets[:-1])

    def foreign(self, atomic_numbers: Iterable[Any]) -> str:
        """Symbols of those among these elements that it does not know, or empty."""
        unknown = sorted({int(z) for z in atomic_numbers} - self.elements)
        return ", ".join(SYMBOLS[z] if z < len(SYMBOLS) else str(z) for z in unknown)

    def predict(self, crystals: Any, *, capacity: Shape | None = None) -> Labels:
        """Labels of all crystals in the potential's own scheme, in order.

        Args:
            crystals: whatever ``gnomon.io.as_crystals`` takes.
            capacity: size of a batch; the potential's own by default.

        Raises:
            ValueError: if a crystal holds an element that the potential does not know.
        """
        crystals = as_crystals(crystals)
        known = self.knows(crystals)
        if not known.all():
            i = int(np.flatnonzero(~known)[0])
            raise ValueError(
                f"{self.name} does not know {self.foreign(crystals.arrays(i)[1])} (crystal {i}): "
                "leave such crystals out, or take a potential that was trained on them"
            )
        found = Labels.none(len(crystals), int(crystals.offsets[-1]))
        for chosen, batch in batches(crystals, self.cutoff, capacity or self.capacity):
            answer = map(np.asarray, compiled(self.potential, batch))
            found.put(crystals.offsets, chosen, answer)
        return found

    def energies(self, crystals: Crystals) -> Float64[np.ndarray, " n"]:
        """Energies alone of crystals of known elements, eV, without their derivatives."""
        found = np.full(len(crystals), np.nan)
        for chosen, batch in batches(crystals, self.cutoff, self.capacity):
            found[chosen] = np.asarray(_energies(self.potential, batch))[: len(chosen)]
        return found


compiled = eqx.filter_jit(energy_forces_stress)
"""``energy_forces_stress``, compiled once for each network and shape."""


@eqx.filter_jit
def _energies(potential: Potential, batch: AtomBatch) -> Float[Array, " crystals"]:
    return potential.energies(batch, batch.vectors())


def load_potential(name_or_path: str, *, listener: Listener = SILENT) -> LoadedPotential:
    """The interatomic potential of these weights.

    >>> from ase.build import bulk
    >>> potential = load_potential("gnomon-1")
    >>> found = potential.predict(bulk("NaCl", "rocksalt", a=5.64))
    >>> len(potential.elements), found.energy.round(1).tolist(), found.forces.shape
    (89, [-6.8], (2, 3))

    Args:
        name_or_path: ``gnomon-2`` and ``gnomon-1`` in the package, ``nequix-mp-1`` and others
            that their authors publish, or a file.
        listener: hears how a download gets on.

    Returns:
        The potential: ``predict(crystals)`` gives energies in eV, forces in eV/Å, stresses in
        eV/Å3; ``scheme`` names what the energies are.

    Raises:
        ValueError: if there are no such weights, or the file is not what it should be.
    """
    weights = resolve(name_or_path, listener=listener)
    potential, card = load(weights.path)
    return LoadedPotential(weights.name, weights.sha256, potential, card)
