"""Small supercells that differ, and how a crystal's space group permutes their sites.

A superlattice of index n is given by the Hermite normal form of its basis: an upper triangular
integer matrix of determinant n whose rows are the new vectors in units of the old (Santoro and
Mighell, Acta Cryst. A 28, 284 (1972); Hart and Forcade, Phys. Rev. B 77, 224115 (2008)).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from gnomon.crystals import Crystals
from gnomon.structure.symmetry import SYMPREC, SymmetryError, niggli, operations


def hermite_forms(index: int) -> list[Int64[np.ndarray, "3 3"]]:
    """All superlattices of this index: [[a, b, c], [0, d, e], [0, 0, f]], b < d and c, e < f.

    Raises:
        ValueError: if the index is not positive.
    """
    if index < 1:
        raise ValueError(f"the index of a superlattice is at least 1, got {index}")
    return [
        np.array([[a, b, c], [0, d, e], [0, 0, index // (a * d)]], dtype=np.int64)
        for a in range(1, index + 1)
        if index % a == 0
        for d in range(1, index // a + 1)
        if (index // a) % d == 0
        for b in range(d)
        for c in range(index // (a * d))
        for e in range(index // (a * d))
    ]


def hermite(matrix: Int64[np.ndarray, "3 3"]) -> Int64[np.ndarray, "3 3"]:
    """Hermite normal form of the lattice spanned by the rows.

    Raises:
        ValueError: if the rows are dependent.
    """
    rows = [[int(x) for x in row] for row in matrix]
    for k in range(3):
        while True:
            nonzero = [r for r in range(k, 3) if rows[r][k]]
            if not nonzero:
                raise ValueError(f"the rows of {matrix.tolist()} span no lattice")
            pivot = min(nonzero, key=lambda r: abs(rows[r][k]))
            rows[k], rows[pivot] = rows[pivot], rows[k]
            if rows[k][k] < 0:
                rows[k] = [-x for x in rows[k]]
            for r in range(k + 1, 3):
                times = rows[r][k] // rows[k][k]
                rows[r] = [x - times * y for x, y in zip(rows[r], rows[k], strict=True)]
            if not any(rows[r][k] for r in range(k + 1, 3)):
                break
        for r in range(k):
            times = rows[r][k] // rows[k][k]
            rows[r] = [x - times * y for x, y in zip(rows[r], rows[k], strict=True)]
    return np.array(rows, dtype=np.int64)


def inequivalent_forms(
    rotations: Int64[np.ndarray, "k 3 3"], index: int
) -> list[Int64[np.ndarray, "3 3"]]:
    """Superlattices of this index, one of each set that the rotations turn into each other.

    Args:
        rotations: for columns of fractions, as ``gnomon.structure.symmetry.operations`` gives them.
        index: of the superlattices.
    """
    point_group = np.unique(rotations, axis=0)
    seen: set[bytes] = set()
    kept = []
    for form in hermite_forms(index):
        if form.tobytes() in seen:
            continue
        kept.append(form)
        seen |= {hermite(form @ rotation.T).tobytes() for rotation in point_group}
    return kept


@dataclass(frozen=True)
class Supercell:
    """A superlattice of a primitive cell, and what the space group does to its sites.

    Attributes:
        form: Hermite normal form.
        crystal: batch of one in the Niggli cell of the superlattice; the copies of each primitive
            atom follow each other.
        permutations: (order, sites), what the operations that keep the superlattice do, the lattice
            translations of the primitive cell among them; site i goes to ``permutations[g, i]``.
        translations: (index - 1, sites), those by primitive lattice vectors alone, no identity.
    """

    form: Int64[np.ndarray, "3 3"]
    crystal: Crystals
    permutations: Int64[np.ndarray, "order sites"]
    translations: Int64[np.ndarray, "moved sites"]

    @property
    def index(self) -> int:
        """How many primitive cells it holds."""
        return round(float(np.prod(np.diagonal(self.form))))


def supercells(
    primitive: Crystals, max_index: int, symprec: float = SYMPREC
) -> Iterator[Supercell]:
    """Inequivalent supercells of index 1 to ``max_index`` of a primitive cell (a batch of one).

    Raises:
        SymmetryError: if an operation of the space group takes an atom to no atom: the crystal is
            symmetric at the limit of the tolerance only.
    """
    [(rotations, shifts)] = operations(primitive, symprec)
    targets, crossed = _atom_images(primitive, rotations, shifts, symprec)
    for index in range(1, max_index + 1):
        for form in inequivalent_forms(rotations, index):
            kept = np.array([np.array_equal(hermite(form @ r.T), form) for r in rotations])
            points = _points(form)
            yield Supercell(
                form,
                _crystal(primitive, form, points),
                _permutations(form, points, rotations[kept], targets[kept], crossed[kept]),
                _translations(form, points, len(primitive.atomic_numbers)),
            )


def _atom_images(
    crystal: Crystals,
    rotations: Int64[np.ndarray, "k 3 3"],
    shifts: Float64[np.ndarray, "k 3"],
    symprec: float,
) -> tuple[Int64[np.ndarray, "k atoms"], Int64[np.ndarray, "k atoms 3"]]:
    """The atom that each operation takes each atom to, and the lattice vector in between."""
    lattice, numbers, frac = crystal.arrays(0)
    moved = np.einsum("kij,aj->kai", rotations.astype(np.float64), frac) + shifts[:, None, :]
    apart = moved[:, :, None, :] - frac
    cells = np.rint(apart)
    distance = np.linalg.norm((apart - cells) @ lattice, axis=-1)
    distance[:, numbers[:, None] != numbers] = np.inf
    targets = distance.argmin(axis=2)
    nearest = np.take_along_axis(distance, targets[:, :, None], axis=2)
    bijective = np.sort(targets, axis=1) == np.arange(len(numbers))
    if not (bijective.all() and nearest.max() < 10 * symprec):
        raise SymmetryError(
            f"an operation of {crystal.reduced_formulas[0]} takes an atom to no atom: its space "
            f"group holds only loosely at the tolerance of {symprec} Å"
        )
    crossed = np.take_along_axis(cells, targets[:, :, None, None], axis=2)[:, :, 0]
    return targets.astype(np.int64), crossed.astype(np.int64)


def _points(form: Int64[np.ndarray, "3 3"]) -> Int64[np.ndarray, "index 3"]:
    """Primitive lattice points, one of each coset of the superlattice, in order of ``_index``."""
    return np.indices(np.diagonal(form).tolist()).reshape(3, -1).T.astype(np.int64)


def _index(
    form: Int64[np.ndarray, "3 3"], points: Int64[np.ndarray, "*many 3"]
) -> Int64[np.ndarray, "*many"]:
    """Position among ``_points`` of the coset of each lattice point."""
    rest = points
    for k in range(3):
        rest = rest - (rest[..., k] // form[k, k])[..., None] * form[k]
    return (rest[..., 0] * form[1, 1] + rest[..., 1]) * form[2, 2] + rest[..., 2]


def _crystal(
    primitive: Crystals, form: Int64[np.ndarray, "3 3"], points: Int64[np.ndarray, "index 3"]
) -> Crystals:
    lattice, numbers, frac = primitive.arrays(0)
    sites = (frac[:, None, :] + points).reshape(-1, 3) @ np.linalg.inv(form)
    return niggli(Crystals.single(form @ lattice, np.repeat(numbers, len(points)), sites))


def _permutations(
    form: Int64[np.ndarray, "3 3"],
    points: Int64[np.ndarray, "index 3"],
    rotations: Int64[np.ndarray, "k 3 3"],
    targets: Int64[np.ndarray, "k atoms"],
    crossed: Int64[np.ndarray, "k atoms 3"],
) -> Int64[np.ndarray, "order sites"]:
    """Images of site (atom, point) for every operation, followed by every translation."""
    turned = np.einsum("kij,pj->kpi", rotations, points)
    landed = turned[:, None, None, :, :] + crossed[:, None, :, None, :]  # k, shift, atom, point
    landed = landed + points[:, None, None, :]
    sites = targets[:, None, :, None] * len(points) + _index(form, landed)
    return np.unique(sites.reshape(-1, targets.shape[1] * len(points)), axis=0)


def _translations(
    form: Int64[np.ndarray, "3 3"], points: Int64[np.ndarray, "index 3"], atoms: int
) -> Int64[np.ndarray, "moved sites"]:
    moved = _index(form, points[None, :, :] + points[1:, None, :])
    own = np.arange(atoms)[:, None] * len(points)
    return (own + moved[:, None, :]).reshape(len(points) - 1, atoms * len(points))
