"""``Crystals``: a frozen, columnar batch of crystals, the one noun that flows through gnomon.

A single crystal is a batch of one.  No energies and no extras live here: facts are rows of tables
keyed by ``ids``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import gcd
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float64, Int, Int64, Integer, Shaped, UInt8

from gnomon.elements import MASSES, MAX_Z, SYMBOLS, Counts, atomic_number, reduced_formula
from gnomon.ragged import ragged_take

AMU_PER_A3_IN_G_PER_CM3 = 1.66053906660
"""1 g/mol per Å^3 in g/cm^3: 1e24 / Avogadro's number (CODATA 2018, exact)."""

ID_LENGTH = 24
"""Hexadecimal digits of a content id: 96 bits, so 1e9 crystals collide with odds of about 1e-11."""

SHOWN = 3
"""Crystals that a batch shows of itself in a line of text."""

SHOWN_IN_TABLE = 10
"""And in a notebook's table."""


@dataclass(frozen=True, eq=False)
class Crystals:
    """A batch of n crystals in columns.  Arrays are read-only; operations return new batches.

    >>> rocksalt = Crystals.single(
    ...     lattice=[[0, 2.82, 2.82], [2.82, 0, 2.82], [2.82, 2.82, 0]],
    ...     atomic_numbers=[11, 17],
    ...     frac_coords=[[0, 0, 0], [0.5, 0.5, 0.5]],
    ... )
    >>> rocksalt, round(float(rocksalt.volumes[0]), 2)
    (<Crystals, 1: NaCl (2 atoms)>, 44.85)
    >>> rocksalt.substitute({"Na": "K"})
    <Crystals, 1: KCl (2 atoms)>

    Columns are converted to float64, uint8 (numbers) and int64 (offsets) where they are not yet.

    Attributes:
        lattice: (n, 3, 3), Å; the rows of each matrix are a, b, c.  Either handedness is legal.
        atomic_numbers: (atoms,), Z of every atom, crystal after crystal.
        frac_coords: (atoms, 3), fractional coordinates in the crystal's own lattice.
        offsets: (n + 1,); the atoms of crystal i are ``offsets[i]:offsets[i + 1]``.

    Raises:
        ValueError: if shapes disagree, a number is not finite, a cell is flat, a crystal is empty
            or an atomic number lies outside 1..118.
    """

    lattice: Float[np.ndarray, "n 3 3"]
    atomic_numbers: Integer[np.ndarray, " atoms"]
    frac_coords: Float[np.ndarray, "atoms 3"]
    offsets: Integer[np.ndarray, " n_plus_1"]

    def __post_init__(self) -> None:
        columns = {
            "lattice": np.asarray(self.lattice, dtype=np.float64),
            "atomic_numbers": _as_atomic_numbers(self.atomic_numbers),
            "frac_coords": np.asarray(self.frac_coords, dtype=np.float64),
            "offsets": np.asarray(self.offsets, dtype=np.int64),
        }
        for name, array in columns.items():
            frozen = np.ascontiguousarray(array)
            if frozen.flags.writeable:
                given = np.asarray(getattr(self, name))
                frozen = frozen.copy() if np.may_share_memory(frozen, given) else frozen
                frozen.setflags(write=False)
            object.__setattr__(self, name, frozen)
        _check(self)

    @classmethod
    def single(cls, lattice: Any, atomic_numbers: Any, frac_coords: Any) -> Crystals:
        """A batch of one: lattice (3, 3) in Å, numbers (atoms,), coordinates (atoms, 3)."""
        numbers = np.asarray(atomic_numbers)
        return cls(
            lattice=np.asarray(lattice, dtype=np.float64).reshape(1, 3, 3),
            atomic_numbers=numbers,
            frac_coords=np.asarray(frac_coords, dtype=np.float64).reshape(-1, 3),
            offsets=np.array([0, len(numbers)]),
        )

    @classmethod
    def empty(cls) -> Crystals:
        """A batch of no crystals."""
        return cls(np.zeros((0, 3, 3)), np.zeros(0, np.uint8), np.zeros((0, 3)), np.zeros(1, int))

    @staticmethod
    def concatenate(batches: Sequence[Crystals]) -> Crystals:
        """One batch out of several, in order."""
        if not batches:
            return Crystals.empty()
        ends = np.cumsum([0, *(int(b.offsets[-1]) for b in batches)])
        return Crystals(
            lattice=np.concatenate([b.lattice for b in batches]),
            atomic_numbers=np.concatenate([b.atomic_numbers for b in batches]),
            frac_coords=np.concatenate([b.frac_coords for b in batches]),
            offsets=np.concatenate(
                [np.zeros(1, np.int64)]
                + [b.offsets[1:] + end for b, end in zip(batches, ends[:-1], strict=True)]
            ),
        )

    def __repr__(self) -> str:
        """How many there are, and the first few by formula."""
        shown = [f"{f} ({n} atoms)" for f, n in zip(*self._first(SHOWN), strict=True)]
        rest = [f"{len(self) - SHOWN} more"] if len(self) > SHOWN else []
        return f"<Crystals, {len(self)}: {', '.join(shown + rest)}>" if shown else "<Crystals, 0>"

    def _repr_html_(self) -> str:
        """A table of the first ones, for notebooks."""
        first = self[:SHOWN_IN_TABLE]
        rows = zip(
            *self._first(SHOWN_IN_TABLE), first.volumes, first.densities, first.ids, strict=True
        )
        head = "<tr><th>formula</th><th>atoms</th><th>Å³</th><th>g/cm³</th><th>id</th></tr>"
        body = "".join(
            f"<tr><td>{formula}</td><td>{atoms}</td><td>{volume:.2f}</td><td>{density:.2f}</td>"
            f"<td><code>{id[:8]}</code></td></tr>"
            for formula, atoms, volume, density, id in rows
        )
        return f"<table><caption>{len(self)} crystals</caption>{head}{body}</table>"

    def _first(self, n: int) -> tuple[list[str], list[int]]:
        first = self[:n]
        return first.reduced_formulas.tolist(), first.n_atoms.tolist()

    # --- taking ---------------------------------------------------------------------------------

    def __len__(self) -> int:
        """Number of crystals."""
        return len(self.lattice)

    def __iter__(self) -> Iterator[Crystals]:
        """Batches of one, in order."""
        return (self.take([i]) for i in range(len(self)))

    def __getitem__(self, index: int | slice | Sequence[int] | np.ndarray) -> Crystals:
        """A batch of the crystals at an index, a slice, a list of indices or a Boolean mask."""
        if isinstance(index, (int, np.integer)):
            if not -len(self) <= index < len(self):
                raise IndexError(f"crystal {index} of a batch of {len(self)}")
            index = [int(index)]
        elif isinstance(index, slice):
            index = range(*index.indices(len(self)))
        return self.take(index)

    def take(
        self, index: Sequence[int] | Int[np.ndarray, " k"] | Bool[np.ndarray, " n"]
    ) -> Crystals:
        """A batch of the crystals at these indices (or where a Boolean mask is true), in order."""
        chosen = chosen_rows(index, len(self))
        atoms, offsets = ragged_take(self.offsets, chosen)
        return Crystals(
            self.lattice[chosen], self.atomic_numbers[atoms], self.frac_coords[atoms], offsets
        )

    # --- facts of each crystal ------------------------------------------------------------------

    @property
    def n_atoms(self) -> Int64[np.ndarray, " n"]:
        """Atoms in each cell."""
        return np.diff(self.offsets)

    @cached_property
    def crystal_index(self) -> Int64[np.ndarray, " atoms"]:
        """The crystal that each atom belongs to."""
        return np.repeat(np.arange(len(self)), self.n_atoms)

    @property
    def volumes(self) -> Float64[np.ndarray, " n"]:
        """Cell volumes, Å^3."""
        return np.abs(np.linalg.det(self.lattice))

    @property
    def densities(self) -> Float64[np.ndarray, " n"]:
        """Mass densities, g/cm^3."""
        masses = np.bincount(
            self.crystal_index, weights=MASSES[self.atomic_numbers], minlength=len(self)
        )
        return masses / self.volumes * AMU_PER_A3_IN_G_PER_CM3

    @property
    def cart_coords(self) -> Float64[np.ndarray, "atoms 3"]:
        """Cartesian coordinates, Å."""
        return np.einsum("ai,aij->aj", self.frac_coords, self.lattice[self.crystal_index])

    @cached_property
    def composition(self) -> Int64[np.ndarray, "n 119"]:
        """Atoms of each element in each cell, by atomic number."""
        flat = self.crystal_index * (MAX_Z + 1) + self.atomic_numbers
        counts = np.bincount(flat, minlength=len(self) * (MAX_Z + 1))
        return counts.reshape(len(self), MAX_Z + 1).astype(np.int64)

    @cached_property
    def fractions(self) -> Float64[np.ndarray, "n 119"]:
        """Atomic fraction of each element, by atomic number."""
        return self.composition / self.n_atoms[:, None]

    @cached_property
    def reduced_formulas(self) -> Shaped[np.ndarray, " n"]:
        """Reduced formulas, letter for letter as pymatgen writes them (array of str objects)."""
        return np.array([reduced_formula(c) for c in self.reduced_counts], dtype=object)

    @cached_property
    def chemical_systems(self) -> Shaped[np.ndarray, " n"]:
        """Chemical systems such as ``Au-Cu``, symbols in alphabetical order (str objects)."""
        names = ["-".join(sorted(SYMBOLS[z] for z, _ in c)) for c in self.reduced_counts]
        return np.array(names, dtype=object)

    @cached_property
    def ids(self) -> Shaped[np.ndarray, " n"]:
        """Content ids: a hash of the exact numbers of each crystal (str objects).

        The same numbers give the same id in any batch and on any machine; another cell of the same
        crystal gives another id (``gnomon.structure.symmetry.canonical`` removes that freedom).
        """
        return np.array([_content_id(*self.arrays(i)) for i in range(len(self))], dtype=object)

    def arrays(
        self, i: int
    ) -> tuple[
        Float64[np.ndarray, "3 3"], UInt8[np.ndarray, " atoms_i"], Float64[np.ndarray, "atoms_i 3"]
    ]:
        """Lattice (Å), atomic numbers and fractional coordinates of crystal i, as views."""
        atoms = slice(int(self.offsets[i]), int(self.offsets[i + 1]))
        return self.lattice[i], self.atomic_numbers[atoms], self.frac_coords[atoms]

    @cached_property
    def reduced_counts(self) -> list[Counts]:
        """Reduced composition of each crystal."""
        rows, columns = np.nonzero(self.composition)
        counts = self.composition[rows, columns]
        pairs: list[list[tuple[int, int]]] = [[] for _ in range(len(self))]
        for row, z, count in zip(rows.tolist(), columns.tolist(), counts.tolist(), strict=True):
            pairs[row].append((z, count))
        return [_reduce(p) for p in pairs]

    # --- new batches ----------------------------------------------------------------------------

    def wrap(self) -> Crystals:
        """The same crystals with every fractional coordinate in [0, 1)."""
        wrapped = self.frac_coords - np.floor(self.frac_coords)
        wrapped[wrapped >= 1.0] = 0.0  # -1e-17 wraps to 1.0 in floating point
        return Crystals(self.lattice, self.atomic_numbers, wrapped, self.offsets)

    def with_atomic_numbers(self, atomic_numbers: Integer[np.ndarray, " atoms"]) -> Crystals:
        """The same sites, occupied by these elements."""
        return Crystals(self.lattice, atomic_numbers, self.frac_coords, self.offsets)

    def with_frac_coords(self, frac_coords: Float64[np.ndarray, "atoms 3"]) -> Crystals:
        """The same cells and elements at these fractional coordinates."""
        return Crystals(self.lattice, self.atomic_numbers, frac_coords, self.offsets)

    def with_lattice(self, lattice: Float64[np.ndarray, "n 3 3"]) -> Crystals:
        """The same elements and fractional coordinates in these cells (Å)."""
        return Crystals(lattice, self.atomic_numbers, self.frac_coords, self.offsets)

    def substitute(self, elements: Mapping[str, str]) -> Crystals:
        """Every atom of each key element becomes the value element, all at once.

        ``{"Cu": "Au", "Au": "Cu"}`` swaps the two.
        """
        table = np.arange(MAX_Z + 1, dtype=np.uint8)
        for old, new in elements.items():
            table[atomic_number(old)] = atomic_number(new)
        return self.with_atomic_numbers(table[self.atomic_numbers])

    def scale_volume(self, factor: float | Float64[np.ndarray, " n"]) -> Crystals:
        """Isotropic scaling: each VOLUME is multiplied by the factor, lengths by its cube root.

        Raises:
            ValueError: if a factor is not positive.
        """
        factors = np.broadcast_to(np.asarray(factor, dtype=np.float64), (len(self),))
        if not np.all(factors > 0):
            raise ValueError("a volume factor must be positive")
        return self.with_lattice(self.lattice * np.cbrt(factors)[:, None, None])

    def supercell(self, matrix: Int[np.ndarray, "3 3"] | Sequence[Any] | int) -> Crystals:
        """Supercells: the rows of the integer matrix are the new a, b, c in units of the old.

        A number k means k x k x k, three numbers a diagonal.  Coordinates come wrapped, atoms
        grouped by the atom that they repeat.

        Raises:
            ValueError: if the matrix is not of integers or has determinant zero.
        """
        transform = _supercell_matrix(matrix)
        shifts = _lattice_points(transform)
        inverse = np.linalg.inv(transform)
        copies = len(shifts)
        old = (self.frac_coords[:, None, :] + shifts).reshape(-1, 3)
        return Crystals(
            lattice=transform @ self.lattice,
            atomic_numbers=np.repeat(self.atomic_numbers, copies),
            frac_coords=old @ inverse,
            offsets=self.offsets * copies,
        ).wrap()


def chosen_rows(
    index: Sequence[int] | Int[np.ndarray, " k"] | Bool[np.ndarray, " n"], n: int
) -> Int64[np.ndarray, " k"]:
    """The indices into n crystals, counted from the start, of indices or of a Boolean mask.

    Raises:
        IndexError: for an index outside, a mask of another length, or no integers.
    """
    chosen = np.asarray(index)
    if chosen.dtype == bool:
        if chosen.shape != (n,):
            raise IndexError(f"a mask of {chosen.shape} for a batch of {n}")
        chosen = np.flatnonzero(chosen)
    if chosen.size and not np.issubdtype(chosen.dtype, np.integer):
        raise IndexError(f"crystals are taken by integers or a mask, not by {chosen.dtype}")
    return np.arange(n)[chosen.astype(np.int64)]


def _as_atomic_numbers(values: Any) -> UInt8[np.ndarray, " atoms"]:
    array = np.asarray(values)
    if array.dtype != np.uint8:
        if array.size and not (
            np.issubdtype(array.dtype, np.integer) and array.min() >= 1 and array.max() <= MAX_Z
        ):
            raise ValueError(f"atomic numbers must be integers from 1 to {MAX_Z}")
        array = array.astype(np.uint8)
    return array


def _check(c: Crystals) -> None:
    n, atoms = len(c.lattice), len(c.atomic_numbers)
    shapes = (c.lattice.shape, c.atomic_numbers.shape, c.frac_coords.shape, c.offsets.shape)
    if shapes != ((n, 3, 3), (atoms,), (atoms, 3), (n + 1,)):
        raise ValueError(
            "Crystals takes lattice (n, 3, 3), atomic_numbers (atoms,), frac_coords (atoms, 3) and "
            f"offsets (n + 1,); got {', '.join(map(str, shapes))}"
        )
    if c.offsets[0] != 0 or c.offsets[-1] != atoms or np.any(np.diff(c.offsets) < 1):
        raise ValueError(
            "offsets must rise from 0 to the number of atoms, at least one atom a crystal"
        )
    if atoms and not 1 <= int(c.atomic_numbers.min()) <= int(c.atomic_numbers.max()) <= MAX_Z:
        raise ValueError(f"atomic numbers must be integers from 1 to {MAX_Z}")
    if not np.isfinite(c.frac_coords).all():
        raise ValueError("a fractional coordinate is not finite")
    if not np.isfinite(c.lattice).all():
        raise ValueError("a lattice vector is not finite")
    flat = np.flatnonzero(~(c.volumes > 1e-6))
    if len(flat):
        raise ValueError(f"the cell of crystal {flat[0]} has no volume")


def _reduce(pairs: Sequence[tuple[int, int]]) -> Counts:
    divisor = gcd(*(count for _, count in pairs))
    return tuple((z, count // divisor) for z, count in pairs)


def _content_id(lattice: np.ndarray, numbers: np.ndarray, frac_coords: np.ndarray) -> str:
    digest = hashlib.blake2b(digest_size=ID_LENGTH // 2)
    # + 0.0 turns -0.0 into 0.0, which is the same number with other bytes
    digest.update((lattice + 0.0).astype("<f8").tobytes())
    digest.update(numbers.tobytes())
    digest.update((frac_coords + 0.0).astype("<f8").tobytes())
    return digest.hexdigest()


def _supercell_matrix(matrix: Any) -> Int64[np.ndarray, "3 3"]:
    given = np.asarray(matrix)
    if given.ndim == 0:
        given = np.eye(3, dtype=int) * given
    elif given.ndim == 1 and given.shape == (3,):
        given = np.diag(given)
    transform = np.rint(given).astype(np.int64)
    if given.shape != (3, 3) or not np.array_equal(transform, given):
        raise ValueError(f"a supercell takes one, three or 3 x 3 integers, not {matrix!r}")
    if round(float(np.linalg.det(transform))) == 0:
        raise ValueError(f"the supercell matrix {matrix!r} has determinant zero")
    return transform


def _lattice_points(transform: Int64[np.ndarray, "3 3"]) -> Float64[np.ndarray, "copies 3"]:
    """Old lattice points inside the new cell, in units of the old cell."""
    corners = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)]) @ transform
    low, high = corners.min(axis=0), corners.max(axis=0)
    grid = np.indices(high - low + 1).reshape(3, -1).T + low
    determinant = round(float(np.linalg.det(transform)))
    # exact integer arithmetic: inside means 0 <= grid @ adjugate / determinant < 1
    adjugate = np.rint(np.linalg.inv(transform) * determinant).astype(np.int64)
    scaled = grid @ adjugate * np.sign(determinant)
    inside = np.all((scaled >= 0) & (scaled < abs(determinant)), axis=1)
    return grid[inside].astype(np.float64)
