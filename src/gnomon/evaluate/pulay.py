"""Stress in plane waves at a constant cutoff: without it, cells shrink.

A strain at a fixed number of plane waves changes the cutoff E_c as V^(-2/3), so the stress that a
code takes from one set of plane waves lacks the energy which the next set would gain (Francis and
Payne, J. Phys.: Condens. Matter 2, 4395 (1990)),

    sigma = sigma(fixed number) + 2/3 E_c (dE/dE_c) / V,

as much for every direction.  dE/dE_c is negative and taken from two calculations at cutoffs around
E_c.  At 400 eV the second term is -0.36 eV/Å3 (-58 GPa) for MgO: without it its lattice constant
comes out 9 % too small.  GPAW's own ``dedecut`` is accepted by release 26.7 and has no effect.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

SHARE = 0.05
"""Of the cutoff, by which it is raised and lowered."""

HYDROSTATIC = np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])
"""In Voigt's notation."""


class ConstantCutoff:
    """A calculator of ASE whose stress is that at a constant cutoff; all else is its own.

    The derivative is taken once, for the atoms whose stress is asked for first: it is a sum over
    atoms, and changes little with the cell.
    """

    def __init__(
        self, calculator: Any, cutoff: float, energy_at: Callable[[float, Any], float]
    ) -> None:
        """``energy_at`` takes a cutoff (eV) and atoms, and gives the energy of the cell (eV)."""
        self._calculator, self._cutoff, self._energy_at = calculator, cutoff, energy_at
        self._slope: float | None = None

    def __getattr__(self, name: str) -> Any:
        """What is not the stress."""
        return getattr(self._calculator, name)

    def get_stress(self, atoms: Any) -> np.ndarray:
        """eV/Å3 in Voigt's notation; ASE's sign."""
        stress = np.asarray(self._calculator.get_stress(atoms), dtype=np.float64)
        if self._slope is None:
            self._slope = slope(lambda cutoff: self._energy_at(cutoff, atoms), self._cutoff)
        return stress + pulay_stress(self._slope, self._cutoff, float(atoms.get_volume()))


def slope(energy: Callable[[float], float], cutoff: float) -> float:
    """Derivative of an energy with respect to the cutoff, by a central difference."""
    step = SHARE * cutoff
    return (energy(cutoff + step) - energy(cutoff - step)) / (2 * step)


def pulay_stress(derivative: float, cutoff: float, volume: float) -> np.ndarray:
    """The second term above (eV/Å3, six components).

    Args:
        derivative: of the energy of the cell with respect to the cutoff.
        cutoff: eV.
        volume: of the cell, Å3.
    """
    return 2 / 3 * cutoff * derivative / volume * HYDROSTATIC
