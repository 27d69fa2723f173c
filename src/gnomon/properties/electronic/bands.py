"""Kohn-Sham eigenvalues along a path and on a mesh: what they say of the gap, and as a row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float64

from gnomon.io.tables import OK, column, value_schema

NAME = "dft_band_gap"
"""Of the property and its table."""

METAL, DIRECT, INDIRECT = "metal", "direct", "indirect"

SAME = 1e-3
"""eV by which a direct gap may exceed the smallest one that is the same."""

WINDOW = (-10.0, 10.0)
"""eV about the Fermi energy, of the density of states."""

STEP = 0.02
"""eV; of the density of states."""


def _list(name: str, about: str, unit: str) -> pa.Field:
    item = column("item", pa.float64(), about, unit=unit)
    return column(name, pa.list_(item), about, unit=unit)


SCHEMA = value_schema(
    "band gap of Kohn and Sham, 0 of a metal",
    "eV",
    column("kind", pa.string(), f"{DIRECT}, {INDIRECT}, or {METAL}"),
    column("direct_gap", pa.float64(), "least gap without a change of k", unit="eV"),
    column("fermi_energy", pa.float64(), "in the scale of the eigenvalues", unit="eV"),
    column("dos_at_fermi", pa.float64(), "density of states at the Fermi energy", unit="1/eV/atom"),
    column("n_spins", pa.int64(), "2 with a magnetic moment, else 1"),
    column("n_bands", pa.int64(), "bands along the path"),
    column("path_labels", pa.string(), "of the corners of the path, with their distances, 1/Å"),
    _list("path", "distance along the path", "1/Å"),
    _list("bands", "eigenvalues less the Fermi energy: spins, points of the path, bands", "eV"),
    _list("dos_energies", "less the Fermi energy", "eV"),
    _list("dos", "density of states, both spins", "1/eV/atom"),
    uncertainty="none is known: PBE's gaps are too small by a third or more",
)

Eigenvalues = Float64[np.ndarray, "spins k bands"]


@dataclass(frozen=True, eq=False)
class Bands:
    """What a calculation left.

    Attributes:
        path: distances of the points of a path, 1/Å.
        labels: names of some, with their distances.
        along: eigenvalues there, eV.
        mesh: eigenvalues on a mesh, eV.
        weights: of the points of the mesh; their sum is 1.
        fermi: Fermi energy, eV.
        atoms: in the cell.
        width: of the Gaussians of the density of states, eV.
    """

    path: Float64[np.ndarray, " p"]
    labels: tuple[tuple[str, float], ...]
    along: Float64[np.ndarray, "spins p bands"]
    mesh: Float64[np.ndarray, "spins q more"]
    weights: Float64[np.ndarray, " q"]
    fermi: float
    atoms: int
    width: float = 0.1

    def row(self) -> dict[str, Any]:
        """Columns of ``SCHEMA``."""
        bands = min(self.along.shape[2], self.mesh.shape[2])
        every = np.concatenate([self.along[..., :bands], self.mesh[..., :bands]], axis=1)
        smallest, direct = gap(every, self.fermi)
        energies = np.arange(*WINDOW, STEP)
        states = density_of_states(self.mesh - self.fermi, self.weights, energies, self.width)
        states /= self.atoms
        kind = METAL if smallest == 0 else DIRECT if direct - smallest < SAME else INDIRECT
        return {
            "status": OK,
            "value": smallest,
            "kind": kind,
            "direct_gap": direct,
            "fermi_energy": self.fermi,
            "dos_at_fermi": float(np.interp(0.0, energies, states)),
            "n_spins": len(self.along),
            "n_bands": self.along.shape[2],
            "path_labels": " ".join(f"{name}:{at:.4f}" for name, at in self.labels),
            "path": self.path.tolist(),
            "bands": np.round(self.along - self.fermi, 4).ravel().tolist(),
            "dos_energies": np.round(energies, 4).tolist(),
            "dos": np.round(states, 5).tolist(),
        }


def gap(eigenvalues: Eigenvalues, fermi: float) -> tuple[float, float]:
    """The smallest gap and the smallest direct one, eV; 0 where a band crosses the Fermi energy.

    >>> flat = np.array([[[-1.0, 1.0], [-0.5, 2.0]]])
    >>> gap(flat, 0.0), gap(flat, 1.5)
    ((1.5, 2.0), (0.0, 0.0))

    Raises:
        ValueError: if no band lies on one of the sides: more bands are needed.
    """
    below = eigenvalues <= fermi
    if not below.any() or below.all():
        raise ValueError(f"all eigenvalues lie {'below' if below.any() else 'above'} {fermi:g} eV")
    filled = below.sum(axis=2)
    if (filled != filled[:, :1]).any():
        return 0.0, 0.0
    highest = np.where(below, eigenvalues, -np.inf).max(axis=(0, 2))
    lowest = np.where(below, np.inf, eigenvalues).min(axis=(0, 2))
    return float(lowest.min() - highest.max()), float((lowest - highest).min())


def density_of_states(
    eigenvalues: Eigenvalues,
    weights: Float64[np.ndarray, " k"],
    energies: Float64[np.ndarray, " e"],
    width: float,
) -> Float64[np.ndarray, " e"]:
    """States of a cell at each energy, 1/eV: each eigenvalue a Gaussian of this width (eV)."""
    share = np.broadcast_to(weights[:, None] * 2 / len(eigenvalues), eigenvalues.shape[1:])
    inside = (eigenvalues > energies[0] - 5 * width) & (eigenvalues < energies[-1] + 5 * width)
    total = np.zeros(len(energies))
    for spin, near in zip(eigenvalues, inside, strict=True):
        for value, weight in zip(spin[near], share[near], strict=True):
            total += weight * np.exp(-(((energies - value) / width) ** 2) / 2)
    return total / (width * np.sqrt(2 * np.pi))
