"""Crystals of the elements: of each the measured ground state, and other structures worth trying.

The tables behind are those of ``ground_states``.
"""

from dataclasses import dataclass

import numpy as np

from gnomon.chemistry.ground_states import (
    A6,
    BONDS,
    CLOSE_PACKED,
    COMMON,
    CONTACTS,
    FCC,
    GROUND_STATES,
    HCP,
    MEASURED,
    LabelAndCompound,
    MeasuredCell,
    atomic_volume,
    second_packing,
    sort_of,
)
from gnomon.chemistry.prototypes import aflow, simplicity
from gnomon.crystals import Crystals
from gnomon.elements import COVALENT_RADII, atomic_number
from gnomon.structure.contacts import closest_distances, touching_scale


@dataclass(frozen=True)
class ElementalStructure:
    """A crystal of one element at a sensible size.

    Attributes:
        crystal: primitive cell, a batch of one.
        label: AFLOW's label.
        origin: where the cell comes from, for people to read.
    """

    crystal: Crystals
    label: str
    origin: str

    @property
    def simplicity(self) -> float:
        """As of a prototype."""
        return simplicity(int(self.crystal.n_atoms[0]), self.label)


def elemental_structures(symbol: str, max_atoms: int) -> list[ElementalStructure]:
    """Structures worth trying for an element, its ground state among them, small cells first.

    The ground state comes whatever its size, all others up to ``max_atoms``.  Molecular elements
    come as molecules, noble gases in close packings only.

    Raises:
        ValueError: for an unknown element.
    """
    sort, own = sort_of(symbol), ground_state(symbol)
    found = [_in_prototype(symbol, structure) for structure in _tried(symbol, sort)]
    if symbol in BONDS and own is not None:
        volume = float(own.crystal.volumes[0] / own.crystal.n_atoms[0]) * 2
        found.append(_measured(symbol, second_packing(symbol, volume)))
    if sort == "packed":
        found.append(_measured(symbol, A6))
    found = [s for s in found if s.crystal.n_atoms[0] <= max_atoms]
    if own is not None and all(s.origin != own.origin for s in found):
        found.append(own)
    return sorted(found, key=lambda s: (int(s.crystal.n_atoms[0]), s.label))


def ground_state(symbol: str) -> ElementalStructure | None:
    """The crystal of the element's measured ground state; None where it is not known.

    Raises:
        ValueError: for an unknown element.
    """
    atomic_number(symbol)
    if symbol in MEASURED:
        return _measured(symbol, MEASURED[symbol])
    if symbol in GROUND_STATES:
        return _in_prototype(symbol, GROUND_STATES[symbol])
    return None


def _tried(symbol: str, sort: str) -> tuple[LabelAndCompound, ...]:
    if sort == "molecular":
        return (GROUND_STATES["Se"],) if symbol == "S" else ()  # sulfur has chains, too
    return (FCC, HCP) if sort == "noble gas" else COMMON


def _in_prototype(symbol: str, structure: LabelAndCompound) -> ElementalStructure:
    """As measured where the library's crystal is this element, else at the measured volume of a
    close-packed element, else with touching spheres.
    """
    [prototype] = [p for p in aflow(1) if (p.label, p.compound) == structure]
    z = atomic_number(symbol)
    if symbol in CONTACTS:
        factor = CONTACTS[symbol] / prototype.distances[0, 0]
        numbers = np.full(prototype.n_atoms, z)
        crystal = prototype.crystal.with_atomic_numbers(numbers).scale_volume(float(factor**3))
    elif prototype.compound == symbol:
        crystal = prototype.crystal.with_atomic_numbers(np.full(prototype.n_atoms, z))
    else:
        crystal = _sized(symbol, prototype.decorate(np.array([[z]])), structure in CLOSE_PACKED)
    return ElementalStructure(crystal, prototype.label, f"{prototype.origin}: A={symbol}")


def _measured(symbol: str, cell: MeasuredCell) -> ElementalStructure:
    crystal = cell.crystal(symbol)
    if cell is A6 and symbol != "In":
        z = atomic_number(symbol)
        _, distances = closest_distances(crystal)
        scale = float(touching_scale(distances, COVALENT_RADII[[[z]]])[0])
        crystal = _sized(symbol, crystal.scale_volume(scale**3), close_packed=True)
    return ElementalStructure(crystal, cell.label, f"{cell.label} ({cell.source}): A={symbol}")


def _sized(symbol: str, touching: Crystals, close_packed: bool) -> Crystals:
    volume = atomic_volume(symbol)
    if volume is None or not close_packed:
        return touching
    return touching.scale_volume(volume * touching.n_atoms / touching.volumes)
