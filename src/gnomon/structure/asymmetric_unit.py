"""A crystal as what symmetry leaves free: space group, orbits, free coordinates, cell parameters.

The setting is that of ``gnomon.structure.wyckoff``.  Of the equivalent descriptions of a crystal
that differ by a shift of the origin which leaves the space group as it is (its normalizer's
translations, International Tables A, section 3.5) the first in order is taken, so that rock salt
is written in one way whichever ion came first.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cache

import numpy as np
import spglib
from jaxtyping import Bool, Float64, Int64

from gnomon.crystals import Crystals
from gnomon.elements import electronegativities
from gnomon.structure.cells import cell_parameters, lattice_of
from gnomon.structure.symmetry import SYMPREC, SymmetryError, space_groups
from gnomon.structure.systems import whole_cell
from gnomon.structure.wyckoff import hall_number, space_group

NEAR = 0.1
"""Å by which an atom may miss the position that it is assigned to."""

STEP = 0.01
"""Fractional step to which coordinates are compared where the first of several is taken."""


@dataclass(frozen=True, eq=False)
class AsymmetricUnit:
    """One crystal without what its space group repeats.

    Attributes:
        space_group: international number.
        elements: (m,), atomic number of each orbit, in the order of ``element_order``.
        positions: (m,), which of ``wyckoff.space_group(...).positions`` each orbit takes.
        coordinates: (m, 3), the free coordinates x, y and z of each orbit (in 0 to 1, of the
            conventional cell), 0 where the position leaves none.
        cell: a, b, c (Å), alpha, beta, gamma (degrees) of the conventional cell.
    """

    space_group: int
    elements: Int64[np.ndarray, " m"]
    positions: Int64[np.ndarray, " m"]
    coordinates: Float64[np.ndarray, "m 3"]
    cell: Float64[np.ndarray, " 6"]


@dataclass(frozen=True, eq=False)
class Places:
    """How the free coordinates of a space group's k positions become points.

    Attributes:
        free: (k, 3), which of x, y, z are free.
        basis, offset: a point is ``basis @ coordinates + offset``; the basis holds whole numbers,
            so that coordinates are periodic as points are.
        multiplicity: (k,), points in the conventional cell.
        shifts: (s, 3), translations of the normalizer that differ by no lattice vector, 0 first.
        images: (s, k), the position that each one becomes under each of them.
        polar: (3,), axes along which the origin may lie anywhere.
        centring: lattice points in the conventional cell.
    """

    free: Bool[np.ndarray, "k 3"]
    basis: Float64[np.ndarray, "k 3 3"]
    offset: Float64[np.ndarray, "k 3"]
    multiplicity: Int64[np.ndarray, " k"]
    shifts: Float64[np.ndarray, "s 3"]
    images: Int64[np.ndarray, "s k"]
    polar: Bool[np.ndarray, " 3"]
    centring: int

    def on(
        self, k: int, points: Float64[np.ndarray, "m 3"], tolerance: Float64[np.ndarray, " 3"]
    ) -> Bool[np.ndarray, " m"]:
        """Which points lie in the representative set of position k, lattice vectors apart."""
        apart = points - points @ self.basis[k].T - self.offset[k]
        return np.all(np.abs(apart - np.rint(apart)) <= tolerance, axis=1)


@cache
def places(number: int) -> Places:
    """The positions of a space group by its international number."""
    group = space_group(number)
    k = len(group.positions)
    basis, offset = np.zeros((k, 3, 3)), np.zeros((k, 3))
    free = np.zeros((k, 3), bool)
    for i, position in enumerate(group.positions):
        axes = list(_free_axes(position.projector, position.freedom))
        free[i, axes] = True
        if axes:
            span = np.linalg.svd(position.projector)[0][:, : len(axes)]
            basis[i][:, axes] = np.rint(span @ np.linalg.inv(span[axes]))
        offset[i] = position.point - basis[i] @ position.point
    rotations = group.positions[-1].rotations
    polar = np.diagonal(rotations.mean(axis=0)) > 1 - 1e-9
    multiplicity = np.array([p.multiplicity for p in group.positions]) * group.centred
    shifts = _normalizing(rotations, np.linalg.inv(group.primitive), polar)
    images = np.zeros((len(shifts), k), np.int64)
    found = Places(free, basis, offset, multiplicity, shifts, images, polar, group.centred)
    generic = np.array([0.1234, 0.2713, 0.4197])
    centring = np.array(list(itertools.product(range(-1, 3), repeat=3))) @ group.primitive
    for i, position in enumerate(group.positions):
        point = basis[i] @ generic + offset[i]
        orbit = position.rotations @ point + position.translations
        points = (orbit[:, None] + centring).reshape(-1, 3)
        for s, shift in enumerate(shifts):
            images[s, i] = _position(found, points + shift, int(multiplicity[i]), np.full(3, 1e-6))
    return found


@cache
def element_order() -> Int64[np.ndarray, " 119"]:
    """Place of each element (by atomic number) among all by Pauling's electronegativity."""
    values = np.nan_to_num(electronegativities(), nan=5.0)
    order = np.empty(len(values), np.int64)
    order[np.lexsort((np.arange(len(values)), values))] = np.arange(len(values))
    return order


def asymmetric_unit(crystal: Crystals, symprec: float = SYMPREC) -> AsymmetricUnit:
    """What symmetry leaves free of one crystal (a batch of one); ``expand`` takes it back.

    Args:
        crystal: in any cell.
        symprec: Å.

    Raises:
        SymmetryError: where spglib finds no symmetry, or an orbit on no position.
    """
    number = int(space_groups(crystal, symprec)[0])
    lattice, numbers, frac_coords = crystal.arrays(0)
    if number == 0:
        raise SymmetryError("spglib finds no symmetry: two atoms may be too close")
    dataset = spglib.get_symmetry_dataset(
        (lattice, frac_coords, numbers), symprec=symprec, hall_number=hall_number(number)
    )
    if dataset is None or dataset.number != number:
        raise SymmetryError(f"spglib finds no standard cell in space group {number}")
    of_primitive = np.zeros(dataset.mapping_to_primitive.max() + 1, np.int64)
    of_primitive[dataset.mapping_to_primitive] = dataset.crystallographic_orbits
    orbit = of_primitive[dataset.std_mapping_to_primitive]
    cell = cell_parameters(np.asarray(dataset.std_lattice)[None])[0]
    known, tolerance = places(number), NEAR / cell[:3]
    points = [dataset.std_positions[orbit == o] for o in np.unique(orbit)]
    kinds = np.array([dataset.std_types[orbit == o][0] for o in np.unique(orbit)], np.int64)
    taken = np.array([_position(known, p, len(p), tolerance) for p in points])
    if (taken < 0).any():
        raise SymmetryError(f"an orbit of {crystal.reduced_formulas[0]} lies on no position")
    return AsymmetricUnit(
        number,
        *_first_description(known, kinds, taken, points, tolerance),
        whole_cell(number, cell),
    )


def expand(unit: AsymmetricUnit) -> Crystals:
    """The crystal (its primitive cell, atoms orbit by orbit) of an asymmetric unit."""
    group, known = space_group(unit.space_group), places(unit.space_group)
    frac = []
    for k, coordinates in zip(unit.positions.tolist(), unit.coordinates, strict=True):
        point = known.basis[k] @ coordinates + known.offset[k]
        position = group.positions[k]
        frac.append(position.rotations @ point + position.translations)
    numbers = np.repeat(unit.elements, [len(points) for points in frac])
    lattice = group.primitive @ lattice_of(unit.cell)
    return Crystals.single(
        lattice, numbers, np.concatenate(frac) @ np.linalg.inv(group.primitive)
    ).wrap()


def _free_axes(projector: Float64[np.ndarray, "3 3"], freedom: int) -> tuple[int, ...]:
    """Axes whose coordinates say where a point is, all others being whole multiples of them."""
    span = np.linalg.svd(projector)[0][:, :freedom]
    for axes in itertools.combinations(range(3), freedom):
        part = span[list(axes)]
        if not freedom or abs(np.linalg.det(part)) < 1e-6:
            continue
        basis = span @ np.linalg.inv(part)
        if np.abs(basis - np.rint(basis)).max() < 1e-6:
            return axes
    return ()


def _normalizing(
    rotations: Int64[np.ndarray, "r 3 3"],
    to_primitive: Float64[np.ndarray, "3 3"],
    polar: Bool[np.ndarray, " 3"],
) -> Float64[np.ndarray, "s 3"]:
    """Translations t, lattice vectors apart, with t - R t a lattice vector for every rotation R.

    Quarters and thirds of each axis are tried; along a polar axis every t does, and 0 is taken.
    """
    axis = np.unique(np.concatenate([np.arange(4) / 4, np.arange(3) / 3]))
    steps = [np.zeros(1) if free else axis for free in polar]
    tried = np.array(list(itertools.product(*steps)))
    moved = tried[:, None] - np.einsum("rij,tj->tri", rotations, tried)
    cells = moved @ to_primitive
    good = tried[np.all(np.abs(cells - np.rint(cells)) < 1e-6, axis=(1, 2))]
    within = np.round(good @ to_primitive % 1, 6) % 1
    _, firsts = np.unique(within, axis=0, return_index=True)
    return good[np.sort(firsts)]


def _position(
    known: Places,
    points: Float64[np.ndarray, "m 3"],
    multiplicity: int,
    tolerance: Float64[np.ndarray, " 3"],
) -> int:
    """The position of all points of an orbit, -1 for none."""
    for k in np.flatnonzero(known.multiplicity == multiplicity).tolist():
        if known.on(k, points, tolerance).any():
            return int(k)
    return -1


def _first_description(
    known: Places,
    elements: Int64[np.ndarray, " m"],
    positions: Int64[np.ndarray, " m"],
    points: list[Float64[np.ndarray, "_ 3"]],
    tolerance: Float64[np.ndarray, " 3"],
) -> tuple[Int64[np.ndarray, " m"], Int64[np.ndarray, " m"], Float64[np.ndarray, "m 3"]]:
    """Elements, positions and coordinates with the origin whose description comes first."""
    ranks = element_order()[elements]
    keys = [
        sorted(zip(ranks, known.images[s, positions], strict=True))
        for s in range(len(known.shifts))
    ]
    found = []
    for s in [s for s, key in enumerate(keys) if key == min(keys)]:
        images = known.images[s, positions]
        moved = [p + known.shifts[s] for p in points]
        if known.polar.any():
            first = np.lexsort((images, ranks))[0]
            own = _coordinates(known, int(images[first]), moved[first], tolerance)
            moved = [p - np.where(known.polar, own, 0) for p in moved]
        coordinates = np.array(
            [_coordinates(known, int(k), p, tolerance) for k, p in zip(images, moved, strict=True)]
        )
        rounded = np.rint(coordinates / STEP) % (1 / STEP)
        order = np.lexsort((*rounded.T[::-1], images, ranks))
        found.append((rounded[order].tolist(), order, images, coordinates))
    _, order, images, coordinates = min(found, key=lambda one: one[0])
    return elements[order], images[order], coordinates[order]


def _coordinates(
    known: Places, k: int, points: Float64[np.ndarray, "m 3"], tolerance: Float64[np.ndarray, " 3"]
) -> Float64[np.ndarray, " 3"]:
    """Free coordinates of an orbit on position k: of its points there the first in order."""
    inside = points[known.on(k, points, tolerance)]
    free = np.where(known.free[k], inside, 0) % 1
    return free[np.lexsort((np.rint(free / STEP) % (1 / STEP)).T[::-1])[0]]
