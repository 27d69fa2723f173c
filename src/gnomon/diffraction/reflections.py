"""Reflections of a crystal: where its powder diffracts and how strongly, however it is strained."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import gemmi
import numpy as np
from jaxtyping import Float, Int, UInt8

from gnomon.crystals import Crystals
from gnomon.elements import MASSES, SYMBOLS
from gnomon.structure.symmetry import conventional, operations

SYMPREC = 0.05
"""Å: cells of databases and potentials carry noise of relaxations."""

B_ISO = 0.7
"""Isotropic displacement of all atoms, Å²: usual at room temperature."""

FAINT = 1e-3
"""Reflections weaker than this part of the strongest are left out."""


@dataclass(frozen=True, eq=False)
class Reflections:
    """Families of equivalent reflections of one crystal.

    Attributes:
        formula: reduced.
        hkl: (families, 3), one member of each, in the conventional cell.
        q: (families, 3), 1/Å: its reciprocal vector; the spacing is 1/|q|.
        strength: (families,), multiplicity times |F|².
        members: (all, 3), 1/Å: reciprocal vectors of all members.
        family: (all,), the family of each.
        modes: (k, 3, 3), strains that keep the symmetry; the first is uniform.
        lattice: (3, 3), Å, conventional.
        mass: of the conventional cell, g/mol.
    """

    formula: str
    hkl: Int[np.ndarray, "families 3"]
    q: Float[np.ndarray, "families 3"]
    strength: Float[np.ndarray, " families"]
    members: Float[np.ndarray, "all 3"]
    family: Int[np.ndarray, " all"]
    modes: Float[np.ndarray, "k 3 3"]
    lattice: Float[np.ndarray, "3 3"]
    mass: float

    @property
    def volume(self) -> float:
        """Of the conventional cell, Å³."""
        return float(abs(np.linalg.det(self.lattice)))

    @property
    def zmv(self) -> float:
        """Mass times volume: a phase's share by weight is its scale times this (Hill, Howard)."""
        return self.mass * self.volume

    def strain(self, amounts: Float[np.ndarray, " k"]) -> Float[np.ndarray, "3 3"]:
        """1 + strain of amounts of the modes."""
        return np.eye(3) + np.tensordot(amounts, self.modes, 1)

    def sines(
        self,
        amounts: Float[np.ndarray, "*batch k"],
        wavelength: float,
        chosen: Int[np.ndarray, " some"] | slice = slice(None),
    ) -> Float[np.ndarray, "*batch some"]:
        """sin θ of all or chosen families under strains; above 1 where there is no reflection."""
        strain = np.eye(3) + np.tensordot(amounts, self.modes, 1)
        turned = np.einsum("...ij,fj->...fi", np.linalg.inv(strain), self.q[chosen])
        return 0.5 * wavelength * np.sqrt(np.einsum("...i,...i->...", turned, turned))

    def positions(
        self,
        amounts: Float[np.ndarray, "*batch k"],
        wavelength: float,
        chosen: Int[np.ndarray, " some"] | slice = slice(None),
    ) -> Float[np.ndarray, "*batch some"]:
        """Angles 2θ in degrees of all or chosen families under strains; nan beyond 180 degrees."""
        sine = self.sines(amounts, wavelength, chosen)
        return 2 * np.degrees(np.arcsin(np.where(sine < 1, sine, np.nan)))

    def texture(self, axis: int, r: float) -> Float[np.ndarray, " families"]:
        """Factors of March and Dollase for a preferred direction (J. Appl. Cryst. 19, 267 (1986)).

        Args:
            axis: of the conventional cell: 0, 1, 2 for the planes (100), (010), (001).
            r: 1 without texture, smaller for plates.
        """
        c2 = self._cosines[axis]
        factor = (r * r * c2 + (1 - c2) / r) ** -1.5
        sums = np.bincount(self.family, factor, len(self.hkl))
        return sums / np.bincount(self.family, minlength=len(self.hkl))

    @cached_property
    def _cosines(self) -> Float[np.ndarray, "3 all"]:
        normals = np.linalg.inv(self.lattice).T
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        q = self.members / np.linalg.norm(self.members, axis=1, keepdims=True)
        return (normals @ q.T) ** 2


def lorentz(two_theta: Float[np.ndarray, ...]) -> Float[np.ndarray, ...]:
    """Lorentz and polarisation factor of a powder in reflection, no monochromator."""
    theta = np.radians(two_theta / 2)
    return (1 + np.cos(2 * theta) ** 2) / (np.sin(theta) ** 2 * np.cos(theta))


def reflections(crystal: Crystals, lowest: float, highest: float, wavelength: float) -> Reflections:
    """Reflections of a crystal between two angles, with a margin of 10 % for strains.

    Structure factors are gemmi's, of neutral atoms with anomalous scattering.

    Args:
        crystal: one.
        lowest, highest: 2θ, degrees.
        wavelength: Å.
    """
    cell = conventional(crystal, SYMPREC)
    lattice, numbers, frac = cell.arrays(0)
    rotations, _ = operations(cell, SYMPREC)[0]
    reciprocal = np.linalg.inv(lattice).T
    top = 1.05 * 2 * np.sin(np.radians(highest / 2)) / wavelength
    low = 0.9 * 2 * np.sin(np.radians(lowest / 2)) / wavelength
    most = np.floor(top * np.linalg.norm(lattice, axis=1)).astype(int)
    grid = np.stack(np.meshgrid(*(np.arange(-m, m + 1) for m in most), indexing="ij"), -1)
    hkl = grid.reshape(-1, 3)
    size = np.linalg.norm(hkl @ reciprocal, axis=1)
    hkl = hkl[(size > low) & (size < top)]
    first, family = _families(hkl, rotations)
    factor = _structure_factors(lattice, numbers, frac, first, wavelength)
    counts = np.bincount(family, minlength=len(first))
    strength = counts * factor
    angle = 2 * np.degrees(
        np.arcsin(np.clip(0.5 * wavelength * np.linalg.norm(first @ reciprocal, axis=1), 0, 0.999))
    )
    seen = strength * lorentz(angle)
    kept = seen > FAINT * seen.max(initial=0)
    new = np.cumsum(kept) - 1
    inside = kept[family]
    return Reflections(
        crystal.reduced_formulas[0],
        first[kept],
        first[kept] @ reciprocal,
        strength[kept],
        hkl[inside] @ reciprocal,
        new[family[inside]],
        _modes(lattice, rotations),
        lattice,
        float(MASSES[numbers].sum()),
    )


def _families(
    hkl: Int[np.ndarray, "n 3"], rotations: Int[np.ndarray, "m 3 3"]
) -> tuple[Int[np.ndarray, "families 3"], Int[np.ndarray, " n"]]:
    """One of each family of reflections, and the family of each; (h, -h) are one."""
    base = 2 * int(np.abs(hkl).max(initial=0)) * 3 + 1
    weights = np.array([base * base, base, 1])
    every = np.unique(rotations, axis=0)
    codes = np.full(len(hkl), np.iinfo(np.int64).min)
    for rotation in every:
        code = (hkl @ rotation) @ weights
        codes = np.maximum(codes, np.abs(code))
    _, index, family = np.unique(codes, return_index=True, return_inverse=True)
    return hkl[index], family


def _structure_factors(
    lattice: Float[np.ndarray, "3 3"],
    numbers: UInt8[np.ndarray, " atoms"],
    frac: Float[np.ndarray, "atoms 3"],
    hkl: Int[np.ndarray, "families 3"],
    wavelength: float,
) -> Float[np.ndarray, " families"]:
    """|F|² of each reflection."""
    a, b, c = np.linalg.norm(lattice, axis=1)
    angles = [
        float(np.degrees(np.arccos(np.clip(lattice[i] @ lattice[j] / (n * m), -1, 1))))
        for i, j, n, m in ((1, 2, b, c), (0, 2, a, c), (0, 1, a, b))
    ]
    small = gemmi.SmallStructure()
    small.cell = gemmi.UnitCell(a, b, c, *angles)
    for number, place in zip(numbers, frac, strict=True):
        site = gemmi.SmallStructure.Site()
        site.label = site.type_symbol = SYMBOLS[number]
        site.element = gemmi.Element(SYMBOLS[number])
        site.fract = gemmi.Fractional(*place)
        site.occ = 1.0
        site.u_iso = B_ISO / (8 * np.pi**2)
        small.add_site(site)
    small.setup_cell_images()
    calculator = gemmi.StructureFactorCalculatorX(small.cell)
    energy = 12398.4198 / wavelength
    for number in np.unique(numbers):
        real, _ = gemmi.cromer_liberman(z=int(number), energy=energy)
        calculator.addends.set(gemmi.Element(int(number)), real)
    return np.array(
        [abs(calculator.calculate_sf_from_small_structure(small, h.tolist())) ** 2 for h in hkl]
    )


def _modes(
    lattice: Float[np.ndarray, "3 3"], rotations: Int[np.ndarray, "m 3 3"]
) -> Float[np.ndarray, "k 3 3"]:
    """Strains that keep the symmetry: symmetric tensors that all rotations leave alone."""
    to_frac = np.linalg.inv(lattice)
    turns = np.array([lattice.T @ r @ to_frac.T for r in rotations])
    basis = []
    for i, j in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)):
        tensor = np.zeros((3, 3))
        tensor[i, j] = tensor[j, i] = 1
        basis.append(np.einsum("mij,jk,mlk->il", turns, tensor, turns) / len(turns))
    found = [np.eye(3)]
    for tensor in basis:
        rest = tensor - sum(
            (np.sum(tensor * f) / np.sum(f * f) * f for f in found), np.zeros((3, 3))
        )
        size = np.linalg.norm(rest)
        if size > 1e-3:
            found.append(rest / size)
    return np.array(found)
