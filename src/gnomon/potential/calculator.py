"""``gnomon.Calculator``: the potential as an ASE calculator, for everything that speaks ASE."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import ase
import ase.calculators.calculator
import equinox as eqx
import jax
import numpy as np
from ase.stress import full_3x3_to_voigt_6_stress
from jaxtyping import Array, Bool, Float, Float64, Int64

from gnomon.crystals import Crystals
from gnomon.potential.batch import AtomBatch, Shape, needed, pack
from gnomon.potential.network import Potential
from gnomon.potential.predict import LoadedPotential, compiled, load_potential
from gnomon.potential.weights import DEFAULT_WEIGHTS
from gnomon.structure.neighbors import neighbors

SKIN = 0.3
"""Å; neighbours are looked for so much beyond the cutoff, and again when atoms may have crossed."""

HEADROOM = 1.04
"""Room for more neighbours: in a liquid they fluctuate by a few percent, and a larger shape is
another compilation."""

SLACK = 1.3
"""A shape serves on while it is at most so much larger than needed."""

MAX_PAIRS = 10_000_000
"""Pairs of atoms within reach, estimated, beyond which a cell is refused: some 40 GB of features
where the densest crystals need 200 neighbours an atom."""


class Calculator(ase.calculators.calculator.Calculator):  # type: ignore[misc]  # ASE is untyped
    """Energies (eV), forces (eV/Å) and stress (eV/Å3, positive under tension) of ``ase.Atoms``.

    Open directions are open: no atom sees an image of another along them, whatever the cell, and a
    molecule needs no cell.  The stress is given where the cell has a volume.  Single precision
    resolves energies to about 1e-6 of their size; for finite differences take ``float64``.

    >>> from ase.build import bulk
    >>> atoms = bulk("NaCl", "rocksalt", a=5.64)
    >>> atoms.calc = Calculator("gnomon-1")
    >>> round(float(atoms.get_potential_energy()), 1), atoms.get_forces().shape
    (-6.8, (2, 3))
    """

    implemented_properties: ClassVar[list[str]] = [
        "energy",
        "free_energy",
        "energies",
        "forces",
        "stress",
    ]
    ignored_changes: ClassVar[set[str]] = {"initial_magmoms", "initial_charges"}

    def __init__(
        self,
        weights: str | Path | LoadedPotential = DEFAULT_WEIGHTS,
        *,
        dtype: Literal["float32", "float64"] = "float32",
        skin: float = SKIN,
    ) -> None:
        """Load the weights.

        Args:
            weights: a name (``gnomon-2``, ``nequix-mp-1``, ...), a weight file, or what
                ``load_potential`` returned.
            dtype: precision of the arithmetic; the weights are float32 in either case.
            skin: Å by which neighbours are looked for beyond the cutoff, so that the list serves
                while atoms move.

        Raises:
            ValueError: if there are no such weights, or an argument makes no sense.
        """
        super().__init__()
        if dtype not in ("float32", "float64"):
            raise ValueError(f"dtype is float32 or float64, not {dtype!r}")
        if not (math.isfinite(skin) and skin >= 0):
            raise ValueError(f"the skin must be a length of at least 0 Å, not {skin}")
        loaded = weights if isinstance(weights, LoadedPotential) else load_potential(str(weights))
        self.loaded = loaded
        self.dtype = np.dtype(dtype)
        self.skin = skin
        self.rebuilds = 0
        """How often neighbours were looked for."""
        with self._precision():
            self._potential = jax.tree.map(
                lambda leaf: leaf.astype(self.dtype) if eqx.is_inexact_array(leaf) else leaf,
                loaded.potential,
            )
        self._listed: Listed | None = None

    @property
    def scheme(self) -> str:
        """Name of the energy scheme, which holds the checksum of the weights."""
        return self.loaded.scheme

    def calculate(
        self,
        atoms: ase.Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = ase.calculators.calculator.all_changes,
    ) -> None:
        """Fill ``results``; ``energies`` (of the atoms) only where asked for.

        Raises:
            ValueError: for no atoms, elements that the potential does not know, positions that are
                not finite, or a periodic direction without a lattice vector.
            CalculationFailed: if the potential's answer is not finite.
        """
        super().calculate(atoms, properties, system_changes)
        given = self.atoms
        self._check(given)
        with self._precision():
            batch = self._batch(given)
            energy, forces, stress = (np.asarray(x, np.float64) for x in self._labels(batch))
            results: dict[str, Any] = {"energy": float(energy[0]), "forces": forces[: len(given)]}
            results["free_energy"] = results["energy"]
            if given.cell.rank == 3:
                box = abs(np.linalg.det(np.asarray(batch.lattice[0], np.float64)))
                scaled = stress[0] * (box / given.get_volume())
                results["stress"] = full_3x3_to_voigt_6_stress(scaled)
            if properties and "energies" in properties:
                shares = _atomic_energies(self._potential, batch)
                results["energies"] = np.asarray(shares, np.float64)[: len(given)]
        if not all(np.isfinite(value).all() for value in results.values()):
            raise ase.calculators.calculator.CalculationFailed(
                f"{self.loaded.name} gives no finite answer for {given.get_chemical_formula()}: "
                "are atoms on top of each other?"
            )
        self.results = results

    def _precision(self) -> Any:
        return jax.enable_x64(self.dtype == np.float64)

    def _labels(self, batch: AtomBatch) -> tuple[Array, Array, Array]:
        return compiled(self._potential, batch)

    def _check(self, atoms: ase.Atoms) -> None:
        if not len(atoms):
            raise ValueError("there are no atoms to calculate")
        if foreign := self.loaded.foreign(atoms.numbers):
            raise ValueError(
                f"{self.loaded.name} does not know {foreign}: take a potential that was trained on "
                "such atoms"
            )
        if not (np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell.array).all()):
            raise ValueError("a position or a lattice vector is not finite")

    def _batch(self, atoms: ase.Atoms) -> AtomBatch:
        """The atoms as they are now, their neighbours looked for only where needed."""
        cutoff = self.loaded.cutoff
        if self._listed is None or not self._listed.serves(atoms, cutoff, self.skin):
            before = None if self._listed is None else self._listed.batch.shape
            self._listed = Listed.of(atoms, cutoff + self.skin, before)
            self.rebuilds += 1
        return self._listed.at(atoms, self.dtype)


@dataclass(frozen=True, eq=False)
class Listed:
    """Neighbours of atoms, found once, that serve while the atoms move little.

    Attributes:
        batch: on the device; its positions and lattice are those of no moment in particular.
        given: the atoms as they were.
        lattice: Å; open directions completed by vectors so long that images are out of reach.
        images: cells that were taken off each atom to bring it near the centre.
    """

    batch: AtomBatch
    given: ase.Atoms
    lattice: Float64[np.ndarray, "3 3"]
    images: Int64[np.ndarray, "atoms 3"]

    @classmethod
    def of(cls, atoms: ase.Atoms, reach: float, before: Shape | None) -> Listed:
        """All neighbours within reach (Å), in the shape from before if that still fits."""
        lattice = closed(atoms.cell.array, atoms.pbc, atoms.positions, reach)
        frac_coords = _centred(atoms.positions) @ np.linalg.inv(lattice)
        images = np.where(atoms.pbc, np.rint(frac_coords), 0).astype(np.int64)
        crystal = Crystals.single(lattice, atoms.numbers, frac_coords - images)
        density = len(atoms) / float(crystal.volumes[0])
        if len(atoms) * density * 4 / 3 * math.pi * reach**3 > MAX_PAIRS:
            raise ValueError(
                f"{len(atoms)} atoms, {density:.3g} an Å3, have too many pairs within {reach:g} Å: "
                "give a cell of a possible density, or fewer atoms"
            )
        found = neighbors(crystal, reach)
        least = needed(crystal, found)
        shape = least._replace(rows=math.ceil(HEADROOM * least.rows)).rounded()
        if before is not None and before.atoms == shape.atoms and before.covers(least):
            shape = before if before.rows <= SLACK * shape.rows else shape
        batch = pack(crystal, found, shape=shape)
        return cls(jax.device_put(batch), atoms.copy(), lattice, images)

    def serves(self, atoms: ase.Atoms, cutoff: float, skin: float) -> bool:
        """Whether every pair within the cutoff is still among those found within cutoff + skin.

        With the strain F from the old lattice to the new and what atoms moved besides, u, a pair at
        d is at least sigma_min(F) |d| - 2 max |u| apart now.
        """
        old = self.given
        if not (np.array_equal(old.numbers, atoms.numbers) and np.array_equal(old.pbc, atoms.pbc)):
            return False
        strain = np.eye(3)
        if not np.array_equal(old.cell.array, atoms.cell.array):
            if not atoms.pbc.all() or atoms.cell.rank < 3:
                return False
            strain = np.linalg.solve(old.cell.array, atoms.cell.array)
        moved = _centred(atoms.positions) - _centred(old.positions) @ strain
        farthest = float(np.linalg.norm(moved, axis=1).max())
        least_stretch = float(np.linalg.svd(strain, compute_uv=False).min())
        return least_stretch * (cutoff + skin) - 2 * farthest >= cutoff

    def at(self, atoms: ase.Atoms, dtype: np.dtype[Any]) -> AtomBatch:
        """The batch with the positions and the lattice of now."""
        lattice = atoms.cell.array if atoms.pbc.all() else self.lattice
        positions = np.zeros((self.batch.shape.atoms, 3))
        positions[: len(atoms)] = _centred(atoms.positions) - self.images @ lattice
        return replace(
            self.batch, positions=positions.astype(dtype), lattice=lattice[None].astype(dtype)
        )


def closed(
    cell: Float[np.ndarray, "3 3"],
    pbc: Bool[np.ndarray, " 3"],
    positions: Float[np.ndarray, "atoms 3"],
    reach: float,
) -> Float64[np.ndarray, "3 3"]:
    """A lattice (Å) whose periodic vectors are the cell's, and whose others, at right angles to
    them, are longer than the atoms extend by more than the reach.

    Raises:
        ValueError: if the vectors of the periodic directions have no length, area or volume.
    """
    periodic = np.asarray(cell, np.float64)[pbc]
    if len(periodic) and np.linalg.svd(periodic, compute_uv=False).min() < 1e-6:
        raise ValueError(
            f"the cell {np.asarray(cell).tolist()} is flat along periodic directions (pbc "
            f"{pbc.tolist()}): set the cell, or pbc to False"
        )
    lattice = np.asarray(cell, np.float64).copy()
    if len(periodic) < 3:
        _, _, axes = np.linalg.svd(periodic, full_matrices=True)
        free = axes[len(periodic) :] if len(periodic) else np.eye(3)
        extent = np.ptp(positions @ free.T, axis=0)
        lattice[~pbc] = free * (extent + 1.01 * reach)[:, None]
    return lattice


@eqx.filter_jit
def _atomic_energies(potential: Potential, batch: AtomBatch) -> Float[Array, " atoms"]:
    return potential.atomic_energies(batch, batch.vectors())


def _centred(positions: Float[np.ndarray, "atoms 3"]) -> Float64[np.ndarray, "atoms 3"]:
    """About their mean: single precision resolves small numbers best."""
    return np.asarray(positions - positions.mean(axis=0), np.float64)
