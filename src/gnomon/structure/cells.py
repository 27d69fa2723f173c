"""Cells that are ready for a comparison: Niggli-reduced, primitive, of one volume an atom.

Primitive means what pymatgen means by it (a translation may miss atoms by 0.25 Å), because that is
what its matcher compares.  Most cells have no such translation, which is seen at once; pymatgen
itself is asked about the others only.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float64, UInt8

from gnomon.crystals import Crystals
from gnomon.elements import SYMBOLS
from gnomon.io import as_crystals, to_pymatgen
from gnomon.structure.symmetry import SymmetryError, niggli

TOLERANCE = 0.25
"""Å by which a translation may miss an atom (pymatgen's ``get_primitive_structure``)."""

Lattice = Float64[np.ndarray, "3 3"]
Numbers = UInt8[np.ndarray, " atoms"]
Coordinates = Float64[np.ndarray, "atoms 3"]


@dataclass(frozen=True, eq=False)
class Cell:
    """A cell of one crystal, scaled to 1 Å^3 an atom.

    Attributes:
        lattice: Å, rows a, b, c.
        atomic_numbers: Z of each atom.
        frac_coords: fractional coordinates.
    """

    lattice: Lattice
    atomic_numbers: Numbers
    frac_coords: Coordinates

    @cached_property
    def composition(self) -> bytes:
        """Equal for cells with as many atoms of each element."""
        return np.sort(self.atomic_numbers).tobytes()

    @cached_property
    def parameters(self) -> Float64[np.ndarray, " 6"]:
        """Lengths in Å and angles in degrees."""
        return cell_parameters(self.lattice[None])[0]

    @cached_property
    def reciprocal_lengths(self) -> Float64[np.ndarray, " 3"]:
        """Lengths of the reciprocal vectors, without 2 pi: the planes of a cell per Å."""
        return np.linalg.norm(np.linalg.inv(self.lattice), axis=0)


def cell_parameters(lattice: Float64[np.ndarray, "k 3 3"]) -> Float64[np.ndarray, "k 6"]:
    """a, b, c (Å) and alpha, beta, gamma (degrees) of each lattice."""
    lengths = np.sqrt(np.einsum("kij,kij->ki", lattice, lattice))
    following, last = lattice[:, [1, 2, 0]], lattice[:, [2, 0, 1]]
    products = np.einsum("kij,kij->ki", following, last)
    cosines = products / (lengths[:, [1, 2, 0]] * lengths[:, [2, 0, 1]])
    return np.concatenate([lengths, np.degrees(np.arccos(np.clip(cosines, -1, 1)))], axis=1)


def lattice_of(cell: Float64[np.ndarray, " 6"]) -> Float64[np.ndarray, "3 3"]:
    """Rows a (along x), b (in the xy plane) and c of cell parameters in Å and degrees.

    Raises:
        ValueError: if no cell has these angles.
    """
    (alpha, beta, gamma) = np.cos(np.radians(cell[3:]))
    sine = np.sqrt(1 - gamma**2)
    x = (alpha - beta * gamma) / sine
    height = 1 - beta**2 - x**2
    if not height > 0:
        raise ValueError(f"no cell has the angles {cell[3:].tolist()}")
    rows = np.array([[1, 0, 0], [gamma, sine, 0], [beta, x, np.sqrt(height)]])
    return rows * cell[:3, None]


def comparable_cells(crystals: Crystals) -> list[Cell]:
    """The cell of each crystal that the matcher compares."""
    reduced = _niggli(crystals)
    return [_cell(*_primitive(*reduced.arrays(i))) for i in range(len(reduced))]


def _cell(lattice: Lattice, numbers: Numbers, frac_coords: Coordinates) -> Cell:
    scale = np.cbrt(len(numbers) / abs(np.linalg.det(lattice)))
    return Cell(lattice * scale, numbers, frac_coords)


def _niggli(crystals: Crystals) -> Crystals:
    """Niggli cells, and cells as given where the reduction does not end."""
    try:
        return niggli(crystals)
    except SymmetryError:
        if len(crystals) == 1:
            return crystals
        return Crystals.concatenate([_niggli(one) for one in crystals])


def _primitive(
    lattice: Lattice, numbers: Numbers, frac_coords: Coordinates
) -> tuple[Lattice, UInt8[np.ndarray, " fewer"], Float64[np.ndarray, "fewer 3"]]:
    """The primitive cell of a Niggli cell."""
    if not _may_be_smaller(lattice, numbers, frac_coords):
        return lattice, numbers, frac_coords
    [structure] = to_pymatgen(Crystals.single(lattice, numbers, frac_coords))
    found = structure.get_primitive_structure(tolerance=TOLERANCE)
    return as_crystals(found).arrays(0)


def _may_be_smaller(lattice: Lattice, numbers: Numbers, frac_coords: Coordinates) -> bool:
    """Whether pymatgen could find a smaller cell: False only where it cannot.

    It takes translations between two atoms of the rarest element that bring every atom to within
    twice the tolerance of an equal one.  There is none but 0 in most cells; 0 itself counts as one
    where the tolerance exceeds the length that a cell divided by its formula units could have.
    """
    counts = np.bincount(numbers)
    units = int(np.gcd.reduce(counts))
    if units == 1:
        return False
    tolerance = TOLERANCE / np.linalg.norm(lattice, axis=1)
    if tolerance.max() * units > 1:
        return True
    # by name where some tie
    rarest = min(np.flatnonzero(counts).tolist(), key=lambda z: (counts[z], SYMBOLS[z]))
    atoms = frac_coords[numbers == rarest]
    differ = numbers[:, None] != numbers
    return any(
        _maps(frac_coords + (atom - atoms[0]), frac_coords, 2 * tolerance, differ)
        for atom in atoms[1:]
    )


def _maps(
    moved: Coordinates,
    frac_coords: Coordinates,
    tolerance: Float64[np.ndarray, " 3"],
    differ: Bool[np.ndarray, "atoms atoms"],
) -> bool:
    """Whether each moved atom lies within the fractional tolerance of an equal atom."""
    from pymatgen.util.coord_cython import is_coord_subset_pbc

    # a copy, as pymatgen takes no array that is read-only
    return bool(is_coord_subset_pbc(moved, frac_coords.copy(), tolerance, differ.astype(np.int64)))
