"""Crystals as columns of orbits, conditions on them, and batches of few shapes for training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int8, Int16, Int64, UInt8, UInt32

from gnomon.crystals import Crystals
from gnomon.elements import COVALENT_RADII, MAX_Z
from gnomon.models.wyckoff.properties import bucket
from gnomon.run.listener import SILENT, Listener
from gnomon.structure.asymmetric_unit import AsymmetricUnit, asymmetric_unit, places
from gnomon.structure.symmetry import SymmetryError
from gnomon.structure.systems import whole_cell

MAX_ORBITS = 20
"""Longest sequence: of 24,440 crystals of the Materials Project 1 % have more orbits."""

LETTERS = 27
"""Positions of the space group that has most (47)."""

HULL_EDGES = (5e-5, 0.03, 0.1)
"""Upper bounds of the first buckets of e_above_hull, eV/atom; the last one is open."""

SIZES = (4, 6, 8, 10, 12, 16, 20, 24, 32, 40)
"""Atoms of a primitive cell that can be asked for at most."""

SHAPES = ((5, 4), (10, 10), (MAX_ORBITS, MAX_ORBITS))
"""Orbits, and free ones among them, of the batches that are compiled."""


class Tables(NamedTuple):
    """What the network and the masks know of the positions of all space groups; row 0 is empty.

    Attributes:
        multiplicity: (231, 27), points in the conventional cell; 0 where there is no position.
        free: (231, 27, 3), which coordinates are free.
        offset: (231, 27, 3), in steps of 1/48.
        basis: (231, 27, 9).
        centring: (231,), lattice points in the conventional cell.
        polar: (231, 3).
    """

    multiplicity: Int16[Any, "231 27"]
    free: Bool[Any, "231 27 3"]
    offset: Int16[Any, "231 27 3"]
    basis: Int8[Any, "231 27 9"]
    centring: Int8[Any, " 231"]
    polar: Bool[Any, "231 3"]


def blank_tables() -> Tables:
    """Tables without positions."""
    return Tables(
        np.zeros((231, LETTERS), np.int16),
        np.zeros((231, LETTERS, 3), bool),
        np.zeros((231, LETTERS, 3), np.int16),
        np.zeros((231, LETTERS, 9), np.int8),
        np.ones(231, np.int8),
        np.zeros((231, 3), bool),
    )


def tables() -> Tables:
    """Tables of all space groups (some seconds)."""
    found = blank_tables()
    for number in range(1, 231):
        known = places(number)
        k = len(known.multiplicity)
        found.multiplicity[number, :k] = known.multiplicity
        found.free[number, :k] = known.free
        found.offset[number, :k] = np.rint(known.offset % 1 * 48)
        found.basis[number, :k] = known.basis.reshape(k, 9)
        found.centring[number] = known.centring
        found.polar[number] = known.polar
    return found


@dataclass(frozen=True, eq=False)
class Sequences:
    """n crystals as padded columns, with what they are conditioned on.

    Attributes:
        space_group: (n,).
        elements: (n, N), atomic number of each orbit, 0 behind the last.
        positions: (n, N).
        coordinates: (n, N, 3), free ones.
        cell: (n, 6), as ``scaled_cell``.
        hull: (n,), bucket of e_above_hull from 1 on, 0 where unknown.
        values: (n, p), bucket of each property, as ``hull``.
    """

    space_group: Int16[np.ndarray, " n"]
    elements: UInt8[np.ndarray, "n N"]
    positions: Int8[np.ndarray, "n N"]
    coordinates: Float32[np.ndarray, "n N 3"]
    cell: Float32[np.ndarray, "n 6"]
    hull: Int8[np.ndarray, " n"]
    values: Int8[np.ndarray, "n p"]

    def __len__(self) -> int:
        """How many crystals."""
        return len(self.space_group)

    def take(self, rows: Int64[np.ndarray, " k"]) -> Sequences:
        """Some of them."""
        return Sequences(*(column[rows] for column in self.columns))

    @property
    def columns(self) -> tuple[np.ndarray, ...]:
        """All columns, in order."""
        return tuple(getattr(self, field.name) for field in fields(self))

    @property
    def orbits(self) -> Int64[np.ndarray, " n"]:
        """Orbits of each."""
        return (self.elements > 0).sum(axis=1)


def sequences(
    crystals: Crystals,
    e_above_hull: Float64[np.ndarray, " n"],
    values: Int8[np.ndarray, "n p"],
    *,
    listener: Listener = SILENT,
) -> tuple[Sequences, Int64[np.ndarray, " k"]]:
    """Crystals as columns, and which of them they are: those of up to ``MAX_ORBITS`` orbits.

    Args:
        crystals: n of them.
        e_above_hull: eV/atom, NaN where unknown.
        values: bucket of each property, from 1 on, 0 where unknown.
        listener: hears how far it is.
    """
    kept, units = [], []
    for i, crystal in enumerate(crystals):
        listener.tick("symmetry", i + 1, len(crystals))
        try:
            unit = asymmetric_unit(crystal)
        except SymmetryError:
            continue
        if len(unit.elements) <= MAX_ORBITS:
            kept.append(i)
            units.append(unit)
    rows = np.array(kept, np.int64)
    return _columns(units, bucket(e_above_hull[rows], HULL_EDGES), values[rows]), rows


def _columns(
    units: Sequence[AsymmetricUnit],
    hull: Int8[np.ndarray, " n"],
    values: Int8[np.ndarray, "n p"],
) -> Sequences:
    n = len(units)
    elements, positions = np.zeros((2, n, MAX_ORBITS), np.int64)
    coordinates = np.zeros((n, MAX_ORBITS, 3), np.float32)
    cell = np.zeros((n, 6), np.float32)
    for i, unit in enumerate(units):
        m = len(unit.elements)
        elements[i, :m], positions[i, :m], coordinates[i, :m] = (
            unit.elements,
            unit.positions,
            unit.coordinates,
        )
        cell[i] = scaled_cell(unit)
    groups = np.array([unit.space_group for unit in units], np.int16)
    return Sequences(
        groups,
        elements.astype(np.uint8),
        positions.astype(np.int8),
        coordinates,
        cell,
        hull,
        values,
    )


def scaled_cell(unit: AsymmetricUnit) -> Float64[np.ndarray, " 6"]:
    """Cell parameters of about unit size: log(length / cbrt(sum of r^3)), (angle - 90) / 30.

    The sum of the cubed covalent radii of all atoms stands for the volume that they need.
    """
    size = _length(unit)
    return np.concatenate([np.log(unit.cell[:3] / size), (unit.cell[3:] - 90) / 30])


def unit_of(
    space_group: int,
    elements: Int64[np.ndarray, " m"],
    positions: Int64[np.ndarray, " m"],
    coordinates: Float64[np.ndarray, "m 3"],
    scaled: Float64[np.ndarray, " 6"],
) -> AsymmetricUnit:
    """The asymmetric unit of columns; the inverse of ``scaled_cell``."""
    unit = AsymmetricUnit(space_group, elements, positions, coordinates, np.ones(6))
    cell = np.concatenate([np.exp(scaled[:3]) * _length(unit), 90 + 30 * scaled[3:]])
    return AsymmetricUnit(
        space_group, elements, positions, coordinates, whole_cell(space_group, cell)
    )


def _length(unit: AsymmetricUnit) -> float:
    """Cube root of the sum of cubed covalent radii in the conventional cell, Å."""
    atoms = places(unit.space_group).multiplicity[unit.positions]
    return float(np.cbrt(np.sum(atoms * COVALENT_RADII[unit.elements] ** 3)))


# --- conditions -----------------------------------------------------------------------------------


class Conditions(NamedTuple):
    """What is asked of n crystals; each may be absent.

    Attributes:
        fractions: (n, 119), share of the atoms by atomic number: of a formula, or equal shares of
            the elements.
        given: (n,), 0 nothing, 1 the elements, 2 the formula.
        hull: (n,), bucket from 1 on, 0 absent.
        values: (n, p), bucket of each property, as ``hull``.
        size: (n,), at most so many atoms: which of ``SIZES``, from 1 on, 0 absent.
    """

    fractions: Float32[Any, "n 119"]
    given: Int8[Any, " n"]
    hull: Int8[Any, " n"]
    values: Int8[Any, "n p"]
    size: Int8[Any, " n"]


GIVEN = (0.4, 0.35, 0.25)
"""How often training is told nothing of the composition, the elements, the formula."""

KNOWN = 0.6
"""How often it is told the bucket of e_above_hull; and that of each property."""


def conditions(data: Sequences, known: Tables, rng: np.random.Generator) -> Conditions:
    """True conditions of crystals, each left out at random.

    A size that it is told says nothing but that the crystal is no larger: one of ``SIZES`` is drawn
    for each, all alike, and told where the crystal is.
    """
    n = len(data)
    atoms = known.multiplicity[data.space_group[:, None], data.positions] * (data.elements > 0)
    counts = np.zeros((n, MAX_Z + 1), np.float32)
    np.add.at(counts, (np.arange(n)[:, None], data.elements), atoms)
    given = rng.choice(3, n, p=GIVEN).astype(np.int8)
    told = np.where((given == 2)[:, None], counts, counts > 0).astype(np.float32)
    fractions = told / np.maximum(told.sum(axis=1, keepdims=True), 1)
    size = rng.integers(len(SIZES), size=n)
    fits = counts.sum(axis=1) / known.centring[data.space_group] <= np.array(SIZES)[size]
    return Conditions(
        fractions * (given > 0)[:, None],
        given,
        data.hull * (rng.random(n) < KNOWN),
        data.values * (rng.random(data.values.shape) < KNOWN),
        (1 + size).astype(np.int8) * fits,
    )


def size_of(max_atoms: int) -> int:
    """Which of ``SIZES``, from 1 on, leaves no crystal of so many atoms out; 0 for none.

    >>> size_of(16), size_of(17), size_of(100)
    (6, 7, 0)
    """
    at = int(np.searchsorted(SIZES, max_atoms))
    return at + 1 if at < len(SIZES) else 0


# --- batches --------------------------------------------------------------------------------------


class Batch(NamedTuple):
    """Rows of one shape: N orbits, M of them free.

    Attributes:
        space_group, elements, positions, coordinates, cell: as of ``Sequences``, N orbits.
        order: (B, M), indices of the free orbits, -1 behind the last.
        real: (B,), rows that are no padding.
        told: conditions.
        seed: of what training forgets.
    """

    space_group: Int64[Any, " B"]
    elements: Int64[Any, "B N"]
    positions: Int64[Any, "B N"]
    coordinates: Float32[Any, "B N 3"]
    cell: Float32[Any, "B 6"]
    order: Int64[Any, "B M"]
    real: Bool[Any, " B"]
    told: Conditions
    seed: UInt32[Any, ""]


@cache
def rows_of(shape: tuple[int, int], tokens: int) -> int:
    """Rows of a batch of a shape that holds about so many tokens."""
    return max(1, tokens // (shape[0] + shape[1] + 3))


def batches(
    data: Sequences, known: Tables, tokens: int, rng: np.random.Generator
) -> Iterator[tuple[int, Batch]]:
    """All rows in random order, in batches of few shapes: how many of them are real, the batch."""
    free = free_orbits(data, known)
    orbits, count = data.orbits, free.sum(axis=1)
    fits = np.array([(orbits <= n) & (count <= m) for n, m in SHAPES])
    shape_of = fits.argmax(axis=0)
    chosen = []
    for s, shape in enumerate(SHAPES):
        rows = rng.permutation(np.flatnonzero(shape_of == s))
        size = rows_of(shape, tokens)
        chosen += [(s, rows[i : i + size]) for i in range(0, len(rows), size)]
    told = conditions(data, known, rng)
    for i in rng.permutation(len(chosen)).tolist():
        s, rows = chosen[i]
        batch = _batch(data, free, told, rows, SHAPES[s], rows_of(SHAPES[s], tokens))
        yield len(rows), batch._replace(seed=rng.integers(2**32, dtype=np.uint32))


def free_orbits(data: Sequences, known: Tables) -> Bool[np.ndarray, "n N"]:
    """Which orbits have coordinates to be free."""
    some = np.asarray(np.asarray(known.free).any(axis=2))[data.space_group[:, None], data.positions]
    return np.asarray(some & (data.elements > 0))


def _batch(
    data: Sequences,
    free: Bool[np.ndarray, "n N"],
    told: Conditions,
    rows: Int64[np.ndarray, " k"],
    shape: tuple[int, int],
    size: int,
) -> Batch:
    real = np.arange(size) < len(rows)
    rows = np.concatenate([rows, np.repeat(rows[:1], size - len(rows))])
    n, m = shape
    part = data.take(rows)
    order = np.argsort(~free[rows], axis=1, kind="stable")[:, :m]
    order = np.where(np.take_along_axis(free[rows], order, axis=1), order, -1)
    return Batch(
        part.space_group.astype(np.int64),
        part.elements[:, :n].astype(np.int64),
        part.positions[:, :n].astype(np.int64),
        part.coordinates[:, :n],
        part.cell,
        order,
        real,
        Conditions(*(column[rows] for column in told)),
        np.uint32(0),
    )
